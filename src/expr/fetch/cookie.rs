//! Cookies of the request (`Cookie`) and of the response (`Set-Cookie`).

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{self, OPTIONAL_NAME};
use crate::expr::sample::{Sample, Type, wrapping_int};

pub(super) const ROWS: &[Fetch] = &[
    row(
        "req.cook",
        OPTIONAL_NAME,
        Type::Str,
        Needs::Request,
        Eval::Each { one: last, each },
        "Value of the request cookie.",
    )
    .also(&["cook"]),
    row(
        "cookie",
        OPTIONAL_NAME,
        Type::Str,
        Needs::Either,
        Eval::Each { one: last, each },
        "Value of the cookie of the message the rule is about.",
    ),
    row(
        "res.cook",
        OPTIONAL_NAME,
        Type::Str,
        Needs::Response,
        Eval::Each { one: last, each },
        "Value of the cookie the response sets.",
    )
    .also(&["scook"]),
    row(
        "req.cook_val",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Request,
        Eval::Each { one: |c| last(c).map(number), each: |c, s| each(c, &mut |v| s(number(v))) },
        "The request cookie as an integer.",
    )
    .also(&["cook_val"]),
    row(
        "res.cook_val",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Response,
        Eval::Each { one: |c| last(c).map(number), each: |c, s| each(c, &mut |v| s(number(v))) },
        "The response cookie as an integer.",
    )
    .also(&["scook_val"]),
    row(
        "req.cook_cnt",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Request,
        Eval::One(count),
        "How many request cookies have the name.",
    )
    .also(&["cook_cnt"]),
    row(
        "res.cook_cnt",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Response,
        Eval::One(count),
        "How many response cookies have the name.",
    )
    .also(&["scook_cnt"]),
    row(
        "req.cook_names",
        OPTIONAL_NAME,
        Type::Str,
        Needs::Request,
        Eval::One(names),
        "Names of the request's cookies, joined by the delimiter given (a comma).",
    ),
    row(
        "res.cook_names",
        OPTIONAL_NAME,
        Type::Str,
        Needs::Response,
        Eval::One(names),
        "Names of the response's cookies, joined by the delimiter given (a comma).",
    ),
];

/// The last cookie of the name; without a name the first of all.
fn last<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let mut found = None;
    let any = args::text(call.args, 0).is_none();
    for_each(call, &mut |name_matches, _, value| {
        if name_matches {
            found = Some(Sample::text(value));
        }
        any
    });
    found
}

/// An empty value is 0.
fn number(sample: Sample<'_>) -> Sample<'_> {
    Sample::Int(wrapping_int(&sample.into_text()))
}

fn each<'a>(call: &Call<'a>, stop: &mut dyn FnMut(Sample<'a>) -> bool) {
    for_each(call, &mut |name_matches, _, value| name_matches && stop(Sample::text(value)));
}

fn count<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let mut n = 0;
    for_each(call, &mut |name_matches, _, _| {
        n += i64::from(name_matches);
        false
    });
    Some(Sample::Int(n))
}

fn names<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let delimiter = args::text(call.args, 0).unwrap_or(b",");
    let mut out = Vec::new();
    for_each(call, &mut |_, name, _| {
        if !out.is_empty() {
            out.extend_from_slice(delimiter);
        }
        out.extend_from_slice(name);
        false
    });
    Some(Sample::owned(out))
}

/// Shows every cookie of the message until `stop` answers true: does its name match, its name, its value.
fn for_each<'a>(call: &Call<'a>, stop: &mut dyn FnMut(bool, &'a [u8], &'a [u8]) -> bool) {
    let wanted = args::text(call.args, 0);
    let response = call.on_response();
    let head = if response { call.facts.response() } else { call.facts.request() };
    let Some(head) = head else { return };
    let field: &[u8] = if response { b"set-cookie" } else { b"cookie" };
    for line in head.values(field) {
        for pair in cookies(line, response) {
            let (name, value) = pair;
            if stop(wanted.is_none_or(|w| w == name), name, value) {
                return;
            }
        }
    }
}

/// `a=1; b=2` cut into pairs, by semicolons and commas outside of quotes. Names that begin with a `$` are attributes of the cookie before
/// them (RFC 2965). In `Set-Cookie` only the first pair is a cookie, the rest are its attributes.
pub(crate) fn cookies(line: &[u8], response: bool) -> impl Iterator<Item = (&[u8], &[u8])> {
    let most = if response { 1 } else { usize::MAX };
    let mut rest = Some(line);
    let pieces = std::iter::from_fn(move || {
        let line = rest?;
        let name_end = line.iter().position(|b| matches!(b, b'=' | b';' | b',')).unwrap_or(line.len());
        let value_end = name_end + unquoted_end(line.get(name_end..).unwrap_or_default());
        rest = line.get(value_end + 1..);
        Some((trim(line.get(..name_end)?), line.get(name_end..value_end)?))
    });
    let pairs = pieces.take(most).filter(|(name, _)| name.first() != Some(&b'$'));
    pairs.filter_map(|(name, value)| Some((name, trim(value.strip_prefix(b"=")?))))
}

/// Where the first semicolon or comma is that stands in no quotes.
fn unquoted_end(text: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'"' => quoted = !quoted,
            b'\\' if quoted => escaped = true,
            b';' | b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}
