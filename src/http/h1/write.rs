//! Heads to bytes, as HAProxy lays them out: lower-case names, one space, the `connection` field last.

use crate::http::target;
use crate::message::{Head, Method, Version};
use std::sync::Arc;

/// What the other side is told about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    KeepAlive,
    Close,
}

/// `h1-case-adjust`: (lower-case name, name as sent).
pub type CaseMap = [(Arc<str>, Arc<str>)];

/// Appends a request head. HTTP/1.1 persists unless told otherwise, HTTP/1.0 the other way round.
pub fn request(head: &Head, persistence: Persistence, case: Option<&CaseMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(head.method_bytes());
    out.push(b' ');
    out.extend_from_slice(target(head));
    out.extend_from_slice(if head.version() >= Version::HTTP_11 {
        b" HTTP/1.1\r\n"
    } else {
        b" HTTP/1.0\r\n"
    });
    fields(head, case, out);
    let explicit = match persistence {
        Persistence::KeepAlive => head.version() < Version::HTTP_11,
        Persistence::Close => head.version() >= Version::HTTP_11,
    };
    finish(explicit.then_some(persistence), case, out);
}

/// The target of HTTP/2 names scheme and authority; the server gets the path.
fn target(head: &Head) -> &[u8] {
    let target = head.target();
    if head.version() < Version::HTTP_2 || head.method() == Method::Connect {
        return target;
    }
    match target::parts(target) {
        None => target,
        Some((.., b"")) if head.method() == Method::Options => b"*",
        Some((.., b"")) => b"/",
        Some((.., rest)) => rest,
    }
}

/// Appends a response head. `client` is the version of the request: an HTTP/1.0 client is always told.
pub fn response(
    head: &Head,
    client: Version,
    persistence: Persistence,
    case: Option<&CaseMap>,
    out: &mut Vec<u8>,
) {
    let http11 = head.version() >= Version::HTTP_11;
    status_line(head, out);
    fields(head, case, out);
    let explicit = match persistence {
        Persistence::KeepAlive => !http11 || client < Version::HTTP_11,
        Persistence::Close => http11,
    };
    finish(explicit.then_some(persistence), case, out);
}

/// Appends a 1xx head (or 101): nothing is said about the connection.
pub fn interim(head: &Head, case: Option<&CaseMap>, out: &mut Vec<u8>) {
    status_line(head, out);
    fields(head, case, out);
    out.extend_from_slice(b"\r\n");
}

/// HAProxy's count of a head for `%B` and `%U`: its internal representation, 20 bytes for the start line's own
/// bookkeeping, then the text without separators, and one for the end of the fields.
#[must_use]
pub fn accounted(head: &Head) -> u64 {
    let line = if head.status() == 0 {
        head.method_bytes().len() + head.target().len() + 8
    } else {
        8 + 3 + head.reason().len()
    };
    (20 + line + head.field_bytes() + 1) as u64
}

/// A 103 of our own as HAProxy counts it: see [`accounted`].
#[must_use]
pub fn accounted_hint(bytes: &[u8]) -> u64 {
    let lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).skip(1).filter(|line| !line.is_empty());
    let fields: usize = lines.map(|line| line.len().saturating_sub(2)).sum();
    (20 + "HTTP/1.1103Early Hints".len() + fields + 1) as u64
}

fn status_line(head: &Head, out: &mut Vec<u8>) {
    out.extend_from_slice(if head.version() >= Version::HTTP_11 { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    let status = head.status().min(999);
    out.extend([status / 100, status / 10 % 10, status % 10].map(|d| b'0' + d as u8));
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
}

fn fields(head: &Head, case: Option<&CaseMap>, out: &mut Vec<u8>) {
    let Some(case) = case else { return head.write_fields(out) };
    std::hint::cold_path();
    for (name, value) in head.fields() {
        out.extend_from_slice(adjusted(name, case));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

fn finish(persistence: Option<Persistence>, case: Option<&CaseMap>, out: &mut Vec<u8>) {
    if let Some(persistence) = persistence {
        out.extend_from_slice(case.map_or(b"connection".as_slice(), |case| adjusted(b"connection", case)));
        out.extend_from_slice(match persistence {
            Persistence::KeepAlive => b": keep-alive\r\n",
            Persistence::Close => b": close\r\n",
        });
    }
    out.extend_from_slice(b"\r\n");
}

fn adjusted<'a>(name: &'a [u8], case: &'a CaseMap) -> &'a [u8] {
    case.iter().find(|(lower, _)| lower.as_bytes() == name).map_or(name, |(_, sent)| sent.as_bytes())
}
