//! Heads read line by line: what httparse refuses but can be read one way only (docs/decisions/07-strict-http1.md).
//!
//! Always taken: control bytes in values, tabs between the parts of a request line, HTTP/1.2 to 1.9. Under
//! `option accept-unsafe-violations-in-http-request|response` also: odd bytes in names and targets, a space before the
//! colon (dropped), folded lines in requests (joined) and HTTP/0.9 (as 1.0). NUL, bare CR and lines without a colon are
//! refused even there.

use super::framing::{self, RequestFraming, ResponseFraming};
use super::{Fault, Limits, Parsed};
use crate::message::{Head, Method, Piece, Version};
use std::ops::Range;

/// Reads a request head line by line.
pub fn parse_request(raw: &[u8], limits: &Limits, head: &mut Head) -> Parsed<RequestFraming> {
    let mut lines = Lines { raw, at: 0 };
    let mut first = lines.next();
    while first.as_ref().is_some_and(Range::is_empty) {
        first = lines.next();
    }
    let Some(first) = first else {
        let begun = raw.get(lines.at..).unwrap_or_default();
        return if limits.relaxed || may_be_request(begun) {
            partial(raw, limits)
        } else {
            Parsed::Refused(Fault::Bad)
        };
    };
    let Some((method, target, version)) = request_line(raw, first.clone()) else {
        return oldest(raw, first, lines.at, limits, head);
    };
    if !super::parse::target_is_clean(raw.get(target.clone()).unwrap_or_default(), limits.relaxed) {
        return Parsed::Refused(Fault::Bad);
    }
    let fields = match field_lines(&mut lines, limits, limits.relaxed) {
        Ok(Some(fields)) => fields,
        Ok(None) => return partial(raw, limits),
        Err(fault) => return Parsed::Refused(fault),
    };
    head.load(raw.get(..lines.at).unwrap_or_default());
    let (method, target) = (piece(head, &method), piece(head, &target));
    head.request_line(method, target, version);
    add_fields(head, &fields);
    Parsed::judged(lines.at, framing::request(head, limits.relaxed, false))
}

/// HTTP/0.9: `GET`, a target, nothing else; it goes on as HTTP/1.0.
fn oldest(
    raw: &[u8],
    line: Range<usize>,
    len: usize,
    limits: &Limits,
    head: &mut Head,
) -> Parsed<RequestFraming> {
    let text = raw.get(line.clone()).unwrap_or_default();
    let target = text.strip_prefix(b"GET ").map(<[u8]>::trim_ascii).unwrap_or_default();
    if !limits.relaxed || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Parsed::Refused(Fault::Bad);
    }
    head.load(raw.get(..len).unwrap_or_default());
    let method = piece(head, &(line.start..line.start + 3));
    let target = piece(head, &trimmed(raw, line.start + 3..line.end));
    head.request_line(method, target, Version::HTTP_10);
    Parsed::judged(len, framing::request(head, limits.relaxed, false))
}

/// Reads a response head line by line.
pub fn parse_response(
    raw: &[u8],
    limits: &Limits,
    method: Method,
    head: &mut Head,
) -> Parsed<ResponseFraming> {
    let mut lines = Lines { raw, at: 0 };
    let Some(first) = lines.next() else { return partial(raw, limits) };
    let Some((version, status, reason)) = status_line(raw, first) else {
        return Parsed::Refused(Fault::Bad);
    };
    let fields = match field_lines(&mut lines, limits, true) {
        Ok(Some(fields)) => fields,
        Ok(None) => return partial(raw, limits),
        Err(fault) => return Parsed::Refused(fault),
    };
    head.load(raw.get(..lines.at).unwrap_or_default());
    let reason = piece(head, &reason);
    head.status_line(version, status, reason);
    add_fields(head, &fields);
    Parsed::judged(lines.at, framing::response(head, method, limits.relaxed))
}

/// Where a name and its value stand.
type Field = (Range<usize>, Range<usize>);

/// The fields up to the empty line; `None` when it has not come yet.
fn field_lines(lines: &mut Lines<'_>, limits: &Limits, folded: bool) -> Result<Option<Vec<Field>>, Fault> {
    let raw = lines.raw;
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let Some(line) = lines.next() else {
            let begun = raw.get(lines.at..).unwrap_or_default();
            return if limits.relaxed || may_be_field(begun) { Ok(None) } else { Err(Fault::Bad) };
        };
        if line.is_empty() {
            break;
        }
        let text = raw.get(line.clone()).unwrap_or_default();
        if text.iter().any(|b| matches!(b, 0 | b'\r')) {
            return Err(Fault::Bad);
        }
        if matches!(text.first(), Some(b' ' | b'\t')) {
            let (_, value) = fields.last_mut().filter(|_| folded).ok_or(Fault::Bad)?;
            value.end = trimmed(raw, line).end.max(value.end);
            continue;
        }
        let colon = text.iter().position(|b| *b == b':').ok_or(Fault::Bad)?;
        let name = line.start..line.start + colon;
        let name = if limits.relaxed { trimmed(raw, name) } else { name };
        let token = || raw.get(name.clone()).unwrap_or_default().iter().all(|b| super::is_token(*b));
        if name.is_empty() || (!limits.relaxed && !token()) {
            return Err(Fault::Bad);
        }
        if fields.len() >= limits.fields {
            return Err(Fault::TooLarge);
        }
        fields.push((name, trimmed(raw, line.start + colon + 1..line.end)));
    }
    if lines.at > limits.head { Err(Fault::TooLarge) } else { Ok(Some(fields)) }
}

fn add_fields(head: &mut Head, fields: &[Field]) {
    for (name, value) in fields {
        let (name, value) = (piece(head, name), piece(head, value));
        head.unfold(value);
        head.field(name, value);
    }
}

/// Lines of a head without their ends; `None` when the next one is not whole.
struct Lines<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Iterator for Lines<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let end = start + memchr::memchr(b'\n', self.raw.get(start..)?)?;
        self.at = end + 1;
        let cr = end > start && self.raw.get(end - 1) == Some(&b'\r');
        Some(start..end - usize::from(cr))
    }
}

/// Can more bytes make a request line of this? What never can is refused at once, as a TLS hello is.
fn may_be_request(begun: &[u8]) -> bool {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let method = begun.split(blank).next().unwrap_or_default();
    let line = begun.strip_suffix(b"\r").unwrap_or(begun);
    method.strip_suffix(b"\r").unwrap_or(method).iter().all(|b| super::is_token(*b))
        && line.iter().all(|b| blank(b) || b.is_ascii_graphic())
}

/// Can more bytes make a field line of this?
fn may_be_field(begun: &[u8]) -> bool {
    let line = begun.strip_suffix(b"\r").unwrap_or(begun);
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    let folded = matches!(line.first(), Some(b' ' | b'\t'));
    (folded || name.iter().all(|b| super::is_token(*b))) && !line.iter().any(|b| matches!(b, 0 | b'\r'))
}

fn partial<F>(raw: &[u8], limits: &Limits) -> Parsed<F> {
    if raw.len() < limits.head { Parsed::Partial } else { Parsed::Refused(Fault::TooLarge) }
}

/// Method, target and version; the target may hold any byte but white space and controls.
fn request_line(raw: &[u8], line: Range<usize>) -> Option<(Range<usize>, Range<usize>, Version)> {
    let text = raw.get(line.clone())?;
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let method = text.iter().position(blank)?;
    let target = method + text.get(method..)?.iter().position(|b| !blank(b))?;
    let target_end = target + text.get(target..)?.iter().position(blank)?;
    let version = target_end + text.get(target_end..)?.iter().position(|b| !blank(b))?;
    let version = text.get(version..)?.strip_prefix(b"HTTP/")?;
    let &[b'1', b'.', minor @ b'0'..=b'9'] = version else { return None };
    let token = text.get(..method)?.iter().all(|b| super::is_token(*b));
    if method == 0 || !token || text.iter().any(|b| matches!(b, 0 | b'\r')) {
        return None;
    }
    let version = Version { major: 1, minor: minor - b'0' };
    let at = |range: Range<usize>| line.start + range.start..line.start + range.end;
    Some((at(0..method), at(target..target_end), version))
}

/// Version, status and reason.
fn status_line(raw: &[u8], line: Range<usize>) -> Option<(Version, u16, Range<usize>)> {
    let text = raw.get(line.clone())?;
    if text.iter().any(|b| matches!(b, 0 | b'\r')) {
        return None;
    }
    let rest = text.strip_prefix(b"HTTP/1.")?;
    let (minor, rest) = rest.split_first().filter(|(minor, _)| minor.is_ascii_digit())?;
    let status = rest.trim_ascii_start();
    let digits = status.get(..3).filter(|d| d.iter().all(u8::is_ascii_digit))?;
    if status.len() == rest.len() || !matches!(status.get(3), None | Some(b' ' | b'\t')) {
        return None;
    }
    let code = digits.iter().fold(0_u16, |n, d| n * 10 + u16::from(d - b'0'));
    let version = if *minor >= b'1' { Version::HTTP_11 } else { Version::HTTP_10 };
    let reason = trimmed(raw, line.end - (status.len() - 3)..line.end);
    (code >= 100).then_some((version, code, reason))
}

fn trimmed(raw: &[u8], range: Range<usize>) -> Range<usize> {
    let text = raw.get(range.clone()).unwrap_or_default();
    let start = range.start + text.len() - text.trim_ascii_start().len();
    let end = range.end - (text.len() - text.trim_ascii_end().len());
    start.min(end)..end.max(start.min(end))
}

fn piece(head: &Head, range: &Range<usize>) -> Piece {
    head.piece(range.start, range.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u8], expected: Result<&str, Option<Fault>>) {
        check_as(true, raw, expected);
    }

    fn check_as(relaxed: bool, raw: &[u8], expected: Result<&str, Option<Fault>>) {
        let limits = Limits { head: 15360, fields: 100, relaxed };
        let mut head = Head::new();
        let got = match parse_request(raw, &limits, &mut head) {
            Parsed::Complete { .. } => {
                let mut out = Vec::new();
                super::super::write::request(
                    &head,
                    super::super::write::Persistence::KeepAlive,
                    None,
                    &mut out,
                );
                Ok(String::from_utf8_lossy(&out).into_owned())
            }
            Parsed::Partial => Err(None),
            Parsed::Refused(fault) => Err(Some(fault)),
        };
        assert_eq!(got, expected.map(str::to_owned), "{:?}", String::from_utf8_lossy(raw));
    }

    #[test]
    fn odd_but_unambiguous_heads_pass() {
        check(
            b"GET /#a HTTP/1.1\r\nX : a\x01b\r\nX(y): 1\r\n\r\n",
            Ok("GET /#a HTTP/1.1\r\nx: a\u{1}b\r\nx(y): 1\r\n\r\n"),
        );
        check(b"\r\nGET\t/ HTTP/1.2\nA: b\r\n c\r\n\r\n", Ok("GET / HTTP/1.1\r\na: b   c\r\n\r\n"));
    }

    #[test]
    fn strict_heads_may_differ_where_no_framing_does() {
        let check = |raw: &[u8], expected| check_as(false, raw, expected);
        let bad = Err(Some(Fault::Bad));
        check(b"GET\t/a\tHTTP/1.1\r\nA: \x01\x7f\r\n\r\n", Ok("GET /a HTTP/1.1\r\na: \u{1}\u{7f}\r\n\r\n"));
        check(b"GET / HTTP/1.2\r\n\r\n", Ok("GET / HTTP/1.1\r\n\r\n"));
        for refused in [
            b"GET / HTTP/2.0\r\n\r\n".as_slice(),
            b"GET / HTTP/1.10\r\n\r\n",
            b"GET / HTTP/1.1 \r\n\r\n",
            b"GET / http/1.1\r\n\r\n",
            b"GET /\xe9 HTTP/1.1\r\n\r\n",
            b"GET /#a HTTP/1.1\r\n\r\n",
            b"GE(T / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            b"GET / HTTP/1.1\r\nA(: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            b"\x16\x03\x01",
            b"GET /\x01",
            b"GET / HTTP/1.1\r\nA ",
            b"GET / HTTP/1.1\r\nA: b\rc",
        ] {
            check(refused, bad);
        }
        for begun in [
            b"GE".as_slice(),
            b"GET\t/ HTTP/1.1\r",
            b"GET\t/ HTTP/1.1\r\nA: \x01",
            b"GET\t/ HTTP/1.1\r\nA: b\r",
        ] {
            check(begun, Err(None));
        }
    }

    #[test]
    fn odd_responses_pass() {
        let check = |raw: &[u8], expected: Option<&str>| {
            let limits = Limits { head: 15360, fields: 100, relaxed: true };
            let mut head = Head::new();
            let parsed = parse_response(raw, &limits, Method::Get, &mut head);
            let text = matches!(parsed, Parsed::Complete { .. }).then(|| {
                let mut out = Vec::new();
                super::super::write::interim(&head, None, &mut out);
                String::from_utf8_lossy(&out).into_owned()
            });
            assert_eq!(text.as_deref(), expected, "{:?}", String::from_utf8_lossy(raw));
        };
        check(
            b"HTTP/1.1 200 OK\r\nX : a\x01\r\n b\r\n\r\n",
            Some("HTTP/1.1 200 OK\r\nx: a\u{1}   b\r\n\r\n"),
        );
        check(b"HTTP/1.0  404\nB@d: 1\n\n", Some("HTTP/1.0 404 \r\nb@d: 1\r\n\r\n"));
        check(b"HTTP/1.1 200 OK\r\nnone\r\n\r\n", None);
        check(b"HTTP/1.1 99 OK\r\n\r\n", None);
        check(b"HTTP/1.1 2000 OK\r\n\r\n", None);
        check(b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n", None);
        check(b"HTTP/1.1 200", None);
    }

    #[test]
    fn the_oldest_requests_become_http_1_0() {
        check(b"GET /a\r\n", Ok("GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"));
        check_as(false, b"GET /a\r\n", Err(Some(Fault::Bad)));
    }

    #[test]
    fn the_rest_is_refused_or_awaited() {
        check(b"GET / HTTP/1.1\r\nX: a\0\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\nnone\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\n: a\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"PUT /\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET /\x01\r\n\r\n", Err(Some(Fault::Bad)));
        check(b" GET / HTTP/1.1\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\n", Err(None));
        check(b"GE", Err(None));
    }
}
