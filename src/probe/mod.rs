//! Health checks: the schedule, the connections, and what is said of the results.
//!
//! Runs on the control thread. Each checked server has a task ([`watch`]): it runs its [`kind`] of check, tells `live` what
//! was found, and writes the lines that come back to the proxy's logs and to standard error.

mod agent;
mod dns;
mod external;
mod job;
mod kind;
mod mail;
mod ping;
mod rules;
mod schedule;
mod startup;
mod state;
mod target;
mod udp;
mod watch;

use crate::live::{Generation, Notice, ServerAt};
use crate::{logging, tasks};
use agent::Agent;
pub use startup::{Means, Startup};
use std::cell::Cell;
use std::collections::HashMap;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watch::Watch;

/// Slow starts and rates move on this often.
const TICK: Duration = Duration::from_secs(1);

/// Checks all servers of `generation` until dropped.
pub async fn run(generation: Arc<Generation>, log: Rc<logging::Sender>, means: Rc<Means>) {
    let means = &*means;
    let reporter = Rc::new(Reporter { generation: Arc::clone(&generation), log });
    let checks: Vec<(ServerAt, Check)> = checks(&reporter, means);
    let intervals: Vec<Duration> = checks.iter().map(|(_, c)| c.interval()).collect();
    let firsts = schedule::first_runs(&intervals, generation.config.global.max_spread_checks);
    let seed = generation.process.pid | 1;
    let started = tokio::time::Instant::now();
    let _mailers = mail::start(&generation, &reporter.log);
    let mut running = Running::new();
    for (((at, check), first), i) in checks.into_iter().zip(firsts).zip(0_u32..) {
        let random = Cell::new(seed.wrapping_mul(2 * i + 1));
        running.entry(at).or_default().push(check.start(started + first, &reporter, random));
    }
    let mut tick = tokio::time::interval_at(started + TICK, TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => generation.tick(Instant::now()),
            () = generation.process.server_changes.notified() => follow(&reporter, means, &mut running),
        }
    }
}

/// The tasks of each checked server.
type Running = HashMap<ServerAt, Vec<tasks::Task>>;

/// Servers were added or removed while the process runs.
fn follow(reporter: &Rc<Reporter>, means: &Means, running: &mut Running) {
    running.retain(|at, _| reporter.generation.server(*at).is_some_and(|s| !s.is_gone()));
    let now = tokio::time::Instant::now();
    let new: Vec<(ServerAt, Check)> =
        checks(reporter, means).into_iter().filter(|(at, _)| !running.contains_key(at)).collect();
    for (at, check) in new {
        let random = Cell::new(at.1.0.wrapping_mul(2) | 1);
        running.entry(at).or_default().push(check.start(now, reporter, random));
    }
}

/// What a task does. Boxed: a future keeps what it was given several times over, and there are thousands of them.
enum Check {
    Health(Box<Watch>),
    Agent(Box<Agent>),
}

impl Check {
    fn start(self, first: tokio::time::Instant, reporter: &Rc<Reporter>, random: Cell<u32>) -> tasks::Task {
        let reporter = Rc::clone(reporter);
        tasks::start("check", async move {
            match self {
                Self::Health(watch) => watch.keep_checking(first, &reporter, &random).await,
                Self::Agent(agent) => agent.keep_asking(first, &reporter, &random).await,
            }
        })
    }

    fn interval(&self) -> Duration {
        match self {
            Self::Health(watch) => watch.interval(),
            Self::Agent(agent) => agent.interval(),
        }
    }
}

/// Each server's check and then its agent: the order their first runs are spread in.
fn checks(reporter: &Reporter, means: &Means) -> Vec<(ServerAt, Check)> {
    let proxies = reporter.generation.proxies.iter().filter(|p| !p.conf.disabled);
    proxies
        .flat_map(|p| p.back.iter().flat_map(|b| &b.servers).map(move |s| (p, s)))
        .flat_map(|(proxy, server)| {
            let watch = Watch::new(proxy, server, means).map(|watch| Check::Health(Box::new(watch)));
            let agent = Agent::new(proxy, server).map(|agent| Check::Agent(Box::new(agent)));
            let at = (proxy.index, server.index);
            watch.into_iter().chain(agent).map(move |check| (at, check))
        })
        .collect()
}

/// Where lines about servers go.
pub struct Reporter {
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
    let lost = generation.mail(notice, std::time::SystemTime::now());
    if lost > 0 {
        let text = format!("{lost} mailers have too much waiting; no mail is sent about: {}", notice.log);
        log.emit(&generation.config.global.log, logging::level::WARNING, None, b"", text.as_bytes());
    }
    if !generation.config.global.quiet {
        // A closed standard error is no reason to stop checking.
        let _written = std::io::stderr().write_all(notice.stderr_line(generation.process.pid).as_bytes());
    }
}
