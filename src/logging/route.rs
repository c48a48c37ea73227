//! Where lines go: one destination with its queue of framed lines.

use super::fd::FdWriter;
use super::hub::Hub;
use crate::config::model::LogTransport;
use crate::live::rings::Ring;
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags};
use std::io::IoSlice;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two attempts to connect to a destination that refused.
const RECONNECT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Route {
    transport: LogTransport,
    sink: Sink,
    /// Framed lines one after another; `ends` holds where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Debug)]
enum Sink {
    Closed {
        retry_at: Option<Instant>,
    },
    /// Connected: the kernel then finds the route once instead of for each datagram.
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Fd(Arc<FdWriter>),
    Ring(Arc<Ring>),
}

impl Route {
    pub fn new(transport: &LogTransport) -> Self {
        Self {
            transport: transport.clone(),
            sink: Sink::Closed { retry_at: None },
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub fn goes_to(&self, transport: &LogTransport) -> bool {
        self.transport == *transport
    }

    pub fn pending(&self) -> usize {
        self.ends.len()
    }

    /// Queues what `write` appends as one line.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Sends everything queued; never waits. What cannot go is dropped and counted.
    pub fn flush(&mut self, hub: &Hub) {
        if self.ends.is_empty() {
            return;
        }
        self.open(hub);
        let lines = self.ends.len();
        let sent = match &self.sink {
            Sink::Closed { .. } => 0,
            Sink::Fd(writer) => {
                // The writer keeps the bytes; the next batch grows to about the same size.
                let spare = Vec::with_capacity(self.bytes.capacity());
                let batch = std::mem::replace(&mut self.bytes, spare);
                if writer.send(batch, lines) { lines } else { 0 }
            }
            Sink::Ring(ring) => lines - ring.push(events(&self.bytes, &self.ends)),
            Sink::Udp(socket) => {
                send(socket.as_fd(), &self.bytes, &self.ends).unwrap_or_else(|(sent, _)| sent)
            }
            Sink::Unix(socket) => match send(socket.as_fd(), &self.bytes, &self.ends) {
                Ok(sent) => sent,
                Err((sent, error)) => {
                    // The daemon behind the path was restarted: a connected socket stays with the old one.
                    if error == Errno::CONNREFUSED || error == Errno::NOTCONN || error == Errno::CONNRESET {
                        self.sink = Sink::Closed { retry_at: None };
                    }
                    sent
                }
            },
        };
        if sent < lines {
            hub.dropped(lines - sent);
        }
        self.bytes.clear();
        self.ends.clear();
    }

    fn open(&mut self, hub: &Hub) {
        let Sink::Closed { retry_at } = &self.sink else { return };
        if retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let opened = match &self.transport {
            LogTransport::Udp(address) => connect_udp(*address).map(Sink::Udp),
            LogTransport::UnixDatagram(path) => UnixDatagram::unbound()
                .and_then(|socket| socket.connect(path).map(|()| socket))
                .map(Sink::Unix),
            LogTransport::Fd(fd) => Ok(Sink::Fd(hub.writer(*fd))),
            LogTransport::Ring(name, _) => hub
                .process
                .rings
                .find(name)
                .map(Sink::Ring)
                .ok_or_else(|| std::io::ErrorKind::NotFound.into()),
        };
        self.sink = opened.unwrap_or_else(|_| Sink::Closed { retry_at: Some(Instant::now() + RECONNECT) });
    }
}

/// The queued lines without their newlines.
fn events<'a>(bytes: &'a [u8], ends: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut start = 0;
    ends.iter().map(move |&end| {
        let line = bytes.get(start..end).unwrap_or_default();
        start = end;
        line.strip_suffix(b"\n").unwrap_or(line)
    })
}

fn connect_udp(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// Sends each line as a datagram. Answers how many went, or how many before an error other than one about an earlier
/// datagram (a connected UDP socket reports `ECONNREFUSED` for the one before, and takes the same datagram when asked again).
fn send(socket: BorrowedFd<'_>, bytes: &[u8], ends: &[usize]) -> Result<usize, (usize, Errno)> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let mut start = 0;
    let slices: Vec<[IoSlice<'_>; 1]> = ends
        .iter()
        .map(|&end| {
            let line = bytes.get(start..end).unwrap_or_default();
            start = end;
            [IoSlice::new(line)]
        })
        .collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        slices.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<MMsgHdr<'_>> =
        slices.iter().zip(&mut controls).map(|(iov, control)| MMsgHdr::new(iov, control)).collect();
    let mut next = 0;
    let mut too_large = 0;
    let mut refused_at = None;
    while let Some(rest) = messages.get_mut(next..).filter(|rest| !rest.is_empty()) {
        match rustix::net::sendmmsg(socket, rest, flags) {
            Ok(0) => return Err((next - too_large, Errno::AGAIN)),
            Ok(n) => next += n,
            Err(Errno::INTR) => {}
            Err(Errno::CONNREFUSED) if refused_at != Some(next) => refused_at = Some(next),
            Err(Errno::MSGSIZE) => {
                too_large += 1;
                next += 1;
            }
            Err(error) => return Err((next - too_large, error)),
        }
    }
    Ok(next - too_large)
}
