//! Cookies of the request (`Cookie`) and of the response (`Set-Cookie`).

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{self, OPTIONAL_NAME};
use crate::expr::sample::{Sample, Type};

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
        Eval::Each {
            one: |c| last(c)?.cast(Type::Int),
            each: |c, s| each(c, &mut |v| v.cast(Type::Int).is_some_and(&mut *s)),
        },
        "The request cookie as an integer.",
    )
    .also(&["cook_val"]),
    row(
        "res.cook_val",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Response,
        Eval::Each {
            one: |c| last(c)?.cast(Type::Int),
            each: |c, s| each(c, &mut |v| v.cast(Type::Int).is_some_and(&mut *s)),
        },
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

fn last<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let mut found = None;
    for_each(call, &mut |name_matches, _, value| {
        if name_matches {
            found = Some(Sample::text(value));
        }
        false
    });
    found
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

/// `a=1; b=2` cut into pairs. In `Set-Cookie` only the first pair is a cookie, the rest are its attributes.
pub(crate) fn cookies(line: &[u8], response: bool) -> impl Iterator<Item = (&[u8], &[u8])> {
    let most = if response { 1 } else { usize::MAX };
    line.split(|b| *b == b';').take(most).filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        Some((trim(pair.get(..at)?), trim(pair.get(at + 1..)?)))
    })
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}
