//! Events per second over a sliding window, read off a running total: the data path pays nothing for it.
//!
//! The window is HAProxy's: this second's events plus the last second's in proportion to what is left of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
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
    /// When the last event was seen, to the second.
    last: Option<Instant>,
}

impl Rate {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { window: Mutex::new(Window { start: now, base: 0, before: 0, max: 0, last: None }) }
    }

    /// Turns the window if a second is over. To be called about every second; reading does it too.
    pub fn tick(&self, total: u64, now: Instant) {
        drop(self.turned(total, now));
    }

    #[must_use]
    pub fn read(&self, total: u64, now: Instant) -> u64 {
        let w = self.turned(total, now);
        let left = SECOND.saturating_sub(now.saturating_duration_since(w.start));
        let share = u128::from(w.before) * left.as_millis() / 1000;
        total.saturating_sub(w.base) + u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// The maximum is forgotten, and the total goes on from `total`.
    pub(super) fn clear(&self, total: u64, now: Instant) {
        let mut w = self.lock();
        *w = Window { start: now, base: total, before: 0, max: 0, last: w.last };
    }

    /// As another one that counted the same total until now.
    pub(super) fn go_on_from(&self, before: &Self) {
        let window = *before.lock();
        *self.lock() = window;
    }

    /// The busiest second so far, the one that runs included.
    #[must_use]
    pub fn max(&self, total: u64, now: Instant) -> u64 {
        let w = self.turned(total, now);
        w.max.max(total.saturating_sub(w.base))
    }

    /// How long ago the last event was, to the second; `None`: there was none yet.
    #[must_use]
    pub fn idle(&self, total: u64, now: Instant) -> Option<Duration> {
        let w = self.turned(total, now);
        let last = if total > w.base { Some(now) } else { w.last };
        last.map(|at| now.saturating_duration_since(at))
    }

    fn turned(&self, total: u64, now: Instant) -> MutexGuard<'_, Window> {
        let mut w = self.lock();
        w.turn(total, now);
        w
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
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
        if counted > 0 {
            self.last = Some(self.start + SECOND);
        }
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
        assert_eq!(rate.max(10, t0 + Duration::from_millis(500)), 10);
        // 20 in the first second, 5 so far in the second one, half of which is over
        assert_eq!(rate.read(20, t0 + SECOND), 20);
        assert_eq!(rate.read(25, t0 + Duration::from_millis(1500)), 5 + 10);
        assert_eq!(rate.read(25, t0 + Duration::from_millis(4000)), 0);
        assert_eq!(rate.max(25, t0 + Duration::from_millis(4000)), 20);
    }

    #[test]
    fn tells_the_last_event() {
        let t0 = Instant::now();
        let rate = Rate::new(t0);
        let at = |ms| t0 + Duration::from_millis(ms);
        assert_eq!(rate.idle(0, at(100)), None);
        assert_eq!(rate.idle(1, at(600)), Some(Duration::ZERO));
        assert_eq!(rate.idle(1, at(1000)), Some(Duration::ZERO));
        assert_eq!(rate.idle(1, at(4500)), Some(Duration::from_millis(3500)));
    }
}
