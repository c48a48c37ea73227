//! `balance static-rr` and `hash-type map-based`: a list in which each server stands as often as its weight says.
//!
//! Built when a server or a weight changes. Round robin walks the list, a hash indexes it.

use super::pool::{Pool, Serving};

#[derive(Debug)]
pub struct Map {
    list: Vec<usize>,
    next: usize,
}

impl Map {
    #[must_use]
    pub fn new(pool: &Pool) -> Self {
        Self { list: build(pool), next: 0 }
    }

    pub fn changed(&mut self, pool: &Pool) {
        self.list = build(pool);
    }

    pub fn pick(&mut self, pool: &Pool, avoid: Option<usize>) -> Option<usize> {
        let len = self.list.len();
        if self.next >= len {
            self.next = 0;
        }
        let start = self.next;
        let mut avoided = None;
        for at in (start..len).chain(0..start) {
            let i = *self.list.get(at)?;
            if !pool.has_room(i) {
                continue;
            }
            if Some(i) != avoid {
                self.next = at + 1;
                return Some(i);
            }
            avoided = Some(i);
        }
        avoided
    }

    /// The server of a hash; when `accepts` says no, the next ones on the list.
    pub fn by_hash(&self, hash: u32, mut accepts: impl FnMut(usize) -> bool) -> Option<usize> {
        let len = self.list.len();
        let at = usize::try_from(hash).unwrap_or(0).checked_rem(len)?;
        let first = self.list.get(at).copied()?;
        if accepts(first) {
            return Some(first);
        }
        (at..len)
            .chain(0..at)
            .filter_map(|at| self.list.get(at).copied())
            .find(|i| accepts(*i))
            .or(Some(first))
    }
}

fn build(pool: &Pool) -> Vec<usize> {
    if let Serving::Single(i) = pool.serving() {
        return vec![i];
    }
    // Weights are divided by what all servers have in common, those that are down included.
    let common = pool.servers.iter().fold(0, |d, s| gcd(d, s.weight)).max(1);
    let taking_part: Vec<(usize, i64)> = pool
        .servers
        .iter()
        .enumerate()
        .filter(|(i, _)| pool.takes_part(*i))
        .map(|(i, s)| (i, i64::from(s.effective.div_ceil(common))))
        .collect();
    let total: i64 = taking_part.iter().map(|(_, w)| w).sum();
    let mut scores = vec![0_i64; taking_part.len()];
    (0..total).filter_map(|_| place(&taking_part, &mut scores, total)).collect()
}

/// The next server of the list: the first whose score reaches furthest, in whole turns. The first declared comes first.
fn place(servers: &[(usize, i64)], scores: &mut [i64], total: i64) -> Option<usize> {
    let mut best: Option<(usize, i64)> = None;
    for (n, (score, (_, weight))) in scores.iter_mut().zip(servers).enumerate() {
        *score += weight;
        let turns = (*score + total) / total;
        if best.is_none_or(|(_, max)| turns > max) {
            best = Some((n, turns));
        }
    }
    let (n, _) = best?;
    *scores.get_mut(n)? -= total;
    servers.get(n).map(|(i, _)| *i)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
