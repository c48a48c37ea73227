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

/// The short name of a month from 1 to 12 (of another, the nearest one's): every date that HAProxy or OpenSSL writes has it.
#[must_use]
pub fn month_name(month: u32) -> &'static str {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    NAMES[(month as usize).clamp(1, 12) - 1]
}

/// A calendar date and time of day (proleptic Gregorian).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1..=12
    pub month: u32,
    /// 1..=31
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    /// 0 = Sunday
    pub weekday: u32,
}

impl Civil {
    /// Of `seconds` since the epoch. Add [`local_offset`] first for local time.
    /// Days to date after Howard Hinnant's `civil_from_days`.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let of_day = seconds.rem_euclid(86_400) as u32;
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
        }
    }
}

static LOCAL_OFFSET: std::sync::OnceLock<fn(i64) -> i32> = std::sync::OnceLock::new();

/// Tells how local time is found; the process does it once at start, because the zone database is a file.
pub fn set_local_offset(source: fn(i64) -> i32) {
    LOCAL_OFFSET.get_or_init(|| source);
}

/// Seconds east of Greenwich at that moment; 0 until [`set_local_offset`] was called.
#[must_use]
pub fn local_offset(unix_seconds: i64) -> i32 {
    LOCAL_OFFSET.get().map_or(0, |source| source(unix_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seconds: i64, expected: (i64, u32, u32, u32, u32, u32, u32)) {
        let c = Civil::from_unix(seconds);
        assert_eq!((c.year, c.month, c.day, c.hour, c.minute, c.second, c.weekday), expected);
    }

    #[test]
    fn civil_dates() {
        check(0, (1970, 1, 1, 0, 0, 0, 4));
        check(951_782_399, (2000, 2, 28, 23, 59, 59, 1));
        check(951_782_400, (2000, 2, 29, 0, 0, 0, 2));
        check(1_795_235_618, (2026, 11, 21, 4, 33, 38, 6));
        check(-1, (1969, 12, 31, 23, 59, 59, 3));
    }
}
