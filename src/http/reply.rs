//! Answers that no server gave: error pages, `return`, `deny`, 401, the monitor's 200.

use crate::config::model::{Proxy, Reply};
use crate::live::rules::Editable;
use crate::message::Head;
use std::sync::Arc;

/// A complete response: the head has its `content-length` already; the engine adds only what the connection needs
/// (`connection: close` / `keep-alive`), and leaves the body out for HEAD.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Arc<[u8]>,
}

impl Answer {
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// The response as HTTP/1 bytes, without any connection header.
    #[must_use]
    pub fn to_http1(&self) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} ", self.head.status()).into_bytes();
        out.extend_from_slice(self.head.reason());
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.head.fields() {
            out.extend_from_slice(name);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
        out
    }
}

/// The answer for an error of the proxy's own (400, 408, 502, 503, 504…): the backend's `errorfile`/`http-error` for that
/// status, else the frontend's, else the built-in page.
pub fn error(status: u16, ctx: &mut dyn Editable) -> Answer {
    let _ = ctx;
    Answer { head: response_head(status), body: Arc::default() }
}

/// As [`error`] where no exchange exists yet (bad request, timeout before a request).
#[must_use]
pub fn early_error(status: u16, _front: &Proxy) -> Answer {
    Answer { head: response_head(status), body: Arc::default() }
}

/// `monitor-uri`: 200, or 503 when a `monitor fail` condition holds. `None` when the request is not the monitor's.
pub fn monitor(_front: &Proxy, _ctx: &mut dyn Editable) -> Option<Answer> {
    None
}

/// `return`, `deny` and `tarpit` with their arguments.
pub fn configured(reply: &Reply, _ctx: &mut dyn Editable) -> Answer {
    Answer { head: response_head(reply.status), body: Arc::default() }
}

/// `http-request auth`: 401, or 407 when the request was sent to a proxy (absolute target).
pub fn unauthorized(_realm: Option<&str>, _ctx: &mut dyn Editable) -> Answer {
    Answer { head: response_head(401), body: Arc::default() }
}

fn response_head(status: u16) -> Head {
    let mut head = Head::new();
    head.set_status(status);
    head
}
