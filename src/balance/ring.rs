//! `hash-type consistent` and `balance random`: servers stand on a ring of 2^32 points, as many times as their weight
//! (16 points a unit). A hash goes to the nearest point; a server that leaves takes its points only.

use super::hash::avalanche;
use super::pool::{Pool, Serving};
use super::{Affinity, MAX_EFFECTIVE};
use crate::random::xorshift32;

#[derive(Debug)]
pub struct Ring {
    points: Vec<(u32, usize)>,
    /// Where round robin stands: the last point used.
    last: Option<(u32, usize)>,
    /// Weight of the servers before each, for the rounding of `hash-balance-factor`.
    before: Vec<u32>,
    /// `hash-balance-factor` in percent; 0: off.
    factor: u32,
    affinity: Affinity,
    /// The only server with points, if there is just one.
    only: Option<usize>,
}

impl Ring {
    #[must_use]
    pub fn new(pool: &Pool, factor: u32, affinity: Affinity) -> Self {
        let mut ring =
            Self { points: Vec::new(), last: None, before: Vec::new(), factor, affinity, only: None };
        ring.changed(pool);
        ring
    }

    pub fn changed(&mut self, pool: &Pool) {
        self.points.clear();
        for (i, s) in pool.servers.iter().enumerate().filter(|(i, _)| pool.takes_part(*i)) {
            let base = s.ring_key.unwrap_or_else(|| s.id.wrapping_mul(MAX_EFFECTIVE));
            self.points.extend((0..s.effective).map(|n| (avalanche(base.wrapping_add(n)), i)));
        }
        self.points.sort_unstable();
        let first = self.points.first().map(|p| p.1);
        self.only = first.filter(|i| self.points.iter().all(|p| p.1 == *i));
        let mut sums = [0_u32; 2];
        self.before = pool
            .servers
            .iter()
            .map(|s| {
                let sum = &mut sums[usize::from(s.backup)];
                let before = *sum;
                if s.usable {
                    *sum += s.effective;
                }
                before
            })
            .collect();
    }

    /// Round robin over the points, for requests without a key.
    pub fn pick(&mut self, pool: &Pool, avoid: Option<usize>) -> Option<usize> {
        if let Serving::Single(i) = pool.serving() {
            return Some(i);
        }
        let len = self.points.len();
        let start = self.last.map_or(0, |last| self.points.partition_point(|p| *p <= last));
        let mut avoided = None;
        for at in (start..len).chain(0..start.min(len)) {
            let point = *self.points.get(at)?;
            let i = point.1;
            if !pool.has_room(i) {
                continue;
            }
            self.last = Some(point);
            if Some(i) != avoid {
                return Some(i);
            }
            avoided = Some(i);
        }
        avoided
    }

    pub fn by_hash(&self, pool: &Pool, hash: u32, avoid: Option<usize>) -> Option<usize> {
        if let Serving::Single(i) = pool.serving() {
            return Some(i);
        }
        let len = self.points.len();
        let after = self.points.partition_point(|p| p.0 < hash).checked_rem(len)?;
        let before = (after + len - 1) % len;
        let (left, right) = (self.points.get(before)?, self.points.get(after)?);
        let nearer_left = hash.wrapping_sub(left.0) <= right.0.wrapping_sub(hash);
        let start = if nearer_left { before } else { after };
        let first = self.points.get(start)?.1;
        (start..len)
            .chain(0..start)
            .filter_map(|at| self.points.get(at).map(|p| p.1))
            .find(|i| Some(*i) != avoid && self.within_share(pool, *i) && self.affinity.accepts(pool, *i))
            .or(Some(first))
    }

    /// `hash-balance-factor`: no server may have more than its share of the connections times the factor.
    fn within_share(&self, pool: &Pool, i: usize) -> bool {
        let (Some(s), Some(before)) = (pool.servers.get(i), self.before.get(i)) else { return true };
        let total = u64::from(pool.weight());
        if self.factor == 0 || total == 0 {
            return true;
        }
        let slots = (u64::from(pool.served) + 1) * u64::from(self.factor);
        let slots = slots.div_ceil(100);
        let (weight, before) = (u64::from(s.effective), u64::from(*before));
        let (whole, rest) = (slots / total, slots % total);
        let share = weight * whole + (before + weight) * rest / total - before * rest / total;
        u64::from(s.served) < share.max(1)
    }

    /// `balance random`: the least loaded of `draws` servers drawn; `None` if that one is full.
    pub fn draw(&self, pool: &Pool, draws: u32, random: u32, avoid: Option<usize>) -> Option<usize> {
        if let Some(only) = self.only {
            return pool.has_room(only).then_some(only);
        }
        let mut state = random;
        let mut best = self.by_hash(pool, state, avoid)?;
        for _ in 1..draws.max(1) {
            // Further draws come from the caller's one random number.
            state = xorshift32(state);
            let drawn = self.by_hash(pool, state, avoid)?;
            let load = |i: usize, other: usize| {
                let weight = pool.servers.get(other).map_or(0, |s| s.effective);
                pool.servers.get(i).map_or(0, |s| u64::from(s.served) * u64::from(weight))
            };
            if drawn != best && load(drawn, best) <= load(best, drawn) {
                best = drawn;
            }
        }
        pool.has_room(best).then_some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::pool::Candidate;

    fn pool(servers: u32) -> Pool {
        let server = |id| Candidate {
            id,
            weight: 1,
            effective: 16,
            usable: true,
            maxconn: 1,
            minconn: 1,
            ramp: 100,
            ..Candidate::default()
        };
        Pool::new((1..=servers).map(server).collect(), 0, false)
    }

    #[test]
    fn the_only_server_is_drawn_until_it_is_full_and_as_long_as_it_is_alone() {
        let mut pool = pool(2);
        pool.servers[1].usable = false;
        pool.recount();
        let mut ring = Ring::new(&pool, 0, Affinity::Always);
        for random in 0..100 {
            assert_eq!(ring.draw(&pool, 2, random * 12_345_678, None), Some(0));
        }
        pool.take(0);
        assert_eq!(ring.draw(&pool, 2, 7, None), None, "it is full");
        pool.release(0);
        pool.servers[1].usable = true;
        pool.recount();
        ring.changed(&pool);
        let drawn: Vec<_> = (1..100).filter_map(|n| ring.draw(&pool, 1, n * 42_949_672, None)).collect();
        assert!(drawn.contains(&0) && drawn.contains(&1), "{drawn:?}");
        pool.servers[0].usable = false;
        pool.recount();
        ring.changed(&pool);
        assert_eq!(ring.draw(&pool, 2, 7, None), Some(1));
        pool.servers[1].usable = false;
        pool.recount();
        ring.changed(&pool);
        assert_eq!(ring.draw(&pool, 2, 7, None), None, "nobody is left");
    }
}
