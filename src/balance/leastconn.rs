//! `balance leastconn`: the server with the fewest connections for its weight; among equals, the one that has waited
//! longest. An idle server goes to the end of the idle ones when its last connection ends, so that they take turns.
//!
//! A server in slow start has no connections and would get every new one: it is admitted only as often as its weight
//! of the moment allows.

use super::MAX_EFFECTIVE;
use super::pool::{Pool, Serving};
use std::collections::BTreeSet;

/// (load, order of arrival, server)
type Entry = (u64, u64, usize);

/// One admission, in the unit credits are counted in.
const ADMISSION: u64 = 1 << 16;
/// What a server may save up while it is not the least loaded.
const SAVED: u64 = 4 * ADMISSION;

#[derive(Debug)]
pub struct LeastConn {
    seats: Vec<Seat>,
    active: BTreeSet<Entry>,
    backup: BTreeSet<Entry>,
    arrivals: u64,
    warming: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    entry: Option<Entry>,
    warming: bool,
    credit: u64,
}

impl LeastConn {
    #[must_use]
    pub fn new(pool: &Pool) -> Self {
        let mut table = Self {
            seats: vec![Seat::default(); pool.servers.len()],
            active: BTreeSet::new(),
            backup: BTreeSet::new(),
            arrivals: 0,
            warming: 0,
        };
        for i in 0..pool.servers.len() {
            table.changed(pool, i);
        }
        table
    }

    pub fn pick(&mut self, pool: &Pool, avoid: Option<usize>) -> Option<usize> {
        let set = match pool.serving() {
            Serving::Active => &self.active,
            Serving::Single(i) => return Some(i),
            Serving::Backups => &self.backup,
            Serving::Nobody => return None,
        };
        if self.warming > 0 {
            let total = u64::from(pool.weight()).max(1);
            for (seat, s) in self.seats.iter_mut().zip(&pool.servers).filter(|(seat, _)| seat.warming) {
                seat.credit = (seat.credit + u64::from(s.effective) * ADMISSION / total).min(SAVED);
            }
        }
        let (mut avoided, mut early) = (None, None);
        for (_, _, i) in set {
            let Some(s) = pool.servers.get(*i) else { continue };
            let room = u64::from(pool.limit(*i)) + u64::from(s.maxqueue);
            if s.maxconn != 0 && u64::from(s.served) + u64::from(s.queued) >= room {
                continue;
            }
            if Some(*i) == avoid {
                avoided = avoided.or(Some(*i));
                continue;
            }
            let Some(seat) = self.seats.get_mut(*i) else { continue };
            if !seat.warming {
                return Some(*i);
            }
            if seat.credit >= ADMISSION {
                seat.credit -= ADMISSION;
                return Some(*i);
            }
            early = early.or(Some(*i));
        }
        early.or(avoided)
    }

    /// Candidate `i` is new.
    pub fn grown(&mut self, pool: &Pool, i: usize) {
        self.seats.push(Seat::default());
        self.changed(pool, i);
    }

    pub fn changed(&mut self, pool: &Pool, i: usize) {
        let (Some(s), Some(seat)) = (pool.servers.get(i), self.seats.get_mut(i)) else { return };
        let warming = s.usable && s.ramp < 100;
        if warming != seat.warming {
            self.warming = if warming { self.warming + 1 } else { self.warming.saturating_sub(1) };
            *seat = Seat { warming, credit: 0, ..*seat };
        }
        let set = if s.backup { &mut self.backup } else { &mut self.active };
        if let Some(old) = seat.entry.take() {
            set.remove(&old);
        }
        if s.usable {
            self.arrivals += 1;
            let entry = (load(s.served, s.queued, s.effective), self.arrivals, i);
            set.insert(entry);
            seat.entry = Some(entry);
        }
    }

    pub fn moved(&mut self, pool: &Pool, i: usize) {
        let (Some(s), Some(seat)) = (pool.servers.get(i), self.seats.get_mut(i)) else { return };
        let Some(old) = seat.entry else { return };
        let new = load(s.served, s.queued, s.effective);
        if new == old.0 {
            return;
        }
        let set = if s.backup { &mut self.backup } else { &mut self.active };
        set.remove(&old);
        self.arrivals += 1;
        let entry = (new, self.arrivals, i);
        set.insert(entry);
        seat.entry = Some(entry);
    }
}

/// What one more connection would make of the server's load; an idle server has none whatever its weight.
fn load(served: u32, queued: u32, weight: u32) -> u64 {
    match u64::from(served) + u64::from(queued) {
        0 => 0,
        inflight => (inflight + 1) * u64::from(MAX_EFFECTIVE) / u64::from(weight.max(1)),
    }
}
