//! Cookie persistence: reading the server from the request, marking it in the response.

use crate::config::model::{Backend, Proxy};
use crate::ids::ServerIndex;
use crate::live::Sticky;
use crate::live::rules::Editable;

/// What the exchange must remember between the request's and the response's cookie work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Persistence {
    pub request: RequestCookie,
    pub response: ResponseCookie,
    /// `ignore-persist` held: no cookie is read.
    pub ignored: bool,
    /// The request's dates, of a cookie with `maxidle`/`maxlife` (seconds since the epoch).
    pub first_seen: Option<u64>,
    pub last_seen: Option<u64>,
    /// The server the request's cookie named.
    pub named: Option<ServerIndex>,
}

/// The third termination letter (manual 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestCookie {
    /// `-`: no cookie line in the backend
    #[default]
    Unused,
    None,
    Invalid,
    Down,
    Valid,
    Expired,
    Old,
    /// A cookie was there, but a `use-server` rule or the like made it unused.
    Overridden,
}

/// The fourth termination letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseCookie {
    #[default]
    Unused,
    None,
    /// The server's own, untouched.
    Passed,
    Inserted,
    Updated,
    Rewritten,
    Deleted,
}

impl Persistence {
    /// The last two letters of the termination state.
    #[must_use]
    pub fn letters(&self) -> [u8; 2] {
        let request = match self.request {
            RequestCookie::Unused => b'-',
            RequestCookie::None => b'N',
            RequestCookie::Invalid => b'I',
            RequestCookie::Down => b'D',
            RequestCookie::Valid => b'V',
            RequestCookie::Expired => b'E',
            RequestCookie::Old => b'O',
            RequestCookie::Overridden => b'U',
        };
        let response = match self.response {
            ResponseCookie::Unused => b'-',
            ResponseCookie::None => b'N',
            ResponseCookie::Passed => b'P',
            ResponseCookie::Inserted => b'I',
            ResponseCookie::Updated => b'U',
            ResponseCookie::Rewritten => b'R',
            ResponseCookie::Deleted => b'D',
        };
        [request, response]
    }
}

/// Reads (and, for `indirect` and `prefix`, strips) the persistence cookie of the request, after `force-persist` and
/// `ignore-persist`. `usable` says whether a server can take traffic now.
pub fn on_request(
    _backend: &Backend,
    _persist_option: bool,
    _usable: &dyn Fn(ServerIndex) -> bool,
    _ctx: &mut dyn Editable,
) -> (Persistence, Option<Sticky>) {
    (Persistence::default(), None)
}

/// `use-server`: the first rule that holds and names a known server.
pub fn use_server(_backend: &Backend, _ctx: &mut dyn Editable) -> Option<ServerIndex> {
    None
}

/// Inserts, rewrites or removes the persistence cookie in the response; `server` gave it.
pub fn on_response(
    _backend: &Backend,
    _server: Option<ServerIndex>,
    _state: &mut Persistence,
    _ctx: &mut dyn Editable,
) {
}

/// `capture cookie` on the request / the response.
pub fn capture_request(_front: &Proxy, _ctx: &mut dyn Editable) {}

/// See [`capture_request`].
pub fn capture_response(_front: &Proxy, _ctx: &mut dyn Editable) {}

/// `option checkcache`: true when the response must be blocked (502, `PH`) because a cache could keep its cookie.
pub fn leaks_cookie(_ctx: &dyn Editable) -> bool {
    false
}
