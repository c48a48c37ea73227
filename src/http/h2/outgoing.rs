//! Requests to servers of HTTP/2, and their responses as the heads every exchange works on (RFC 9113 8).

use super::Moulds;
use super::head::is_of_hop;
use crate::http::h1::{BodyLength, ResponseFraming, number};
use crate::http::target;
use crate::message::{Head, Method, Version};
use bytes::Bytes;
use h2::ext::Protocol;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, response};
use sha1::{Digest, Sha1};

/// What a request asks for besides what its fields say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Plain,
    /// To change the protocol: an extended CONNECT (RFC 8441).
    Upgrade,
}

/// `None`: it cannot be said in HTTP/2.
#[must_use]
pub fn request(head: &Head, wish: Wish, moulds: &Moulds) -> Option<Request<()>> {
    let mut request = Request::new(());
    let connect = head.method() == Method::Connect;
    *request.method_mut() = match wish {
        Wish::Upgrade => http::Method::CONNECT,
        Wish::Plain => http::Method::from_bytes(head.method_bytes()).ok()?,
    };
    let whole = if connect {
        *request.uri_mut() = Uri::builder().authority(head.target()).build().ok()?;
        true
    } else {
        place(head, &mut request)?
    };
    // The crate says a scheme of its own only for what came by HTTP/1.
    *request.version_mut() = if whole { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
    *request.headers_mut() = moulds.map(head, |name, value| is_left_out(name, value, whole, wish))?;
    if wish == Wish::Upgrade {
        let protocol = std::str::from_utf8(head.first(b"upgrade")?).ok()?;
        request.extensions_mut().insert(Protocol::from(protocol));
    }
    Some(request)
}

/// Where the request goes: scheme, authority and path; false: there is no authority. HAProxy says `https` where the
/// client's request named no scheme.
fn place(head: &Head, request: &mut Request<()>) -> Option<bool> {
    let (scheme, authority, path) = split(head.target());
    let host = head.first(b"host").or(authority);
    let authority = host.and_then(|host| Authority::try_from(host).ok());
    let mut parts = http::uri::Parts::default();
    let whole = authority.is_some();
    if whole {
        parts.scheme = Some(match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Scheme::HTTP,
            Some(scheme) => Scheme::try_from(scheme).ok()?,
            None => Scheme::HTTPS,
        });
        parts.authority = authority;
    }
    parts.path_and_query = Some(path_of(path, head.method() == Method::Options)?);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    Some(whole)
}

/// Scheme, authority and the rest of a target.
fn split(target: &[u8]) -> (Option<&[u8]>, Option<&[u8]>, &[u8]) {
    if target.starts_with(b"/") || target == b"*" {
        return (None, None, target);
    }
    match target::parts(target) {
        Some((scheme, authority, path)) => (Some(scheme), Some(authority), path),
        None => (None, None, target),
    }
}

/// What the library would not take, or would cut off, goes percent-encoded.
fn path_of(path: &[u8], whole_server: bool) -> Option<PathAndQuery> {
    if path.is_empty() {
        return Some(PathAndQuery::from_static(if whole_server { "*" } else { "/" }));
    }
    if memchr::memchr(b'#', path).is_none()
        && let Ok(path) = PathAndQuery::try_from(path)
    {
        return Some(path);
    }
    let mut encoded = Vec::with_capacity(path.len() + 8);
    for byte in path {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`' | b'{' | b'|' | b'}') {
            encoded.push(*byte);
        } else {
            encoded.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
    PathAndQuery::from_maybe_shared(Bytes::from(encoded)).ok()
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// `whole`: the authority stands for `host`.
fn is_left_out(name: &[u8], value: &[u8], whole: bool, wish: Wish) -> bool {
    is_of_hop(name)
        || name == b"http2-settings"
        || name == b"host" && whole
        || name == b"te" && !value.eq_ignore_ascii_case(b"trailers")
        || name == b"sec-websocket-key" && wish == Wish::Upgrade
}

/// Puts a response into `head`.
pub fn response(parts: &response::Parts, head: &mut Head) {
    head.clear();
    let reason = head.push_bytes(b"");
    head.status_line(Version::HTTP_2, parts.status.as_u16(), reason);
    for (name, value) in &parts.headers {
        // What is said twice is said once.
        let twice =
            name == http::header::CONTENT_LENGTH && head.first(b"content-length") == Some(value.as_bytes());
        if !twice {
            head.add(name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// How the body of a response is read. `bodiless`: nothing follows the head; `trailers`: whoever gets it can be told
/// trailers whatever its length; `old`: it knows no chunks. `None`: the lengths contradict each other.
#[must_use]
pub fn framing(
    head: &Head,
    method: Method,
    bodiless: bool,
    trailers: bool,
    old: bool,
) -> Option<ResponseFraming> {
    let status = head.status();
    let mut lengths = head.values(b"content-length");
    let known = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(text), None) => Some(number(text)?),
        _ => return None,
    };
    let tunnel = method == Method::Connect && (200..300).contains(&status);
    let length = if tunnel {
        BodyLength::UntilClose
    } else if method == Method::Head || matches!(status, 204 | 304) || bodiless && known.is_some() {
        BodyLength::None
    } else if let Some(n) = known.filter(|_| !trailers) {
        BodyLength::Known(n)
    } else if trailers && bodiless {
        BodyLength::None
    } else if old {
        BodyLength::UntilClose
    } else {
        BodyLength::Chunked
    };
    Some(ResponseFraming { length, keep_alive: true, tunnel })
}

/// The answer to an extended CONNECT as that to the request it was made of: 101.
pub fn switched(request: &Head, head: &mut Head) {
    head.set_status(101);
    head.set_reason(b"Switching Protocols");
    head.add(b"connection", b"upgrade");
    let protocol = request.first(b"upgrade").unwrap_or_default();
    head.add(b"upgrade", protocol);
    if let Some(key) = request.first(b"sec-websocket-key") {
        head.add(b"sec-websocket-accept", &accept(key));
    }
}

/// RFC 6455 4.2.2
fn accept(key: &[u8]) -> Vec<u8> {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    crate::expr::base64_encode(&hash.finalize(), false)
}
