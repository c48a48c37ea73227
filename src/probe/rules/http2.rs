//! One request of a check over HTTP/2 (RFC 9113); frames and header compression are the `h2` crate's.
//!
//! The connection has no task of its own: it goes on while the check waits for its response, and ends with it.

use super::http::Outgoing;
use super::link::{Fate, Piece, Socket};
use crate::message::{Head, Version};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use hyper::http::header::{HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::http::{self, Request, Uri, response};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Fields of one connection, which HTTP/2 does not carry (RFC 9113 8.2.2).
const OF_CONNECTION: &[&str] =
    &["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"];

pub struct Http2 {
    connection: Connection<Socket, Bytes>,
    /// The connection is over: it is not to be polled again.
    ended: bool,
    fate: Rc<Cell<Fate>>,
    requests: SendRequest<Bytes>,
    response: Response,
    secure: bool,
}

/// ```text
///   Unasked --ask--> Awaited --head--> Body --end--> Over
/// ```
enum Response {
    Unasked,
    Awaited(ResponseFuture),
    Body(RecvStream),
    Over,
}

impl Http2 {
    /// Says hello; the server's own is not waited for. `kept`: the most that is kept of a response, head or body.
    pub async fn start(socket: Socket, secure: bool, kept: usize) -> io::Result<Self> {
        let fate = socket.fate();
        let kept = u32::try_from(kept).unwrap_or(u32::MAX);
        let mut builder = Builder::new();
        builder.enable_push(false).max_header_list_size(kept);
        let (requests, connection) = builder.handshake(socket).await.map_err(|_| told(fate.get()))?;
        Ok(Self { connection, ended: false, fate, requests, response: Response::Unasked, secure })
    }

    /// Puts the request on its way.
    pub async fn ask(&mut self, outgoing: &Outgoing) -> io::Result<()> {
        let request = self.request(outgoing).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let bodiless = outgoing.body.is_empty();
        let (response, mut body) = self.requests.send_request(request, bodiless).map_err(|_| refused())?;
        if !bodiless {
            body.send_data(Bytes::copy_from_slice(&outgoing.body), true).map_err(|_| refused())?;
        }
        self.response = Response::Awaited(response);
        Ok(())
    }

    /// What comes next of the response.
    pub async fn receive(&mut self) -> io::Result<Piece> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        let mut broken = None;
        if !self.ended
            && let Poll::Ready(end) = Pin::new(&mut self.connection).poll(cx)
        {
            self.ended = true;
            broken = end.err();
        }
        match self.poll_response(cx) {
            // What the connection broke with says more than that the response is not to be had.
            Poll::Ready(Err(error)) => Poll::Ready(self.explain(&broken.unwrap_or(error))),
            Poll::Ready(Ok(piece)) => Poll::Ready(Ok(piece)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, h2::Error>> {
        match &mut self.response {
            Response::Awaited(response) => Pin::new(response).poll(cx).map_ok(|response| {
                let (parts, body) = response.into_parts();
                self.response = if body.is_end_stream() { Response::Over } else { Response::Body(body) };
                Piece::Head(head(&parts))
            }),
            Response::Body(body) => match ready!(body.poll_data(cx)).transpose()? {
                Some(data) => {
                    body.flow_control().release_capacity(data.len())?;
                    Poll::Ready(Ok(Piece::Bytes(data.to_vec())))
                }
                None => {
                    self.response = Response::Over;
                    Poll::Ready(Ok(Piece::End))
                }
            },
            Response::Unasked | Response::Over => Poll::Ready(Ok(Piece::End)),
        }
    }

    /// A server that takes no more streams, or closes, without an answer: HAProxy tells that from an error.
    fn explain(&self, error: &h2::Error) -> io::Result<Piece> {
        let awaited = matches!(self.response, Response::Awaited(_));
        match self.fate.get() {
            _ if awaited && error.is_go_away() && error.is_remote() => Ok(Piece::Nothing),
            Fate::Closed if awaited => Ok(Piece::Nothing),
            fate => Err(told(fate)),
        }
    }

    /// The `host` field becomes the authority. Without one there is neither, as in HAProxy.
    fn request(&self, outgoing: &Outgoing) -> Result<Request<()>, http::Error> {
        let scheme = if self.secure { Scheme::HTTPS } else { Scheme::HTTP };
        let authority = outgoing.header("host").and_then(|host| Authority::try_from(host).ok());
        let mut uri = Uri::try_from(outgoing.uri.as_slice())?.into_parts();
        if uri.authority.is_none() && authority.is_some() {
            (uri.scheme, uri.authority) = (Some(scheme), authority);
            uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
        }
        // The crate sends a request without an authority only as one that came by HTTP/1.
        let whole = uri.authority.is_some();
        let version = if whole { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
        let mut request = Request::builder().method(outgoing.method.as_str()).version(version);
        request = request.uri(Uri::from_parts(uri)?);
        for (name, value) in &outgoing.headers {
            if OF_CONNECTION.contains(&name.as_str())
                || name == "host" && whole
                || name == "te" && value != b"trailers"
            {
                continue;
            }
            let name = HeaderName::from_bytes(name.as_bytes())?;
            request = request.header(name, HeaderValue::from_bytes(value)?);
        }
        request.body(())
    }
}

fn head(parts: &response::Parts) -> Head {
    let mut head = Head::new();
    let reason = head.push_bytes(b"");
    head.status_line(Version::HTTP_2, parts.status.as_u16(), reason);
    for (name, value) in &parts.headers {
        let (name, value) = (head.push_bytes(name.as_str().as_bytes()), head.push_bytes(value.as_bytes()));
        head.field(name, value);
    }
    head
}

/// The system's error, if it is one.
fn told(fate: Fate) -> io::Error {
    match fate {
        Fate::Broken(number) => io::Error::from_raw_os_error(number),
        _ => refused(),
    }
}

/// The server broke the protocol, or the stream: there are no words of the system's for that.
fn refused() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
