//! The rules of frontend and backend over one exchange: what they decide is done here.

use super::applet::Asked;
use super::cookies;
use super::counting;
use super::error::{Cause, Failure, Phase};
use super::exchange::{Exchange, Stop};
use super::forwarded;
use super::h1::BodyLength;
use super::h1::write;
use super::reply::Answer;
use super::rules::{self, Verdict};
use crate::config::model::action::Peer;
use crate::config::model::{Proxy, VarScope};
use crate::live::rules::{TcpVerdict, run_tcp_rules};
use crate::logging::level;
use crate::message::Version;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

impl Exchange<'_> {
    /// `tcp-request content`, `http-request` and `redirect` rules of one proxy.
    pub(super) async fn request_rules(&mut self, proxy: &Proxy) -> Result<(), Stop> {
        if self.framing.length != BodyLength::None
            && self.ctx.body.is_empty()
            && !proxy.http_request.is_empty()
        {
            self.show_body();
        }
        if !proxy.tcp_request_content.is_empty() {
            match Box::pin(self.content_verdict(&proxy.tcp_request_content, proxy.tcp_inspect_delay)).await? {
                TcpVerdict::Reject | TcpVerdict::Close => {
                    return Err(Failure::denied(Phase::Request, 0).into());
                }
                TcpVerdict::SilentDrop => return Err(Stop::Silent),
                _ => {}
            }
        }
        if let Some(policy) = proxy.options.http_restrict_req_hdr_names
            && !forwarded::restrict_names(policy, &mut self.ctx.request)
        {
            return Err(Failure::denied(Phase::Request, 403).into());
        }
        let mut from = 0;
        while !proxy.http_request.is_empty() {
            let verdict = rules::run(rules::Phase::Request, &proxy.http_request, from, self.ctx);
            self.stamp_client();
            counting::rewrites(self);
            match verdict {
                Verdict::Continue | Verdict::Allow => break,
                Verdict::Failed(answer) => return Err(Stop::Answer { answer, letters: *b"PR" }),
                Verdict::Answer(answer) => return Err(Stop::by_rule(answer)),
                Verdict::Service(service) => return Err(Asked::by_rule(service, proxy)),
                Verdict::Tarpit(answer) => return Box::pin(self.tarpit(proxy, answer)).await,
                Verdict::Reject => return Err(Failure::denied(Phase::Request, 0).into()),
                Verdict::SilentDrop => return Err(Stop::Silent),
                Verdict::EarlyHint { bytes, resume } => {
                    if self.ctx.request.version() >= Version::HTTP_11 {
                        self.put_own_interim(&bytes);
                        self.ctx.log.bytes_to_client += write::accounted_hint(&bytes);
                        Box::pin(self.flush_to_client()).await?;
                        self.at = Instant::now();
                    }
                    from = resume;
                }
                Verdict::WaitForHandshake { resume } => {
                    Box::pin(self.handshake_done()).await?;
                    self.at = Instant::now();
                    from = resume;
                }
                Verdict::WaitForBody { time, at_least, resume } => {
                    Box::pin(self.buffer_body(time, at_least)).await?;
                    from = resume;
                }
            }
        }
        self.intercept(proxy)?;
        match rules::run_redirects(&proxy.redirects, self.ctx) {
            Some(answer) => Err(Stop::Answer { answer: Box::new(answer), letters: *b"LR" }),
            None => Ok(()),
        }
    }

    /// `set-mark` and `set-tos` act on the client's socket at once.
    fn stamp_client(&self) {
        let settings = &self.ctx.settings;
        let client = Peer::Client as usize;
        self.client.stream.stamp(settings.marks[client], settings.tos[client]);
    }

    /// Waits until nobody could be playing back what was recorded of another connection.
    async fn handshake_done(&mut self) -> Result<(), Stop> {
        let early = self.ctx.conn.tls.as_ref().and_then(|tls| tls.early.clone());
        let Some(early) = early else { return Ok(()) };
        let client = &mut *self.client;
        let until = client.session.frontend.conf.timeouts.client.map(|limit| Instant::now() + limit);
        let done = poll_fn(|cx| {
            if early.poll_done(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            // Looking whether the client is still there takes in what the handshake lacks.
            if client.poll_gone(cx).is_ready() && !early.is_done() {
                return Poll::Ready(Err(Failure::client_abort(Phase::Request)));
            }
            match until {
                Some(until) => client
                    .timer
                    .poll(cx, Some(until))
                    .map(|()| Err(Failure::new(Cause::ClientTimeout, Phase::Request, 408))),
                None => Poll::Pending,
            }
        });
        done.await.map_err(Into::into)
    }

    /// The client waits, then hears the answer, and never learns that nobody was busy.
    async fn tarpit(&mut self, proxy: &Proxy, answer: Box<Answer>) -> Result<(), Stop> {
        let timeouts = &proxy.timeouts;
        let wait =
            self.ctx.settings.timeout_tarpit.or(timeouts.tarpit).or(timeouts.connect).unwrap_or_default();
        let until = Instant::now() + wait;
        let client = &mut *self.client;
        poll_fn(|cx| {
            if client.poll_gone(cx).is_ready() {
                return std::task::Poll::Ready(());
            }
            client.timer.poll(cx, Some(until))
        })
        .await;
        Err(Stop::Answer { answer, letters: *b"PT" })
    }

    pub(super) async fn response_rules(&mut self, front: &Proxy, back: &Proxy) -> Result<(), Stop> {
        self.ctx.has_response = true;
        self.ctx.drop_scope(VarScope::Request);
        forwarded::capture_response_headers(front, self.ctx);
        cookies::capture_response(front, self.ctx);
        self.run_response_rules(back).await?;
        if !std::ptr::eq(front, back) {
            self.run_response_rules(front).await?;
        }
        let blocked = Failure::denied(Phase::Header, 502);
        if back.options.checkcache && cookies::leaks_cookie(self.ctx) {
            self.warn_of_cookie(back);
            return Err(blocked.into());
        }
        if let Some(conf) = &back.back
            && conf.cookie.is_some()
        {
            let server = self.slot.as_ref().map(|s| s.server());
            cookies::on_response(conf, server.map(|s| &**s), &mut self.persistence, self.ctx);
        }
        match self.after_response_rules(front, Some(back)) {
            Some(answer) => Err(Stop::Answer { answer, letters: *b"PH" }),
            None => Ok(()),
        }
    }

    /// `option checkcache` blocks a response: that is a matter for whoever runs the server.
    fn warn_of_cookie(&self, back: &Proxy) {
        let server = self.ctx.server.as_ref().map_or("<dispatch>", |s| s.name());
        let name = &back.name;
        let text = format!("Blocking cacheable cookie in response from instance {name}, server {server}.");
        self.client.session.engine.log.report(&back.log, level::ALERT, &text);
    }

    async fn run_response_rules(&mut self, proxy: &Proxy) -> Result<(), Stop> {
        if !proxy.tcp_response_content.is_empty() {
            match run_tcp_rules(&proxy.tcp_response_content, 0, self.ctx, true) {
                TcpVerdict::Reject => return Err(Failure::denied(Phase::Header, 502).into()),
                TcpVerdict::Close | TcpVerdict::SilentDrop => return Err(Stop::Silent),
                _ => {}
            }
        }
        let mut from = 0;
        while !proxy.http_response.is_empty() {
            let verdict = rules::run(rules::Phase::Response, &proxy.http_response, from, self.ctx);
            self.stamp_client();
            counting::rewrites(self);
            match verdict {
                Verdict::Failed(answer) => return Err(Stop::Answer { answer, letters: *b"PH" }),
                Verdict::Answer(answer) => {
                    let letters = if answer.denied { *b"PH" } else { *b"LH" };
                    return Err(Stop::Answer { answer, letters });
                }
                Verdict::Reject => return Err(Failure::denied(Phase::Header, 502).into()),
                Verdict::SilentDrop => return Err(Stop::Silent),
                Verdict::WaitForBody { time, at_least, resume } => {
                    self.buffer_response(time, at_least).await?;
                    from = resume;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// `http-after-response`: on every response, ours too; backend first.
    ///
    /// What comes back stands for a response a rule failed on; an answer of ours in place of another goes out as it is.
    pub(super) fn after_response_rules(
        &mut self,
        front: &Proxy,
        back: Option<&Proxy>,
    ) -> Option<Box<Answer>> {
        if self.ctx.settings.rewrite_was_fatal {
            return None;
        }
        let lists = [back, Some(front).filter(|f| back.is_none_or(|b| !std::ptr::eq(*f, b)))];
        for proxy in lists.into_iter().flatten().filter(|p| !p.http_after_response.is_empty()) {
            let verdict = rules::run(rules::Phase::AfterResponse, &proxy.http_after_response, 0, self.ctx);
            counting::rewrites(self);
            if let Verdict::Failed(answer) = verdict {
                return Some(answer);
            }
        }
        None
    }
}
