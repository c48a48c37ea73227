//! HTTP/2 clients: one task per connection carries its streams, each of which is an exchange like any other.
//!
//! The `h2` crate speaks the protocol. What is ours: heads become [`crate::message::Head`]s and back (`head`), the bytes
//! below it are watched (`wire`), and a stream is a [`Client`] whose `Stream` is one of many (`net::carried`).

mod block;
mod frames;
mod guard;
pub mod head;
mod huffman;
mod moulds;
mod mux;
mod muxes;
pub mod outgoing;
mod tally;
mod wire;

pub use moulds::Moulds;
pub use mux::{Lease, Mux, Terms};
pub use muxes::{Asker, Dialling, Muxes};
pub use wire::Wire;

use super::body::Flow;
use super::buffer::Inbox;
use super::context::Session;
use super::exchange::{self, End};
use super::finish;
use super::h1::BodyLength;
use super::pool::Own;
use super::serve::Client;
use crate::config::model::VarScope;
use crate::config::model::tune_h2::TuneH2;
use crate::expr::facts::ConnFacts;
use crate::ids::{ProxyIndex, ServerIndex};
use crate::live::multiplexed::OpenConnection;
use crate::live::sessions::{Card, Entry};
use crate::live::variables::Variables;
use crate::net::Timer;
use crate::net::carried::Carried;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wire::Watch;

/// What begins a connection of HTTP/2 (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection that is to be closed may take to have its last frames taken.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the streams of one connection share.
struct Trunk {
    session: Rc<Session>,
    conn: Box<ConnFacts>,
    variables: RefCell<Variables>,
    own: RefCell<Option<Box<Own>>>,
    last_server: Cell<Option<(ProxyIndex, ServerIndex)>>,
    requests: Cell<u32>,
    idle_from: Cell<Instant>,
    handshake: Cell<i64>,
    accepted: Instant,
    fd: i32,
    watch: Rc<Watch>,
    /// See [`Client::id`].
    id: u64,
    holds_mux: Cell<bool>,
    open: OpenConnection,
}

/// What the driver waits for besides frames.
struct Patience {
    timer: Timer,
    /// Since when there is no stream.
    idle: Instant,
    /// GOAWAY was sent: until when the rest may take.
    closing: Option<Instant>,
    draining: bool,
    /// The connection's window was opened for bodies: nobody else needs to hear of it.
    widened: bool,
}

/// Serves a connection whose bytes, those in `before` first, are HTTP/2.
pub async fn serve(client: Client, before: Vec<u8>) {
    let session = Rc::clone(&client.session);
    let tune = session.generation.config.global.tune.h2;
    let watch = Rc::new(Watch::default());
    let trunk = Rc::new(Trunk {
        conn: client.conn,
        variables: RefCell::new(client.variables),
        own: RefCell::default(),
        last_server: Cell::default(),
        requests: Cell::new(0),
        idle_from: Cell::new(client.idle_from),
        handshake: Cell::new(client.handshake),
        accepted: client.accepted,
        fd: std::os::fd::AsRawFd::as_raw_fd(&client.stream),
        watch: Rc::clone(&watch),
        id: client.id,
        holds_mux: Cell::new(false),
        open: OpenConnection::new(&session.frontend.front.h2),
        session,
    });
    let wire = Wire::new(client.stream, before, &tune, watch);
    let mut patience = Patience {
        timer: client.timer,
        idle: client.accepted,
        closing: None,
        draining: false,
        widened: false,
    };
    let mut handshake = pin!(builder(&trunk, &tune).handshake::<_, Bytes>(wire));
    let greeted = poll_fn(|cx| {
        if let Poll::Ready(done) = handshake.as_mut().poll(cx) {
            return Poll::Ready(done.ok());
        }
        patience.timer.poll(cx, patience.idle_until(&trunk)).map(|()| None)
    });
    if let Some(connection) = greeted.await {
        drive(connection, Rc::clone(&trunk), patience, &tune).await;
    }
    trunk.watch.tally().hand_over(trunk.open.counters());
    (0..trunk.watch.take_refused()).for_each(|_| trunk.log_refused());
    if trunk.holds_mux.get() {
        trunk.session.engine.pools.muxes.disown(trunk.id);
    }
}

fn builder(trunk: &Trunk, tune: &TuneH2) -> Builder {
    let limits = &trunk.session.engine.request_limits;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(tune.streams())
        .initial_window_size(tune.window())
        .max_frame_size(tune.max_frame_size)
        .header_table_size(tune.header_table_size)
        .max_header_list_size(u32::try_from(limits.head).unwrap_or(u32::MAX))
        .max_send_buffer_size(crate::net::carried::MOST)
        .enable_connect_protocol();
    builder
}

async fn drive(
    mut connection: Connection<Wire, Bytes>,
    trunk: Rc<Trunk>,
    mut patience: Patience,
    tune: &TuneH2,
) {
    let mut streams = FuturesUnordered::new();
    poll_fn(|cx| {
        loop {
            // Streams before frames: what they have to say goes out with the next look at the connection.
            while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {
                patience.idle = Instant::now();
            }
            if trunk.watch.is_vanishing() {
                return Poll::Ready(());
            }
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if !request.body().is_end_stream() && !std::mem::replace(&mut patience.widened, true) {
                        connection.set_target_window_size(tune.connection_window());
                    }
                    let id = respond.stream_id().into();
                    trunk.watch.accepted(id);
                    let path = trunk.watch.take_fragment(id);
                    streams.push(stream(Rc::clone(&trunk), request, path, respond));
                    if tune.fe_max_total_streams > 0 && trunk.watch.streams() >= tune.fe_max_total_streams {
                        patience.drain(&mut connection);
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        trunk.watch.tally().hand_over(trunk.open.counters());
        (0..trunk.watch.take_refused()).for_each(|_| trunk.log_refused());
        if let Some(reason) = trunk.watch.stopped() {
            patience.close(&mut connection, reason);
        }
        if trunk.watch.is_hostile(tune.fe_glitches_threshold) {
            patience.close(&mut connection, Reason::ENHANCE_YOUR_CALM);
            // What they would still answer is of no interest to such a client.
            streams.clear();
        }
        if trunk.session.generation.ends_connections() {
            patience.drain(&mut connection);
        }
        patience.poll(cx, &mut connection, &trunk, streams.is_empty())
    })
    .await;
    // Those that are left learn from their stream that the client is gone, and log it.
    drop(connection);
    while streams.next().await.is_some() {}
}

impl Patience {
    /// How long nothing may happen while there is no stream.
    fn idle_until(&self, trunk: &Trunk) -> Option<Instant> {
        let timeouts = &trunk.session.frontend.conf.timeouts;
        let request = timeouts.http_request.or(timeouts.client);
        let first = trunk.requests.get() == 0;
        let time = if first { request } else { timeouts.http_keep_alive.or(request) };
        time.map(|time| self.idle + time)
    }

    /// Takes no more streams; those begun go on.
    fn drain(&mut self, connection: &mut Connection<Wire, Bytes>) {
        if !std::mem::replace(&mut self.draining, true) {
            connection.graceful_shutdown();
        }
    }

    fn close(&mut self, connection: &mut Connection<Wire, Bytes>, reason: Reason) {
        if self.closing.is_none() {
            connection.abrupt_shutdown(reason);
            self.closing = Some(Instant::now() + LAST_WORDS);
        }
    }

    /// Ready when the connection has been given up.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection<Wire, Bytes>,
        trunk: &Trunk,
        idle: bool,
    ) -> Poll<()> {
        if self.closing.is_none() && idle && self.timer.poll(cx, self.idle_until(trunk)).is_ready() {
            self.close(connection, Reason::NO_ERROR);
        }
        if self.closing.is_some() {
            // The connection's own waker is not called for what is said to it from here.
            if connection.poll_closed(cx).is_ready() {
                return Poll::Ready(());
            }
            return self.timer.poll(cx, self.closing);
        }
        Poll::Pending
    }
}

/// One request, from its head to its log line. `path`: see [`head::Asked`].
async fn stream(
    trunk: Rc<Trunk>,
    request: Request<RecvStream>,
    path: Option<Vec<u8>>,
    mut respond: SendResponse<Bytes>,
) {
    let started = Instant::now();
    let engine = Rc::clone(&trunk.session.engine);
    let entry = Card::register(trunk.session.generation.number);
    let (parts, body) = request.into_parts();
    // The client that waits for a context is not there yet: its stream needs to know how the body is framed.
    let mut context = engine.take_context_for(&trunk.session, trunk.accepted);
    let relaxed = trunk.session.frontend.conf.options.accept_unsafe_request;
    let limits = super::h1::Limits { relaxed, ..engine.request_limits };
    let asked = head::Asked { parts: &parts, path: path.as_deref(), bodiless: body.is_end_stream() };
    let head = head::request(&asked, &limits, &engine, &mut context.request);
    // All of it is in the context's head now: what waits below shall not hold it too.
    drop(parts);
    let Ok(framing) = head else {
        trunk.watch.refuse(respond.stream_id().into());
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return engine.keep_context(context);
    };
    let _open = OpenStream::new(&trunk);
    let chunked = framing.length == BodyLength::Chunked;
    let carried = Carried::serving(body, chunked, respond, trunk.fd);
    let mut client = trunk.client(carried, &entry, started);
    context.conn.clone_from(&trunk.conn);
    context.variables = trunk.variables.borrow().clone();
    let body = Flow::new(framing.length);
    {
        // On its own: what is put among the others is moved there.
        let run = exchange::run(&mut client, &mut context, framing, body, (started, started));
        let mut run = Box::pin(run);
        let polled = poll_fn(|cx| {
            entry.card().called(cx);
            run.as_mut().poll(cx)
        });
        if polled.await == End::Reset {
            trunk.watch.vanish();
        }
    }
    context.variables.keep(|scope| scope == VarScope::Session);
    std::mem::swap(&mut *trunk.variables.borrow_mut(), &mut context.variables);
    engine.keep_context(context);
    trunk.last_server.set(client.last_server);
    if let Some(own) = client.own.take() {
        *trunk.own.borrow_mut() = Some(own);
    }
    if client.holds_mux {
        trunk.holds_mux.set(true);
    }
    if let Some(carried) = client.stream.carried() {
        trunk.watch.ended(carried);
        if carried.has_responded() && !carried.is_sent() {
            // The reset that follows would overtake what was written before.
            tokio::task::yield_now().await;
        }
    }
    client.inbox = Inbox::default();
    engine.keep_timer(std::mem::take(&mut client.timer));
}

/// Counted among the proxy's until it is dropped.
struct OpenStream<'a>(&'a OpenConnection);

impl<'a> OpenStream<'a> {
    fn new(trunk: &'a Trunk) -> Self {
        trunk.open.stream_began();
        Self(&trunk.open)
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.stream_ended();
    }
}

impl Trunk {
    /// A line for a stream that was no request.
    fn log_refused(&self) {
        let engine = &self.session.engine;
        let mut context = engine.take_context_for(&self.session, self.accepted);
        context.conn.clone_from(&self.conn);
        finish::log_refused(&mut context, self.idle_from.get());
        engine.keep_context(context);
    }

    /// The client's side of one stream.
    fn client(&self, carried: Carried, entry: &Entry, started: Instant) -> Client {
        let requests = self.requests.get();
        self.requests.set(requests.saturating_add(1));
        Client {
            stream: crate::net::Stream::Carried(Box::new(carried)),
            card: Rc::clone(entry.card()),
            inbox: Inbox::default(),
            timer: self.session.engine.take_timer(),
            session: Rc::clone(&self.session),
            conn: Box::new(ConnFacts::of_nobody(self.conn.accepted)),
            variables: Variables::default(),
            requests,
            // HAProxy counts a stream's idle time from when the one before it began.
            idle_from: self.idle_from.replace(started),
            own: self.own.borrow_mut().take(),
            last_server: self.last_server.get(),
            handshake: self.handshake.replace(0),
            accepted: self.accepted,
            protocol: None,
            id: self.id,
            holds_mux: false,
        }
    }
}
