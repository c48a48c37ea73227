//! `mh`: Maglev hashing (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, 3.4).
//!
//! Every server walks its own permutation of the slots and takes the next free one in its turn. When servers come or go,
//! nearly all other slots stay. A server's weight is how many slots it takes each time.

use super::turns::reduced;

/// How long the table is: a prime, as in IPVS by default.
pub const SLOTS: usize = 4093;

/// What places a server in the table, whatever the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub weight: u32,
    /// Two hashes of the server's address and port.
    pub hashes: (u32, u32),
}

/// The table; empty where no server has a weight above 0. `slots` is a prime.
#[must_use]
pub fn table(places: &[Place], slots: usize) -> Vec<Option<usize>> {
    let weights: Vec<u32> = places.iter().map(|p| p.weight).collect();
    let turns = reduced(&weights, slots);
    if slots < 2 || turns.iter().all(|t| *t == 0) {
        return Vec::new();
    }
    let mut walks: Vec<Walk> =
        places.iter().zip(turns).map(|(p, turns)| Walk::new(*p, turns, slots)).collect();
    let mut table = vec![None; slots];
    let mut free = slots;
    while free > 0 {
        for (i, walk) in walks.iter_mut().enumerate() {
            for _ in 0..walk.turns.min(u32::try_from(free).unwrap_or(u32::MAX)) {
                // Some slot is free, and a walk passes all of them.
                while table.get(walk.at).is_some_and(Option::is_some) {
                    walk.step(slots);
                }
                if let Some(slot) = table.get_mut(walk.at) {
                    *slot = Some(i);
                }
                free -= 1;
            }
        }
    }
    table
}

struct Walk {
    turns: u32,
    at: usize,
    skip: usize,
}

impl Walk {
    fn new(place: Place, turns: u32, slots: usize) -> Self {
        let (offset, skip) = place.hashes;
        Self { turns, at: offset as usize % slots, skip: skip as usize % (slots - 1) + 1 }
    }

    fn step(&mut self, slots: usize) {
        self.at = (self.at + self.skip) % slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(weights: &[u32]) -> Vec<Place> {
        (1..)
            .zip(weights)
            .map(|(n, weight)| {
                let hash = |salt: u32| crate::balance::hash::avalanche(n * 7919 + salt);
                Place { weight: *weight, hashes: (hash(1), hash(2)) }
            })
            .collect()
    }

    fn count(table: &[Option<usize>], server: usize) -> usize {
        table.iter().filter(|s| **s == Some(server)).count()
    }

    /// The example of the paper's table 1: permutations 3 0 4 1 5 2 6, 0 2 4 6 1 3 5 and 3 4 5 6 0 1 2.
    #[test]
    fn the_paper_s_example() {
        let place = |offset, skip: u32| Place { weight: 1, hashes: (offset, skip - 1) };
        let all = [place(3, 4), place(0, 2), place(3, 1)];
        assert_eq!(table(&all, 7), [1, 0, 1, 0, 2, 2, 0].map(Some));
        assert_eq!(table(&[all[0], all[2]], 7), [0, 0, 0, 0, 1, 1, 1].map(Some));
    }

    #[test]
    fn slots_go_by_weight() {
        let even = table(&places(&[100, 100, 100]), SLOTS);
        assert!((0..3).all(|i| (1364..=1365).contains(&count(&even, i))));
        let uneven = table(&places(&[3, 1, 0]), SLOTS);
        assert_eq!([0, 1, 2].map(|i| count(&uneven, i)), [3070, 1023, 0]);
        assert_eq!(table(&places(&[0, 0]), SLOTS), []);
        assert_eq!(table(&[], SLOTS), []);
    }

    #[test]
    fn few_slots_move_when_a_server_goes() {
        let mut servers = places(&[1; 10]);
        let before = table(&servers, SLOTS);
        servers[4].weight = 0;
        let after = table(&servers, SLOTS);
        let moved = before.iter().zip(&after).filter(|(b, a)| **b != Some(4) && a != b).count();
        assert!(moved < SLOTS / 10, "{moved}");
        assert_eq!(count(&after, 4), 0);
    }

    #[test]
    fn more_servers_than_slots() {
        let many = table(&places(&[65_535; 50]), 7);
        assert!(many.iter().all(Option::is_some));
    }
}
