//! One run of one check: whom it asks, how long it may take, how it connects.

use super::rules;
use super::state;
use super::target::Target;
use crate::clock::Now;
use crate::config::model::global::Tune;
use crate::config::model::{Server, Source};
use crate::expr::facts::ConnFacts;
use crate::health::{Finding, Status};
use crate::live::{Generation, LiveProxy, LiveServer};
use crate::net::socks4::Socks4Error;
use crate::net::{self, Dial, DialError, DialErrorKind, Stream};
use std::future::poll_fn;
use std::io;
use tokio::time::Instant;

/// What a kind of check is given.
#[derive(Debug)]
pub struct Job<'a> {
    pub generation: &'a Generation,
    pub proxy: &'a LiveProxy,
    pub server: &'a LiveServer,
    pub target: &'a Target,
    pub started: Instant,
}

/// How a connection of a check begins.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// With a PROXY header.
    pub proxied: bool,
    /// Through the server's `socks4`.
    pub tunnelled: bool,
    /// We send next or reset the connection, so the handshake's last acknowledgement waits for that: a server that is only
    /// connected to never sees the connection.
    pub holds_ack: bool,
    /// TLS follows.
    pub secure: bool,
}

impl<'a> Job<'a> {
    /// One that starts now.
    #[must_use]
    pub fn begin(
        generation: &'a Generation,
        proxy: &'a LiveProxy,
        server: &'a LiveServer,
        target: &'a Target,
    ) -> Self {
        Self { generation, proxy, server, target, started: Instant::now() }
    }

    /// A connection to the server, with the PROXY header sent where one is wanted; else the finding that says why not.
    ///
    /// # Errors
    /// The check's outcome.
    pub async fn connect(&self) -> Result<Stream, Finding> {
        self.connect_to(&self.target.server, self.usual()).await
    }

    /// The same with `server` in place of the one that is checked.
    ///
    /// # Errors
    /// The check's outcome.
    pub async fn connect_to(&self, server: &Server, way: Way) -> Result<Stream, Finding> {
        let Way { proxied, tunnelled, holds_ack, secure } = way;
        let target = self.target;
        let facts = ConnFacts::of_nobody(Now::read().wall);
        let dial = Dial {
            server,
            via: server.socks4.filter(|_| tunnelled),
            source: self.source(),
            client: &facts,
            header_ip: None,
            keepalive: self.proxy.conf.server_keep_alive(),
            transparent: false,
            tune: self.tune(),
            asks_first: holds_ack,
            mark: None,
            tos: None,
            tls: None,
            timeout: Some(target.connect_limit),
        };
        let stream = net::dial(&dial).await.map_err(|e| explain(&e, secure))?;
        let header = if proxied { self.proxy_header(&stream) } else { Vec::new() };
        if !header.is_empty() {
            // A fresh socket's buffer takes it whole.
            stream.try_write(&header).map_err(|e| Finding::new(Status::L4Connect).info(words(&e)))?;
        }
        Ok(stream)
    }

    /// `by_rule`: it is the step that `option tcp-check` makes.
    pub(super) async fn connect_only(&self, by_rule: bool) -> Finding {
        match self.connect_to(&self.target.server, Way { holds_ack: true, ..self.usual() }).await {
            Ok(stream) => {
                // As HAProxy does: no TIME_WAIT is left behind.
                stream.reset_on_close();
                Finding::new(Status::L4Ok)
            }
            Err(mut finding) => {
                if by_rule {
                    finding.info.get_or_insert_default().push_str(rules::FIRST_STEP);
                }
                finding
            }
        }
    }

    /// When the whole check is to be over, for a kind that has connected: `timeout check` from now, else `inter` from
    /// the start.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self.target.read_limit {
            Some(limit) => Instant::now() + limit,
            None => self.started + self.target.inter,
        }
    }

    /// As the server line says.
    #[must_use]
    pub fn usual(&self) -> Way {
        let target = self.target;
        Way {
            proxied: target.send_proxy.is_some(),
            tunnelled: target.via_socks4,
            holds_ack: false,
            secure: false,
        }
    }

    /// The backend's `source`.
    #[must_use]
    pub fn source(&self) -> Option<&Source> {
        self.proxy.conf.back.as_ref()?.source.as_ref()
    }

    #[must_use]
    pub fn tune(&self) -> &Tune {
        &self.generation.config.global.tune
    }

    /// The value of `http-check send-state`'s header.
    #[must_use]
    pub fn state(&self) -> Option<String> {
        state::describe(self.generation, self.proxy, self.server)
    }

    fn proxy_header(&self, stream: &Stream) -> Vec<u8> {
        let mut out = Vec::new();
        let send = self.target.send_proxy.clone().or_else(|| self.server.conf.send_proxy.clone());
        let send = send.unwrap_or_default();
        let facts = ConnFacts {
            src: stream.local_addr(),
            dst: stream.peer_addr(),
            ..ConnFacts::of_nobody(Now::read().wall)
        };
        // Version 1 has no word for connections that speak for themselves.
        net::proxy_header(&send, &facts, None, send.v2, &mut out);
        out
    }
}

/// Writes all of `bytes`.
///
/// # Errors
/// The connection's.
pub async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|r| !r.is_empty()) {
        sent += poll_fn(|cx| stream.poll_write(cx, rest)).await?;
    }
    Ok(())
}

/// Appends what the server sent next; 0: it sent its end.
///
/// # Errors
/// The connection's.
pub async fn receive(stream: &mut Stream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0_u8; 4096];
    let n = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
    bytes.extend_from_slice(buffer.get(..n).unwrap_or_default());
    Ok(n)
}

/// `secure`: TLS was to follow, whose layer is blamed for the SOCKS proxy, as in HAProxy.
fn explain(error: &DialError, secure: bool) -> Finding {
    let info = error.errno.map(|e| words(&io::Error::from_raw_os_error(e)));
    let (status, info) = match error.kind {
        DialErrorKind::Timeout => (Status::L4Timeout, None),
        DialErrorKind::Resources | DialErrorKind::NoAddress => (Status::SocketError, general(info)),
        DialErrorKind::Socks4(Socks4Error::Silent) if secure => (Status::L6Timeout, None),
        DialErrorKind::Socks4(Socks4Error::Silent) => (Status::L7Timeout, None),
        DialErrorKind::Socks4(error) => {
            let status = if secure { Status::L6Response } else { Status::SocketError };
            let system = info.map_or_else(String::new, |words| format!(" ({words})"));
            (status, Some(error.words().to_owned() + &system))
        }
        // A unix socket that is not there.
        _ if error.errno == Some(libc::ENOENT) => (Status::SocketError, general(info)),
        _ => (Status::L4Connect, info),
    };
    Finding { info, ..Finding::new(status) }
}

fn general(info: Option<String>) -> Option<String> {
    info.map(|i| format!("General socket error ({i})"))
}

/// The system's words without the number that Rust adds.
#[must_use]
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
