//! `clear counters`: maxima begin again from what is now, and with `all` totals from nothing.

use super::counters::{Shard, Sharded};
use super::{FrontState, Generation, LiveBackend, LiveServer};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl Generation {
    pub fn clear_counters(&self, all: bool) {
        let now = Instant::now();
        for proxy in &self.proxies {
            proxy.front.clear(all, now);
            if let Some(backend) = &proxy.back {
                backend.clear(all, now);
                backend.servers.iter().for_each(|s| s.clear(all));
            }
        }
    }
}

impl FrontState {
    fn clear(&self, all: bool, now: Instant) {
        self.max.store(self.current.load(Relaxed), Relaxed);
        if all {
            self.total.store(0, Relaxed);
            self.counters.clear();
        }
        self.session_rate.clear(self.total.load(Relaxed), now);
    }
}

impl LiveBackend {
    fn clear(&self, all: bool, now: Instant) {
        self.sessions_max.store(self.current(), Relaxed);
        self.queued_max.store(self.queued(), Relaxed);
        if all {
            self.total.store(0, Relaxed);
            self.down_transitions.store(0, Relaxed);
            self.counters.clear();
            self.lock().balanced = 0;
        }
        self.session_rate.clear(self.total(), now);
    }
}

impl LiveServer {
    fn clear(&self, all: bool) {
        self.served_max.store(self.current(), Relaxed);
        self.queued_max.store(self.queued(), Relaxed);
        if all {
            for total in [&self.sessions, &self.failed_checks, &self.down_transitions, &self.failed_analyses]
            {
                total.store(0, Relaxed);
            }
            self.counters.clear();
        }
    }
}

impl<S: Shard> Sharded<S> {
    /// From here on totals count from nothing. The copies go on: each has one writer, and it is not this thread.
    fn clear(&self) {
        self.set_base(self.sum());
    }
}
