//! OpenSSL's names of ciphers, suites and curves, and its cipher strings, put upon what the library has.
//!
//! The library has three suites of TLS 1.3 and, of TLS 1.2, ECDHE with AES-GCM and ChaCha20. A string that names others
//! is read as OpenSSL reads it, over these; the names that stay without effect are answered, for a warning.

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, kx_group};
use rustls::{CipherSuite, NamedGroup, SupportedCipherSuite};

/// One suite as OpenSSL describes it.
struct Row {
    name: &'static str,
    suite: SupportedCipherSuite,
    id: CipherSuite,
    bits: u32,
    /// The words that select it in a cipher string.
    tags: &'static [&'static str],
}

/// TLS 1.3, in OpenSSL's order.
const NEW: &[Row] = &[
    new(
        "TLS_AES_256_GCM_SHA384",
        suite::TLS13_AES_256_GCM_SHA384,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        256,
    ),
    new(
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        256,
    ),
    new(
        "TLS_AES_128_GCM_SHA256",
        suite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        128,
    ),
];

const fn new(name: &'static str, suite: SupportedCipherSuite, id: CipherSuite, bits: u32) -> Row {
    Row { name, suite, id, bits, tags: &[] }
}

macro_rules! tags {
    ($auth:literal, $ecauth:literal, $($more:literal),*) => {
        &["ALL", "DEFAULT", "HIGH", "FIPS", "TLSv1.2", "AEAD", "ECDHE", "EECDH", "kECDHE",
          "kEECDH", "ECDH", $auth, $ecauth, $($more),*]
    };
}

/// TLS 1.2, in OpenSSL's order.
const OLD: &[Row] = &[
    Row {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        bits: 256,
        tags: tags!("aECDSA", "ECDSA", "AES", "AES256", "AESGCM"),
    },
    Row {
        name: "ECDHE-RSA-AES256-GCM-SHA384",
        suite: suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        bits: 256,
        tags: tags!("aRSA", "aRSA", "AES", "AES256", "AESGCM"),
    },
    Row {
        name: "ECDHE-ECDSA-CHACHA20-POLY1305",
        suite: suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        bits: 256,
        tags: tags!("aECDSA", "ECDSA", "CHACHA20"),
    },
    Row {
        name: "ECDHE-RSA-CHACHA20-POLY1305",
        suite: suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        id: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        bits: 256,
        tags: tags!("aRSA", "aRSA", "CHACHA20"),
    },
    Row {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        id: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        bits: 128,
        tags: tags!("aECDSA", "ECDSA", "AES", "AES128", "AESGCM"),
    },
    Row {
        name: "ECDHE-RSA-AES128-GCM-SHA256",
        suite: suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        id: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        bits: 128,
        tags: tags!("aRSA", "aRSA", "AES", "AES128", "AESGCM"),
    },
];

/// Suites in order of preference, and what of the string means none that is there.
#[derive(Clone, Debug, Default)]
pub struct Chosen {
    pub suites: Vec<SupportedCipherSuite>,
    pub missing: Vec<String>,
}

/// Every suite, in OpenSSL's order.
#[must_use]
pub fn default_suites() -> Vec<SupportedCipherSuite> {
    NEW.iter().chain(OLD).map(|row| row.suite).collect()
}

/// TLS 1.2's.
#[must_use]
pub fn default_ciphers() -> Vec<SupportedCipherSuite> {
    OLD.iter().map(|row| row.suite).collect()
}

/// TLS 1.3's.
#[must_use]
pub fn default_ciphersuites() -> Vec<SupportedCipherSuite> {
    NEW.iter().map(|row| row.suite).collect()
}

/// TLS 1.3's in the order clients get them in where nothing is said: that with SHA-256 first. Keys are derived by some
/// 260 blocks of the hash a handshake, a third of all its work with SHA-384 and next to nothing with SHA-256, for which
/// processors have instructions.
#[must_use]
pub fn served_ciphersuites() -> Vec<SupportedCipherSuite> {
    let mut suites = default_ciphersuites();
    suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 => 1,
        _ => 2,
    });
    suites
}

/// `ciphersuites`: names of TLS 1.3 suites.
#[must_use]
pub fn ciphersuites(text: &str) -> Chosen {
    let mut chosen = Chosen::default();
    for word in text.split(':').filter(|w| !w.is_empty()) {
        match NEW.iter().find(|row| row.name == word) {
            Some(row) => chosen.suites.push(row.suite),
            None => chosen.missing.push(word.to_owned()),
        }
    }
    chosen
}

/// `ciphers`: a cipher string for TLS 1.2, read left to right as openssl-ciphers(1) describes.
#[must_use]
pub fn ciphers(text: &str) -> Chosen {
    let mut chosen: Vec<&Row> = Vec::new();
    let mut banned: Vec<&str> = Vec::new();
    let mut missing = Vec::new();
    for word in text.split([':', ',', ' ', ';']).filter(|w| !w.is_empty()) {
        if word == "@STRENGTH" {
            chosen.sort_by_key(|row| std::cmp::Reverse(row.bits));
            continue;
        }
        if word.starts_with('@') {
            continue;
        }
        let (sign, word) = match word.split_at_checked(1) {
            Some((sign @ ("!" | "-" | "+"), rest)) => (sign, rest),
            _ => ("", word),
        };
        let selected: Vec<&Row> =
            OLD.iter().filter(|row| word.split('+').all(|tag| matches(row, tag))).collect();
        let is_selected = |row: &&Row| selected.iter().any(|s| s.name == row.name);
        match sign {
            "!" => {
                banned.extend(selected.iter().map(|row| row.name));
                chosen.retain(|row| !is_selected(row));
            }
            "-" => chosen.retain(|row| !is_selected(row)),
            "+" => {
                let (moved, mut kept): (Vec<_>, Vec<_>) = chosen.into_iter().partition(is_selected);
                kept.extend(moved);
                chosen = kept;
            }
            _ => {
                if selected.is_empty() {
                    missing.push(word.to_owned());
                }
                let fresh: Vec<_> =
                    selected.into_iter().filter(|s| !chosen.iter().any(|c| c.name == s.name)).collect();
                chosen.extend(fresh);
            }
        }
    }
    chosen.retain(|row| !banned.contains(&row.name));
    Chosen { suites: chosen.iter().map(|row| row.suite).collect(), missing }
}

fn matches(row: &Row, tag: &str) -> bool {
    // What the system's policy allows (Fedora and its kin): whatever there is.
    row.name == tag || row.tags.contains(&tag) || tag == "PROFILE=SYSTEM"
}

/// A suite's name in OpenSSL, and the bits of its key.
#[must_use]
pub fn describe(id: CipherSuite) -> Option<(&'static str, u32)> {
    NEW.iter().chain(OLD).find(|row| row.id == id).map(|row| (row.name, row.bits))
}

/// What is offered where nothing is said: the hybrid with ML-KEM first.
pub const DEFAULT_CURVES: &str = "X25519MLKEM768:X25519:P-256:P-384";

/// `curves`, `ecdhe`: groups in order of preference, and the names that mean none that is there.
#[must_use]
pub fn groups(text: &str) -> (Vec<&'static dyn SupportedKxGroup>, Vec<String>) {
    let (mut groups, mut missing): (Vec<&'static dyn SupportedKxGroup>, Vec<String>) = Default::default();
    for word in text.split([':', ',']).filter(|w| !w.is_empty()) {
        match group(word) {
            Some(group) if !groups.iter().any(|g| g.name() == group.name()) => groups.push(group),
            Some(_) => {}
            None => missing.push(word.to_owned()),
        }
    }
    (groups, missing)
}

fn group(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    Some(match name.trim_start_matches(['*', '?']).to_ascii_lowercase().as_str() {
        "x25519" => kx_group::X25519,
        "p-256" | "prime256v1" | "secp256r1" => kx_group::SECP256R1,
        "p-384" | "secp384r1" => kx_group::SECP384R1,
        "x25519mlkem768" => kx_group::X25519MLKEM768,
        "secp256r1mlkem768" => kx_group::SECP256R1MLKEM768,
        "mlkem768" => kx_group::MLKEM768,
        _ => return None,
    })
}

/// A group as OpenSSL calls it.
#[must_use]
pub fn curve_name(group: NamedGroup) -> Option<&'static str> {
    Some(match group {
        NamedGroup::X25519 => "X25519",
        NamedGroup::secp256r1 => "P-256",
        NamedGroup::secp384r1 => "P-384",
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768",
        NamedGroup::MLKEM768 => "MLKEM768",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str], missing: &[&str]) {
        let chosen = ciphers(text);
        let names: Vec<&str> =
            chosen.suites.iter().filter_map(|s| describe(s.suite()).map(|(name, _)| name)).collect();
        assert_eq!(names, expected, "{text}");
        assert_eq!(chosen.missing, missing, "{text}");
    }

    const RSA256: &str = "ECDHE-RSA-AES256-GCM-SHA384";
    const RSA128: &str = "ECDHE-RSA-AES128-GCM-SHA256";
    const EC256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
    const EC128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";

    #[test]
    fn cipher_strings() {
        check("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-SHA", &[RSA128], &["DHE-RSA-AES128-SHA"]);
        check("ECDHE+AESGCM:!aECDSA", &[RSA256, RSA128], &[]);
        check("ECDH+AESGCM:!aNULL:!SHA1:!AESCCM", &[EC256, RSA256, EC128, RSA128], &[]);
        check("AES128:+ECDSA", &[RSA128, EC128], &[]);
        check("AES128:AES256:-AES128:@STRENGTH", &[EC256, RSA256], &[]);
        check("aRSA+AES128:aRSA+AES256:@STRENGTH:@SECLEVEL=2", &[RSA256, RSA128], &[]);
        check("PROFILE=SYSTEM:!AES128:!aRSA", &[EC256, "ECDHE-ECDSA-CHACHA20-POLY1305"], &[]);
        check("AES128-SHA:RC4", &[], &["AES128-SHA", "RC4"]);
    }

    #[test]
    fn curves() {
        let (groups, missing) = groups("secp256r1:X25519:P-256:brainpoolP256r1");
        let names: Vec<_> = groups.iter().filter_map(|g| curve_name(g.name())).collect();
        assert_eq!((names, missing), (vec!["P-256", "X25519"], vec!["brainpoolP256r1".to_owned()]));
    }
}
