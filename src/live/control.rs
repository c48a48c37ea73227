//! Changes of server state, and what is said about them.
//!
//! Every change goes through the backend's lock, so that balancing, queue and counters agree; what people are to be told
//! comes back as [`Notice`]s, in HAProxy's words.

use super::backend::{Lists, LiveBackend};
use super::counters::{FrontTotals, Shard};
use super::server::{LiveServer, OperState, admin};
use super::{Generation, LiveProxy};
use crate::config::model::Mark;
use crate::ids::{ProxyIndex, ServerIndex};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;
use std::time::{Duration, Instant};

/// A line for the proxy's logs and for standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub proxy: ProxyIndex,
    /// syslog severity
    pub level: u8,
    pub log: String,
    /// `[ALERT]` instead of `[WARNING]`, and the words where they differ from the log's.
    pub alert: bool,
    pub stderr: Option<String>,
    /// For `email-alert`: the server it is about, and the severity there.
    pub mail: Option<(ServerIndex, u8)>,
}

pub(super) const EMERG: u8 = 0;
pub(super) const ALERT: u8 = 1;
pub(super) const WARNING: u8 = 4;
pub(super) const NOTICE: u8 = 5;

impl Notice {
    #[must_use]
    pub fn new(proxy: ProxyIndex, level: u8, log: String) -> Self {
        Self { proxy, level, log, alert: false, stderr: None, mail: None }
    }

    pub(super) fn mailed(self, server: ServerIndex, level: u8) -> Self {
        Self { mail: Some((server, level)), ..self }
    }

    /// The line as HAProxy writes it to standard error.
    #[must_use]
    pub fn stderr_line(&self, pid: u32) -> String {
        let (severity, gap) = if self.alert { ("ALERT", "    ") } else { ("WARNING", "  ") };
        format!("[{severity}]{gap}({pid}) : {}\n", self.stderr.as_ref().unwrap_or(&self.log))
    }
}

/// A server, by the places of its backend and of itself.
pub type ServerAt = (ProxyIndex, ServerIndex);

/// What a change made of the backend, for the notices.
pub(super) struct Change {
    requeued: usize,
    active: usize,
    backups: usize,
    had_servers: bool,
}

impl LiveBackend {
    /// Applies `change` to server `i` and draws the consequences for balancing and queues.
    pub(super) fn change(
        &self,
        i: usize,
        now: Instant,
        change: impl FnOnce(&LiveServer, &mut Lists),
    ) -> Change {
        let mut wake = Vec::new();
        let report = {
            let lists = &mut *self.lock();
            let had_servers = lists.pool.active() + lists.pool.backups() > 0;
            if let Some(server) = self.servers.get(i) {
                change(server, lists);
            }
            let requeued = lists.refresh(self, i, now, &mut wake);
            self.note_servers(had_servers, lists.pool.active() + lists.pool.backups() > 0, now);
            Change { requeued, active: lists.pool.active(), backups: lists.pool.backups(), had_servers }
        };
        wake.into_iter().for_each(Waker::wake);
        report
    }

    fn set_oper(&self, i: usize, to: OperState, now: Instant) -> Change {
        self.change(i, now, |server, lists| {
            enter(server, lists, i, to, now);
            if to == OperState::Stopped {
                server.downs.fetch_add(1, Relaxed);
                server.down_transitions.fetch_add(1, Relaxed);
            }
        })
    }

    /// Other administrative bits, and the state they bring.
    pub(super) fn set_admin(&self, i: usize, bits: u8, to: OperState, now: Instant) -> Change {
        self.change(i, now, |server, lists| {
            let before = server.admin.swap(bits, Relaxed);
            let (was, is) = (before & admin::MAINT != 0, bits & admin::MAINT != 0);
            if is && !was {
                server.downs.fetch_add(1, Relaxed);
                if server.oper() != OperState::Stopped {
                    server.down_transitions.fetch_add(1, Relaxed);
                }
            }
            if server.oper() != to {
                enter(server, lists, i, to, now);
            } else if before & admin::DRAIN == 0 && bits & admin::DRAIN != 0 {
                server.lifetime.changed(now);
            } else if (was && !is) || (before & admin::DRAIN != 0 && bits & admin::DRAIN == 0) {
                server.lifetime.recovered(now);
            }
        })
    }

    /// Whether there are servers to balance over may have changed.
    fn note_servers(&self, had: bool, has: bool, now: Instant) {
        if had && !has {
            self.lifetime.changed(now);
            self.down_transitions.fetch_add(1, Relaxed);
        } else if has && !had {
            self.lifetime.recovered(now);
        }
    }

    /// The algorithm follows weights that change while it runs.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.lock().table.algorithm().is_dynamic()
    }

    /// A new weight, 0..=256, where the algorithm can change it while it runs.
    pub fn set_weight(&self, i: usize, weight: u32, now: Instant) -> bool {
        let dynamic = self.is_dynamic();
        if dynamic {
            self.put_weight(i, weight, now);
        }
        dynamic
    }

    pub(super) fn put_weight(&self, i: usize, weight: u32, now: Instant) -> Change {
        self.change(i, now, |server, _| server.weight.store(weight.min(crate::balance::MAX_WEIGHT), Relaxed))
    }

    /// Goes on with slow starts. To be called about every second.
    pub fn tick(&self, now: Instant) {
        self.session_rate.tick(self.total(), now);
        for server in &self.servers {
            server.session_rate.tick(server.total(), now);
        }
        let warming: Vec<usize> = self.lock().all_warming();
        for i in warming {
            self.change(i, now, |_, _| {});
        }
    }
}

/// What all frontends and backends counted together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub front: FrontTotals,
    pub requests_out: u64,
    pub streams: u64,
    /// Of the administration sockets: clients, and the bytes sent to them.
    pub admin_connections: u64,
    pub admin_bytes_out: u64,
}

impl Totals {
    /// Bytes sent, to clients (of the administration sockets as well) and to servers.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.front.bytes_out + self.requests_out + self.admin_bytes_out
    }

    /// Client connections, those to the administration sockets among them.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.front.connections + self.admin_connections
    }

    /// Requests, and connections in which none are told apart.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.front.requests + self.front.streams + self.admin_connections
    }
}

impl Generation {
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            admin_connections: self.process.admin_connections.load(Relaxed),
            admin_bytes_out: self.process.admin_bytes_out.load(Relaxed),
            ..Totals::default()
        };
        for proxy in &self.proxies {
            for shard in proxy.front.counters.all() {
                shard.add_to(&mut totals.front);
            }
            if let Some(back) = &proxy.back {
                totals.requests_out += back.counters.sum().requests_out;
                totals.streams += u64::from(back.current());
            }
        }
        totals
    }

    /// Slow starts and rates: about every second, on the control thread.
    pub fn tick(&self, now: Instant) {
        for proxy in &self.proxies {
            proxy.front.tick(now);
            if let Some(backend) = &proxy.back {
                backend.tick(now);
            }
        }
        let totals = self.totals();
        self.process.tick(&totals.front, totals.bytes_out(), now);
    }

    pub(super) fn find(
        &self,
        at: ServerAt,
    ) -> Option<(&Arc<LiveProxy>, &Arc<LiveBackend>, &Arc<LiveServer>)> {
        let proxy = self.proxy(at.0)?;
        let backend = proxy.back.as_ref()?;
        Some((proxy, backend, backend.servers.get(at.1.get())?))
    }

    /// Checks changed a server's state; those that track it follow. `reason` is what stands after `is DOWN`/`is UP` (with
    /// its comma), empty to say nothing.
    pub fn set_oper(&self, at: ServerAt, to: OperState, reason: &str, now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.set_oper_from(at, to, reason, None, now, &mut notices);
        notices
    }

    fn set_oper_from(
        &self,
        at: ServerAt,
        to: OperState,
        reason: &str,
        via: Option<&str>,
        now: Instant,
        out: &mut Vec<Notice>,
    ) {
        let Some((proxy, backend, server)) = self.find(at) else { return };
        if !server.would_change(to) {
            return;
        }
        let gentle = server.is_going(server.admin());
        let change = backend.set_oper(at.1.get(), to, now);
        mark(backend, server, to);
        let name = full_name(proxy, server);
        let via = via.map_or_else(|| reason.to_owned(), |v| format!(" via {v}"));
        let tail = change.tail(server, to == OperState::Stopped);
        let (verb, level) = match to {
            OperState::Stopped if gentle => ("DOWN", NOTICE),
            OperState::Stopped => ("DOWN", ALERT),
            OperState::Stopping => ("stopping", NOTICE),
            _ => ("UP", NOTICE),
        };
        let notice = Notice::new(at.0, level, format!("{} is {verb}{via}. {tail}", title(proxy, server)));
        let mailed = to != OperState::Stopping;
        out.push(if mailed { notice.mailed(at.1, level) } else { notice });
        change.alarm(at.0, proxy, out);
        self.still_draining(at, out);
        for tracker in self.trackers(at) {
            self.set_oper_from(tracker, to, "", Some(&name), now, out);
        }
    }

    /// Servers that track one which starts down or in maintenance start like it.
    pub(super) fn inherit_states(&self, now: Instant) {
        // A chain of n servers is settled after n rounds.
        for _ in 0..self.tracking().len() {
            for (tracked, by) in &self.tracking() {
                let (Some((_, _, from)), Some((_, backend, _))) = (self.find(*tracked), self.find(*by))
                else {
                    continue;
                };
                if from.admin() & admin::MAINT != 0 {
                    backend.change(by.1.get(), now, |s, _| {
                        s.admin.fetch_or(admin::INHERITED_MAINT, Relaxed);
                    });
                }
                if from.oper() == OperState::Stopped {
                    backend.change(by.1.get(), now, |s, _| s.oper.store(OperState::Stopped as u8, Relaxed));
                }
            }
        }
    }

    /// Servers whose state follows the one at `at`.
    pub(super) fn trackers(&self, at: ServerAt) -> impl Iterator<Item = ServerAt> + use<> {
        self.tracking().into_iter().filter(move |(tracked, _)| *tracked == at).map(|(_, by)| by)
    }

    /// The server that the one at `at` tracks.
    #[must_use]
    pub fn tracked_by(&self, at: ServerAt) -> Option<&Arc<LiveServer>> {
        let tracked = self.tracking().into_iter().find(|(_, by)| *by == at)?.0;
        self.find(tracked).map(|(_, _, server)| server)
    }

    /// The same with its place.
    #[must_use]
    pub fn tracked_at(&self, at: ServerAt) -> Option<(ServerAt, &LiveServer)> {
        let tracked = self.tracking().into_iter().find(|(_, by)| *by == at)?.0;
        self.find(tracked).map(|(_, _, server)| (tracked, &**server))
    }

    pub(super) fn tracked_name(&self, at: ServerAt) -> Option<String> {
        let tracked = self.tracking().into_iter().find(|(_, by)| *by == at)?.0;
        self.find(tracked).map(|(proxy, _, server)| full_name(proxy, server))
    }

    /// What SIGHUP writes: a line for each server, then one for its proxy.
    #[must_use]
    pub fn dump_servers(&self) -> Vec<String> {
        let mut lines = vec!["SIGHUP received, dumping servers states.".to_owned()];
        for proxy in &self.proxies {
            dump_proxy(proxy, &mut lines);
        }
        lines
    }
}

fn dump_proxy(proxy: &LiveProxy, lines: &mut Vec<String>) {
    let name = &proxy.conf.name;
    let front = (proxy.front.current.load(Relaxed), proxy.front.total());
    let servers: Vec<&Arc<LiveServer>> = proxy.back.iter().flat_map(|b| &b.servers).collect();
    for s in &servers {
        let state = if s.is_up() { "UP" } else { "DOWN" };
        lines.push(format!(
            "SIGHUP: Server {name}/{} is {state}. Conn: {} act, {} pend, {} tot.",
            s.name(),
            s.current(),
            s.queued(),
            s.total(),
        ));
    }
    let (current, unassigned, total, (active, backups)) =
        proxy.back.as_ref().map_or((0, 0, 0, (0, 0)), |b| (b.current(), b.queued(), b.total(), b.usable()));
    let pending = unassigned + servers.iter().map(|s| s.queued()).sum::<u32>();
    let state = match (servers.is_empty(), active, backups) {
        (true, _, _) => "has no servers.".to_owned(),
        (_, 0, 0) => "has no server available !".to_owned(),
        (_, 0, _) => format!("is running on {backups} backup servers."),
        _ => format!("has {active} active servers and {backups} backup servers available."),
    };
    lines.push(format!(
        "SIGHUP: Proxy {name} {state} Conn: act(FE+BE): {}+{current}, {pending} pend ({unassigned} unass), \
         tot(FE+BE): {}+{total}.",
        front.0, front.1,
    ));
}

/// Sets the operational state and what goes with it: slow start, times.
fn enter(server: &LiveServer, lists: &mut Lists, i: usize, to: OperState, now: Instant) {
    let warms = to == OperState::Running && server.conf.slowstart.is_some_and(|s| !s.is_zero());
    let to = if warms { OperState::Starting } else { to };
    lists.warming(i, warms.then_some(now));
    if server.oper() == OperState::Stopped {
        server.lifetime.recovered(now);
    } else {
        server.lifetime.changed(now);
    }
    server.oper.store(to as u8, Relaxed);
}

/// How a line about a server begins.
pub(super) fn title(proxy: &LiveProxy, server: &LiveServer) -> String {
    let who = if server.conf.backup { "Backup Server" } else { "Server" };
    format!("{who} {}", full_name(proxy, server))
}

pub(super) fn full_name(proxy: &LiveProxy, server: &LiveServer) -> String {
    format!("{}/{}", proxy.conf.name, server.name())
}

/// `on-marked-down` and `on-marked-up`.
pub(super) fn mark(backend: &LiveBackend, server: &LiveServer, to: OperState) {
    if to == OperState::Stopped {
        if server.conf.on_marked_down == Some(Mark::ShutdownSessions) {
            server.shutdown_sessions();
        }
    } else if to != OperState::Stopping
        && server.conf.on_marked_up == Some(Mark::ShutdownBackupSessions)
        && !server.conf.backup
        && server.weight() > 0
    {
        backend.servers.iter().filter(|s| s.conf.backup).for_each(|s| s.shutdown_sessions());
    }
}

impl Change {
    /// The end of the sentence about a server.
    pub(super) fn tail(&self, server: &LiveServer, lost: bool) -> String {
        let Self { active, backups, requeued, .. } = self;
        let left = if lost { "left" } else { "online" };
        let on_backup = if *active == 0 && *backups > 0 { " Running on backup." } else { "" };
        let start = format!("{active} active and {backups} backup servers {left}.{on_backup}");
        if lost {
            let (now, queued) = (server.current(), server.queued());
            format!("{start} {now} sessions active, {requeued} requeued, {queued} remaining in queue.")
        } else {
            format!("{start} {requeued} sessions requeued, {} total in queue.", server.queued())
        }
    }

    pub(super) fn alarm(&self, index: ProxyIndex, proxy: &LiveProxy, out: &mut Vec<Notice>) {
        if self.had_servers && self.active + self.backups == 0 {
            let (kind, name) =
                (if proxy.conf.front.is_some() { "proxy" } else { "backend" }, &proxy.conf.name);
            out.push(Notice {
                alert: true,
                stderr: Some(format!("{kind} '{name}' has no server available!")),
                ..Notice::new(index, EMERG, format!("{kind} {name} has no server available!"))
            });
        }
    }
}

/// How far a slow start has come: sixteenths of the weight, and percent of `maxconn`.
pub(super) fn ramp(since: Instant, slowstart: Duration, now: Instant) -> Option<(u32, u32)> {
    let elapsed = now.saturating_duration_since(since).as_millis();
    let whole = slowstart.as_millis();
    if elapsed >= whole {
        return None;
    }
    let sixteenths = elapsed * u128::from(crate::balance::WEIGHT_SCALE) / whole + 1;
    let percent = elapsed * 100 / whole;
    Some((u32::try_from(sixteenths).unwrap_or(1), u32::try_from(percent).unwrap_or(100)))
}
