//! The request line: method, target and its parts, version; and the response's status.

use super::{Call, Eval, Fetch, Needs, row};
use crate::balance::hash::{Function, Hashing};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::sample::{Sample, Type, leading_int, parse_addr, wrapping_int};
use crate::message::{Head, Version};
use std::borrow::Cow;

const PARAM: Spec = Spec { required: 0, kinds: &[Kind::Text, Kind::Text, Kind::Text] };

pub(super) const ROWS: &[Fetch] = &[
    row("method", NONE, Type::Method, Needs::RequestKept, Eval::One(method), "The method."),
    row("path", NONE, Type::Str, Needs::Request, Eval::One(|c| Some(Sample::text(path_of(c.facts.request()?.target())?))), "The path, from the first `/` to the `?`."),
    row("pathq", NONE, Type::Str, Needs::Request, Eval::One(|c| Some(Sample::text(path_and_query(c.facts.request()?.target())?))), "The path and the query string."),
    row("query", args::OPTIONAL_NAME, Type::Str, Needs::Request, Eval::One(query), "What follows the first `?`; with the argument `with_qm`, the `?` too.").prepared(prepare_query),
    row("url", NONE, Type::Str, Needs::Request, Eval::One(|c| Some(Sample::text(c.facts.request()?.target()))), "The target as it stands in the request line."),
    row("url_ip", NONE, Type::Addr, Needs::Request, Eval::One(|c| Some(Sample::Addr(url_host(c.facts.request()?.target())?.0))), "Address in the authority of an absolute target."),
    row("url_port", NONE, Type::Int, Needs::Request, Eval::One(|c| Some(Sample::Int(url_host(c.facts.request()?.target())?.1.into()))), "Port in the authority of an absolute target."),
    row("url_param", PARAM, Type::Str, Needs::Request, Eval::Each { one: param, each: each_param }, "Value of the named parameter of the query string; the second argument is another delimiter than `?`, the third `i` ignores case.").also(&["urlp"]).prepared(prepare_param),
    row("urlp_val", PARAM, Type::Int, Needs::Request, Eval::Each { one: param_int, each: |c, s| each_param(c, &mut |v| number(v).is_some_and(&mut *s)) }, "The parameter as an integer.").also(&["url_param_val"]).prepared(prepare_param),
    row("urlp_ip", PARAM, Type::Addr, Needs::Request, Eval::Each { one: param_ip, each: |c, s| each_param(c, &mut |v| v.cast(Type::Addr).is_some_and(&mut *s)) }, "The parameter as an address.").also(&["url_param_ip"]).prepared(prepare_param),
    row("base", NONE, Type::Str, Needs::Request, Eval::One(|c| base(c.facts.request()?, false)), "First Host header followed by the path."),
    row("baseq", NONE, Type::Str, Needs::Request, Eval::One(|c| base(c.facts.request()?, true)), "First Host header followed by path and query."),
    row("base32", NONE, Type::Int, Needs::Request, Eval::One(|c| Some(Sample::Int(spread(host_of(c.facts.request()?), path_of(c.facts.request()?.target()).unwrap_or_default()).into()))), "32-bit hash of `base`."),
    row("base32+src", NONE, Type::Bin, Needs::Request, Eval::One(|c| with_source(c, spread(host_of(c.facts.request()?), path_of(c.facts.request()?.target()).unwrap_or_default()))), "`base32` followed by the client's address, in binary."),
    row("url32", NONE, Type::Int, Needs::Request, Eval::One(|c| Some(Sample::Int(spread(host_of(c.facts.request()?), path_and_query(c.facts.request()?.target()).unwrap_or_default()).into()))), "32-bit hash of the first Host header, the path and the query."),
    row("url32+src", NONE, Type::Bin, Needs::Request, Eval::One(|c| with_source(c, spread(host_of(c.facts.request()?), path_and_query(c.facts.request()?.target()).unwrap_or_default()))), "`url32` followed by the client's address, in binary."),
    row("http_first_req", NONE, Type::Bool, Needs::RequestKept, Eval::One(|c| Some(Sample::Bool(c.facts.is_first_request()))), "Whether this is the first request of its connection."),
    row("req.ver", NONE, Type::Str, Needs::RequestKept, Eval::One(request_version), "The request's version: `1.1`.").also(&["req_ver"]),
    row("res.ver", NONE, Type::Str, Needs::ResponseKept, Eval::One(|c| Some(version(c.facts.response()?.version()))), "The response's version.").also(&["resp_ver"]),
    row("status", NONE, Type::Int, Needs::ResponseKept, Eval::One(status), "Status the server or a rule answered."),
];

/// The method now, else the one received.
fn method<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    match call.facts.request() {
        Some(head) => Some(Sample::text(head.method_bytes())),
        None => call
            .facts
            .log()
            .request_line
            .split(|b| *b == b' ')
            .next()
            .filter(|m| !m.is_empty())
            .map(Sample::text),
    }
}

fn request_version<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    match call.facts.request() {
        Some(head) => Some(version(head.version())),
        None => call
            .facts
            .log()
            .request_line
            .rsplit(|b| *b == b'/')
            .next()
            .filter(|v| v.len() == 3)
            .map(Sample::text),
    }
}

fn prepare_query(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::text(args, 0) {
        None | Some(b"with_qm") => Ok(()),
        Some(other) => {
            Err(format!("unknown option '{}': only 'with_qm' is known", String::from_utf8_lossy(other)))
        }
    }
}

fn query<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let query = query_of(call.facts.request()?.target())?;
    if args::text(call.args, 0).is_none() {
        return Some(Sample::text(query));
    }
    // An empty query string has no `?` to show.
    let shown = if query.is_empty() { Vec::new() } else { [b"?", query].concat() };
    Some(Sample::owned(shown))
}

fn status<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    match call.facts.response() {
        Some(head) => Some(Sample::Int(head.status().into())),
        None if call.site == crate::expr::Site::Log => Some(Sample::Int(call.facts.log().status.into())),
        None => None,
    }
}

fn version(v: Version) -> Sample<'static> {
    match (v.major, v.minor) {
        (1, 1) => Sample::text(b"1.1"),
        (1, 0) => Sample::text(b"1.0"),
        (2, 0) => Sample::text(b"2.0"),
        (3, 0) => Sample::text(b"3.0"),
        (major, minor) => Sample::owned(format!("{major}.{minor}").into_bytes()),
    }
}

/// From the first slash that is not the authority's; `None` for `*` and `host:port`.
pub(crate) fn path_and_query(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return Some(target);
    }
    let after_scheme = memchr::memmem::find(target, b"://")? + 3;
    let rest = target.get(after_scheme..)?;
    let slash = memchr::memchr2(b'/', b'?', rest).filter(|i| rest.get(*i) == Some(&b'/'))?;
    rest.get(slash..)
}

pub(crate) fn path_of(target: &[u8]) -> Option<&[u8]> {
    let full = path_and_query(target)?;
    let end = memchr::memchr(b'?', full).unwrap_or(full.len());
    full.get(..end)
}

pub(crate) fn query_of(target: &[u8]) -> Option<&[u8]> {
    let mark = memchr::memchr(b'?', target)?;
    target.get(mark + 1..)
}

/// Address and port of `scheme://a.b.c.d:port/…`.
fn url_host(target: &[u8]) -> Option<(std::net::IpAddr, u16)> {
    let at = memchr::memmem::find(target, b"://")?;
    let secure = target.get(..at).is_some_and(|s| s.eq_ignore_ascii_case(b"https"));
    let rest = target.get(at + 3..)?;
    let authority = rest.get(..memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len()))?;
    let (host, port) = match authority.strip_prefix(b"[") {
        Some(v6) => {
            let close = memchr::memchr(b']', v6)?;
            (v6.get(..close)?, v6.get(close + 1..)?.strip_prefix(b":"))
        }
        None => match memchr::memrchr(b':', authority) {
            Some(colon) => (authority.get(..colon)?, authority.get(colon + 1..)),
            None => (authority, None),
        },
    };
    let default = if secure { 443 } else { 80 };
    let port = port.map_or(default, |p| u16::try_from(leading_int(p)).unwrap_or(default));
    Some((parse_addr(host)?, port))
}

fn base<'a>(head: &'a Head, with_query: bool) -> Option<Sample<'a>> {
    let target = head.target();
    let path = if with_query { path_and_query(target) } else { path_of(target) };
    let host = head.first(b"host");
    match (host, path) {
        (None | Some([]), Some(path)) => Some(Sample::text(path)),
        (Some(host), path) => {
            let mut text = Vec::with_capacity(host.len() + path.map_or(0, <[u8]>::len));
            text.extend_from_slice(host);
            text.extend_from_slice(path.unwrap_or_default());
            Some(Sample::owned(text))
        }
        (None, None) => None,
    }
}

fn host_of(head: &Head) -> &[u8] {
    head.first(b"host").unwrap_or_default()
}

/// The hash `hash-type sdbm avalanche` computes, over host and path.
fn spread(host: &[u8], path: &[u8]) -> u32 {
    Hashing { function: Function::Sdbm, avalanche: true }.bytes(&[host, path].concat())
}

fn with_source<'a>(call: &Call<'a>, hash: u32) -> Option<Sample<'a>> {
    let mut out = hash.to_be_bytes().to_vec();
    match call.facts.conn().src?.ip() {
        std::net::IpAddr::V4(a) => out.extend(a.octets()),
        std::net::IpAddr::V6(a) => out.extend(a.octets()),
    }
    Some(Sample::Bin(out.into()))
}

fn prepare_param(args: &mut Vec<Arg>) -> Result<(), String> {
    if args::text(args, 1).is_some_and(|d| d.len() > 1) {
        return Err("only one delimiter is supported".to_owned());
    }
    if let Some(flag) = args::text(args, 2).filter(|f| *f != b"i") {
        return Err(format!("unknown flag '{}': only 'i' is known", String::from_utf8_lossy(flag)));
    }
    Ok(())
}

fn param<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let mut first = None;
    each_param(call, &mut |sample| {
        first = Some(sample);
        true
    });
    first
}

fn number(sample: Sample<'_>) -> Option<Sample<'_>> {
    Some(Sample::Int(wrapping_int(&sample.into_text())))
}

fn param_int<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    number(param(call)?)
}

fn param_ip<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    param(call)?.cast(Type::Addr)
}

/// Parameters are separated by `&` or `;`; with another delimiter than `?` they are looked for in the path.
fn each_param<'a>(call: &Call<'a>, stop: &mut dyn FnMut(Sample<'a>) -> bool) {
    let Some(head) = call.facts.request() else { return };
    let delimiter = args::text(call.args, 1).and_then(|d| d.first().copied()).unwrap_or(b'?');
    let ignore_case = args::text(call.args, 2).is_some();
    let name = args::text(call.args, 0);
    let target = head.target();
    let Some(list) = memchr::memchr(delimiter, target).and_then(|at| target.get(at + 1..)) else { return };
    for value in parameters(list, name, delimiter, ignore_case) {
        if stop(Sample::Str(Cow::Borrowed(value))) {
            return;
        }
    }
}

/// Values of `name` (of every parameter without a name) in `a=1&b=2`.
pub(crate) fn parameters<'a>(
    list: &'a [u8],
    name: Option<&'a [u8]>,
    delimiter: u8,
    ignore_case: bool,
) -> impl Iterator<Item = &'a [u8]> {
    let split = move |b: &u8| matches!(b, b'&' | b';') || *b == delimiter;
    list.split(split).filter_map(move |pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (key, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        let same = name.is_none_or(|n| if ignore_case { n.eq_ignore_ascii_case(key) } else { n == key });
        same.then_some(value)
    })
}
