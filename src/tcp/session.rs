//! One TCP connection from its first byte to its log line: content rules -> backend -> server -> relay -> finish.

use super::connect::Upstream;
use super::context::Context;
use super::relay::{self, Outcome};
use super::tracing::tell;
use super::{Engine, finish};
use crate::config::model::action::Peer;
use crate::config::model::{LogStyle, Mode, TcpRule, UseBackend};
use crate::expr::facts::LiveFacts;
use crate::live::rules::{TcpVerdict, run_tcp_rules};
use crate::live::sessions::{Card, Conn};
use crate::live::trace::sources::stream as events;
use crate::live::{Generation, LiveBackend, LiveProxy};
use crate::net::{Accepted, Stream, Timer};
use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A connection in work.
pub struct Session {
    pub client: Stream,
    pub card: Rc<Card>,
    pub ctx: Context,
    pub timer: Timer,
    pub backend: Option<Arc<LiveBackend>>,
    pub times: Times,
    /// Cause and state of the log's termination field.
    pub letters: [u8; 2],
    pub retries: u32,
    /// When the client last said something, or came.
    pub client_at: Instant,
    pub logged: bool,
}

/// When the phases were passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub ready: Option<Instant>,
    pub queued: Option<Instant>,
    pub assigned: Option<Instant>,
    pub connected: Option<Instant>,
}

/// Why the regular course was left: the letters for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop(pub [u8; 2]);

/// How content rules ended.
enum Ruled {
    GoOn,
    Http,
}

/// `tcp-request connection` rules, from index `from`.
pub fn connection_rules(
    accepted: &mut Accepted,
    from: usize,
    proxy: &Arc<LiveProxy>,
    generation: &Arc<Generation>,
    engine: &Rc<Engine>,
) -> TcpVerdict {
    early_rules(&proxy.conf.tcp_request_connection, from, accepted, proxy, generation, engine)
}

/// `tcp-request session` rules.
pub fn session_rules(
    accepted: &mut Accepted,
    proxy: &Arc<LiveProxy>,
    generation: &Arc<Generation>,
    engine: &Rc<Engine>,
) -> TcpVerdict {
    early_rules(&proxy.conf.tcp_request_session, 0, accepted, proxy, generation, engine)
}

/// Rules before there is a session: what they change stays in `accepted`.
fn early_rules(
    rules: &[TcpRule],
    from: usize,
    accepted: &mut Accepted,
    proxy: &Arc<LiveProxy>,
    generation: &Arc<Generation>,
    engine: &Rc<Engine>,
) -> TcpVerdict {
    let mut ctx = Context::new(accepted.conn.clone(), accepted.at, proxy, generation, engine);
    ctx.variables = std::mem::take(&mut accepted.variables);
    let verdict = run_tcp_rules(rules, from, &mut ctx, true);
    apply_marks(&ctx, &accepted.stream);
    accepted.conn = ctx.conn;
    accepted.variables = ctx.variables;
    verdict
}

/// `set-mark` and `set-tos` act on the client's socket at once.
fn apply_marks(ctx: &Context, stream: &Stream) {
    stream.stamp(ctx.settings.marks[Peer::Client as usize], ctx.settings.tos[Peer::Client as usize]);
}

/// Serves one accepted connection until it ends; answers it when it is to go on as HTTP.
pub async fn serve(
    accepted: Accepted,
    proxy: Arc<LiveProxy>,
    generation: Arc<Generation>,
    engine: Rc<Engine>,
) -> Option<Accepted> {
    let Accepted { stream, card, conn, bind, preread, at, handshake, variables } = accepted;
    card.begin(at, Conn::new(&proxy, &conn, stream.as_raw_fd(), at));
    proxy.front.count(conn.listener_id, |c| c.streams.inc());
    let mut ctx = Context::new(conn, at, &proxy, &generation, &engine);
    ctx.request = preread;
    ctx.variables = variables;
    ctx.log.handshake = handshake;
    let mut session = Session {
        client: stream,
        card,
        ctx,
        timer: Timer::default(),
        backend: None,
        times: Times::default(),
        letters: *b"--",
        retries: 0,
        client_at: at,
        logged: false,
    };
    tell(&session, events::BEGUN, "new stream");
    let mut stopped = false;
    match session.run_until_killed().await {
        Ok(Ruled::GoOn) => {}
        Ok(Ruled::Http) => {
            let Session { client, card, ctx, .. } = session;
            card.end();
            return Some(Accepted {
                stream: client,
                card,
                conn: ctx.conn,
                bind,
                preread: ctx.request,
                at,
                handshake,
                variables: ctx.variables,
            });
        }
        Err(Stop(letters)) => {
            session.letters = letters;
            stopped = true;
        }
    }
    let failed = session.letters[0] != b'-';
    let text = if failed { "end of stream, not by its course" } else { "end of stream" };
    tell(&session, events::ENDED | if failed { events::FAILED } else { 0 }, text);
    finish::session(&mut session);
    if stopped {
        // What the client sent meanwhile is taken, last of all, so that closing is a FIN and not a reset.
        let mut buffer = session.ctx.engine.take_buffer();
        session.client.discard(&mut buffer);
        session.ctx.engine.keep_buffer(buffer);
    }
    None
}

impl Session {
    /// Runs to the end, or until the administrator ends it.
    async fn run_until_killed(&mut self) -> Result<Ruled, Stop> {
        let card = Rc::clone(&self.card);
        let mut run = std::pin::pin!(self.run());
        poll_fn(|cx| match run.as_mut().poll(cx) {
            Poll::Pending if card.is_killed() => Poll::Ready(Err(Stop(*b"K-"))),
            polled => polled,
        })
        .await
    }

    async fn run(&mut self) -> Result<Ruled, Stop> {
        let front = Arc::clone(&self.ctx.frontend);
        let conf = &front.conf;
        if conf.log.style == LogStyle::Connect {
            finish::log(self);
        }
        if !conf.tcp_request_content.is_empty()
            && let Ruled::Http = self.content_rules(&conf.tcp_request_content, conf.tcp_inspect_delay).await?
        {
            return Ok(Ruled::Http);
        }
        self.times.ready = Some(Instant::now());
        let back = self.route(&front)?;
        if back.conf.mode == Mode::Http {
            return Ok(Ruled::Http);
        }
        let Some(live) = &back.back else { return Err(Stop(*b"SC")) };
        live.enter();
        self.backend = Some(Arc::clone(live));
        self.card.routed(&back);
        self.ctx.backend = Some(Arc::clone(&back));
        if !Arc::ptr_eq(&back, &front)
            && !back.conf.tcp_request_content.is_empty()
            && let Ruled::Http =
                self.content_rules(&back.conf.tcp_request_content, back.conf.tcp_inspect_delay).await?
        {
            return Err(Stop(*b"PR"));
        }
        tell(self, events::TCP_ROUTED, "backend chosen");
        let upstream = self.connect(&front.conf, &back.conf).await?;
        tell(self, events::CONNECTED, "connected to the server");
        if matches!(conf.log.style, LogStyle::Custom) || conf.log.error_format.is_some() {
            self.ctx.log.backend_src = upstream.stream.local_addr();
            self.ctx.log.backend_dst = upstream.stream.peer_addr();
        }
        self.relay(upstream, &front, &back).await;
        Ok(Ruled::GoOn)
    }

    /// Relays, with a task of its own size: the relay's state is boxed so that waiting for a client stays small.
    async fn relay(&mut self, upstream: Upstream, front: &LiveProxy, back: &LiveProxy) {
        if front.conf.options.logasap && front.conf.log.style != LogStyle::Connect {
            self.ctx.log.early = true;
            finish::log(self);
        }
        let outcome = relay::run(self, upstream, &front.conf, &back.conf).await;
        let Outcome { letters, from_client, from_server } = outcome;
        self.letters = letters;
        self.ctx.log.bytes_from_client = from_client;
        self.ctx.log.bytes_to_client = from_server;
    }

    /// `use_backend` rules in order, then `default_backend`, then the proxy itself if it is a `listen`.
    fn route(&mut self, front: &Arc<LiveProxy>) -> Result<Arc<LiveProxy>, Stop> {
        let rules = front.conf.front.as_ref();
        let force = rules.map_or(&[][..], |f| &f.force_switch);
        let forced = force.iter().any(|condition| condition.holds(&mut self.ctx));
        for rule in rules.map_or(&[][..], |f| &f.use_backend) {
            if rule.condition.as_ref().is_some_and(|c| !c.holds(&mut self.ctx)) {
                continue;
            }
            let index = match &rule.action {
                UseBackend::Static(index) => Some(*index),
                UseBackend::Dynamic(format) => {
                    let mut name = Vec::new();
                    format.render(&mut self.ctx, &mut name);
                    let name = String::from_utf8_lossy(&name).into_owned();
                    self.ctx.generation.backend_by_name(&name)
                }
            };
            let published = index.filter(|i| forced || self.ctx.generation.is_published(*i));
            let found = published.and_then(|i| self.ctx.generation.proxy(i)).filter(|p| p.back.is_some());
            if let Some(found) = found {
                return Ok(Arc::clone(found));
            }
        }
        let default = rules.and_then(|f| f.default_backend);
        let default = default.filter(|i| forced || self.ctx.generation.is_published(*i));
        let default = default.and_then(|i| self.ctx.generation.proxy(i));
        match default {
            Some(found) => Ok(Arc::clone(found)),
            None if front.back.is_some() => Ok(Arc::clone(front)),
            None => Err(Stop(*b"SC")),
        }
    }

    /// Runs content rules, reading what they need for as long as `inspect-delay` allows.
    async fn content_rules(&mut self, rules: &[TcpRule], delay: Option<Duration>) -> Result<Ruled, Stop> {
        let deadline = delay.map(|d| Instant::now() + d);
        let mut from = 0;
        loop {
            let expired = deadline.is_none_or(|d| Instant::now() >= d);
            let full = self.ctx.request.len() >= self.ctx.engine.bufsize;
            let last = expired || full || self.ctx.request_complete;
            match run_tcp_rules(rules, from, &mut self.ctx, last) {
                TcpVerdict::NeedMore { resume } if !last => {
                    from = resume;
                    self.read_more(deadline).await?;
                }
                TcpVerdict::SwitchHttp => return Ok(Ruled::Http),
                TcpVerdict::Reject | TcpVerdict::Close => {
                    self.count_denied();
                    return Err(Stop(*b"PR"));
                }
                TcpVerdict::SilentDrop => {
                    self.count_denied();
                    self.client.vanish_on_close();
                    return Err(Stop(*b"PR"));
                }
                _ => {
                    apply_marks(&self.ctx, &self.client);
                    return Ok(Ruled::GoOn);
                }
            }
        }
    }

    fn count_denied(&self) {
        self.ctx.frontend.front.count(self.ctx.conn.listener_id, |c| c.denied_requests.inc());
        if let Some(back) = &self.backend {
            back.counters.here().denied_requests.inc();
        }
    }

    /// Appends what the client sends to the inspected bytes; returns without any when `deadline` passes.
    async fn read_more(&mut self, deadline: Option<Instant>) -> Result<(), Stop> {
        let idle = self.ctx.frontend.conf.timeouts.client.map(|t| self.client_at + t);
        let mut buffer = self.ctx.engine.take_buffer();
        let room = self.ctx.engine.bufsize.saturating_sub(self.ctx.request.len());
        let (client, timer) = (&mut self.client, &mut self.timer);
        let read = poll_fn(|cx| {
            let part = buffer.get_mut(..room).unwrap_or_default();
            if let Poll::Ready(read) = client.poll_read(cx, part) {
                return Poll::Ready(Some(read));
            }
            let nearest = deadline.into_iter().chain(idle).min();
            timer.poll(cx, nearest).map(|()| None)
        })
        .await;
        let result = match read {
            Some(Ok(0)) => {
                self.ctx.request_complete = true;
                Ok(())
            }
            Some(Ok(n)) => {
                self.ctx.request.extend_from_slice(buffer.get(..n).unwrap_or_default());
                self.client_at = Instant::now();
                Ok(())
            }
            Some(Err(_)) => Err(Stop(*b"CR")),
            None if deadline.is_some_and(|d| Instant::now() >= d) => Ok(()),
            None => Err(Stop(*b"cR")),
        };
        self.ctx.engine.keep_buffer(buffer);
        result
    }
}
