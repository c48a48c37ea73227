//! `socks4`: the way to a server leads through a SOCKS 4 proxy, which is asked to connect before anything else is said.
//!
//! The protocol is Ying-Da Lee's memo of 1992: a request of eight bytes and a user's name, an answer of eight bytes.

use super::Stream;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

/// What HAProxy calls itself there.
const USER: &[u8] = b"HAProxy\0";
const ANSWER: usize = 8;
const GRANTED: u8 = 90;

/// How the proxy failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socks4Error {
    Send,
    Receive,
    Denied,
    /// It broke the connection, or the server has no IPv4 address to ask for.
    Aborted,
    /// The time was over before it answered.
    Silent,
}

impl Socks4Error {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Send => "SOCKS4 Proxy write error during handshake",
            Self::Receive => "SOCKS4 Proxy read error during handshake",
            Self::Denied => "SOCKS4 Proxy deny the request",
            Self::Aborted => "SOCKS4 Proxy handshake aborted by server",
            Self::Silent => "SOCKS4 Proxy does not answer",
        }
    }
}

/// Asks the proxy at the other end of `stream` for `server`; the connection is one to the server then.
///
/// # Errors
/// Why it is not, and the system's number where the connection broke.
pub async fn ask(stream: &mut Stream, server: SocketAddr) -> Result<(), (Socks4Error, Option<i32>)> {
    let SocketAddr::V4(server) = server else { return Err((Socks4Error::Aborted, None)) };
    let port = server.port().to_be_bytes();
    let request = [&[4, 1], port.as_slice(), &server.ip().octets(), USER].concat();
    let mut rest = request.as_slice();
    while !rest.is_empty() {
        let sent = poll_fn(|cx| stream.poll_write(cx, rest)).await.map_err(|_| (Socks4Error::Send, None))?;
        rest = rest.get(sent..).unwrap_or_default();
    }
    let mut answer = [0; ANSWER];
    let mut got = 0;
    // Not a byte more: what follows is the server's.
    while let Some(room) = answer.get_mut(got..).filter(|r| !r.is_empty()) {
        match poll_fn(|cx| stream.poll_read(cx, room)).await {
            // These two are HAProxy's words, its own way round.
            Ok(0) => return Err((Socks4Error::Receive, None)),
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err((Socks4Error::Aborted, e.raw_os_error())),
        }
    }
    match answer {
        [0, GRANTED, ..] => Ok(()),
        _ => Err((Socks4Error::Denied, None)),
    }
}
