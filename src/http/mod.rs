//! The HTTP engine: one task per client connection takes requests through rules, a server and back.
//!
//! `serve` holds the client's connection between requests, `exchange` reads top to bottom as the phases of one request,
//! `upstream` finds it a server connection, `body` moves the bytes, `finish` counts and logs. What rules and expressions
//! see is the [`context::Context`]. Everything here belongs to one worker thread and is shared by `Rc`.

mod applet;
mod body;
mod buffer;
mod connect;
pub mod context;
pub mod cookies;
mod counting;
mod deliver;
mod error;
mod exchange;
mod finish;
pub mod forwarded;
pub mod h1;
mod h2;
mod killed;
pub mod normalize;
mod persist;
mod pool;
pub mod redirect;
pub mod reply;
pub mod rewrite;
pub mod rules;
mod ruling;
mod serve;
pub mod status;
mod stream;
mod streams;
pub mod target;
#[cfg(test)]
mod tests;
mod tracing;
mod upgrade;
mod upstream;

pub use serve::serve;

use crate::live::ticker::Ticker;
use crate::live::{Generation, LiveProxy};
use crate::logging;
use crate::net::Timer;
use crate::net::relay::Pipes;
use buffer::Buffers;
use context::{Context, Session};
use h1::Limits;
use pool::Pools;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What the connections of one worker thread share.
pub struct Engine {
    /// From 1, as HAProxy counts them.
    pub thread: usize,
    log: Rc<logging::Sender>,
    buffers: Buffers,
    /// Boxed: they are handed from request to request and are large to move.
    #[allow(clippy::vec_box)]
    contexts: RefCell<Vec<Box<Context>>>,
    sessions: RefCell<Vec<Rc<Session>>>,
    scratch: RefCell<Vec<Vec<u8>>>,
    /// Of streams, which are many and short.
    timers: RefCell<Vec<Timer>>,
    moulds: h2::Moulds,
    pools: Rc<Pools>,
    pipes: Pipes,
    ticker: Ticker,
    request_limits: Limits,
    /// Client connections so far.
    clients: Cell<u64>,
}

/// Contexts, scratch vectors and timers kept for the next request. With many streams in work it is worth keeping many.
const KEPT: usize = 256;

/// Size of a splice pipe unless `tune.pipesize` says: with the kernel's default of 64 kB, splicing gains little.
const PIPE: usize = 256 * 1024;

impl Engine {
    /// `before`: the engine of the generation that this one's takes the place of, whose idle server connections it takes over.
    #[must_use]
    pub fn new(
        thread: usize,
        generation: &Generation,
        log: Rc<logging::Sender>,
        before: Option<&Self>,
    ) -> Rc<Self> {
        let tune = &generation.config.global.tune;
        Rc::new(Self {
            thread,
            log,
            buffers: Buffers::new(tune.bufsize),
            contexts: RefCell::default(),
            sessions: RefCell::default(),
            scratch: RefCell::default(),
            timers: RefCell::default(),
            moulds: h2::Moulds::default(),
            pools: before.map_or_else(Rc::default, |b| Rc::clone(&b.pools)),
            pipes: Pipes::new(if tune.pipesize > 0 { tune.pipesize } else { PIPE }),
            ticker: Ticker::new((u64::from(generation.process.pid) << 32) ^ (thread as u64).rotate_left(17)),
            request_limits: Limits {
                head: tune.bufsize.saturating_sub(tune.maxrewrite),
                // HAProxy's count takes the end of the fields for one.
                fields: tune.http_maxhdr.saturating_sub(1),
                relaxed: false,
            },
            clients: Cell::new(0),
        })
    }

    /// The last connection of a replaced generation has ended: what is kept for the next would keep all of it.
    pub fn retire(&self) {
        self.sessions.borrow_mut().clear();
        self.contexts.borrow_mut().clear();
        self.timers.borrow_mut().clear();
    }

    /// Looks after idle server connections, for ever. To be spawned once on the thread.
    pub async fn housekeeping(self: Rc<Self>) {
        pool::housekeeping(&self.pools).await;
    }

    /// Wall clock at `mono`.
    fn wall(&self, mono: Instant) -> SystemTime {
        self.ticker.wall(mono)
    }

    /// A number for a client connection, from 1.
    fn next_id(&self) -> u64 {
        self.clients.set(self.clients.get() + 1);
        self.clients.get()
    }

    fn random(&self) -> u32 {
        self.ticker.random()
    }

    fn take_context(&self, client: &serve::Client) -> Box<Context> {
        self.take_context_for(&client.session, client.accepted)
    }

    fn take_context_for(&self, session: &Rc<Session>, accepted: Instant) -> Box<Context> {
        let mut context = self
            .contexts
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Box::new(Context::new(Rc::clone(session), accepted)));
        context.begin(session, accepted);
        context
    }

    /// The session of a frontend, shared by its connections on this thread.
    fn session(self: &Rc<Self>, frontend: Arc<LiveProxy>, generation: Arc<Generation>) -> Rc<Session> {
        let mut sessions = self.sessions.borrow_mut();
        let known = sessions
            .iter()
            .find(|s| Arc::ptr_eq(&s.frontend, &frontend) && Arc::ptr_eq(&s.generation, &generation));
        if let Some(session) = known {
            return Rc::clone(session);
        }
        // Those of a configuration that is gone are of no more use once their connections are.
        sessions.retain(|s| Rc::strong_count(s) > 1);
        let session = Rc::new(Session { generation, frontend, engine: Rc::clone(self) });
        sessions.push(Rc::clone(&session));
        session
    }

    fn keep_context(&self, context: Box<Context>) {
        let mut contexts = self.contexts.borrow_mut();
        if contexts.len() < KEPT {
            contexts.push(context);
        }
    }

    fn take_timer(&self) -> Timer {
        self.timers.borrow_mut().pop().unwrap_or_default()
    }

    fn keep_timer(&self, timer: Timer) {
        let mut timers = self.timers.borrow_mut();
        if timers.len() < KEPT {
            timers.push(timer);
        }
    }

    fn take_scratch(&self) -> Vec<u8> {
        self.scratch.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(2048))
    }

    fn keep_scratch(&self, mut vec: Vec<u8>) {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.len() < KEPT && vec.capacity() <= 65536 {
            vec.clear();
            scratch.push(vec);
        }
    }
}
