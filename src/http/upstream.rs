//! From a request to an accepted response head: a server, a connection to it (reused or dialled), the question, and what
//! is tried again when it goes wrong.

use super::buffer::{self, Inbox};
use super::error::{Cause, Failure, Phase, Trouble};
use super::exchange::{Exchange, Stop};
use super::forwarded;
use super::h1::write::{self, Persistence as Keep};
use super::h1::{self, Limits, Parsed, ResponseFraming};
use super::persist;
use super::pool::Idle;
use super::serve::Client;
use crate::config::model::backend::UseSrc;
use crate::config::model::{Backend, ConnectionMode, Proxy, Reuse, Source};
use crate::expr::Facts;
use crate::live::{LiveBackend, LiveServer, Refusal, Sight, Want};
use crate::message::Version;
use crate::net::{self, Stream};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A server connection in use.
pub struct Upstream {
    pub stream: Stream,
    pub inbox: Inbox,
    pub server: Arc<LiveServer>,
    pub uses: u32,
    pub reused: bool,
    downs: u32,
}

/// What a conversation with a server came to.
enum Asked {
    Server(Trouble),
    Client(Failure),
}

/// Times a connection that died in the pool is replaced without counting as a retry.
const STALE_MAX: u32 = 2;

impl Exchange<'_> {
    /// Finds a server that gives a response head; retries as the backend allows.
    pub async fn obtain_response(&mut self, front: &Proxy, back: &Proxy) -> Result<ResponseFraming, Stop> {
        let no_backend = Failure::new(Cause::Internal, Phase::Connect, 503);
        let (Some(conf), Some(live)) = (&back.back, self.backend.clone()) else {
            return Err(no_backend.into());
        };
        let mut stale = 0;
        let mut fresh = false;
        loop {
            self.connect(front, back, conf, &live, fresh).await?;
            let trouble = match self.ask(front, back).await {
                Ok(framing) if self.retries_status(conf) => {
                    let _ = framing;
                    Trouble::Status(self.ctx.response.status())
                }
                Ok(framing) => {
                    self.saw(Sight::Response(self.ctx.response.status()));
                    return Ok(framing);
                }
                Err(Asked::Client(failure)) => return Err(failure.into()),
                Err(Asked::Server(trouble)) => trouble,
            };
            let reused = self.up.as_ref().is_some_and(|up| up.reused);
            self.discard_connection();
            let silent = trouble == Trouble::Empty { any_byte: false };
            let repeatable = self.replayable && self.ctx.request.method().is_idempotent();
            if silent && reused && repeatable && stale < STALE_MAX {
                stale += 1;
                fresh = stale == STALE_MAX;
                self.rewind();
                continue;
            }
            self.count_trouble(trouble, &live);
            if !self.may_repeat(trouble, conf) {
                return Err(trouble.failure().into());
            }
            self.retries += 1;
            fresh = true;
            self.rewind();
            self.redispatch(back, conf, &live);
        }
    }

    /// A status of `retry-on`, and something left to try.
    fn retries_status(&self, conf: &Backend) -> bool {
        let status = self.ctx.response.status();
        conf.retry_on.statuses.contains(&status) && self.may_repeat(Trouble::Status(status), conf)
    }

    fn may_repeat(&self, trouble: Trouble, conf: &Backend) -> bool {
        let wanted = match trouble {
            Trouble::Empty { .. } => conf.retry_on.empty_response,
            Trouble::Junk => conf.retry_on.junk_response,
            Trouble::TimedOut => conf.retry_on.response_timeout,
            Trouble::Status(status) => conf.retry_on.statuses.contains(&status),
        };
        wanted && self.replayable && !self.ctx.settings.no_l7_retry && self.retries < conf.retries
    }

    /// Tells `observe` what the server did.
    fn saw(&self, sight: Sight) {
        if let Some(slot) = &self.slot {
            slot.server().saw(sight);
        }
    }

    fn count_trouble(&self, trouble: Trouble, live: &LiveBackend) {
        self.saw(match trouble {
            Trouble::Empty { .. } => Sight::Closed,
            Trouble::Junk => Sight::BadResponse,
            Trouble::TimedOut => Sight::ReadTimeout,
            Trouble::Status(status) => Sight::Response(status),
        });
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

    /// Takes another server for the next attempt where `option redispatch` says so; true if it did.
    fn redispatch(&mut self, back: &Proxy, conf: &Backend, live: &LiveBackend) -> bool {
        let counters = live.counters.here();
        let failed = self.slot.as_ref().map(|s| Arc::clone(s.server()));
        let down = failed.as_ref().is_some_and(|s| !s.is_up());
        let forced = self.sticky.is_some_and(|s| s.even_down);
        let due = match back.options.redispatch {
            None => false,
            _ if down => true,
            Some(n) if n > 0 => self.retries.is_multiple_of(n.unsigned_abs()),
            Some(n) => {
                let every = i64::from(conf.retries) + 1 + i64::from(n.min(-1));
                every <= 0 || i64::from(self.retries) % every == 0
            }
        };
        if !due || forced {
            counters.retries.inc();
            if let Some(server) = failed {
                server.counters.here().retries.inc();
            }
            return false;
        }
        counters.redispatches.inc();
        if let Some(server) = failed {
            server.counters.here().redispatches.inc();
            self.avoid = Some(server.index);
        }
        self.slot = None;
        self.sticky = None;
        self.ctx.log.redispatched = true;
        true
    }

    /// A slot on a server and an open connection to it.
    async fn connect(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        live: &Arc<LiveBackend>,
        fresh: bool,
    ) -> Result<(), Stop> {
        loop {
            if self.slot.is_none() {
                self.assign(front, back, conf, live).await?;
            }
            let Some(server) = self.slot.as_ref().map(|s| Arc::clone(s.server())) else { continue };
            self.ctx.server = Some(Arc::clone(&server));
            if !fresh && self.take_idle(&server, conf) {
                live.counters.here().reuses.inc();
                server.counters.here().reuses.inc();
                return Ok(());
            }
            let timeout = self.ctx.settings.timeout_connect.or(back.timeouts.connect);
            live.counters.here().connects.inc();
            server.counters.here().connects.inc();
            match self.dial(front, back, conf, &server, timeout).await? {
                Ok(stream) => {
                    self.client.session.engine.pools.in_use(&server, true);
                    server.saw(Sight::Connected);
                    let downs = server.downs();
                    self.announce_client(&server);
                    self.up = Some(Upstream {
                        stream,
                        inbox: Inbox::default(),
                        server,
                        uses: 0,
                        reused: false,
                        downs,
                    });
                    self.times.connected = Some(Instant::now());
                    return Ok(());
                }
                Err(error) => self.after_dial_error(&error, back, conf, live, timeout).await?,
            }
        }
    }

    /// `send-proxy*`: the header that goes before everything else on a new connection.
    fn announce_client(&mut self, server: &LiveServer) {
        let Some(send) = &server.conf.send_proxy else { return };
        let unique_id = if send.unique_id { self.ctx.unique_id() } else { None };
        net::proxy_header(send, &self.ctx.conn, unique_id.as_deref(), None, false, &mut self.to_server.bytes);
    }

    /// Dials, while the client is watched if `option abortonclose` asks for it.
    async fn dial(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        server: &Arc<LiveServer>,
        timeout: Option<Duration>,
    ) -> Result<Result<Stream, net::DialError>, Failure> {
        let watched = front.options.abortonclose || back.options.abortonclose;
        let header_ip = self.header_ip(server.conf.source.as_ref().or(conf.source.as_ref()));
        let session = Rc::clone(&self.client.session);
        let how = net::Dial {
            server: &server.conf,
            source: conf.source.as_ref(),
            client: &self.ctx.conn,
            header_ip,
            keepalive: back.options.srvtcpka,
            transparent: back.options.transparent,
            tune: &session.generation.config.global.tune,
            timeout,
        };
        let client = &mut *self.client;
        let mut dial = pin!(net::dial(&how));
        poll_fn(|cx| {
            if let Poll::Ready(dialled) = dial.as_mut().poll(cx) {
                return Poll::Ready(Ok(dialled));
            }
            if watched && client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Failure::client_abort(Phase::Connect)));
            }
            Poll::Pending
        })
        .await
    }

    /// `source ... usesrc hdr_ip(NAME,occurrence)`
    fn header_ip(&self, source: Option<&Source>) -> Option<IpAddr> {
        let UseSrc::Header(name, occurrence) = &source?.use_src else { return None };
        let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse().ok();
        let values = self.ctx.request.values(name.as_bytes());
        let mut all: Vec<&[u8]> = values.flat_map(|v| v.split(|b| *b == b',')).collect();
        if *occurrence < 0 {
            all.reverse();
        }
        let nth = occurrence.unsigned_abs().max(1) as usize - 1;
        all.get(nth).and_then(|text| parse(text))
    }

    async fn after_dial_error(
        &mut self,
        error: &net::DialError,
        back: &Proxy,
        conf: &Backend,
        live: &Arc<LiveBackend>,
        timeout: Option<Duration>,
    ) -> Result<(), Stop> {
        live.counters.here().failed_connections.inc();
        if let Some(slot) = &self.slot {
            slot.server().counters.here().failed_connections.inc();
            slot.server().saw(Sight::ConnectFailed);
        }
        let timed_out = error.kind == net::DialErrorKind::Timeout;
        let cause = if timed_out { Cause::ServerTimeout } else { Cause::ServerAbort };
        if self.retries >= conf.retries || !conf.retry_on.conn_failure || !error.retryable {
            return Err(Failure::new(cause, Phase::Connect, 503).into());
        }
        self.retries += 1;
        if !self.redispatch(back, conf, live) && !timed_out {
            // The same server again: give it a moment, as HAProxy does.
            let pause = Duration::from_secs(1).min(timeout.unwrap_or(Duration::MAX));
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Chooses a server, waiting in the queue if need be.
    async fn assign(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        live: &Arc<LiveBackend>,
    ) -> Result<(), Stop> {
        if self.sticky.is_none() {
            self.prefer_last(back);
        }
        let engine = Arc::clone(live);
        let key = persist::key(&conf.balance, self.ctx);
        let settings = &self.ctx.settings;
        let want = Want {
            sticky: self.sticky,
            key: key.as_ref().map(persist::Key::as_input),
            avoid: self.avoid,
            queue_timeout: settings.timeout_queue.or(back.timeouts.queue).or(back.timeouts.connect),
            priority_class: settings.priority_class,
            priority_offset_ms: settings.priority_offset,
            random: self.client.session.engine.random(),
        };
        let assigned = match engine.try_assign(&want) {
            Some(assigned) => assigned,
            None => {
                let watched = front.options.abortonclose || back.options.abortonclose;
                let client = &mut *self.client;
                let mut waiting = pin!(engine.assign(want));
                poll_fn(|cx| {
                    if let Poll::Ready(assigned) = waiting.as_mut().poll(cx) {
                        return Poll::Ready(Ok(assigned));
                    }
                    if watched && client.poll_gone(cx).is_ready() {
                        return Poll::Ready(Err(Failure::client_abort(Phase::Queue)));
                    }
                    Poll::Pending
                })
                .await?
            }
        };
        self.slot = Some(assigned.map_err(refused)?);
        self.times.assigned.get_or_insert_with(Instant::now);
        self.note_slot();
        Ok(())
    }

    fn note_slot(&mut self) {
        let Some(slot) = &self.slot else { return };
        self.ctx.log.server_queue = slot.server_queue;
        self.ctx.log.backend_queue = slot.backend_queue;
    }

    /// `option prefer-last-server`: the session stays where its connection is.
    fn prefer_last(&mut self, back: &Proxy) {
        if back.options.prefer_last_server
            && let Some((backend, server)) = self.client.last_server
            && Some(backend) == self.ctx.backend
        {
            self.sticky = Some(crate::live::Sticky { server, even_down: false, redispatch: true });
        }
    }

    /// A connection left by an earlier request: this client's own, or the thread's.
    fn take_idle(&mut self, server: &Arc<LiveServer>, conf: &Backend) -> bool {
        let own = self.client.own.take().filter(|own| {
            let (s, idle) = &**own;
            Arc::ptr_eq(s, server) && idle.downs == server.downs() && idle.is_alive(std::task::Waker::noop())
        });
        let pools = &self.client.session.engine.pools;
        let first = self.client.requests == 0;
        let Some(idle) = own.map(|own| own.1).or_else(|| pools.take(server, conf.reuse, first)) else {
            return false;
        };
        let (uses, downs) = (idle.uses, idle.downs);
        let Some(stream) = idle.into_stream() else { return false };
        pools.in_use(server, true);
        self.times.connected = Some(self.times.assigned.unwrap_or(self.times.head));
        let (inbox, server) = (Inbox::default(), Arc::clone(server));
        self.up = Some(Upstream { stream, inbox, server, uses, reused: true, downs });
        true
    }

    /// Sends the request and waits for the head of the final response.
    async fn ask(&mut self, front: &Proxy, back: &Proxy) -> Result<ResponseFraming, Asked> {
        let close = self.mode != ConnectionMode::KeepAlive && !back.options.http_pretend_keepalive;
        let keep = if close { Keep::Close } else { Keep::KeepAlive };
        let case = self.case_map(back.options.h1_case_adjust_server);
        if let (Some(name), Some(server)) =
            (back.back.as_ref().and_then(|b| b.http_send_name_header.as_ref()), &self.ctx.server)
        {
            let _ = name;
            forwarded::name_server(back, &server.conf.name, &mut self.ctx.request);
        }
        write::request(&self.ctx.request, keep, case.as_deref(), &mut self.to_server.bytes);
        if self.absorb_request().is_err() {
            return Err(Asked::Client(Failure::new(Cause::Proxy, Phase::Data, 400)));
        }
        buffer::join(&mut self.to_server, &mut self.client.inbox);
        self.server_at = Instant::now();
        self.client_at = self.server_at;
        let watched = front.options.abortonclose || back.options.abortonclose;
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
            let mut moved = false;
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
            if let Poll::Ready(answer) = self.poll_head(cx, limits, &mut moved) {
                return Poll::Ready(answer.map_err(Asked::Server));
            }
            if !moved {
                break;
            }
        }
        if watched && self.request.is_complete() && self.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Asked::Client(Failure::client_abort(Phase::Header))));
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
        self.server_at = Instant::now();
        loop {
            match h1::parse_response(
                up.inbox.raw(),
                limits,
                self.ctx.request.method(),
                &mut self.ctx.response,
            ) {
                Parsed::Partial => return Poll::Pending,
                Parsed::Refused(_) => return Poll::Ready(Err(Trouble::Junk)),
                Parsed::Complete { len, framing } => {
                    up.inbox.skip(len);
                    let status = self.ctx.response.status();
                    if status >= 200 || framing.tunnel {
                        self.times.responded = Some(self.server_at);
                        return Poll::Ready(Ok(framing));
                    }
                    if self.ctx.request.version() >= Version::HTTP_11 {
                        self.ctx.log.bytes_to_client += write::accounted(&self.ctx.response);
                        write::interim(&self.ctx.response, None, &mut self.to_client.bytes);
                    }
                    if up.inbox.raw().is_empty() {
                        return Poll::Pending;
                    }
                }
            }
        }
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
            engine.pools.in_use(&up.server, false);
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
        let Some(mut up) = self.up.take() else { return };
        let engine = &self.client.session.engine;
        engine.pools.in_use(&up.server, false);
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
        let reuse = self.ctx.back().and_then(|b| b.conf.back.as_ref()).map_or(Reuse::Never, |b| b.reuse);
        let idle = Idle::new(up.stream, up.uses + 1, up.downs);
        if reuse == Reuse::Never {
            self.client.own = Some(Box::new((up.server, idle)));
        } else {
            engine.pools.put(&up.server, idle, self.client.session.generation.process.nbthread);
        }
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::NoServer => Failure::new(Cause::ServerAbort, Phase::Connect, 503),
        Refusal::QueueFull => Failure::new(Cause::ServerAbort, Phase::Queue, 503),
        Refusal::QueueTimeout => Failure::new(Cause::ServerTimeout, Phase::Queue, 503),
    }
}

impl Client {
    /// Ready when the client has closed. What it sends meanwhile is kept for later.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
