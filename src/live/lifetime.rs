//! Since when a server or a backend is what it is, and how long it was down in all (`lastchg`, `downtime`).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Lifetime(Mutex<Times>);

#[derive(Clone, Copy, Debug)]
struct Times {
    changed: Instant,
    /// Of the times down that are over.
    down: Duration,
}

impl Lifetime {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Times { changed: now, down: Duration::ZERO }))
    }

    /// How long ago the state changed last.
    #[must_use]
    pub fn since_change(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.lock().changed)
    }

    /// All the time down, with the time that is running.
    #[must_use]
    pub fn downtime(&self, is_down: bool, now: Instant) -> Duration {
        let times = *self.lock();
        if is_down { times.down + now.saturating_duration_since(times.changed) } else { times.down }
    }

    /// The state changed.
    pub(super) fn changed(&self, now: Instant) {
        self.lock().changed = now;
    }

    /// The state changed, and what came before was time down.
    pub(super) fn recovered(&self, now: Instant) {
        let mut times = self.lock();
        let over = now.saturating_duration_since(times.changed);
        times.down += over;
        times.changed = now;
    }

    /// As a state file says.
    pub(super) fn restore(&self, since_change: Duration, now: Instant) {
        self.lock().changed = now.checked_sub(since_change).unwrap_or(now);
    }

    /// As another one until now.
    pub(super) fn go_on_from(&self, before: &Self) {
        let times = *before.lock();
        *self.lock() = times;
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
