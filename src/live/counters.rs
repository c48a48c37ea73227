//! Counters that cost a plain load and store: each thread has its own copy and readers add them up.

use super::LiveServer;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
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

/// Which worker this thread is; `None`: it is none.
#[must_use]
pub fn thread() -> Option<usize> {
    Some(THREAD.with(Cell::get)).filter(|i| *i != usize::MAX)
}

/// A number only one thread writes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    fn write(&self, n: u64) {
        // Without this, benches/counting has what it compares with.
        if !cfg!(weir_uncounted) {
            self.0.store(n, Relaxed);
        }
    }

    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        // No other thread writes this copy: no locked instruction is needed.
        self.write(self.get().wrapping_add(n));
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// For numbers that go up and down: as many as were added on the same thread.
    pub fn sub(&self, n: u64) {
        self.write(self.get().wrapping_sub(n));
    }

    pub fn set(&self, n: u64) {
        self.write(n);
    }

    pub fn raise_to(&self, n: u64) {
        if n > self.get() {
            self.write(n);
        }
    }
}

/// One thread's copy of a set of counters.
pub trait Shard: Default {
    type Total: Default + Copy + std::fmt::Debug;
    fn add_to(&self, total: &mut Self::Total);
    fn take_off(total: &mut Self::Total, base: &Self::Total);
    /// Goes on from a total: for a copy nobody has written yet.
    fn go_on_from(&self, total: &Self::Total);
    /// Forgets maxima. One that another thread raises at that moment may be lost.
    fn reset_maxima(&self);
    /// Forgets averages, in the same way.
    fn reset_averages(&self);
}

/// A set of counters, one copy a thread. What replaces its owner in a reload counts on in the same copies.
#[derive(Debug)]
pub struct Sharded<S: Shard> {
    shards: Arc<[S]>,
    /// The sums when they were last cleared.
    base: Arc<Mutex<S::Total>>,
}

impl<S: Shard> Sharded<S> {
    /// For `threads` workers and one other thread.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self { shards: (0..=threads).map(|_| S::default()).collect(), base: Arc::default() }
    }

    /// Are there copies for so many workers and the control thread?
    #[must_use]
    pub fn fits(&self, threads: usize) -> bool {
        self.shards.len() > threads
    }

    /// The same counters for their next owner, who has `threads` workers. More than there were get new copies, which go on
    /// from the sums.
    pub(super) fn succeed(&self, threads: usize) -> Self {
        if self.fits(threads) {
            return Self { shards: Arc::clone(&self.shards), base: Arc::clone(&self.base) };
        }
        let grown = Self { base: Arc::clone(&self.base), ..Self::new(threads) };
        if let Some(last) = grown.shards.last() {
            last.go_on_from(&self.sum());
        }
        grown
    }

    /// This thread's copy.
    #[must_use]
    pub fn here(&self) -> &S {
        let last = self.shards.len() - 1;
        &self.shards[THREAD.with(Cell::get).min(last)]
    }

    /// All copies, whoever writes them.
    pub fn all(&self) -> &[S] {
        &self.shards
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
        for shard in self.shards.iter() {
            shard.add_to(&mut total);
        }
        total
    }
}

macro_rules! counters {
    (
        $(#[$doc:meta])* $name:ident => $total:ident {
            $($(#[$fdoc:meta])* $field:ident),* $(,)?
            $(; now $($(#[$pdoc:meta])* $part:ident),* $(,)?)?
            $(; max $($(#[$mdoc:meta])* $most:ident),* $(,)?)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct $name {
            $($(#[$fdoc])* pub $field: Counter,)*
            $($($(#[$pdoc])* pub $part: Counter),*,)?
            $($($(#[$mdoc])* pub $most: Counter),*)?
        }

        /// The sum over all threads; of what is a maximum, the largest.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $total {
            $($(#[$fdoc])* pub $field: u64,)*
            $($($(#[$pdoc])* pub $part: u64),*,)?
            $($($(#[$mdoc])* pub $most: u64),*)?
        }

        impl Shard for $name {
            type Total = $total;
            fn add_to(&self, total: &mut $total) {
                $(total.$field = total.$field.wrapping_add(self.$field.get());)*
                $($(total.$part = total.$part.wrapping_add(self.$part.get());)*)?
                $($(total.$most = total.$most.max(self.$most.get());)*)?
            }
            fn take_off(total: &mut $total, base: &$total) {
                $(total.$field = total.$field.wrapping_sub(base.$field);)*
            }
            fn go_on_from(&self, total: &$total) {
                $(self.$field.set(total.$field);)*
                $($(self.$part.set(total.$part);)*)?
                $($(self.$most.set(total.$most);)*)?
            }
            fn reset_maxima(&self) {
                $($(self.$most.set(0);)*)?
            }
            fn reset_averages(&self) {
                $($(self.$part.set(0);)*)?
            }
        }
    };
}

counters! {
    /// What a frontend or a listener counts (sessions in progress are in `FrontState`).
    FrontCounters => FrontTotals {
        /// Accepted, and those of them no `tcp-request connection` rule refused.
        connections, sessions,
        requests,
        bytes_in, bytes_out,
        /// Of the requests what went on to servers and services, of the responses what came from there.
        requests_out, responses_in,
        /// `dreq`, `dresp`, `ereq`
        denied_requests, denied_responses, failed_requests,
        denied_connections, denied_sessions,
        internal_errors, rewrites_failed,
        responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx, responses_other,
        intercepted,
        /// Sessions and requests by the client's protocol; the rest of the sessions speaks none that we read.
        h1_sessions, h1_requests, h2_sessions, h2_requests,
        /// Connections whose bytes were passed on as they came.
        streams,
    }
}

counters! {
    /// What a backend counts as a whole.
    BackCounters => BackTotals {
        requests,
        bytes_in, bytes_out,
        requests_out, responses_in,
        denied_requests, denied_responses,
        /// `econ`, `eresp`
        failed_connections, failed_responses,
        /// `wretr`, `wredis`
        retries, redispatches,
        client_aborts, server_aborts,
        connects, reuses,
        internal_errors, rewrites_failed,
        responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx, responses_other;
        now
        /// Milliseconds of the last [`WINDOW`] requests: see [`Timed`].
        queue_ms, connect_ms, response_ms, total_ms, timed;
        max queue_max, connect_max, response_max, total_max,
    }
}

counters! {
    /// What one server counts.
    ServerCounters => ServerTotals {
        requests, balanced,
        bytes_in, bytes_out,
        requests_out, responses_in,
        denied_responses,
        failed_connections, failed_responses,
        retries, redispatches,
        client_aborts, server_aborts,
        connects, reuses,
        internal_errors, rewrites_failed,
        responses_1xx, responses_2xx, responses_3xx, responses_4xx, responses_5xx, responses_other;
        now
        /// Milliseconds of the last [`WINDOW`] requests: see [`Timed`].
        queue_ms, connect_ms, response_ms, total_ms, timed;
        max queue_max, connect_max, response_max, total_max,
    }
}

counters! {
    /// What HTTP/2 does on one side of a proxy.
    H2Counters => H2Totals {
        /// Frames that came.
        headers, data, settings, resets, goaways,
        /// Of connections and of streams, those of the other side.
        connection_errors, stream_errors,
        /// For errors.
        resets_sent, goaways_sent,
        connections, streams,
    }
}

counters! {
    /// What there is of it now.
    H2Open => H2OpenTotals { connections, streams }
}

counters! {
    /// What a thread holds of a server's connections now.
    ServerConnections => ServerConnectionTotals {
        /// In use.
        used,
        /// Idle ones: used for one client so far, reused before, for one client alone.
        unproven, proven, private,
        /// How many were used at once at most since the last purge, and how many are thought to be needed.
        peak, needed,
    }
}

impl ServerConnections {
    /// One more works for somebody.
    pub fn begin_use(&self) {
        self.used.inc();
        self.peak.raise_to(self.used.get());
        self.needed.raise_to(self.peak.get());
    }

    pub fn end_use(&self) {
        self.used.sub(1);
    }

    /// HAProxy's estimate: up to the need at once, half the way down with each purge of idle connections.
    pub fn purge(&self) {
        self.needed.set((self.needed.get().midpoint(self.peak.get())).max(self.peak.get()));
        self.peak.set(self.used.get());
    }
}

/// A connection to a server, from the moment it is dialled until it is idle or gone. Stays on its thread.
#[derive(Debug)]
pub struct InUse {
    server: Arc<LiveServer>,
    on_one_thread: PhantomData<*const ()>,
}

impl InUse {
    #[must_use]
    pub fn new(server: &Arc<LiveServer>) -> Self {
        server.connections.here().begin_use();
        Self { server: Arc::clone(server), on_one_thread: PhantomData }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.server.connections.here().end_use();
    }
}

/// Averages are over this many requests.
pub const WINDOW: u64 = 1024;

/// What one request took, in milliseconds; `None`: it does not count (no connection was made).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    pub queue: u64,
    pub connect: u64,
    pub response: u64,
    pub total: u64,
}

/// A sliding sum as HAProxy keeps it: once the window is full, each new value takes the place of an average one.
fn slide(sum: &Counter, full: bool, value: u64) {
    let old = sum.get();
    sum.set(if full { old - old.div_ceil(WINDOW) } else { old } + value);
}

/// The average of a sliding sum over `timed` values.
#[must_use]
pub fn average(sum: u64, timed: u64) -> u64 {
    if timed == 0 { 0 } else { sum.div_ceil(timed) }
}

macro_rules! count_times {
    ($($name:ident),*) => { $(
        impl $name {
            /// Counts the times of a request that ended.
            pub fn times(&self, t: Timed) {
                let full = self.timed.get() >= WINDOW;
                if !full {
                    self.timed.inc();
                }
                slide(&self.queue_ms, full, t.queue);
                slide(&self.connect_ms, full, t.connect);
                slide(&self.response_ms, full, t.response);
                slide(&self.total_ms, full, t.total);
                self.queue_max.raise_to(t.queue);
                self.connect_max.raise_to(t.connect);
                self.response_max.raise_to(t.response);
                self.total_max.raise_to(t.total);
            }
        }
    )* };
}
count_times!(BackCounters, ServerCounters);

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
                        c.here().requests.inc();
                        c.here().response(200);
                    }
                });
            }
        });
        c.here().response(503);
        let t = c.total();
        assert_eq!((t.requests, t.responses_2xx, t.responses_5xx), (2000, 2000, 1));
    }

    /// `values` after one another, and the average HAProxy would show.
    fn check_average(values: impl Iterator<Item = u64>, expected: u64) {
        let c = ServerCounters::default();
        values.for_each(|v| c.times(Timed { queue: v, ..Timed::default() }));
        let mut t = ServerTotals::default();
        c.add_to(&mut t);
        assert_eq!(average(t.queue_ms, t.timed), expected);
    }

    #[test]
    fn averages_slide() {
        check_average([].into_iter(), 0);
        check_average([10, 20, 31].into_iter(), 21);
        check_average(std::iter::repeat_n(7, 5000), 7);
        // 1024 values of 0 after as many of 100: about 1/e of them is left
        check_average(std::iter::repeat_n(100, 1024).chain(std::iter::repeat_n(0, 1024)), 37);
    }

    #[test]
    fn a_successor_counts_on() {
        let old: Sharded<ServerCounters> = Sharded::new(1);
        old.here().requests.add(5);
        for threads in [0, 1, 4] {
            let new = old.succeed(threads);
            new.here().requests.inc();
            assert_eq!(new.total().requests, 6, "{threads}");
            old.here().requests.set(5);
        }
    }

    #[test]
    fn maxima_are_not_summed() {
        let c: Sharded<ServerCounters> = Sharded::new(1);
        for shard in c.all() {
            shard.times(Timed { total: 5, ..Timed::default() });
        }
        assert_eq!((c.total().total_max, c.total().timed), (5, 2));
    }
}
