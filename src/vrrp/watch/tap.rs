//! The VRRP packets that come and go on an interface.

use super::observer::Packet;
use crate::net::raw;
use crate::wire::vrrp::PROTOCOL;
use crate::wire::{ipv4, ipv6};
use socket2::{SockFilter, Socket};
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// Longer than any advert: 255 IPv6 addresses.
const LONGEST: usize = 8192;

pub struct Tap {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Tap {
    pub fn open(interface: &str) -> Result<Self, String> {
        let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"));
        let index = index.ok().and_then(|text| text.trim().parse().ok());
        let index = index.ok_or_else(|| format!("this machine has no interface '{interface}'"))?;
        let needs = |error: std::io::Error| match error.kind() {
            ErrorKind::PermissionDenied => format!("{error} (it needs root, or CAP_NET_RAW)"),
            _ => error.to_string(),
        };
        let socket = Socket::from(raw::packet_tap(index).map_err(needs)?);
        socket.attach_filter(&only_vrrp()).map_err(needs)?;
        Ok(Self { socket, buffer: vec![0; LONGEST] })
    }

    /// The next one; `None`: there was none for so long.
    pub fn next(&mut self, limit: Duration) -> Result<Option<Packet>, String> {
        self.socket.set_read_timeout(Some(limit)).map_err(|e| e.to_string())?;
        match self.socket.read(&mut self.buffer) {
            Ok(length) => Ok(packet(self.buffer.get(..length).unwrap_or_default())),
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(e) => Err(e.to_string()),
        }
    }
}

fn packet(bytes: &[u8]) -> Option<Packet> {
    if let Some(p) = ipv4::Packet::parse(bytes) {
        return Some(Packet {
            source: p.source.into(),
            destination: p.destination.into(),
            ttl: p.ttl,
            payload: p.payload.to_vec(),
        });
    }
    let (header, payload) = ipv6::parse(bytes)?;
    Some(Packet {
        source: header.source.into(),
        destination: header.destination.into(),
        ttl: header.hop_limit,
        payload: payload.to_vec(),
    })
}

/// On packets that begin with their IP header: protocol 112 of IPv4, next header 112 of IPv6.
fn only_vrrp() -> [SockFilter; 9] {
    let op = |code: u32, then: u8, or: u8, value: u32| SockFilter::new(code as u16, then, or, value);
    let load = |at| op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, at);
    let equal = |value, then, or| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, then, or, value);
    [
        load(0),
        op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0xf0),
        equal(0x60, 2, 0),
        load(9),
        equal(PROTOCOL.into(), 2, 3),
        load(6),
        equal(PROTOCOL.into(), 0, 1),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}
