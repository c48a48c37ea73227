//! Opening a connection to a server.

use super::listener::abstract_address;
use super::socks4::{self, Socks4Error};
use super::tls::{Connector, TlsError};
use super::{Stream, raw};
use crate::config::model::backend::UseSrc;
use crate::config::model::global::Tune;
use crate::config::model::{Endpoint, KeepAliveProbes, Server, Source};
use crate::expr::facts::ConnFacts;
use socket2::{Domain, SockAddr, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::Interest;

/// Where to and how.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    pub server: &'a Server,
    /// `socks4`: connect here, and ask for the server.
    pub via: Option<SocketAddr>,
    /// The backend's `source`; the server's own goes before it.
    pub source: Option<&'a Source>,
    pub client: &'a ConnFacts,
    /// What `usesrc hdr_ip(...)` found in the request.
    pub header_ip: Option<IpAddr>,
    /// `option srvtcpka`
    pub keepalive: Option<KeepAliveProbes>,
    /// `option transparent` (or a server at 0.0.0.0): the address the client asked for.
    pub transparent: bool,
    pub tune: &'a Tune,
    /// We send first, as soon as the connection stands: the handshake's last acknowledgement goes out with that.
    pub asks_first: bool,
    /// `set-bc-mark` and `set-bc-tos`
    pub mark: Option<u32>,
    pub tos: Option<u8>,
    /// TLS upon it.
    pub tls: Option<&'a Wrap>,
    /// `timeout connect`: the TLS handshake is part of it.
    pub timeout: Option<Duration>,
}

/// How a connection becomes a TLS one.
#[derive(Debug)]
pub struct Wrap {
    pub connector: Arc<Connector>,
    /// The name to ask for.
    pub sni: Option<Box<str>>,
    /// Sent before the handshake: the PROXY header.
    pub preface: Vec<u8>,
    /// Protocols to offer in place of the server line's.
    pub alpn: Option<Vec<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialErrorKind {
    Refused,
    Timeout,
    Unreachable,
    /// This process or machine is short of descriptors, memory or source ports: the server is not at fault.
    Resources,
    /// The TLS handshake failed.
    Handshake,
    /// The server has no address (not resolved), or none of the client's to derive it from.
    NoAddress,
    /// The proxy in between.
    Socks4(Socks4Error),
    Other,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialError {
    pub kind: DialErrorKind,
    pub errno: Option<i32>,
    /// Nothing was sent: a connection failure may always be tried again, unless no attempt can succeed.
    pub retryable: bool,
}

impl DialError {
    fn new(error: &io::Error) -> Self {
        use libc::{
            EACCES, EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, EHOSTUNREACH, EMFILE, ENETUNREACH,
            ENFILE, ENOBUFS, ENOENT, ENOMEM, EPERM, ETIMEDOUT,
        };
        let errno = error.raw_os_error();
        let kind = match errno {
            Some(ECONNREFUSED | ENOENT) => DialErrorKind::Refused,
            Some(ETIMEDOUT) => DialErrorKind::Timeout,
            Some(EHOSTUNREACH | ENETUNREACH) => DialErrorKind::Unreachable,
            Some(
                EMFILE | ENFILE | ENOBUFS | ENOMEM | EAGAIN | EADDRINUSE | EADDRNOTAVAIL | EPERM | EACCES,
            ) => DialErrorKind::Resources,
            _ => DialErrorKind::Other,
        };
        Self { kind, errno, retryable: true }
    }

    /// A certificate for another name than the client made us ask for is no reason to bother the server again.
    fn handshake(error: TlsError) -> Self {
        let retryable = !matches!(error, TlsError::WrongName | TlsError::BadName);
        Self { kind: DialErrorKind::Handshake, errno: None, retryable }
    }

    fn socks4((error, errno): (Socks4Error, Option<i32>)) -> Self {
        Self { kind: DialErrorKind::Socks4(error), errno, retryable: true }
    }

    /// Was it the time that ran out?
    #[must_use]
    pub fn timed_out(&self) -> bool {
        matches!(self.kind, DialErrorKind::Timeout | DialErrorKind::Socks4(Socks4Error::Silent))
    }

    const TIMEOUT: Self = Self { kind: DialErrorKind::Timeout, errno: None, retryable: true };
    const NO_ADDRESS: Self = Self { kind: DialErrorKind::NoAddress, errno: None, retryable: false };
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.errno {
            Some(errno) => write!(
                f,
                "{:?} ({})",
                self.kind,
                super::listener::reason(&io::Error::from_raw_os_error(errno))
            ),
            None => write!(f, "{:?}", self.kind),
        }
    }
}

/// Connects.
///
/// # Errors
/// See [`DialErrorKind`].
pub async fn dial(how: &Dial<'_>) -> Result<Stream, DialError> {
    let (mut stream, pending) = begin(how)?;
    if let Some(wrap) = how.tls {
        return Box::pin(wrapped(stream, pending, wrap, how)).await;
    }
    if !pending && how.via.is_none() {
        return Ok(stream);
    }
    match (how.timeout, how.via) {
        (None, None) => connected(&stream).await?,
        (Some(limit), None) => {
            tokio::time::timeout(limit, connected(&stream)).await.map_err(|_| DialError::TIMEOUT)??
        }
        // Rare, and the future of every other connection shall not be the larger for it.
        (_, Some(_)) => Box::pin(tunnelled(&mut stream, how)).await?,
    }
    Ok(stream)
}

async fn wrapped(
    mut stream: Stream,
    pending: bool,
    wrap: &Wrap,
    how: &Dial<'_>,
) -> Result<Stream, DialError> {
    let work = async {
        if how.via.is_some() {
            tunnelled(&mut stream, how).await?;
        } else if pending {
            connected(&stream).await?;
        }
        let mut sent = 0;
        while let Some(rest) = wrap.preface.get(sent..).filter(|rest| !rest.is_empty()) {
            sent += poll_fn(|cx| stream.poll_write(cx, rest)).await.map_err(|e| DialError::new(&e))?;
        }
        wrap.connector
            .connect(stream, wrap.sni.as_deref(), wrap.alpn.as_deref())
            .await
            .map_err(DialError::handshake)
    };
    match how.timeout {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| DialError::TIMEOUT)?,
    }
}

/// Within the time there is: that of the proxy's silence is told from that of the connect.
async fn tunnelled(stream: &mut Stream, how: &Dial<'_>) -> Result<(), DialError> {
    let server = address(how).ok_or(DialError::NO_ADDRESS)?;
    let Some(limit) = how.timeout else {
        connected(stream).await?;
        return socks4::ask(stream, server).await.map_err(DialError::socks4);
    };
    let end = tokio::time::Instant::now() + limit;
    tokio::time::timeout_at(end, connected(stream)).await.map_err(|_| DialError::TIMEOUT)??;
    match tokio::time::timeout_at(end, socks4::ask(stream, server)).await {
        Ok(asked) => asked.map_err(DialError::socks4),
        Err(_) => Err(DialError::socks4((Socks4Error::Silent, None))),
    }
}

/// Starts to connect; `true`: it is still going on, and [`connected`] tells how it ends. The first write may be tried
/// without waiting, it then answers `WouldBlock` or the connect's error.
///
/// # Errors
/// As [`dial`].
pub fn begin(how: &Dial<'_>) -> Result<(Stream, bool), DialError> {
    match target(how).ok_or(DialError::NO_ADDRESS)? {
        Target::Inet(addr) => begin_inet(how, how.via.unwrap_or(addr)),
        Target::Unix(addr) => begin_unix(&addr),
    }
    .map_err(|e| DialError::new(&e))
}

/// Waits for the end of a connect.
///
/// # Errors
/// The connect's.
pub async fn connected(stream: &Stream) -> Result<(), DialError> {
    let Stream::Tcp(tcp) = stream else { return Ok(()) };
    let ready = tcp.ready(Interest::WRITABLE).await.map_err(|e| DialError::new(&e))?;
    // Without an error the poller speaks of writing alone, and there is none to ask for.
    let error = if ready.is_write_closed() { stream.take_error() } else { None };
    error.map_or(Ok(()), |e| Err(DialError::new(&e)))
}

/// The address that [`dial`] connects to; `None` for a unix socket.
#[must_use]
pub fn address(how: &Dial<'_>) -> Option<SocketAddr> {
    match target(how)? {
        Target::Inet(addr) => Some(addr),
        Target::Unix(_) => None,
    }
}

enum Target {
    Inet(SocketAddr),
    Unix(SockAddr),
}

fn target(how: &Dial<'_>) -> Option<Target> {
    match &how.server.endpoint {
        Endpoint::Inet(addr) => Some(Target::Inet(inet_target(*addr, how)?)),
        Endpoint::Unix(path) => SockAddr::unix(path).ok().map(Target::Unix),
        Endpoint::Abstract(name) => abstract_address(name).ok().map(Target::Unix),
        Endpoint::Unresolved { .. } => None,
    }
}

/// A server at 0.0.0.0 is the address the client asked for, one without a port (or with `:+N`) the client's port.
fn inet_target(mut addr: SocketAddr, how: &Dial<'_>) -> Option<SocketAddr> {
    if addr.ip().is_unspecified() || how.transparent {
        addr.set_ip(how.client.dst?.ip());
    }
    if let Some(offset) = how.server.port_offset {
        let port = i32::from(how.client.dst?.port()).checked_add(offset)?;
        addr.set_port(u16::try_from(port).ok()?);
    } else if addr.port() == 0 {
        addr.set_port(how.client.dst?.port());
    }
    Some(addr)
}

fn begin_unix(addr: &SockAddr) -> io::Result<(Stream, bool)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    // A full backlog answers EAGAIN at once: there is nothing to wait for.
    socket.connect(addr)?;
    Ok((Stream::from_socket(socket, true)?, false))
}

fn begin_inet(how: &Dial<'_>, addr: SocketAddr) -> io::Result<(Stream, bool)> {
    let source = how.server.source.as_ref().or(how.source);
    let Some(source) = source else {
        let socket = open(how, addr)?;
        return finish(socket, addr);
    };
    let Some((low, high)) = source.port_range.filter(|_| matches!(source.use_src, UseSrc::None)) else {
        let socket = open(how, addr)?;
        bind_source(&socket, source, how, addr, None)?;
        return finish(socket, addr);
    };
    // Each attempt starts after the last port given, so that a port rests as long as the range allows.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = high.saturating_sub(low).saturating_add(1).max(1);
    let mut last = io::Error::from_raw_os_error(libc::EADDRINUSE);
    for _ in 0..count {
        let port = low.saturating_add(NEXT.fetch_add(1, Ordering::Relaxed) % count);
        let socket = open(how, addr)?;
        let tried = bind_source(&socket, source, how, addr, Some(port)).and_then(|()| finish(socket, addr));
        match tried {
            Err(e) if matches!(e.raw_os_error(), Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL)) => last = e,
            other => return other,
        }
    }
    Err(last)
}

fn open(how: &Dial<'_>, addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), None)?;
    let _ = socket.set_tcp_nodelay(true);
    if let Some(mark) = how.mark {
        let _ = socket.set_mark(mark);
    }
    if let Some(tos) = how.tos.map(u32::from) {
        let _ = if addr.is_ipv4() { socket.set_tos_v4(tos) } else { socket.set_tclass_v6(tos) };
    }
    if how.asks_first {
        let _ = socket.set_tcp_quickack(false);
    }
    if let Some(probes) = how.keepalive {
        super::keep_alive(&socket, probes);
    }
    if let Some(timeout) = how.server.tcp_user_timeout {
        let _ = socket.set_tcp_user_timeout(Some(timeout));
    }
    if how.server.tfo {
        let _ = raw::set_fastopen_connect(&socket);
    }
    if how.tune.rcvbuf_server > 0 {
        let _ = socket.set_recv_buffer_size(how.tune.rcvbuf_server);
    }
    if how.tune.sndbuf_server > 0 {
        let _ = socket.set_send_buffer_size(how.tune.sndbuf_server);
    }
    Ok(socket)
}

fn finish(socket: Socket, addr: SocketAddr) -> io::Result<(Stream, bool)> {
    let pending = match socket.connect(&addr.into()) {
        Ok(()) => false,
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => true,
        Err(e) => return Err(e),
    };
    Ok((Stream::from_socket(socket, false)?, pending))
}

fn bind_source(
    socket: &Socket,
    source: &Source,
    how: &Dial<'_>,
    to: SocketAddr,
    port: Option<u16>,
) -> io::Result<()> {
    if let Some(interface) = &source.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    let spoofed = match &source.use_src {
        UseSrc::None => None,
        UseSrc::Client => how.client.src,
        UseSrc::ClientIp => how.client.src.map(|a| SocketAddr::new(a.ip(), 0)),
        UseSrc::Addr(addr) => Some(*addr),
        UseSrc::Header(..) => how.header_ip.map(|ip| SocketAddr::new(ip, 0)),
    };
    if let Some(foreign) = spoofed.filter(|a| a.is_ipv4() == to.is_ipv4()) {
        if to.is_ipv4() {
            socket.set_ip_transparent_v4(true)?
        } else {
            socket.set_ip_transparent_v6(true)?
        }
        socket.set_reuse_address(true)?;
        return bind_to(socket, foreign);
    }
    let Some(own) = source.addr.map(|a| SocketAddr::new(a.ip(), port.unwrap_or(a.port()))) else {
        return Ok(());
    };
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let own = if own.is_ipv4() == to.is_ipv4() { own } else { SocketAddr::new(any, own.port()) };
    if own.ip().is_unspecified() && own.port() == 0 {
        return Ok(());
    }
    socket.set_reuse_address(true)?;
    bind_to(socket, own)
}

fn bind_to(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    if addr.port() == 0 {
        let _ = raw::set_bind_address_no_port(socket);
    }
    socket.bind(&addr.into())
}
