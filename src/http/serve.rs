//! A client connection: waits for requests, holding no buffer meanwhile, and hands each to an exchange.

use super::body::Flow;
use super::buffer::Inbox;
use super::context::{Context, Session};
use super::exchange::{self, End};
use super::h1::blame::Blame;
use super::h1::{self, Fault, Limits, Parsed, RequestFraming};
use super::pool::Own;
use super::{Engine, finish, h2, reply, tracing};
use crate::config::model::{Protocol, VarScope};
use crate::expr::facts::ConnFacts;
use crate::ids::{ProxyIndex, ServerIndex};
use crate::live::captures::Capture;
use crate::live::sessions::Card;
use crate::live::trace::sources::{h1 as h1_events, h2 as h2_events};
use crate::live::trace::{self, Level, Origin};
use crate::live::variables::Variables;
use crate::live::{Generation, LiveProxy};
use crate::net::{Accepted, Stream, Timer};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{self, Poll};
use std::time::{Duration, Instant, SystemTime};

/// The client's side, for as long as its connection lasts.
pub struct Client {
    pub stream: Stream,
    pub card: Rc<Card>,
    pub inbox: Inbox,
    pub timer: Timer,
    pub session: Rc<Session>,
    pub conn: Box<ConnFacts>,
    /// Session variables between requests.
    pub variables: Variables,
    /// Requests before the current one.
    pub requests: u32,
    /// When the connection was accepted, or the last response ended.
    pub idle_from: Instant,
    /// A server connection only this client may use (`http-reuse never`).
    pub own: Option<Box<Own>>,
    /// Where the last request went (`option prefer-last-server`).
    pub last_server: Option<(ProxyIndex, ServerIndex)>,
    /// `%Th`: milliseconds the PROXY header took.
    pub handshake: i64,
    pub accepted: Instant,
    /// `proto` of the listener.
    pub protocol: Option<Protocol>,
    /// Tells it from other connections of its thread; its streams, if it carries several, have it in common.
    pub id: u64,
    /// Connections of HTTP/2 to servers are its alone.
    pub holds_mux: bool,
}

/// How waiting for a head ended without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHead {
    /// Nothing to say: the connection was idle.
    Quiet,
    Aborted {
        any_byte: bool,
    },
    TimedOut {
        any_byte: bool,
    },
    Refused(Fault),
    /// It begins as HTTP/2 does.
    Preface,
}

/// A head and what is known of its body, or why there is none.
type HeadRead = Result<(RequestFraming, Flow), NoHead>;

/// Serves one accepted connection until it is closed.
///
/// What lives across the wait for the next request is all that an idle connection costs: the client itself, owned by the
/// future and never moved inside it; everything that only a request or the end needs is boxed for as long as it lasts.
pub fn serve(
    accepted: Accepted,
    proxy: Arc<LiveProxy>,
    generation: Arc<Generation>,
    engine: Rc<Engine>,
) -> impl Future<Output = ()> {
    let mut client = Client::new(accepted, proxy, generation, engine);
    async move {
        let mut end = if client.speaks_h2() { End::Upgrade } else { End::KeepAlive };
        client.count_version(end);
        if end == End::KeepAlive && trace::is_on(tracing::SOURCES) {
            tracing::client(&client, Origin::H1, h1_events::CONNECTION, Level::User, "new connection");
        }
        while end == End::KeepAlive {
            let client = &mut client;
            let engine = Rc::clone(&client.session.engine);
            let started = match poll_fn(|cx| client.poll_bytes(cx)).await {
                Ok(started) => started,
                Err(no_head) => {
                    end = Box::pin(client.without_head(no_head, None)).await;
                    continue;
                }
            };
            let mut context = engine.take_context(client);
            std::mem::swap(&mut context.conn, &mut client.conn);
            std::mem::swap(&mut context.variables, &mut client.variables);
            let mut looked = 0;
            let (head, at) = match client.head(&mut context, &mut looked) {
                Some(head) => (head, started),
                None => {
                    let head = Box::pin(client.rest_of_head(&mut context, started, looked)).await;
                    (head, Instant::now())
                }
            };
            end = match head {
                Ok((framing, body)) => {
                    Box::pin(exchange::run(client, &mut context, framing, body, (started, at))).await
                }
                Err(no_head) => Box::pin(client.without_head(no_head, Some((&mut context, started)))).await,
            };
            context.variables.keep(|scope| scope == VarScope::Session);
            std::mem::swap(&mut context.variables, &mut client.variables);
            std::mem::swap(&mut context.conn, &mut client.conn);
            engine.keep_context(context);
            client.requests += 1;
            client.inbox.release(&engine.buffers);
        }
        if end == End::Upgrade {
            let before = client.inbox.raw().to_vec();
            let listener = client.conn.listener_id;
            client.session.frontend.front.count(listener, |c| c.h2_sessions.inc());
            if trace::is_on(tracing::SOURCES) {
                tracing::client(&client, Origin::H2, h2_events::CONNECTION, Level::User, "new connection");
            }
            return Box::pin(h2::serve(client, before)).await;
        }
        if client.holds_mux {
            client.session.engine.pools.muxes.disown(client.id);
        }
        if trace::is_on(tracing::SOURCES) {
            tracing::client(&client, Origin::H1, h1_events::CLOSED, Level::User, "connection is over");
        }
        if client.close(end) {
            Box::pin(client.drain()).await;
        }
    }
}

impl Client {
    fn new(
        accepted: Accepted,
        frontend: Arc<LiveProxy>,
        generation: Arc<Generation>,
        engine: Rc<Engine>,
    ) -> Self {
        let mut inbox = Inbox::default();
        inbox.preload(&engine.buffers, &accepted.preread);
        let accepted_at = accepted.at;
        Self {
            stream: accepted.stream,
            card: accepted.card,
            inbox,
            timer: Timer::default(),
            conn: accepted.conn,
            variables: accepted.variables,
            requests: 0,
            idle_from: accepted_at,
            own: None,
            last_server: None,
            handshake: accepted.handshake,
            id: engine.next_id(),
            holds_mux: false,
            session: engine.session(frontend, generation),
            accepted: accepted_at,
            protocol: accepted.bind.protocol,
        }
    }

    fn count_version(&self, end: End) {
        if end == End::KeepAlive {
            let listener = self.conn.listener_id;
            self.session.frontend.front.count(listener, |c| c.h1_sessions.inc());
        }
    }

    /// Was HTTP/2 agreed on before the first byte?
    fn speaks_h2(&self) -> bool {
        match self.protocol {
            Some(protocol) => protocol == Protocol::H2,
            None => self.conn.tls.as_ref().is_some_and(|tls| tls.agreed.alpn.as_deref() == Some(b"h2")),
        }
    }

    /// Ready when the first byte of a request has come, with the moment it came. Plain polling, because whatever a
    /// future would keep here every idle connection would keep.
    fn poll_bytes(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Instant, NoHead>> {
        let first = self.requests == 0;
        if !self.inbox.raw().is_empty() {
            return Poll::Ready(Ok(Instant::now()));
        }
        match self.inbox.poll_fill(cx, &mut self.stream, &self.session.engine.buffers) {
            Poll::Ready(Ok(n)) if n > 0 => return Poll::Ready(Ok(Instant::now())),
            Poll::Ready(_) if first => return Poll::Ready(Err(NoHead::Aborted { any_byte: false })),
            Poll::Ready(_) => return Poll::Ready(Err(NoHead::Quiet)),
            Poll::Pending => {}
        }
        if !first && self.session.generation.closes_idle() {
            return Poll::Ready(Err(NoHead::Quiet));
        }
        let timeouts = &self.session.frontend.conf.timeouts;
        let request = timeouts.http_request.or(timeouts.client);
        let idle = if first { request } else { timeouts.http_keep_alive.or(request) };
        if self.timer.poll(cx, idle.map(|t| self.idle_from + t)).is_ready() {
            let no_head = if first { NoHead::TimedOut { any_byte: false } } else { NoHead::Quiet };
            return Poll::Ready(Err(no_head));
        }
        Poll::Pending
    }

    /// Looks for a whole head in what has come. `looked` is how much of it was looked at before.
    fn head(&mut self, context: &mut Context, looked: &mut usize) -> Option<HeadRead> {
        let raw = self.inbox.raw();
        let fresh = raw.get(*looked..).unwrap_or_default();
        // A head cannot end without a line feed: do not read a dripping one again and again.
        if !fresh.is_empty()
            && (*looked == 0 || memchr::memchr(b'\n', fresh).is_some() || self.inbox.is_full())
        {
            *looked = raw.len();
            let relaxed = self.session.frontend.conf.options.accept_unsafe_request;
            let limits = Limits { relaxed, ..self.session.engine.request_limits };
            match h1::parse_request(raw, &limits, &mut context.request) {
                Parsed::Complete { len, framing } => {
                    self.inbox.skip(len);
                    let mut body = Flow::new(framing.length);
                    let absorbed = body.absorb(&mut self.inbox);
                    return Some(absorbed.map(|()| (framing, body)).map_err(NoHead::Refused));
                }
                Parsed::Refused(fault) => match self.is_preface() {
                    Some(true) => return Some(Err(NoHead::Preface)),
                    Some(false) => return Some(Err(NoHead::Refused(fault))),
                    None => {}
                },
                Parsed::Partial => {}
            }
        }
        self.inbox.is_full().then_some(Err(NoHead::Refused(Fault::TooLarge)))
    }

    /// Is what the client says first the preface of HTTP/2? `None`: it may become one.
    fn is_preface(&self) -> Option<bool> {
        let raw = self.inbox.raw();
        let allowed = self.requests == 0
            && !self.session.frontend.conf.options.disable_h2_upgrade
            && self.protocol != Some(Protocol::H1);
        let common = raw.len().min(h2::PREFACE.len());
        let same = raw.get(..common) == h2::PREFACE.get(..common);
        if allowed && same && common < h2::PREFACE.len() { None } else { Some(allowed && same) }
    }

    /// Waits for the rest of a head that did not come in one piece.
    async fn rest_of_head(&mut self, context: &mut Context, started: Instant, mut looked: usize) -> HeadRead {
        let session = Rc::clone(&self.session);
        let timeouts = &session.frontend.conf.timeouts;
        let from = if self.requests == 0 { self.idle_from } else { started };
        let deadline = timeouts.http_request.or(timeouts.client).map(|t| from + t);
        poll_fn(|cx| {
            loop {
                match self.inbox.poll_fill(cx, &mut self.stream, &session.engine.buffers) {
                    Poll::Ready(Ok(n)) if n > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(NoHead::Aborted { any_byte: true })),
                    Poll::Pending => break,
                }
                if let Some(done) = self.head(context, &mut looked) {
                    return Poll::Ready(done);
                }
            }
            if self.timer.poll(cx, deadline).is_ready() {
                return Poll::Ready(Err(NoHead::TimedOut { any_byte: true }));
            }
            Poll::Pending
        })
        .await
    }

    /// The connection ends with 400, 408 or without a word, and is logged if the proxy wants it.
    async fn without_head(&mut self, no_head: NoHead, context: Option<(&mut Context, Instant)>) -> End {
        let options = &self.session.frontend.conf.options;
        let (status, letters, any_byte) = match no_head {
            NoHead::Quiet => return End::Close,
            NoHead::Preface => {
                let listener = context.map_or(self.conn.listener_id, |(c, _)| c.conn.listener_id);
                self.session.frontend.front.count(listener, |c| c.h1_sessions.sub(1));
                return End::Upgrade;
            }
            NoHead::Aborted { any_byte } => (400, *b"CR", any_byte),
            NoHead::TimedOut { any_byte } => (408, *b"cR", any_byte),
            NoHead::Refused(Fault::Unprocessable) => (422, *b"PR", true),
            NoHead::Refused(_) => (400, *b"PR", true),
        };
        if !any_byte && options.http_ignore_probes {
            return End::Close;
        }
        if let NoHead::Refused(_) = no_head {
            if trace::is_on(tracing::SOURCES) {
                tracing::client(self, Origin::H1, h1_events::INVALID, Level::Error, "this is no HTTP/1");
            }
            self.capture_request(context.as_ref().map(|(context, _)| &*context.conn));
        }
        let logged = any_byte || !options.dontlognull;
        let session = Rc::clone(&self.session);
        let mut own = None;
        let (context, started) = match context {
            Some(given) => given,
            None => {
                let context = own.insert(session.engine.take_context(self));
                std::mem::swap(&mut context.conn, &mut self.conn);
                (&mut **context, self.idle_from)
            }
        };
        context.log.request_counter = session.generation.process.requests.fetch_add(1, Relaxed);
        let bytes = early_bytes(status, context);
        self.send_early(&bytes).await;
        finish::without_request(context, self, status, letters, started, logged);
        if let Some(context) = own {
            session.engine.keep_context(context);
        }
        End::Linger
    }

    /// Keeps the refused bytes for `show errors`.
    #[cold]
    fn capture_request(&self, conn: Option<&ConnFacts>) {
        let bytes = self.inbox.raw().to_vec();
        let Blame { position, state } = h1::blame::request(&bytes);
        let src = conn.unwrap_or(&self.conn).src;
        let at = SystemTime::now();
        let capture = Capture { at, number: 0, other: None, server: None, src, bytes, position, state };
        self.session.generation.capture_request(&self.session.frontend, capture);
    }

    /// Sends as much of `bytes` as the socket takes within a second.
    pub async fn send_early(&mut self, bytes: &[u8]) {
        let mut out = super::buffer::Outbox::default();
        out.bytes.extend_from_slice(bytes);
        let mut nothing = Inbox::default();
        let stream = &mut self.stream;
        let send = poll_fn(|cx| super::buffer::poll_send(cx, stream, &mut out, &mut nothing, &mut false));
        let _ = tokio::time::timeout(Duration::from_secs(1), send).await;
    }

    /// Says the end to the client. True: it may still be sending, and what we sent must not be lost to the reset that
    /// unread bytes provoke.
    fn close(&mut self, end: End) -> bool {
        let options = &self.session.frontend.conf.options;
        if end == End::Reset {
            self.stream.vanish_on_close();
            return false;
        }
        if options.nolinger {
            self.stream.reset_on_close();
            return false;
        }
        if end == End::Close {
            return false;
        }
        let _ = self.stream.shutdown_write();
        true
    }

    /// Takes what the client still sends, for a moment.
    async fn drain(&mut self) {
        let session = Rc::clone(&self.session);
        let drain = poll_fn(|cx| {
            let mut budget = 64;
            loop {
                self.inbox = Inbox::default();
                match self.inbox.poll_fill(cx, &mut self.stream, &session.engine.buffers) {
                    Poll::Ready(Ok(n)) if n > 0 && budget > 0 => budget -= 1,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

/// The page for a connection that gave no request: the proxy's own `errorfile` (which may be empty) or the built-in one.
fn early_bytes(status: u16, context: &mut Context) -> Vec<u8> {
    let front = Rc::clone(&context.session);
    if !front.frontend.conf.errors.iter().any(|(code, _)| *code == status) {
        return reply::early_error(status);
    }
    let answer = reply::error(status, context);
    if answer.silent {
        return Vec::new();
    }
    let mut head = answer.head.clone();
    head.set(b"connection", b"close");
    let mut out = Vec::new();
    h1::write::interim(&head, None, &mut out);
    out.extend_from_slice(&answer.body);
    out
}

/// How long a client may take to notice that we closed while it was still sending.
const LINGER: Duration = Duration::from_secs(1);
