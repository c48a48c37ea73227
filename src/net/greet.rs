//! The server's side of a TLS handshake: the client's first message chooses the certificate and with it the settings.

use super::Stream;
use super::{secure, tls_counts};
use crate::tls::{Door, Handshake};
use rustls::pki_types::UnixTime;
use rustls::server::Acceptor;
use rustls::{Connection, Error};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

/// Why there is no TLS connection; `Display` is HAProxy's phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetError {
    /// Closed before the client said anything.
    Empty,
    /// Reset before that.
    Aborted,
    Timeout,
    /// The client's certificate is not accepted, or one above it.
    Untrusted,
    UntrustedAbove,
    Failed,
}

impl std::fmt::Display for GreetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Connection closed during SSL handshake",
            Self::Aborted => "Connection error during SSL handshake",
            Self::Timeout => "Timeout during SSL handshake",
            Self::Untrusted => "SSL client certificate not trusted",
            Self::UntrustedAbove => "SSL client CA chain cannot be verified",
            Self::Failed => "SSL handshake failure",
        })
    }
}

/// Shakes hands with a client that has said `before` already. The stream is the plain one again if that fails, so that
/// its owner decides how it ends.
pub async fn greet(
    mut socket: Stream,
    before: Vec<u8>,
    door: &Door,
) -> Result<(Stream, Handshake), (Stream, GreetError)> {
    tls_counts::client();
    let mut acceptor = Acceptor::default();
    let mut rest = io::Cursor::new(before);
    let hello = match read_hello(&mut socket, &mut acceptor, &mut rest).await {
        Ok(hello) => hello,
        Err(error) => return Err((socket, error)),
    };
    let Some(instance) = door.choose(&hello.client_hello()) else {
        let _ = socket.try_write(UNRECOGNIZED_NAME);
        return Err((socket, GreetError::Failed));
    };
    let config = instance.config(&hello.client_hello());
    let early = config.max_early_data_size > 0;
    let tls = match hello.into_connection(config) {
        Ok(tls) => tls,
        Err((_, mut alert)) => {
            let _ = alert.write_all(&mut Socket(&socket));
            return Err((socket, GreetError::Failed));
        }
    };
    let mut behind = Vec::new();
    let _ = rest.read_to_end(&mut behind);
    match secure::shake_behind(socket, Connection::from(tls), behind, early).await {
        Ok(stream) => {
            let shown = Arc::clone(&instance);
            let handshake = stream.secure().and_then(|secure| {
                let early = secure.early();
                secure.see(|tls| match tls {
                    Connection::Server(tls) => Some(Handshake::of(tls, &shown, early, UnixTime::now())),
                    Connection::Client(_) => None,
                })
            });
            match handshake {
                Some(handshake) => Ok((stream, handshake)),
                None => Err((stream, GreetError::Failed)),
            }
        }
        Err((socket, error)) => Err((socket, explain(&error))),
    }
}

/// How long a client may take to hear why there is no connection.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Takes what a refused client still sends, for a moment: with TLS 1.3 it may have asked before it is refused, and for
/// bytes that nobody reads the kernel resets the connection, so that the client might never hear why.
pub async fn part(stream: &mut Stream) {
    if stream.shutdown_write().is_err() {
        return;
    }
    let (mut bytes, mut budget) = (vec![0; 4096], 64);
    let drain = poll_fn(|cx| {
        loop {
            match ready!(stream.poll_read(cx, &mut bytes)) {
                Ok(n) if n > 0 && budget > 0 => budget -= 1,
                _ => return Poll::Ready(()),
            }
        }
    });
    let _ = tokio::time::timeout(LAST_WORDS, drain).await;
}

/// Reads until the client's first message is whole.
async fn read_hello(
    socket: &mut Stream,
    acceptor: &mut Acceptor,
    rest: &mut io::Cursor<Vec<u8>>,
) -> Result<rustls::server::Accepted, GreetError> {
    let mut silent = rest.get_ref().is_empty();
    loop {
        // Never from the empty one: for the library that is the end.
        let read = match rest.position() < rest.get_ref().len() as u64 {
            true => acceptor.read_tls(rest),
            false => {
                poll_fn(|cx| {
                    let mut source = secure::Reading(|buf: &mut [u8]| secure::now(socket.poll_read(cx, buf)));
                    match acceptor.read_tls(&mut source) {
                        Err(e) if e.kind() == ErrorKind::WouldBlock => Poll::Pending,
                        done => Poll::Ready(done),
                    }
                })
                .await
            }
        };
        match read {
            Ok(0) if silent => return Err(GreetError::Empty),
            Ok(0) => return Err(GreetError::Failed),
            Ok(_) => silent = false,
            Err(_) if silent => return Err(GreetError::Aborted),
            Err(_) => return Err(GreetError::Failed),
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(hello)) => return Ok(hello),
            Err((_, mut alert)) => {
                let _ = alert.write_all(&mut Socket(socket));
                return Err(GreetError::Failed);
            }
        }
    }
}

fn explain(error: &io::Error) -> GreetError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(_)) => match crate::tls::verify::refusal() {
            Some(fault) if fault.depth > 0 => GreetError::UntrustedAbove,
            _ => GreetError::Untrusted,
        },
        _ => GreetError::Failed,
    }
}

/// A fatal alert in the clear (RFC 8446 6, RFC 6066 3): the library does not send this one.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

struct Socket<'a>(&'a Stream);

impl Write for Socket<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
