//! Heads as nearly all of them are, in one pass: CRLF line ends, one space between the parts of the start line, HTTP/1.0
//! or 1.1, token names, values without control bytes. Names are lowered where they stand. Whatever differs (and a head
//! that is not whole) is left to `parse`, which knows why; both take the same heads in the same way.

use super::Limits;
use crate::message::{Head, Piece, Version};

/// What is copied before the head's length is known: longer heads go the other way.
const WINDOW: usize = 4096;

/// Fills `head` from the front of `raw`; answers how long the head is.
pub fn request(raw: &[u8], limits: &Limits, head: &mut Head) -> Option<usize> {
    load(raw, limits, head);
    let bytes = head.raw_mut();
    let method = bytes.iter().position(|b| NAME[usize::from(*b)] == 0)?;
    if method == 0 || bytes.get(method) != Some(&b' ') {
        return None;
    }
    let target = method + 1;
    let end = end_of_target(bytes, target);
    let minor = bytes.get(end..end + 11)?.strip_prefix(b" HTTP/1.")?;
    let minor = minor.strip_suffix(b"\r\n")?;
    let version = Version { major: 1, minor: digit(minor)? };
    if end == target {
        return None;
    }
    let len = fields(head, end + 11, limits)?;
    head.request_line(Piece::new(0, method), Piece::new(target, end - target), version);
    Some(len)
}

/// The same for a response.
pub fn response(raw: &[u8], limits: &Limits, head: &mut Head) -> Option<usize> {
    const LINE: usize = b"HTTP/1.1 200 ".len();
    load(raw, limits, head);
    let bytes = head.raw_mut();
    let [minor, b' ', code @ .., b' '] = bytes.get(..LINE)?.strip_prefix(b"HTTP/1.")? else { return None };
    let version = Version { major: 1, minor: digit(&[*minor])? };
    let status = code.iter().try_fold(0u16, |n, b| Some(n * 10 + u16::from(decimal(*b)?)))?;
    let end = end_of_text(bytes, LINE);
    let reason = bytes.get(LINE..end)?;
    let plain = reason.first() != Some(&b' ') && reason.is_ascii();
    if status < 100 || !plain || bytes.get(end..end + 2)? != b"\r\n" {
        return None;
    }
    let reason = Piece::new(LINE, reason.len());
    let len = fields(head, end + 2, limits)?;
    head.status_line(version, status, reason);
    Some(len)
}

fn load(raw: &[u8], limits: &Limits, head: &mut Head) {
    let window = raw.len().min(WINDOW).min(limits.head);
    head.load(raw.get(..window).unwrap_or_default());
}

/// `0` or `1`.
fn digit(text: &[u8]) -> Option<u8> {
    match text {
        b"0" => Some(0),
        b"1" => Some(1),
        _ => None,
    }
}

fn decimal(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// Field lines from `at` to the empty line; answers where the head ends, and cuts it there.
fn fields(head: &mut Head, mut at: usize, limits: &Limits) -> Option<usize> {
    for _ in 0..=limits.fields {
        let bytes = head.raw_mut();
        if bytes.get(at..at + 2) == Some(b"\r\n") {
            head.truncate(at + 2);
            return Some(at + 2);
        }
        let colon = at + lower_name(bytes.get_mut(at..)?);
        if colon == at || bytes.get(colon) != Some(&b':') {
            return None;
        }
        let mut start = colon + 1;
        while matches!(bytes.get(start), Some(b' ' | b'\t')) {
            start += 1;
        }
        let line_end = end_of_text(bytes, start);
        if bytes.get(line_end..line_end + 2) != Some(b"\r\n") {
            return None;
        }
        let mut end = line_end;
        while end > start && matches!(bytes.get(end - 1), Some(b' ' | b'\t')) {
            end -= 1;
        }
        head.lower_field(Piece::new(at, colon - at), Piece::new(start, end - start));
        at = line_end + 2;
    }
    None
}

/// Lowers the name at the front of `bytes`; answers its length.
fn lower_name(bytes: &mut [u8]) -> usize {
    let mut len = 0;
    for byte in bytes {
        let lower = NAME[usize::from(*byte)];
        if lower == 0 {
            break;
        }
        *byte = lower;
        len += 1;
    }
    len
}

/// The lower case of what a name may hold (RFC 9110 5.6.2), 0 for all else.
const NAME: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    loop {
        if super::is_token(byte) {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;
const LOW: u64 = !HIGH;

/// Marks the highest bit of every byte of `word` below `least` (at most 0x80) and of every DEL.
fn controls(word: u64, least: u8) -> u64 {
    let low = word & LOW;
    let fine = low + ONES * u64::from(0x80 - least);
    (!fine | (low + ONES)) & !word & HIGH
}

/// Where the first byte stands that no text holds: a control byte other than the tab.
fn end_of_text(bytes: &[u8], from: usize) -> usize {
    first(bytes, from, |word| controls(word, b' '), |byte| byte < b' ' || byte == 0x7f, |byte| byte == b'\t')
}

/// Where the first byte stands that no target holds (RFC 9112 3.2).
fn end_of_target(bytes: &[u8], from: usize) -> usize {
    let marked = |word: u64| {
        let hash = (word & LOW) ^ (ONES * u64::from(b'#'));
        controls(word, b'!') | ((!(hash + LOW) | word) & HIGH)
    };
    first(bytes, from, marked, |byte| !matches!(byte, 0x21..=0x7e) || byte == b'#', |_| false)
}

/// The first byte that `ends` (which `marks` finds eight at a time) and is not `excused`.
fn first(
    bytes: &[u8],
    from: usize,
    marks: impl Fn(u64) -> u64,
    ends: impl Fn(u8) -> bool,
    excused: impl Fn(u8) -> bool,
) -> usize {
    let mut at = from;
    loop {
        while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let found = marks(u64::from_le_bytes(*chunk));
            if found != 0 {
                at += found.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            None => return at,
            Some(byte) if ends(*byte) && !excused(*byte) => return at,
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::message::Method;

    const LIMITS: Limits = Limits { head: 1024, fields: 6, relaxed: false };

    const REQUESTS: [&str; 4] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a?b=c HTTP/1.0\r\nhost:a.example:80 \r\nContent-Length: 3\r\nX-Empty:\r\nX-T:\t a\tb \r\n\r\nabc",
        "M-SEARCH http://a/b HTTP/1.1\r\nHOST: a\r\nConnection: keep-alive, x\r\nExpect: 100-continue\r\n\r\n",
        "GET /longer/than/eight/bytes HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux) é\r\nCookie: a=b; c=d\r\n\r\n",
    ];

    const RESPONSES: [&str; 3] = [
        "HTTP/1.1 200 OK\r\nServer: n\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 404 Not  Found\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 204 \r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
    ];

    fn told(head: &Head) -> String {
        let fields: Vec<_> =
            head.fields().map(|(n, v)| format!("{}={}", n.escape_ascii(), v.escape_ascii())).collect();
        let mut out = Vec::new();
        head.write_fields(&mut out);
        format!(
            "{:?} {} {} {:?} {} {} {fields:?} {}",
            head.method(),
            head.method_bytes().escape_ascii(),
            head.target().escape_ascii(),
            head.version(),
            head.status(),
            head.reason().escape_ascii(),
            out.escape_ascii(),
        )
    }

    /// What the one pass takes, the thorough way takes too, and means the same by it.
    fn agree(raw: &[u8]) -> (bool, bool) {
        agree_under(raw, &Limits { relaxed: true, ..LIMITS });
        agree_under(raw, &LIMITS)
    }

    fn agree_under(raw: &[u8], limits: &Limits) -> (bool, bool) {
        let (mut quick, mut thorough) = (Head::new(), Head::new());
        let request = request(raw, limits, &mut quick).is_some();
        if request {
            let one = parse::parse_request(raw, limits, &mut quick);
            let other = parse::thorough_request(raw, limits, &mut thorough);
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "{}", raw.escape_ascii());
            assert_eq!(told(&quick), told(&thorough), "{}", raw.escape_ascii());
        }
        let response = response(raw, limits, &mut quick).is_some();
        if response {
            let one = parse::parse_response(raw, limits, Method::Get, &mut quick);
            let other = parse::thorough_response(raw, limits, Method::Get, &mut thorough);
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "{}", raw.escape_ascii());
            assert_eq!(told(&quick), told(&thorough), "{}", raw.escape_ascii());
        }
        (request, response)
    }

    #[test]
    fn ordinary_heads_are_taken() {
        for raw in REQUESTS {
            assert_eq!(agree(raw.as_bytes()), (true, false), "{raw}");
        }
        for raw in RESPONSES {
            assert_eq!(agree(raw.as_bytes()), (false, true), "{raw}");
        }
    }

    #[test]
    fn names_are_lowered_as_a_byte_at_a_time_would() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut name = *b"X-Forwarded-By9: AbC";
                name[at] = byte;
                let (mut once, mut slowly) = (name, name);
                let length = name.iter().position(|b| NAME[usize::from(*b)] == 0).unwrap_or(name.len());
                slowly[..length].iter_mut().for_each(|b| *b = NAME[usize::from(*b)]);
                assert_eq!((lower_name(&mut once), once), (length, slowly), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn what_differs_is_left_alone() {
        for raw in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET /#f HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\u{0}c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n",
            "GET / HTTP/1.1\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\nf:6\r\ng:7\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
            "HTTP/1.1 2000 x\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
        ] {
            assert_eq!(agree(raw.as_bytes()), (false, false), "{raw}");
        }
    }

    /// Bytes of ordinary heads changed, taken out, put in: a fixed sequence, so that a failure comes again.
    #[test]
    fn both_ways_take_the_same() {
        let odd = b"\r\n :\t\0\x7f#\xff/1HaZ%";
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound as u64) as usize
        };
        let mut taken = 0;
        for round in 0..60_000 {
            let seeds: Vec<&str> = REQUESTS.into_iter().chain(RESPONSES).collect();
            let mut raw = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..=next(3) {
                let (at, byte) = (next(raw.len()), odd[next(odd.len())]);
                match next(4) {
                    0 => raw[at] = byte,
                    1 => raw.insert(at, byte),
                    2 => drop(raw.remove(at)),
                    _ => raw[at] = raw[at].to_ascii_uppercase(),
                }
            }
            let (request, response) = agree(&raw);
            taken += usize::from(request) + usize::from(response);
        }
        assert!(taken > 10_000, "{taken}");
    }
}
