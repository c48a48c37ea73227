//! A frontend's sessions and rates, and those of its listeners where `option socket-stats` asks for them.

use super::counters::{FrontCounters, FrontTotals, Sharded};
use super::doors::Doors;
use super::multiplexed::Multiplexed;
use super::rate::Rate;
use crate::config::model::{Bind, Front};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Counters of a frontend.
#[derive(Debug)]
pub struct FrontState {
    /// Client connections now, and the most there ever were.
    pub current: AtomicUsize,
    pub max: AtomicUsize,
    pub counters: Sharded<FrontCounters>,
    pub h2: Arc<Multiplexed>,
    pub connection_rate: Rate,
    pub session_rate: Rate,
    pub request_rate: Rate,
    /// Log lines so far (`%lc`).
    pub log_lines: AtomicU64,
    /// `maxconn`; 0: the process's limit alone.
    pub maxconn: AtomicUsize,
    /// Places taken, those of connections about to be accepted too.
    pub places: AtomicUsize,
    pub doors: Doors,
    /// With `option socket-stats`.
    pub listeners: Vec<ListenerState>,
}

/// Counters of one `bind` address.
#[derive(Debug)]
pub struct ListenerState {
    pub bind: Arc<Bind>,
    pub current: AtomicUsize,
    pub max: AtomicUsize,
    pub counters: Sharded<FrontCounters>,
}

impl FrontState {
    #[must_use]
    pub fn new(conf: Option<&Front>, listeners: &[Arc<Bind>], threads: usize, now: Instant) -> Self {
        let listener = |bind: &Arc<Bind>| ListenerState {
            bind: Arc::clone(bind),
            current: AtomicUsize::new(0),
            max: AtomicUsize::new(0),
            counters: Sharded::new(threads),
        };
        Self {
            current: AtomicUsize::new(0),
            max: AtomicUsize::new(0),
            counters: Sharded::new(threads),
            h2: Multiplexed::new(threads),
            connection_rate: Rate::new(now),
            session_rate: Rate::new(now),
            request_rate: Rate::new(now),
            log_lines: AtomicU64::new(0),
            maxconn: AtomicUsize::new(conf.map_or(0, |f| f.maxconn)),
            places: AtomicUsize::new(0),
            doors: Doors::default(),
            listeners: listeners.iter().map(listener).collect(),
        }
    }

    /// A client connection was accepted. The caller has checked `maxconn` (`current` against `Front::maxconn`) and calls
    /// [`Self::close`] once, with the same listener.
    pub fn open(&self, listener: u32) {
        one_more(&self.current, &self.max);
        if let Some(listener) = self.listener(listener) {
            one_more(&listener.current, &listener.max);
        }
        self.count(listener, |c| c.connections.inc());
    }

    pub fn close(&self, listener: u32) {
        self.current.fetch_sub(1, Relaxed);
        if let Some(listener) = self.listener(listener) {
            listener.current.fetch_sub(1, Relaxed);
        }
    }

    /// Counts something for the frontend and, where listeners are counted, for the one with that `id`.
    pub fn count(&self, listener: u32, what: impl Fn(&FrontCounters)) {
        what(self.counters.here());
        if let Some(listener) = self.listener(listener) {
            what(listener.counters.here());
        }
    }

    fn listener(&self, id: u32) -> Option<&ListenerState> {
        // Mostly there are none.
        self.listeners.iter().find(|l| l.bind.id == id)
    }

    /// Client connections so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counters.total().connections
    }

    /// Sessions in the last second, as HAProxy's sliding window counts them.
    #[must_use]
    pub fn sess_rate(&self, now: Instant) -> u64 {
        self.session_rate.read(self.counters.total().sessions, now)
    }

    pub(super) fn tick(&self, now: Instant) -> FrontTotals {
        let totals = self.counters.total();
        self.connection_rate.tick(totals.connections, now);
        self.session_rate.tick(totals.sessions, now);
        self.request_rate.tick(totals.requests, now);
        totals
    }
}

fn one_more(current: &AtomicUsize, max: &AtomicUsize) {
    let now = current.fetch_add(1, Relaxed) + 1;
    if now > max.load(Relaxed) {
        max.fetch_max(now, Relaxed);
    }
}
