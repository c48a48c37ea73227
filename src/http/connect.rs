//! A server for the request and a connection to it: assignment and the queue, idle connections, dialling, redispatch.

use super::error::{Cause, Failure, Phase};
use super::exchange::{Exchange, Stop};
use super::persist;
use super::redirect;
use super::reply::Answer;
use super::upstream::Upstream;
use crate::config::model::action::Peer;
use crate::config::model::backend::UseSrc;
use crate::config::model::{Backend, Balance, Proxy, Source};
use crate::expr::Facts;
use crate::live::counters::InUse;
use crate::live::{LiveBackend, LiveServer, Refusal, Sight, Slot, Want};
use crate::message::Method;
use crate::net::{self, DialErrorKind, Stream, Wrap};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

impl Exchange<'_> {
    /// Takes another server for the next attempt where `option redispatch` says so; true if it did.
    pub(super) fn redispatch(&mut self, back: &Proxy, conf: &Backend, live: &LiveBackend) -> bool {
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
        self.failed = failed.map(|s| s.index);
        self.avoid = self.failed;
        self.slot = None;
        self.sticky = None;
        // Where the choice turns anyway there is no need to wait before it.
        let turns = matches!(conf.balance, Balance::RoundRobin | Balance::StaticRr | Balance::Random { .. });
        turns && live.usable().0 > 1
    }

    /// A slot on a server and an open connection to it.
    pub(super) async fn connect(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        live: &Arc<LiveBackend>,
        fresh: bool,
    ) -> Result<(), Stop> {
        // Mostly there is room on a server, and a connection to it at hand.
        if self.slot.is_some() || self.try_assign(back, conf, live)? {
            let server = self.server(live)?;
            let sni = self.sni(server);
            if !fresh && self.reuse(server, conf, live, sni.as_deref()) {
                return Ok(());
            }
        }
        Box::pin(self.wait_or_dial(front, back, conf, live, fresh)).await
    }

    /// The server of the slot; or where the request is sent instead.
    fn server<'l>(&mut self, live: &'l LiveBackend) -> Result<&'l Arc<LiveServer>, Stop> {
        let index = self.slot.as_ref().map(|s| s.server().index);
        let Some(server) = index.and_then(|i| live.servers.get(i.get())) else {
            return Err(refused(Refusal::NoServer).into());
        };
        self.ctx.server = Some(Arc::clone(server));
        self.ctx.server_tls = None;
        if let Some(answer) = self.sent_elsewhere(server) {
            return Err(Stop::Answer { answer: Box::new(answer), letters: *b"LC" });
        }
        Ok(server)
    }

    /// Goes on with a connection that is there.
    fn reuse(
        &mut self,
        server: &Arc<LiveServer>,
        conf: &Backend,
        live: &LiveBackend,
        sni: Option<&str>,
    ) -> bool {
        let taken = self.take_idle(server, conf, sni);
        if taken {
            live.counters.here().reuses.inc();
            server.counters.here().reuses.inc();
            server.begin_session();
        }
        taken
    }

    async fn wait_or_dial(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        live: &Arc<LiveBackend>,
        fresh: bool,
    ) -> Result<(), Stop> {
        let mut waited = false;
        loop {
            if self.slot.is_none() {
                self.assign(front, back, conf, live).await?;
            }
            let server = self.server(live)?;
            let sni = self.sni(server);
            if !fresh && self.reuse(server, conf, live, sni.as_deref()) {
                return Ok(());
            }
            let shared = server.conf.may_speak_h2();
            let mut dialling = None;
            if shared && !std::mem::replace(&mut waited, true) {
                match self.waits_for_another(server, conf) {
                    Ok(told) => {
                        told.notified().await;
                        self.at = Instant::now();
                        continue;
                    }
                    Err(own) => dialling = own,
                }
            }
            let timeout = self.ctx.settings.timeout_connect.or(back.timeouts.connect);
            live.counters.here().connects.inc();
            server.counters.here().connects.inc();
            server.begin_session();
            let wrap = self.wrap(server, sni);
            let in_use = InUse::new(server);
            match self.dial(front, back, conf, server, wrap.as_ref(), timeout).await? {
                Ok((stream, address)) => {
                    self.ctx.log.server_refused_tls = false;
                    server.saw(Sight::Connected);
                    let downs = server.downs();
                    if shared && self.is_multiplexed(&stream, server) {
                        let sni = wrap.and_then(|wrap| wrap.sni);
                        Box::pin(self.multiplex(stream, address, in_use, sni)).await?;
                        drop(dialling);
                        return Ok(());
                    }
                    if wrap.is_none() {
                        self.announce_client(server);
                    }
                    let ends = [stream.local_addr(), address];
                    [self.ctx.log.backend_src, self.ctx.log.backend_dst] = ends;
                    self.ctx.server_tls = stream.server_handshake();
                    self.client.card.connected(stream.as_raw_fd(), self.retries, ends);
                    let mut up = Box::new(Upstream::new(stream, Arc::clone(server), downs, ends));
                    up.sni = wrap.and_then(|wrap| wrap.sni);
                    drop(in_use);
                    up.begin_use();
                    self.up = Some(up);
                    self.at = Instant::now();
                    self.times.connected = Some(self.at);
                    return Ok(());
                }
                Err(error) => {
                    drop(in_use);
                    drop(dialling);
                    self.ctx.log.server_refused_tls = error.kind == DialErrorKind::Handshake;
                    self.after_dial_error(&error, back, conf, live, timeout).await?;
                }
            }
        }
    }

    /// `redir`: GET and HEAD are redirected to the server instead of being sent there.
    fn sent_elsewhere(&self, server: &LiveServer) -> Option<Answer> {
        let prefix = server.conf.redir.as_ref()?;
        matches!(self.ctx.request.method(), Method::Get | Method::Head)
            .then(|| redirect::to_server(prefix, &self.ctx.request))
    }

    /// `send-proxy*`: the header that goes before everything else on a new connection.
    pub(super) fn announce_client(&mut self, server: &LiveServer) {
        let Some(send) = &server.conf.send_proxy else { return };
        let unique_id = if send.unique_id { self.ctx.unique_id() } else { None };
        net::proxy_header(send, &self.ctx.conn, unique_id.as_deref(), false, &mut self.to_server.bytes);
    }

    /// `sni`: the name to ask a server for over TLS.
    fn sni(&mut self, server: &LiveServer) -> Option<Box<str>> {
        let expr = server.conf.sni.as_ref().filter(|_| server.is_secure())?;
        let name = expr.eval(self.ctx)?.into_text();
        let name = String::from_utf8(name).ok()?;
        (!name.is_empty()).then(|| name.into())
    }

    /// What makes the connection a TLS one, if it is to be one; the PROXY header then goes before the handshake.
    fn wrap(&mut self, server: &LiveServer, sni: Option<Box<str>>) -> Option<Wrap> {
        let connector = server.connector()?;
        let rest = std::mem::take(&mut self.to_server.bytes);
        self.announce_client(server);
        let preface = std::mem::replace(&mut self.to_server.bytes, rest);
        let alpn = self.downgrade(server);
        Some(Wrap { connector, sni, preface, alpn })
    }

    /// Dials, while the client is watched if `option abortonclose` asks for it.
    async fn dial(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        server: &Arc<LiveServer>,
        wrap: Option<&Wrap>,
        timeout: Option<Duration>,
    ) -> Result<Result<(Stream, Option<SocketAddr>), net::DialError>, Failure> {
        let watched = self.is_watched(front.options.abortonclose || back.options.abortonclose);
        let header_ip = self.header_ip(server.conf.source.as_ref().or(conf.source.as_ref()));
        let session = Rc::clone(&self.client.session);
        let reached = server.reached();
        let how = net::Dial {
            server: &reached,
            via: reached.socks4,
            source: conf.source.as_ref(),
            client: &self.ctx.conn,
            header_ip,
            keepalive: back.server_keep_alive(),
            transparent: back.options.transparent,
            tune: &session.generation.config.global.tune,
            asks_first: true,
            mark: self.ctx.settings.marks[Peer::Server as usize],
            tos: self.ctx.settings.tos[Peer::Server as usize],
            tls: wrap,
            timeout,
        };
        let client = &mut *self.client;
        let mut dial = pin!(net::dial(&how));
        poll_fn(|cx| {
            if let Poll::Ready(dialled) = dial.as_mut().poll(cx) {
                return Poll::Ready(Ok(dialled.map(|stream| (stream, net::dial::address(&how)))));
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
        if let Some(slot) = &self.slot {
            slot.server().saw(Sight::ConnectFailed);
        }
        let timed_out = error.timed_out();
        let cause = if timed_out { Cause::ServerTimeout } else { Cause::ServerAbort };
        if error.kind == net::DialErrorKind::Handshake && !error.retryable {
            // HAProxy logs all its attempts as used up.
            self.retries = conf.retries;
        }
        if self.retries >= conf.retries || !conf.retry_on.conn_failure || !error.retryable {
            return Err(Failure::new(cause, Phase::Connect, 503).into());
        }
        self.retries += 1;
        if !self.redispatch(back, conf, live) && !timed_out {
            // The same server again: give it a moment, as HAProxy does.
            let pause = Duration::from_secs(1).min(timeout.unwrap_or(Duration::MAX));
            tokio::time::sleep(pause).await;
            self.at = Instant::now();
        }
        Ok(())
    }

    /// Chooses a server; false: the request has to wait for one.
    fn try_assign(&mut self, back: &Proxy, conf: &Backend, live: &Arc<LiveBackend>) -> Result<bool, Stop> {
        if self.sticky.is_none() {
            self.prefer_last(back);
        }
        let key = persist::key(&conf.balance, self.ctx);
        let Some(assigned) = live.try_assign(&self.want(back, key.as_ref())) else { return Ok(false) };
        self.take_slot(assigned, live)?;
        Ok(true)
    }

    fn want<'k>(&self, back: &Proxy, key: Option<&'k persist::Key>) -> Want<'k> {
        let settings = &self.ctx.settings;
        Want {
            sticky: self.sticky,
            key: key.map(persist::Key::as_input),
            avoid: self.avoid,
            queue_timeout: settings.timeout_queue.or(back.timeouts.queue).or(back.timeouts.connect),
            priority_class: settings.priority_class,
            priority_offset_ms: settings.priority_offset,
            random: self.client.session.engine.random(),
        }
    }

    fn take_slot(&mut self, assigned: Result<Slot, Refusal>, live: &LiveBackend) -> Result<(), Stop> {
        self.slot = Some(assigned.map_err(refused)?);
        self.times.assigned.get_or_insert(self.at);
        self.note_slot(live);
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
        let key = persist::key(&conf.balance, self.ctx);
        let want = self.want(back, key.as_ref());
        let assigned = match live.try_assign(&want) {
            Some(assigned) => assigned,
            None => {
                let watched = self.is_watched(front.options.abortonclose || back.options.abortonclose);
                let client = &mut *self.client;
                let mut waiting = pin!(live.assign(want));
                let waited = poll_fn(|cx| {
                    if let Poll::Ready(assigned) = waiting.as_mut().poll(cx) {
                        return Poll::Ready(Ok(assigned));
                    }
                    if watched && client.poll_gone(cx).is_ready() {
                        return Poll::Ready(Err(Failure::client_abort(Phase::Queue)));
                    }
                    Poll::Pending
                })
                .await;
                self.at = Instant::now();
                waited?
            }
        };
        self.take_slot(assigned, live)
    }

    fn note_slot(&mut self, live: &LiveBackend) {
        let Some(slot) = &self.slot else { return };
        let server = slot.server();
        self.client.card.assigned(server);
        if server.conf.on_marked_down.is_some() || server.conf.backup {
            let (watched, since) = (Arc::clone(server), server.kills());
            self.killed = Some(Box::pin(async move { watched.killed(since).await }));
        }
        if let Some(failed) = self.failed.take() {
            // HAProxy speaks of a redispatch only when another server was found.
            if failed == server.index {
                live.counters.here().retries.inc();
                server.counters.here().retries.inc();
            } else {
                live.counters.here().redispatches.inc();
                if let Some(failed) = live.servers.get(failed.get()) {
                    failed.counters.here().redispatches.inc();
                }
                self.ctx.log.redispatched = true;
                self.persistence.redispatched();
            }
        }
        self.ctx.log.server_queue = slot.server_queue;
        self.ctx.log.backend_queue = slot.backend_queue;
    }

    /// `option prefer-last-server`: the session stays where its connection is.
    fn prefer_last(&mut self, back: &Proxy) {
        if back.options.prefer_last_server
            && self.queue_is_short(back)
            && let Some((backend, server)) = self.client.last_server
            && Some(backend) == self.ctx.backend
        {
            self.sticky = Some(crate::live::Sticky { server, even_down: false, redispatch: true });
        }
    }

    /// `max-keep-alive-queue`: the last server keeps its clients while it has room or few of them wait.
    fn queue_is_short(&self, back: &Proxy) -> bool {
        let most = back.back.as_ref().map_or(-1, |b| b.max_keep_alive_queue);
        let last =
            self.client.last_server.and_then(|(_, server)| self.backend.as_ref()?.servers.get(server.get()));
        let (Ok(most), Some(server)) = (u32::try_from(most), last) else { return true };
        server.maxconn() == 0 || server.current() < server.maxconn() || server.queued() + 1 < most
    }

    /// A connection left by an earlier request: this client's own, or the thread's.
    fn take_idle(&mut self, server: &Arc<LiveServer>, conf: &Backend, sni: Option<&str>) -> bool {
        if server.conf.may_speak_h2() && self.take_stream(server, conf, sni) {
            return true;
        }
        let own = self
            .client
            .own
            .take()
            .and_then(|own| own.take())
            .filter(|idle| idle.is_of(server, sni) && idle.downs() == server.downs() && idle.is_silent());
        let pools = &self.client.session.engine.pools;
        let first = self.client.requests == 0;
        let reuse = conf.reuse_to(&server.conf);
        let Some(idle) = own.or_else(|| pools.take(server, reuse, first, sni)) else {
            return false;
        };
        let Some(mut up) = idle.into_upstream() else { return false };
        [self.ctx.log.backend_src, self.ctx.log.backend_dst] = up.ends;
        self.times.connected = Some(self.times.assigned.unwrap_or(self.times.head));
        self.ctx.server_tls = up.stream.server_handshake();
        self.client.card.connected(up.stream.as_raw_fd(), self.retries, up.ends);
        up.reused = true;
        up.begin_use();
        self.up = Some(up);
        true
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::NoServer => Failure::new(Cause::ServerAbort, Phase::Connect, 503),
        Refusal::QueueFull => Failure::new(Cause::ServerAbort, Phase::Queue, 503),
        Refusal::QueueTimeout => Failure::new(Cause::ServerTimeout, Phase::Queue, 503),
    }
}
