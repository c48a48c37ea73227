//! A thread's own wall clock and dice, which cost no system call.

use crate::clock::Now;
use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

#[derive(Debug)]
pub struct Ticker {
    random: Cell<u64>,
    epoch: Cell<Now>,
}

impl Ticker {
    /// `salt` tells threads and processes that start at the same moment apart.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seed = since.as_nanos() as u64 ^ salt;
        Self { random: Cell::new(seed | 1), epoch: Cell::new(Now::read()) }
    }

    /// Wall clock at `mono`: the two clocks are compared once a second.
    pub fn wall(&self, mono: Instant) -> SystemTime {
        let epoch = self.epoch.get();
        let since = mono.saturating_duration_since(epoch.mono);
        if since <= Duration::from_secs(1) {
            return epoch.wall + since;
        }
        let epoch = Now::read();
        self.epoch.set(epoch);
        epoch.wall + mono.saturating_duration_since(epoch.mono)
    }

    /// xorshift64*: for balancing and `rand`, not for secrets.
    pub fn random(&self) -> u32 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }
}
