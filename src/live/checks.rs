//! Health check and agent of each server: what they said last, what of them can be changed while the process runs, and
//! what a result means for the server's state.

use super::control::{Notice, ServerAt};
use super::server::{LiveServer, OperState, admin};
use super::{Generation, LiveProxy};
use crate::health::{Finding, Health, Start, Status, Verdict};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// syslog severity of the lines about single checks
const NOTICE: u8 = 5;
/// Mail about single checks goes to those who want everything.
const INFO: u8 = 6;

/// Which of a server's two checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Health,
    Agent,
}

/// What a command makes of a health check or an agent (`set server ... health|agent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    Up,
    Stopping,
    Down,
}

/// One check of a server.
#[derive(Debug)]
pub struct CheckState {
    configured: bool,
    enabled: AtomicBool,
    rise: u32,
    fall: u32,
    health: AtomicU32,
    running: AtomicBool,
    last: Mutex<Finding>,
    settings: Mutex<Settings>,
    edition: AtomicU32,
    changed: Notify,
}

/// What commands put in place of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub addr: Option<IpAddr>,
    pub port: Option<u16>,
    /// `agent-send`
    pub send: Option<String>,
}

impl CheckState {
    /// `health`: where it starts; `None`: the configuration has no such check.
    pub(super) fn new(health: Option<Health>) -> Self {
        let configured = health.is_some();
        let health = health.unwrap_or_else(|| Health::new(2, 3, Start::Up));
        let status = if configured { Status::Initializing } else { Status::Unknown };
        Self {
            configured,
            enabled: AtomicBool::new(configured),
            rise: health.rise(),
            fall: health.fall(),
            health: AtomicU32::new(health.value()),
            running: AtomicBool::new(false),
            last: Mutex::new(Finding::new(status)),
            settings: Mutex::default(),
            edition: AtomicU32::new(0),
            changed: Notify::new(),
        }
    }

    /// The configuration has this check.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.configured
    }

    /// Configured, and not disabled by command.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// A check is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    /// `check_health`, `check_rise` and `check_fall` in one.
    #[must_use]
    pub fn health(&self) -> Health {
        Health::new(self.rise, self.fall, Start::FullyUp).at(self.health.load(Relaxed))
    }

    /// The last result (`check_status`, `check_code`, `check_duration`, `last_chk`).
    #[must_use]
    pub fn last(&self) -> Finding {
        lock(&self.last).clone()
    }

    /// That of [`Self::last`].
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.last).status
    }

    /// What commands have changed.
    #[must_use]
    pub fn settings(&self) -> Settings {
        lock(&self.settings).clone()
    }

    /// Changes with [`Self::settings`].
    #[must_use]
    pub fn edition(&self) -> u32 {
        self.edition.load(Relaxed)
    }

    /// `set server ... check-addr|check-port|agent-addr|agent-port|agent-send`; the next check obeys.
    pub fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.settings));
        self.edition.fetch_add(1, Relaxed);
        self.changed.notify_one();
    }

    /// Waits until a command changed something the check's task has to look at.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The check's task says when a check begins and, with its result or without, ends.
    pub fn set_running(&self, running: bool) {
        self.running.store(running, Relaxed);
    }

    /// Puts health where an agent says it is, or where `on-error` wants it before the failure it counts.
    pub fn place(&self, health: Health) {
        self.set_health(health);
    }

    pub(super) fn set_health(&self, health: Health) {
        self.health.store(health.value(), Relaxed);
    }

    pub(super) fn set_last(&self, finding: Finding) {
        *lock(&self.last) = finding;
    }

    pub(super) fn set_enabled(&self, on: bool) {
        self.enabled.store(on, Relaxed);
        self.changed.notify_one();
    }

    /// Maintenance ends: up, the first failure takes it down.
    pub(super) fn resume(&self) {
        if self.is_enabled() {
            self.set_health(self.health().at(self.rise));
        }
        self.changed.notify_one();
    }

    /// Maintenance begins.
    pub(super) fn pause(&self) {
        self.health.store(0, Relaxed);
    }

    /// Enabled and down.
    fn denies(&self) -> bool {
        self.is_enabled() && !self.health().is_up()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveServer {
    #[must_use]
    pub fn check_of(&self, which: Which) -> &CheckState {
        match which {
            Which::Health => &self.check,
            Which::Agent => &self.agent,
        }
    }

    /// `to` is another state than the server is in.
    pub(super) fn would_change(&self, to: OperState) -> bool {
        let warms = self.oper() == OperState::Starting && to == OperState::Running;
        self.oper() != to && !warms && self.admin() & admin::MAINT == 0
    }

    /// Neither check nor agent has it down.
    pub(super) fn checks_agree(&self) -> bool {
        !self.check.denies() && !self.agent.denies()
    }

    /// `lastchg`: how long ago the state changed last.
    #[must_use]
    pub fn since_change(&self, now: Instant) -> Duration {
        self.lifetime.since_change(now)
    }

    /// `downtime`
    #[must_use]
    pub fn downtime(&self, now: Instant) -> Duration {
        self.lifetime.downtime(self.oper() == OperState::Stopped, now)
    }
}

impl Generation {
    /// A check ended, or traffic showed errors: keeps the result, and the server and those that track it change as it
    /// says.
    pub fn learn(&self, at: ServerAt, which: Which, finding: Finding, now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        let Some((proxy, _, server)) = self.find(at) else { return notices };
        let check = server.check_of(which);
        let verdict = finding.status.verdict();
        let before = check.health();
        // That the agent cannot be reached says nothing of the server.
        let counts = which == Which::Health || verdict != Verdict::Failed || finding.status.has_code();
        let after = if counts { before.after(verdict) } else { before };
        check.set_health(after);
        if verdict == Verdict::Failed {
            if counts && before.value() > 0 {
                server.failed_checks.fetch_add(1, Relaxed);
            }
        } else if verdict != Verdict::Unknown {
            server.forgive();
        }
        // A failure at 0 is no news; one that counts at the bottom of 'rise 1' is.
        let moved = if verdict == Verdict::Failed { counts && before.value() > 0 } else { before != after };
        let news = check.status() != finding.status || moved;
        let told = proxy.conf.options.log_health_checks;
        if told && news && verdict != Verdict::Unknown {
            let line = result_line(proxy, server, which, &finding, after);
            notices.push(Notice::new(at.0, NOTICE, line).mailed(at.1, INFO));
        }
        let to = self.consequence(at, server, which, &finding, after);
        // Most results change nothing; then no text is made.
        let reason = match to {
            // The reason has just been told in full.
            Some(_) if told => Some(String::new()),
            Some(to) => server.would_change(to).then(|| finding.reason()),
            None => None,
        };
        check.set_last(finding);
        if let Some((to, reason)) = to.zip(reason) {
            notices.extend(self.set_oper(at, to, &reason, now));
        }
        notices
    }

    /// The state a result asks for.
    fn consequence(
        &self,
        at: ServerAt,
        server: &LiveServer,
        which: Which,
        finding: &Finding,
        health: Health,
    ) -> Option<OperState> {
        let agent = which == Which::Agent;
        let verdict = finding.status.verdict();
        if verdict == Verdict::Failed {
            let heard = !agent || finding.status == Status::L7Status;
            return (heard && health.value() == 0).then_some(OperState::Stopped);
        }
        let tracked_down = server.conf.track.is_some()
            && self.tracked_by(at).is_some_and(|t| t.oper() == OperState::Stopped);
        if server.admin() & admin::MAINT != 0 || tracked_down || !server.checks_agree() {
            return None;
        }
        match verdict {
            Verdict::Passed if !(agent && server.oper() == OperState::Stopping) => Some(OperState::Running),
            Verdict::Conditional if !agent => Some(OperState::Stopping),
            _ => None,
        }
    }

    /// `enable|disable health|agent`; `false`: the configuration has no such check.
    pub fn enable_check(&self, at: ServerAt, which: Which, on: bool) -> bool {
        let Some((_, _, server)) = self.find(at) else { return false };
        let check = server.check_of(which);
        if check.is_configured() {
            check.set_enabled(on);
        }
        check.is_configured()
    }

    /// `set server ... health up|stopping|down` and `agent up|down`. The next result goes on from here.
    pub fn force_check(&self, at: ServerAt, which: Which, to: Forced, now: Instant) -> Vec<Notice> {
        let Some((_, _, server)) = self.find(at) else { return Vec::new() };
        let check = server.check_of(which);
        let health = check.health();
        check.set_health(health.at(if to == Forced::Down { 0 } else { health.top() }));
        let to = match to {
            Forced::Up => OperState::Running,
            Forced::Stopping => OperState::Stopping,
            Forced::Down => OperState::Stopped,
        };
        self.set_oper(at, to, ", changed from CLI", now)
    }
}

/// What `option log-health-checks` says of a result.
fn result_line(
    proxy: &LiveProxy,
    server: &LiveServer,
    which: Which,
    finding: &Finding,
    health: Health,
) -> String {
    let result = match finding.status.verdict() {
        Verdict::Passed => "succeeded",
        Verdict::Conditional => "conditionally succeeded",
        Verdict::Failed | Verdict::Unknown => "failed",
    };
    let (steps, of) = health.progress();
    format!(
        "{} check for {}server {}/{} {result}{}, status: {steps}/{of} {}.",
        if which == Which::Agent { "Agent" } else { "Health" },
        if server.conf.backup { "backup " } else { "" },
        proxy.conf.name,
        server.name(),
        finding.reason(),
        match (health.is_up(), server.weight()) {
            (false, _) => "DOWN",
            (true, 0) => "DRAIN",
            (true, _) => "UP",
        },
    )
}
