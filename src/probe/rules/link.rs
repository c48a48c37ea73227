//! The connection a rule set talks over, plain or TLS.

use super::machine::Failure;
use crate::config::model::check::Connect;
use crate::config::model::{Endpoint, Server};
use crate::health::Status;
use crate::net::Stream;
use crate::net::tls::TlsError;
use crate::probe::job::{self, Job, Way};
use std::borrow::Cow;
use std::io;
use tokio::time::{Instant, timeout_at};

pub struct Link {
    stream: Stream,
    /// When the exchange is to be over.
    pub deadline: Instant,
    linger: bool,
}

impl Link {
    /// Connects as the step and the server line say.
    pub async fn open(
        job: &Job<'_>,
        connect: &Connect,
        port: Option<u16>,
        holds_ack: bool,
    ) -> Result<Self, Failure> {
        let limit = Instant::now() + job.target.connect_limit;
        let server = addressed(&job.target.server, connect, port);
        let usual = job.usual();
        let way = Way {
            proxied: connect.send_proxy || connect.default && usual.proxied,
            tunnelled: connect.via_socks4 || connect.default && usual.tunnelled,
            holds_ack,
        };
        let stream = match job.connect_to(&server, way).await {
            Ok(stream) => stream,
            Err(finding) => return Err(Failure { status: finding.status, text: finding.info }),
        };
        let stream = match timeout_at(limit, secured(job, connect, stream)).await {
            Ok(stream) => stream?,
            Err(_) => return Err(Failure { status: Status::L6Timeout, text: None }),
        };
        Ok(Self { stream, deadline: job.deadline(), linger: connect.linger })
    }

    pub fn is_secure(&self) -> bool {
        !self.stream.is_plain()
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        job::send(&mut self.stream, bytes).await
    }

    /// What comes next; nothing at the end.
    pub async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        job::receive(&mut self.stream, &mut bytes).await?;
        Ok(bytes)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.linger {
            return;
        }
        // As HAProxy does: no TIME_WAIT is left behind.
        self.stream.reset_on_close();
    }
}

async fn secured(job: &Job<'_>, connect: &Connect, stream: Stream) -> Result<Stream, Failure> {
    let Some(tls) = &job.target.tls else { return Ok(stream) };
    if !(connect.ssl || connect.default && tls.always) {
        return Ok(stream);
    }
    let usual = |own: bool| connect.default && !own;
    let sni = connect.sni.as_deref().or_else(|| tls.sni.as_deref().filter(|_| usual(false)));
    let alpn = if usual(!connect.alpn.is_empty()) { &tls.alpn } else { &connect.alpn };
    match tls.connector.connect(stream, sni, Some(alpn)).await {
        Ok(stream) => Ok(stream),
        Err(error) => Err(Failure { status: Status::L6Response, text: Some(words(error).to_owned()) }),
    }
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
