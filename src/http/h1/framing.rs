//! Where a message's body ends and whether its connection lives on (RFC 9112 6 and 9.3), and the removal of the fields
//! that say so hop by hop: what goes out is written anew by `write`.

use super::Fault;
use crate::message::{Head, Method, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    None,
    Known(u64),
    Chunked,
    UntilClose,
}

/// How a request is framed.
#[derive(Clone, Copy, Debug)]
pub struct RequestFraming {
    pub length: BodyLength,
    /// The client takes another response after this one.
    pub keep_alive: bool,
    /// `Connection: upgrade` with an `Upgrade` field.
    pub upgrade: bool,
    /// `Expect: 100-continue`
    pub expect_continue: bool,
}

/// How a response is framed.
#[derive(Clone, Copy, Debug)]
pub struct ResponseFraming {
    pub length: BodyLength,
    /// The server takes another request after this response.
    pub keep_alive: bool,
    /// 101, or 2xx to CONNECT: raw bytes both ways from here on.
    pub tunnel: bool,
}

/// What the fields say about framing, before it is judged.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    lengths: u32,
    codings: u32,
    chunked: u32,
    chunked_last: bool,
    unknown_coding: bool,
    transfer_encoding: bool,
    connection: u32,
    /// Place of the last `Connection` among the fields.
    connection_at: usize,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    other_token: bool,
    upgrade: bool,
    expect: bool,
    hosts: u32,
    /// `Upgrade` names websocket.
    websocket: bool,
    /// A `Sec-WebSocket-Key` that can be one.
    websocket_key: bool,
    websocket_accept: bool,
}

/// Judges a request's framing; `placed`: its target and host are known to be good.
///
/// # Errors
/// Ambiguous framing or host.
pub fn request(head: &mut Head, relaxed: bool, placed: bool) -> Result<RequestFraming, Fault> {
    let mut seen = Seen::default();
    seen.scan(head)?;
    let seen = &seen;
    let ambiguous = seen.lengths > 1 || (seen.transfer_encoding && seen.lengths > 0);
    if ambiguous && !relaxed {
        return Err(Fault::Bad);
    }
    let length = if seen.transfer_encoding {
        if !seen.chunked_last || seen.chunked > 1 {
            return Err(Fault::Bad);
        }
        if seen.codings > seen.chunked {
            return Err(Fault::Unprocessable);
        }
        head.remove(b"content-length");
        BodyLength::Chunked
    } else {
        single_length(head, seen);
        seen.length.map_or(BodyLength::None, |n| if n == 0 { BodyLength::None } else { BodyLength::Known(n) })
    };
    // RFC 6455 4.2.1: without a key there is nothing the server could accept.
    if seen.connection_upgrade && seen.websocket && !seen.websocket_key && !relaxed {
        return Err(Fault::Bad);
    }
    if !placed {
        target_and_host(head, seen, relaxed)?;
    }
    clean_connection(head, seen);
    let http11 = head.version() >= Version::HTTP_11;
    let keep_alive = if http11 { !seen.close } else { seen.keep_alive && !seen.close };
    Ok(RequestFraming {
        length,
        keep_alive: keep_alive
            && !(ambiguous && seen.transfer_encoding)
            && (http11 || !seen.transfer_encoding),
        upgrade: seen.connection_upgrade && seen.upgrade,
        expect_continue: seen.expect && http11,
    })
}

/// Judges a response's framing.
///
/// # Errors
/// Contradictory lengths.
pub fn response(head: &mut Head, method: Method, relaxed: bool) -> Result<ResponseFraming, Fault> {
    let mut seen = Seen::default();
    seen.scan(head)?;
    let seen = &seen;
    let status = head.status();
    let tunnel = status == 101 || (method == Method::Connect && (200..300).contains(&status));
    if seen.chunked > 1 || seen.unknown_coding || (seen.chunked > 0 && !seen.chunked_last) {
        return Err(Fault::Bad);
    }
    if status == 101 && seen.websocket && seen.connection_upgrade && !seen.websocket_accept && !relaxed {
        return Err(Fault::Bad);
    }
    if status < 200 || status == 204 || tunnel {
        if seen.lengths > 0 || seen.transfer_encoding {
            head.remove_where(|n, _| n == b"content-length" || n == b"transfer-encoding");
        }
    } else if seen.transfer_encoding {
        head.remove(b"content-length");
    } else {
        single_length(head, seen);
    }
    clean_connection(head, seen);
    let length = if status < 200 || matches!(status, 204 | 304) || method == Method::Head || tunnel {
        BodyLength::None
    } else if seen.transfer_encoding {
        if seen.chunked_last { BodyLength::Chunked } else { BodyLength::UntilClose }
    } else {
        match seen.length {
            Some(0) => BodyLength::None,
            Some(n) => BodyLength::Known(n),
            None => BodyLength::UntilClose,
        }
    };
    let http11 = head.version() >= Version::HTTP_11;
    let keep_alive = if http11 { !seen.close } else { seen.keep_alive && !seen.close };
    let both = seen.transfer_encoding && seen.lengths > 0;
    Ok(ResponseFraming {
        length,
        keep_alive: keep_alive && length != BodyLength::UntilClose && !both,
        tunnel,
    })
}

/// 16 bytes in base64.
const WEBSOCKET_KEY: usize = 24;

impl Seen {
    /// Looks through the fields. In place: a struct of so many flags is dear to hand over.
    fn scan(&mut self, head: &Head) -> Result<(), Fault> {
        for (at, (name, value)) in head.fields().enumerate() {
            match name {
                b"content-length" => content_length(value, self)?,
                b"transfer-encoding" => transfer_encoding(value, self),
                b"connection" => {
                    self.connection_at = at;
                    connection(value, self);
                }
                b"upgrade" => {
                    self.upgrade = true;
                    let mut protocols = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
                    self.websocket |= protocols.any(|p| p.eq_ignore_ascii_case(b"websocket"));
                }
                b"sec-websocket-key" => self.websocket_key |= value.len() == WEBSOCKET_KEY,
                b"sec-websocket-accept" => self.websocket_accept = true,
                b"expect" => self.expect |= value.eq_ignore_ascii_case(b"100-continue"),
                b"host" => self.hosts += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// RFC 9110 8.6: digits only; a list is taken when all its members are equal.
fn content_length(value: &[u8], seen: &mut Seen) -> Result<(), Fault> {
    if let (Some(n), None) = (number(value), seen.length) {
        seen.length = Some(n);
        seen.lengths += 1;
        return Ok(());
    }
    for member in value.split(|b| *b == b',') {
        let n = number(member.trim_ascii()).ok_or(Fault::Bad)?;
        if seen.length.is_some_and(|before| before != n) {
            return Err(Fault::Bad);
        }
        seen.length = Some(n);
        seen.lengths += 1;
    }
    Ok(())
}

/// A length as `content-length` says it.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0u64, |n, d| d.is_ascii_digit().then(|| n * 10 + u64::from(d - b'0')))
}

fn transfer_encoding(value: &[u8], seen: &mut Seen) {
    seen.transfer_encoding = true;
    for coding in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|c| !c.is_empty()) {
        seen.codings += 1;
        seen.chunked_last = coding.eq_ignore_ascii_case(b"chunked");
        seen.chunked += u32::from(seen.chunked_last);
        let known = [b"gzip".as_slice(), b"deflate", b"compress", b"x-gzip", b"x-compress", b"identity"];
        seen.unknown_coding |= !seen.chunked_last && !known.iter().any(|k| coding.eq_ignore_ascii_case(k));
    }
}

fn connection(value: &[u8], seen: &mut Seen) {
    seen.connection += 1;
    // As nearly everybody writes it.
    match value {
        b"keep-alive" => return seen.keep_alive = true,
        b"close" => return seen.close = true,
        _ => {}
    }
    for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
        if token.eq_ignore_ascii_case(b"close") {
            seen.close = true;
        } else if token.eq_ignore_ascii_case(b"keep-alive") {
            seen.keep_alive = true;
        } else {
            seen.connection_upgrade |= token.eq_ignore_ascii_case(b"upgrade");
            seen.other_token |= !token.is_empty();
        }
    }
}

/// `close` and `keep-alive` are between two hops; other tokens go on, as HAProxy lets them.
fn clean_connection(head: &mut Head, seen: &Seen) {
    if seen.connection == 0 || !(seen.close || seen.keep_alive || !seen.other_token) {
        return;
    }
    if !seen.other_token {
        let found = seen.connection == 1 && head.remove_at(seen.connection_at, b"connection");
        if !found {
            head.remove(b"connection");
        }
        return;
    }
    keep_tokens(head, seen);
}

#[cold]
fn keep_tokens(head: &mut Head, seen: &Seen) {
    let mut rest = Vec::new();
    for value in head.values(b"connection") {
        for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            let hop = token.is_empty()
                || token.eq_ignore_ascii_case(b"close")
                || token.eq_ignore_ascii_case(b"keep-alive");
            if !hop {
                if !rest.is_empty() {
                    rest.extend_from_slice(b", ");
                }
                rest.extend_from_slice(token);
            }
        }
    }
    let Some(index) = head.fields().position(|(n, _)| n == b"connection") else { return };
    head.replace_value(index, &rest);
    if seen.connection > 1 {
        let mut first = true;
        head.remove_where(|n, _| n == b"connection" && !std::mem::take(&mut first));
    }
}

/// Several equal lengths go on as one.
fn single_length(head: &mut Head, seen: &Seen) {
    if seen.lengths < 2 {
        return;
    }
    let text = seen.length.unwrap_or_default().to_string();
    let Some(index) = head.fields().position(|(n, _)| n == b"content-length") else { return };
    head.replace_value(index, text.as_bytes());
    let mut first = true;
    head.remove_where(|n, _| n == b"content-length" && !std::mem::take(&mut first));
}

/// RFC 9112 3.2: the forms of a target, and `Host` against its authority.
fn target_and_host(head: &mut Head, seen: &Seen, relaxed: bool) -> Result<(), Fault> {
    if seen.hosts > 0 && !relaxed {
        one_valid_host(head, seen)?;
    }
    let target = head.target();
    if target.first() == Some(&b'/') {
        let connect = head.method() == Method::Connect;
        return if connect { Err(Fault::Bad) } else { Ok(()) };
    }
    match head.method() {
        Method::Options if target == b"*" => return Ok(()),
        Method::Connect => return authority_matches(head, 0..target.len(), seen, relaxed),
        _ => {}
    }
    let Some(scheme) = target.windows(3).position(|w| w == b"://").filter(|n| *n > 0) else {
        return if relaxed { Ok(()) } else { Err(Fault::Bad) };
    };
    let start = scheme + 3;
    let rest = target.get(start..).unwrap_or_default();
    let length = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    if rest.get(length) == Some(&b'?') && !relaxed {
        return Err(Fault::Bad);
    }
    let end = start + length;
    authority_matches(head, start..end, seen, relaxed)
}

/// RFC 3986 3.2.2 and 3.2.3: what stands in a host and its port.
const HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let marks = b"-._~%!$&'()*+,;=:[]";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0;
    while byte < 256 {
        table[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

fn one_valid_host(head: &mut Head, seen: &Seen) -> Result<(), Fault> {
    let host = head.first(b"host").unwrap_or_default();
    if !host.iter().all(|b| HOST_BYTES[usize::from(*b)])
        || seen.hosts > 1 && head.values(b"host").any(|h| h != host)
    {
        return Err(Fault::Bad);
    }
    if seen.hosts > 1 {
        let mut first = true;
        head.remove_where(|n, _| n == b"host" && !std::mem::take(&mut first));
    }
    Ok(())
}

/// The authority of an absolute or authority-form target must be the `Host`; a default port is dropped from both.
fn authority_matches(
    head: &mut Head,
    at: std::ops::Range<usize>,
    seen: &Seen,
    relaxed: bool,
) -> Result<(), Fault> {
    let target = head.target();
    let authority = target.get(at.clone()).unwrap_or_default();
    let host_part = authority.rsplit(|b| *b == b'@').next().unwrap_or_default();
    let scheme = target.get(..at.start).unwrap_or_default();
    let port: &[u8] =
        if scheme.eq_ignore_ascii_case(b"https://") || (scheme.is_empty() && host_part.ends_with(b":443")) {
            b":443"
        } else {
            b":80"
        };
    let bare = host_part.strip_suffix(port).unwrap_or(host_part);
    if seen.hosts > 0 {
        let host = head.first(b"host").unwrap_or_default();
        if host == host_part && host.len() == authority.len() && bare.len() == host.len() {
            // Mostly, and always of HTTP/2: the same, without a port to drop.
            return Ok(());
        }
        let bare_host = host.strip_suffix(port).unwrap_or(host);
        if !bare_host.eq_ignore_ascii_case(bare) && !relaxed {
            return Err(Fault::Bad);
        }
        if bare_host.len() != host.len() {
            let bare_host = bare_host.to_vec();
            let index = head.fields().position(|(n, _)| n == b"host").unwrap_or(usize::MAX);
            head.replace_value(index, &bare_host);
        }
    }
    let target = head.target();
    let authority = target.get(at.clone()).unwrap_or_default();
    if at.start > 0 && authority.ends_with(port) {
        let mut plain = target.get(..at.end - port.len()).unwrap_or_default().to_vec();
        plain.extend_from_slice(target.get(at.end..).unwrap_or_default());
        head.set_target(&plain);
    }
    Ok(())
}
