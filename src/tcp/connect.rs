//! From a backend to an open connection: assign, dial, retry, redispatch, PROXY header.

use super::session::{Session, Stop};
use crate::balance::key;
use crate::config::model::action::Peer;
use crate::config::model::{Backend, Balance, Proxy, UseServer};
use crate::expr::{Facts, Value};
use crate::ids::ServerIndex;
use crate::live::counters::InUse;
use crate::live::{HashInput, LiveBackend, LiveServer, Refusal, Sight, Slot, Sticky, Want};
use crate::net::{self, DialErrorKind, Stream, Wrap};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

/// A server connection and the place on the server that it holds.
pub struct Upstream {
    pub stream: Stream,
    pub slot: Slot,
    /// Held until the connection ends.
    pub in_use: InUse,
    /// To be sent to the server before anything else.
    pub first: Vec<u8>,
    /// How much of that is a PROXY header, which the client did not send.
    pub header: u64,
}

/// What an algorithm hashes.
enum Key {
    Source(IpAddr),
    Bytes(Vec<u8>),
}

impl Key {
    fn as_input(&self) -> HashInput<'_> {
        match self {
            Self::Source(ip) => HashInput::Source(*ip),
            Self::Bytes(bytes) => HashInput::Bytes(bytes),
        }
    }
}

impl Session {
    /// A server that took the connection.
    pub async fn connect(&mut self, front: &Proxy, back: &Proxy) -> Result<Upstream, Stop> {
        let (Some(conf), Some(live)) = (&back.back, self.backend.clone()) else { return Err(Stop(*b"SC")) };
        let mut sticky = self.use_server(conf);
        let mut failed: Option<Arc<LiveServer>> = None;
        let mut slot = None;
        loop {
            let taken = match slot.take() {
                Some(slot) => slot,
                None => {
                    let avoid = failed.as_ref().map(|s| s.index);
                    self.assign(front, back, conf, &live, sticky, avoid).await?
                }
            };
            let server = Arc::clone(taken.server());
            if let Some(failed) = &failed {
                self.count_again(failed, &server, &live);
            }
            self.ctx.server = Some(Arc::clone(&server));
            self.ctx.server_tls = None;
            self.card.assigned(&server);
            live.counters.here().connects.inc();
            server.counters.here().connects.inc();
            server.begin_session();
            let timeout = self.ctx.settings.timeout_connect.or(back.timeouts.connect);
            let in_use = InUse::new(&server);
            let error = match self.dial(front, back, conf, &taken, timeout).await? {
                Ok(stream) => {
                    self.times.connected = Some(Instant::now());
                    self.ctx.log.server_refused_tls = false;
                    self.card.connected(stream.as_raw_fd(), self.retries, [None; 2]);
                    server.saw(Sight::Connected);
                    self.ctx.server_tls = stream.server_handshake();
                    let (first, header) = self.first_bytes(&taken, stream.is_plain());
                    return Ok(Upstream { stream, slot: taken, in_use, first, header });
                }
                Err(error) => error,
            };
            drop(in_use);
            self.ctx.log.server_refused_tls = error.kind == DialErrorKind::Handshake;
            server.saw(Sight::ConnectFailed);
            let timed_out = error.timed_out();
            if error.kind == DialErrorKind::Handshake && !error.retryable {
                // HAProxy logs all its attempts as used up.
                self.retries = conf.retries;
            }
            if self.retries >= conf.retries || !error.retryable {
                return Err(Stop(if timed_out { *b"sC" } else { *b"SC" }));
            }
            self.retries += 1;
            let elsewhere = self.redispatches(back, conf, &taken) && !sticky.is_some_and(|s| s.even_down);
            failed = Some(server);
            if elsewhere {
                sticky = None;
            } else {
                slot = Some(taken);
            }
            let another = elsewhere && offers_another(conf, &live);
            if !(timed_out || another) {
                tokio::time::sleep(Duration::from_secs(1).min(timeout.unwrap_or(Duration::MAX))).await;
            }
        }
    }

    /// A further attempt is a redispatch if it goes to another server, else a retry.
    fn count_again(&mut self, failed: &LiveServer, next: &LiveServer, live: &LiveBackend) {
        if failed.index == next.index {
            live.counters.here().retries.inc();
            failed.counters.here().retries.inc();
        } else {
            live.counters.here().redispatches.inc();
            failed.counters.here().redispatches.inc();
            self.ctx.log.redispatched = true;
        }
    }

    /// `use-server`: the first rule that holds and names a server that is up.
    fn use_server(&mut self, conf: &Backend) -> Option<Sticky> {
        for rule in &conf.use_server {
            if rule.condition.as_ref().is_some_and(|c| !c.holds(&mut self.ctx)) {
                continue;
            }
            let server = match &rule.action {
                UseServer::Static(index) => Some(*index),
                UseServer::Dynamic(format) => {
                    let mut name = Vec::new();
                    format.render(&mut self.ctx, &mut name);
                    let found = conf.servers.iter().position(|s| s.name.as_bytes() == name);
                    found.and_then(|i| u32::try_from(i).ok()).map(ServerIndex)
                }
            };
            let up =
                server.and_then(|i| self.backend.as_ref()?.servers.get(i.get())).is_some_and(|s| s.is_up());
            if let Some(server) = server.filter(|_| up) {
                return Some(Sticky { server, even_down: false, redispatch: true });
            }
        }
        None
    }

    fn redispatches(&self, back: &Proxy, conf: &Backend, failed: &Slot) -> bool {
        match back.options.redispatch {
            None => false,
            _ if !failed.server().is_up() => true,
            Some(n) if n > 0 => self.retries.is_multiple_of(n.unsigned_abs()),
            Some(n) => {
                let every = i64::from(conf.retries) + 1 + i64::from(n.min(-1));
                every <= 0 || i64::from(self.retries) % every == 0
            }
        }
    }

    async fn assign(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        live: &Arc<LiveBackend>,
        sticky: Option<Sticky>,
        avoid: Option<ServerIndex>,
    ) -> Result<Slot, Stop> {
        let key = self.key(&conf.balance);
        let settings = &self.ctx.settings;
        let want = Want {
            sticky,
            key: key.as_ref().map(Key::as_input),
            avoid,
            queue_timeout: settings.timeout_queue.or(back.timeouts.queue).or(back.timeouts.connect),
            priority_class: settings.priority_class,
            priority_offset_ms: settings.priority_offset,
            random: self.ctx.engine.random(),
        };
        let assigned = match live.try_assign(&want) {
            Some(assigned) => assigned,
            None => {
                let watched = front.options.abortonclose || back.options.abortonclose;
                self.times.queued = Some(Instant::now());
                self.ctx.log.backend_queue = live.queued() + 1;
                let client = &mut self.client;
                let request = &mut self.ctx.request;
                let mut waiting = pin!(live.assign(want));
                poll_fn(|cx| {
                    if let Poll::Ready(assigned) = waiting.as_mut().poll(cx) {
                        return Poll::Ready(Ok(assigned));
                    }
                    if watched && poll_gone(client, request, cx).is_ready() {
                        return Poll::Ready(Err(Stop(*b"CQ")));
                    }
                    Poll::Pending
                })
                .await?
            }
        };
        let slot = assigned.map_err(|refusal| match refusal {
            Refusal::NoServer => Stop(*b"SC"),
            Refusal::QueueFull => Stop(*b"SQ"),
            Refusal::QueueTimeout => Stop(*b"sQ"),
        })?;
        self.times.assigned.get_or_insert_with(Instant::now);
        self.ctx.log.server_queue = slot.server_queue;
        self.ctx.log.backend_queue = slot.backend_queue;
        Ok(slot)
    }

    fn key(&mut self, balance: &Balance) -> Option<Key> {
        match balance {
            Balance::Source => self.ctx.conn.src.map(|a| Key::Source(a.ip())),
            Balance::RdpCookie { name } => {
                key::rdp_cookie(&self.ctx.request, name.as_bytes()).map(|v| Key::Bytes(v.to_vec()))
            }
            Balance::Hash(expr) => Some(Key::Bytes(match expr.eval(&mut self.ctx)? {
                Value::Addr(IpAddr::V4(ip)) => ip.octets().to_vec(),
                Value::Addr(IpAddr::V6(ip)) => ip.octets().to_vec(),
                Value::Str(bytes) | Value::Bin(bytes) => bytes,
                Value::Int(n) => n.to_be_bytes().to_vec(),
                Value::Bool(b) => i64::from(b).to_be_bytes().to_vec(),
            })),
            _ => None,
        }
    }

    async fn dial(
        &mut self,
        front: &Proxy,
        back: &Proxy,
        conf: &Backend,
        slot: &Slot,
        timeout: Option<Duration>,
    ) -> Result<Result<Stream, net::DialError>, Stop> {
        let watched = front.options.abortonclose || back.options.abortonclose;
        let generation = Arc::clone(&self.ctx.generation);
        let wrap = self.wrap(slot.server());
        let reached = slot.server().reached();
        let how = net::Dial {
            server: &reached,
            via: reached.socks4,
            source: conf.source.as_ref(),
            client: &self.ctx.conn,
            header_ip: None,
            keepalive: back.server_keep_alive(),
            transparent: back.options.transparent,
            tune: &generation.config.global.tune,
            asks_first: back.options.tcp_smart_connect && reached.send_proxy.is_some(),
            mark: self.ctx.settings.marks[Peer::Server as usize],
            tos: self.ctx.settings.tos[Peer::Server as usize],
            tls: wrap.as_ref(),
            timeout,
        };
        let client = &mut self.client;
        let request = &mut self.ctx.request;
        let mut dial = pin!(net::dial(&how));
        poll_fn(|cx| {
            if let Poll::Ready(dialled) = dial.as_mut().poll(cx) {
                return Poll::Ready(Ok(dialled));
            }
            if watched && poll_gone(client, request, cx).is_ready() {
                return Poll::Ready(Err(Stop(*b"CC")));
            }
            Poll::Pending
        })
        .await
    }

    /// What makes the connection a TLS one, if it is to be one.
    fn wrap(&mut self, server: &LiveServer) -> Option<Wrap> {
        let connector = server.connector()?;
        let name = server.conf.sni.as_ref().and_then(|expr| expr.eval(&mut self.ctx));
        let name =
            name.and_then(|name| String::from_utf8(name.into_text()).ok()).filter(|name| !name.is_empty());
        Some(Wrap { connector, sni: name.map(Into::into), preface: self.announcement(server), alpn: None })
    }

    /// `send-proxy*`: the header that goes before everything else.
    fn announcement(&mut self, server: &LiveServer) -> Vec<u8> {
        let mut header = Vec::new();
        if let Some(send) = &server.conf.send_proxy {
            let unique_id = if send.unique_id { self.ctx.unique_id() } else { None };
            net::proxy_header(send, &self.ctx.conn, unique_id.as_deref(), false, &mut header);
        }
        header
    }

    /// The PROXY header, unless the handshake came behind it, and what the client has sent.
    fn first_bytes(&mut self, slot: &Slot, plain: bool) -> (Vec<u8>, u64) {
        let mut first = if plain { self.announcement(slot.server()) } else { Vec::new() };
        let header = first.len() as u64;
        first.append(&mut self.ctx.request);
        (first, header)
    }
}

/// Is it likely that the algorithm gives another server at once? Else the same one is given a moment first.
fn offers_another(conf: &Backend, live: &LiveBackend) -> bool {
    let in_turn = matches!(conf.balance, Balance::RoundRobin | Balance::StaticRr | Balance::Random { .. });
    in_turn && live.usable().0 > 1
}

/// Ready when the client has closed. What it sends meanwhile is kept, up to a buffer.
fn poll_gone(client: &mut Stream, kept: &mut Vec<u8>, cx: &mut TaskContext<'_>) -> Poll<()> {
    const MOST: usize = 16384;
    let mut chunk = [0; 1024];
    while kept.len() < MOST {
        match client.poll_read(cx, &mut chunk) {
            Poll::Ready(Ok(n)) if n > 0 => kept.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Pending
}
