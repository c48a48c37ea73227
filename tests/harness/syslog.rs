//! A UDP syslog collector. Loopback datagrams are in the socket's queue when the sender's call returns.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Syslog {
    socket: UdpSocket,
}

impl Syslog {
    pub fn start(address: SocketAddr) -> Self {
        Self { socket: super::bind_soon(|| UdpSocket::bind(address)) }
    }

    /// What has arrived, without waiting: for use after the sender has ended.
    pub fn drain(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("a socket takes flags");
        let mut lines = Vec::new();
        let mut buffer = vec![0; 65536];
        while let Ok(count) = self.socket.recv(&mut buffer) {
            lines.push(String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned());
        }
        lines
    }

    /// The first line that holds this text, within the limit.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Option<String> {
        self.socket.set_nonblocking(false).expect("a socket takes flags");
        let started = Instant::now();
        let mut buffer = vec![0; 65536];
        while let Some(left) = limit.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            self.socket.set_read_timeout(Some(left)).expect("a socket takes a timeout");
            let count = self.socket.recv(&mut buffer).ok()?;
            let line = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
            if line.contains(text) {
                return Some(line);
            }
        }
        None
    }
}
