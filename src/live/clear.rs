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
                backend.servers.iter().for_each(|s| s.clear(all, now));
            }
        }
    }
}

impl FrontState {
    fn clear(&self, all: bool, now: Instant) {
        self.max.store(self.current.load(Relaxed), Relaxed);
        self.counters.clear(all);
        self.h2.counters.clear(all);
        let totals = self.counters.total();
        self.connection_rate.clear(totals.connections, now);
        self.session_rate.clear(totals.sessions, now);
        self.request_rate.clear(totals.requests, now);
        for listener in &self.listeners {
            listener.max.store(listener.current.load(Relaxed), Relaxed);
            listener.counters.clear(all);
        }
    }
}

impl LiveBackend {
    fn clear(&self, all: bool, now: Instant) {
        self.sessions_max.store(self.current(), Relaxed);
        self.queued_max.store(self.queued(), Relaxed);
        self.counters.clear(all);
        self.h2.counters.clear(all);
        if all {
            self.total.store(0, Relaxed);
            self.down_transitions.store(0, Relaxed);
            self.lock().balanced = 0;
        }
        self.session_rate.clear(self.total(), now);
    }
}

impl LiveServer {
    fn clear(&self, all: bool, now: Instant) {
        self.served_max.store(self.current(), Relaxed);
        self.queued_max.store(self.queued(), Relaxed);
        self.counters.clear(all);
        if all {
            for total in [&self.sessions, &self.failed_checks, &self.down_transitions, &self.failed_analyses]
            {
                total.store(0, Relaxed);
            }
        }
        self.session_rate.clear(self.total(), now);
    }
}

impl<S: Shard> Sharded<S> {
    /// Maxima begin again; with `all` totals count from nothing. The copies go on: each has one writer, and it is not
    /// this thread.
    fn clear(&self, all: bool) {
        self.all().iter().for_each(S::reset_maxima);
        if all {
            self.set_base(self.sum());
            self.all().iter().for_each(S::reset_averages);
        }
    }
}
