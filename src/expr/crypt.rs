//! Hashed passwords in crypt(3)'s formats: `$6$` and `$5$` (Drepper, "Unix crypt using SHA-256 and SHA-512"), `$1$` (the
//! FreeBSD MD5 scheme).

use md5::Md5;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512};

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DEFAULT_ROUNDS: u32 = 5000;
/// The specification allows 999,999,999; a login must not hold a worker for minutes.
const MAX_ROUNDS: u32 = 1_000_000;

/// Is the hash in a format that [`matches`] can check?
#[must_use]
pub fn is_supported(hash: &str) -> bool {
    parse(hash).is_some()
}

/// Does the password give this hash? False for a format that is not known.
#[must_use]
pub fn matches(hash: &str, password: &[u8]) -> bool {
    let Some(parts) = parse(hash) else { return false };
    let computed = match parts.scheme {
        Scheme::Sha512 => sha_crypt::<Sha512>(&parts, password, &SHA512_ORDER),
        Scheme::Sha256 => sha_crypt::<Sha256>(&parts, password, &SHA256_ORDER),
        Scheme::Md5 => md5_crypt(parts.salt, password),
    };
    super::credentials::equal(parts.digest.as_bytes(), computed.as_bytes())
}

#[derive(Clone, Copy)]
enum Scheme {
    Sha512,
    Sha256,
    Md5,
}

struct Parts<'a> {
    scheme: Scheme,
    rounds: u32,
    salt: &'a [u8],
    digest: &'a str,
}

fn parse(hash: &str) -> Option<Parts<'_>> {
    let (scheme, mut rest) = match hash.get(..3)? {
        "$6$" => (Scheme::Sha512, hash.get(3..)?),
        "$5$" => (Scheme::Sha256, hash.get(3..)?),
        "$1$" => (Scheme::Md5, hash.get(3..)?),
        _ => return None,
    };
    let mut rounds = DEFAULT_ROUNDS;
    if !matches!(scheme, Scheme::Md5)
        && let Some(after) = rest.strip_prefix("rounds=")
    {
        let (number, tail) = after.split_once('$')?;
        rounds = number.parse::<u32>().ok()?.clamp(1000, MAX_ROUNDS);
        rest = tail;
    }
    let (salt, digest) = rest.split_once('$')?;
    let longest = if matches!(scheme, Scheme::Md5) { 8 } else { 16 };
    let salt = salt.as_bytes();
    Some(Parts { scheme, rounds, salt: salt.get(..longest).unwrap_or(salt), digest })
}

/// `block` over and over, up to `len` bytes.
fn stretched(block: &[u8], len: usize) -> Vec<u8> {
    block.iter().copied().cycle().take(len).collect()
}

fn sha_crypt<D: Digest>(parts: &Parts<'_>, password: &[u8], order: &[[usize; 3]]) -> String {
    let salt = parts.salt;
    let alternate = D::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = D::new().chain_update(password).chain_update(salt);
    first.update(stretched(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &alternate[..] } else { password });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    let mut repeated = D::new();
    for _ in 0..password.len() {
        repeated.update(password);
    }
    let p = stretched(&repeated.finalize(), password.len());
    let mut repeated = D::new();
    for _ in 0..16 + usize::from(digest.first().copied().unwrap_or(0)) {
        repeated.update(salt);
    }
    let s = stretched(&repeated.finalize(), salt.len());
    for round in 0..parts.rounds {
        let odd = round & 1 == 1;
        let mut next = D::new();
        next.update(if odd { &p[..] } else { &digest[..] });
        if round % 3 != 0 {
            next.update(&s);
        }
        if round % 7 != 0 {
            next.update(&p);
        }
        next.update(if odd { &digest[..] } else { &p[..] });
        digest = next.finalize();
    }
    encode(&digest, order)
}

fn md5_crypt(salt: &[u8], password: &[u8]) -> String {
    let alternate = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(b"$1$").chain_update(salt);
    first.update(stretched(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() });
        bits >>= 1;
    }
    let mut digest = first.finalize();
    for round in 0..1000 {
        let odd = round & 1 == 1;
        let mut next = Md5::new();
        next.update(if odd { password } else { &digest[..] });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if odd { &digest[..] } else { password });
        digest = next.finalize();
    }
    encode(&digest, &MD5_ORDER)
}

/// Three bytes become four digits, the least significant first; a byte number beyond the digest stands for none.
fn encode(digest: &[u8], order: &[[usize; 3]]) -> String {
    let mut text = String::new();
    for group in order {
        let byte = |i: usize| u32::from(digest.get(group[i]).copied().unwrap_or(0));
        let known = group.iter().filter(|i| **i < digest.len()).count();
        let mut bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for _ in 0..=known {
            text.push(char::from(ALPHABET[bits as usize & 63]));
            bits >>= 6;
        }
    }
    text
}

const NONE: usize = usize::MAX;

/// The orders in which each scheme takes its digest's bytes.
const MD5_ORDER: [[usize; 3]; 6] =
    [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5], [NONE, NONE, 11]];

const SHA256_ORDER: [[usize; 3]; 11] = [
    [0, 10, 20],
    [21, 1, 11],
    [12, 22, 2],
    [3, 13, 23],
    [24, 4, 14],
    [15, 25, 5],
    [6, 16, 26],
    [27, 7, 17],
    [18, 28, 8],
    [9, 19, 29],
    [NONE, 31, 30],
];

const SHA512_ORDER: [[usize; 3]; 22] = [
    [0, 21, 42],
    [22, 43, 1],
    [44, 2, 23],
    [3, 24, 45],
    [25, 46, 4],
    [47, 5, 26],
    [6, 27, 48],
    [28, 49, 7],
    [50, 8, 29],
    [9, 30, 51],
    [31, 52, 10],
    [53, 11, 32],
    [12, 33, 54],
    [34, 55, 13],
    [56, 14, 35],
    [15, 36, 57],
    [37, 58, 16],
    [59, 17, 38],
    [18, 39, 60],
    [40, 61, 19],
    [62, 20, 41],
    [NONE, NONE, 63],
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hash: &str, password: &str) {
        assert!(matches(hash, password.as_bytes()), "{hash}");
        assert!(!matches(hash, b"another"), "{hash}");
    }

    #[test]
    fn made_by_crypt_of_libc() {
        check(
            "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
            "secret",
        );
        check(
            "$6$rounds=1400$anotherlongsalts$LwzDR.1k24.Yk5XqNRD.1VoHL22u5bMxPP.W9EgA6oj8ewnex0.Rekf7j6hzTM09BM1OaPNuzZuE.vO08s94l0",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        );
        check(
            "$6$s$.ZBEl9liET9mKM6jGxl//vp8wOnIJwfkp.7sG2Ahu2q68bf4LasDRE6k5T5NPzLqBFx3oUbMl6xWpBsFfgm6..",
            "",
        );
        check("$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.", "secret");
        check(
            "$5$rounds=2000$salt$fodGj7DR1NM.1d7Cg5.zoKQe1b9v1yVVBVYz5sqgc50",
            "a much longer password than the digest",
        );
        check("$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "secret");
        check("$1$ab$YpCiAqetbP.jwCnqaJcGR/", "a much longer password than 16");
    }

    #[test]
    fn other_formats() {
        for hash in ["", "$", "$2b$12$abc", "$y$j9T$x$y", "rZ8dbrX7bUbKk", "$6$salt"] {
            assert!(!is_supported(hash), "{hash}");
            assert!(!matches(hash, b"x"));
        }
    }
}
