//! Dates as log lines and syslog headers write them, cached per second: formatting one costs more than the rest of a header.

use crate::clock;
use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `Nov 21 04:33:38`, as RFC 3164 writes the local date (the day padded with a space).
pub(super) fn syslog(seconds: i64, out: &mut Vec<u8>) {
    cached(seconds, Shape::Syslog, out);
}

/// `2026-11-21T04:33:38.904481+00:00`, local time with its offset.
pub(super) fn iso(date: SystemTime, out: &mut Vec<u8>) {
    let (seconds, rest) = split(date);
    cached(seconds, Shape::Iso, out);
    out.push(b'.');
    digits(rest.subsec_micros(), 6, out);
    cached(seconds, Shape::Offset, out);
}

/// `21/Nov/2026:04:33:38.903`, local time (`%t`, `%tr`).
pub fn date_ms(date: SystemTime, out: &mut Vec<u8>) {
    let (seconds, rest) = split(date);
    cached(seconds, Shape::Request, out);
    out.push(b'.');
    digits(rest.subsec_millis(), 3, out);
}

/// `21/Nov/2026:04:33:38 +0000`, GMT (`%trg`).
pub fn clf_date(date: SystemTime, out: &mut Vec<u8>) {
    cached(split(date).0, Shape::Clf, out);
}

/// `21/Nov/2026:04:33:38 +0000`, local time with its offset, as `show ssl ocsp-updates` has it.
pub fn local_date(date: SystemTime, out: &mut Vec<u8>) {
    cached(split(date).0, Shape::Local, out);
}

pub(super) fn seconds(date: SystemTime) -> i64 {
    split(date).0
}

/// Appends `value` in at least `width` digits.
pub(super) fn digits(value: u32, width: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 10];
    let mut at = text.len();
    let mut rest = value;
    while (rest > 0 || text.len() - at < width) && at > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

fn split(date: SystemTime) -> (i64, Duration) {
    let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    (
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Duration::from_nanos(u64::from(since.subsec_nanos())),
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Syslog,
    Iso,
    Offset,
    Request,
    Clf,
    Local,
}

const SHAPES: usize = 6;

/// The text of one second in one shape.
#[derive(Default)]
struct Cached {
    second: Option<i64>,
    text: Vec<u8>,
}

thread_local! {
    static CACHE: RefCell<[Cached; SHAPES]> = RefCell::default();
}

fn cached(second: i64, shape: Shape, out: &mut Vec<u8>) {
    CACHE.with_borrow_mut(|cache| {
        let slot = &mut cache[shape as usize];
        if slot.second != Some(second) {
            slot.second = Some(second);
            slot.text.clear();
            format(second, shape, &mut slot.text);
        }
        out.extend_from_slice(&slot.text);
    });
}

fn format(second: i64, shape: Shape, out: &mut Vec<u8>) {
    let offset = if shape == Shape::Clf { 0 } else { clock::local_offset(second) };
    let civil = clock::Civil::from_unix(second.saturating_add(i64::from(offset)));
    let month = clock::month_name(civil.month).as_bytes();
    let year = u32::try_from(civil.year).unwrap_or(0);
    match shape {
        Shape::Syslog => {
            out.extend_from_slice(month);
            out.push(b' ');
            if civil.day < 10 {
                out.push(b' ');
            }
            digits(civil.day, 1, out);
            out.push(b' ');
            time(&civil, out);
        }
        Shape::Iso => {
            digits(year, 4, out);
            out.push(b'-');
            digits(civil.month, 2, out);
            out.push(b'-');
            digits(civil.day, 2, out);
            out.push(b'T');
            time(&civil, out);
        }
        Shape::Offset => zone(offset, b":", out),
        Shape::Request | Shape::Clf | Shape::Local => {
            digits(civil.day, 2, out);
            out.push(b'/');
            out.extend_from_slice(month);
            out.push(b'/');
            digits(year, 4, out);
            out.push(b':');
            time(&civil, out);
            if shape != Shape::Request {
                out.push(b' ');
                zone(offset, b"", out);
            }
        }
    }
}

fn time(civil: &clock::Civil, out: &mut Vec<u8>) {
    digits(civil.hour, 2, out);
    out.push(b':');
    digits(civil.minute, 2, out);
    out.push(b':');
    digits(civil.second, 2, out);
}

/// `+00:00` or `+0000`.
fn zone(offset: i32, colon: &[u8], out: &mut Vec<u8>) {
    out.push(if offset < 0 { b'-' } else { b'+' });
    let minutes = offset.unsigned_abs() / 60;
    digits(minutes / 60, 2, out);
    out.extend_from_slice(colon);
    digits(minutes % 60, 2, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(nanos)
    }

    fn check(render: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut out = Vec::new();
        render(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn writes_each_shape() {
        let date = at(1_795_235_618_004_481_000);
        check(|o| iso(date, o), "2026-11-21T04:33:38.004481+00:00");
        check(|o| date_ms(date, o), "21/Nov/2026:04:33:38.004");
        check(|o| clf_date(date, o), "21/Nov/2026:04:33:38 +0000");
        check(|o| local_date(date, o), "21/Nov/2026:04:33:38 +0000");
        check(|o| syslog(seconds(date), o), "Nov 21 04:33:38");
        check(|o| syslog(1_772_323_200, o), "Mar  1 00:00:00");
        check(|o| zone(-34_200, b":", o), "-09:30");
    }
}
