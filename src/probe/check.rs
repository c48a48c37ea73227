//! One check of one server: connect, and with `option httpchk` ask.

use super::http::{self, Answer};
use super::status::{Finding, Status};
use crate::clock::Now;
use crate::config::model::global::Tune;
use crate::config::model::{CheckKind, Endpoint, Proxy, SendProxy, Server, Source};
use crate::expr::facts::ConnFacts;
use crate::net::{self, Dial, DialError, DialErrorKind, Stream};
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// All that a check of one server needs, worked out once.
#[derive(Debug)]
pub struct Target {
    /// The server as the check sees it: `addr` and `port` in place of its own.
    server: Server,
    source: Option<Source>,
    kind: CheckKind,
    send_proxy: Option<SendProxy>,
    keepalive: bool,
    tune: Tune,
    pub stops_on_404: bool,
    connect_limit: Duration,
    /// `timeout check`: on top of the connect. Without it `inter` is the limit of the whole.
    read_limit: Option<Duration>,
    inter: Duration,
}

impl Target {
    /// `None`: the server is not checked.
    #[must_use]
    pub fn new(proxy: &Proxy, server: &Server, tune: &Tune) -> Option<Self> {
        let (back, check) = (proxy.back.as_ref()?, server.check.as_ref()?);
        let mut seen = server.clone();
        if let Endpoint::Inet(address) = &mut seen.endpoint {
            if let Some(ip) = check.addr {
                address.set_ip(ip);
            }
            if let Some(port) = check.port {
                address.set_port(port);
                seen.port_offset = None;
            }
        }
        let timeouts = &proxy.timeouts;
        let connect_limit = match (timeouts.check, timeouts.connect) {
            (Some(_), Some(connect)) => connect.min(check.inter),
            _ => check.inter,
        };
        Some(Self {
            send_proxy: check.send_proxy.then(|| server.send_proxy.clone().unwrap_or_default()),
            server: seen,
            source: back.source.clone(),
            kind: back.check.clone(),
            keepalive: proxy.options.srvtcpka,
            tune: tune.clone(),
            stops_on_404: back.disable_on_404,
            connect_limit,
            read_limit: timeouts.check,
            inter: check.inter,
        })
    }

    /// Runs one check. `down`: the server is down, so that a 404 is a failure like others. `state`: the header of
    /// `send-state`.
    pub async fn run(&self, down: bool, state: Option<&str>) -> Finding {
        let start = Instant::now();
        let finding = |status, code, info| Finding { status, code, info, duration: Some(start.elapsed()) };
        let facts = own_facts();
        let dial = Dial {
            server: &self.server,
            source: self.source.as_ref(),
            client: &facts,
            header_ip: None,
            keepalive: self.keepalive,
            transparent: false,
            tune: &self.tune,
            timeout: Some(self.connect_limit),
        };
        let stream = match net::dial(&dial).await {
            Ok(stream) => stream,
            Err(error) => {
                let (status, info) = explain(&error);
                return finding(status, None, info);
            }
        };
        let CheckKind::Http(wanted) = &self.kind else {
            self.greet(&stream);
            return finding(Status::L4Ok, None, None);
        };
        let deadline = match self.read_limit {
            Some(limit) => Instant::now() + limit,
            None => start + self.inter,
        };
        let mut request = self.proxy_header(&stream);
        request.extend(http::request(wanted, state));
        let asked = timeout_at(
            deadline,
            ask(stream, &request, |bytes, end| http::read(bytes, end, wanted, self.stops_on_404 && !down)),
        );
        match asked.await {
            Err(_) => finding(Status::L7Timeout, None, None),
            Ok(Err(error)) => finding(Status::L7Response, None, Some(words(&error))),
            Ok(Ok(Answer { status, code, info })) => finding(status, code, info),
        }
    }

    fn proxy_header(&self, stream: &Stream) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(send) = &self.send_proxy {
            let facts = ConnFacts { src: stream.local_addr(), dst: stream.peer_addr(), ..own_facts() };
            net::proxy_header(send, &facts, None, None, false, &mut out);
        }
        out
    }

    fn greet(&self, stream: &Stream) {
        let header = self.proxy_header(stream);
        if !header.is_empty() {
            // A fresh socket's buffer takes it whole; a check that only connects does not care.
            let _sent = stream.try_write(&header);
        }
    }
}

async fn ask(
    mut stream: Stream,
    request: &[u8],
    read: impl Fn(&[u8], bool) -> Option<Answer>,
) -> io::Result<Answer> {
    let mut sent = 0;
    while let Some(rest) = request.get(sent..).filter(|r| !r.is_empty()) {
        sent += poll_fn(|cx| stream.poll_write(cx, rest)).await?;
    }
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let n = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
        bytes.extend_from_slice(buffer.get(..n).unwrap_or_default());
        if let Some(answer) = read(&bytes, n == 0) {
            return Ok(answer);
        }
    }
}

fn explain(error: &DialError) -> (Status, Option<String>) {
    let info = error.errno.map(|e| words(&io::Error::from_raw_os_error(e)));
    match error.kind {
        DialErrorKind::Timeout => (Status::L4Timeout, None),
        DialErrorKind::Resources | DialErrorKind::NoAddress => (Status::SocketError, general(info)),
        // A unix socket that is not there.
        _ if error.errno == Some(libc::ENOENT) => (Status::SocketError, general(info)),
        _ => (Status::L4Connect, info),
    }
}

fn general(info: Option<String>) -> Option<String> {
    info.map(|i| format!("General socket error ({i})"))
}

/// The system's words without the number that Rust adds.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn own_facts() -> ConnFacts {
    ConnFacts {
        src: None,
        dst: None,
        accepted: Now::read().wall,
        listener_id: 0,
        listener_name: None::<Arc<str>>,
        proxy_tlvs: Vec::new(),
    }
}
