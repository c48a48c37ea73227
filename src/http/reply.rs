//! Answers that no server gave: error pages, `return`, `deny`, 401, the monitor's 200.

use super::rules::{self, Verdict};
use super::status::{Page, reason};
use crate::config::model::{ErrorReply, Proxy, Reply, ReplyBody};
use crate::live::rules::Editable;
use crate::message::{Head, Version};
use std::sync::Arc;

/// A complete response. The head has its own `content-length` unless it came from a file without one (then the end of
/// the connection ends the body). The engine adds what the connection needs and leaves the body out for HEAD.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Arc<[u8]>,
    /// The connection ends with this answer, whatever the client asked (the pages for 400 and 408).
    pub close: bool,
    /// It refuses the request (`deny`, `tarpit`, `auth`): logged as `P`, other answers of our own as `L`.
    pub denied: bool,
    /// An empty `errorfile`: nothing is sent, the connection is closed.
    pub silent: bool,
    /// It sends the client elsewhere (`redirect`).
    pub redirects: bool,
    /// The status it stands for in the log, where it is answered with another one (`errorloc`).
    pub reason: Option<u16>,
}

impl Answer {
    pub(super) fn new(head: Head, body: impl Into<Arc<[u8]>>) -> Self {
        Self {
            head,
            body: body.into(),
            close: false,
            denied: false,
            silent: false,
            redirects: false,
            reason: None,
        }
    }

    #[must_use]
    pub fn denying(mut self) -> Self {
        self.denied = true;
        self
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The response as HTTP/1 bytes, without any connection header.
    #[must_use]
    pub fn to_http1(&self) -> Vec<u8> {
        let version = self.head.version();
        let mut out =
            format!("HTTP/{}.{} {} ", version.major, version.minor, self.head.status()).into_bytes();
        out.extend_from_slice(self.head.reason());
        out.extend_from_slice(b"\r\n");
        self.head.write_fields(&mut out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// The answer for an error of the proxy's own (403, 500, 502, 503, 504…): the backend's `errorfile`/`http-error` for that
/// status, else the frontend's, else the built-in page.
pub fn error(status: u16, ctx: &mut dyn Editable) -> Answer {
    let custom = [ctx.backend(), ctx.frontend()]
        .into_iter()
        .flatten()
        .find_map(|proxy| proxy.errors.iter().find(|(code, _)| *code == status))
        .map(|(_, reply)| reply.clone());
    match custom.and_then(|reply| custom_error(&reply, ctx)) {
        Some(mut answer) => {
            answer.reason = Some(status);
            answer
        }
        None => built_in(status),
    }
}

/// What is sent where no request could be read (400, 408 and the like): HAProxy's connection layer knows neither
/// `errorfile` nor `http-after-response` there, and sends these very bytes before it closes.
#[must_use]
pub fn early_error(status: u16) -> Vec<u8> {
    let page = Page::of(status);
    let body = page.body();
    // HAProxy's 422 does not speak of the close.
    let close = if page.status == 422 { "" } else { "Connection: close\r\n" };
    let mut out = format!(
        "HTTP/1.1 {} {}\r\nContent-length: {}\r\nCache-Control: no-cache\r\n{close}\
         Content-Type: text/html\r\n\r\n",
        page.status,
        page.reason,
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(&body);
    out
}

/// `monitor-uri`: 200, or 503 when a `monitor fail` condition holds. `None` when the request is not the monitor's.
pub fn monitor(front: &Proxy, ctx: &mut dyn Editable) -> Option<Answer> {
    let uri = front.monitor_uri.as_ref()?;
    if ctx.request()?.target() != uri.as_bytes() {
        return None;
    }
    let failed = front.monitor_fail.iter().any(|condition| condition.holds(ctx));
    Some(error(if failed { 503 } else { 200 }, ctx))
}

/// `return`, `deny` and `tarpit` with their arguments.
pub fn configured(reply: &Reply, ctx: &mut dyn Editable) -> Answer {
    let body: Arc<[u8]> = match &reply.body {
        ReplyBody::Default => return error(reply.status, ctx),
        ReplyBody::Raw(bytes) => return raw(bytes).unwrap_or_else(|| built_in(reply.status)),
        ReplyBody::Bytes(bytes) => bytes.clone(),
        ReplyBody::Format(format) => rules::render(format, ctx).into(),
    };
    let mut head = response_head(reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        let value = rules::render(value, ctx);
        head.add(name.as_bytes(), &value);
    }
    if reply.status != 204 {
        add_length(&mut head, body.len());
    }
    if let Some(content_type) = reply.content_type.as_ref().filter(|_| !body.is_empty()) {
        head.add(b"content-type", content_type.as_bytes());
    }
    Answer::new(head, body)
}

/// `http-request auth`: 401, or 407 to a client that uses us as its proxy (`option http-use-proxy-header`). The realm
/// is the proxy's name unless the rule gives one.
pub fn unauthorized(realm: Option<&str>, ctx: &mut dyn Editable) -> Answer {
    let proxy = ctx.backend().or_else(|| ctx.frontend());
    let realm = realm.or_else(|| proxy.map(|p| &*p.name)).unwrap_or_default().to_owned();
    let by_proxy = ctx.frontend().is_some_and(|f| f.options.http_use_proxy_header)
        && ctx.request().is_some_and(|r| !matches!(r.target().first(), Some(b'/' | b'*')));
    let (status, name) = if by_proxy { (407, "proxy-authenticate") } else { (401, "www-authenticate") };
    let mut answer = error(status, ctx);
    answer.head.add(name.as_bytes(), format!("Basic realm=\"{realm}\"").as_bytes());
    answer
}

/// The page compiled in.
pub(super) fn built_in(status: u16) -> Answer {
    let page = Page::of(status);
    let body = page.body();
    let mut head = response_head(page.status, page.reason);
    add_length(&mut head, body.len());
    head.add(b"cache-control", b"no-cache");
    head.add(b"content-type", b"text/html");
    let mut answer = Answer::new(head, body);
    answer.close = matches!(page.status, 400 | 408);
    answer
}

fn custom_error(reply: &ErrorReply, ctx: &mut dyn Editable) -> Option<Answer> {
    match reply {
        ErrorReply::Raw(bytes) => raw(bytes),
        ErrorReply::Reply(reply) => Some(configured(reply, ctx)),
        ErrorReply::Redirect(code, location) => {
            let phrase = if *code == 303 { "See Other" } else { "Found" };
            let mut head = response_head(*code, phrase);
            head.add(b"cache-control", b"no-cache");
            head.add(b"content-length", b"0");
            head.add(b"location", location.as_bytes());
            Some(Answer::new(head, Vec::new()))
        }
    }
}

/// A response kept as a file: its head is read anew, because rules may edit it. `connection` is never taken over.
fn raw(bytes: &[u8]) -> Option<Answer> {
    if bytes.is_empty() {
        let mut answer = Answer::new(response_head(0, ""), Vec::new());
        answer.silent = true;
        answer.close = true;
        return Some(answer);
    }
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(len) = response.parse(bytes).ok()? else { return None };
    let mut head = response_head(response.code?, response.reason.unwrap_or_default());
    head.set_version(Version { major: 1, minor: response.version.unwrap_or(1) });
    for field in response.headers.iter().filter(|f| !f.name.eq_ignore_ascii_case("connection")) {
        head.add(field.name.as_bytes(), field.value);
    }
    let mut answer = Answer::new(head, bytes.get(len..).unwrap_or_default());
    answer.close = !answer.head.has(b"content-length");
    Some(answer)
}

pub(super) fn response_head(status: u16, phrase: &str) -> Head {
    let mut head = Head::new();
    head.set_status(status);
    head.set_reason(phrase.as_bytes());
    head
}

fn add_length(head: &mut Head, len: usize) {
    head.add(b"content-length", len.to_string().as_bytes());
}

/// The verdict for an action that could not be carried out.
pub(super) fn failed(status: u16, ctx: &mut dyn Editable) -> Verdict {
    Verdict::Failed(Box::new(error(status, ctx)))
}
