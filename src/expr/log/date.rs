//! Dates as logs write them. The rendered second is kept per thread: a busy log asks for the same one many times.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// `21/Nov/2026:04:58:21` and its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    Utc,
    Local,
}

/// Reads the system's time zone once; called while parsing, before a chroot takes the zone files away.
pub(crate) fn load_zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(TimeZone::system)
}

/// Whole seconds and milliseconds since the epoch.
pub(crate) fn split(date: SystemTime) -> (i64, u32) {
    let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_millis())
}

/// `21/Nov/2026:04:58:21 +0000`
pub(crate) fn with_zone(date: SystemTime, zone: Zone, out: &mut Vec<u8>) {
    let (second, _) = split(date);
    cached(second, zone, |text| out.extend_from_slice(text));
}

/// `21/Nov/2026:04:58:21.802`, local time.
pub(crate) fn with_millis(date: SystemTime, out: &mut Vec<u8>) {
    let (second, millis) = split(date);
    cached(second, Zone::Local, |text| out.extend_from_slice(text.get(..WITHOUT_ZONE).unwrap_or(text)));
    out.push(b'.');
    three_digits(millis, out);
}

/// Length of `21/Nov/2026:04:58:21`.
const WITHOUT_ZONE: usize = 20;

pub(crate) fn three_digits(n: u32, out: &mut Vec<u8>) {
    out.extend([100, 10, 1].map(|unit| b'0' + (n / unit % 10) as u8));
}

fn cached(second: i64, zone: Zone, see: impl FnOnce(&[u8])) {
    thread_local! {
        // Accept dates and request dates alternate, so two slots per zone.
        static LAST: RefCell<[[(i64, String); 2]; 2]> = const {
            RefCell::new([const { [const { (i64::MIN, String::new()) }; 2] }; 2])
        };
    }
    LAST.with_borrow_mut(|slots| {
        let slot = &mut slots[zone as usize][(second & 1) as usize];
        if slot.0 != second {
            *slot = (second, render(second, zone));
        }
        see(slot.1.as_bytes());
    });
}

fn render(second: i64, zone: Zone) -> String {
    let Ok(instant) = Timestamp::from_second(second) else { return String::new() };
    let zoned = match zone {
        Zone::Utc => instant.to_zoned(TimeZone::UTC),
        Zone::Local => instant.to_zoned(load_zone().clone()),
    };
    let offset = zoned.offset().seconds();
    let month = crate::clock::month_name(zoned.month().unsigned_abs().into());
    format!(
        "{:02}/{month}/{:04}:{:02}:{:02}:{:02} {}{:02}{:02}",
        zoned.day(),
        zoned.year(),
        zoned.hour(),
        zoned.minute(),
        zoned.second(),
        if offset < 0 { '-' } else { '+' },
        offset.abs() / 3600,
        offset.abs() / 60 % 60,
    )
}

/// `strftime` for `ltime` and `utime`.
pub(crate) fn strftime(format: &str, second: i64, zone: Zone) -> Option<String> {
    let instant = Timestamp::from_second(second).ok()?;
    let zone = match zone {
        Zone::Utc => TimeZone::UTC,
        Zone::Local => load_zone().clone(),
    };
    jiff::fmt::strtime::format(format, &instant.to_zoned(zone)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders() {
        let date = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_237_101_042);
        let mut out = Vec::new();
        with_zone(date, Zone::Utc, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "21/Nov/2026:04:58:21 +0000");
        assert_eq!(strftime("%Y-%m-%d", 0, Zone::Utc).unwrap(), "1970-01-01");
        let mut out = Vec::new();
        with_millis(date, &mut out);
        assert!(out.ends_with(b".042"));
    }
}
