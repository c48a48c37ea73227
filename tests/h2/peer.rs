//! A peer of HTTP/2 that says what it is told to say, frame by frame.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Peer {
    socket: TcpStream,
}

impl Peer {
    /// Connected, with the preface and empty settings sent.
    pub fn new(address: SocketAddr) -> Self {
        let mut peer = Self::silent(address);
        peer.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        peer.send(SETTINGS, 0, 0, b"");
        peer
    }

    /// Nothing was said yet.
    pub fn silent(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket }
    }

    /// The other side may have hung up: what it said before that is read afterwards.
    pub fn raw(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.raw(&frame(kind, flags, stream, payload));
    }

    /// `GET path` that ends with its head.
    pub fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", path, &[]));
    }

    /// The next frame; `None`: the connection has ended.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).ok()?;
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; len];
        self.socket.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The kinds of the frames that are here, and whether the connection is still open as far as we can tell.
    pub fn heard(&mut self) -> (Vec<u8>, bool) {
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = Vec::new();
        let end = self.socket.read_to_end(&mut bytes);
        let open = end.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        let (mut kinds, mut rest) = (Vec::new(), &bytes[..]);
        while let [_, a, b, kind, ..] = rest {
            kinds.push(*kind);
            rest = &rest[9 + (usize::from(*a) << 8 | usize::from(*b))..];
        }
        (kinds, open)
    }

    /// The first frame of that kind and stream.
    pub fn wait(&mut self, kind: u8, stream: u32) -> Frame {
        loop {
            let frame =
                self.next().unwrap_or_else(|| panic!("closed before frame {kind} of stream {stream}"));
            if frame.kind == kind && frame.stream == stream {
                return frame;
            }
        }
    }

    /// How the server reacted: the first of an answer, a reset, a GOAWAY, a close.
    pub fn reaction(&mut self) -> String {
        while let Some(frame) = self.next() {
            match frame.kind {
                HEADERS => return format!("stream {}: answer", frame.stream),
                RST_STREAM => return format!("stream {}: {}", frame.stream, error(&frame.payload)),
                GOAWAY => return format!("connection: {}", error(&frame.payload[4..])),
                _ => {}
            }
        }
        "closed".to_owned()
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A block of fields, none of them put into the table.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            number(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541 5.1 with a prefix of seven bits.
fn number(mut n: usize, out: &mut Vec<u8>) {
    if n < 127 {
        return out.push(n as u8);
    }
    out.push(127);
    n -= 127;
    while n >= 128 {
        out.push((n % 128) as u8 | 128);
        n /= 128;
    }
    out.push(n as u8);
}

pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields =
        vec![(":method", method), (":scheme", "http"), (":authority", "example.org"), (":path", path)];
    fields.extend_from_slice(more);
    block(&fields)
}

fn error(code: &[u8]) -> String {
    const NAMES: &[&str] = &[
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
    ];
    let code = u32::from_be_bytes([code[0], code[1], code[2], code[3]]);
    NAMES.get(code as usize).map_or_else(|| code.to_string(), |name| (*name).to_owned())
}
