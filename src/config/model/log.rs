//! `log` lines.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

/// One `log` line of a proxy or of global.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    pub transport: LogTransport,
    pub format: LogSource,
    /// Longest line sent, `len` (default 1024).
    pub len: usize,
    /// syslog facility number 0..=23
    pub facility: u8,
    /// Messages with a numerically greater level are not sent (default 7, debug).
    pub max_level: u8,
    /// Levels numerically smaller are sent as this one (default 0, emerg).
    pub min_level: u8,
    pub sample: Option<LogSample>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTransport {
    Udp(SocketAddr),
    UnixDatagram(PathBuf),
    /// `stdout`, `stderr`, `fd@N`
    Fd(RawFd),
    /// `ring@NAME`, and how long its events may be.
    Ring(Arc<str>, usize),
}

/// The framing of a log line (`format` on the log line).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogSource {
    /// Nothing said: `local`, or `rfc3164` with `log-send-hostname`.
    #[default]
    Unset,
    Local,
    Rfc3164,
    Rfc5424,
    Priority,
    Short,
    Timed,
    Iso,
    Raw,
}

/// `sample <ranges>:<size>`: of every `size` lines, those in a range are sent (1-based, inclusive).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSample {
    pub ranges: Vec<(u32, u32)>,
    pub size: u32,
}
