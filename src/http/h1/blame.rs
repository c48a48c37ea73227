//! Where a refused head went wrong, for `show errors`. Looked for only once it is refused, so that reading costs nothing.

use super::is_token;

/// A byte of the message, and the name and number HAProxy gives to the part it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blame {
    pub position: usize,
    pub state: (&'static str, u8),
}

const METHOD: (&str, u8) = ("MSG_RQMETH", 2);
const TARGET: (&str, u8) = ("MSG_RQURI", 4);
const REQUEST_VERSION: (&str, u8) = ("MSG_RQVER", 6);
const RESPONSE_VERSION: (&str, u8) = ("MSG_RPVER", 10);
const STATUS: (&str, u8) = ("MSG_RPCODE", 12);
const NAME: (&str, u8) = ("MSG_HDR_NAME", 17);
const VALUE: (&str, u8) = ("MSG_HDR_VAL", 22);
const FRAMING: (&str, u8) = ("MSG_HDR_L2_LWS", 24);
const END: (&str, u8) = ("MSG_LAST_LF", 25);

/// The first byte of a request head that makes it one to refuse.
#[must_use]
pub fn request(raw: &[u8]) -> Blame {
    let start = raw.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(raw.len());
    let mut at = start;
    let method = |b: u8| is_token(b);
    let target = |b: u8| matches!(b, 0x21..=0x7e) && b != b'#';
    for (valid, state) in [(&method as &dyn Fn(u8) -> bool, METHOD), (&target, TARGET)] {
        match word(raw, at, valid) {
            Ok(end) => at = end,
            Err(position) => return Blame { position, state },
        }
    }
    match version(raw, at) {
        Ok(end) => fields(raw, end),
        Err(position) => Blame { position, state: REQUEST_VERSION },
    }
}

/// The same of a response head.
#[must_use]
pub fn response(raw: &[u8]) -> Blame {
    let magic = b"HTTP/";
    if let Some(position) = magic.iter().enumerate().position(|(i, b)| raw.get(i) != Some(b)) {
        return Blame { position, state: RESPONSE_VERSION };
    }
    let at = match word(raw, magic.len(), &|b| b.is_ascii_digit() || b == b'.') {
        Ok(end) => end,
        Err(position) => return Blame { position, state: RESPONSE_VERSION },
    };
    let line = end_of_line(raw, at);
    let digits = raw.get(at..line).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let after = at + digits;
    if digits == 0 || !matches!(raw.get(after), None | Some(b' ' | b'\r' | b'\n')) {
        return Blame { position: after, state: STATUS };
    }
    fields(raw, next_line(raw, line))
}

/// The end of the word from `at` on and of the blanks after it, or the byte that does not belong there.
fn word(raw: &[u8], at: usize, valid: &dyn Fn(u8) -> bool) -> Result<usize, usize> {
    let rest = raw.get(at..).unwrap_or_default();
    let len = rest.iter().position(|b| !valid(*b)).unwrap_or(rest.len());
    let blanks = rest.get(len..).unwrap_or_default().iter().take_while(|b| **b == b' ').count();
    if len == 0 || (blanks == 0 && len < rest.len()) { Err(at + len) } else { Ok(at + len + blanks) }
}

/// `HTTP/1.x` up to the end of the line; where the next one starts.
fn version(raw: &[u8], at: usize) -> Result<usize, usize> {
    let end = end_of_line(raw, at);
    let text = raw.get(at..end).unwrap_or_default();
    let odd = text.iter().position(|b| !matches!(b, b'H' | b'T' | b'P' | b'/' | b'.' | b'0'..=b'9'));
    match odd {
        Some(odd) => Err(at + odd),
        None if text.starts_with(b"HTTP/") && text.len() == 8 => Ok(next_line(raw, end)),
        None => Err(at),
    }
}

fn fields(raw: &[u8], from: usize) -> Blame {
    let mut at = from;
    let mut length: Option<&[u8]> = None;
    while at < raw.len() {
        let end = end_of_line(raw, at);
        let line = raw.get(at..end).unwrap_or_default();
        if line.is_empty() {
            return Blame { position: at, state: END };
        }
        let name = line.iter().position(|b| !is_token(*b)).unwrap_or(line.len());
        if name == 0 || line.get(name) != Some(&b':') {
            return Blame { position: at + name, state: NAME };
        }
        let blanks = line.iter().skip(name + 1).take_while(|b| matches!(b, b' ' | b'\t')).count();
        let value = name + 1 + blanks;
        let text = line.get(value..).unwrap_or_default();
        if let Some(odd) = text.iter().position(|b| matches!(b, 0 | b'\r')) {
            return Blame { position: at + value + odd, state: VALUE };
        }
        let field = line.get(..name).unwrap_or_default();
        if field.eq_ignore_ascii_case(b"content-length") {
            let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
            if !digits || length.is_some_and(|l| l != text) {
                return Blame { position: at + value, state: FRAMING };
            }
            length = Some(text);
        }
        if field.eq_ignore_ascii_case(b"transfer-encoding") && !text.eq_ignore_ascii_case(b"chunked") {
            return Blame { position: at + value, state: FRAMING };
        }
        at = next_line(raw, end);
    }
    Blame { position: raw.len(), state: END }
}

/// Where the line from `at` on ends, its line feed and the CR before it left out.
fn end_of_line(raw: &[u8], at: usize) -> usize {
    let rest = raw.get(at..).unwrap_or_default();
    match memchr::memchr(b'\n', rest) {
        Some(lf) => at + lf - usize::from(lf > 0 && rest.get(lf - 1) == Some(&b'\r')),
        None => raw.len(),
    }
}

fn next_line(raw: &[u8], end: usize) -> usize {
    let rest = raw.get(end..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(raw.len(), |lf| end + lf + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(blame: fn(&[u8]) -> Blame, raw: &str, position: usize, state: (&'static str, u8)) {
        assert_eq!(blame(raw.as_bytes()), Blame { position, state }, "{raw:?}");
    }

    /// Positions and states as Debian's haproxy reports them.
    #[test]
    fn as_haproxy_says() {
        check(request, "GET /x y HTTP/1.1\r\nhost: a\r\n\r\n", 7, REQUEST_VERSION);
        check(request, "GET /x HTTP/1.1\r\nhost: a\r\nbad header: x\r\n\r\n", 29, NAME);
        check(request, "GE\0T /x HTTP/1.1\r\nhost: a\r\n\r\n", 2, METHOD);
        let twice = "\r\n\r\nGET /x HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
        check(request, twice, 65, FRAMING);
        check(response, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nBad Header: x\r\n\r\nabc", 39, NAME);
        check(response, "garbage\r\n\r\n", 0, RESPONSE_VERSION);
        let twice = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc";
        check(response, twice, 52, FRAMING);
        check(response, "HTTP/1.1 2x0 OK\r\n\r\n", 10, STATUS);
    }

    #[test]
    fn every_prefix_has_an_answer() {
        let message = b"POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n";
        for end in 0..message.len() {
            assert!(request(&message[..end]).position <= end);
            assert!(response(&message[..end]).position <= end);
        }
    }
}
