//! Heads of HTTP/2 to those every exchange works on, and back (RFC 9113 8).

use super::Moulds;
use crate::http::Engine;
use crate::http::h1::{self, BodyLength, Fault, Limits, RequestFraming, target_is_clean};
use crate::message::{Head, Method, Version};
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{Response, StatusCode, request};

/// A request as the library hands it out.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub parts: &'a request::Parts,
    /// The path as the client has it, where the library cut off what begins with `#`.
    pub path: Option<&'a [u8]>,
    /// Nothing follows the head.
    pub bodiless: bool,
}

/// Fills `head` from a request.
///
/// # Errors
/// What a server of HTTP/1 must not get to see, or what does not fit.
pub fn request(
    asked: &Asked,
    limits: &Limits,
    engine: &Engine,
    head: &mut Head,
) -> Result<RequestFraming, Fault> {
    let Asked { parts, bodiless, .. } = *asked;
    let protocol = parts.extensions.get::<h2::ext::Protocol>();
    // HAProxy has twice the room here, for what was cut into crumbs.
    if parts.headers.len() > limits.fields * 2 {
        return Err(Fault::TooLarge);
    }
    let path = path(asked);
    if !target_is_clean(path, limits.relaxed) || asked.path.is_some_and(|path| !may_be_relaxed(path)) {
        return Err(Fault::Bad);
    }
    if parts.method == http::Method::CONNECT && parts.uri.authority().is_none() {
        return Err(Fault::Bad);
    }
    start_line(parts, protocol.is_some(), path, head);
    fields(parts, head);
    if let Some(protocol) = protocol {
        begin_upgrade(protocol.as_str(), engine, head);
    }
    let mut framing = h1::judge_request(head, limits.relaxed, is_judged(parts, path))?;
    framing.keep_alive = true;
    if let (Method::Connect, Some(authority)) = (head.method(), parts.uri.authority()) {
        // The port is part of what is asked for.
        head.replace_value(0, authority.as_str().as_bytes());
    }
    let tunnel = head.method() == Method::Connect || protocol.is_some();
    if framing.length == BodyLength::None
        && !bodiless
        && !tunnel
        && !parts.headers.contains_key(CONTENT_LENGTH)
    {
        head.add(b"transfer-encoding", b"chunked");
        framing.length = BodyLength::Chunked;
    }
    Ok(framing)
}

fn path<'a>(asked: &Asked<'a>) -> &'a [u8] {
    if let Some(path) = asked.path {
        return path;
    }
    let path = asked.parts.uri.path_and_query().map_or("/", |p| p.as_str());
    // What is asked of the server as a whole has no path.
    if path == "*" { b"" } else { path.as_bytes() }
}

/// The library has not looked behind the `#`: what would end a line of HTTP/1 is taken from nobody.
fn may_be_relaxed(path: &[u8]) -> bool {
    path.starts_with(b"/") && path.iter().all(|b| *b > b' ' && *b != 0x7f)
}

/// The target is in absolute form, as HAProxy shows it; for CONNECT the authority alone.
fn start_line(parts: &request::Parts, extended: bool, path: &[u8], head: &mut Head) {
    head.clear();
    let method = if extended { b"GET".as_slice() } else { parts.method.as_str().as_bytes() };
    let method = head.push_bytes(method);
    let mut target = head.push_bytes(parts.uri.scheme_str().unwrap_or_default().as_bytes());
    if parts.uri.scheme().is_some() {
        target = head.push_behind(target, b"://");
    }
    if let Some(authority) = parts.uri.authority() {
        target = head.push_behind(target, authority.as_str().as_bytes());
    }
    if parts.method != http::Method::CONNECT || extended {
        target = head.push_behind(target, path);
    }
    if head.bytes(target).is_empty() {
        target = head.push_bytes(b"*");
    }
    head.request_line(method, target, Version::HTTP_2);
}

/// What the crate has looked at need not be judged again: an authority, which is the `host`, and a path behind it. Those
/// that HTTP/1 would change are left to it.
fn is_judged(parts: &request::Parts, path: &[u8]) -> bool {
    let authority = parts.uri.authority().map_or("@", |a| a.as_str());
    path.starts_with(b"/")
        && parts.uri.scheme().is_some()
        && parts.method != http::Method::CONNECT
        && !authority.ends_with(":80")
        && !authority.ends_with(":443")
        && memchr::memchr(b'@', authority.as_bytes()).is_none()
}

/// `host` first, from `:authority` where that is there (RFC 9113 8.3.1); the crumbs of cookies in one field, last.
fn fields(parts: &request::Parts, head: &mut Head) {
    let authority = parts.uri.authority().map(|a| a.as_str().as_bytes());
    if let Some(authority) = authority {
        head.add(b"host", authority);
    }
    for (name, value) in &parts.headers {
        // What is said twice is said once, as HAProxy does it here.
        if name == CONTENT_LENGTH && head.first(b"content-length") == Some(value.as_bytes()) {
            continue;
        }
        if name != COOKIE && (name != HOST || authority.is_none()) {
            head.add(name.as_str().as_bytes(), value.as_bytes().trim_ascii());
        }
    }
    let mut crumbs = parts.headers.get_all(COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    let mut cookie = first.as_bytes().to_vec();
    for crumb in crumbs {
        cookie.extend_from_slice(b"; ");
        cookie.extend_from_slice(crumb.as_bytes());
    }
    head.add(b"cookie", &cookie);
}

/// An extended CONNECT (RFC 8441) is to a server of HTTP/1 a request to change the protocol.
fn begin_upgrade(protocol: &str, engine: &Engine, head: &mut Head) {
    head.add(b"connection", b"upgrade");
    head.add(b"upgrade", protocol.as_bytes());
    if protocol == "websocket" {
        let key = [engine.random(), engine.random(), engine.random(), engine.random()];
        let key: Vec<u8> = key.iter().flat_map(|n| n.to_ne_bytes()).collect();
        head.add(b"sec-websocket-key", &crate::expr::base64_encode(&key, false));
    }
}

/// The head of a response; `None`: a field of it cannot be said in HTTP/2.
#[must_use]
pub fn response(head: &Head, moulds: &Moulds) -> Option<Response<()>> {
    let mut response = Response::new(());
    // The client of an extended CONNECT knows no 101: 200 means the same to it (RFC 8441 5).
    let switched = head.status() == 101;
    let status = if switched { 200 } else { head.status() };
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    let is_left_out = |name: &[u8], _: &[u8]| is_of_hop(name) || switched && name == b"sec-websocket-accept";
    *response.headers_mut() = moulds.map(head, is_left_out)?;
    Some(response)
}

/// RFC 9113 8.2.2.
pub(super) fn is_of_hop(name: &[u8]) -> bool {
    matches!(name, b"connection" | b"transfer-encoding" | b"keep-alive" | b"upgrade" | b"proxy-connection")
}
