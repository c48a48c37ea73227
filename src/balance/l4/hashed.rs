//! `sh` and `dh`: tables of 256 slots, looked up by a hash of the client's or the destination's address.

/// How long the tables are, as in IPVS.
pub const SLOTS: usize = 256;

/// `sh`: each server has as many slots in a row as its weight, over and over until the table is full. One of weight 0
/// keeps one slot, in which nobody serves: its clients, and no others, are without a server or fall back.
///
/// Unlike in IPVS the weights are divided by their greatest common divisor: 100, 100, 100 is as even as 1, 1, 1.
#[must_use]
pub fn source(weights: &[u32]) -> Vec<Option<usize>> {
    let weights = super::turns::reduced(weights, usize::MAX >> 1);
    let round = weights.iter().enumerate().flat_map(|(i, w)| {
        let slot = (*w > 0).then_some(i);
        std::iter::repeat_n(slot, (*w).max(1) as usize)
    });
    fill(round)
}

/// `dh`: one slot after the other, whatever the weights; one of weight 0 keeps its slots and serves in none.
#[must_use]
pub fn destination(weights: &[u32]) -> Vec<Option<usize>> {
    fill(weights.iter().enumerate().map(|(i, w)| (*w > 0).then_some(i)))
}

fn fill(round: impl Iterator<Item = Option<usize>> + Clone) -> Vec<Option<usize>> {
    round.cycle().take(SLOTS).collect()
}

/// The server in the slot, or in the first slot with an available one when there is a `fallback`. `slot_of` hashes again
/// for each round from 0 on.
#[must_use]
pub fn look_up(
    table: &[Option<usize>],
    fallback: bool,
    available: impl Fn(usize) -> bool,
    slot_of: impl Fn(u32) -> usize,
) -> Option<usize> {
    let rounds = if fallback { ROUNDS } else { 1 };
    (0..rounds).find_map(|round| {
        let slot = slot_of(round).checked_rem(table.len())?;
        table.get(slot).copied().flatten().filter(|i| available(*i))
    })
}

/// How often a fallback hashes before it gives up.
pub const ROUNDS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(table: &[Option<usize>], servers: usize) -> Vec<usize> {
        (0..servers).map(|i| table.iter().filter(|s| **s == Some(i)).count()).collect()
    }

    #[test]
    fn source_slots_go_by_weight() {
        let table = source(&[2, 1]);
        assert_eq!(table.len(), SLOTS);
        assert_eq!(table[..6], [Some(0), Some(0), Some(1), Some(0), Some(0), Some(1)]);
        assert_eq!(counts(&source(&[100, 100, 100]), 3), [86, 85, 85]);
        assert_eq!(source(&[1, 0, 1])[..4], [Some(0), None, Some(2), Some(0)]);
        assert_eq!(source(&[]), []);
    }

    #[test]
    fn destination_slots_do_not() {
        assert_eq!(counts(&destination(&[200, 1]), 2), [128, 128]);
        assert_eq!(destination(&[1, 0])[..2], [Some(0), None]);
    }

    /// Draining one server leaves every other client where it was.
    #[test]
    fn a_drained_server_moves_its_own_clients_only() {
        let (before, after) = (source(&[1, 1, 1]), source(&[1, 0, 1]));
        for (b, a) in before.iter().zip(&after) {
            assert!(*b == Some(1) || a == b);
        }
    }

    #[test]
    fn fallback_hashes_again() {
        let table = source(&[1, 1]);
        let slot = |round: u32| round as usize;
        assert_eq!(look_up(&table, false, |i| i != 0, slot), None);
        assert_eq!(look_up(&table, true, |i| i != 0, slot), Some(1));
        assert_eq!(look_up(&table, true, |_| false, slot), None);
        assert_eq!(look_up(&[], true, |_| true, slot), None);
    }
}
