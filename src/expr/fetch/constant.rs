//! Fetches that always answer the same.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{Arg, Kind, NONE, Spec};
use crate::expr::pattern::unhex;
use crate::expr::sample::{Sample, Type, leading_int};

const TEXT: Spec = Spec { required: 1, kinds: &[Kind::Text] };

pub(super) const ROWS: &[Fetch] = &[
    row("always_true", NONE, Type::Bool, Needs::Nothing, Eval::One(|_| Some(Sample::Bool(true))), "True."),
    row("always_false", NONE, Type::Bool, Needs::Nothing, Eval::One(|_| Some(Sample::Bool(false))), "False."),
    row("str", TEXT, Type::Str, Needs::Nothing, Eval::One(text), "The string given."),
    row(
        "int",
        Spec { required: 1, kinds: &[Kind::Int] },
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| Some(Sample::Int(c.args.first()?.int()?))),
        "The integer given.",
    ),
    row("bool", TEXT, Type::Bool, Needs::Nothing, Eval::One(number_as_bool), "`true` or `false`, as given.")
        .prepared(prepare_bool),
    row("bin", TEXT, Type::Bin, Needs::Nothing, Eval::One(bytes), "The bytes given in hexadecimal.")
        .prepared(prepare_bin),
    row(
        "ipv4",
        Spec { required: 1, kinds: &[Kind::Ipv4] },
        Type::Addr,
        Needs::Nothing,
        Eval::One(address),
        "The IPv4 address given.",
    ),
    row(
        "ipv6",
        Spec { required: 1, kinds: &[Kind::Ipv6] },
        Type::Addr,
        Needs::Nothing,
        Eval::One(address),
        "The IPv6 address given.",
    ),
    row("meth", TEXT, Type::Method, Needs::Nothing, Eval::One(text), "The method given.")
        .prepared(prepare_method),
    row(
        "env",
        TEXT,
        Type::Str,
        Needs::Nothing,
        Eval::One(text_if_set),
        "The environment variable's value when the configuration was read.",
    )
    .prepared_in(prepare_env),
];

fn text<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    call.args.first()?.text().map(Sample::text)
}

fn text_if_set<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    text(call)
}

fn bytes<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    call.args.first()?.text().map(|t| Sample::Bin(t.into()))
}

fn address<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    match call.args.first()? {
        Arg::Addr(a) => Some(Sample::Addr(*a)),
        _ => None,
    }
}

fn number_as_bool<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bool(call.args.first()?.int()? != 0))
}

fn prepare_bool(args: &mut Vec<Arg>) -> Result<(), String> {
    let given = args.first().and_then(Arg::text).unwrap_or_default().to_ascii_lowercase();
    let value = match &*given {
        b"true" => 1,
        b"false" => 0,
        other if !other.is_empty() && other.iter().all(u8::is_ascii_digit) => leading_int(other),
        other => return Err(format!("'{}' is not a boolean", String::from_utf8_lossy(other))),
    };
    *args = vec![Arg::Int(value)];
    Ok(())
}

/// A token, as in HTTP.
fn prepare_method(args: &mut Vec<Arg>) -> Result<(), String> {
    let method = args.first().and_then(Arg::text).unwrap_or_default();
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if method.iter().all(fits) { Ok(()) } else { Err("expects valid method".to_owned()) }
}

fn prepare_bin(args: &mut Vec<Arg>) -> Result<(), String> {
    let text = String::from_utf8_lossy(args.first().and_then(Arg::text).unwrap_or_default()).into_owned();
    let bytes = unhex(&text).ok_or_else(|| format!("'{text}' is not hexadecimal"))?;
    *args = vec![Arg::Text(bytes)];
    Ok(())
}

/// The environment is read once: nothing in it changes while the process runs.
fn prepare_env(args: &mut Vec<Arg>, scope: &crate::expr::Scope) -> Result<(), String> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let name = args.first().and_then(Arg::text).unwrap_or_default();
    let value = match &scope.environment {
        Some(known) => known.get(&String::from_utf8_lossy(name)).map(|value| value.as_bytes().to_vec()),
        None => std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(OsStringExt::into_vec),
    };
    *args = vec![value.map_or(Arg::Absent, Arg::Text)];
    Ok(())
}
