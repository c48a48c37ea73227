//! What the engines share while the process runs: proxies and servers with their state, counters, queues and pools.
//! Threads meet here only: atomics, `ArcSwap`, short locks never held across an await.

pub mod applet;
pub mod backend;
pub mod captures;
pub mod checks;
mod clear;
pub mod control;
pub mod counters;
pub mod doors;
pub mod dynamic;
mod dynamic_cookies;
pub mod frontend;
pub mod heartbeat;
pub mod l4;
mod lifetime;
mod limits;
pub mod multiplexed;
mod observe;
mod orders;
mod outbox;
mod pick;
pub mod preload;
mod process;
mod queue;
pub mod rate;
mod reach;
pub mod reload;
pub mod restore;
pub mod rings;
pub mod rules;
pub mod scene;
mod secure;
pub mod server;
pub mod servers;
pub mod sessions;
mod shares;
pub mod startup;
pub mod succession;
#[cfg(test)]
mod tests;
pub mod ticker;
pub mod trace;
pub mod variables;
pub mod vrrp;

pub use backend::{InUse, LiveBackend};
pub use checks::{CheckState, Forced, Settings, Which};
pub use control::{Notice, ServerAt, Totals};
pub use dynamic_cookies::{CookieValue, Equal};
pub use frontend::{FrontState, ListenerState};
pub use lifetime::Lifetime;
pub use observe::Sight;
pub use outbox::{Letter, Outbox};
pub use pick::{HashInput, Refusal, Slot, Sticky, Want};
pub use process::{MAX_THREADS, Process, Rates};
pub use server::{LiveServer, OperState};

use crate::config::model::{Bind, Config, Proxy, UseBackend};
use crate::expr::facts::{LiveFacts, ServerNumber};
use crate::ids::ProxyIndex;
use crate::memory;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

/// One running configuration. Connections keep the generation they began with.
#[derive(Debug)]
pub struct Generation {
    pub config: Arc<Config>,
    pub proxies: Vec<Arc<LiveProxy>>,
    pub process: Arc<Process>,
    /// (tracked, tracking) servers (`track`).
    tracking: RwLock<Vec<(ServerAt, ServerAt)>>,
    /// For each `mailers` section and each of its mailers.
    pub outboxes: Vec<Vec<Arc<Outbox>>>,
    /// From 1, one more with each reload.
    pub number: u64,
    /// Worker threads.
    pub threads: usize,
    pub born: Instant,
    /// Bytes on the heap for it: its configuration and its own state, without what goes on from the one before.
    pub memory: usize,
    stage: AtomicU8,
}

/// What becomes of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Running,
    /// A reload has put another in its place: connections end with their next response.
    Replaced,
    /// The process stops; soon idle connections are closed as well.
    Stopping,
}

/// A proxy's state. `conf.front`/`conf.back` tell which sides it has.
#[derive(Debug)]
pub struct LiveProxy {
    pub index: ProxyIndex,
    pub conf: Arc<Proxy>,
    pub front: Arc<FrontState>,
    pub back: Option<Arc<LiveBackend>>,
    /// The last messages it refused.
    pub captures: captures::Captures,
}

impl Generation {
    /// A graceful stop closes connections that wait for their next request.
    #[must_use]
    pub fn closes_idle(&self) -> bool {
        self.process.closes_idle.load(Relaxed) && !self.config.global.close_never
    }

    /// Clients are to open another connection for their next request.
    #[must_use]
    pub fn ends_connections(&self) -> bool {
        self.stage.load(Relaxed) != Stage::Running as u8
            && (!self.config.global.close_never || self.is_replaced())
    }

    /// A reload has put another in its place.
    #[must_use]
    pub fn is_replaced(&self) -> bool {
        self.stage.load(Relaxed) == Stage::Replaced as u8
    }

    /// Never goes back.
    pub fn enter_stage(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Relaxed);
    }

    /// The live state of a configuration. `previous` is the one it replaces: what is in both goes on with its state.
    #[must_use]
    pub fn build(
        config: Arc<Config>,
        process: Arc<Process>,
        threads: usize,
        previous: Option<&Self>,
    ) -> Self {
        let (mut generation, memory) = memory::measure(|| Self::make(config, process, threads, previous));
        generation.memory = generation.config.memory + memory;
        generation.process.reloads.begin(generation.number, generation.born, generation.memory);
        generation
    }

    fn make(config: Arc<Config>, process: Arc<Process>, threads: usize, previous: Option<&Self>) -> Self {
        let now = Instant::now();
        let full_loads = full_loads(&config, process.limits.maxconn());
        let proxies = config
            .proxies
            .iter()
            .zip(full_loads)
            .zip((0..).map(ProxyIndex))
            .map(|((conf, full_load), index)| {
                let back = conf.back.as_ref().map(|b| {
                    let fullconn = b.fullconn.unwrap_or(full_load);
                    succession::backend(previous, conf, b, fullconn, threads, now)
                });
                let front = succession::frontend(previous, conf, threads, now);
                let captures = captures::Captures::default();
                Arc::new(LiveProxy { index, conf: Arc::clone(conf), front, back, captures })
            })
            .collect();
        let outboxes = outbox::all(&config, previous);
        let generation = Self {
            config,
            proxies,
            process,
            tracking: RwLock::default(),
            outboxes,
            number: previous.map_or(1, |p| p.number + 1),
            threads,
            born: now,
            memory: 0,
            stage: AtomicU8::new(Stage::Running as u8),
        };
        for (tracked, by) in generation.find_tracking() {
            generation.add_tracking(tracked, by);
        }
        generation.inherit_states(now);
        if let Some(previous) = previous {
            generation.config.tls.inherit_updates(&previous.config.tls);
        }
        generation
    }

    /// Resolves the names of `track [backend/]server` lines.
    fn find_tracking(&self) -> Vec<(ServerAt, ServerAt)> {
        let mut found = Vec::new();
        for proxy in &self.proxies {
            for server in proxy.back.iter().flat_map(|b| &b.servers) {
                let Some(track) = server.conf.track.as_deref() else { continue };
                let (backend, name) = track.split_once('/').unwrap_or((&proxy.conf.name, track));
                let tracked = self.proxies.iter().find_map(|p| {
                    let b = p.back.as_ref().filter(|_| &*p.conf.name == backend)?;
                    b.servers.iter().find(|s| s.name() == name).map(|s| (p.index, s.index))
                });
                found.extend(tracked.map(|t| (t, (proxy.index, server.index))));
            }
        }
        found
    }

    /// The server at a place, gone or not.
    #[must_use]
    pub fn server(&self, at: ServerAt) -> Option<&Arc<LiveServer>> {
        self.backend(at.0)?.servers.get(at.1.get())
    }

    fn tracking(&self) -> Vec<(ServerAt, ServerAt)> {
        self.tracking.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add_tracking(&self, tracked: ServerAt, by: ServerAt) {
        self.tracking.write().unwrap_or_else(PoisonError::into_inner).push((tracked, by));
    }

    #[must_use]
    pub fn proxy(&self, index: ProxyIndex) -> Option<&Arc<LiveProxy>> {
        self.proxies.get(index.get())
    }

    /// May rules choose it? (What is no backend is no matter of this.)
    #[must_use]
    pub fn is_published(&self, index: ProxyIndex) -> bool {
        self.backend(index).is_none_or(|b| b.is_published())
    }

    fn backend(&self, index: ProxyIndex) -> Option<&Arc<LiveBackend>> {
        self.proxy(index)?.back.as_ref()
    }
}

/// The listeners to be counted one by one (`option socket-stats`).
fn counted_listeners(conf: &Proxy) -> &[Arc<Bind>] {
    conf.front.as_ref().filter(|_| conf.options.socket_stats).map_or(&[], |f| &f.binds)
}

/// What `fullconn` is of each proxy that does not say: a tenth of the connections of all frontends with a rule that names it. A
/// frontend without `default_backend` that is a backend too leads to itself. `most`: connections of a frontend without `maxconn`.
fn full_loads(config: &Config, most: usize) -> Vec<u32> {
    let mut sums = vec![0_usize; config.proxies.len()];
    for (own, proxy) in (0..).map(ProxyIndex).zip(&config.proxies) {
        let Some(front) = proxy.front.as_ref().filter(|_| !proxy.disabled) else { continue };
        let limit = if front.maxconn > 0 { front.maxconn } else { most };
        let named = front.use_backend.iter().filter_map(|rule| match rule.action {
            UseBackend::Static(to) => Some(to),
            UseBackend::Dynamic(_) => None,
        });
        let otherwise = front.default_backend.or(proxy.back.is_some().then_some(own));
        for to in named.chain(otherwise).collect::<HashSet<_>>() {
            if let Some(sum) = sums.get_mut(to.get()) {
                *sum = sum.saturating_add(limit);
            }
        }
    }
    sums.into_iter().map(|sum| u32::try_from(sum.div_ceil(10)).unwrap_or(u32::MAX).max(1)).collect()
}

fn count<T: TryInto<i64>>(n: T) -> i64 {
    n.try_into().unwrap_or(i64::MAX)
}

impl LiveFacts for Generation {
    fn frontend_by_name(&self, name: &str) -> Option<ProxyIndex> {
        let fits = |p: &&Arc<LiveProxy>| &*p.conf.name == name && p.conf.front.is_some();
        self.proxies.iter().find(fits).map(|p| p.index)
    }

    fn backend_by_name(&self, name: &str) -> Option<ProxyIndex> {
        let fits = |p: &&Arc<LiveProxy>| &*p.conf.name == name && p.back.is_some();
        self.proxies.iter().find(fits).map(|p| p.index)
    }

    fn nbsrv(&self, backend: ProxyIndex) -> i64 {
        self.backend(backend).map_or(0, |b| count(b.nbsrv()))
    }

    fn server_is_up(&self, backend: ProxyIndex, server: &str) -> bool {
        self.backend(backend).is_some_and(|b| b.servers.iter().any(|s| s.name() == server && s.is_up()))
    }

    fn server_number(&self, backend: ProxyIndex, server: &str, what: ServerNumber) -> Option<i64> {
        let backend = self.backend(backend)?;
        let server = backend.servers.iter().find(|s| s.name() == server)?;
        Some(match what {
            ServerNumber::Id => server.conf.id.into(),
            ServerNumber::Connections => server.current().into(),
            ServerNumber::ConnectionsFree => backend.room_of(server.index.get()).map_or(-1, count),
            ServerNumber::Queued => server.queued().into(),
            ServerNumber::SessionRate => count(server.session_rate.read(server.total(), Instant::now())),
            ServerNumber::InitialWeight => server.conf.weight.into(),
            ServerNumber::Weight => server.weight().into(),
            ServerNumber::EffectiveWeight => server.effective_weight().into(),
        })
    }

    fn connslots(&self, backend: ProxyIndex) -> i64 {
        let Some(b) = self.backend(backend) else { return 0 };
        let mut slots = 0;
        for s in b.servers.iter().filter(|s| s.is_usable()) {
            // A server without limits has no end of slots.
            if s.maxconn() == 0 || s.conf.maxqueue == 0 {
                return -1;
            }
            let room = count(s.maxconn()) - count(s.current()) + count(s.conf.maxqueue) - count(s.queued());
            slots += room;
        }
        slots
    }

    fn avg_queue(&self, backend: ProxyIndex) -> i64 {
        let Some(b) = self.backend(backend) else { return 0 };
        let waiting = self.queue(backend);
        match count(b.nbsrv()) {
            0 => waiting * 2,
            servers => (waiting + servers - 1) / servers,
        }
    }

    fn queue(&self, backend: ProxyIndex) -> i64 {
        self.backend(backend)
            .map_or(0, |b| count(b.queued()) + b.servers.iter().map(|s| count(s.queued())).sum::<i64>())
    }

    fn be_conn(&self, backend: ProxyIndex) -> i64 {
        self.backend(backend).map_or(0, |b| count(b.current()))
    }

    fn fe_conn(&self, frontend: ProxyIndex) -> i64 {
        self.proxy(frontend).map_or(0, |p| count(p.front.current.load(Relaxed)))
    }

    fn fe_sess_rate(&self, frontend: ProxyIndex) -> i64 {
        self.proxy(frontend).map_or(0, |p| count(p.front.sess_rate(Instant::now())))
    }

    fn be_sess_rate(&self, backend: ProxyIndex) -> i64 {
        self.backend(backend).map_or(0, |b| count(b.sess_rate(Instant::now())))
    }

    fn be_conn_free(&self, backend: ProxyIndex) -> i64 {
        self.backend(backend).map_or(0, |b| b.room().map_or(-1, count))
    }

    fn fe_req_rate(&self, frontend: ProxyIndex) -> i64 {
        let rate = |f: &FrontState| f.request_rate.read(f.counters.total().requests, Instant::now());
        self.proxy(frontend).map_or(0, |p| count(rate(&p.front)))
    }

    fn proxy_name(&self, proxy: ProxyIndex) -> Option<&str> {
        Some(&self.proxy(proxy)?.conf.name)
    }

    fn connections(&self) -> i64 {
        count(self.process.connections.load(Relaxed))
    }

    fn uptime(&self) -> i64 {
        count(self.process.started.mono.elapsed().as_secs())
    }

    fn is_stopping(&self) -> bool {
        self.process.stopping.load(Relaxed)
    }

    fn event(&self, ring: &str, line: &[u8]) {
        if let Some(ring) = self.process.rings.find(ring) {
            ring.push(std::iter::once(line));
        }
    }

    fn is_local(&self, address: IpAddr) -> bool {
        crate::net::own::is_local(address)
    }
}
