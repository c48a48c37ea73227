//! A frontend's sessions and rates.

use super::counters::{FrontCounters, Sharded};
use super::doors::Doors;
use super::rate::Rate;
use crate::config::model::Front;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Counters of a frontend.
#[derive(Debug)]
pub struct FrontState {
    /// Client connections now, and the most there ever were.
    pub current: AtomicUsize,
    pub max: AtomicUsize,
    pub total: AtomicU64,
    pub counters: Sharded<FrontCounters>,
    pub session_rate: Rate,
    /// Log lines so far (`%lc`).
    pub log_lines: AtomicU64,
    /// `maxconn`; 0: the process's limit alone.
    pub maxconn: AtomicUsize,
    pub doors: Doors,
}

impl FrontState {
    #[must_use]
    pub fn new(conf: Option<&Front>, threads: usize, now: Instant) -> Self {
        Self {
            current: AtomicUsize::new(0),
            max: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            counters: Sharded::new(threads),
            session_rate: Rate::new(now),
            log_lines: AtomicU64::new(0),
            maxconn: AtomicUsize::new(conf.map_or(0, |f| f.maxconn)),
            doors: Doors::default(),
        }
    }

    /// A client connection was accepted. The caller has checked `maxconn` (`current` against `Front::maxconn`) and calls
    /// [`Self::close`] once.
    pub fn open(&self) {
        let now = self.current.fetch_add(1, Relaxed) + 1;
        self.total.fetch_add(1, Relaxed);
        if now > self.max.load(Relaxed) {
            self.max.fetch_max(now, Relaxed);
        }
        let here = self.counters.here();
        here.connections.inc();
        here.sessions.inc();
    }

    pub fn close(&self) {
        self.current.fetch_sub(1, Relaxed);
    }

    /// Sessions in the last second, as HAProxy's sliding window counts them.
    #[must_use]
    pub fn sess_rate(&self, now: Instant) -> u64 {
        self.session_rate.read(self.total.load(Relaxed), now)
    }

    #[must_use]
    pub fn sess_rate_max(&self, now: Instant) -> u64 {
        self.session_rate.max(self.total.load(Relaxed), now)
    }

    pub(super) fn tick(&self, now: Instant) {
        self.session_rate.tick(self.total.load(Relaxed), now);
    }
}
