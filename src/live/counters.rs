//! Counters that cost a plain load and store: each thread has its own copy and readers add them up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Says which copy of every counter this thread writes: workers are 0.., to be called once as a worker starts. A thread
/// that never called it (there must be one at most, the control thread) writes the last copy.
pub fn enter_thread(index: usize) {
    THREAD.with(|t| t.set(index));
}

/// A number only one thread writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        // No other thread writes this copy: no locked instruction is needed.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub fn raise_to(&self, n: u64) {
        if n > self.get() {
            self.0.store(n, Relaxed);
        }
    }
}

/// One thread's copy of a set of counters.
pub trait Shard: Default {
    type Total: Default + Copy + std::fmt::Debug;
    fn add_to(&self, total: &mut Self::Total);
    fn take_off(total: &mut Self::Total, base: &Self::Total);
}

/// A set of counters, one copy a thread.
#[derive(Debug)]
pub struct Sharded<S: Shard> {
    shards: Box<[S]>,
    /// The sums when they were last cleared.
    base: Mutex<S::Total>,
}

impl<S: Shard> Sharded<S> {
    /// For `threads` workers and one other thread.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { shards: (0..=threads).map(|_| S::default()).collect(), base: Mutex::default() }
    }

    /// This thread's copy.
    #[must_use]
    pub fn here(&self) -> &S {
        let last = self.shards.len() - 1;
        &self.shards[THREAD.with(Cell::get).min(last)]
    }

    #[must_use]
    pub fn total(&self) -> S::Total {
        let mut total = self.sum();
        S::take_off(&mut total, &self.base.lock().unwrap_or_else(PoisonError::into_inner));
        total
    }

    pub(super) fn set_base(&self, base: S::Total) {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = base;
    }

    /// Since the process began.
    pub(super) fn sum(&self) -> S::Total {
        let mut total = S::Total::default();
        for shard in &self.shards {
            shard.add_to(&mut total);
        }
        total
    }
}

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident => $total:ident { $($(#[$fdoc:meta])* $field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct $name { $($(#[$fdoc])* pub $field: Counter),* }

        /// The sum over all threads.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $total { $($(#[$fdoc])* pub $field: u64),* }

        impl Shard for $name {
            type Total = $total;
            fn add_to(&self, total: &mut $total) { $(total.$field = total.$field.wrapping_add(self.$field.get());)* }
            fn take_off(total: &mut $total, base: &$total) { $(total.$field = total.$field.wrapping_sub(base.$field);)* }
        }
    };
}

counters! {
    /// What a frontend counts (sessions in progress are in `FrontState`).
    FrontCounters => FrontTotals {
        connections, sessions, requests,
        bytes_in, bytes_out,
        /// `dreq`, `dresp`, `ereq`
        denied_requests, denied_responses, failed_requests,
        denied_connections, denied_sessions,
        internal_errors, rewrites_failed,
        responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx, responses_other,
        intercepted,
    }
}

counters! {
    /// What a backend counts as a whole.
    BackCounters => BackTotals {
        sessions, requests, balanced,
        bytes_in, bytes_out,
        denied_requests, denied_responses,
        /// `econ`, `eresp`
        failed_connections, failed_responses,
        /// `wretr`, `wredis`
        retries, redispatches,
        client_aborts, server_aborts,
        connects, reuses,
        internal_errors, rewrites_failed,
        responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx, responses_other,
    }
}

counters! {
    /// What one server counts.
    ServerCounters => ServerTotals {
        sessions, requests, balanced,
        bytes_in, bytes_out,
        denied_responses,
        failed_connections, failed_responses,
        retries, redispatches,
        client_aborts, server_aborts,
        connects, reuses,
        internal_errors, rewrites_failed,
        responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx, responses_other,
        /// Sums in milliseconds over `timed` requests (`qtime`, `ctime`, `rtime`, `ttime`).
        queue_ms, connect_ms, response_ms, total_ms, timed,
    }
}

macro_rules! count_status {
    ($($name:ident),*) => { $(
        impl $name {
            /// Counts a response by the class of its status.
            pub fn response(&self, status: u16) {
                match status {
                    100..=199 => &self.responses_1xx,
                    200..=299 => &self.responses_2xx,
                    300..=399 => &self.responses_3xx,
                    400..=499 => &self.responses_4xx,
                    500..=599 => &self.responses_5xx,
                    _ => &self.responses_other,
                }
                .inc();
            }
        }
    )* };
}
count_status!(FrontCounters, BackCounters, ServerCounters);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_add_up() {
        let c: Sharded<ServerCounters> = Sharded::new(2);
        let threads: Vec<_> = (0..2).collect();
        std::thread::scope(|s| {
            for i in threads {
                let c = &c;
                s.spawn(move || {
                    enter_thread(i);
                    for _ in 0..1000 {
                        c.here().sessions.inc();
                        c.here().response(200);
                    }
                });
            }
        });
        c.here().response(503);
        let t = c.total();
        assert_eq!((t.sessions, t.responses_2xx, t.responses_5xx), (2000, 2000, 1));
    }
}
