//! A backend: its servers, its queue, its balancing table, and the one lock under which they agree.

use super::control;
use super::counters::{BackCounters, Sharded};
use super::dynamic_cookies::DynamicCookies;
use super::lifetime::Lifetime;
use super::multiplexed::Multiplexed;
use super::queue::Queue;
use super::rate::Rate;
use super::server::{LiveServer, OperState, admin};
use super::servers::Servers;
use crate::balance::hash::{avalanche, xxh32};
use crate::balance::{Affinity, Algorithm, Candidate, Function, Hashing, Pool, Table, WEIGHT_SCALE};
use crate::config::model::backend as model;
use crate::config::model::{Backend, Balance, Endpoint, HashFunction, HashMethod, Proxy, Server};
use crate::ids::ServerIndex;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

/// A backend's servers, queue and balancing table.
#[derive(Debug)]
pub struct LiveBackend {
    pub proxy: Arc<Proxy>,
    pub servers: Servers,
    pub counters: Sharded<BackCounters>,
    pub h2: Arc<Multiplexed>,
    pub fullconn: u32,
    pub session_rate: Rate,
    pub(super) sessions: AtomicU32,
    pub(super) sessions_max: AtomicU32,
    pub(super) total: AtomicU64,
    pub(super) queued: AtomicU32,
    pub(super) queued_max: AtomicU32,
    pub(super) started: Instant,
    pub(super) lifetime: Lifetime,
    pub(super) dynamic_cookies: DynamicCookies,
    /// `chkdown`
    pub down_transitions: AtomicU64,
    /// `option redispatch` without `option persist`: who waits for a server that goes down chooses again.
    pub(super) redistributes: bool,
    /// By command: rules that lead here are passed over.
    unpublished: AtomicBool,
    /// `be-unpublished`: what it began with.
    begins_unpublished: bool,
    lists: Mutex<Lists>,
}

/// What balancing does with a backend's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse {
    pub active: usize,
    pub backups: usize,
    /// Of the servers that take part now: as in effect (slow start), and as set by people.
    pub weight: u32,
    pub user_weight: u32,
    /// Requests the algorithm placed.
    pub balanced: u64,
}

/// What the lock holds.
#[derive(Debug)]
pub(super) struct Lists {
    pub pool: Pool,
    pub table: Table,
    /// Those that wait for any server.
    pub any: Queue,
    /// Those that wait for one server.
    pub own: Vec<Queue>,
    pub arrivals: u64,
    /// Requests the algorithm placed (`lbtot` of the backend).
    pub balanced: u64,
    /// When each server's slow start began.
    warm_since: Vec<Option<Instant>>,
}

impl LiveBackend {
    /// `fullconn` as configured or computed from the frontends that lead here. `before`: the backend whose place it takes.
    #[must_use]
    pub fn new(
        proxy: Arc<Proxy>,
        conf: &Backend,
        fullconn: u32,
        threads: usize,
        now: Instant,
        before: Option<&Self>,
    ) -> Self {
        let known = before.map(|b| b.servers.by_name()).unwrap_or_default();
        let servers: Vec<Arc<LiveServer>> = conf
            .servers
            .iter()
            .zip(0..)
            .map(|(s, i)| {
                let server = LiveServer::new(ServerIndex(i), Arc::clone(s), threads, now);
                Arc::new(match known.get(&*s.name) {
                    Some(old) => server.after(old, threads),
                    None => server,
                })
            })
            .collect();
        let algorithm = algorithm(conf);
        let candidates = servers.iter().map(|s| candidate(s, algorithm)).collect();
        let pool = Pool::new(candidates, fullconn, proxy.options.allbackups);
        let backend = Self {
            counters: before.map_or_else(|| Sharded::new(threads), |b| b.counters.succeed(threads)),
            h2: before.map_or_else(|| Multiplexed::new(threads), |b| b.h2.succeed(threads)),
            fullconn,
            session_rate: Rate::new(now),
            sessions: AtomicU32::new(0),
            sessions_max: AtomicU32::new(0),
            total: AtomicU64::new(0),
            queued: AtomicU32::new(0),
            queued_max: AtomicU32::new(0),
            started: now,
            lifetime: Lifetime::new(now),
            dynamic_cookies: DynamicCookies::new(conf),
            down_transitions: AtomicU64::new(0),
            unpublished: AtomicBool::new(
                before
                    .filter(|before| before.begins_unpublished == conf.unpublished)
                    .map_or(conf.unpublished, |before| !before.is_published()),
            ),
            begins_unpublished: conf.unpublished,
            redistributes: proxy.options.redispatch.is_some() && !proxy.options.persist,
            lists: Mutex::new(Lists {
                table: Table::new(algorithm, &pool),
                own: servers.iter().map(|_| Queue::default()).collect(),
                pool,
                any: Queue::default(),
                arrivals: 0,
                balanced: 0,
                warm_since: vec![None; servers.len()],
            }),
            servers: Servers::new(servers),
            proxy,
        };
        for i in 0..backend.servers.places() {
            let lists = backend.lock();
            lists.publish(&backend, i);
        }
        // Equal ones were warned of when the configuration was read.
        let _warned = backend.make_cookies();
        backend
    }

    /// A session enters the backend (the frontend's `use_backend` is settled); it leaves with [`Self::leave`].
    pub fn enter(&self) {
        let now = self.sessions.fetch_add(1, Relaxed) + 1;
        self.total.fetch_add(1, Relaxed);
        if now > self.sessions_max.load(Relaxed) {
            self.sessions_max.fetch_max(now, Relaxed);
        }
    }

    /// May rules choose it?
    #[must_use]
    pub fn is_published(&self) -> bool {
        !self.unpublished.load(Relaxed)
    }

    /// Lets rules choose it, or no longer; requests that are here go on.
    pub fn publish(&self, published: bool) {
        self.unpublished.store(!published, Relaxed);
    }

    pub fn leave(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }

    /// Sessions now, and the most there ever were.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.sessions.load(Relaxed)
    }

    #[must_use]
    pub fn max(&self) -> u32 {
        self.sessions_max.load(Relaxed)
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Requests that wait for any server (not those that wait for one of them).
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.queued.load(Relaxed)
    }

    #[must_use]
    pub fn queued_max(&self) -> u32 {
        self.queued_max.load(Relaxed)
    }

    #[must_use]
    pub fn sess_rate(&self, now: Instant) -> u64 {
        self.session_rate.read(self.total(), now)
    }

    #[must_use]
    pub fn sess_rate_max(&self, now: Instant) -> u64 {
        self.session_rate.max(self.total(), now)
    }

    /// Servers balancing may use: (active, backup).
    #[must_use]
    pub fn usable(&self) -> (usize, usize) {
        let lists = self.lock();
        (lists.pool.active(), lists.pool.backups())
    }

    /// Servers balancing may use, and the weights of those that take part.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        let lists = self.lock();
        let (pool, scale) = (&lists.pool, lists.table.algorithm().scale());
        let user_weight = (0..self.servers.places())
            .filter(|i| pool.takes_part(*i))
            .map(|i| pool.servers.get(i).map_or(0, |c| c.weight))
            .sum();
        InUse {
            active: pool.active(),
            backups: pool.backups(),
            weight: pool.weight().div_ceil(scale),
            user_weight,
            balanced: lists.balanced,
        }
    }

    /// HAProxy's `nbsrv`: how many servers a new request could go to.
    #[must_use]
    pub fn nbsrv(&self) -> usize {
        self.lock().pool.usable()
    }

    /// How many more connections server `i` takes now; `None`: no limit.
    #[must_use]
    pub fn room_of(&self, i: usize) -> Option<u32> {
        self.lock().pool.room(i)
    }

    /// How many more connections the servers in use take; `None`: one of them has no limit.
    #[must_use]
    pub fn room(&self) -> Option<u64> {
        let pool = &self.lock().pool;
        let in_use = (0..self.servers.places()).filter(|i| pool.takes_part(*i));
        in_use.map(|i| pool.room(i).map(u64::from)).sum()
    }

    /// `lastchg`: how long ago the last server went or the first came.
    #[must_use]
    pub fn since_change(&self, now: Instant) -> Duration {
        self.lifetime.since_change(now)
    }

    /// `downtime`: how long there was no server in all.
    #[must_use]
    pub fn downtime(&self, now: Instant) -> Duration {
        let down = !self.servers.is_empty() && self.usable() == (0, 0);
        self.lifetime.downtime(down, now)
    }

    pub(super) fn warm_since(&self, i: usize) -> Option<Instant> {
        self.lock().warm_since.get(i).copied().flatten()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of server `i` ended.
    pub(super) fn release(&self, i: usize) {
        let mut wake = Vec::new();
        {
            let lists = &mut *self.lock();
            lists.pool.release(i);
            lists.table.moved(&lists.pool, i);
            lists.mirror_served(self, i);
            lists.serve_queue(self, i, &mut wake);
        }
        wake.into_iter().for_each(Waker::wake);
    }
}

impl Lists {
    pub fn queue(&mut self, place: Option<usize>) -> &mut Queue {
        match place {
            Some(i) if i < self.own.len() => &mut self.own[i],
            _ => &mut self.any,
        }
    }

    /// A connection goes to server `i`.
    pub fn take(&mut self, backend: &LiveBackend, i: usize) {
        self.pool.take(i);
        self.table.moved(&self.pool, i);
        self.mirror_served(backend, i);
    }

    fn mirror_served(&self, backend: &LiveBackend, i: usize) {
        if let (Some(c), Some(s)) = (self.pool.servers.get(i), backend.servers.get(i)) {
            s.served.store(c.served, Relaxed);
            if c.served > s.served_max.load(Relaxed) {
                s.served_max.store(c.served, Relaxed);
            }
        }
    }

    /// The length of a queue changed.
    pub fn note_queue(&mut self, backend: &LiveBackend, place: Option<usize>) {
        let len = u32::try_from(self.queue(place).len()).unwrap_or(u32::MAX);
        let (now, max) = match place.and_then(|i| Some((i, backend.servers.get(i)?))) {
            None => (&backend.queued, &backend.queued_max),
            Some((i, server)) => {
                if let Some(c) = self.pool.servers.get_mut(i) {
                    c.queued = len;
                }
                self.table.moved(&self.pool, i);
                (&server.queued, &server.queued_max)
            }
        };
        now.store(len, Relaxed);
        if len > max.load(Relaxed) {
            max.store(len, Relaxed);
        }
    }

    /// Gives the free places of server `i` to those that wait for it or, if it takes part in balancing, for any.
    pub fn serve_queue(&mut self, backend: &LiveBackend, i: usize, wake: &mut Vec<Waker>) {
        self.pool.sessions = backend.sessions.load(Relaxed);
        if self.any.len() == 0 && self.own.get(i).is_none_or(|own| own.len() == 0) {
            return;
        }
        std::hint::cold_path();
        while self.pool.below_limit(i) {
            let own = self.own.get(i).and_then(Queue::first);
            let any = if self.pool.takes_part(i) { self.any.first() } else { None };
            let place = match (own, any) {
                (None, None) => return,
                (Some(own), Some(any)) if any < own => None,
                (Some(_), _) => Some(i),
                (None, Some(_)) => None,
            };
            let Some(waker) = self.queue(place).grant(i) else { return };
            wake.extend(waker);
            self.take(backend, i);
            self.note_queue(backend, place);
        }
    }

    /// Starts (or ends) the slow start of server `i`.
    pub fn warming(&mut self, i: usize, since: Option<Instant>) {
        if let Some(s) = self.warm_since.get_mut(i) {
            *s = since;
        }
    }

    /// A server was appended to the pool.
    pub fn grown(&mut self) {
        self.warm_since.push(None);
        self.table.grown(&self.pool);
    }

    pub fn all_warming(&self) -> Vec<usize> {
        self.warm_since.iter().enumerate().filter(|(_, s)| s.is_some()).map(|(i, _)| i).collect()
    }

    /// Server `i` has another state or weight: works out what balancing may do with it, and lets queues move. Answers
    /// how many requests had to choose again.
    pub fn refresh(&mut self, backend: &LiveBackend, i: usize, now: Instant, wake: &mut Vec<Waker>) -> usize {
        let Some(server) = backend.servers.get(i) else { return 0 };
        let algorithm = self.table.algorithm();
        let ramp = self
            .warm_since
            .get(i)
            .copied()
            .flatten()
            .and_then(|since| control::ramp(since, server.conf.slowstart.unwrap_or_default(), now));
        if ramp.is_none() && self.warm_since.get(i).is_some_and(Option::is_some) {
            self.warming(i, None);
            if server.oper() == OperState::Starting {
                server.oper.store(OperState::Running as u8, Relaxed);
            }
        }
        let Some(c) = self.pool.servers.get_mut(i) else { return 0 };
        let before = (c.usable, c.effective, c.ramp);
        let (sixteenths, percent) = ramp.unwrap_or((WEIGHT_SCALE, 100));
        c.weight = server.weight();
        c.effective = if algorithm.is_dynamic() { c.weight * sixteenths } else { c.weight };
        c.ramp = percent;
        c.usable = is_usable(server, c.effective);
        let after = (c.usable, c.effective, c.ramp);
        self.publish(backend, i);
        if before == after {
            return 0;
        }
        self.pool.recount();
        self.table.changed(&self.pool, i);
        let mut requeued = 0;
        if !server.is_up() {
            requeued = self.queue(Some(i)).disperse(wake);
            self.note_queue(backend, Some(i));
        }
        // Another server may take part now, or this one have more room.
        for i in 0..backend.servers.places() {
            let waiting = self.any.len();
            self.serve_queue(backend, i, wake);
            requeued += waiting - self.any.len();
        }
        requeued
    }

    /// Tells all threads what became of server `i`.
    pub fn publish(&self, backend: &LiveBackend, i: usize) {
        if let (Some(c), Some(s)) = (self.pool.servers.get(i), backend.servers.get(i)) {
            // As people count it: a scaled weight rounds up, so that a server in slow start is not shown as unused.
            let scale = self.table.algorithm().scale().max(1);
            // A weight given during maintenance is shown when that ends.
            if s.admin() & admin::MAINT == 0 || s.effective_weight() == 0 {
                s.effective.store(c.effective.div_ceil(scale), Relaxed);
            }
            let whole = (c.weight * scale).max(1);
            s.throttle.store((c.effective * 100 / whole).max(1), Relaxed);
            s.usable.store(c.usable, Relaxed);
        }
    }
}

/// May balancing send requests here?
fn is_usable(server: &LiveServer, effective: u32) -> bool {
    effective > 0
        && server.admin() & (admin::MAINT | admin::DRAIN) == 0
        && matches!(server.oper(), OperState::Running | OperState::Starting)
}

/// A server as it stands in the configuration.
pub(super) fn candidate(server: &LiveServer, algorithm: Algorithm) -> Candidate {
    let conf = &server.conf;
    let effective = conf.weight * algorithm.scale();
    let usable = is_usable(server, effective);
    Candidate {
        id: conf.id,
        ring_key: ring_key(conf),
        weight: conf.weight,
        effective,
        backup: conf.backup,
        usable,
        maxconn: if conf.maxconn == 0 { conf.minconn } else { conf.maxconn },
        minconn: if conf.minconn == 0 { conf.maxconn } else { conf.minconn.min(conf.maxconn.max(1)) },
        maxqueue: conf.maxqueue,
        ramp: 100,
        ..Candidate::default()
    }
}

impl LiveBackend {
    /// Server `i` has another address: those that hash by it place it anew.
    pub(super) fn rehash(&self, i: usize) {
        let Some(server) = self.servers.get(i) else { return };
        let key = ring_key(&server.reached());
        let lists = &mut *self.lock();
        let Some(c) = lists.pool.servers.get_mut(i).filter(|c| c.ring_key != key) else { return };
        c.ring_key = key;
        lists.table = Table::new(lists.table.algorithm(), &lists.pool);
    }
}

fn ring_key(conf: &Server) -> Option<u32> {
    let Endpoint::Inet(address) = conf.endpoint else { return None };
    let port = match conf.hash_key {
        model::HashKey::Id => return None,
        model::HashKey::Addr => 0,
        model::HashKey::AddrPort => avalanche(u32::from(address.port())),
    };
    Some(match address.ip() {
        // The address as it lies in memory on the machines HAProxy runs on.
        IpAddr::V4(a) => avalanche(port.wrapping_add(u32::from_le_bytes(a.octets()))),
        IpAddr::V6(a) => xxh32(&a.octets(), port),
    })
}

/// The `balance` and `hash-*` lines as one value.
fn algorithm(conf: &Backend) -> Algorithm {
    let affinity = match conf.hash_preserve_affinity {
        model::Affinity::Always => Affinity::Always,
        model::Affinity::MaxConn => Affinity::MaxConn,
        model::Affinity::MaxQueue => Affinity::MaxQueue,
    };
    let function = match conf.hash_type.function {
        HashFunction::Sdbm => Function::Sdbm,
        HashFunction::Djb2 => Function::Djb2,
        HashFunction::Wt6 => Function::Wt6,
        HashFunction::Crc32 => Function::Crc32,
        HashFunction::None => Function::None,
    };
    let hashing = Hashing { function, avalanche: conf.hash_type.avalanche };
    match conf.balance {
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::StaticRr => Algorithm::StaticRr,
        Balance::LeastConn => Algorithm::LeastConn,
        Balance::First => Algorithm::First,
        Balance::Random { draws } => Algorithm::Random { draws },
        Balance::Source
        | Balance::Uri { .. }
        | Balance::UrlParam { .. }
        | Balance::Hdr { .. }
        | Balance::RdpCookie { .. }
        | Balance::Hash(_) => match conf.hash_type.method {
            HashMethod::MapBased => Algorithm::MapHash { hashing, affinity },
            HashMethod::Consistent => {
                Algorithm::RingHash { hashing, factor: conf.hash_balance_factor, affinity }
            }
        },
    }
}
