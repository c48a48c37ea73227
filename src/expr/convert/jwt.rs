//! JSON web tokens: three parts in base64url, a header, a payload and a signature.

use super::{Converter, Step, jwt_verify, row};
use crate::expr::args::{self, Arg, Kind, Spec};
use crate::expr::sample::{Sample, Type};

const QUERY: Spec = Spec { required: 0, kinds: &[Kind::Text, Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("jwt_header_query", QUERY, Type::Bin, Type::Any, Step::Pure(|a, s| query(a, &s.into_bytes(), 0)), "Header of a JSON web token, or what `json_query` with the same arguments finds in it.").prepared(prepare_query),
    row("jwt_payload_query", QUERY, Type::Bin, Type::Any, Step::Pure(|a, s| query(a, &s.into_bytes(), 1)), "Payload of a JSON web token, or what `json_query` with the same arguments finds in it.").prepared(prepare_query),
    row("jwt_verify", Spec { required: 2, kinds: &[Kind::Text, Kind::Text] }, Type::Bin, Type::Int, Step::Reading(jwt_verify::verify), "Whether the token's signature is right: 1 or 0, -1 where the algorithm is unknown, -3 where it is no token, -5 where there is no key. The algorithm, by name or in a variable (`none`; `HS256` and its like with a secret, a text or a variable; `RS256`, `PS256`, `ES256` and their like with the file of a public key or certificate in PEM, read at the start; a token that says `HS256` is never verified by the name of such a file).").prepared(jwt_verify::prepare),
];

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
