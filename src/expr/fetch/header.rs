//! Header fields of the request or the response.
//!
//! `hdr` splits a field at commas outside quotes; `fhdr` takes whole field lines. An ACL tries every value; an expression
//! takes the last, or the occurrence asked for (from 1; negative counts from the end).

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{self, Arg, Kind, OPTIONAL_NAME, Spec};
use crate::expr::sample::{Sample, Type, parse_addr, wrapping_int};
use crate::message::Head;

const FIELD: Spec = Spec { required: 0, kinds: &[Kind::Text, Kind::Int] };

/// HAProxy remembers this many occurrences from the end; further ones can't be asked for.
const MAX_BACKWARD: i64 = 10;

pub(super) const ROWS: &[Fetch] = &[
    row(
        "req.hdr",
        FIELD,
        Type::Str,
        Needs::Request,
        Eval::Each { one: |c| pick(c, true), each: |c, s| each(c, true, s) },
        "Value of the named request header, split at commas.",
    )
    .prepared(prepare),
    row(
        "hdr",
        FIELD,
        Type::Str,
        Needs::Either,
        Eval::Each { one: |c| pick(c, true), each: |c, s| each(c, true, s) },
        "Value of the named header of the message the rule is about, split at commas.",
    )
    .prepared(prepare),
    row(
        "res.hdr",
        FIELD,
        Type::Str,
        Needs::Response,
        Eval::Each { one: |c| pick(c, true), each: |c, s| each(c, true, s) },
        "Value of the named response header, split at commas.",
    )
    .also(&["shdr"])
    .prepared(prepare),
    row(
        "req.fhdr",
        FIELD,
        Type::Str,
        Needs::Request,
        Eval::Each { one: |c| pick(c, false), each: |c, s| each(c, false, s) },
        "Whole line of the named request header.",
    )
    .prepared(prepare),
    row(
        "res.fhdr",
        FIELD,
        Type::Str,
        Needs::Response,
        Eval::Each { one: |c| pick(c, false), each: |c, s| each(c, false, s) },
        "Whole line of the named response header.",
    )
    .prepared(prepare),
    row(
        "req.hdr_val",
        FIELD,
        Type::Int,
        Needs::Request,
        Eval::Each {
            one: |c| number(pick(c, true)),
            each: |c, s| each(c, true, &mut |v| number(Some(v)).is_some_and(&mut *s)),
        },
        "The header's value as an integer.",
    )
    .also(&["hdr_val"])
    .prepared(prepare),
    row(
        "res.hdr_val",
        FIELD,
        Type::Int,
        Needs::Response,
        Eval::Each {
            one: |c| number(pick(c, true)),
            each: |c, s| each(c, true, &mut |v| number(Some(v)).is_some_and(&mut *s)),
        },
        "The header's value as an integer.",
    )
    .also(&["shdr_val"])
    .prepared(prepare),
    row(
        "req.hdr_ip",
        FIELD,
        Type::Addr,
        Needs::Request,
        Eval::Each {
            one: |c| address(pick(c, true)),
            each: |c, s| each(c, true, &mut |v| address(Some(v)).is_some_and(&mut *s)),
        },
        "The header's value as an address.",
    )
    .also(&["hdr_ip"])
    .prepared(prepare),
    row(
        "res.hdr_ip",
        FIELD,
        Type::Addr,
        Needs::Response,
        Eval::Each {
            one: |c| address(pick(c, true)),
            each: |c, s| each(c, true, &mut |v| address(Some(v)).is_some_and(&mut *s)),
        },
        "The header's value as an address.",
    )
    .also(&["shdr_ip"])
    .prepared(prepare),
    row(
        "req.hdr_cnt",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Request,
        Eval::One(|c| count(c, true)),
        "How many values the request header has; of all headers without a name.",
    )
    .also(&["hdr_cnt"])
    .prepared(prepare),
    row(
        "res.hdr_cnt",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Response,
        Eval::One(|c| count(c, true)),
        "How many values the response header has.",
    )
    .also(&["shdr_cnt"])
    .prepared(prepare),
    row(
        "req.fhdr_cnt",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Request,
        Eval::One(|c| count(c, false)),
        "How many lines the request header has.",
    )
    .prepared(prepare),
    row(
        "res.fhdr_cnt",
        OPTIONAL_NAME,
        Type::Int,
        Needs::Response,
        Eval::One(|c| count(c, false)),
        "How many lines the response header has.",
    )
    .prepared(prepare),
    row(
        "req.hdr_names",
        OPTIONAL_NAME,
        Type::Str,
        Needs::Request,
        Eval::One(names),
        "Names of the request's headers, joined by the delimiter given (a comma).",
    ),
    row(
        "res.hdr_names",
        OPTIONAL_NAME,
        Type::Str,
        Needs::Response,
        Eval::One(names),
        "Names of the response's headers, joined by the delimiter given (a comma).",
    ),
    row(
        "req.hdrs",
        args::NONE,
        Type::Bin,
        Needs::Request,
        Eval::One(all),
        "All request headers as sent, ending with an empty line.",
    ),
    row(
        "res.hdrs",
        args::NONE,
        Type::Bin,
        Needs::Response,
        Eval::One(all),
        "All response headers as sent, ending with an empty line.",
    ),
    row(
        "req.hdrs_bin",
        args::NONE,
        Type::Bin,
        Needs::Request,
        Eval::One(all_counted),
        "All request headers: each name and value after its length, as SPOE writes lengths; two lengths of 0 end them.",
    ),
    row(
        "res.hdrs_bin",
        args::NONE,
        Type::Bin,
        Needs::Response,
        Eval::One(all_counted),
        "All response headers, likewise.",
    ),
];

fn prepare(args: &mut Vec<Arg>) -> Result<(), String> {
    if let Some(Arg::Text(name)) = args.first_mut() {
        name.make_ascii_lowercase();
    }
    if args::int(args, 1).is_some_and(|n| n < -MAX_BACKWARD) {
        return Err(format!("occurrence must be >= -{MAX_BACKWARD}"));
    }
    Ok(())
}

/// The head the fetch reads, by the direction of the rule.
fn head<'a>(call: &Call<'a>) -> Option<&'a Head> {
    if call.on_response() { call.facts.response() } else { call.facts.request() }
}

fn pick<'a>(call: &Call<'a>, split: bool) -> Option<Sample<'a>> {
    let head = head(call)?;
    let name = args::text(call.args, 0)?;
    let value = match args::int(call.args, 1).unwrap_or(-1) {
        0 => last(head, name, split, 0),
        n if n > 0 => values(head, name, split).nth(usize::try_from(n - 1).ok()?),
        n => last(head, name, split, usize::try_from(-n - 1).ok()?),
    };
    value.map(Sample::text)
}

/// The value `back` places before the last.
fn last<'a>(head: &'a Head, name: &'a [u8], split: bool, back: usize) -> Option<&'a [u8]> {
    let total = values(head, name, split).count();
    values(head, name, split).nth(total.checked_sub(back + 1)?)
}

fn each<'a>(call: &Call<'a>, split: bool, stop: &mut dyn FnMut(Sample<'a>) -> bool) {
    if args::int(call.args, 1).is_some_and(|n| n != 0) {
        if let Some(sample) = pick(call, split) {
            stop(sample);
        }
        return;
    }
    let (Some(head), Some(name)) = (head(call), args::text(call.args, 0)) else { return };
    for value in values(head, name, split) {
        if stop(Sample::text(value)) {
            return;
        }
    }
}

/// Every value under `name`, in order.
pub(crate) fn values<'a>(head: &'a Head, name: &'a [u8], split: bool) -> impl Iterator<Item = &'a [u8]> + 'a {
    head.values(name).flat_map(move |line| Values { rest: Some(line), split })
}

/// Cuts a field's value at commas outside double quotes.
struct Values<'a> {
    rest: Option<&'a [u8]>,
    split: bool,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let end = if self.split { comma(rest) } else { None };
        let (value, after) = match end {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
            None => (rest, None),
        };
        self.rest = after;
        Some(trim(value))
    }
}

fn comma(text: &[u8]) -> Option<usize> {
    let first = memchr::memchr(b',', text)?;
    if memchr::memchr(b'"', text.get(..first)?).is_none() {
        return Some(first);
    }
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|b| {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return true,
            _ => {}
        }
        false
    })
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = text.iter().position(|b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !blank(b)).map_or(start, |p| p + 1);
    text.get(start..end).unwrap_or_default()
}

fn number(sample: Option<Sample<'_>>) -> Option<Sample<'_>> {
    match sample? {
        Sample::Str(s) => Some(Sample::Int(wrapping_int(&s))),
        _ => None,
    }
}

/// An address, possibly followed by a port (`1.2.3.4:80`, `[::1]:80`).
fn address(sample: Option<Sample<'_>>) -> Option<Sample<'_>> {
    let Sample::Str(text) = sample? else { return None };
    let text = text.as_ref();
    let without_port = || match memchr::memrchr(b':', text) {
        Some(colon) if text.iter().filter(|b| **b == b':').count() == 1 => text.get(..colon),
        _ => None,
    };
    let bracketed = || text.strip_prefix(b"[").and_then(|t| t.get(..memchr::memchr(b']', t)?));
    let addr = parse_addr(text)
        .or_else(|| parse_addr(without_port()?).filter(std::net::IpAddr::is_ipv4))
        .or_else(|| parse_addr(bracketed()?));
    addr.map(Sample::Addr)
}

fn count<'a>(call: &Call<'a>, split: bool) -> Option<Sample<'a>> {
    let head = head(call)?;
    let n = match args::text(call.args, 0) {
        Some(name) => values(head, name, split).count(),
        None => head.fields().map(|(_, v)| Values { rest: Some(v), split }.count()).sum(),
    };
    i64::try_from(n).ok().map(Sample::Int)
}

fn names<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let head = head(call)?;
    let delimiter = args::text(call.args, 0).unwrap_or(b",");
    let mut out = Vec::new();
    for (name, _) in head.fields() {
        if !out.is_empty() {
            out.extend_from_slice(delimiter);
        }
        out.extend_from_slice(name);
    }
    Some(Sample::owned(out))
}

fn all<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let mut out = Vec::new();
    for (name, value) in head(call)?.fields() {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    Some(Sample::Bin(out.into()))
}

fn all_counted<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let mut out = Vec::new();
    for (name, value) in head(call)?.fields() {
        for part in [name, value] {
            write_length(part.len(), &mut out);
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(&[0, 0]);
    Some(Sample::Bin(out.into()))
}

/// SPOE's integers of variable length: below 240 one byte; else four bits in the first byte and seven in each further one.
fn write_length(length: usize, out: &mut Vec<u8>) {
    if length < 240 {
        out.push(length as u8);
        return;
    }
    out.push(length as u8 | 0xf0);
    let mut rest = (length - 240) >> 4;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest = (rest - 128) >> 7;
    }
    out.push(rest as u8);
}
