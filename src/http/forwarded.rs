//! What the proxy tells the server about the client: `forwardfor`, `originalto`, `forwarded`, the unique id, the server's name.

use crate::config::model::{Proxy, RestrictNames};
use crate::live::rules::Editable;
use crate::message::Head;

/// Adds the headers of `option forwardfor`, `originalto`, `forwarded` and `unique-id-header` to the request, once its
/// backend is known and its rules have run. A `listen` is both.
pub fn announce(_front: &Proxy, _back: &Proxy, _ctx: &mut dyn Editable) {}

/// `http-send-name-header`: set on each attempt, as the server becomes known.
pub fn name_server(_back: &Proxy, _server: &str, _head: &mut Head) {}

/// `option http-restrict-req-hdr-names`. False: the request must be answered 403 (`PR`).
#[must_use]
pub fn restrict_names(_policy: RestrictNames, _head: &mut Head) -> bool {
    true
}

/// `capture request header` lines of the frontend into the log record. To be called before any rule runs.
pub fn capture_request_headers(_front: &Proxy, _ctx: &mut dyn Editable) {}

/// `capture response header` lines. To be called before any rule runs.
pub fn capture_response_headers(_front: &Proxy, _ctx: &mut dyn Editable) {}
