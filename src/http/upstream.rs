//! From a request to an accepted response head: a server, a connection to it (reused or dialled), the question, and what
//! is tried again when it goes wrong.

use super::buffer::{self, Inbox};
use super::deliver;
use super::error::{Cause, Failure, Phase, Trouble};
use super::exchange::{Exchange, Stop};
use super::forwarded;
use super::h1::write::{self, Persistence as Keep};
use super::h1::{self, BodyLength, Limits, Parsed, ResponseFraming};
use super::h2::Lease;
use super::pool::{Idle, Own};
use super::serve::Client;
use super::tracing;
use crate::config::model::{Backend, ConnectionMode, Proxy, Reuse};
use crate::live::captures::Capture;
use crate::live::{LiveBackend, LiveProxy, LiveServer, Sight, trace};
use crate::message::Version;
use crate::net::Stream;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// A server connection; boxed as it is made, and handed from one request to the next by its pointer.
pub struct Upstream {
    pub stream: Stream,
    pub inbox: Inbox,
    pub server: Arc<LiveServer>,
    /// Counted among those in use; not where [`Upstream::lease`] counts.
    busy: bool,
    /// Place on a connection that carries many: `stream` is that place once the request's head is sent.
    pub lease: Option<Lease>,
    /// Requests it has served.
    pub uses: u32,
    pub reused: bool,
    /// [`LiveServer::downs`] as it was dialled: a server that went down since may be another process now.
    pub downs: u32,
    /// Its own address and the server's, for `%bi` and `%si`.
    pub ends: [Option<std::net::SocketAddr>; 2],
    /// The name that was asked for (`sni`): other requests than those for it may not use the connection.
    pub sni: Option<Box<str>>,
}

impl Upstream {
    pub fn new(
        stream: Stream,
        server: Arc<LiveServer>,
        downs: u32,
        ends: [Option<std::net::SocketAddr>; 2],
    ) -> Self {
        let (inbox, lease, sni) = (Inbox::default(), None, None);
        Self { stream, inbox, server, busy: false, lease, uses: 0, reused: false, downs, ends, sni }
    }

    pub fn begin_use(&mut self) {
        if !std::mem::replace(&mut self.busy, true) {
            self.server.connections.here().begin_use();
        }
    }

    fn end_use(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.server.connections.here().end_use();
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end_use();
    }
}

/// What a conversation with a server came to.
pub(super) enum Asked {
    Server(Trouble),
    Client(Failure),
}

/// Times a connection that died in the pool is replaced without counting as a retry.
const STALE_MAX: u32 = 2;

impl Exchange<'_> {
    /// Finds a server that gives a response head; retries as the backend allows.
    pub async fn obtain_response(
        &mut self,
        front: &Proxy,
        backend: &LiveProxy,
    ) -> Result<ResponseFraming, Stop> {
        let no_backend = Failure::new(Cause::Internal, Phase::Connect, 503);
        let back = &*backend.conf;
        let (Some(conf), Some(live)) = (&back.back, &backend.back) else {
            return Err(no_backend.into());
        };
        let mut stale = 0;
        let mut fresh = false;
        loop {
            self.connect(front, back, conf, live, fresh).await?;
            let trouble = match self.ask(front, back).await {
                Ok(_) if self.retries_status(conf) => Trouble::Status(self.ctx.response.status()),
                Ok(framing) => {
                    self.saw(Sight::Response(self.ctx.response.status()));
                    return Ok(framing);
                }
                Err(Asked::Client(failure)) => return Err(failure.into()),
                Err(Asked::Server(trouble)) => trouble,
            };
            fresh = self.recover(trouble, &mut stale, back, conf, live)?;
        }
    }

    /// Readies the request for another attempt, if there may be one: true for one on a connection of its own.
    #[cold]
    fn recover(
        &mut self,
        trouble: Trouble,
        stale: &mut u32,
        back: &Proxy,
        conf: &Backend,
        live: &LiveBackend,
    ) -> Result<bool, Failure> {
        let reused = self.up.as_ref().is_some_and(|up| up.reused);
        self.discard_connection();
        let silent = trouble == Trouble::Empty { any_byte: false };
        let repeatable = self.replayable && self.ctx.request.method().is_idempotent();
        let unseen = trouble == Trouble::Unprocessed && self.replayable;
        if (silent && reused && repeatable || unseen) && *stale < STALE_MAX {
            *stale += 1;
            self.rewind();
            return Ok(*stale == STALE_MAX);
        }
        self.tell_trouble(trouble);
        if !self.may_repeat(trouble, conf) {
            self.count_trouble(trouble, live);
            return Err(trouble.failure());
        }
        self.retries += 1;
        self.rewind();
        self.redispatch(back, conf, live);
        Ok(true)
    }

    /// A status of `retry-on`, and something left to try.
    fn retries_status(&self, conf: &Backend) -> bool {
        if conf.retry_on.statuses.is_empty() {
            return false;
        }
        std::hint::cold_path();
        let status = self.ctx.response.status();
        conf.retry_on.statuses.contains(&status) && self.may_repeat(Trouble::Status(status), conf)
    }

    fn may_repeat(&self, trouble: Trouble, conf: &Backend) -> bool {
        let wanted = match trouble {
            Trouble::Empty { .. } | Trouble::Unprocessed => conf.retry_on.empty_response,
            Trouble::Junk => conf.retry_on.junk_response,
            Trouble::TimedOut => conf.retry_on.response_timeout,
            Trouble::Status(status) => conf.retry_on.statuses.contains(&status),
        };
        wanted && self.replayable && !self.ctx.settings.no_l7_retry && self.retries < conf.retries
    }

    /// Tells `observe` what the server did.
    pub(super) fn saw(&self, sight: Sight) {
        if let Some(slot) = &self.slot {
            slot.server().saw(sight);
        }
    }

    /// To those who observe the server.
    fn tell_trouble(&self, trouble: Trouble) {
        self.saw(match trouble {
            Trouble::Empty { .. } | Trouble::Unprocessed => Sight::Closed,
            Trouble::Junk => Sight::BadResponse,
            Trouble::TimedOut => Sight::ReadTimeout,
            Trouble::Status(status) => Sight::Response(status),
        });
    }

    fn count_trouble(&self, trouble: Trouble, live: &LiveBackend) {
        let Some(slot) = &self.slot else { return };
        if !matches!(trouble, Trouble::Status(_)) {
            live.counters.here().failed_responses.inc();
            slot.server().counters.here().failed_responses.inc();
        }
    }

    /// Makes the request whole again.
    fn rewind(&mut self) {
        self.client.inbox.rewind();
        self.to_server.clear();
        self.request_broken = false;
        self.ctx.response.clear();
        self.ctx.has_response = false;
        self.times.connected = None;
    }

    /// Sends the request and waits for the head of the final response.
    async fn ask(&mut self, front: &Proxy, back: &Proxy) -> Result<ResponseFraming, Asked> {
        // HTTP/1.0 with chunks: RFC 9112 6.1 says to close after it. With an upgrade: nothing to keep alive.
        let odd = self.ctx.request.version() < Version::HTTP_11
            && (self.framing.length == BodyLength::Chunked || self.framing.upgrade);
        let close = odd || self.mode != ConnectionMode::KeepAlive && !back.options.http_pretend_keepalive;
        let keep = if close { Keep::Close } else { Keep::KeepAlive };
        let case = self.case_map(back.options.h1_case_adjust_server);
        if let Some(server) = &self.ctx.server {
            forwarded::name_server(back, &server.conf.name, &mut self.ctx.request);
        }
        self.sent.request = write::accounted(&self.ctx.request);
        if self.up.as_ref().is_some_and(|up| up.lease.is_some()) {
            Box::pin(self.put_request()).await?;
        } else {
            write::request(&self.ctx.request, keep, case.as_deref(), &mut self.to_server.bytes);
        }
        if self.absorb_request().is_err() {
            return Err(Asked::Client(Failure::new(Cause::Proxy, Phase::Data, 400)));
        }
        buffer::join(&mut self.to_server, &mut self.client.inbox);
        if trace::is_on(tracing::SOURCES) {
            tracing::asked(self);
        }
        self.server_at = self.at;
        self.client_at = self.at;
        let watched = self.is_watched(front.options.abortonclose || back.options.abortonclose);
        let limits = Limits {
            relaxed: back.options.accept_unsafe_response,
            ..self.client.session.engine.request_limits
        };
        let server = self.ctx.settings.timeout_server.or(back.timeouts.server);
        let client = self.ctx.settings.timeout_client.or(front.timeouts.client);
        poll_fn(|cx| self.poll_ask(cx, &limits, server, client, watched)).await
    }

    fn absorb_request(&mut self) -> Result<(), h1::Fault> {
        self.request.absorb(&mut self.client.inbox)
    }

    fn poll_ask(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        server_timeout: Option<Duration>,
        client_timeout: Option<Duration>,
        watched: bool,
    ) -> Poll<Result<ResponseFraming, Asked>> {
        loop {
            let (mut moved, mut answered) = (false, false);
            if !self.to_client.is_empty() {
                let sent = buffer::poll_send(
                    cx,
                    &mut self.client.stream,
                    &mut self.to_client,
                    &mut Inbox::default(),
                    &mut moved,
                );
                match sent {
                    Poll::Ready(Ok(())) => self.to_client.clear(),
                    Poll::Ready(Err(_)) => {
                        return Poll::Ready(Err(Asked::Client(Failure::client_abort(Phase::Header))));
                    }
                    Poll::Pending => {}
                }
            }
            if let Poll::Ready(Err(failure)) = self.poll_request(cx, &mut moved) {
                return Poll::Ready(Err(Asked::Client(failure)));
            }
            if let Poll::Ready(answer) = self.poll_head(cx, limits, &mut answered) {
                return Poll::Ready(answer.map_err(Asked::Server));
            }
            // What was sent leaves nothing more to do; an interim answer is passed on, and the next one waited for.
            if !answered {
                break;
            }
        }
        if self.poll_killed(cx).is_ready() {
            let failure = self.killed_failure(Phase::Header, 503);
            return Poll::Ready(Err(Asked::Client(failure)));
        }
        if watched && self.request.is_complete() && self.client.poll_gone(cx).is_ready() {
            // A stream that is given up is to HAProxy one whose data cannot be sent.
            let phase = if self.client.stream.carried().is_some() { Phase::Data } else { Phase::Header };
            return Poll::Ready(Err(Asked::Client(Failure::client_abort(phase))));
        }
        let server_due = server_timeout.map(|t| self.server_at + t);
        let client_due = client_timeout.filter(|_| !self.request.is_complete()).map(|t| self.client_at + t);
        let due = [server_due, client_due].into_iter().flatten().min();
        if self.client.timer.poll(cx, due).is_ready() {
            if due == server_due {
                return Poll::Ready(Err(Asked::Server(Trouble::TimedOut)));
            }
            let failure = Failure::new(Cause::ClientTimeout, Phase::Data, 408);
            return Poll::Ready(Err(Asked::Client(failure)));
        }
        Poll::Pending
    }

    /// Reads until a final response head is whole. Interim ones are passed to the client.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        moved: &mut bool,
    ) -> Poll<Result<ResponseFraming, Trouble>> {
        let Some(up) = &mut self.up else { return Poll::Ready(Err(Trouble::Empty { any_byte: false })) };
        if up.lease.is_some() {
            return self.poll_answer(cx, moved);
        }
        let buffers = &self.client.session.engine.buffers;
        let any_byte = !up.inbox.raw().is_empty();
        if up.inbox.is_full() {
            return Poll::Ready(Err(Trouble::Junk));
        }
        match up.inbox.poll_fill(cx, &mut up.stream, buffers) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Trouble::Empty { any_byte })),
            Poll::Ready(Ok(_)) => *moved = true,
        }
        self.at = Instant::now();
        self.server_at = self.at;
        loop {
            match h1::parse_response(
                up.inbox.raw(),
                limits,
                self.ctx.request.method(),
                &mut self.ctx.response,
            ) {
                Parsed::Partial => return Poll::Pending,
                Parsed::Refused(_) => {
                    self.capture_response();
                    return Poll::Ready(Err(Trouble::Junk));
                }
                Parsed::Complete { len, framing } => {
                    up.inbox.skip(len);
                    let status = self.ctx.response.status();
                    if status == 101 && !self.framing.upgrade {
                        self.ctx.log.bytes_to_client += write::accounted(&self.ctx.response);
                        return Poll::Ready(Err(Trouble::Junk));
                    }
                    if status >= 200 || framing.tunnel {
                        self.times.responded = Some(self.server_at);
                        if trace::is_on(tracing::SOURCES) {
                            tracing::responded(self);
                        }
                        return Poll::Ready(Ok(framing));
                    }
                    if self.ctx.request.version() >= Version::HTTP_11 {
                        self.ctx.log.bytes_to_client += write::accounted(&self.ctx.response);
                        deliver::put_interim(self.client, &self.ctx.response, &mut self.to_client.bytes);
                    }
                    if up.inbox.raw().is_empty() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Keeps the refused bytes for `show errors`.
    #[cold]
    fn capture_response(&self) {
        let (Some(up), Some(back)) = (&self.up, self.ctx.back()) else { return };
        let bytes = up.inbox.raw().to_vec();
        let h1::blame::Blame { position, state } = h1::blame::response(&bytes);
        let session = &self.client.session;
        let capture = Capture {
            at: SystemTime::now(),
            number: 0,
            other: Some(Arc::clone(&session.frontend)),
            server: Some(Arc::clone(&up.server)),
            src: self.ctx.conn.src,
            bytes,
            position,
            state,
        };
        session.generation.capture_response(back, capture);
    }

    /// Moves the request to the server: what is written, then what the client still sends. Ready when all is through or
    /// the server takes no more; an error is the client's.
    pub fn poll_request(&mut self, cx: &mut Context<'_>, moved: &mut bool) -> Poll<Result<(), Failure>> {
        let Some(up) = &mut self.up else { return Poll::Ready(Ok(())) };
        while !self.request_broken {
            match buffer::poll_send(cx, &mut up.stream, &mut self.to_server, &mut self.client.inbox, moved) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => {
                    // It may have answered before it closed: the response side will tell.
                    self.request_broken = true;
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
            if self.request.is_complete() {
                return Poll::Ready(Ok(()));
            }
            if self.client.inbox.raw().is_empty() {
                if self.client.inbox.is_full() {
                    self.replayable = false;
                }
                let buffers = &self.client.session.engine.buffers;
                if !self.replayable {
                    self.client.inbox.forget();
                    self.client.inbox.expect(self.request.is_long(), buffers);
                }
                match self.client.inbox.poll_fill(cx, &mut self.client.stream, buffers) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(n)) if n > 0 => {
                        *moved = true;
                        self.client_at = Instant::now();
                        self.server_at = self.client_at;
                    }
                    Poll::Ready(_) => return Poll::Ready(Err(Failure::client_abort(Phase::Data))),
                }
            }
            if self.request.absorb(&mut self.client.inbox).is_err() {
                return Poll::Ready(Err(Failure::new(Cause::Proxy, Phase::Data, 400)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The connection is of no more use.
    pub fn discard_connection(&mut self) {
        if let Some(mut up) = self.up.take() {
            let engine = &self.client.session.engine;
            let rest = up.inbox.raw().len();
            up.inbox.skip(rest);
            up.inbox.release(&engine.buffers);
        }
    }

    /// Connection and slot go.
    pub fn drop_upstream(&mut self) {
        self.discard_connection();
        self.slot = None;
    }

    /// After a complete response: the connection may serve another request, the slot is free.
    pub fn release_upstream(&mut self, keep_alive: bool) {
        let ended = self.ended();
        let Some(mut up) = self.up.take() else { return };
        up.end_use();
        if let Some(lease) = up.lease.take() {
            let stream = std::mem::replace(&mut up.stream, Stream::Gone);
            return self.release_stream(stream, lease, &up.server);
        }
        let engine = &self.client.session.engine;
        let clean = up.inbox.is_drained();
        let rest = up.inbox.raw().len();
        up.inbox.skip(rest);
        up.inbox.forget();
        up.inbox.release(&engine.buffers);
        let whole = self.request.is_complete() && !self.request_broken;
        if let Some(backend) = self.ctx.backend {
            self.client.last_server = Some((backend, up.server.index));
        }
        if !(keep_alive && clean && whole && self.mode == ConnectionMode::KeepAlive) {
            return;
        }
        let back = self.ctx.back().and_then(|b| b.conf.back.as_ref());
        let reuse = back.map_or(Reuse::Never, |b| b.reuse_to(&up.server.conf));
        up.uses += 1;
        let idle = Idle::new(up, ended);
        if reuse == Reuse::Never {
            self.client.own = Some(Box::new(Own::new(idle)));
        } else {
            engine.pools.put(idle, self.client.session.generation.threads);
        }
    }
}

impl Client {
    /// Ready when the client has closed. What it sends meanwhile is kept for later.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(carried) = self.stream.carried() {
            return carried.poll_gone(cx);
        }
        while !self.inbox.is_full() {
            match self.inbox.poll_fill(cx, &mut self.stream, &self.session.engine.buffers) {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}
