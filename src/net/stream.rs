//! One connection, TCP or unix, with readiness kept by the thread's reactor.

use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket. Reading goes through tokio's `AsyncRead`, which takes a short read as the sign that the
/// socket is empty, so the read that would only answer EAGAIN is never made.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! each {
    ($self:expr, $s:ident => $body:expr) => {
        match $self {
            Stream::Tcp($s) => $body,
            Stream::Unix($s) => $body,
        }
    };
}

impl Stream {
    /// Registers a connected, non-blocking socket with the current thread's reactor.
    ///
    /// # Errors
    /// The reactor refuses the descriptor (out of memory or watches).
    pub fn from_socket(socket: socket2::Socket, unix: bool) -> io::Result<Self> {
        if unix {
            Ok(Self::Unix(UnixStream::from_std(socket.into())?))
        } else {
            Ok(Self::Tcp(TcpStream::from_std(socket.into())?))
        }
    }

    /// Ready when a read may answer something: bytes, end or error.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_read_ready(cx))
    }

    /// Reads what is there; 0 is the end of the stream (or an empty `buf`).
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buf);
        match each!(self, s => Pin::new(s).poll_read(cx, &mut read)) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(read.filled().len())),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        each!(self, s => s.try_read(buf))
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, s => s.poll_write_ready(cx))
    }

    /// Writes what the socket takes; a short write clears readiness, as with reading.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, s => Pin::new(s).poll_write(cx, buf))
    }

    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, s => Pin::new(s).poll_write_vectored(cx, bufs))
    }

    /// # Errors
    /// `WouldBlock` when the socket's buffer is full.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        each!(self, s => s.try_write(buf))
    }

    /// # Errors
    /// As [`Stream::try_write`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, s => s.try_write_vectored(bufs))
    }

    /// Runs `io` if the socket is ready for `interest`, clearing that readiness when it answers `WouldBlock`.
    ///
    /// # Errors
    /// Those of `io`, and `WouldBlock` when not ready.
    pub fn try_io<R>(&self, interest: Interest, io: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        each!(self, s => s.try_io(interest, io))
    }

    /// Half-close: the other side reads an end after what was written.
    ///
    /// # Errors
    /// Not connected any more.
    pub fn shutdown_write(&self) -> io::Result<()> {
        each!(self, s => SockRef::from(s).shutdown(Shutdown::Write))
    }

    /// Makes the close that follows send RST instead of FIN, leaving no TIME_WAIT.
    pub fn reset_on_close(&self) {
        if let Self::Tcp(s) = self {
            let _ = SockRef::from(s).set_linger(Some(Duration::ZERO));
        }
    }

    /// `silent-drop`: the close that follows is not seen by the client, which goes on waiting. Without the right to that,
    /// a reset is sent that dies at the first router, as HAProxy does.
    pub fn vanish_on_close(&self) {
        let Self::Tcp(s) = self else { return };
        if super::raw::set_repair(s).is_err() {
            let socket = SockRef::from(s);
            let _ = socket.set_ttl_v4(1);
            let _ = socket.set_unicast_hops_v6(1);
            self.reset_on_close();
        }
    }

    /// `None` on a unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(s) => s.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(s) => s.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The error the kernel has kept for the socket (refused connect, reset), taken.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        each!(self, s => s.take_error().ok().flatten())
    }

    /// For options that one rule or another sets.
    #[must_use]
    pub fn socket(&self) -> SockRef<'_> {
        each!(self, s => SockRef::from(s))
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        each!(self, s => s.as_raw_fd())
    }
}
