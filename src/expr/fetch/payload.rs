//! Bytes received and not yet forwarded, and the body of an HTTP request or response.

use super::request::parameters;
use super::{Call, Eval, Fetch, Fetched, Needs, row};
use crate::expr::args::{self, Arg, Kind, NONE, OPTIONAL_NAME, Spec};
use crate::expr::facts::Payload;
use crate::expr::sample::{Sample, Type, leading_int};

const BLOCK: Spec = Spec { required: 2, kinds: &[Kind::Int, Kind::Int] };
const LENGTH_VALUE: Spec = Spec { required: 2, kinds: &[Kind::Int, Kind::Int, Kind::Text] };
const PARAM: Spec = Spec { required: 0, kinds: &[Kind::Text, Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    row("req.len", NONE, Type::Int, Needs::RequestBytes, Eval::Content(|c| length(c.facts.request_payload())), "Bytes in the request buffer.").also(&["req_len"]),
    row("res.len", NONE, Type::Int, Needs::ResponseBytes, Eval::Content(|c| length(c.facts.response_payload())), "Bytes in the response buffer."),
    row("req.payload", BLOCK, Type::Bin, Needs::RequestBytes, Eval::Content(|c| block(c, c.facts.request_payload())), "Block of the request buffer: offset, length (0: to its end)."),
    row("res.payload", BLOCK, Type::Bin, Needs::ResponseBytes, Eval::Content(|c| block(c, c.facts.response_payload())), "Block of the response buffer: offset, length (0: to its end)."),
    row("payload", BLOCK, Type::Bin, Needs::Either, Eval::Content(|c| block(c, directed(c))), "`req.payload` or `res.payload`, by the direction of the rule."),
    row("req.payload_lv", LENGTH_VALUE, Type::Bin, Needs::RequestBytes, Eval::Content(|c| counted(c, c.facts.request_payload())), "Block whose length stands in the buffer: offset of the length, its size, and where the block starts (`+n`/`-n`: from after the length)."),
    row("res.payload_lv", LENGTH_VALUE, Type::Bin, Needs::ResponseBytes, Eval::Content(|c| counted(c, c.facts.response_payload())), "As `req.payload_lv`, in the response buffer."),
    row("payload_lv", LENGTH_VALUE, Type::Bin, Needs::Either, Eval::Content(|c| counted(c, directed(c))), "`req.payload_lv` or `res.payload_lv`, by the direction of the rule."),
    row("req.proto_http", NONE, Type::Bool, Needs::RequestKept, Eval::Content(is_http), "Whether the request parses as HTTP.").also(&["req_proto_http"]),
    row("wait_end", NONE, Type::Bool, Needs::Internal, Eval::Content(wait_end), "True once no more bytes are waited for."),
    row("req.rdp_cookie", OPTIONAL_NAME, Type::Str, Needs::RequestBytes, Eval::Content(|c| rdp(c, false)), "Value of the cookie in an RDP connection request.").also(&["rdp_cookie"]),
    row("req.rdp_cookie_cnt", OPTIONAL_NAME, Type::Int, Needs::RequestBytes, Eval::Content(|c| rdp(c, true)), "1 when an RDP connection request has the cookie.").also(&["rdp_cookie_cnt"]),
    row("req.body", NONE, Type::Bin, Needs::Request, Eval::One(|c| Some(Sample::Bin(c.facts.request_payload()?.bytes.into()))), "What there is of the request's body."),
    row("req.body_len", NONE, Type::Int, Needs::Request, Eval::One(|c| size(c.facts.request_payload()?.bytes.len())), "Bytes there are of the request's body."),
    row("req.body_size", NONE, Type::Int, Needs::Request, Eval::One(|c| announced(c, true)), "Announced length of the request's body, else what there is of it."),
    row("req.body_param", PARAM, Type::Str, Needs::Request, Eval::Each { one: first_param, each: each_param }, "Parameter of a form body; the second argument `i` ignores case.").prepared(prepare_param),
    row("res.body", NONE, Type::Bin, Needs::Response, Eval::One(|c| Some(Sample::Bin(c.facts.response_payload()?.bytes.into()))), "What there is of the response's body."),
    row("res.body_len", NONE, Type::Int, Needs::Response, Eval::One(|c| size(c.facts.response_payload()?.bytes.len())), "Bytes there are of the response's body."),
    row("res.body_size", NONE, Type::Int, Needs::Response, Eval::One(|c| announced(c, false)), "Announced length of the response's body, else what there is of it."),
];

fn size(n: usize) -> Option<Sample<'static>> {
    i64::try_from(n).ok().map(Sample::Int)
}

fn directed<'a>(call: &Call<'a>) -> Option<Payload<'a>> {
    if call.on_response() { call.facts.response_payload() } else { call.facts.request_payload() }
}

fn length(payload: Option<Payload<'_>>) -> Fetched<'_> {
    match payload {
        Some(p) => Fetched { sample: size(p.bytes.len()), may_change: !p.complete },
        None => Fetched::changing(Some(Sample::Int(0))),
    }
}

fn block<'a>(call: &Call<'a>, payload: Option<Payload<'a>>) -> Fetched<'a> {
    let (offset, len) = (args::int(call.args, 0).unwrap_or(0), args::int(call.args, 1).unwrap_or(0));
    let Some(payload) = payload else { return Fetched::changing(None) };
    let (Ok(offset), Ok(len)) = (usize::try_from(offset), usize::try_from(len)) else {
        return Fetched::settled(None);
    };
    cut(payload, offset, len)
}

/// `len` bytes at `offset`; 0 is all there are, which may become more.
fn cut(payload: Payload<'_>, offset: usize, len: usize) -> Fetched<'_> {
    let may_change = !payload.complete;
    if len == 0 {
        let sample = payload.bytes.get(offset..).map(|b| Sample::Bin(b.into()));
        return Fetched { sample, may_change };
    }
    match payload.bytes.get(offset..offset.saturating_add(len)) {
        Some(bytes) => Fetched::settled(Some(Sample::Bin(bytes.into()))),
        None => Fetched { sample: None, may_change },
    }
}

fn counted<'a>(call: &Call<'a>, payload: Option<Payload<'a>>) -> Fetched<'a> {
    let Some(payload) = payload else { return Fetched::changing(None) };
    let argument = |i: usize| args::int(call.args, i).and_then(|n| usize::try_from(n).ok());
    let (Some(at), Some(digits)) = (argument(0), argument(1)) else { return Fetched::settled(None) };
    let Some(length) = payload.bytes.get(at..at.saturating_add(digits)) else {
        return Fetched { sample: None, may_change: !payload.complete };
    };
    let length = length.iter().fold(0_usize, |n, b| n.wrapping_shl(8) | usize::from(*b));
    let after = at + digits;
    let start = match args::text(call.args, 2) {
        None => Some(after),
        Some(text @ [b'+' | b'-', ..]) => {
            isize::try_from(leading_int(text)).ok().and_then(|n| after.checked_add_signed(n))
        }
        Some(text) => usize::try_from(leading_int(text)).ok(),
    };
    match start {
        Some(_) if length == 0 => Fetched::settled(None),
        Some(start) => cut(payload, start, length),
        None => Fetched::settled(None),
    }
}

fn is_http<'a>(call: &Call<'a>) -> Fetched<'a> {
    if call.facts.request().is_some() {
        return Fetched::settled(Some(Sample::Bool(true)));
    }
    let Some(payload) = call.facts.request_payload() else { return Fetched::changing(None) };
    let mut fields = [httparse::EMPTY_HEADER; 101];
    match httparse::Request::new(&mut fields).parse(payload.bytes) {
        Ok(httparse::Status::Complete(_)) => Fetched::settled(Some(Sample::Bool(true))),
        Ok(httparse::Status::Partial) => Fetched { sample: None, may_change: !payload.complete },
        Err(_) => Fetched::settled(Some(Sample::Bool(false))),
    }
}

fn wait_end<'a>(call: &Call<'a>) -> Fetched<'a> {
    if call.last { Fetched::settled(Some(Sample::Bool(true))) } else { Fetched::changing(None) }
}

fn rdp<'a>(call: &Call<'a>, count: bool) -> Fetched<'a> {
    let Some(payload) = call.facts.request_payload() else { return Fetched::changing(None) };
    let name = args::text(call.args, 0);
    let (found, may_change) = match rdp_cookie(payload.bytes, name) {
        Ok(found) => (found, false),
        Err(Incomplete) => (None, !payload.complete),
    };
    let sample = if count { Some(Sample::Int(found.is_some().into())) } else { found.map(Sample::text) };
    Fetched { sample, may_change }
}

/// More bytes are needed to tell.
#[derive(Debug, PartialEq, Eq)]
pub struct Incomplete;

/// The cookie of an RDP connection request ([MS-RDPBCGR] 2.2.1.1): a TPKT header, an X.224 connection request, then
/// `Cookie: name=value` and CR LF.
///
/// # Errors
/// [`Incomplete`] when the bytes so far could still become one.
pub fn rdp_cookie<'a>(bytes: &'a [u8], name: Option<&[u8]>) -> Result<Option<&'a [u8]>, Incomplete> {
    const HEADERS: usize = 11;
    let Some(headers) = bytes.get(..HEADERS) else { return Err(Incomplete) };
    let [3, 0, high, low, x224_len, 0xe0, 0, 0, _, _, 0] = *headers else { return Ok(None) };
    let total = usize::from(u16::from_be_bytes([high, low]));
    if total < HEADERS || usize::from(x224_len) + 5 != total {
        return Ok(None);
    }
    let Some(body) = bytes.get(HEADERS..total) else { return Err(Incomplete) };
    let Some((label, rest)) = body.split_at_checked(7) else { return Ok(None) };
    if !label.eq_ignore_ascii_case(b"cookie:") {
        return Ok(None);
    }
    let rest = rest.trim_ascii_start();
    let cookie = || {
        let equals = memchr::memchr(b'=', rest)?;
        let end = memchr::memchr2(b'\r', b'\n', rest)?;
        let same = name.is_none_or(|n| rest.get(..equals).is_some_and(|r| r.eq_ignore_ascii_case(n)));
        if same { rest.get(equals + 1..end) } else { None }
    };
    Ok(cookie())
}

fn announced<'a>(call: &Call<'a>, request: bool) -> Option<Sample<'a>> {
    let (head, payload) = if request {
        (call.facts.request(), call.facts.request_payload())
    } else {
        (call.facts.response(), call.facts.response_payload())
    };
    match head?.first(b"content-length") {
        Some(length) => Some(Sample::Int(leading_int(length))),
        None => size(payload.map_or(0, |p| p.bytes.len())),
    }
}

fn prepare_param(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::text(args, 1) {
        None | Some(b"i") => Ok(()),
        Some(other) => Err(format!("unknown flag '{}': only 'i' is known", String::from_utf8_lossy(other))),
    }
}

fn first_param<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let mut first = None;
    each_param(call, &mut |sample| {
        first = Some(sample);
        true
    });
    first
}

fn each_param<'a>(call: &Call<'a>, stop: &mut dyn FnMut(Sample<'a>) -> bool) {
    let Some(payload) = call.facts.request_payload() else { return };
    let ignore_case = args::text(call.args, 1).is_some();
    for value in parameters(payload.bytes, args::text(call.args, 0), b'&', ignore_case) {
        if stop(Sample::text(value)) {
            return;
        }
    }
}
