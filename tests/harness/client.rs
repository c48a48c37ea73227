//! A client that sends the bytes it is told and splits what comes back into HTTP/1 messages, keeping every byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    pending: Vec<u8>,
    closed: bool,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the proxy accepts")
    }

    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, pending: Vec::new(), closed: false })
    }

    pub fn local_port(&self) -> u16 {
        self.stream.local_addr().map_or(0, |address| address.port())
    }

    /// A write error means the peer has closed: reading tells the rest.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn finish_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// One message, head and body, as it came. Empty at the end of the connection.
    pub fn response(&mut self, to_head: bool) -> Vec<u8> {
        let Some(head) = self.head() else { return std::mem::take(&mut self.pending) };
        let text = String::from_utf8_lossy(self.pending.get(..head).unwrap_or_default()).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok()).unwrap_or(0);
        let bodyless = to_head || status < 200 || status == 204 || status == 304;
        let end = match framing(&text) {
            _ if bodyless => head,
            Framing::Length(length) => head + length,
            Framing::Chunked => self.chunked_end(head),
            Framing::Close => usize::MAX,
        };
        while self.pending.len() < end && self.fill() {}
        let end = end.min(self.pending.len());
        self.pending.drain(..end).collect()
    }

    /// Everything until the peer closes or the limit passes; the flag tells which.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        while self.fill() {}
        (std::mem::take(&mut self.pending), self.closed)
    }

    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.pending.len() < count && self.fill() {}
        let count = count.min(self.pending.len());
        self.pending.drain(..count).collect()
    }

    pub fn set_limit(&self, limit: Duration) {
        let _ = self.stream.set_read_timeout(Some(limit));
    }

    fn head(&mut self) -> Option<usize> {
        loop {
            if let Some(at) = find(&self.pending, b"\r\n\r\n") {
                return Some(at + 4);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn chunked_end(&mut self, head: usize) -> usize {
        loop {
            if let Some(length) = chunked_length(self.pending.get(head..).unwrap_or_default()) {
                return head + length;
            }
            if !self.fill() {
                return usize::MAX;
            }
        }
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.closed = true;
                false
            }
            Ok(count) => {
                self.pending.extend_from_slice(buffer.get(..count).unwrap_or_default());
                true
            }
            Err(error) => {
                self.closed = error.kind() == ErrorKind::ConnectionReset;
                false
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// How the body of a message with this head (in lower case) ends.
pub fn framing(head: &str) -> Framing {
    let value = |name: &str| {
        head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    };
    if value("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
        return Framing::Chunked;
    }
    value("content-length").and_then(|length| length.parse().ok()).map_or(Framing::Close, Framing::Length)
}

/// The length of a chunked body, trailers included, once it is all there.
pub fn chunked_length(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = find(body.get(at..)?, b"\r\n")?;
        let text = std::str::from_utf8(body.get(at..at + line)?).ok()?;
        let size = usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()?;
        at += line + 2;
        if size == 0 {
            break;
        }
        at += size + 2;
    }
    loop {
        let line = find(body.get(at..)?, b"\r\n")?;
        at += line + 2;
        if line == 0 {
            return Some(at);
        }
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
