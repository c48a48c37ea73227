//! `stats-file`: counters that begin where those of an earlier process ended, for whatever has a `guid`.

use super::counters::{BackTotals, FrontTotals, ServerTotals, Shard, Sharded};
use super::{FrontState, Generation, ListenerState, LiveBackend, LiveServer};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// What a name stands for on the clients' side, and on the servers'.
#[derive(Clone, Copy, Debug)]
pub enum FrontSide<'a> {
    Frontend(&'a FrontState),
    Listener(&'a ListenerState),
}

#[derive(Clone, Copy, Debug)]
pub enum BackSide<'a> {
    Backend(&'a LiveBackend),
    Server(&'a Arc<LiveServer>),
}

/// A backend's or a server's counters that are not among the sharded ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    pub sessions: u64,
    pub balanced: u64,
    pub failed_checks: u64,
    pub down_transitions: u64,
    pub failed_analyses: u64,
}

impl Generation {
    /// Everything on the clients' side that has a name.
    pub fn named_fronts(&self) -> impl Iterator<Item = (&str, FrontSide<'_>)> {
        self.proxies.iter().filter(|p| p.conf.front.is_some() && !p.conf.disabled).flat_map(|proxy| {
            let own = proxy.conf.guid.as_deref().map(|guid| (guid, FrontSide::Frontend(&proxy.front)));
            let listeners = proxy
                .front
                .listeners
                .iter()
                .filter_map(|l| Some((l.bind.guid.as_deref()?, FrontSide::Listener(l))));
            own.into_iter().chain(listeners)
        })
    }

    /// Everything on the servers' side that has a name.
    pub fn named_backs(&self) -> impl Iterator<Item = (&str, BackSide<'_>)> {
        self.proxies
            .iter()
            .filter(|p| !p.conf.disabled)
            .filter_map(|p| Some((p, p.back.as_deref()?)))
            .flat_map(|(proxy, back)| {
                let own = proxy.conf.guid.as_deref().map(|guid| (guid, BackSide::Backend(back)));
                let servers = back
                    .servers
                    .iter()
                    .filter(|s| !s.is_gone())
                    .filter_map(|s| Some((s.conf.guid.as_deref()?, BackSide::Server(s))));
                own.into_iter().chain(servers)
            })
    }

    /// Is the name given away?
    #[must_use]
    pub fn has_guid(&self, guid: &str) -> bool {
        let listeners = self.proxies.iter().filter_map(|p| p.conf.front.as_ref()).flat_map(|f| &f.binds);
        self.proxies.iter().any(|p| p.conf.guid.as_deref() == Some(guid))
            || listeners.into_iter().any(|b| b.guid.as_deref() == Some(guid))
            || self.named_backs().any(|(name, _)| name == guid)
    }
}

impl FrontSide<'_> {
    /// Counts from `saved` on; rates do not notice.
    pub fn preload(&self, saved: &FrontTotals, now: Instant) {
        match self {
            Self::Listener(listener) => listener.counters.preload(saved),
            Self::Frontend(front) => {
                front.counters.preload(saved);
                front.connection_rate.clear(saved.connections, now);
                front.session_rate.clear(saved.sessions, now);
                front.request_rate.clear(saved.requests, now);
            }
        }
    }
}

impl LiveBackend {
    /// Counts from `saved` on; rates do not notice.
    pub fn preload(&self, saved: &BackTotals, beside: Beside, now: Instant) {
        self.counters.preload(saved);
        self.total.store(beside.sessions, Relaxed);
        self.down_transitions.store(beside.down_transitions, Relaxed);
        self.lock().balanced = beside.balanced;
        self.session_rate.clear(beside.sessions, now);
    }
}

impl LiveServer {
    /// Counts from `saved` on; rates do not notice.
    pub fn preload(&self, saved: &ServerTotals, beside: Beside, now: Instant) {
        self.counters.preload(&ServerTotals { balanced: beside.balanced, ..*saved });
        self.sessions.store(beside.sessions, Relaxed);
        self.failed_checks.store(beside.failed_checks, Relaxed);
        self.down_transitions.store(beside.down_transitions, Relaxed);
        self.failed_analyses.store(beside.failed_analyses, Relaxed);
        self.session_rate.clear(beside.sessions, now);
    }
}

impl<S: Shard> Sharded<S> {
    fn preload(&self, saved: &S::Total) {
        let mut base = self.sum();
        S::take_off(&mut base, saved);
        self.set_base(base);
    }
}
