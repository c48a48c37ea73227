//! Server connections that carry many streams: a place on one, the request's head and the response's as values.

use super::deliver;
use super::error::{Cause, Failure, Phase, Trouble};
use super::exchange::Exchange;
use super::h1::write;
use super::h1::{BodyLength, ResponseFraming};
use super::h2::outgoing::{self, Wish};
use super::h2::{Asker, Dialling, Lease, Mux, Terms};
use super::tracing;
use super::upstream::{Asked, Upstream};
use crate::config::model::backend::Ws;
use crate::config::model::{Backend, Protocol, Reuse};
use crate::live::counters::InUse;
use crate::live::multiplexed::OpenConnection;
use crate::live::{LiveServer, trace};
use crate::message::{Method, Version};
use crate::net::Stream;
use crate::net::carried::{Answer, Ending};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::Notify;

/// `connection: upgrade` to this.
const WEBSOCKET: &[u8] = b"websocket";

impl Exchange<'_> {
    /// Is a websocket asked for, and the server's line wants HTTP/1.1 for those?
    fn is_for_h1(&self, server: &LiveServer) -> bool {
        let conf = &server.conf;
        let asked = self.framing.upgrade
            && self.ctx.request.first(b"upgrade").is_some_and(|to| to.eq_ignore_ascii_case(WEBSOCKET));
        let offered = conf.tls.as_ref().is_some_and(|tls| tls.alpn.iter().any(|name| name == b"http/1.1"));
        asked
            && match conf.ws {
                Ws::Auto => conf.protocol.is_none() && offered,
                Ws::H1 => true,
                Ws::H2 => false,
            }
    }

    /// What ALPN offers in place of the server line's protocols.
    pub(super) fn downgrade(&self, server: &LiveServer) -> Option<Vec<Vec<u8>>> {
        (server.conf.may_speak_h2() && self.is_for_h1(server)).then(|| vec![b"http/1.1".to_vec()])
    }

    /// Does the connection that was just made carry many streams?
    pub(super) fn is_multiplexed(&self, stream: &Stream, server: &LiveServer) -> bool {
        let agreed = stream.secure().is_some_and(|tls| tls.see(|c| c.alpn_protocol() == Some(b"h2")));
        self.is_told_h2(server) || (server.conf.protocol.is_none() && agreed)
    }

    /// HTTP/2 without asking the server.
    fn is_told_h2(&self, server: &LiveServer) -> bool {
        server.conf.protocol == Some(Protocol::H2) && !self.is_for_h1(server)
    }

    /// Somebody whose connection this request could share is just making it: what tells when that is done. Else others
    /// may wait for ours, where it is known that it will carry several.
    pub(super) fn waits_for_another(
        &self,
        server: &Arc<LiveServer>,
        conf: &Backend,
    ) -> Result<Rc<Notify>, Option<Dialling>> {
        let owner = match conf.reuse_to(&server.conf) {
            Reuse::Always => 0,
            Reuse::Safe | Reuse::Never => self.client.id,
            Reuse::Aggressive => return Err(None),
        };
        if !self.is_told_h2(server) {
            return Err(None);
        }
        let engine = &self.client.session.engine;
        match engine.pools.muxes.dialled(server, owner) {
            Some(told) => Ok(told),
            None => Err(Some(Dialling::begin(engine, server, owner))),
        }
    }

    /// A place on a connection that is there.
    pub(super) fn take_stream(
        &mut self,
        server: &Arc<LiveServer>,
        conf: &Backend,
        sni: Option<&str>,
    ) -> bool {
        if self.is_for_h1(server) {
            return false;
        }
        let client = &*self.client;
        let asker =
            Asker { reuse: conf.reuse_to(&server.conf), owner: client.id, first: client.requests == 0, sni };
        let Some(lease) = client.session.engine.pools.muxes.take(server, asker) else { return false };
        self.times.connected = Some(self.times.assigned.unwrap_or(self.times.head));
        self.hold(lease, true);
        true
    }

    fn hold(&mut self, lease: Lease, reused: bool) {
        let mux = lease.mux();
        let (server, downs, ends) = (Arc::clone(&mux.server), mux.downs, mux.ends);
        [self.ctx.log.backend_src, self.ctx.log.backend_dst] = ends;
        self.ctx.server_tls = mux.tls.clone();
        self.client.card.connected(mux.fd(), self.retries, ends);
        self.client.holds_mux |= mux.private;
        let mut up = Box::new(Upstream::new(Stream::Gone, server, downs, ends));
        up.lease = Some(lease);
        up.reused = reused;
        self.up = Some(up);
    }

    /// Begins HTTP/2 on a connection that was just made, for this request and those that may share it.
    pub(super) async fn multiplex(
        &mut self,
        mut stream: Stream,
        address: Option<SocketAddr>,
        in_use: InUse,
        sni: Option<Box<str>>,
    ) -> Result<(), Failure> {
        let broken = |_| Failure::new(Cause::ServerAbort, Phase::Connect, 503);
        let session = Rc::clone(&self.client.session);
        let (Some(server), Some(backend)) = (self.ctx.server.clone(), &self.backend) else {
            return Err(broken(()));
        };
        let open = OpenConnection::new(&backend.h2);
        if stream.is_plain() {
            // The PROXY header goes before everything else.
            self.announce_client(&server);
            let header = &self.to_server.bytes;
            let mut sent = 0;
            while let Some(rest) = header.get(sent..).filter(|rest| !rest.is_empty()) {
                sent += poll_fn(|cx| stream.poll_write(cx, rest)).await.map_err(|_| broken(()))?;
            }
            self.to_server.clear();
        }
        let reuse = match self.ctx.back().and_then(|b| b.conf.back.as_ref()) {
            Some(conf) => conf.reuse_to(&server.conf),
            None => Reuse::Never,
        };
        let private = reuse == Reuse::Never;
        let terms = Terms {
            downs: server.downs(),
            tls: stream.server_handshake(),
            ends: [stream.local_addr(), address],
            server,
            in_use,
            open,
            sni,
            owner: if private || reuse == Reuse::Safe { self.client.id } else { 0 },
            private,
        };
        let tune = &session.generation.config.global.tune.h2;
        let head = session.engine.request_limits.head;
        let mux = Mux::start(stream, terms, tune, head).await.map_err(|_| broken(()))?;
        session.engine.pools.muxes.put(&mux, session.generation.threads);
        self.hold(mux.lease(), false);
        self.at = Instant::now();
        self.times.connected = Some(self.at);
        Ok(())
    }

    /// Sends the head of the request on its stream.
    pub(super) async fn put_request(&mut self) -> Result<(), Asked> {
        let Some(lease) = self.up.as_ref().and_then(|up| up.lease.as_ref()) else { return Ok(()) };
        let upgrade = self.framing.upgrade && self.ctx.request.has(b"upgrade");
        let refused = || Asked::Client(Failure::new(Cause::ServerAbort, Phase::Header, 502));
        if upgrade {
            let wait = self.ctx.settings.timeout_server;
            let wait = wait.or(self.ctx.back().and_then(|b| b.conf.timeouts.server));
            let may = poll_fn(|cx| lease.poll_connects(cx));
            let may = match wait {
                Some(time) => tokio::time::timeout(time, may).await.unwrap_or(false),
                None => may.await,
            };
            if !may {
                return Err(refused());
            }
        }
        let wish = if upgrade { Wish::Upgrade } else { Wish::Plain };
        let tunnel = upgrade || self.ctx.request.method() == Method::Connect;
        let ending = match self.framing.length {
            _ if tunnel => Ending::Told,
            BodyLength::None => Ending::None,
            BodyLength::Known(n) => Ending::Known(n),
            BodyLength::Chunked => Ending::Chunked,
            BodyLength::UntilClose => Ending::Told,
        };
        let request = outgoing::request(&self.ctx.request, wish, &self.client.session.engine.moulds)
            .ok_or_else(refused)?;
        // A connection that has just ended has seen nothing of the request.
        let carried = lease.ask(request, ending).map_err(|_| Asked::Server(Trouble::Unprocessed))?;
        if let Some(up) = &mut self.up {
            up.stream = Stream::Carried(Box::new(carried));
        }
        Ok(())
    }

    /// Takes the heads of the response as they come; interim ones are passed to the client.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> Poll<Result<ResponseFraming, Trouble>> {
        loop {
            let Some(carried) = self.up.as_ref().and_then(|up| up.stream.carried()) else {
                return Poll::Ready(Err(Trouble::Empty { any_byte: false }));
            };
            let Poll::Ready(answer) = carried.poll_answer(cx) else { return Poll::Pending };
            *moved = true;
            self.at = Instant::now();
            self.server_at = self.at;
            let (head, bodiless) = match answer {
                Ok(Answer::Final { head, bodiless }) => (head, bodiless),
                Ok(Answer::Interim(response)) => {
                    outgoing::response(&response.into_parts().0, &mut self.ctx.response);
                    if self.ctx.request.version() >= Version::HTTP_11 {
                        self.ctx.log.bytes_to_client += write::accounted(&self.ctx.response);
                        deliver::put_interim(self.client, &self.ctx.response, &mut self.to_client.bytes);
                    }
                    continue;
                }
                Err(error) => return Poll::Ready(Err(trouble(&error))),
            };
            outgoing::response(&head, &mut self.ctx.response);
            self.times.responded = Some(self.server_at);
            let framing = self.accept(bodiless).ok_or(Trouble::Junk);
            if framing.is_ok() && trace::is_on(tracing::SOURCES) {
                tracing::responded(self);
            }
            return Poll::Ready(framing);
        }
    }

    /// How the body of the response that has come is to be read.
    fn accept(&mut self, bodiless: bool) -> Option<ResponseFraming> {
        let status = self.ctx.response.status();
        if self.framing.upgrade && self.ctx.request.has(b"upgrade") && (200..300).contains(&status) {
            let ctx = &mut *self.ctx;
            outgoing::switched(&ctx.request, &mut ctx.response);
            return Some(ResponseFraming { length: BodyLength::UntilClose, keep_alive: false, tunnel: true });
        }
        let trailers = self.client.stream.carried().is_some();
        let old = self.ctx.request.version() < Version::HTTP_11;
        let method = self.ctx.request.method();
        let framing = outgoing::framing(&self.ctx.response, method, bodiless, trailers, old)?;
        if framing.length == BodyLength::Chunked
            && let Some(carried) = self.up.as_ref().and_then(|up| up.stream.carried())
        {
            carried.chunk();
        }
        Some(framing)
    }

    /// The response is through.
    pub(super) fn release_stream(&mut self, stream: Stream, lease: Lease, server: &LiveServer) {
        if let Some(backend) = self.ctx.backend {
            self.client.last_server = Some((backend, server.index));
        }
        let whole = self.request.is_complete() && !self.request_broken;
        if let (Stream::Carried(carried), true) = (stream, whole) {
            lease.finish(*carried);
        }
    }
}

/// What an error of a stream, or of its connection, says of the server.
fn trouble(error: &h2::Error) -> Trouble {
    let unprocessed = if error.is_go_away() { h2::Reason::NO_ERROR } else { h2::Reason::REFUSED_STREAM };
    if error.is_remote() && error.reason() == Some(unprocessed) {
        return Trouble::Unprocessed;
    }
    if error.is_library() {
        return Trouble::Junk;
    }
    Trouble::Empty { any_byte: error.is_reset() }
}
