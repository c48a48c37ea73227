//! Health checks: the schedule, the connections, and what results mean for servers.
//!
//! Runs on the control thread. Each checked server has a task: it checks, feeds the [`Health`] machine, tells `live` of
//! transitions and writes HAProxy's lines to the proxy's logs and to standard error.

mod check;
mod http;
mod status;

pub use status::{Finding, Status};

use crate::config::model::backend::InitState;
use crate::config::model::{Endpoint, OnError};
use crate::health::{Health, Start, State, Timing, Verdict};
use crate::live::server::admin;
use crate::live::{Generation, LiveProxy, LiveServer, Notice, OperState, ServerAt};
use crate::{logging, tasks};
use check::Target;
use std::cell::Cell;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Slow starts and rates move on this often.
const TICK: Duration = Duration::from_secs(1);
/// Intervals shorter than this do not count when the start of the checks is spread out.
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

/// Checks all servers of `generation` until dropped.
pub async fn run(generation: Arc<Generation>, log: Rc<logging::Sender>) {
    let reporter = Rc::new(Reporter { generation: Arc::clone(&generation), log });
    let checked = checked_servers(&generation);
    let shortest = checked
        .iter()
        .map(|c| c.health.interval())
        .filter(|i| *i >= SHORTEST_SPREAD)
        .min()
        .unwrap_or_default();
    let longest = generation.config.global.max_spread_checks.unwrap_or(Duration::MAX);
    let count = u32::try_from(checked.len()).unwrap_or(u32::MAX).max(1);
    let seed = generation.process.pid | 1;
    let _checks: Vec<tasks::Task> = checked
        .into_iter()
        .zip(0_u32..)
        .map(|(checked, i)| {
            let spread = shortest.max(checked.health.interval()).min(longest);
            let random = Rc::new(Cell::new(seed.wrapping_mul(2 * i + 1)));
            let reporter = Rc::clone(&reporter);
            let first = tokio::time::Instant::now() + spread * i / count;
            tasks::start("check", async move { checked.keep_checking(first, &reporter, &random).await })
        })
        .collect();
    loop {
        tokio::time::sleep(TICK).await;
        generation.tick(Instant::now());
    }
}

/// A server under checks.
struct Checked {
    at: ServerAt,
    proxy: Arc<LiveProxy>,
    server: Arc<LiveServer>,
    target: Target,
    health: Health,
    last: Status,
}

fn checked_servers(generation: &Generation) -> Vec<Checked> {
    let tune = &generation.config.global.tune;
    let mut found = Vec::new();
    for proxy in generation.proxies.iter().filter(|p| !p.conf.disabled) {
        for server in proxy.back.iter().flat_map(|b| &b.servers) {
            let Some(target) = Target::new(&proxy.conf, &server.conf, tune) else { continue };
            let Some(check) = &server.conf.check else { continue };
            let timing = Timing {
                rise: check.rise,
                fall: check.fall,
                inter: check.inter,
                fastinter: check.fastinter,
                downinter: check.downinter,
            };
            let start = match check.init_state {
                InitState::Up => Start::Up,
                InitState::FullyUp => Start::FullyUp,
                InitState::Down => Start::Down,
                InitState::FullyDown => Start::FullyDown,
            };
            found.push(Checked {
                at: (proxy.index, server.index),
                proxy: Arc::clone(proxy),
                server: Arc::clone(server),
                target,
                health: Health::new(timing, start),
                last: Status::Unknown,
            });
        }
    }
    found
}

impl Checked {
    async fn keep_checking(mut self, first: tokio::time::Instant, reporter: &Reporter, random: &Cell<u32>) {
        let spread = reporter.generation.config.global.spread_checks;
        self.watch_until(first, reporter).await;
        loop {
            if self.server.admin() & admin::MAINT == 0 {
                let state = self.send_state(&reporter.generation);
                let down = self.health.state() == State::Down;
                let finding = self.target.run(down, state.as_deref()).await;
                // Maintenance may have begun meanwhile: then nobody wants to know.
                if self.server.admin() & admin::MAINT == 0 {
                    self.learn(&finding, reporter);
                }
            }
            let next = tokio::time::Instant::now() + jitter(self.health.interval(), spread, random);
            self.watch_until(next, reporter).await;
        }
    }

    /// Waits for the next check; errors that traffic shows meanwhile count, and bring it forward.
    async fn watch_until(&mut self, mut next: tokio::time::Instant, reporter: &Reporter) {
        let server = Arc::clone(&self.server);
        loop {
            let Ok(errors) = tokio::time::timeout_at(next, server.alarmed()).await else { return };
            if self.server.admin() & admin::MAINT != 0 {
                continue;
            }
            let finding =
                Finding { status: Status::Analysis, code: None, info: Some(errors), duration: None };
            match self.server.conf.on_error {
                OnError::FastInter => {}
                OnError::FailCheck => self.learn(&finding, reporter),
                OnError::SuddenDeath => {
                    self.health.near_death();
                    self.learn(&finding, reporter);
                }
                OnError::MarkDown => {
                    self.health.last_chance();
                    self.learn(&finding, reporter);
                }
            }
            if let Some(fast) = self.server.conf.check.as_ref().and_then(|c| c.fastinter) {
                next = next.min(tokio::time::Instant::now() + fast);
            }
        }
    }

    fn learn(&mut self, finding: &Finding, reporter: &Reporter) {
        let verdict = finding.status.verdict();
        if verdict != Verdict::Failed {
            self.server.forgive();
        }
        let outcome = self.health.record(verdict);
        let news = finding.status != self.last || outcome.counted;
        self.last = finding.status;
        self.publish(finding, outcome.failed);
        let told = self.proxy.conf.options.log_health_checks;
        if told && news {
            reporter.report(&[Notice::new(self.at.0, logging::level::NOTICE, self.health_line(finding))]);
        }
        let Some(state) = outcome.transition else { return };
        let to = match state {
            State::Up => OperState::Running,
            State::Stopping => OperState::Stopping,
            State::Down => OperState::Stopped,
        };
        // The reason has just been told in full.
        let reason = if told { String::new() } else { finding.reason() };
        reporter.report(&reporter.generation.set_oper(self.at, to, &reason, Instant::now()));
    }

    fn publish(&self, finding: &Finding, failed: bool) {
        let s = &self.server;
        s.health.store(self.health.value(), Relaxed);
        s.check_status.store(finding.status as u8, Relaxed);
        s.check_code.store(u32::from(finding.code.unwrap_or(0)), Relaxed);
        let ms = finding.duration.map_or(0, |d| d.as_millis());
        s.check_duration_ms.store(u64::try_from(ms).unwrap_or(u64::MAX), Relaxed);
        if failed {
            s.failed_checks.fetch_add(1, Relaxed);
        }
    }

    fn health_line(&self, finding: &Finding) -> String {
        let (steps, of, up) = self.health.progress();
        let result = match finding.status.verdict() {
            Verdict::Passed => "succeeded",
            Verdict::Conditional => "conditionally succeeded",
            Verdict::Failed => "failed",
        };
        format!(
            "Health check for {}server {}/{} {result}{}, status: {steps}/{of} {}.",
            if self.server.conf.backup { "backup " } else { "" },
            self.proxy.conf.name,
            self.server.name(),
            finding.reason(),
            if up { "UP" } else { "DOWN" },
        )
    }

    /// `http-check send-state`: what the server is told of itself.
    fn send_state(&self, generation: &Generation) -> Option<String> {
        let backend = self.proxy.back.as_ref()?;
        if !self.proxy.conf.back.as_ref()?.send_state {
            return None;
        }
        let (steps, of, up) = self.health.progress();
        let state = match (up, self.health.state()) {
            (true, State::Stopping) => "NOLB",
            (true, _) => "UP",
            _ => "DOWN",
        };
        let progress = if steps == of || steps == 0 { String::new() } else { format!(" {steps}/{of}") };
        let address = match &self.server.conf.endpoint {
            Endpoint::Inet(a) => format!(" address={}; port={};", a.ip(), a.port()),
            _ => String::new(),
        };
        let global = &generation.config.global;
        let node = global.node.as_deref().unwrap_or(&generation.process.hostname);
        let total: u32 = backend.servers.iter().filter(|s| s.is_usable()).map(|s| s.weight()).sum();
        Some(format!(
            "{state}{progress};{address} name={}/{}; node={node}; weight={}/{total}; scur={}/{}; qcur={}",
            self.proxy.conf.name,
            self.server.name(),
            if self.server.is_usable() { self.server.weight() } else { 0 },
            self.server.current(),
            backend.current(),
            self.server.queued(),
        ))
    }
}

/// `spread-checks`: up to that percentage more or less.
fn jitter(interval: Duration, spread: u32, random: &Cell<u32>) -> Duration {
    if spread == 0 {
        return interval;
    }
    let mut x = random.get().max(1);
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    random.set(x);
    let range = f64::from(spread.min(50)) / 100.0;
    interval.mul_f64(1.0 + range * (f64::from(x) / f64::from(u32::MAX) * 2.0 - 1.0))
}

/// Where lines about servers go.
struct Reporter {
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
}

impl Reporter {
    fn report(&self, notices: &[Notice]) {
        for notice in notices {
            report(&self.generation, &self.log, notice);
        }
    }
}

/// Writes one line about a server to its proxy's logs and to standard error.
pub fn report(generation: &Generation, log: &logging::Sender, notice: &Notice) {
    if let Some(proxy) = generation.proxy(notice.proxy) {
        let conf = &proxy.conf.log;
        log.emit(&conf.targets, notice.level, conf.tag.as_deref(), b"", notice.log.as_bytes());
    }
    if !generation.config.global.quiet {
        // A closed standard error is no reason to stop checking.
        let _written = std::io::stderr().write_all(notice.stderr_line(generation.process.pid).as_bytes());
    }
}
