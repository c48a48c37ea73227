//! `rr` and `wrr`: tables whose slots are taken in turn, flow by flow.

/// One slot for each server of weight above 0, in order.
#[must_use]
pub fn round_robin(weights: &[u32]) -> Vec<usize> {
    (0..weights.len()).filter(|i| weights.get(*i).is_some_and(|w| *w > 0)).collect()
}

/// A whole round of weighted round robin: the threshold sinks from the greatest weight in steps of the weights' greatest
/// common divisor, and every server that reaches it has a turn. Weights 4, 3, 2 make A A B A B C A B C.
///
/// The round has as many slots as the weights add up to, divided by that divisor; one that would have more than `most` is
/// made of weights scaled down (no server loses its last turn).
#[must_use]
pub fn weighted(weights: &[u32], most: usize) -> Vec<usize> {
    let weights = reduced(weights, most);
    let top = weights.iter().copied().max().unwrap_or(0);
    let levels = (1..=top).rev();
    levels
        .flat_map(|level| weights.iter().enumerate().filter(move |(_, w)| **w >= level).map(|(i, _)| i))
        .collect()
}

/// The weights without their common divisor, and scaled down to add up to `most` at the most.
pub(super) fn reduced(weights: &[u32], most: usize) -> Vec<u32> {
    let divisor = common_divisor(weights).max(1);
    let mut weights: Vec<u32> = weights.iter().map(|w| w / divisor).collect();
    let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    let most = most as u64;
    if sum > most {
        let room = most.saturating_sub(weights.iter().filter(|w| **w > 0).count() as u64);
        for weight in weights.iter_mut().filter(|w| **w > 0) {
            let scaled = u64::from(*weight) * room / sum;
            *weight = u32::try_from(scaled).unwrap_or(u32::MAX).max(1);
        }
    }
    weights
}

/// The greatest common divisor of those above 0; 0 when there are none.
#[must_use]
pub fn common_divisor(weights: &[u32]) -> u32 {
    weights.iter().copied().fold(0, |a, b| {
        let (mut a, mut b) = (a, b);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(weights: &[u32], expected: &str) {
        let letters: String =
            weighted(weights, 1000).iter().map(|i| char::from(b'A' + u8::try_from(*i).unwrap())).collect();
        assert_eq!(letters, expected, "{weights:?}");
    }

    #[test]
    fn rounds() {
        check(&[4, 3, 2], "AABABCABC");
        check(&[400, 300, 200], "AABABCABC");
        check(&[1, 1, 1], "ABC");
        check(&[0, 2, 1], "BBC");
        check(&[1, 3], "BBAB");
        check(&[5], "A");
        check(&[0, 0], "");
        check(&[], "");
        assert_eq!(round_robin(&[3, 0, 1]), [0, 2]);
    }

    #[test]
    fn long_rounds_are_scaled() {
        let table = weighted(&[65_535, 65_534, 1], 1024);
        assert!(table.len() <= 1024 && table.contains(&2), "{}", table.len());
        let share = table.iter().filter(|i| **i == 0).count();
        assert!((500..=512).contains(&share), "{share}");
    }
}
