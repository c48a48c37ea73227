//! From accept to engine: connection rules, the PROXY header, session rules, then TCP or HTTP.

use super::tracing::tell;
use super::worker::Worker;
use crate::config::model::Mode;
use crate::live::LiveProxy;
use crate::live::rules::TcpVerdict;
use crate::live::trace::Origin;
use crate::live::trace::sources::{session, ssl};
use crate::net::greet::{self, GreetError};
use crate::net::{Accepted, Stream};
use crate::tls::Door;
use crate::wire::proxy_protocol::{self, Parsed};
use crate::{http, logging, tcp};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long a client has for its PROXY header when `timeout client-hs` and `timeout client` say nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// What remains to be done for a connection, on the heap: a task holds no more than what its connection needs now. Most
/// connections wait for their next request most of the time, and there are many of them.
pub type Session = Pin<Box<dyn Future<Output = ()>>>;

/// Begins with one connection; `None`: a rule rejected it.
pub fn begin(mut accepted: Accepted, proxy: Arc<LiveProxy>, worker: &Rc<Worker>) -> Option<Session> {
    let by_rule = connection_rules(&mut accepted, &proxy, worker)?;
    accepted.conn.keep_ends();
    let by_header = by_rule || accepted.bind.accept_proxy;
    if by_header || accepted.bind.tls.is_some() {
        return Some(Box::pin(after_handshakes(by_header, accepted, proxy, Rc::clone(worker))));
    }
    session_rules(&mut accepted, &proxy, worker).then(|| engine(accepted, proxy, worker))
}

async fn after_handshakes(
    by_header: bool,
    mut accepted: Accepted,
    proxy: Arc<LiveProxy>,
    worker: Rc<Worker>,
) {
    if by_header && let Err(problem) = read_header(&mut accepted, &proxy).await {
        let said = !accepted.preread.is_empty();
        embryonic(&accepted, &proxy, &worker, problem, said);
        tell((Origin::Session, session::REFUSED), problem, &accepted, &proxy, &worker);
        // What is not ours to read is refused as the kernel refuses unread bytes.
        if said {
            accepted.stream.reset_on_close();
        }
        return;
    }
    if let Some(door) = accepted.bind.tls.clone() {
        match greet(accepted, &door, &proxy).await {
            Ok(greeted) => {
                accepted = greeted;
                tell((Origin::Ssl, ssl::SHAKEN), "handshake done", &accepted, &proxy, &worker);
            }
            Err((mut refused, error)) => {
                let said = !matches!(error, GreetError::Empty | GreetError::Aborted | GreetError::Timeout);
                embryonic(&refused, &proxy, &worker, &error.to_string(), said);
                tell((Origin::Ssl, ssl::FAILED), &error.to_string(), &refused, &proxy, &worker);
                if said {
                    Box::pin(greet::part(&mut refused.stream)).await;
                }
                return;
            }
        }
    }
    if session_rules(&mut accepted, &proxy, &worker) {
        engine(accepted, proxy, &worker).await;
    }
}

/// False: a rule rejected it.
fn session_rules(accepted: &mut Accepted, proxy: &Arc<LiveProxy>, worker: &Worker) -> bool {
    let listener = accepted.conn.listener_id;
    let rules = !proxy.conf.tcp_request_session.is_empty();
    let verdict = rules.then(|| tcp::session_rules(accepted, proxy, worker.generation(), &worker.tcp));
    if let Some(verdict) = verdict
        && matches!(verdict, TcpVerdict::Reject | TcpVerdict::SilentDrop)
    {
        proxy.front.count(listener, |c| c.denied_sessions.inc());
        tell((Origin::Session, session::REFUSED), "refused by a session rule", accepted, proxy, worker);
        if verdict == TcpVerdict::SilentDrop {
            accepted.stream.vanish_on_close();
        }
        return false;
    }
    proxy.front.count(listener, |c| c.sessions.inc());
    tell((Origin::Session, session::ACCEPTED), "new session", accepted, proxy, worker);
    true
}

/// The TLS handshake, within the time that `timeout client-hs` or `timeout client` leaves of the connection's first
/// steps.
async fn greet(
    mut accepted: Accepted,
    door: &Door,
    proxy: &LiveProxy,
) -> Result<Accepted, (Accepted, GreetError)> {
    let timeouts = &proxy.conf.timeouts;
    let limit = timeouts.client_hs.or(timeouts.client);
    let socket = std::mem::replace(&mut accepted.stream, Stream::Gone);
    let greeting = greet::greet(socket, std::mem::take(&mut accepted.preread), door);
    let greeted = match limit {
        Some(limit) => tokio::time::timeout(limit.saturating_sub(accepted.at.elapsed()), greeting).await,
        None => Ok(greeting.await),
    };
    match greeted {
        Ok(Ok((stream, handshake))) => {
            accepted.stream = stream;
            accepted.conn.tls = Some(Arc::new(handshake));
            accepted.handshake = crate::clock::millis(accepted.at.elapsed());
            Ok(accepted)
        }
        Ok(Err((stream, error))) => {
            accepted.stream = stream;
            Err((accepted, error))
        }
        Err(_) => Err((accepted, GreetError::Timeout)),
    }
}

fn engine(accepted: Accepted, proxy: Arc<LiveProxy>, worker: &Rc<Worker>) -> Session {
    let generation = Arc::clone(worker.generation());
    let http = Rc::clone(&worker.http);
    if proxy.conf.mode == Mode::Http {
        return Box::pin(http::serve(accepted, proxy, generation, http));
    }
    let tcp = tcp::serve(accepted, Arc::clone(&proxy), Arc::clone(&generation), Rc::clone(&worker.tcp));
    Box::pin(async move {
        if let Some(accepted) = tcp.await {
            Box::pin(http::serve(accepted, proxy, generation, http)).await;
        }
    })
}

fn refuse(accepted: &Accepted, verdict: TcpVerdict) {
    if verdict == TcpVerdict::SilentDrop {
        accepted.stream.vanish_on_close();
    } else {
        accepted.stream.reset_on_close();
    }
}

/// `None`: rejected. Else whether a rule asks for a PROXY header.
fn connection_rules(accepted: &mut Accepted, proxy: &Arc<LiveProxy>, worker: &Worker) -> Option<bool> {
    if proxy.conf.tcp_request_connection.is_empty() {
        return Some(false);
    }
    let mut by_rule = false;
    let mut from = 0;
    loop {
        match tcp::connection_rules(accepted, from, proxy, worker.generation(), &worker.tcp) {
            TcpVerdict::ExpectProxy { resume } => {
                by_rule = true;
                from = resume;
            }
            verdict @ (TcpVerdict::Reject | TcpVerdict::SilentDrop) => {
                proxy.front.count(accepted.conn.listener_id, |c| c.denied_connections.inc());
                refuse(accepted, verdict);
                tell(
                    (Origin::Session, session::REFUSED),
                    "refused by a connection rule",
                    accepted,
                    proxy,
                    worker,
                );
                return None;
            }
            _ => return Some(by_rule),
        }
    }
}

/// Takes the header off the stream and its addresses over; what came after it stays in `preread`.
async fn read_header(accepted: &mut Accepted, proxy: &LiveProxy) -> Result<(), &'static str> {
    let timeouts = &proxy.conf.timeouts;
    let limit = timeouts.client_hs.or(timeouts.client).unwrap_or(HEADER_TIMEOUT);
    match tokio::time::timeout(limit, header(accepted)).await {
        Ok(done) => done?,
        Err(_) => return Err("Timeout while waiting for PROXY protocol header"),
    }
    accepted.handshake = crate::clock::millis(accepted.at.elapsed());
    Ok(())
}

async fn header(accepted: &mut Accepted) -> Result<(), &'static str> {
    let mut chunk = [0; 512];
    loop {
        match proxy_protocol::parse(&accepted.preread) {
            Ok(Parsed::Header(header, taken)) => {
                accepted.preread.drain(..taken);
                if let Some((src, dst)) = header.addresses {
                    accepted.conn.src = Some(src);
                    accepted.conn.dst = Some(dst);
                }
                accepted.conn.proxied = true;
                accepted.conn.proxy_tlvs = header.tlvs;
                return Ok(());
            }
            Ok(Parsed::Need) => {}
            Err(_) => return Err("Received something which does not look like a PROXY protocol header"),
        }
        match poll_fn(|cx| accepted.stream.poll_read(cx, &mut chunk)).await {
            Ok(0) => return Err("Connection closed while waiting for PROXY protocol header"),
            Ok(n) => accepted.preread.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(_) => return Err("Connection error while waiting for PROXY protocol header"),
        }
    }
}

/// A connection that never became a session has a log line of its own form.
fn embryonic(accepted: &Accepted, proxy: &LiveProxy, worker: &Worker, problem: &str, said: bool) {
    proxy.front.count(accepted.conn.listener_id, |c| c.failed_requests.inc());
    let conf = &proxy.conf;
    if conf.options.dontlognull && !said {
        return;
    }
    let mut line = Vec::new();
    match accepted.conn.src {
        Some(src) => line.extend_from_slice(format!("{}:{}", src.ip(), src.port()).as_bytes()),
        None => line.extend_from_slice(b"unix:1"),
    }
    line.extend_from_slice(b" [");
    logging::date_ms(accepted.conn.accepted, &mut line);
    let listener = match &accepted.bind.name {
        Some(name) => name.to_string(),
        None => accepted.bind.id.to_string(),
    };
    line.extend_from_slice(format!("] {}/{listener}: {problem}", conf.name).as_bytes());
    worker.log.emit(&conf.log.targets, logging::level::INFO, conf.log.tag.as_deref(), b"", &line);
}
