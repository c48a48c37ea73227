//! One log line as a target wants it: the header of its format, the text cut at `len`, a newline.
//!
//! The byte forms are those HAProxy 2.6 sends; `tests` below holds them.

use super::date;
use crate::config::model::{LogSource, LogTarget, LogTransport};
use std::time::SystemTime;

/// What a line says besides its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub date: SystemTime,
    pub level: u8,
    pub tag: &'a str,
    pub pid: u32,
    /// `log-send-hostname`
    pub hostname: Option<&'a str>,
    /// RFC 5424 structured data, already formatted; empty: none.
    pub sd: &'a [u8],
    pub message: &'a [u8],
}

/// Appends the framed line. `len` bounds everything but the newline.
pub(super) fn write(target: &LogTarget, line: &Line<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    // Short lines (nearly all) then never move the buffer while they grow.
    out.reserve(line.message.len() + line.sd.len() + line.tag.len() + 96);
    header(target, line, out);
    // In a ring, `len` bounds the text, and the ring's `maxlen` the whole.
    let (text, whole) = match &target.transport {
        LogTransport::Ring(_, maxlen) => (target.len, *maxlen),
        _ => (target.len, target.len),
    };
    let room = whole.saturating_sub(out.len() - start).min(text);
    let message = line.message.strip_suffix(b"\n").unwrap_or(line.message);
    out.extend_from_slice(message.get(..room).unwrap_or(message));
    out.truncate(start + whole);
    out.push(b'\n');
}

fn header(target: &LogTarget, line: &Line<'_>, out: &mut Vec<u8>) {
    let level = line.level.max(target.min_level);
    let priority = u32::from(target.facility) * 8 + u32::from(level);
    match target.format {
        LogSource::Raw => {}
        LogSource::Short => bracket(u32::from(level), out),
        LogSource::Priority => bracket(priority, out),
        LogSource::Iso => {
            date::iso(line.date, out);
            out.push(b' ');
        }
        LogSource::Timed => {
            bracket(u32::from(level), out);
            date::iso(line.date, out);
            out.push(b' ');
        }
        LogSource::Unset | LogSource::Local | LogSource::Rfc3164 => {
            rfc3164(target.format, priority, line, out)
        }
        LogSource::Rfc5424 => rfc5424(priority, line, out),
    }
}

fn rfc3164(format: LogSource, priority: u32, line: &Line<'_>, out: &mut Vec<u8>) {
    bracket(priority, out);
    date::syslog(date::seconds(line.date), out);
    out.push(b' ');
    let hostname = match format {
        LogSource::Rfc3164 => Some(line.hostname.unwrap_or("localhost")),
        LogSource::Unset => line.hostname,
        _ => None,
    };
    if let Some(hostname) = hostname {
        out.extend_from_slice(hostname.as_bytes());
        out.push(b' ');
    }
    out.extend_from_slice(line.tag.as_bytes());
    out.push(b'[');
    date::digits(line.pid, 1, out);
    out.extend_from_slice(b"]: ");
}

fn rfc5424(priority: u32, line: &Line<'_>, out: &mut Vec<u8>) {
    bracket(priority, out);
    out.extend_from_slice(b"1 ");
    date::iso(line.date, out);
    for word in [line.hostname.unwrap_or("-"), line.tag] {
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
    }
    out.push(b' ');
    date::digits(line.pid, 1, out);
    out.extend_from_slice(b" - ");
    out.extend_from_slice(if line.sd.is_empty() { b"-" } else { line.sd });
    out.push(b' ');
}

fn bracket(number: u32, out: &mut Vec<u8>) {
    out.push(b'<');
    date::digits(number, 1, out);
    out.push(b'>');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn target(format: LogSource, len: usize) -> LogTarget {
        LogTarget {
            transport: LogTransport::Fd(1),
            format,
            len,
            facility: 16,
            max_level: 7,
            min_level: 0,
            sample: None,
        }
    }

    fn framed(target: &LogTarget, hostname: Option<&str>, sd: &str, message: &str) -> String {
        let line = Line {
            date: UNIX_EPOCH + Duration::from_micros(1_795_235_618_904_481),
            level: 6,
            tag: "mytag",
            pid: 7244,
            hostname,
            sd: sd.as_bytes(),
            message: message.as_bytes(),
        };
        let mut out = Vec::new();
        write(target, &line, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn check(format: LogSource, hostname: Option<&str>, sd: &str, expected: &str) {
        assert_eq!(
            framed(&target(format, 1024), hostname, sd, "127.0.0.1:35722 text"),
            expected,
            "{format:?}"
        );
    }

    #[test]
    fn every_format() {
        check(LogSource::Local, Some("h"), "", "<134>Nov 21 04:33:38 mytag[7244]: 127.0.0.1:35722 text\n");
        check(LogSource::Unset, None, "", "<134>Nov 21 04:33:38 mytag[7244]: 127.0.0.1:35722 text\n");
        check(LogSource::Unset, Some("h"), "", "<134>Nov 21 04:33:38 h mytag[7244]: 127.0.0.1:35722 text\n");
        check(
            LogSource::Rfc3164,
            None,
            "",
            "<134>Nov 21 04:33:38 localhost mytag[7244]: 127.0.0.1:35722 text\n",
        );
        check(
            LogSource::Rfc3164,
            Some("h"),
            "",
            "<134>Nov 21 04:33:38 h mytag[7244]: 127.0.0.1:35722 text\n",
        );
        check(LogSource::Short, None, "[s]", "<6>127.0.0.1:35722 text\n");
        check(LogSource::Priority, None, "[s]", "<134>127.0.0.1:35722 text\n");
        check(LogSource::Raw, None, "[s]", "127.0.0.1:35722 text\n");
        check(LogSource::Iso, None, "[s]", "2026-11-21T04:33:38.904481+00:00 127.0.0.1:35722 text\n");
        check(LogSource::Timed, None, "[s]", "<6>2026-11-21T04:33:38.904481+00:00 127.0.0.1:35722 text\n");
        check(
            LogSource::Rfc5424,
            None,
            "",
            "<134>1 2026-11-21T04:33:38.904481+00:00 - mytag 7244 - - 127.0.0.1:35722 text\n",
        );
        check(
            LogSource::Rfc5424,
            Some("h"),
            "[a@1 b=\"2\"]",
            "<134>1 2026-11-21T04:33:38.904481+00:00 h mytag 7244 - [a@1 b=\"2\"] 127.0.0.1:35722 text\n",
        );
    }

    #[test]
    fn len_bounds_the_whole_line() {
        let long = "x".repeat(200);
        for format in [LogSource::Raw, LogSource::Local, LogSource::Rfc5424, LogSource::Short] {
            assert_eq!(framed(&target(format, 80), None, "", &long).len(), 81, "{format:?}");
        }
        let sd = "s".repeat(200);
        assert_eq!(framed(&target(LogSource::Rfc5424, 80), None, &sd, "m").len(), 81);
    }

    #[test]
    fn levels_are_capped_by_the_minimum() {
        let mut target = target(LogSource::Priority, 1024);
        target.min_level = 7;
        assert_eq!(framed(&target, None, "", "m"), "<135>m\n");
    }
}
