//! Time as values: pure code takes these as arguments, only the outer layers read a clock.

use std::time::{Duration, Instant, SystemTime};

/// One reading of both clocks: `mono` for durations and deadlines, `wall` for dates people read.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub mono: Instant,
    pub wall: SystemTime,
}

impl Now {
    #[must_use]
    pub fn read() -> Self {
        Self { mono: Instant::now(), wall: SystemTime::now() }
    }
}

/// Milliseconds, rounded down, saturating: the unit of every HAProxy timer.
#[must_use]
pub fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}
