//! Every scheduling algorithm, one file each, shared by L4 and L7. Pure: plain values in, an index out.
//!
//! The caller keeps a [`Pool`] (what the algorithms may know of the servers) and a [`Table`] (what one algorithm keeps
//! between picks). It tells the table of every change (`changed`) and of every connection taken or given back
//! (`moved`). Orders and hashes are HAProxy's.

pub mod first;
pub mod hash;
pub mod key;
pub mod l4;
pub mod leastconn;
pub mod map;
pub mod pool;
pub mod ring;
pub mod roundrobin;
#[cfg(test)]
mod sequences;

use first::First;
pub use hash::{Function, Hashing};
use leastconn::LeastConn;
use map::Map;
pub use pool::{Candidate, Pool, Serving};
use ring::Ring;
use roundrobin::RoundRobin;

/// Weights are multiplied by this where an algorithm can make use of fractions of a weight (slow start).
pub const WEIGHT_SCALE: u32 = 16;
/// Largest weight of the configuration language.
pub const MAX_WEIGHT: u32 = 256;
/// Largest effective weight.
pub const MAX_EFFECTIVE: u32 = MAX_WEIGHT * WEIGHT_SCALE;

/// Which algorithm a backend uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    RoundRobin,
    StaticRr,
    LeastConn,
    First,
    Random {
        draws: u32,
    },
    /// `hash-type map-based`
    MapHash {
        hashing: Hashing,
        affinity: Affinity,
    },
    /// `hash-type consistent`; `factor` is `hash-balance-factor`, 0 for none.
    RingHash {
        hashing: Hashing,
        factor: u32,
        affinity: Affinity,
    },
}

/// `hash-preserve-affinity`: when may a hash be sent to another server than its own?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    #[default]
    Always,
    MaxConn,
    MaxQueue,
}

impl Affinity {
    fn accepts(self, pool: &Pool, i: usize) -> bool {
        match self {
            Self::Always => true,
            Self::MaxConn => pool.has_room(i),
            Self::MaxQueue => {
                pool.has_room(i)
                    || pool.servers.get(i).is_some_and(|s| s.maxqueue == 0 || s.queued < s.maxqueue)
            }
        }
    }
}

impl Algorithm {
    /// Are weights scaled, so that slow start and changes by command can use fractions?
    #[must_use]
    pub fn is_dynamic(self) -> bool {
        !matches!(self, Self::StaticRr | Self::MapHash { .. })
    }

    #[must_use]
    pub fn scale(self) -> u32 {
        if self.is_dynamic() { WEIGHT_SCALE } else { 1 }
    }
}

/// What one request brings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// `None`: the key is not there (hash algorithms fall back to round robin), or is not wanted.
    pub key: Option<Key<'a>>,
    /// Taken only if no other server has room.
    pub avoid: Option<usize>,
    pub random: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    Address(std::net::IpAddr),
    Bytes(&'a [u8]),
}

/// What one algorithm keeps between picks.
#[derive(Debug)]
pub struct Table {
    algorithm: Algorithm,
    state: State,
}

#[derive(Debug)]
enum State {
    RoundRobin(RoundRobin),
    LeastConn(LeastConn),
    First(First),
    Map(Map),
    Ring(Ring),
}

impl Table {
    #[must_use]
    pub fn new(algorithm: Algorithm, pool: &Pool) -> Self {
        let state = match algorithm {
            Algorithm::RoundRobin => State::RoundRobin(RoundRobin::new(pool)),
            Algorithm::LeastConn => State::LeastConn(LeastConn::new(pool)),
            Algorithm::First => State::First(First::new(pool)),
            Algorithm::StaticRr | Algorithm::MapHash { .. } => State::Map(Map::new(pool)),
            Algorithm::Random { .. } => State::Ring(Ring::new(pool, 0, Affinity::Always)),
            Algorithm::RingHash { factor, affinity, .. } => State::Ring(Ring::new(pool, factor, affinity)),
        };
        Self { algorithm, state }
    }

    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The server for a request, or `None` if all are full. A hash may give a server that is full: the request is to
    /// wait for it.
    pub fn pick(&mut self, pool: &Pool, request: &Request<'_>) -> Option<usize> {
        let avoid = request.avoid;
        match (&mut self.state, self.algorithm) {
            (State::RoundRobin(t), _) => t.pick(pool, avoid),
            (State::LeastConn(t), _) => t.pick(pool, avoid),
            (State::First(t), _) => t.pick(pool, avoid),
            (State::Ring(t), Algorithm::Random { draws }) => t.draw(pool, draws, request.random, avoid),
            (State::Map(t), Algorithm::MapHash { hashing, affinity }) => match request.key {
                Some(key) => t.by_hash(key.hash(hashing), |i| affinity.accepts(pool, i)),
                None => t.pick(pool, avoid),
            },
            (State::Ring(t), Algorithm::RingHash { hashing, .. }) => match request.key {
                Some(key) => t.by_hash(pool, key.hash(hashing), avoid),
                None => t.pick(pool, avoid),
            },
            (State::Map(t), _) => t.pick(pool, avoid),
            (State::Ring(t), _) => t.pick(pool, avoid),
        }
    }

    /// Does a request in the backend's queue mean that every server is full?
    #[must_use]
    pub fn queues_mean_full(&self) -> bool {
        matches!(self.algorithm, Algorithm::RoundRobin | Algorithm::StaticRr | Algorithm::First)
    }

    /// A candidate was appended to the pool.
    pub fn grown(&mut self, pool: &Pool) {
        let i = pool.servers.len().saturating_sub(1);
        match &mut self.state {
            State::RoundRobin(t) => t.grown(pool, i),
            State::LeastConn(t) => t.grown(pool, i),
            State::First(t) => *t = First::new(pool),
            State::Map(_) | State::Ring(_) => self.changed(pool, i),
        }
    }

    /// Candidate `i` became usable or unusable, or its effective weight changed. The pool already says so.
    pub fn changed(&mut self, pool: &Pool, i: usize) {
        match &mut self.state {
            State::RoundRobin(t) => t.changed(pool, i),
            State::LeastConn(t) => t.changed(pool, i),
            State::First(_) => {}
            State::Map(t) => t.changed(pool),
            State::Ring(t) => t.changed(pool),
        }
    }

    /// Candidate `i` took or gave back a connection, or its queue changed.
    pub fn moved(&mut self, pool: &Pool, i: usize) {
        if let State::LeastConn(t) = &mut self.state {
            t.moved(pool, i);
        }
    }
}

impl Key<'_> {
    fn hash(self, hashing: Hashing) -> u32 {
        match self {
            Key::Address(a) => hashing.address(a),
            Key::Bytes(b) => hashing.bytes(b),
        }
    }
}
