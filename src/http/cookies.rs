//! Cookie persistence: reading the server from the request, marking it in the response.

mod date;
mod walk;

use crate::config::model::{Backend, Cookie, CookieMode, PersistRule, Proxy, UseServer};
use crate::ids::ServerIndex;
use crate::live::rules::Editable;
use crate::live::servers::Servers;
use crate::live::{LiveServer, Sticky};
use crate::message::{Head, Method};
use std::time::UNIX_EPOCH;
use walk::{Pair, Walker};

/// A cookie from further in the future than this is not believed (HAProxy allows clocks to differ by a day).
const SKEW: u64 = 86_400;

/// What the exchange must remember between the request's and the response's cookie work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Persistence {
    pub request: RequestCookie,
    pub response: ResponseCookie,
    /// `ignore-persist` held: no cookie is read or written.
    pub ignored: bool,
    /// The request's dates, of a cookie with `maxidle`/`maxlife` (seconds since the epoch).
    pub first_seen: Option<u64>,
    pub last_seen: Option<u64>,
    /// The server that the cookie or `use-server` chose.
    pub named: Option<ServerIndex>,
}

/// The third termination letter (manual 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestCookie {
    /// `-`: the backend has no cookie, or only reads it
    #[default]
    Unused,
    None,
    Invalid,
    Down,
    Valid,
    Expired,
    Old,
    /// A cookie was there, but `ignore-persist` or `use-server` made it unused.
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

    /// The state at the beginning: what is logged when the request ends before its cookie is read.
    #[must_use]
    pub fn of(backend: &Backend) -> Self {
        let written = backend.cookie.as_ref().is_some_and(|c| c.mode != CookieMode::Passive || c.indirect);
        if written {
            Self { request: RequestCookie::None, response: ResponseCookie::None, ..Self::default() }
        } else {
            Self::default()
        }
    }

    /// The request goes to another server than the one persistence chose: its cookie was of one that is down.
    pub fn redispatched(&mut self) {
        if self.request == RequestCookie::Valid {
            self.request = RequestCookie::Down;
        }
        self.named = None;
    }
}

/// `force-persist`/`ignore-persist`, then `use-server`, then the cookie of the request, which `indirect` and `prefix` strip.
/// `usable` says whether a server is up (draining ones are).
pub fn on_request(
    backend: &Backend,
    servers: &Servers,
    persist_option: bool,
    usable: &dyn Fn(ServerIndex) -> bool,
    ctx: &mut dyn Editable,
) -> (Persistence, Option<Sticky>) {
    let mut state = Persistence::of(backend);
    let letters = state.request != RequestCookie::Unused;
    let mut forced = persist_option;
    for rule in &backend.persist_rules {
        match rule {
            PersistRule::Force(condition) if condition.holds(ctx) => forced = true,
            PersistRule::Ignore(condition) if condition.holds(ctx) => state.ignored = true,
            _ => continue,
        }
        break;
    }
    let may_use = |server| forced || usable(server);
    let redispatch = ctx.backend().is_some_and(|b| b.options.redispatch.is_some());
    state.named = use_server_among(backend, &may_use, ctx);
    if let Some(cookie) = &backend.cookie {
        let now = unix_seconds(ctx);
        let mut reader = Reader { servers, cookie, now, usable, may_use: &may_use, state };
        if let Some(head) = ctx.request_mut() {
            reader.read(head);
        }
        state = reader.state;
    }
    if !letters {
        state.request = RequestCookie::Unused;
    }
    let sticky = state.named.map(|server| Sticky { server, even_down: forced, redispatch });
    (state, sticky)
}

/// `use-server`: the first rule that holds and names a known server. [`on_request`] includes it.
pub fn use_server(backend: &Backend, ctx: &mut dyn Editable) -> Option<ServerIndex> {
    use_server_among(backend, &|_| true, ctx)
}

fn use_server_among(
    backend: &Backend,
    may_use: &dyn Fn(ServerIndex) -> bool,
    ctx: &mut dyn Editable,
) -> Option<ServerIndex> {
    for rule in &backend.use_server {
        if rule.condition.as_ref().is_some_and(|c| !c.holds(ctx)) {
            continue;
        }
        let server = match &rule.action {
            UseServer::Static(server) => Some(*server),
            UseServer::Dynamic(format) => {
                let name = super::rules::render(format, ctx);
                let position = backend.servers.iter().position(|s| s.name.as_bytes() == name);
                position.map(|i| ServerIndex(i as u32))
            }
        };
        if let Some(server) = server.filter(|s| may_use(*s)) {
            return Some(server);
        }
    }
    None
}

fn unix_seconds(ctx: &dyn Editable) -> u64 {
    ctx.date().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Reads the persistence cookie out of a request.
struct Reader<'a> {
    servers: &'a Servers,
    cookie: &'a Cookie,
    now: u64,
    usable: &'a dyn Fn(ServerIndex) -> bool,
    may_use: &'a dyn Fn(ServerIndex) -> bool,
    state: Persistence,
}

impl Reader<'_> {
    fn read(&mut self, head: &mut Head) {
        let mut emptied = false;
        for index in 0..head.field_count() {
            let Some((_, value)) = head.fields().nth(index).filter(|(n, _)| *n == b"cookie") else {
                continue;
            };
            if value.is_empty() {
                continue;
            }
            let mut walker = Walker::new(value);
            while let Some(pair) = walker.advance() {
                if walker.text.get(pair.name.clone()) == Some(self.cookie.name.as_bytes()) {
                    self.one(&mut walker, &pair);
                }
            }
            emptied |= walker.text.is_empty();
            if walker.changed() {
                head.replace_value(index, &walker.text);
            }
        }
        if emptied {
            head.remove_where(|name, value| name == b"cookie" && value.is_empty());
        }
    }

    fn one(&mut self, walker: &mut Walker, pair: &Pair) {
        let value = walker.text.get(pair.value.clone()).unwrap_or_default().to_vec();
        let mut id = value.as_slice();
        if self.cookie.mode == CookieMode::Prefix {
            if let Some(tilde) = value.iter().position(|b| *b == b'~') {
                id = value.get(..tilde).unwrap_or_default();
                self.choose(id);
                let start = pair.value.start;
                walker.replace(start..start + tilde + 1, b"");
                return;
            }
        } else if let Some(bar) = value.iter().position(|b| *b == b'|') {
            id = value.get(..bar).unwrap_or_default();
            self.dates(value.get(bar + 1..).unwrap_or_default());
        }
        if self.fresh() {
            self.choose(id);
        }
        if self.cookie.indirect && self.cookie.mode != CookieMode::Prefix {
            walker.delete(pair);
        }
    }

    /// `last[|first]`
    fn dates(&mut self, text: &[u8]) {
        self.state.last_seen = date::decode(text);
        let first = text.iter().position(|b| *b == b'|').and_then(|bar| text.get(bar + 1..));
        self.state.first_seen = first.and_then(date::decode);
    }

    /// Checks `maxidle` and `maxlife`.
    fn fresh(&mut self) -> bool {
        let beyond = |seen: Option<u64>, limit: Option<std::time::Duration>| match (seen, limit) {
            (Some(seen), Some(limit)) => self.now > seen + limit.as_secs() || seen > self.now + SKEW,
            _ => false,
        };
        let verdict = if beyond(self.state.last_seen, self.cookie.maxidle) {
            RequestCookie::Expired
        } else if beyond(self.state.first_seen, self.cookie.maxlife) {
            RequestCookie::Old
        } else {
            return true;
        };
        self.state.request = verdict;
        self.state.last_seen = None;
        self.state.first_seen = None;
        false
    }

    fn choose(&mut self, id: &[u8]) {
        if self.state.ignored || self.state.named.is_some() {
            if !self.decided() {
                self.state.request = RequestCookie::Overridden;
            }
            return;
        }
        for server in self.servers.iter() {
            if server.cookie().is_none_or(|c| c.as_bytes() != id) {
                continue;
            }
            let index = server.index;
            self.state.request =
                if (self.usable)(index) { RequestCookie::Valid } else { RequestCookie::Down };
            if (self.may_use)(index) {
                self.state.named = Some(index);
                return;
            }
        }
        if !self.decided() {
            self.state.request = RequestCookie::Invalid;
        }
    }

    /// An earlier cookie of the request said something that a later one does not change.
    fn decided(&self) -> bool {
        matches!(
            self.state.request,
            RequestCookie::Down | RequestCookie::Expired | RequestCookie::Old | RequestCookie::Valid
        )
    }
}

/// Inserts, rewrites or removes the persistence cookie in the response; `server` gave it.
pub fn on_response(
    backend: &Backend,
    server: Option<&LiveServer>,
    state: &mut Persistence,
    ctx: &mut dyn Editable,
) {
    let Some(cookie) = &backend.cookie else { return };
    // A cookie that is only read has no letters.
    let letters = state.response != ResponseCookie::Unused;
    let now = unix_seconds(ctx);
    let method = ctx.request().map_or(Method::Other, Head::method);
    if let Some(head) = ctx.response_mut() {
        respond(cookie, server, state, now, method, head);
    }
    if !letters {
        state.response = ResponseCookie::Unused;
    }
}

fn respond(
    cookie: &Cookie,
    server: Option<&LiveServer>,
    state: &mut Persistence,
    now: u64,
    method: Method,
    head: &mut Head,
) {
    if state.named.is_some() && state.named != server.map(|s| s.index) {
        state.redispatched();
    }
    let value = server.map(LiveServer::cookie);
    let value = value.as_ref().map(|v| v.as_deref().unwrap_or_default());
    let direct = state.named.is_some();
    let cacheable = cookie.nocache && cacheability(head, method).stored;
    let found = server_cookies(head, cookie, value, direct, state);
    let stale = (cookie.maxidle.is_some() || state.last_seen.is_some())
        && state.last_seen.is_none_or(|seen| seen < now)
        || cookie.maxlife.is_some() != state.first_seen.is_some();
    let wanted = cookie.mode == CookieMode::Insert
        && !(found && cookie.preserve)
        && (!direct || stale)
        && (!cookie.postonly || method == Method::Post)
        && !state.ignored;
    let Some(value) = value.filter(|_| wanted) else { return };
    head.add(b"set-cookie", &inserted(cookie, value, state, now));
    state.response =
        if direct && !value.is_empty() { ResponseCookie::Updated } else { ResponseCookie::Inserted };
    if cacheable {
        head.add(b"cache-control", b"private");
    }
}

/// Handles the server's own `set-cookie` of the persistence cookie's name. True when there was one.
fn server_cookies(
    head: &mut Head,
    cookie: &Cookie,
    value: Option<&str>,
    direct: bool,
    state: &mut Persistence,
) -> bool {
    let mut found = false;
    let mut gone = Vec::new();
    for index in 0..head.field_count() {
        let Some((_, text)) = head.fields().nth(index).filter(|(n, _)| *n == b"set-cookie") else { continue };
        let mut walker = Walker::new(text);
        let Some(pair) = walker.advance() else { continue };
        if walker.text.get(pair.name.clone()) != Some(cookie.name.as_bytes()) {
            continue;
        }
        found = true;
        let named = value.filter(|v| !v.is_empty());
        let insert = value.is_some() && cookie.mode == CookieMode::Insert;
        let new = if cookie.preserve {
            state.response = ResponseCookie::Passed;
            None
        } else if insert || direct && cookie.indirect {
            state.response = ResponseCookie::Deleted;
            gone.push(index);
            continue;
        } else {
            match (named, cookie.mode) {
                (Some(id), CookieMode::Rewrite) => Some((pair.value.clone(), id.as_bytes().to_vec())),
                (Some(id), CookieMode::Prefix) => {
                    let at = pair.value.start;
                    Some((at..at, [id.as_bytes(), b"~"].concat()))
                }
                _ => None,
            }
        };
        if let Some((range, with)) = new {
            walker.replace(range, &with);
            state.response = ResponseCookie::Rewritten;
        } else {
            state.response = ResponseCookie::Passed;
        }
        if walker.changed() {
            head.replace_value(index, &walker.text);
        }
    }
    let mut position = 0;
    head.remove_where(|_, _| {
        position += 1;
        gone.contains(&(position - 1))
    });
    found
}

/// The cookie as we send it. A server without a value (a backup one, say) takes the client's cookie away.
fn inserted(cookie: &Cookie, value: &str, state: &Persistence, now: u64) -> Vec<u8> {
    let mut text = format!("{}={value}", cookie.name).into_bytes();
    if value.is_empty() {
        text.extend_from_slice(b"; Expires=Thu, 01-Jan-1970 00:00:01 GMT");
    } else if cookie.maxidle.is_some() || cookie.maxlife.is_some() {
        text.push(b'|');
        text.extend_from_slice(&date::encode(now));
        if cookie.maxlife.is_some() {
            text.push(b'|');
            text.extend_from_slice(&state.first_seen.map_or_else(|| date::encode(now), date::encode_again));
        }
    }
    text.extend_from_slice(b"; path=/");
    for domain in &cookie.domains {
        text.extend_from_slice(format!("; domain={domain}").as_bytes());
    }
    if cookie.httponly {
        text.extend_from_slice(b"; HttpOnly");
    }
    if cookie.secure {
        text.extend_from_slice(b"; Secure");
    }
    for attr in &cookie.attrs {
        text.extend_from_slice(format!("; {attr}").as_bytes());
    }
    text
}

/// May a shared cache keep the response, and its cookies with it?
struct Cacheability {
    stored: bool,
    with_cookies: bool,
}

/// HAProxy's reading of RFC 9111: status and method, then the directives in their order, then whether anything says how
/// long it is good for.
fn cacheability(head: &Head, method: Method) -> Cacheability {
    let by_method = matches!(method, Method::Get | Method::Head | Method::Options | Method::Trace);
    let by_status = matches!(head.status(), 200 | 203 | 204 | 206 | 300 | 301 | 404 | 405 | 410 | 414 | 501);
    let mut stored = by_method && by_status;
    let mut with_cookies = stored;
    if head.values(b"pragma").any(|v| has_token(v, b"no-cache")) {
        (stored, with_cookies) = (false, false);
    }
    let mut lifetime = head.has(b"expires") || head.has(b"etag") || head.has(b"last-modified");
    for value in head.values(b"cache-control") {
        for directive in value.split(|b| *b == b',').map(|d| d.trim_ascii().to_ascii_lowercase()) {
            if directive.starts_with(b"no-cache=\"set-cookie") {
                with_cookies = false;
            } else if matches!(directive.as_slice(), b"private" | b"no-store" | b"no-cache")
                || matches!(directive.as_slice(), b"max-age=0" | b"s-maxage=0")
            {
                (stored, with_cookies) = (false, false);
            } else if directive == b"public" {
                (stored, with_cookies) = (true, true);
            } else if directive.starts_with(b"max-age=") || directive.starts_with(b"s-maxage=") {
                lifetime = true;
            }
        }
    }
    stored &= lifetime;
    Cacheability { stored, with_cookies: with_cookies && stored }
}

fn has_token(value: &[u8], token: &[u8]) -> bool {
    value.split(|b| *b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(token))
}

/// `option checkcache`: true when the response must be blocked (502, `PH`) because a cache could keep its cookie. To be
/// asked before [`on_response`] adds a cookie of ours.
pub fn leaks_cookie(ctx: &dyn Editable) -> bool {
    let Some(head) = ctx.response().filter(|r| r.has(b"set-cookie")) else { return false };
    let verdict = cacheability(head, ctx.request().map_or(Method::Other, Head::method));
    verdict.stored && verdict.with_cookies
}

/// `capture cookie` on the request.
pub fn capture_request(front: &Proxy, ctx: &mut dyn Editable) {
    if let Some(found) = captured(front, ctx.request(), b"cookie") {
        ctx.log_mut().request_cookie = Some(found);
    }
}

/// `capture cookie` on the response.
pub fn capture_response(front: &Proxy, ctx: &mut dyn Editable) {
    if let Some(found) = captured(front, ctx.response(), b"set-cookie") {
        ctx.log_mut().response_cookie = Some(found);
    }
}

/// The first `name=value` that begins with the name to be captured.
fn captured(front: &Proxy, head: Option<&Head>, field: &[u8]) -> Option<Vec<u8>> {
    let capture = front.cookie_capture.as_ref()?;
    for value in head?.values(field) {
        let mut walker = Walker::new(value);
        while let Some(pair) = walker.advance() {
            let text = walker.text.get(pair.name.start..pair.value.end).unwrap_or_default();
            if text.starts_with(capture.name.as_bytes()) {
                return Some(text.get(..capture.len).unwrap_or(text).to_vec());
            }
            if field == b"set-cookie" {
                break;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
