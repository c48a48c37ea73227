//! What HTTP/2 does on one side of a proxy: the counters of its own columns in `show stat`.

use super::counters::{H2Counters, H2Open, Sharded};
use std::marker::PhantomData;
use std::sync::Arc;

#[derive(Debug)]
pub struct Multiplexed {
    pub counters: Sharded<H2Counters>,
    /// Connections and streams there are now.
    pub open: Sharded<H2Open>,
}

impl Multiplexed {
    pub(super) fn new(threads: usize) -> Arc<Self> {
        Arc::new(Self { counters: Sharded::new(threads), open: Sharded::new(threads) })
    }

    /// The same for their next owner, who has `threads` workers.
    pub(super) fn succeed(&self, threads: usize) -> Arc<Self> {
        Arc::new(Self { counters: self.counters.succeed(threads), open: self.open.succeed(threads) })
    }
}

/// A connection, counted until it is dropped. Stays on its thread.
#[derive(Debug)]
pub struct OpenConnection {
    of: Arc<Multiplexed>,
    on_one_thread: PhantomData<*const ()>,
}

impl OpenConnection {
    #[must_use]
    pub fn new(of: &Arc<Multiplexed>) -> Self {
        of.counters.here().connections.inc();
        of.open.here().connections.inc();
        Self { of: Arc::clone(of), on_one_thread: PhantomData }
    }

    /// One of its streams begins; [`Self::stream_ended`] is to follow.
    pub fn stream_began(&self) {
        self.of.counters.here().streams.inc();
        self.of.open.here().streams.inc();
    }

    pub fn stream_ended(&self) {
        self.of.open.here().streams.sub(1);
    }

    /// This thread's.
    #[must_use]
    pub fn counters(&self) -> &H2Counters {
        self.of.counters.here()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.of.open.here().connections.sub(1);
    }
}
