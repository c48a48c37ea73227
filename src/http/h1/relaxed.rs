//! Request heads under `option accept-unsafe-violations-in-http-request`: what httparse refuses but can still be read one
//! way only. Odd bytes in names, values and targets pass, a space before the colon is dropped, folded lines are joined.
//! NUL, bare CR and lines without a colon are refused even here.

use super::framing::{self, RequestFraming};
use super::{Fault, Limits, Parsed};
use crate::message::{Head, Piece, Version};
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
    let mut fields: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    loop {
        let Some(line) = lines.next() else { return partial(raw, limits) };
        if line.is_empty() {
            break;
        }
        let text = raw.get(line.clone()).unwrap_or_default();
        if text.iter().any(|b| matches!(b, 0 | b'\r')) {
            return Parsed::Refused(Fault::Bad);
        }
        if matches!(text.first(), Some(b' ' | b'\t')) {
            let Some((_, value)) = fields.last_mut() else { return Parsed::Refused(Fault::Bad) };
            value.end = trimmed(raw, line).end.max(value.end);
            continue;
        }
        let Some(colon) = text.iter().position(|b| *b == b':') else { return Parsed::Refused(Fault::Bad) };
        let name = trimmed(raw, line.start..line.start + colon);
        if name.is_empty() || fields.len() >= limits.fields {
            return Parsed::Refused(if name.is_empty() { Fault::Bad } else { Fault::TooLarge });
        }
        fields.push((name, trimmed(raw, line.start + colon + 1..line.end)));
    }
    if lines.at > limits.head {
        return Parsed::Refused(Fault::TooLarge);
    }
    head.load(raw.get(..lines.at).unwrap_or_default());
    let (method, target) = (piece(head, &method), piece(head, &target));
    head.request_line(method, target, version);
    for (name, value) in &fields {
        let (name, value) = (piece(head, name), piece(head, value));
        head.unfold(value);
        head.field(name, value);
    }
    match framing::request(head, true) {
        Ok(framing) => Parsed::Complete { len: lines.at, framing },
        Err(fault) => Parsed::Refused(fault),
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

fn partial(raw: &[u8], limits: &Limits) -> Parsed<RequestFraming> {
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
