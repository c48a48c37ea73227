//! When checks run: spread out at the start, at their interval after, more or less by `spread-checks`.

use crate::random::xorshift32;
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// Intervals shorter than this do not count when the start of the checks is spread out.
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

/// How long after the start each check runs first. `max`: `max-spread-checks`.
#[must_use]
pub fn first_runs(intervals: &[Duration], max: Option<Duration>) -> Vec<Duration> {
    let shortest = intervals.iter().copied().filter(|i| *i >= SHORTEST_SPREAD).min().unwrap_or_default();
    let longest = max.unwrap_or(Duration::MAX);
    let count = u32::try_from(intervals.len()).unwrap_or(u32::MAX).max(1);
    intervals.iter().zip(0_u32..).map(|(i, n)| shortest.max(*i).min(longest) * n / count).collect()
}

/// When the check that was `planned` runs again. A late or short run does not move the rhythm; one that took half the
/// interval or more (a server that does not answer) leaves the whole interval before the next.
#[must_use]
pub fn next(planned: Instant, interval: Duration, now: Instant) -> Instant {
    let in_rhythm = planned + interval;
    if in_rhythm > now + interval / 2 { in_rhythm } else { now + interval }
}

/// `spread-checks`: up to that percentage more or less.
#[must_use]
pub fn jitter(interval: Duration, spread: u32, random: &Cell<u32>) -> Duration {
    if spread == 0 {
        return interval;
    }
    let x = xorshift32(random.get());
    random.set(x);
    let range = f64::from(spread.min(50)) / 100.0;
    interval.mul_f64(1.0 + range * (f64::from(x) / f64::from(u32::MAX) * 2.0 - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_spread() {
        let check = |intervals: &[u64], max: Option<u64>, expected: &[u64]| {
            let intervals: Vec<Duration> = intervals.iter().map(|i| Duration::from_millis(*i)).collect();
            let got: Vec<u128> = first_runs(&intervals, max.map(Duration::from_millis))
                .iter()
                .map(Duration::as_millis)
                .collect();
            assert_eq!(got, expected.iter().map(|e| u128::from(*e)).collect::<Vec<_>>());
        };
        check(&[2000, 2000, 2000, 2000], None, &[0, 500, 1000, 1500]);
        check(&[2000, 4000], None, &[0, 2000]);
        // A short interval is spread over the shortest long one.
        check(&[100, 2000], None, &[0, 1000]);
        check(&[2000, 2000], Some(200), &[0, 100]);
    }

    #[test]
    fn the_rhythm_is_kept() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let check = |took: u64, expected: u64| {
            assert_eq!(next(start, ms(1000), start + ms(took)), start + ms(expected), "{took}");
        };
        check(0, 1000);
        check(499, 1000);
        check(500, 1500);
        check(1000, 2000);
        check(5000, 6000);
    }

    #[test]
    fn jitter_stays_in_bounds() {
        let random = Cell::new(7);
        let interval = Duration::from_millis(1000);
        assert_eq!(jitter(interval, 0, &random), interval);
        let many: Vec<Duration> = (0..1000).map(|_| jitter(interval, 10, &random)).collect();
        assert!(many.iter().all(|d| (900..=1100).contains(&d.as_millis())));
        assert!(many.iter().any(|d| d.as_millis() < 950) && many.iter().any(|d| d.as_millis() > 1050));
    }
}
