//! `option udp-check`: a datagram is sent; an ICMP error in return means that nothing listens.
//!
//! Silence is all that many services answer to what they do not understand, so without `expect` it is a success.

use super::job::{Job, words};
use crate::config::model::probes::{self, Expected};
use crate::config::model::{Endpoint, Source};
use crate::health::{Finding, Status};
use crate::net::raw;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// The largest datagram there is.
const DATAGRAM_MAX: usize = 65535;

/// Without `expect` and `timeout check`: ICMP errors come at once or not at all.
const SILENCE: Duration = Duration::from_secs(1);

/// One server's check.
#[derive(Debug)]
pub struct UdpCheck {
    said: probes::UdpCheck,
}

impl UdpCheck {
    #[must_use]
    pub fn new(said: &probes::UdpCheck) -> Self {
        Self { said: said.clone() }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        let Endpoint::Inet(server) = job.target.server.endpoint else { return no_address() };
        match self.ask(server, job).await {
            Ok(finding) => finding,
            Err(error) => failed(&error),
        }
    }

    async fn ask(&self, server: SocketAddr, job: &Job<'_>) -> io::Result<Finding> {
        let limit = match (&self.said.expect, job.target.read_limit) {
            (None, None) => SILENCE.min(job.target.inter),
            _ => limit(job),
        };
        let deadline = Instant::now() + limit;
        let exchange = Exchange::open(server, job.source())?;
        exchange.send(&self.said.send).await?;
        let heard = exchange.receive(deadline).await?;
        Ok(match (&self.said.expect, heard) {
            (None, _) => Finding::new(Status::L4Ok),
            (Some(_), Heard::Nothing) => Finding::new(Status::L7Timeout),
            (Some(expected), Heard::Datagram(bytes)) if expected.is_in(&bytes) => Finding::new(Status::L7Ok),
            (Some(_), Heard::Datagram(_)) => {
                Finding::new(Status::L7Response).info("the answer is not the one expected")
            }
        })
    }
}

impl Expected {
    fn is_in(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(wanted) => memchr::memmem::find(bytes, wanted).is_some(),
            Self::Regex(regex) => regex.is_match(bytes),
        }
    }
}

/// How long an answer is waited for: `timeout check`, else `inter`.
#[must_use]
pub fn limit(job: &Job<'_>) -> Duration {
    job.target.read_limit.unwrap_or(job.target.inter)
}

/// Servers behind a UNIX socket, or not resolved.
#[must_use]
pub fn no_address() -> Finding {
    Finding::new(Status::SocketError).info("the server has no IP address")
}

/// What an error of a datagram socket says: of the server, or of us.
#[must_use]
pub fn failed(error: &io::Error) -> Finding {
    use libc::{ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENOPROTOOPT, EPROTO};
    let of_server = [ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENOPROTOOPT, EPROTO];
    match error.raw_os_error() {
        _ if error.kind() == io::ErrorKind::TimedOut => Finding::new(Status::L4Timeout),
        Some(errno) if of_server.contains(&errno) => Finding::new(Status::L4Connect).info(words(error)),
        _ => Finding::new(Status::SocketError).info(format!("General socket error ({})", words(error))),
    }
}

/// What came back within the time.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Datagram(Vec<u8>),
    Nothing,
}

/// A socket that exchanges datagrams with one server alone, and is told of ICMP errors.
#[derive(Debug)]
pub struct Exchange {
    socket: UdpSocket,
}

impl Exchange {
    /// # Errors
    /// The system's: no such source address, no route, no descriptor.
    pub fn open(server: SocketAddr, source: Option<&Source>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        raw::report_icmp_errors(&socket, server.is_ipv6())?;
        if let Some(source) = source {
            if let Some(interface) = &source.interface {
                socket.bind_device(Some(interface.as_bytes()))?;
            }
            if let Some(mut address) = source.addr.filter(|a| a.is_ipv4() == server.is_ipv4()) {
                // Ports of the range are the connections'.
                address.set_port(0);
                socket.bind(&address.into())?;
            }
        }
        socket.connect(&server.into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())? })
    }

    /// Sends `message`.
    ///
    /// # Errors
    /// ICMP's of before, too.
    pub async fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send(message).await.map(|_| ())
    }

    /// The next datagram.
    ///
    /// # Errors
    /// What ICMP said: refused, unreachable.
    pub async fn receive(&self, deadline: Instant) -> io::Result<Heard> {
        let mut buffer = vec![0; DATAGRAM_MAX];
        match timeout_at(deadline, self.socket.recv(&mut buffer)).await {
            Err(_) => Ok(Heard::Nothing),
            Ok(Err(error)) => Err(error),
            Ok(Ok(length)) => {
                buffer.truncate(length);
                Ok(Heard::Datagram(buffer))
            }
        }
    }
}
