//! The connection a rule set talks over: plain or TLS, in bytes or HTTP/2.

use super::http::Outgoing;
use super::http2::Http2;
use super::machine::Failure;
use crate::config::model::check::{Connect, Flavour, Speaks};
use crate::config::model::{Endpoint, Server};
use crate::health::Status;
use crate::message::Head;
use crate::net::Stream;
use crate::net::tls::TlsError;
use crate::probe::job::{self, Job, Way};
use std::borrow::Cow;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

pub struct Link {
    speech: Speech,
    secure: bool,
    /// When the exchange is to be over.
    pub deadline: Instant,
}

enum Speech {
    Bytes(Socket),
    Http2(Box<Http2>),
}

/// What a server sends.
#[derive(Debug)]
pub enum Piece {
    /// Of an HTTP/2 response.
    Head(Head),
    Bytes(Vec<u8>),
    End,
    /// The server left without an answer to an HTTP/2 request.
    Nothing,
}

impl Link {
    /// Connects as the step and the server line say.
    pub async fn open(
        job: &Job<'_>,
        connect: &Connect,
        port: Option<u16>,
        next: &Next,
    ) -> Result<Self, Failure> {
        let limit = Instant::now() + job.target.connect_limit;
        let server = addressed(&job.target.server, connect, port);
        let usual = job.usual();
        let way = Way {
            proxied: connect.send_proxy || connect.default && usual.proxied,
            tunnelled: connect.via_socks4 || connect.default && usual.tunnelled,
            holds_ack: next.holds_ack,
            secure: is_secured(job, connect),
        };
        let stream = match job.connect_to(&server, way).await {
            Ok(stream) => stream,
            Err(finding) => return Err(Failure { status: finding.status, text: finding.info }),
        };
        let stream = match timeout_at(limit, secured(job, connect, stream)).await {
            Ok(stream) => stream?,
            Err(_) => return Err(Failure { status: Status::L6Timeout, text: None }),
        };
        let secure = !stream.is_plain();
        let http2 = next.flavour == Flavour::Http && speaks(job, connect, &stream) == Speaks::Http2;
        let socket = Socket { stream, linger: connect.linger, fate: Rc::default() };
        let speech = if http2 {
            Speech::Http2(Box::new(Http2::start(socket, secure, next.kept).await.map_err(|e| broken(&e))?))
        } else {
            Speech::Bytes(socket)
        };
        Ok(Self { speech, secure, deadline: job.deadline() })
    }

    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.speech {
            Speech::Bytes(socket) => job::send(&mut socket.stream, bytes).await,
            // Rule sets with bytes of their own do not get there.
            Speech::Http2(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub async fn ask(&mut self, request: &Outgoing) -> io::Result<()> {
        match &mut self.speech {
            Speech::Bytes(socket) => job::send(&mut socket.stream, &request.bytes()).await,
            Speech::Http2(http2) => http2.ask(request).await,
        }
    }

    /// What comes next.
    pub async fn receive(&mut self) -> io::Result<Piece> {
        match &mut self.speech {
            Speech::Bytes(socket) => {
                let mut bytes = Vec::new();
                let count = job::receive(&mut socket.stream, &mut bytes).await?;
                Ok(if count == 0 { Piece::End } else { Piece::Bytes(bytes) })
            }
            Speech::Http2(http2) => http2.receive().await,
        }
    }
}

/// The connection's socket, closed as the step says.
pub struct Socket {
    stream: Stream,
    linger: bool,
    fate: Rc<Cell<Fate>>,
}

/// How the server's side of a socket ended; the `h2` crate keeps less of it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Fate {
    #[default]
    Open,
    Closed,
    /// The system's number of the error.
    Broken(i32),
}

impl Socket {
    /// Told as it changes, for whom the socket is out of reach.
    pub fn fate(&self) -> Rc<Cell<Fate>> {
        Rc::clone(&self.fate)
    }

    fn note<T>(&self, done: &Poll<io::Result<T>>) {
        if let (Fate::Open, Poll::Ready(Err(error))) = (self.fate.get(), done)
            && let Some(number) = error.raw_os_error()
        {
            // Writing to who has closed.
            let closed = number == libc::EPIPE;
            self.fate.set(if closed { Fate::Closed } else { Fate::Broken(number) });
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.linger {
            return;
        }
        // As HAProxy does: no TIME_WAIT is left behind.
        self.stream.reset_on_close();
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = AsyncRead::poll_read(Pin::new(&mut self.stream), cx, buf);
        self.note(&done);
        if matches!(done, Poll::Ready(Ok(()))) && buf.filled().len() == before {
            self.fate.set(Fate::Closed);
        }
        done
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, buf);
        self.note(&done);
        done
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The close that follows says it all.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What is known of the exchange that follows a connect.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    pub flavour: Flavour,
    /// Nothing is read before we send or end.
    pub holds_ack: bool,
    /// The most that is kept of an answer.
    pub kept: usize,
}

/// What the step says, else the server line, else what both sides agreed upon.
fn speaks(job: &Job<'_>, connect: &Connect, stream: &Stream) -> Speaks {
    let usual = job.target.speaks.filter(|_| connect.default);
    connect.speaks.or(usual).unwrap_or_else(|| {
        let agreed = |alpn: Option<&[u8]>| alpn == Some(b"h2".as_slice());
        let http2 = stream.secure().is_some_and(|tls| tls.see(|c| agreed(c.alpn_protocol())));
        if http2 { Speaks::Http2 } else { Speaks::Http1 }
    })
}

/// A connection that broke, in the system's words where it has any.
pub fn broken(error: &io::Error) -> Failure {
    let text = (error.kind() != io::ErrorKind::InvalidData).then(|| job::words(error));
    Failure { status: Status::SocketError, text }
}

async fn secured(job: &Job<'_>, connect: &Connect, stream: Stream) -> Result<Stream, Failure> {
    let Some(tls) = job.target.tls.as_ref().filter(|_| is_secured(job, connect)) else { return Ok(stream) };
    let usual = |own: bool| connect.default && !own;
    let sni = connect.sni.as_deref().or_else(|| tls.sni.as_deref().filter(|_| usual(false)));
    let alpn = if usual(!connect.alpn.is_empty()) { &tls.alpn } else { &connect.alpn };
    match tls.connector.connect(stream, sni, Some(alpn)).await {
        Ok(stream) => Ok(stream),
        Err(error) => Err(Failure { status: Status::L6Response, text: Some(words(error).to_owned()) }),
    }
}

fn is_secured(job: &Job<'_>, connect: &Connect) -> bool {
    job.target.tls.as_ref().is_some_and(|tls| connect.ssl || connect.default && tls.always)
}

fn words(error: TlsError) -> &'static str {
    match error {
        TlsError::Handshake | TlsError::BadName => "SSL handshake failure",
        TlsError::WrongHost => "Server presented an SSL certificate different from the configured one",
        TlsError::WrongName => "Server presented an SSL certificate different from the expected one",
    }
}

/// The server at the address that the step says.
fn addressed<'a>(server: &'a Server, connect: &Connect, port: Option<u16>) -> Cow<'a, Server> {
    if connect.addr.is_none() && port.is_none() {
        return Cow::Borrowed(server);
    }
    let mut seen = server.clone();
    if let Endpoint::Inet(address) = &mut seen.endpoint {
        if let Some(ip) = connect.addr {
            address.set_ip(ip);
        }
        if let Some(port) = port {
            address.set_port(port);
            seen.port_offset = None;
        }
    }
    Cow::Owned(seen)
}
