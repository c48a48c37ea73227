//! The TCP engine: rules on what the client says first, a server, bytes both ways, one log line.
//!
//! `session` reads top to bottom as the phases of a connection, `connect` finds it a server, `relay` moves the bytes,
//! `finish` counts and logs. What rules and expressions see is the [`context::Context`].

mod connect;
pub mod context;
mod finish;
mod gate;
mod relay;
mod session;

pub use session::{connection_rules, serve, session_rules};

use crate::clock::Now;
use crate::live::Generation;
use crate::logging;
use crate::net::relay::Pipes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// Buffers kept for the next that needs one.
const KEPT: usize = 64;

/// What the connections of one worker thread share.
pub struct Engine {
    /// From 1, as HAProxy counts them.
    pub thread: usize,
    log: Rc<logging::Sender>,
    pipes: Pipes,
    buffers: RefCell<Vec<Box<[u8]>>>,
    bufsize: usize,
    random: Cell<u64>,
    epoch: Cell<Now>,
}

impl Engine {
    #[must_use]
    pub fn new(thread: usize, generation: &Generation, log: Rc<logging::Sender>) -> Rc<Self> {
        let tune = &generation.config.global.tune;
        let now = Now::read();
        let seed = now.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        Rc::new(Self {
            thread,
            log,
            pipes: Pipes::new(tune.pipesize),
            buffers: RefCell::default(),
            bufsize: tune.bufsize,
            random: Cell::new((seed ^ (thread as u64).rotate_left(23)) | 1),
            epoch: Cell::new(now),
        })
    }

    fn take_buffer(&self) -> Box<[u8]> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| vec![0; self.bufsize].into_boxed_slice())
    }

    fn keep_buffer(&self, buffer: Box<[u8]>) {
        let mut kept = self.buffers.borrow_mut();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }

    /// Wall clock at `mono`; the two clocks are compared once a second.
    fn wall(&self, mono: Instant) -> SystemTime {
        let mut epoch = self.epoch.get();
        if mono.saturating_duration_since(epoch.mono) > Duration::from_secs(1) {
            epoch = Now::read();
            self.epoch.set(epoch);
        }
        epoch.wall + mono.saturating_duration_since(epoch.mono)
    }

    /// xorshift64*: for balancing and `rand`, not for secrets.
    fn random(&self) -> u32 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }
}
