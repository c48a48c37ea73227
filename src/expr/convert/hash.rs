//! Hashes and digests.

use super::{Converter, Step, row};
use crate::balance::{Function, Hashing, hash::avalanche};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::fetch::Call;
use crate::expr::sample::{Sample, Type};
use sha1::digest::Digest;

const NUMBER: Spec = Spec { required: 0, kinds: &[Kind::Int] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("sdbm", NUMBER, Type::Bin, Type::Int, Step::Pure(|a, s| balanced(a, s, Function::Sdbm)), "The balancer's SDBM hash; argument 1 spreads it."),
    row("djb2", NUMBER, Type::Bin, Type::Int, Step::Pure(|a, s| balanced(a, s, Function::Djb2)), "The balancer's DJB2 hash; argument 1 spreads it."),
    row("wt6", NUMBER, Type::Bin, Type::Int, Step::Pure(|a, s| balanced(a, s, Function::Wt6)), "The balancer's WT6 hash; argument 1 spreads it."),
    row("crc32", NUMBER, Type::Bin, Type::Int, Step::Pure(|a, s| balanced(a, s, Function::Crc32)), "CRC-32 of Ethernet and gzip; argument 1 spreads it."),
    row("crc32c", NUMBER, Type::Bin, Type::Int, Step::Pure(crc32c), "CRC-32C (Castagnoli); argument 1 spreads it."),
    row("xxh32", NUMBER, Type::Bin, Type::Int, Step::Pure(|a, s| Some(Sample::Int(xxhash_rust::xxh32::xxh32(&s.into_bytes(), seed(a) as u32).into()))), "xxHash of 32 bits, with a seed."),
    row("xxh64", NUMBER, Type::Bin, Type::Int, Step::Pure(|a, s| Some(Sample::Int(xxhash_rust::xxh64::xxh64(&s.into_bytes(), seed(a)).cast_signed()))), "xxHash of 64 bits, with a seed."),
    row("xxh3", NUMBER, Type::Bin, Type::Int, Step::Pure(|a, s| Some(Sample::Int(xxhash_rust::xxh3::xxh3_64_with_seed(&s.into_bytes(), seed(a)).cast_signed()))), "XXH3 of 64 bits, with a seed."),
    row("sha1", NONE, Type::Bin, Type::Bin, Step::Pure(|_, s| digest("sha1", &s.into_bytes())), "SHA-1."),
    row("sha2", NUMBER, Type::Bin, Type::Bin, Step::Pure(sha2), "SHA-2 of 224, 256 (default), 384 or 512 bits.").prepared(prepare_sha2),
    row("digest", Spec { required: 1, kinds: &[Kind::Text] }, Type::Bin, Type::Bin, Step::Pure(named_digest), "The digest named: md5, sha1, sha224, sha256, sha384, sha512.").prepared(prepare_digest),
    row("hmac", Spec { required: 2, kinds: &[Kind::Text, Kind::Text] }, Type::Bin, Type::Bin, Step::Reading(hmac), "Authentication code under the digest named and a key, which is base64 or a variable.").prepared(prepare_hmac),
];

fn seed(args: &[Arg]) -> u64 {
    args::int(args, 0).unwrap_or(0).cast_unsigned()
}

fn spreads(args: &[Arg]) -> bool {
    args::int(args, 0).is_some_and(|n| n != 0)
}

fn balanced<'a>(args: &[Arg], sample: Sample<'a>, function: Function) -> Option<Sample<'a>> {
    let hashing = Hashing { function, avalanche: spreads(args) };
    Some(Sample::Int(hashing.bytes(&sample.into_bytes()).into()))
}

fn crc32c<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let crc = !sample.into_bytes().iter().fold(!0_u32, |crc, c| {
        (0..8).fold(crc ^ u32::from(*c), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    });
    Some(Sample::Int(if spreads(args) { avalanche(crc) } else { crc }.into()))
}

fn digest<'a>(name: &str, bytes: &[u8]) -> Option<Sample<'a>> {
    digest_bytes(name, bytes).map(|d| Sample::Bin(d.into()))
}

fn digest_bytes(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match name {
        "md5" => md5::Md5::digest(bytes).to_vec(),
        "sha1" => sha1::Sha1::digest(bytes).to_vec(),
        "sha224" => sha2::Sha224::digest(bytes).to_vec(),
        "sha256" => sha2::Sha256::digest(bytes).to_vec(),
        "sha384" => sha2::Sha384::digest(bytes).to_vec(),
        "sha512" => sha2::Sha512::digest(bytes).to_vec(),
        _ => return None,
    })
}

fn prepare_sha2(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::int(args, 0) {
        None | Some(224 | 256 | 384 | 512) => Ok(()),
        Some(bits) => Err(format!("Unsupported number of bits: '{bits}'")),
    }
}

fn sha2<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let name = match args::int(args, 0) {
        Some(224) => "sha224",
        Some(384) => "sha384",
        Some(512) => "sha512",
        _ => "sha256",
    };
    digest(name, &sample.into_bytes())
}

/// Digest names are OpenSSL's, any case.
fn prepare_digest(args: &mut Vec<Arg>) -> Result<(), String> {
    let given = String::from_utf8_lossy(args::text(args, 0).unwrap_or_default()).to_ascii_lowercase();
    if digest_bytes(&given, b"").is_none() {
        return Err(format!("'{given}' is not a supported message digest"));
    }
    if let Some(first) = args.first_mut() {
        *first = Arg::Text(given.into_bytes());
    }
    Ok(())
}

fn name(args: &[Arg]) -> &str {
    args::text(args, 0).and_then(|n| std::str::from_utf8(n).ok()).unwrap_or_default()
}

fn named_digest<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    digest(name(args), &sample.into_bytes())
}

fn prepare_hmac(args: &mut Vec<Arg>) -> Result<(), String> {
    prepare_digest(args)?;
    let key = args::text(args, 1).unwrap_or_default();
    let text = String::from_utf8_lossy(key).into_owned();
    let parsed = match args::variable(&text) {
        Ok((scope, name)) => Arg::Var(scope, name),
        Err(_) => {
            let key = super::encoding::base64_decode(key, false)
                .ok_or("failed to parse the key: it must be base64")?;
            Arg::Text(key)
        }
    };
    if let Some(second) = args.get_mut(1) {
        *second = parsed;
    }
    Ok(())
}

/// With a key that is text or a variable.
fn hmac<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let key = match args.get(1)? {
        Arg::Text(key) => key.clone(),
        Arg::Var(scope, name) => {
            let text = Sample::from_value(call.facts.var(*scope, name)?).into_bytes();
            super::encoding::base64_decode(&text, false)?
        }
        _ => return None,
    };
    hmac_of(name(args), &key, &sample.into_bytes()).map(|code| Sample::Bin(code.into()))
}

/// RFC 2104: the code of `message` under the digest named.
pub(super) fn hmac_of(algorithm: &str, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let block = if matches!(algorithm, "sha384" | "sha512") { 128 } else { 64 };
    let mut key = if key.len() > block { digest_bytes(algorithm, key)? } else { key.to_vec() };
    key.resize(block, 0);
    let padded = |pad: u8| key.iter().map(|b| b ^ pad).collect::<Vec<u8>>();
    let inner = digest_bytes(algorithm, &[&padded(0x36), message].concat())?;
    digest_bytes(algorithm, &[padded(0x5c), inner].concat())
}
