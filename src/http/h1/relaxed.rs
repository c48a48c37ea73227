//! Heads under `option accept-unsafe-violations-in-http-request|response`: what httparse refuses but can still be read one
//! way only. Odd bytes in names, values and targets pass, a space before the colon is dropped, folded lines are joined.
//! NUL, bare CR and lines without a colon are refused even here.

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
    let Some(first) = first else { return partial(raw, limits) };
    let Some((method, target, version)) = request_line(raw, first) else {
        return Parsed::Refused(Fault::Bad);
    };
    let fields = match field_lines(&mut lines, limits) {
        Ok(Some(fields)) => fields,
        Ok(None) => return partial(raw, limits),
        Err(fault) => return Parsed::Refused(fault),
    };
    head.load(raw.get(..lines.at).unwrap_or_default());
    let (method, target) = (piece(head, &method), piece(head, &target));
    head.request_line(method, target, version);
    add_fields(head, &fields);
    match framing::request(head, true) {
        Ok(framing) => Parsed::Complete { len: lines.at, framing },
        Err(fault) => Parsed::Refused(fault),
    }
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
    let fields = match field_lines(&mut lines, limits) {
        Ok(Some(fields)) => fields,
        Ok(None) => return partial(raw, limits),
        Err(fault) => return Parsed::Refused(fault),
    };
    head.load(raw.get(..lines.at).unwrap_or_default());
    let reason = piece(head, &reason);
    head.status_line(version, status, reason);
    add_fields(head, &fields);
    match framing::response(head, method) {
        Ok(framing) => Parsed::Complete { len: lines.at, framing },
        Err(fault) => Parsed::Refused(fault),
    }
}

/// Where a name and its value stand.
type Field = (Range<usize>, Range<usize>);

/// The fields up to the empty line; `None` when it has not come yet.
fn field_lines(lines: &mut Lines<'_>, limits: &Limits) -> Result<Option<Vec<Field>>, Fault> {
    let raw = lines.raw;
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let Some(line) = lines.next() else { return Ok(None) };
        if line.is_empty() {
            break;
        }
        let text = raw.get(line.clone()).unwrap_or_default();
        if text.iter().any(|b| matches!(b, 0 | b'\r')) {
            return Err(Fault::Bad);
        }
        if matches!(text.first(), Some(b' ' | b'\t')) {
            let (_, value) = fields.last_mut().ok_or(Fault::Bad)?;
            value.end = trimmed(raw, line).end.max(value.end);
            continue;
        }
        let colon = text.iter().position(|b| *b == b':').ok_or(Fault::Bad)?;
        let name = trimmed(raw, line.start..line.start + colon);
        if name.is_empty() {
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
    let version = text.get(target_end..)?.trim_ascii().strip_prefix(b"HTTP/")?;
    let &[major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] = version else { return None };
    let token = text.get(..method)?.iter().all(|b| b.is_ascii_graphic());
    if method == 0 || !token || text.iter().any(|b| matches!(b, 0 | b'\r')) {
        return None;
    }
    let version = if (major, minor) >= (b'1', b'1') { Version::HTTP_11 } else { Version::HTTP_10 };
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
        let limits = Limits { head: 15360, fields: 100, relaxed: true };
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
    fn the_rest_is_refused_or_awaited() {
        check(b"GET / HTTP/1.1\r\nX: a\0\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\nnone\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\n: a\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET /\r\n\r\n", Err(Some(Fault::Bad)));
        check(b" GET / HTTP/1.1\r\n\r\n", Err(Some(Fault::Bad)));
        check(b"GET / HTTP/1.1\r\n", Err(None));
        check(b"GE", Err(None));
    }
}
