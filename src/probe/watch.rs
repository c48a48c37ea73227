//! The task of one checked server: check, learn, wait; errors that traffic shows count in between.

use super::Reporter;
use super::job::Job;
use super::kind::Kind;
use super::schedule;
use super::startup::Means;
use super::target::Target;
use crate::config::model::OnError;
use crate::health::{Finding, Status, Timing, Verdict};
use crate::live::server::admin;
use crate::live::trace::sources::check;
use crate::live::trace::{self, About, Event, Level, Origin, Verbosity};
use crate::live::{LiveProxy, LiveServer, OperState, ServerAt, Which};
use std::cell::Cell;
use std::fmt::Write;
use std::sync::Arc;
use tokio::time::Instant;

/// A server under checks.
pub struct Watch {
    at: ServerAt,
    proxy: Arc<LiveProxy>,
    server: Arc<LiveServer>,
    kind: Kind,
    target: Target,
    /// Of the settings `target` was made with.
    edition: u32,
    timing: Timing,
}

impl Watch {
    /// `None`: the server is not checked.
    pub fn new(proxy: &Arc<LiveProxy>, server: &Arc<LiveServer>, means: &Means) -> Option<Self> {
        let check = server.conf.check.as_ref()?;
        let edition = server.check.edition();
        Some(Self {
            at: (proxy.index, server.index),
            target: Target::new(&proxy.conf, server.line(), &server.check.settings())?,
            kind: Kind::new(&proxy.conf, &server.conf, means),
            proxy: Arc::clone(proxy),
            server: Arc::clone(server),
            edition,
            timing: Timing { inter: check.inter, fastinter: check.fastinter, downinter: check.downinter },
        })
    }

    #[must_use]
    pub fn interval(&self) -> std::time::Duration {
        self.timing.interval(self.server.check.health(), self.server.oper() == OperState::Stopped)
    }

    pub async fn keep_checking(mut self: Box<Self>, first: Instant, reporter: &Reporter, random: &Cell<u32>) {
        let spread = reporter.generation.config.global.spread_checks;
        let mut planned = self.wait_until(first, reporter).await;
        loop {
            if self.is_wanted() {
                // Kept while it lasts alone: most of the time most tasks wait.
                Box::pin(self.run(reporter)).await;
            }
            let interval = schedule::jitter(self.interval(), spread, random);
            let next = schedule::next(planned, interval, Instant::now());
            planned = self.wait_until(next, reporter).await;
        }
    }

    fn is_wanted(&self) -> bool {
        self.server.check.is_enabled() && self.server.admin() & admin::MAINT == 0
    }

    async fn run(&mut self, reporter: &Reporter) {
        self.follow_settings();
        let job = Job::begin(&reporter.generation, &self.proxy, &self.server, &self.target);
        self.server.check.set_running(true);
        self.tell(check::BEGUN, "check begins", None, reporter);
        let mut finding = self.kind.run(&job).await;
        self.server.check.set_running(false);
        finding.duration = Some(job.started.elapsed());
        match finding.status.verdict() {
            Verdict::Passed | Verdict::Conditional => {
                self.tell(check::ENDED | check::PASSED, "check passed", Some(&finding), reporter);
            }
            _ => self.tell(check::ENDED | check::FAILED, "check failed", Some(&finding), reporter),
        }
        // Maintenance may have begun meanwhile: then nobody wants to know.
        if self.is_wanted() {
            self.learn(finding, reporter);
        }
    }

    fn follow_settings(&mut self) {
        let edition = self.server.check.edition();
        if edition == self.edition {
            return;
        }
        self.edition = edition;
        let settings = self.server.check.settings();
        if let Some(target) = Target::new(&self.proxy.conf, self.server.line(), &settings) {
            self.target = target;
        }
    }

    /// Waits for the next check; errors that traffic shows meanwhile count, and bring it forward. Answers
    /// when it was to be.
    async fn wait_until(&mut self, mut next: Instant, reporter: &Reporter) -> Instant {
        let server = Arc::clone(&self.server);
        loop {
            let Ok(errors) = tokio::time::timeout_at(next, server.alarmed()).await else { return next };
            if !self.is_wanted() {
                continue;
            }
            let check = &self.server.check;
            let finding = Finding::new(Status::Analysis).info(errors);
            match self.server.conf.on_error {
                OnError::FastInter => {}
                OnError::FailCheck => self.learn(finding, reporter),
                OnError::SuddenDeath => {
                    check.place(check.health().near_death());
                    self.learn(finding, reporter);
                }
                OnError::MarkDown => {
                    check.place(check.health().last_chance());
                    self.learn(finding, reporter);
                }
            }
            if let Some(fast) = self.timing.fastinter {
                next = next.min(Instant::now() + fast);
            }
        }
    }

    /// To the trace source `check`, if somebody looks.
    fn tell(&self, kinds: u64, text: &str, finding: Option<&Finding>, reporter: &Reporter) {
        if !trace::is_on(Origin::Check.bit()) {
            return;
        }
        let (backend, server) = (u64::from(self.at.0.0), u64::from(self.at.1.0));
        reporter.log.trace(&Event {
            origin: Origin::Check,
            kinds,
            level: Level::User,
            text,
            place: (file!(), line!()),
            about: About { backend: Some(backend), server: Some(backend << 32 | server), ..About::default() },
            details: &|verbosity, out| {
                let _ = write!(out, " [B] be={} srv={}", self.proxy.conf.name, self.server.name());
                let Some(finding) = finding else { return };
                let _ = write!(out, " status={}", finding.status.code());
                if verbosity >= Verbosity::Minimal {
                    let duration = finding.duration.unwrap_or_default();
                    let _ = write!(
                        out,
                        " duration={}us health={}",
                        duration.as_micros(),
                        self.server.check.health().value()
                    );
                }
                if let Some(info) = finding.info.as_ref().filter(|_| verbosity >= Verbosity::Simple) {
                    let _ = write!(out, " - {info:?}");
                }
            },
        });
    }

    fn learn(&self, finding: Finding, reporter: &Reporter) {
        let now = std::time::Instant::now();
        reporter.report(&reporter.generation.learn(self.at, Which::Health, finding, now));
    }
}
