//! `log ... sample <ranges>:<size>`: which of every `size` lines are sent.

use crate::config::model::log::LogSample;
use std::sync::atomic::{AtomicU32, Ordering};

/// Steps the cycle and says whether this line is in it.
pub(super) fn take(sample: &LogSample, position: &AtomicU32) -> bool {
    let size = sample.size.max(1);
    let before =
        position.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |p| Some((p + 1) % size)).unwrap_or(0);
    let number = before % size + 1;
    sample.ranges.iter().any(|&(low, high)| (low..=high).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranges: &[(u32, u32)], size: u32, expected: &[u32]) {
        let sample = LogSample { ranges: ranges.to_vec(), size };
        let position = AtomicU32::new(0);
        let taken: Vec<u32> = (0..12).filter(|_| take(&sample, &position)).collect();
        assert_eq!(taken, expected, "{ranges:?}:{size}");
    }

    /// What HAProxy 2.6 sends with the same settings.
    #[test]
    fn takes_the_ranges_of_each_cycle() {
        check(&[(1, 1), (3, 3)], 4, &[0, 2, 4, 6, 8, 10]);
        check(&[(2, 3), (5, 5)], 6, &[1, 2, 4, 7, 8, 10]);
        check(&[(1, 1)], 1, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }
}
