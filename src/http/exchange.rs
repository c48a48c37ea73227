//! One request from its head to its log line: frontend rules -> route -> backend rules -> persistence -> server -> response
//! rules -> both bodies -> finish.

use super::applet::Asked;
use super::body::Flow;
use super::buffer::{self, Outbox};
use super::context::Context;
use super::cookies::{self, Persistence};
use super::error::{Cause, Failure, Phase};
use super::h1::write::{self, Persistence as Keep};
use super::h1::{BodyLength, RequestFraming, ResponseFraming};
use super::reply::{self, Answer};
use super::rules;
use super::serve::Client;
use super::upstream::Upstream;
use super::{Session, finish, forwarded, tracing};
use crate::config::model::{ConnectionMode, Proxy, Service, UseBackend};
use crate::expr::facts::LiveFacts;
use crate::ids::{ProxyIndex, ServerIndex};

use crate::live::sessions::Conn;
use crate::live::{LiveBackend, LiveProxy, Slot, Sticky, trace};
use crate::message::{Method, Version};
use crate::net::relay::Pipe;
use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    KeepAlive,
    /// All was read: a plain close.
    Close,
    /// Close, but let the client take what was sent while it is still sending.
    Linger,
    /// Close with a reset.
    Reset,
    /// It is not over: HTTP/2 begins.
    Upgrade,
}

/// Why the regular course was left.
pub enum Stop {
    /// Answer this; `letters` go to the log.
    Answer {
        answer: Box<Answer>,
        letters: [u8; 2],
    },
    Failed(Failure),
    /// `silent-drop`: not a word, not even on the wire.
    Silent,
    /// A service of our own answers.
    Service(Asked),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// When the phases were passed.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// End of the last response, or accept.
    pub idle_from: Instant,
    pub started: Instant,
    pub head: Instant,
    pub assigned: Option<Instant>,
    pub connected: Option<Instant>,
    pub responded: Option<Instant>,
}

/// A request in work.
pub struct Exchange<'a> {
    pub client: &'a mut Client,
    pub ctx: &'a mut Context,
    pub framing: RequestFraming,
    pub times: Times,
    pub mode: ConnectionMode,
    pub backend: Option<Arc<LiveBackend>>,
    pub sticky: Option<Sticky>,
    /// The server the last attempt failed on.
    pub avoid: Option<ServerIndex>,
    pub persistence: Persistence,
    pub slot: Option<Slot>,
    pub up: Option<Box<Upstream>>,
    pub to_server: Outbox,
    pub to_client: Outbox,
    pub request: Flow,
    pub response: Flow,
    /// The request can still be sent again from its first byte.
    pub replayable: bool,
    /// The server no longer takes the request's body.
    pub request_broken: bool,
    pub retries: u32,
    /// Holds bytes between two polls while a long body is spliced.
    pub pipe: Option<Pipe>,
    /// The backend's part has begun: the request is being passed on.
    pub forwarding: bool,
    /// Resolves when the server's sessions are told to close, where the configuration may tell so.
    pub killed: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// The server that failed and that the next assignment may replace.
    pub failed: Option<ServerIndex>,
    pub splice_failed: bool,
    /// The client's connection is closed, and not reset, right behind the response.
    pub closes: bool,
    /// The clock as it was read last: reading it costs a request more than most of its phases, and between two waits
    /// nothing happens that a millisecond could tell.
    pub at: Instant,
    /// When the exchange ended, once it has.
    ended: Option<Instant>,
    /// When either side last moved a byte.
    pub client_at: Instant,
    pub server_at: Instant,
    /// Something of the final response is on its way to the client.
    pub answered: bool,
    pub letters: [u8; 2],
    pub logged: bool,
    /// The service of our own that answers.
    pub service: Option<Service>,
    /// Answered here: by a service, a redirection, the monitor.
    pub intercepted: bool,
    /// A rule refused the request or the response.
    pub denied: bool,
    pub sent: Sent,
    /// The status the server gave.
    pub server_status: u16,
}

/// Bytes that left for the server and came from it, as HAProxy counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub request: u64,
    pub response: u64,
}

/// Runs one request whose head is in `ctx`: its first byte came at `started`, its last at `head`.
///
/// What few requests come to is boxed on its way: it would lengthen the code that all requests run through and the memory each
/// of them takes, and both cost time, for the kernel leaves nothing of the program in the CPU's nearest caches.
pub async fn run(
    client: &mut Client,
    ctx: &mut Context,
    framing: RequestFraming,
    body: Flow,
    (started, head): (Instant, Instant),
) -> End {
    let mut exchange = Exchange::new(client, ctx, framing, body, (started, head));
    if trace::is_on(tracing::SOURCES) {
        tracing::begun(&exchange);
    }
    let mut outcome = exchange.proxy().await;
    if let Err(Stop::Service(asked)) = outcome {
        outcome = Box::pin(exchange.serve(asked)).await;
    }
    let end = match outcome {
        Ok(end) => end,
        Err(stop) => Box::pin(exchange.stopped(stop)).await,
    };
    exchange.finish();
    end
}

impl<'a> Exchange<'a> {
    fn new(
        client: &'a mut Client,
        ctx: &'a mut Context,
        framing: RequestFraming,
        request: Flow,
        (started, head): (Instant, Instant),
    ) -> Self {
        let fd = client.stream.as_raw_fd();
        client.card.begin(head, Conn::new(&client.session.frontend, &ctx.conn, fd, client.accepted));
        let engine = &client.session.engine;
        let (mut to_server, mut to_client) = (Outbox::default(), Outbox::default());
        to_server.bytes = engine.take_scratch();
        to_client.bytes = engine.take_scratch();
        Self {
            times: Times {
                idle_from: client.idle_from,
                started,
                head,
                assigned: None,
                connected: None,
                responded: None,
            },
            mode: client.session.frontend.conf.options.connection_mode,
            client,
            ctx,
            framing,
            backend: None,
            sticky: None,
            avoid: None,
            persistence: Persistence::default(),
            slot: None,
            up: None,
            to_server,
            to_client,
            request,
            response: Flow::new(BodyLength::None),
            replayable: true,
            request_broken: false,
            retries: 0,
            pipe: None,
            forwarding: false,
            killed: None,
            failed: None,
            splice_failed: false,
            closes: false,
            at: head,
            ended: None,
            client_at: head,
            server_at: head,
            answered: false,
            letters: *b"--",
            logged: false,
            service: None,
            intercepted: false,
            denied: false,
            sent: Sent::default(),
            server_status: 0,
        }
    }

    async fn proxy(&mut self) -> Result<End, Stop> {
        self.note_request();
        // Counted references are counted across threads where they are `Arc`s: the request keeps to those of its own thread.
        let session = Rc::clone(&self.client.session);
        let front = &*session.frontend;
        if let Some(answer) = reply::monitor(&front.conf, self.ctx) {
            self.logged = true;
            self.intercepted = true;
            return Err(Stop::Answer { answer: Box::new(answer), letters: *b"LR" });
        }
        self.request_rules(&front.conf).await?;
        let back = self.route(&session)?;
        if let Some(conf) = &back.conf.back {
            self.persistence = Persistence::of(conf);
        }
        if !Arc::ptr_eq(&back.conf, &front.conf) {
            self.request_rules(&back.conf).await?;
        }
        self.persist(&back.conf);
        forwarded::announce(&front.conf, &back.conf, self.ctx);
        if front.conf.options.http_buffer_request || back.conf.options.http_buffer_request {
            let wait = front.conf.timeouts.http_request.or(front.conf.timeouts.client);
            Box::pin(self.buffer_body(wait.unwrap_or(Duration::from_secs(3600)), 0)).await?;
        }
        self.forwarding = true;
        let framing = self.obtain_response(&front.conf, back).await?;
        // HAProxy counts what the server sent, before rules change it.
        let accounted = write::accounted(&self.ctx.response);
        self.server_status = self.ctx.response.status();
        self.sent.response += accounted;
        self.response = Flow::new(framing.length);
        if let Some(up) = &mut self.up {
            let absorbed = self.response.absorb(&mut up.inbox);
            absorbed.map_err(|_| Failure::new(Cause::Proxy, Phase::Header, 502))?;
        }
        self.ctx.log.bytes_to_client += accounted;
        self.ctx.response_chunked = framing.length == BodyLength::Chunked;
        self.show_response_body();
        if let Err(stop) = self.response_rules(&front.conf, &back.conf).await {
            self.ctx.log.bytes_to_client += self.response.accounted();
            return Err(stop);
        }
        self.respond(framing, &front.conf, &back.conf).await
    }

    fn note_request(&mut self) {
        let ctx = &mut *self.ctx;
        ctx.has_request = true;
        ctx.first = self.client.requests == 0;
        let engine = &ctx.session.engine;
        ctx.log.request_date = Some(engine.wall(self.times.started));
        ctx.log.request_counter = ctx.session.generation.process.requests.fetch_add(1, Relaxed);
        let session = Rc::clone(&ctx.session);
        let front = &*session.frontend;
        if !front.conf.log.targets.is_empty() {
            let line = &mut ctx.log.request_line;
            line.extend_from_slice(ctx.request.method_bytes());
            line.push(b' ');
            line.extend_from_slice(ctx.request.target());
            let version = ctx.request.version();
            line.extend_from_slice(if version == Version::HTTP_2 { b" HTTP/2." } else { b" HTTP/1." });
            line.push(b'0'.wrapping_add(version.minor));
        }
        let longest = ctx.session.generation.config.global.tune.http_logurilen;
        ctx.log.request_line.truncate(longest);
        ctx.log.bytes_from_client = write::accounted(&ctx.request);
        forwarded::capture_request_headers(&front.conf, ctx);
        cookies::capture_request(&front.conf, ctx);
        let version = ctx.request.version();
        front.front.count(ctx.conn.listener_id, |c| {
            c.requests.inc();
            if version < Version::HTTP_2 { &c.h1_requests } else { &c.h2_requests }.inc();
        });
    }

    /// `use_backend`, `default_backend`, or the listen section itself.
    fn route<'s>(&mut self, session: &'s Session) -> Result<&'s LiveProxy, Stop> {
        let Session { frontend: front, generation, .. } = session;
        let no_backend = Failure::new(Cause::ServerAbort, Phase::Connect, 503);
        let Some(conf) = &front.conf.front else { return Err(no_backend.into()) };
        let forced = conf.force_switch.iter().any(|condition| condition.holds(self.ctx));
        let open = |index: ProxyIndex| forced || generation.is_published(index);
        let mut chosen = None;
        for rule in &conf.use_backend {
            if rule.condition.as_ref().is_some_and(|c| !c.holds(self.ctx)) {
                continue;
            }
            let named = match &rule.action {
                UseBackend::Static(index) => Some(*index),
                UseBackend::Dynamic(format) => {
                    let name = rules::render(format, self.ctx);
                    std::str::from_utf8(&name).ok().and_then(|n| generation.backend_by_name(n))
                }
            };
            // One that was taken out of the choice is passed over.
            if named.is_some_and(|index| !open(index)) {
                continue;
            }
            chosen = named;
            // A name that nobody has ends the search too: the default backend takes the request.
            break;
        }
        let own = front.back.is_some().then_some(front.index);
        let default = conf.default_backend.filter(|index| open(*index));
        let index = chosen.or(default).or(own).ok_or(no_backend)?;
        let proxy = generation.proxies.get(index.get()).ok_or(no_backend)?;
        let live = proxy.back.as_ref().ok_or(no_backend)?;
        live.enter();
        self.backend = Some(Arc::clone(live));
        self.ctx.backend = Some(index);
        self.client.card.routed(proxy);
        self.mode = self.mode.max(proxy.conf.options.connection_mode);
        if trace::is_on(tracing::SOURCES) {
            tracing::routed(self);
        }
        Ok(proxy)
    }

    /// Sends the response head and both bodies.
    async fn respond(&mut self, framing: ResponseFraming, front: &Proxy, back: &Proxy) -> Result<End, Stop> {
        self.answered = true;
        self.replayable = false;
        self.ctx.log.status = i32::from(self.ctx.response.status());
        if framing.tunnel {
            self.put_switch()?;
            self.note_early(front);
            return Ok(Box::pin(self.tunnel(front, back)).await);
        }
        let keep = self.client_keeps(framing.length != BodyLength::UntilClose);
        self.closes = keep == Keep::Close && !front.options.nolinger;
        self.put_response(keep, framing.length)?;
        self.note_early(front);
        let streamed = self.stream(front, back).await;
        let streams = self.up.as_ref().is_some_and(|up| up.lease.is_some());
        let response = if streams { self.response.framed() } else { self.response.accounted() };
        let carried = self.client.stream.carried().is_some();
        let request = if carried { self.request.framed() } else { self.request.accounted() };
        self.ctx.log.bytes_to_client += response;
        self.ctx.log.bytes_from_client += request;
        self.sent.response += response;
        self.sent.request += request;
        if let Err(failure) = streamed {
            self.letters = failure.letters();
            self.drop_upstream();
            return Ok(End::Close);
        }
        if framing.length == BodyLength::UntilClose {
            self.conclude();
        }
        self.release_upstream(framing.keep_alive);
        Ok(match keep {
            Keep::KeepAlive if self.request.is_complete() && !self.request_broken => End::KeepAlive,
            _ if self.request.is_complete() && self.client.inbox.raw().is_empty() => End::Close,
            _ => End::Linger,
        })
    }

    /// `option logasap`: the line goes out before the data.
    fn note_early(&mut self, front: &Proxy) {
        if front.options.logasap && !self.logged {
            self.log_early();
        }
    }

    #[cold]
    fn log_early(&mut self) {
        // What of the body came along with the head counts.
        let part = self.response.accounted();
        self.ctx.log.bytes_to_client += part;
        finish::log(self, Instant::now());
        self.ctx.log.bytes_to_client -= part;
        self.logged = true;
    }

    /// Can the client's connection take another request after a response of known end?
    pub fn client_keeps(&self, known_end: bool) -> Keep {
        let stopping = self.client.session.generation.ends_connections();
        // The backend's `option httpclose` closes its own side only.
        let close = self.client.session.frontend.conf.options.connection_mode == ConnectionMode::Close;
        if known_end && self.framing.keep_alive && !close && !stopping {
            Keep::KeepAlive
        } else {
            Keep::Close
        }
    }

    pub fn case_map(&self, wanted: bool) -> Option<Vec<(Arc<str>, Arc<str>)>> {
        if wanted {
            std::hint::cold_path();
            return Some(self.client.session.generation.config.global.h1_case_adjust.clone());
        }
        None
    }

    /// The regular course was left: tell the client what there is to tell.
    async fn stopped(&mut self, stop: Stop) -> End {
        let (answer, letters) = match stop {
            Stop::Silent | Stop::Service(_) => {
                self.letters = *b"PR";
                self.denied = true;
                return End::Reset;
            }
            Stop::Failed(failure) if failure.status == 0 || self.answered => {
                if failure.cause == Cause::ClientAbort && !self.answered {
                    // Nobody is told, but HAProxy logs what would have been.
                    self.ctx.log.status = match failure.phase {
                        Phase::Header => 400,
                        Phase::Queue | Phase::Connect => 503,
                        Phase::Request | Phase::Data => -1,
                    };
                }
                self.letters = failure.letters();
                self.denied = failure.denied;
                self.drop_upstream();
                let quiet = failure.cause == Cause::ClientAbort;
                return if quiet { End::Close } else { End::Linger };
            }
            Stop::Failed(failure) => {
                self.denied = failure.denied;
                self.letters = failure.letters();
                self.drop_upstream();
                let answer = reply::error(failure.status, self.ctx);
                return self.answer(answer).await;
            }
            Stop::Answer { answer, letters } => {
                self.denied = answer.denied;
                self.intercepted |= !answer.denied && letters == *b"LR";
                (answer, letters)
            }
        };
        self.letters = letters;
        self.drop_upstream();
        self.answer(*answer).await
    }

    /// Sends a response of our own.
    async fn answer(&mut self, mut answer: Answer) -> End {
        self.answered = true;
        if answer.silent {
            self.ctx.log.status = i32::from(answer.head.status());
            return End::Linger;
        }
        let front = Arc::clone(&self.client.session.frontend);
        let back = self.ctx.back().map(|b| Arc::clone(&b.conf));
        self.ctx.response = std::mem::take(&mut answer.head);
        self.ctx.has_response = true;
        if let Some(failed) = self.after_response_rules(&front.conf, back.as_deref()) {
            answer = *failed;
            self.ctx.response = std::mem::take(&mut answer.head);
        }
        let _ = self.request.absorb(&mut self.client.inbox);
        let rest = self.client.inbox.pending().len();
        self.client.inbox.advance(rest);
        self.client.inbox.forget();
        let bodiless = matches!(self.ctx.response.status(), 204 | 304);
        let sized = self.ctx.response.has(b"content-length");
        let known = !answer.close && (bodiless || sized);
        // A redirection does not wait for a body, and ends the connection even if all of it is here.
        let spurned = answer.redirects && !self.forwarding && self.framing.length != BodyLength::None;
        let taken = !spurned && self.request.is_complete();
        let keep = if taken { self.client_keeps(known) } else { Keep::Close };
        self.closes = keep == Keep::Close && !front.conf.options.nolinger;
        let head_only = self.ctx.request.method() == Method::Head;
        let log = &mut self.ctx.log;
        // `errorloc` answers with another status; the log tells what happened.
        log.status = i32::from(answer.reason.unwrap_or(self.ctx.response.status()));
        log.bytes_to_client += write::accounted(&self.ctx.response);
        if (answer.close && sized) || spurned || self.ctx.response.status() == 204 {
            // HAProxy's answers carry `connection: close` or `content-length: 0` inside, 15 bytes either way.
            log.bytes_to_client += 15;
        }
        if log.response < 0 && self.slot.is_none() {
            log.response = -1;
        }
        let body = if head_only || bodiless { 0 } else { answer.body.len() as u64 };
        if self.put_response(keep, BodyLength::Known(body)).is_err() {
            return End::Close;
        }
        if !head_only {
            self.to_client.bytes.extend_from_slice(&answer.body);
            self.ctx.log.bytes_to_client += answer.body.len() as u64;
        }
        if self.flush_to_client().await.is_err() {
            return End::Close;
        }
        self.end_of(keep)
    }

    /// Sends what is in `to_client`, within the client's timeout.
    pub(super) async fn flush_to_client(&mut self) -> Result<(), Failure> {
        let configured = self.client.session.frontend.conf.timeouts.client;
        let timeout = self.ctx.settings.timeout_client.or(configured);
        let deadline = timeout.map(|t| Instant::now() + t);
        let (client, out, last) = (&mut *self.client, &mut self.to_client, self.closes);
        let mut nothing = buffer::Inbox::default();
        poll_fn(|cx| {
            use std::task::Poll::{Pending, Ready};
            match buffer::poll_send_all(cx, &mut client.stream, out, &mut nothing, &mut false, last) {
                Ready(Ok(())) => Ready(Ok(())),
                Ready(Err(_)) => Ready(Err(Failure::client_abort(Phase::Request))),
                Pending if client.timer.poll(cx, deadline).is_ready() => {
                    Ready(Err(Failure::new(Cause::ClientTimeout, Phase::Request, 0)))
                }
                Pending => Pending,
            }
        })
        .await?;
        self.to_client.clear();
        Ok(())
    }

    /// When the exchange ended: as this is first asked.
    pub(super) fn ended(&mut self) -> Instant {
        *self.ended.get_or_insert_with(Instant::now)
    }

    /// It ended at `at`, unless it has before.
    pub(super) fn ends_at(&mut self, at: Instant) {
        self.ended.get_or_insert(at);
    }

    pub(super) fn finish(&mut self) {
        finish::exchange(self);
    }
}
