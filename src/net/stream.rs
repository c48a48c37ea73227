//! One connection, TCP or unix, with readiness kept by the thread's reactor.

use super::carried::Carried;
use super::secure::Secure;
use crate::tls::ServerHandshake;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{SockRef, Socket};
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket. Reading goes through tokio's `AsyncRead`, which takes a short read as the sign that the
/// socket is empty, so the read that would only answer EAGAIN is never made.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Not in the reactor yet: reading and writing are just tried, and what would block puts it there. A connection
    /// whose request is there when it is accepted and whose response fits the socket's buffer never gets there, which
    /// saves two system calls and the wakings for its acknowledgements.
    Fresh(Fresh),
    /// TLS over one of the others.
    Tls(Box<Secure>),
    /// One of the streams of a connection that carries several.
    Carried(Box<Carried>),
    /// The reactor refused it.
    Gone,
}

/// See [`Stream::Fresh`].
#[derive(Debug)]
pub struct Fresh {
    socket: Socket,
    unix: bool,
    /// The last read left room, so there is nothing more to read.
    drained: bool,
}

/// For any socket, the one below TLS too; `$gone` where there is none.
macro_rules! each {
    ($self:expr, $s:ident => $body:expr, $gone:expr) => {
        match $self.socket() {
            Stream::Tcp($s) => $body,
            Stream::Unix($s) => $body,
            Stream::Fresh(Fresh { socket: $s, .. }) => $body,
            Stream::Tls(_) | Stream::Carried(_) | Stream::Gone => $gone,
        }
    };
}

/// For those in the reactor; the others as said.
macro_rules! watched {
    ($self:expr, $s:ident => $body:expr, $fresh:pat => $tried:expr, $t:ident => $layered:expr) => {
        match $self {
            Stream::Tcp($s) => $body,
            Stream::Unix($s) => $body,
            Stream::Fresh($fresh) => $tried,
            Stream::Tls($t) => $layered,
            Stream::Carried($t) => $layered,
            Stream::Gone => gone(),
        }
    };
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

/// What a [`Stream::Gone`] answers.
trait Lost {
    fn lost() -> Self;
}

impl<T> Lost for io::Result<T> {
    fn lost() -> Self {
        Err(refused())
    }
}

impl<T> Lost for Poll<io::Result<T>> {
    fn lost() -> Self {
        Poll::Ready(Err(refused()))
    }
}

fn gone<T: Lost>() -> T {
    T::lost()
}

impl Stream {
    /// Registers a connected, non-blocking socket with the current thread's reactor.
    ///
    /// # Errors
    /// The reactor refuses the descriptor (out of memory or watches).
    pub fn from_socket(socket: Socket, unix: bool) -> io::Result<Self> {
        if unix {
            Ok(Self::Unix(UnixStream::from_std(socket.into())?))
        } else {
            Ok(Self::Tcp(TcpStream::from_std(socket.into())?))
        }
    }

    /// A connected, non-blocking socket that is registered when it has to be waited for.
    #[must_use]
    pub fn fresh(socket: Socket, unix: bool) -> Self {
        Self::Fresh(Fresh { socket, unix, drained: false })
    }

    /// Enters the reactor, if it has not.
    ///
    /// # Errors
    /// As [`Stream::from_socket`]; the socket is closed then.
    pub fn watch(&mut self) -> io::Result<()> {
        if matches!(self, Self::Fresh(_))
            && let Self::Fresh(fresh) = std::mem::replace(self, Self::Gone)
        {
            *self = Self::from_socket(fresh.socket, fresh.unix)?;
        }
        Ok(())
    }

    /// Ready when a read may answer something: bytes, end or error. A fresh one may always be tried.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        watched!(self, s => s.poll_read_ready(cx), _ => Poll::Ready(Ok(())), t => t.poll_read_ready(cx))
    }

    /// Has the reactor noticed something to read? Nobody is woken later.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        match self {
            Self::Tcp(s) => s.try_io(Interest::READABLE, || Ok(())).is_ok(),
            other => {
                std::hint::cold_path();
                other.poll_read_ready(&mut Context::from_waker(Waker::noop())).is_ready()
            }
        }
    }

    /// Reads what is there; 0 is the end of the stream (or an empty `buf`).
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Self::Fresh(fresh) = self {
            match fresh.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.watch()?,
                done => return Poll::Ready(done),
            }
        }
        match self {
            Self::Tcp(tcp) => return receive(tcp, cx, buf),
            Self::Tls(tls) => return tls.poll_read(cx, buf),
            Self::Carried(carried) => return carried.poll_read(cx, buf),
            _ => {}
        }
        let mut read = ReadBuf::new(buf);
        let polled = watched!(self, s => Pin::new(s).poll_read(cx, &mut read), _ => Poll::Pending, _t => Poll::Pending);
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(read.filled().len())),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The same into room that was never written to, which is not cleared for it.
    pub fn poll_read_into(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.watch()?;
        match self {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Self::Tls(tls) => tls.poll_read_into(cx, buf),
            Self::Fresh(_) | Self::Carried(_) => Poll::Pending,
            Self::Gone => gone(),
        }
    }

    /// The same right after [`Stream::poll_read_ready`] was ready, which is not asked again.
    pub fn poll_read_now(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => {
                if let Some(read) = receive_now(tcp, buf) {
                    return Poll::Ready(read);
                }
                receive(tcp, cx, buf)
            }
            _ => self.poll_read(cx, buf),
        }
    }

    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        watched!(self, s => s.try_read(buf), fresh => (&fresh.socket).read(buf), t => t.try_read(buf))
    }

    /// Takes what has come for nobody to read, into `room` once, whether or not the reactor has noticed: a close with unread
    /// bytes would be a reset.
    pub fn discard(&self, room: &mut [u8]) {
        each!(self, s => _ = (&*SockRef::from(s)).read(room), ());
    }

    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch()?;
        watched!(self, s => s.poll_write_ready(cx), _ => Poll::Pending, t => t.poll_write_ready(cx))
    }

    /// Writes what the socket takes; a short write clears readiness, as with reading.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.watch()?;
        if let Self::Carried(carried) = self {
            return loop {
                match carried.try_write(buf) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(carried.poll_write_ready(cx))?,
                    done => break Poll::Ready(done),
                }
            };
        }
        match self {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
            Self::Tls(tls) => tls.poll_write(cx, buf),
            Self::Fresh(_) | Self::Carried(_) => Poll::Pending,
            Self::Gone => gone(),
        }
    }

    /// # Errors
    /// `WouldBlock` when the socket's buffer is full.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let quiet = libc::MSG_NOSIGNAL;
        if let Self::Tcp(tcp) = self {
            return tcp.try_io(Interest::WRITABLE, || Ok(rustix::net::send(tcp, buf, SendFlags::NOSIGNAL)?));
        }
        watched!(
            self,
            s => s.try_write(buf),
            fresh => fresh.socket.send_with_flags(buf, quiet),
            t => t.try_write(buf)
        )
    }

    /// The last write before a close: the kernel sends the end together with it.
    ///
    /// # Errors
    /// As [`Stream::try_write`].
    pub fn try_write_last(&self, buf: &[u8]) -> io::Result<usize> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_MORE;
        match self {
            Self::Tcp(s) => s.try_io(Interest::WRITABLE, || SockRef::from(s).send_with_flags(buf, flags)),
            Self::Fresh(fresh) if !fresh.unix => fresh.socket.send_with_flags(buf, flags),
            Self::Tls(tls) => tls.try_write_last(buf),
            other => other.try_write(buf),
        }
    }

    /// # Errors
    /// As [`Stream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let quiet = libc::MSG_NOSIGNAL;
        watched!(
            self,
            s => s.try_write_vectored(bufs),
            fresh => fresh.socket.send_vectored_with_flags(bufs, quiet),
            t => t.try_write_vectored(bufs)
        )
    }

    /// Runs `io` if the socket is ready for `interest`, clearing that readiness when it answers `WouldBlock`.
    ///
    /// # Errors
    /// Those of `io`, and `WouldBlock` when not ready.
    pub fn try_io<R>(&self, interest: Interest, io: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self {
            Self::Tcp(s) => s.try_io(interest, io),
            Self::Unix(s) => s.try_io(interest, io),
            Self::Fresh(_) => io(),
            Self::Tls(tls) => tls.socket().try_io(interest, io),
            Self::Carried(_) | Self::Gone => gone(),
        }
    }

    /// Half-close: the other side reads an end after what was written.
    ///
    /// # Errors
    /// Not connected any more.
    pub fn shutdown_write(&self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            return tls.shutdown_write();
        }
        if let Self::Carried(carried) = self {
            carried.conclude();
            return Ok(());
        }
        each!(self, s => SockRef::from(s).shutdown(Shutdown::Write), gone())
    }

    /// Do its bytes stand in the kernel as they are, so that they may be spliced?
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !matches!(self, Self::Tls(_) | Self::Carried(_))
    }

    /// The TLS connection, if it is one.
    #[must_use]
    pub fn secure(&self) -> Option<&Secure> {
        match self {
            Self::Tls(tls) => Some(tls),
            _ => None,
        }
    }

    /// What the server said in its handshake, if this leads to one over TLS.
    #[must_use]
    pub fn server_handshake(&self) -> Option<Arc<ServerHandshake>> {
        self.secure()?.server().cloned()
    }

    /// The stream of a connection that carries several, if it is one.
    #[must_use]
    pub fn carried(&self) -> Option<&Carried> {
        match self {
            Self::Carried(carried) => Some(carried),
            _ => None,
        }
    }

    /// Itself, or what is below TLS.
    fn socket(&self) -> &Self {
        match self {
            Self::Tls(tls) => tls.socket(),
            plain => plain,
        }
    }

    /// Makes the close that follows send RST instead of FIN, leaving no TIME_WAIT.
    pub fn reset_on_close(&self) {
        self.hush();
        if !self.is_unix() {
            each!(self, s => _ = SockRef::from(s).set_linger(Some(Duration::ZERO)), ());
        }
    }

    /// `silent-drop`: the close that follows is not seen by the client, which goes on waiting. Without the right to that,
    /// a reset is sent that dies at the first router, as HAProxy does.
    pub fn vanish_on_close(&self) {
        self.hush();
        if !self.is_unix() && each!(self, s => super::raw::set_repair(s).is_err(), false) {
            each!(self, s => {
                let socket = SockRef::from(s);
                let _ = socket.set_ttl_v4(1);
                let _ = socket.set_unicast_hops_v6(1);
            }, ());
            self.reset_on_close();
        }
    }

    /// The close that follows is not told in TLS's own words.
    fn hush(&self) {
        if let Self::Tls(tls) = self {
            tls.hush();
        }
    }

    fn is_unix(&self) -> bool {
        matches!(self.socket(), Self::Unix(_) | Self::Fresh(Fresh { unix: true, .. }))
    }

    /// `None` on a unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        each!(self, s => SockRef::from(s).local_addr().ok()?.as_socket(), None)
    }

    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        each!(self, s => SockRef::from(s).peer_addr().ok()?.as_socket(), None)
    }

    /// The error the kernel has kept for the socket (refused connect, reset), taken.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        each!(self, s => SockRef::from(s).take_error().ok().flatten(), Some(refused()))
    }

    /// `set-mark` and `set-tos`: what cannot be set (no CAP_NET_ADMIN, no IP socket) is left as it is, as HAProxy does.
    pub fn stamp(&self, mark: Option<u32>, tos: Option<u8>) {
        if let Some(mark) = mark {
            let _ = self.set_mark(mark);
        }
        if let Some(tos) = tos {
            let _ = self.set_tos(tos);
        }
    }

    /// `bind ... mss -N`: segments that much shorter than the path would allow.
    pub fn shorten_segments(&self, by: u32) {
        let shorten = |socket: SockRef<'_>| {
            let mss = socket.tcp_mss()?;
            socket.set_tcp_mss(mss.saturating_sub(by).max(1))
        };
        let _ = each!(self, s => shorten(SockRef::from(s)), gone());
    }

    /// The routing mark of what is sent.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN.
    fn set_mark(&self, mark: u32) -> io::Result<()> {
        each!(self, s => SockRef::from(s).set_mark(mark), gone())
    }

    /// The DS field (TOS, traffic class) of what is sent.
    ///
    /// # Errors
    /// Not an IP socket.
    fn set_tos(&self, tos: u8) -> io::Result<()> {
        let v6 = self.local_addr().is_some_and(|a| a.is_ipv6());
        each!(self, s => {
            let socket = SockRef::from(s);
            if v6 { socket.set_tclass_v6(u32::from(tos)) } else { socket.set_tos_v4(u32::from(tos)) }
        }, gone())
    }
}

/// As tokio's own `poll_read`, but asking the kernel directly: the C library's `recv` and `send` look around each call
/// whether the thread is being cancelled, which it never is, and that is a good part of what a short request costs us.
fn receive(tcp: &TcpStream, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(tcp.poll_read_ready(cx))?;
        if let Some(read) = receive_now(tcp, buf) {
            return Poll::Ready(read);
        }
    }
}

/// `None`: it would block. A short read is the sign that the socket is empty.
fn receive_now(tcp: &TcpStream, buf: &mut [u8]) -> Option<io::Result<usize>> {
    let mut short = None;
    let read = tcp.try_io(Interest::READABLE, || {
        let (n, _) = rustix::net::recv(tcp, &mut *buf, RecvFlags::empty())?;
        if n > 0 && n < buf.len() {
            short = Some(n);
            // Clears the readiness.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(n)
    });
    match (short, read) {
        (Some(n), _) => Some(Ok(n)),
        (None, Err(e)) if e.kind() == io::ErrorKind::WouldBlock => None,
        (None, read) => Some(read),
    }
}

impl Fresh {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = (&self.socket).read(buf)?;
        self.drained = read > 0 && read < buf.len();
        Ok(read)
    }
}

/// For what is layered upon a connection (TLS).
impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(Stream::poll_read(self.get_mut(), cx, buf.initialize_unfilled()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Stream::poll_write(self.get_mut(), cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown_write())
    }
}

impl Stream {
    /// The descriptor of a connection on a unix socket, which can carry others.
    #[must_use]
    pub fn unix(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unix(stream) => Some(stream.as_fd()),
            _ => None,
        }
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Carried(carried) => carried.fd(),
            _ => each!(self, s => s.as_raw_fd(), -1),
        }
    }
}
