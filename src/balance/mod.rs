//! Every scheduling algorithm, one file each, shared by L4 and L7. Pure: plain values in, an index out.
//!
//! The caller keeps a [`Pool`] (what the algorithms may know of the servers) and a [`Table`] (what one algorithm keeps
//! between picks). It tells the table of every change (`changed`) and, for algorithms that sort by load, of every
//! connection taken or given back (`moved`). Orders and hashes are HAProxy's.

pub mod pool;
pub mod roundrobin;

pub use pool::{Candidate, Pool};
use roundrobin::RoundRobin;

/// Weights are multiplied by this where an algorithm can make use of fractions of a weight (slow start).
pub const WEIGHT_SCALE: u32 = 16;
/// Largest weight of the configuration language.
pub const MAX_WEIGHT: u32 = 256;
/// Largest effective weight.
pub const MAX_EFFECTIVE: u32 = MAX_WEIGHT * WEIGHT_SCALE;

/// What one algorithm keeps between picks.
#[derive(Debug)]
pub enum Table {
    RoundRobin(RoundRobin),
}

impl Table {
    /// The server for a request without a hash key; `avoid` is taken only if no other has room. `None`: all are full.
    pub fn pick(&mut self, pool: &Pool, avoid: Option<usize>) -> Option<usize> {
        match self {
            Self::RoundRobin(t) => t.pick(pool, avoid),
        }
    }

    /// Does a request in the backend's queue mean that every server is full?
    #[must_use]
    pub fn queues_mean_full(&self) -> bool {
        match self {
            Self::RoundRobin(_) => true,
        }
    }

    /// Candidate `i` became usable or unusable, or its effective weight changed. The pool already says so.
    pub fn changed(&mut self, pool: &Pool, i: usize) {
        match self {
            Self::RoundRobin(t) => t.changed(pool, i),
        }
    }

    /// Candidate `i` took or gave back a connection, or its queue changed.
    pub fn moved(&mut self, _pool: &Pool, _i: usize) {
        match self {
            Self::RoundRobin(_) => {}
        }
    }
}
