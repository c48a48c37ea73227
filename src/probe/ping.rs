//! `option ping-check`: ICMP echo, with one socket for each family and all servers.
//!
//! The sockets are made while the process still has its privileges: unprivileged ping sockets where
//! `net.ipv4.ping_group_range` allows them, else raw ones. Replies are told apart by address, sequence and a payload that
//! nobody can guess.

use super::job::Job;
use super::startup::Means;
use super::udp;
use crate::config::model::Endpoint;
use crate::health::{Finding, Status};
use crate::tasks;
use crate::wire::icmp::{self, EchoReply, Family};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// One server's check.
#[derive(Debug)]
pub struct PingCheck {
    pinger: Option<Rc<Pinger>>,
}

impl PingCheck {
    #[must_use]
    pub fn new(means: &Means) -> Self {
        Self { pinger: means.pinger.clone() }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        let Endpoint::Inet(server) = job.target.server.endpoint else { return udp::no_address() };
        let Some(pinger) = &self.pinger else { return udp::no_address() };
        match pinger.ping(server, udp::limit(job)).await {
            Ok(()) => Finding::new(Status::L4Ok),
            Err(error) => udp::failed(&error),
        }
    }
}

/// Room for a burst of replies.
const RECEIVE_BUFFER: usize = 1 << 20;
/// After an error of the socket, so that a lasting one costs nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// The sockets, as made at start.
#[derive(Debug)]
pub struct Sockets {
    v4: io::Result<Opened>,
    v6: io::Result<Opened>,
}

#[derive(Debug)]
struct Opened {
    socket: Socket,
    raw: bool,
}

impl Sockets {
    /// Takes the right to send pings, which may be gone later.
    #[must_use]
    pub fn open() -> Self {
        Self { v4: open(Domain::IPV4, Protocol::ICMPV4), v6: open(Domain::IPV6, Protocol::ICMPV6) }
    }

    /// Why there are none for IPv4.
    #[must_use]
    pub fn error(&self) -> Option<&io::Error> {
        self.v4.as_ref().err()
    }
}

fn open(domain: Domain, protocol: Protocol) -> io::Result<Opened> {
    let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(_) => (Socket::new(domain, Type::RAW, Some(protocol))?, true),
    };
    socket.set_nonblocking(true)?;
    // The usual size is only less good.
    let _refused = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(Opened { socket, raw })
}

/// Sends pings and hands out the replies.
#[derive(Debug)]
pub struct Pinger {
    v4: Result<Rc<Echo>, i32>,
    v6: Result<Rc<Echo>, i32>,
    _readers: Vec<tasks::Task>,
}

impl Pinger {
    /// Inside the control thread's runtime.
    #[must_use]
    pub fn new(sockets: Sockets) -> Self {
        let v4 = Echo::new(sockets.v4, Family::V4);
        let v6 = Echo::new(sockets.v6, Family::V6);
        let readers = [&v4, &v6]
            .into_iter()
            .flatten()
            .map(|echo| tasks::start("ping replies", Rc::clone(echo).read()))
            .collect();
        Self { v4, v6, _readers: readers }
    }

    /// One request and its reply.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when no reply comes within `limit`; the system's where it cannot be sent.
    pub async fn ping(&self, server: SocketAddr, limit: Duration) -> io::Result<()> {
        let echo = if server.is_ipv4() { &self.v4 } else { &self.v6 };
        match echo {
            Ok(echo) => echo.ask(server, limit).await,
            Err(errno) => Err(io::Error::from_raw_os_error(*errno)),
        }
    }
}

/// One family's socket and who waits on it.
#[derive(Debug)]
struct Echo {
    family: Family,
    raw: bool,
    socket: UdpSocket,
    /// A raw socket sees everybody's replies; the kernel puts in the socket's own where it tells them apart.
    ident: u16,
    next: Cell<u16>,
    secret: RandomState,
    waiting: RefCell<HashMap<(IpAddr, u16), oneshot::Sender<()>>>,
}

impl Echo {
    fn new(opened: io::Result<Opened>, family: Family) -> Result<Rc<Self>, i32> {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::EPERM);
        let opened = opened.map_err(errno)?;
        let socket = UdpSocket::from_std(opened.socket.into()).map_err(errno)?;
        let secret = RandomState::new();
        let [.., i1, i2] = secret.hash_one(0).to_be_bytes();
        Ok(Rc::new(Self {
            family,
            raw: opened.raw,
            socket,
            ident: u16::from_be_bytes([i1, i2]),
            next: Cell::new(0),
            secret,
            waiting: RefCell::default(),
        }))
    }

    async fn ask(&self, mut server: SocketAddr, limit: Duration) -> io::Result<()> {
        let address = server.ip();
        server.set_port(0);
        let (sequence, reply) = self.wait_for(address)?;
        let _forget = Forget { echo: self, key: (address, sequence) };
        let request = icmp::echo_request(self.family, self.ident, sequence, &self.token(address, sequence));
        self.socket.send_to(&request, server).await?;
        match timeout(limit, reply).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn wait_for(&self, address: IpAddr) -> io::Result<(u16, oneshot::Receiver<()>)> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() > usize::from(u16::MAX / 2) {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let mut sequence = self.next.get();
        while waiting.contains_key(&(address, sequence)) {
            sequence = sequence.wrapping_add(1);
        }
        self.next.set(sequence.wrapping_add(1));
        let (sender, receiver) = oneshot::channel();
        waiting.insert((address, sequence), sender);
        Ok((sequence, receiver))
    }

    fn token(&self, address: IpAddr, sequence: u16) -> [u8; 8] {
        self.secret.hash_one((address, sequence)).to_be_bytes()
    }

    async fn read(self: Rc<Self>) {
        let mut buffer = [0_u8; 512];
        loop {
            match self.socket.recv_from(&mut buffer).await {
                Ok((length, from)) => self.take(from.ip(), buffer.get(..length).unwrap_or_default()),
                // Of an earlier request: its check runs into its limit.
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn take(&self, from: IpAddr, packet: &[u8]) {
        let message = if self.raw && self.family == Family::V4 {
            icmp::without_ipv4_header(packet)
        } else {
            Some(packet)
        };
        let Some(reply) = message.and_then(|m| EchoReply::parse(self.family, m)) else { return };
        if reply.payload != self.token(from, reply.sequence) || (self.raw && reply.ident != self.ident) {
            return;
        }
        if let Some(waiter) = self.waiting.borrow_mut().remove(&(from, reply.sequence)) {
            let _gone = waiter.send(());
        }
    }
}

/// Nobody waits any more, however the wait ended.
struct Forget<'a> {
    echo: &'a Echo,
    key: (IpAddr, u16),
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.echo.waiting.borrow_mut().remove(&self.key);
    }
}
