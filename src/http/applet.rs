//! Requests for a service of our own: who may see the statistics page, and the way of its answer to the client.

use super::error::{Cause, Failure, Phase};
use super::exchange::{End, Exchange, Stop};
use super::h1::BodyLength;
use super::h1::write::{self, Persistence as Keep};
use super::reply::{self, Answer};
use super::rules::{self, Verdict};
use super::target;
use crate::config::model::action::STATS_REALM;
use crate::config::model::{Proxy, Service, Stats};
use crate::expr::{Facts, credentials};
use crate::ids::ProxyIndex;
use crate::live::applet::{self, Request};
use crate::message::{Method, Version};
use bytes::Bytes;
use std::future::poll_fn;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Pieces are gathered up to this size before they are sent.
const GATHERED: usize = 16 * 1024;

/// Which service is asked, and where that is configured.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub service: Service,
    pub proxy: ProxyIndex,
    /// `stats admin`
    pub admin: bool,
}

impl Exchange<'_> {
    /// Leaves the regular course when the request is for the statistics page of `proxy`.
    pub(super) fn intercept(&mut self, proxy: &Proxy) -> Result<(), Stop> {
        let (Some(stats), Some(index)) = (&proxy.stats, proxy.index) else { return Ok(()) };
        if !is_for(stats, self.ctx) {
            return Ok(());
        }
        self.service = Some(Service::Stats);
        match rules::run(rules::Phase::Request, &stats.http_request, 0, self.ctx) {
            Verdict::Answer(answer) => return Err(Stop::by_rule(answer)),
            Verdict::Continue | Verdict::Allow => {}
            _ => return Err(Failure::denied(Phase::Request, 403).into()),
        }
        if !stats.auth.is_empty() && !is_known(stats, self.ctx) {
            let realm = stats.realm.as_deref().unwrap_or(STATS_REALM);
            return Err(Stop::by_rule(Box::new(reply::unauthorized(Some(realm), self.ctx))));
        }
        let admin = stats.admin.iter().any(|condition| condition.holds(self.ctx));
        Err(Stop::Service(Asked { service: Service::Stats, proxy: index, admin }))
    }

    /// Has the service answer.
    pub(super) async fn serve(&mut self, asked: Asked) -> Result<End, Stop> {
        self.service = Some(asked.service);
        let front = Arc::clone(&self.client.session.frontend);
        // Counted before it answers, so that it is in what it tells of itself.
        if self.backend.is_none() {
            front.front.count(self.ctx.conn.listener_id, |front| front.intercepted.inc());
        }
        if asked.service == Service::Stats && asked.admin && self.ctx.request.method() == Method::Post {
            let wait = front.conf.timeouts.http_request.or(front.conf.timeouts.client);
            self.buffer_body(wait.unwrap_or(Duration::from_secs(60)), 0).await?;
        }
        let now = Instant::now();
        self.times.assigned = Some(now);
        self.times.connected = Some(now);
        let Some(applet::Answer { head, pieces }) = self.call(asked).await? else {
            return Err(Failure::new(Cause::Internal, Phase::Header, 500).into());
        };
        self.times.responded = Some(Instant::now());
        self.ctx.response = head;
        self.ctx.has_response = true;
        let back = self.ctx.back().map(|b| Arc::clone(&b.conf));
        let head_only = self.ctx.request.method() == Method::Head;
        let http11 = self.ctx.request.version() >= Version::HTTP_11;
        let sized = self.ctx.response.has(b"content-length");
        let chunked = !sized && http11;
        // HAProxy's page says nothing of its length to HEAD.
        if chunked && !(head_only && asked.service == Service::Stats) {
            self.ctx.response.add(b"transfer-encoding", b"chunked");
        }
        self.ctx.log.bytes_to_client += write::accounted(&self.ctx.response);
        if asked.service == Service::Stats {
            if let Some(answer) = self.after_response_rules(&front.conf, back.as_deref()) {
                return Err(Stop::Answer { answer, letters: *b"PH" });
            }
        } else {
            self.response_rules(&front.conf, back.as_deref().unwrap_or(&front.conf)).await?;
        }
        self.letters = *b"LR";
        let length = match (head_only, chunked) {
            (true, _) => BodyLength::None,
            (false, true) => BodyLength::Chunked,
            (false, false) => BodyLength::UntilClose,
        };
        let keep = self.begin(sized || chunked || head_only, length)?;
        if !head_only {
            self.pass_on(pieces, chunked).await?;
        }
        self.flush_to_client().await?;
        self.conclude();
        Ok(self.end_of(keep))
    }

    /// Puts the response's head into the outbox.
    fn begin(&mut self, known_end: bool, length: BodyLength) -> Result<Keep, Failure> {
        self.answered = true;
        let _ = self.request.absorb(&mut self.client.inbox);
        let rest = self.client.inbox.pending().len();
        self.client.inbox.advance(rest);
        self.client.inbox.forget();
        let keep = if self.request.is_complete() { self.client_keeps(known_end) } else { Keep::Close };
        self.ctx.log.status = i32::from(self.ctx.response.status());
        self.put_response(keep, length)?;
        Ok(keep)
    }

    pub(super) fn end_of(&self, keep: Keep) -> End {
        match keep {
            Keep::KeepAlive => End::KeepAlive,
            Keep::Close if self.request.is_complete() && self.client.inbox.raw().is_empty() => End::Close,
            Keep::Close => End::Linger,
        }
    }

    /// Waits for the applet's head, or for the client to leave.
    async fn call(&mut self, asked: Asked) -> Result<Option<applet::Answer>, Stop> {
        let session = std::rc::Rc::clone(&self.client.session);
        let request = Request {
            generation: Arc::clone(&session.generation),
            proxy: asked.proxy,
            frontend: session.frontend.index,
            client: self.ctx.conn.src,
            head: self.ctx.request.clone(),
            body: std::mem::take(&mut self.ctx.body),
            body_complete: self.request.is_complete(),
            admin: asked.admin,
        };
        let mut answer = pin!(session.generation.process.applets.ask(asked.service, request));
        let watched = self.request.is_complete();
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            if watched && self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Failure::client_abort(Phase::Header).into()));
            }
            Poll::Pending
        })
        .await
    }

    /// Sends the pieces as they come, the small ones together.
    async fn pass_on(
        &mut self,
        mut pieces: tokio::sync::mpsc::Receiver<Bytes>,
        chunked: bool,
    ) -> Result<(), Stop> {
        while let Some(piece) = pieces.recv().await {
            self.add_piece(&piece, chunked);
            while self.to_client.bytes.len() < GATHERED
                && let Ok(piece) = pieces.try_recv()
            {
                self.add_piece(&piece, chunked);
            }
            if self.to_client.bytes.len() >= GATHERED || !pieces.is_closed() {
                self.flush_to_client().await.map_err(|failure| Failure { phase: Phase::Data, ..failure })?;
            }
        }
        if chunked {
            self.to_client.bytes.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }

    fn add_piece(&mut self, piece: &[u8], chunked: bool) {
        let out = &mut self.to_client.bytes;
        if chunked {
            // Writing to a vector does not fail.
            let _ = write!(out, "{:x}\r\n", piece.len());
        }
        out.extend_from_slice(piece);
        if chunked {
            out.extend_from_slice(b"\r\n");
        }
        self.ctx.log.bytes_to_client += piece.len() as u64;
    }
}

/// GET, HEAD or POST of something that begins with the page's URI, as HAProxy compares them.
fn is_for(stats: &Stats, facts: &dyn Facts) -> bool {
    facts.request().is_some_and(|request| {
        matches!(request.method(), Method::Get | Method::Head | Method::Post)
            && path_of(request.target()).starts_with(stats.uri.as_bytes())
    })
}

/// The path and query of `http://host/path?query`; any other target as it is.
fn path_of(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    match target::parts(target) {
        None => target,
        Some((.., rest)) if rest.starts_with(b"/") => rest,
        Some(_) => b"/",
    }
}

/// Does the request carry one of the `stats auth` accounts? All are looked at whatever the outcome, so that the time
/// says nothing about which came near.
fn is_known(stats: &Stats, facts: &dyn Facts) -> bool {
    let Some((user, password)) = credentials::basic(facts) else { return false };
    stats.auth.iter().fold(false, |known, account| {
        let same_user = credentials::equal(account.0.as_bytes(), &user);
        let same_password = credentials::equal(account.1.as_bytes(), &password);
        known | (same_user & same_password)
    })
}

impl Asked {
    /// `http-request use-service`
    pub(super) fn by_rule(service: Service, proxy: &Proxy) -> Stop {
        Stop::Service(Self { service, proxy: proxy.index.unwrap_or(ProxyIndex(0)), admin: false })
    }
}

impl Stop {
    /// `deny` and its like are the proxy's refusal, `return` and `redirect` its own answer.
    pub(super) fn by_rule(answer: Box<Answer>) -> Self {
        let letters = if answer.denied { *b"PR" } else { *b"LR" };
        Self::Answer { answer, letters }
    }
}
