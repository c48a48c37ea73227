//! Events per second over a sliding window, read off a running total: the data path pays nothing for it.
//!
//! The window is HAProxy's: this second's events plus the last second's in proportion to what is left of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Rate {
    window: Mutex<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: Instant,
    /// The total when this second began, and what the second before counted.
    base: u64,
    before: u64,
    max: u64,
}

impl Rate {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { window: Mutex::new(Window { start: now, base: 0, before: 0, max: 0 }) }
    }

    /// Turns the window if a second is over. To be called about every second; `read` does it too.
    pub fn tick(&self, total: u64, now: Instant) {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).turn(total, now);
    }

    #[must_use]
    pub fn read(&self, total: u64, now: Instant) -> u64 {
        let mut w = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        w.turn(total, now);
        let left = SECOND.saturating_sub(now.saturating_duration_since(w.start));
        let share = u128::from(w.before) * left.as_millis() / 1000;
        (total - w.base.min(total)) + u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// The busiest second so far, the one that runs included.
    #[must_use]
    pub fn max(&self, total: u64, now: Instant) -> u64 {
        let mut w = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        w.turn(total, now);
        w.max.max(total.saturating_sub(w.base))
    }
}

impl Rate {
    /// The maximum is forgotten, and the total goes on from `total`.
    pub(super) fn clear(&self, total: u64, now: Instant) {
        let mut w = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        *w = Window { start: now, base: total, before: 0, max: 0 };
    }
}

impl Window {
    fn turn(&mut self, total: u64, now: Instant) {
        let passed = now.saturating_duration_since(self.start);
        if passed < SECOND {
            return;
        }
        let counted = total.saturating_sub(self.base);
        self.max = self.max.max(counted);
        // Silence of more than a second leaves nothing to slide over.
        self.before = if passed < 2 * SECOND { counted } else { 0 };
        self.base = total;
        self.start += SECOND * u32::try_from(passed.as_secs()).unwrap_or(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slides_over_two_seconds() {
        let t0 = Instant::now();
        let rate = Rate::new(t0);
        assert_eq!(rate.read(10, t0 + Duration::from_millis(500)), 10);
        // 20 in the first second, 5 so far in the second one, half of which is over
        assert_eq!(rate.read(20, t0 + SECOND), 20);
        assert_eq!(rate.read(25, t0 + Duration::from_millis(1500)), 5 + 10);
        assert_eq!(rate.read(25, t0 + Duration::from_millis(4000)), 0);
        assert_eq!(rate.max(25, t0 + Duration::from_millis(4000)), 20);
    }
}
