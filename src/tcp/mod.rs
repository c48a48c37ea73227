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
mod tracing;

pub use session::{connection_rules, serve, session_rules};

use crate::live::Generation;
use crate::live::ticker::Ticker;
use crate::logging;
use crate::net::relay::Pipes;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

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
    ticker: Ticker,
}

impl Engine {
    #[must_use]
    pub fn new(thread: usize, generation: &Generation, log: Rc<logging::Sender>) -> Rc<Self> {
        let tune = &generation.config.global.tune;
        Rc::new(Self {
            thread,
            log,
            pipes: Pipes::new(tune.pipesize),
            buffers: RefCell::default(),
            bufsize: tune.bufsize,
            ticker: Ticker::new((thread as u64).rotate_left(23)),
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

    /// Wall clock at `mono`.
    fn wall(&self, mono: Instant) -> SystemTime {
        self.ticker.wall(mono)
    }

    fn random(&self) -> u32 {
        self.ticker.random()
    }
}
