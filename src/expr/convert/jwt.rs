//! JSON web tokens: three parts in base64url, a header, a payload and a signature.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, Spec};
use crate::expr::fetch::Call;
use crate::expr::sample::{Sample, Type};

const QUERY: Spec = Spec { required: 0, kinds: &[Kind::Text, Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("jwt_header_query", QUERY, Type::Bin, Type::Any, Step::Pure(|a, s| query(a, &s.into_bytes(), 0)), "Header of a JSON web token, or what `json_query` with the same arguments finds in it.").prepared(prepare_query),
    row("jwt_payload_query", QUERY, Type::Bin, Type::Any, Step::Pure(|a, s| query(a, &s.into_bytes(), 1)), "Payload of a JSON web token, or what `json_query` with the same arguments finds in it.").prepared(prepare_query),
    row("jwt_verify", Spec { required: 2, kinds: &[Kind::Text, Kind::Text] }, Type::Bin, Type::Int, Step::Reading(verify), "Whether the token's signature is that of the algorithm (`HS256`, `HS384`, `HS512` or `none`) and the secret, a text or a variable: 1 or 0, -3 where it is no token.").prepared(prepare_verify),
];

/// Algorithms with a secret, and the digest each takes.
const ALGORITHMS: &[(&str, &str)] =
    &[("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512"), (UNSIGNED, "")];
const UNSIGNED: &str = "none";
/// Those with certificates.
const UNBUILT: &[&str] = &["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];

const VERIFIED: i64 = 1;
const FAILED: i64 = 0;
const NO_TOKEN: i64 = -3;

fn prepare_query(args: &mut Vec<Arg>) -> Result<(), String> {
    if matches!(args.as_slice(), [] | [Arg::Absent]) { Ok(()) } else { super::json::prepare(args) }
}

/// Of part `place`.
fn query(args: &[Arg], token: &[u8], place: usize) -> Option<Sample<'static>> {
    let json = super::encoding::base64_decode(token.split(|b| *b == b'.').nth(place)?, true)?;
    match args::text(args, 0) {
        None => Some(Sample::Bin(json.into())),
        Some(path) => super::json::find(&json, path, args::text(args, 1).is_some()),
    }
}

fn prepare_verify(args: &mut Vec<Arg>) -> Result<(), String> {
    let text = |i: usize| String::from_utf8_lossy(args::text(args, i).unwrap_or_default()).into_owned();
    let (name, key) = (text(0), text(1));
    let Some((_, digest)) = ALGORITHMS.iter().find(|(known, _)| *known == name) else {
        if UNBUILT.contains(&name.as_str()) || args::variable(&name).is_ok() {
            return Err(format!(
                "algorithm '{name}' is not supported by weir yet (only HS256, HS384, HS512 and none)"
            ));
        }
        return Err(format!("unknown JWT algorithm: {name}"));
    };
    let key = match args::variable(&key) {
        Ok((scope, name)) => Arg::Var(scope, name),
        Err(_) => Arg::Text(args::text(args, 1).unwrap_or_default().to_vec()),
    };
    *args = vec![Arg::Name((*digest).to_owned()), key];
    Ok(())
}

fn verify<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let [Arg::Name(digest), key] = args else { return None };
    let key = match key {
        Arg::Text(key) => key.clone(),
        Arg::Var(scope, name) => Sample::from_value(call.facts.var(*scope, name)?).into_bytes().into_owned(),
        _ => return None,
    };
    Some(Sample::Int(check(digest, &key, &sample.into_bytes())))
}

fn check(digest: &str, key: &[u8], token: &[u8]) -> i64 {
    let parts: Vec<&[u8]> = token.split(|b| *b == b'.').collect();
    let (signed, signature) = match parts.as_slice() {
        [header, payload, signature] => (header.len() + 1 + payload.len(), *signature),
        [_, _] => (token.len(), &[][..]),
        _ => return NO_TOKEN,
    };
    if digest.is_empty() {
        return if signature.is_empty() { VERIFIED } else { FAILED };
    }
    let Some(given) = super::encoding::base64_decode(signature, true).filter(|s| !s.is_empty()) else {
        return NO_TOKEN;
    };
    let made = super::hash::hmac_of(digest, key, token.get(..signed).unwrap_or_default());
    let same = made.is_some_and(|made| crate::expr::credentials::equal(&made, &given));
    if same { VERIFIED } else { FAILED }
}
