//! Connections to servers that speak HTTP/2: each carries many streams, of one client or of several as `http-reuse` says.
//!
//! A task of its own drives a connection and ends with it. [`Mux`] is what the thread's pool and the streams ([`Lease`])
//! hold of it: it closes, with a GOAWAY, when it is retired and its streams are over.

use super::wire::{Watch, Wire};
use crate::config::model::tune_h2::TuneH2;
use crate::live::LiveServer;
use crate::live::counters::InUse;
use crate::live::multiplexed::OpenConnection;
use crate::net::carried::{Carried, Ending, MOST};
use crate::net::{Stream, Timer};
use crate::tasks;
use crate::tls::ServerHandshake;
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, Connection, SendRequest};
use http::Request;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long a connection of no more use, or a stream whose end nobody waits for, may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a connection is made of, and for whom.
pub struct Terms {
    pub server: Arc<LiveServer>,
    pub in_use: InUse,
    /// Counts it among its backend's.
    pub open: OpenConnection,
    /// [`LiveServer::downs`] as it was dialled.
    pub downs: u32,
    pub ends: [Option<std::net::SocketAddr>; 2],
    pub sni: Option<Box<str>>,
    /// What TLS was agreed on, if any.
    pub tls: Option<Arc<ServerHandshake>>,
    /// The client connection whose streams alone may use it now; 0: anybody's.
    pub owner: u64,
    /// It is never anybody else's.
    pub private: bool,
}

/// See the module's page.
pub struct Mux {
    requests: RefCell<Option<SendRequest<Bytes>>>,
    state: Rc<State>,
    pub server: Arc<LiveServer>,
    pub downs: u32,
    pub ends: [Option<std::net::SocketAddr>; 2],
    pub sni: Option<Box<str>>,
    pub tls: Option<Arc<ServerHandshake>>,
    pub owner: Cell<u64>,
    pub private: bool,
    fd: RawFd,
    /// Streams at once, as the configuration has it.
    most: u32,
    streams: Cell<u32>,
    total: Cell<u32>,
    in_use: RefCell<Option<InUse>>,
    /// It is among the server's idle connections.
    counted: Cell<bool>,
    /// Since when there is no stream.
    pub since: Cell<Instant>,
}

/// What the handle and the driver share.
#[derive(Default)]
struct State {
    watch: Rc<Watch>,
    ended: Cell<bool>,
    open: Option<OpenConnection>,
    /// The handle is gone.
    left: Cell<bool>,
    greeted: Cell<bool>,
    /// Those who wait for the server's settings.
    waiting: RefCell<Vec<Waker>>,
    driver: RefCell<Option<Waker>>,
    /// Streams whose end is still to come, and until when it may.
    unended: RefCell<Vec<(RecvStream, Instant)>>,
}

impl Mux {
    /// Begins to speak HTTP/2 on a connection.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn start(stream: Stream, terms: Terms, tune: &TuneH2, head: usize) -> io::Result<Rc<Self>> {
        let state = Rc::new(State { open: Some(terms.open), ..State::default() });
        let fd = stream.as_raw_fd();
        let wire = Wire::to_server(stream, Rc::clone(&state.watch));
        let (window, of_connection) = tune.server_windows();
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(window)
            .initial_connection_window_size(of_connection)
            .max_frame_size(tune.max_frame_size)
            .header_table_size(tune.header_table_size)
            .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
            .max_send_buffer_size(MOST);
        let (requests, connection) = builder.handshake::<_, Bytes>(wire).await.map_err(io::Error::other)?;
        tasks::detached("h2 server", drive(connection, Rc::clone(&state), tune.be_glitches_threshold));
        Ok(Rc::new(Self {
            requests: RefCell::new(Some(requests)),
            state,
            server: terms.server,
            downs: terms.downs,
            ends: terms.ends,
            sni: terms.sni,
            tls: terms.tls,
            owner: Cell::new(terms.owner),
            private: terms.private,
            fd,
            most: tune.server_streams(),
            streams: Cell::new(0),
            total: Cell::new(0),
            in_use: RefCell::new(Some(terms.in_use)),
            counted: Cell::new(false),
            since: Cell::new(Instant::now()),
        }))
    }

    /// It takes no stream any more.
    pub fn is_over(&self) -> bool {
        self.state.ended.get() || self.requests.borrow().is_none()
    }

    pub fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// A stream that was begun has ended.
    pub fn is_proven(&self) -> bool {
        self.total.get() > self.streams.get()
    }

    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// May another stream begin?
    pub fn has_room(&self) -> bool {
        let mut requests = self.requests.borrow_mut();
        let Some(requests) = &mut *requests else { return false };
        let most = usize::try_from(self.most).unwrap_or(usize::MAX).min(requests.current_max_send_streams());
        // Not ready where the server said goodbye, or a stream waits to be opened.
        !self.is_worn()
            && !self.state.ended.get()
            && (self.streams.get() as usize) < most
            && matches!(requests.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }

    /// It has carried as many streams as `max-reuse` lets it.
    fn is_worn(&self) -> bool {
        let most = self.server.conf.max_reuse;
        most >= 0 && self.total.get() > most.unsigned_abs()
    }

    /// Takes place for one stream.
    pub fn lease(self: &Rc<Self>) -> Lease {
        if self.is_idle() && self.total.get() > 0 {
            *self.in_use.borrow_mut() = Some(InUse::new(&self.server));
            self.count(false);
        }
        self.streams.set(self.streams.get() + 1);
        self.total.set(self.total.get().saturating_add(1));
        Lease { mux: Rc::clone(self), asked: Cell::new(false) }
    }

    /// No new streams; it closes after those that are open.
    pub fn retire(&self) {
        self.requests.take();
        self.count(false);
    }

    /// Is it one of the server's idle connections that everybody may have?
    pub fn is_counted(&self) -> bool {
        self.counted.get() && !self.private
    }

    fn count(&self, idle: bool) {
        if self.counted.replace(idle) == idle {
            return;
        }
        let here = self.server.connections.here();
        let counter = if self.private { &here.private } else { &here.proven };
        if idle { counter.inc() } else { counter.sub(1) }
    }

    fn stream_ended(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
        if self.is_worn() || self.downs != self.server.downs() {
            self.retire();
        }
        if !self.is_idle() {
            return;
        }
        self.in_use.take();
        self.since.set(Instant::now());
        if !self.private {
            self.owner.set(0);
        }
        if self.server.conf.pool_max_conn == 0 && !self.private {
            self.retire();
        }
        if !self.is_over() {
            self.count(true);
        }
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        self.count(false);
        self.state.left.set(true);
        self.state.wake();
    }
}

impl State {
    /// Hands over what was counted.
    fn count(&self) {
        if let Some(open) = &self.open {
            self.watch.tally().hand_over(open.counters());
        }
    }

    fn wake(&self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Until when somebody has something to wait for.
    fn poll_unended(&self, cx: &mut Context<'_>) -> Option<Instant> {
        let now = Instant::now();
        let mut unended = self.unended.borrow_mut();
        // What comes is empty, or trailers; anything else is reason to give the stream up.
        unended.retain_mut(|(stream, until)| {
            *until > now
                && loop {
                    match stream.poll_data(cx) {
                        Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                        Poll::Ready(_) => break false,
                        Poll::Pending => break true,
                    }
                }
        });
        unended.iter().map(|(_, until)| *until).min()
    }
}

async fn drive(mut connection: Connection<Wire, Bytes>, state: Rc<State>, glitches: u32) {
    let mut timer = Timer::default();
    let mut closing = None;
    poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx).is_ready();
        state.count();
        if state.watch.is_greeted() && !state.greeted.replace(true) {
            state.waiting.take().into_iter().for_each(Waker::wake);
        }
        if ended || state.watch.stopped().is_some() || state.watch.is_hostile(glitches) {
            return Poll::Ready(());
        }
        if state.left.get() && closing.is_none() {
            closing = Some(Instant::now() + LAST_WORDS);
        }
        *state.driver.borrow_mut() = Some(cx.waker().clone());
        let unended = state.poll_unended(cx);
        let due = closing.into_iter().chain(unended).min();
        if timer.poll(cx, due).is_ready() {
            if closing.is_some() {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    state.ended.set(true);
    drop(connection);
    state.count();
    state.waiting.take().into_iter().for_each(Waker::wake);
    state.unended.take();
}

/// Place for one stream on a connection.
pub struct Lease {
    mux: Rc<Mux>,
    asked: Cell<bool>,
}

impl Lease {
    pub fn mux(&self) -> &Mux {
        &self.mux
    }

    /// Sends the head of a request, whose body ends as `ending` says.
    ///
    /// # Errors
    /// The connection takes no more streams.
    pub fn ask(&self, request: Request<()>, ending: Ending) -> Result<Carried, h2::Error> {
        let mut requests = self.mux.requests.borrow_mut();
        let Some(requests) = &mut *requests else { return Err(h2::Reason::REFUSED_STREAM.into()) };
        let (response, body) = requests.send_request(request, ending.is_none())?;
        if let (false, Some(open)) = (self.asked.replace(true), &self.mux.state.open) {
            open.stream_began();
        }
        Ok(Carried::asking(response, body, ending, self.mux.fd))
    }

    /// Ready when the server's settings are known: may a stream change its protocol (RFC 8441)?
    pub fn poll_connects(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let state = &self.mux.state;
        if !state.greeted.get() && !state.ended.get() {
            state.waiting.borrow_mut().push(cx.waker().clone());
            return Poll::Pending;
        }
        let requests = self.mux.requests.borrow();
        Poll::Ready(requests.as_ref().is_some_and(SendRequest::is_extended_connect_protocol_enabled))
    }

    /// The response is through: if its stream has not ended yet, that is waited for beside everything else, as giving it
    /// up would have the server told that it is not wanted.
    pub fn finish(self, carried: Carried) {
        if let Some(stream) = carried.unended() {
            self.mux.state.unended.borrow_mut().push((stream, Instant::now() + LAST_WORDS));
            self.mux.state.wake();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let (true, Some(open)) = (self.asked.get(), &self.mux.state.open) {
            open.stream_ended();
        }
        self.mux.stream_ended();
    }
}
