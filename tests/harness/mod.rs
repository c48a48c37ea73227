//! What the integration tests share: real processes, byte-level clients, scripted origins and a log collector.
#![allow(dead_code)]

pub mod certificates;
pub mod client;
pub mod console;
pub mod network;
pub mod origin;
pub mod process;
pub mod syslog;
pub mod terminal;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long a machine with much else to do may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

static NEXT: AtomicU16 = AtomicU16::new(1);

/// A loopback address nobody else uses: fixed port numbers on it can be neither taken nor stolen by an outgoing connection.
pub fn own_address() -> Ipv4Addr {
    let pid = std::process::id();
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    let high = 64 + u8::try_from(pid % 128).unwrap_or(0);
    let middle = u8::try_from(pid / 128 % 16).unwrap_or(0) * 16 + u8::try_from(count / 250 % 16).unwrap_or(0);
    let low = 1 + u8::try_from(count % 250).unwrap_or(0);
    Ipv4Addr::new(127, high, middle, low)
}

/// Whether something listens on that TCP address, learnt without connecting: a connection would be counted and logged.
pub fn listens(address: IpAddr, port: u16) -> bool {
    let IpAddr::V4(v4) = address else { return false };
    let wanted = format!("{:08X}:{port:04X}", u32::from_le_bytes(v4.octets()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    table.lines().skip(1).any(|line| {
        let mut words = line.split_whitespace().skip(1);
        // local address, remote address, state (0A = LISTEN)
        words.next() == Some(wanted.as_str()) && words.nth(1) == Some("0A")
    })
}

/// Binds, trying again for a while: a process just being spawned holds a copy of every socket until its `exec`, those
/// closed here a moment ago included.
pub fn bind_soon<T>(mut bind: impl FnMut() -> std::io::Result<T>) -> T {
    for _ in 0..400 {
        if let Ok(bound) = bind() {
            return bound;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bind().expect("the address is free")
}

/// Looks until it holds: for what another process does at a moment it does not announce.
pub fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// A server's `status` in `show stat`.
pub fn status(socket: &Path, server: &str) -> String {
    let answer = ask(socket, "show stat");
    let line = answer.lines().find(|l| l.split(',').nth(1) == Some(server)).unwrap_or("");
    line.split(',').nth(17).unwrap_or("").to_owned()
}

/// One line to a stats socket, and all it answers.
pub fn ask(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the socket listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit is set");
    writeln!(stream, "{line}").expect("the line is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    answer
}
