//! `http-check`: requests written, responses read, header fields matched.

use super::scene::Scene;
use crate::config::model::check::{Header, Match, Request, Text};
use crate::expr::LogFormat;
use crate::message::{Head, Version};

/// Fields a response may have.
const FIELDS: usize = 128;

/// A request with its texts computed.
#[derive(Debug)]
pub struct Outgoing {
    pub method: String,
    pub uri: Vec<u8>,
    version: &'static str,
    /// Names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Outgoing {
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// As HTTP/1 writes it.
    pub fn bytes(&self) -> Vec<u8> {
        let line = [self.method.as_bytes(), b" ", &self.uri, b" ", self.version.as_bytes(), b"\r\n"];
        let mut out = line.concat();
        for (name, value) in &self.headers {
            out.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if self.version == "HTTP/1.1" && self.header("connection").is_none() {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// What is to be asked; `state` is the header of `http-check send-state`.
pub fn request(wanted: &Request, state: Option<&str>, scene: &mut Scene<'_>) -> Outgoing {
    let method = wanted.method.as_deref().unwrap_or("OPTIONS");
    let version = version(wanted.version.as_deref().unwrap_or_default());
    scene.bodiless = method == "HEAD";
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, format) in &wanted.headers {
        let mut value = Vec::new();
        format.render(scene, &mut value);
        headers.push((name.clone(), value));
    }
    let host = headers.iter().find(|(n, _)| n == "host").map(|(_, v)| v.clone());
    let uri = wanted.uri.as_ref().map_or_else(|| b"/".to_vec(), |t| render(t, scene));
    if let Some(state) = state {
        headers.push(("x-haproxy-server-state".into(), state.as_bytes().to_vec()));
    }
    let body = match &wanted.body {
        Some(Text::Plain(text)) => text.clone().into_bytes(),
        Some(Text::Format(format)) => raw(format, scene),
        None => Vec::new(),
    };
    if !body.is_empty() {
        headers.push(("content-length".into(), body.len().to_string().into_bytes()));
    }
    let uri = addressed(uri, host.as_deref());
    Outgoing { method: method.to_owned(), uri, version, headers, body }
}

/// Everything from 1.1 on is spoken as 1.1.
fn version(text: &str) -> &'static str {
    let number = text.strip_prefix("HTTP/").and_then(|v| v.split_once('.'));
    match number {
        Some(("1", minor)) if minor != "0" => "HTTP/1.1",
        Some((major, _)) if major != "0" && major != "1" => "HTTP/1.1",
        _ => "HTTP/1.0",
    }
}

/// An absolute target names the host that the header does.
fn addressed(uri: Vec<u8>, host: Option<&[u8]>) -> Vec<u8> {
    let Some(host) = host else { return uri };
    let Some(at) = memchr::memmem::find(&uri, b"://").map(|i| i + 3) else { return uri };
    if uri.first() == Some(&b'/') {
        return uri;
    }
    let (scheme, rest) = uri.split_at(at);
    let path = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    [scheme, host, rest.get(path..).unwrap_or_default()].concat()
}

fn raw(format: &LogFormat, scene: &mut Scene<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    format.render_raw(scene, &mut out);
    out
}

fn render(text: &Text, scene: &mut Scene<'_>) -> Vec<u8> {
    match text {
        Text::Plain(text) => text.clone().into_bytes(),
        Text::Format(format) => {
            let mut out = Vec::new();
            format.render(scene, &mut out);
            out
        }
    }
}

/// A response, as far as it has come.
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
    /// All of the body is there.
    pub complete: bool,
}

pub enum Read {
    Partial,
    Invalid,
    Head(Message),
}

impl Message {
    /// What the scene has of it.
    pub fn of(scene: &mut Scene<'_>) -> Read {
        let Some(head) = &scene.head else {
            return Self::read(&scene.received, scene.closed, scene.bodiless);
        };
        let (head, body) = (head.clone(), scene.received.clone());
        Read::Head(Self { head, body, complete: scene.closed })
    }

    /// `bodiless`: the request was one whose response has no body.
    pub fn read(bytes: &[u8], closed: bool, bodiless: bool) -> Read {
        // A later version is no reason to call a server down; httparse knows 1.0 and 1.1 alone.
        if let [b'H', b'T', b'T', b'P', b'/', b'2'..=b'9', b'.', b'0'..=b'9', rest @ ..] = bytes {
            return Self::read(&[b"HTTP/1.1", rest].concat(), closed, bodiless);
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let mut config = httparse::ParserConfig::default();
        config.allow_multiple_spaces_in_response_status_delimiters(true);
        config.allow_obsolete_multiline_headers_in_responses(true);
        let length = match config.parse_response(&mut response, bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if !closed => return Read::Partial,
            _ => return Read::Invalid,
        };
        let (Some(status), Some(minor)) = (response.code, response.version) else { return Read::Invalid };
        let mut head = Head::new();
        head.load(bytes.get(..length).unwrap_or_default());
        // Where a part of `bytes` stands in it.
        let at = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
        // Other bytes than ASCII make httparse drop the reason: it stands at the end of the first line.
        let line =
            bytes.get(..memchr::memchr(b'\n', bytes).unwrap_or(0)).unwrap_or_default().trim_ascii_end();
        let reason = line.splitn(3, |b| *b == b' ').nth(2).unwrap_or_default();
        let reason = head.piece(at(reason), reason.len());
        head.status_line(Version { major: 1, minor }, status, reason);
        for field in response.headers.iter() {
            let name = head.piece(at(field.name.as_bytes()), field.name.len());
            let value = head.piece(at(field.value), field.value.len());
            head.field(name, value);
        }
        let rest = bytes.get(length..).unwrap_or_default();
        let none = bodiless || status < 200 || matches!(status, 204 | 304);
        let (body, complete) = if none { (Vec::new(), true) } else { body(&head, rest, closed) };
        Read::Head(Self { head, body, complete: complete || closed })
    }
}

/// What there is of the body, and whether that is all.
fn body(head: &Head, rest: &[u8], closed: bool) -> (Vec<u8>, bool) {
    let coding = head.values(b"transfer-encoding").next_back().map(<[u8]>::to_ascii_lowercase);
    if coding.is_some_and(|c| c.ends_with(b"chunked")) {
        return unchunked(rest);
    }
    let length = head.first(b"content-length").and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
    match length {
        Some(length) => (rest.get(..length).unwrap_or(rest).to_vec(), rest.len() >= length),
        None => (rest.to_vec(), closed),
    }
}

/// RFC 9112 7.1; what is malformed ends the body where it stands.
fn unchunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = memchr::memmem::find(rest, b"\r\n") else { return (body, false) };
        let (line, data) = (rest.get(..end).unwrap_or_default(), rest.get(end + 2..).unwrap_or_default());
        let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|d| usize::from_str_radix(d, 16).ok());
        match size {
            None | Some(0) => return (body, true),
            Some(size) => {
                body.extend_from_slice(data.get(..size).unwrap_or(data));
                let Some(next) = size.checked_add(2).and_then(|n| data.get(n..)) else {
                    return (body, false);
                };
                rest = next;
            }
        }
    }
}

/// Has the response such a field? `None`: a computed pattern is empty.
pub fn header(wanted: &Header, scene: &mut Scene<'_>) -> Option<bool> {
    let name = Needle::new(&wanted.name, scene)?.lower();
    let value = match &wanted.value {
        Some(value) => Some(Needle::new(value, scene)?),
        None => None,
    };
    let Some(message) = &scene.message else { return Some(false) };
    let found = message.head.fields().filter(|(n, _)| name.is_in(n)).any(|(_, v)| match &value {
        None => true,
        Some(value) if wanted.full => value.is_in(v),
        Some(value) => listed(v).any(|v| value.is_in(v)),
    });
    Some(found)
}

/// The values between commas; those inside quotes are text.
fn listed(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value
        .split(move |b| {
            quoted ^= *b == b'"';
            *b == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
}

/// A pattern with its text computed.
enum Needle<'a> {
    Exact(Vec<u8>),
    Begins(Vec<u8>),
    Ends(Vec<u8>),
    Contains(Vec<u8>),
    Regex(&'a crate::expr::Regex),
}

impl<'a> Needle<'a> {
    fn new(wanted: &'a Match, scene: &mut Scene<'_>) -> Option<Self> {
        let mut text = |text: &Text| Some(render(text, scene)).filter(|t| !t.is_empty());
        Some(match wanted {
            Match::Exact(t) => Self::Exact(text(t)?),
            Match::Begins(t) => Self::Begins(text(t)?),
            Match::Ends(t) => Self::Ends(text(t)?),
            Match::Contains(t) => Self::Contains(text(t)?),
            Match::Regex(regex) => Self::Regex(regex),
        })
    }

    /// Field names are kept in lower case.
    fn lower(self) -> Self {
        match self {
            Self::Exact(t) => Self::Exact(t.to_ascii_lowercase()),
            Self::Begins(t) => Self::Begins(t.to_ascii_lowercase()),
            Self::Ends(t) => Self::Ends(t.to_ascii_lowercase()),
            Self::Contains(t) => Self::Contains(t.to_ascii_lowercase()),
            Self::Regex(regex) => Self::Regex(regex),
        }
    }

    fn is_in(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(t) => text == t.as_slice(),
            Self::Begins(t) => text.starts_with(t),
            Self::Ends(t) => text.ends_with(t),
            Self::Contains(t) => memchr::memmem::find(text, t).is_some(),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}
