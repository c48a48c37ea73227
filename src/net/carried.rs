//! One stream of an HTTP/2 connection, a client's or one to a server, behind the interface of a plain one.
//!
//! What is read is the body as HTTP/1 would frame it: as it is when its length is known, else in chunks, trailers at the
//! end. What is written is the same the other way round. Heads do not go through here as bytes: they are handed over as
//! values ([`Carried::respond`], [`Carried::poll_answer`]). Flow control is end to end: what was not read is not given back to the peer's window,
//! and no more is taken for writing than the peer has room for.

mod framing;

use bytes::Bytes;
use framing::{Chunks, Piece, Unchunked};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The most that is handed over for sending at once, and so what a peer that takes nothing makes us keep beside the
/// engine's own buffer.
pub const MOST: usize = 32 * 1024;

/// See the module's page.
pub struct Carried {
    receiving: RefCell<Receiving>,
    sending: RefCell<Sending>,
    fd: RawFd,
}

enum Source {
    /// The response's head is to come.
    Awaited(ResponseFuture),
    Body(RecvStream),
    /// The head was not to be had.
    Broken,
}

struct Receiving {
    source: Source,
    /// What came and was not read yet. It is given back to the peer's window as it is read.
    data: Bytes,
    /// In front of `data`, and behind the last of it.
    chunks: Option<Chunks>,
    ended: bool,
}

/// How the body that is being written ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There is none.
    None,
    /// After so many bytes.
    Known(u64),
    /// It is written in chunks.
    Chunked,
    /// With [`Carried::conclude`].
    Told,
}

impl Ending {
    /// Nothing follows the head.
    #[must_use]
    pub fn is_none(self) -> bool {
        matches!(self, Self::None | Self::Known(0))
    }
}

/// A head that came from a server.
#[derive(Debug)]
pub enum Answer {
    Interim(http::Response<()>),
    /// `bodiless`: nothing follows it.
    Final {
        head: Box<http::response::Parts>,
        bodiless: bool,
    },
}

enum Sending {
    /// The head of the response is not sent yet.
    Waiting(SendResponse<Bytes>),
    Body {
        stream: SendStream<Bytes>,
        shape: Shape,
    },
    /// All was sent, or the stream was reset.
    Over(Option<SendStream<Bytes>>),
}

enum Shape {
    Known(u64),
    Chunked(Box<Unchunked>),
    Told,
}

impl std::fmt::Debug for Carried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carried").finish_non_exhaustive()
    }
}

impl Carried {
    /// The server's side of a request whose body is `body`; `chunked`: its length is not known.
    #[must_use]
    pub fn serving(body: RecvStream, chunked: bool, respond: SendResponse<Bytes>, fd: RawFd) -> Self {
        Self {
            receiving: RefCell::new(Receiving {
                source: Source::Body(body),
                data: Bytes::new(),
                chunks: chunked.then(Chunks::default),
                ended: false,
            }),
            sending: RefCell::new(Sending::Waiting(respond)),
            fd,
        }
    }

    /// The client's side of a request whose head was sent and whose body, written here, ends as `ending` says.
    #[must_use]
    pub fn asking(response: ResponseFuture, body: SendStream<Bytes>, ending: Ending, fd: RawFd) -> Self {
        Self {
            receiving: RefCell::new(Receiving {
                source: Source::Awaited(response),
                data: Bytes::new(),
                chunks: None,
                ended: false,
            }),
            sending: RefCell::new(Sending::shaped(body, ending)),
            fd,
        }
    }

    /// The next head of the response: interim ones, then the one a body follows.
    pub fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<Answer, h2::Error>> {
        let receiving = &mut *self.receiving.borrow_mut();
        let Source::Awaited(response) = &mut receiving.source else { return Poll::Pending };
        if let Some(interim) = ready!(response.poll_informational(cx)) {
            return Poll::Ready(interim.map(Answer::Interim));
        }
        match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let bodiless = body.is_end_stream();
                receiving.source = Source::Body(body);
                Poll::Ready(Ok(Answer::Final { head: Box::new(parts), bodiless }))
            }
            Err(error) => {
                receiving.source = Source::Broken;
                Poll::Ready(Err(error))
            }
        }
    }

    /// The body of the response is read in chunks.
    pub fn chunk(&self) {
        self.receiving.borrow_mut().chunks = Some(Chunks::default());
    }

    /// The stream of a response, if its end has not come yet although nothing of it is waited for.
    #[must_use]
    pub fn unended(self) -> Option<RecvStream> {
        let receiving = self.receiving.into_inner();
        match receiving.source {
            Source::Body(stream) if !receiving.ended && !stream.is_end_stream() => Some(stream),
            _ => None,
        }
    }

    /// Sends the head of the response; the body is written after it.
    ///
    /// # Errors
    /// The stream is gone, or a head was sent already.
    pub fn respond(&self, head: http::Response<()>, ending: Ending) -> io::Result<()> {
        let mut sending = self.sending.borrow_mut();
        let Sending::Waiting(respond) = &mut *sending else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let stream = respond.send_response(head, ending.is_none()).map_err(broken)?;
        *sending = Sending::shaped(stream, ending);
        Ok(())
    }

    /// Sends a head that another one follows.
    ///
    /// # Errors
    /// The stream is gone, or the last head was sent already.
    pub fn inform(&self, head: http::Response<()>) -> io::Result<()> {
        match &mut *self.sending.borrow_mut() {
            Sending::Waiting(respond) => respond.send_informational(head).map_err(broken),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The body of [`Ending::Told`] ends.
    pub fn conclude(&self) {
        let mut sending = self.sending.borrow_mut();
        if let Sending::Body { stream, shape: Shape::Told } = &mut *sending {
            let _ = stream.send_data(Bytes::new(), true);
            sending.close();
        }
    }

    /// Was everything sent that is to be sent?
    #[must_use]
    pub fn is_sent(&self) -> bool {
        matches!(*self.sending.borrow(), Sending::Over(_))
    }

    /// Was the head of the response sent?
    #[must_use]
    pub fn has_responded(&self) -> bool {
        !matches!(*self.sending.borrow(), Sending::Waiting(_))
    }

    /// Ends the stream with an error.
    pub fn reset(&self, reason: Reason) {
        let mut sending = self.sending.borrow_mut();
        match &mut *sending {
            Sending::Waiting(respond) => respond.send_reset(reason),
            Sending::Body { stream, .. } | Sending::Over(Some(stream)) => stream.send_reset(reason),
            Sending::Over(None) => {}
        }
        *sending = Sending::Over(None);
    }

    /// Ready when the peer has given the stream up.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let gone = match &mut *self.sending.borrow_mut() {
            Sending::Waiting(respond) => respond.poll_reset(cx),
            Sending::Body { stream, .. } => stream.poll_reset(cx),
            Sending::Over(_) => return Poll::Pending,
        };
        gone.map(|_| ())
    }

    pub fn fd(&self) -> RawFd {
        self.fd
    }

    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.receiving.borrow_mut().poll_some(cx)
    }

    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let receiving = &mut *self.receiving.borrow_mut();
        let mut filled = 0;
        while filled < buf.len() {
            match receiving.poll_some(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending if filled == 0 => return Poll::Pending,
                Poll::Ready(Err(e)) if filled == 0 => return Poll::Ready(Err(e)),
                _ => break,
            }
            let n = receiving.read(buf.get_mut(filled..).unwrap_or_default());
            if n == 0 {
                break;
            }
            filled += n;
        }
        Poll::Ready(Ok(filled))
    }

    /// # Errors
    /// `WouldBlock` when nothing is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self.poll_read(&mut Context::from_waker(std::task::Waker::noop()), buf) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sending = self.sending.borrow_mut();
        let Sending::Body { stream, .. } = &mut *sending else { return Poll::Ready(Ok(())) };
        if stream.capacity() > 0 {
            return Poll::Ready(Ok(()));
        }
        stream.reserve_capacity(MOST);
        loop {
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(Ok(_)) => return Poll::Ready(Ok(())),
                Some(Err(e)) => return Poll::Ready(Err(broken(e))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    /// # Errors
    /// `WouldBlock` when the peer has no room.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let mut sending = self.sending.borrow_mut();
        let Sending::Body { stream, shape } = &mut *sending else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (taken, over) = match shape {
            Shape::Told => (send(stream, buf, false)?, false),
            Shape::Known(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                let part = buf.get(..most).unwrap_or_default();
                let n = send(stream, part, part.len() as u64 == *left)?;
                *left -= n as u64;
                (n, *left == 0)
            }
            Shape::Chunked(unchunked) => write_chunked(stream, unchunked, buf)?,
        };
        if over {
            sending.close();
        }
        Ok(taken)
    }

    /// # Errors
    /// As [`Carried::try_write`].
    pub fn try_write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        for buf in bufs.iter().filter(|b| !b.is_empty()) {
            match self.try_write(buf) {
                Ok(n) => taken += n,
                Err(e) if taken == 0 => return Err(e),
                Err(_) => break,
            }
            if taken < buf.len() {
                break;
            }
        }
        Ok(taken)
    }
}

impl Sending {
    fn shaped(stream: SendStream<Bytes>, ending: Ending) -> Self {
        let shape = match ending {
            Ending::None | Ending::Known(0) => return Self::Over(Some(stream)),
            Ending::Known(n) => Shape::Known(n),
            Ending::Chunked => Shape::Chunked(Box::default()),
            Ending::Told => Shape::Told,
        };
        Self::Body { stream, shape }
    }

    /// Nothing more is sent; the handle is kept, as dropping it would end the other direction too.
    fn close(&mut self) {
        if let Self::Body { stream, .. } = std::mem::replace(self, Self::Over(None)) {
            *self = Self::Over(Some(stream));
        }
    }
}

impl Receiving {
    /// Ready when [`Receiving::read`] has something to give, or nothing any more.
    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.data.is_empty() && !self.chunks.as_ref().is_some_and(Chunks::has_bytes) && !self.ended {
            let stream = match &mut self.source {
                Source::Body(stream) => stream,
                Source::Awaited(_) => return Poll::Pending,
                Source::Broken => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
            match ready!(stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    if let (Some(chunks), false) = (&mut self.chunks, data.is_empty()) {
                        chunks.begin(data.len());
                    }
                    self.data = data;
                }
                Some(Err(e)) => return Poll::Ready(Err(broken(e))),
                None => {
                    let trailers = ready!(stream.poll_trailers(cx)).map_err(broken)?;
                    if let Some(chunks) = &mut self.chunks {
                        chunks.end(trailers.as_ref());
                    }
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes of what is there; 0: nothing is.
    fn read(&mut self, buf: &mut [u8]) -> usize {
        if let Some(n) = self.chunks.as_mut().and_then(|chunks| chunks.read(buf)) {
            return n;
        }
        let n = self.data.len().min(buf.len());
        if let Some(slot) = buf.get_mut(..n) {
            slot.copy_from_slice(&self.data.split_to(n));
        }
        if n > 0 {
            if let Source::Body(stream) = &mut self.source {
                let _ = stream.flow_control().release_capacity(n);
            }
            if let (Some(chunks), true) = (&mut self.chunks, self.data.is_empty()) {
                chunks.finish();
            }
        }
        n
    }
}

/// Hands over as much of `buf` as the peer has room for.
fn send(stream: &mut SendStream<Bytes>, buf: &[u8], last: bool) -> io::Result<usize> {
    if buf.is_empty() {
        return Ok(0);
    }
    // Each look at the capacity takes the library's lock and finds the stream anew.
    let mut room = stream.capacity();
    if room < buf.len() {
        stream.reserve_capacity(buf.len().min(MOST));
        room = stream.capacity();
    }
    if room == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let n = room.min(buf.len());
    let part = Bytes::copy_from_slice(buf.get(..n).unwrap_or_default());
    stream.send_data(part, last && n == buf.len()).map_err(broken)?;
    Ok(n)
}

/// The same for a body in chunks; true: it has ended.
fn write_chunked(
    stream: &mut SendStream<Bytes>,
    unchunked: &mut Unchunked,
    buf: &[u8],
) -> io::Result<(usize, bool)> {
    let mut taken = 0;
    while let Some((piece, framing)) = unchunked.next(buf.get(taken..).unwrap_or_default()) {
        match piece {
            Piece::Framing => taken += framing,
            Piece::Data { range, last } => {
                let data = buf.get(taken..).and_then(|b| b.get(range)).unwrap_or_default();
                match send(stream, data, last) {
                    Ok(n) => {
                        unchunked.sent(n);
                        taken += n;
                        if last && n == data.len() {
                            return Ok((buf.len(), true));
                        }
                    }
                    Err(e) if taken == 0 => return Err(e),
                    Err(_) => return Ok((taken, false)),
                }
            }
            Piece::End(trailers) => {
                match trailers {
                    Some(trailers) => stream.send_trailers(trailers),
                    None => stream.send_data(Bytes::new(), true),
                }
                .map_err(broken)?;
                return Ok((buf.len(), true));
            }
        }
    }
    Ok((taken, false))
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
    }
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
