//! What a new generation takes over from the one it replaces.
//!
//! A frontend of the same name goes on as the same object. So does a backend whose settings have not changed: its queue,
//! its sessions and its idle server connections know of no reload. A backend that has changed is made anew, and each of
//! its servers takes over, by name, what a server of its predecessor had: counters, what checks found, what was ordered.
//! An order counts as long as the configuration says of the same thing what it said before.

use super::backend::LiveBackend;
use super::checks::CheckState;
use super::doors::Phase;
use super::frontend::FrontState;
use super::server::{LiveServer, admin};
use super::{Generation, LiveProxy, counted_listeners};
use crate::config::identity;
use crate::config::model::{Backend, Proxy};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// The configuration that runs now.
#[derive(Default)]
pub struct Current(ArcSwapOption<Generation>);

impl Current {
    pub fn set(&self, generation: &Arc<Generation>) {
        self.0.store(Some(Arc::clone(generation)));
    }

    /// Breaks the circle of references as the process ends.
    pub fn clear(&self) {
        self.0.store(None);
    }

    #[must_use]
    pub fn get(&self) -> Option<Arc<Generation>> {
        self.0.load_full()
    }
}

// A generation holds the process, which holds it.
impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

impl Generation {
    /// The configuration in whose place another may have come since.
    #[must_use]
    pub fn latest(self: &Arc<Self>) -> Arc<Self> {
        self.process.current.get().unwrap_or_else(|| Arc::clone(self))
    }

    /// The frontend of that name.
    #[must_use]
    pub fn front_named(&self, name: &str) -> Option<&Arc<LiveProxy>> {
        self.proxies.iter().find(|p| p.conf.front.is_some() && &*p.conf.name == name)
    }

    /// The backend of that name.
    #[must_use]
    pub fn back_named(&self, name: &str) -> Option<&Arc<LiveProxy>> {
        self.proxies.iter().find(|p| p.back.is_some() && &*p.conf.name == name)
    }
}

/// The state of a frontend (or of a backend, which has none to speak of).
pub(super) fn frontend(
    previous: Option<&Generation>,
    conf: &Proxy,
    threads: usize,
    now: Instant,
) -> Arc<FrontState> {
    let listeners = counted_listeners(conf);
    let new = || FrontState::new(conf.front.as_ref(), listeners, threads, now);
    let before = conf.front.as_ref().and_then(|_| previous?.front_named(&conf.name));
    let Some(before) = before else { return Arc::new(new()) };
    let maxconn = |p: &Proxy| p.front.as_ref().map_or(0, |f| f.maxconn);
    let same = before.front.counters.fits(threads)
        && before.front.doors.phase() != Phase::Closed
        && ids(before.front.listeners.iter().map(|l| l.bind.id)) == ids(listeners.iter().map(|b| b.id));
    let front = if same { Arc::clone(&before.front) } else { Arc::new(new().after(&before.front, threads)) };
    if maxconn(conf) != maxconn(&before.conf) {
        front.maxconn.store(maxconn(conf), Relaxed);
    }
    front
}

fn ids(all: impl Iterator<Item = u32>) -> Vec<u32> {
    all.collect()
}

impl FrontState {
    fn after(self, before: &Self, threads: usize) -> Self {
        self.connection_rate.go_on_from(&before.connection_rate);
        self.session_rate.go_on_from(&before.session_rate);
        self.request_rate.go_on_from(&before.request_rate);
        self.max.store(before.max.load(Relaxed), Relaxed);
        self.log_lines.store(before.log_lines.load(Relaxed), Relaxed);
        self.maxconn.store(before.maxconn.load(Relaxed), Relaxed);
        Self { counters: before.counters.succeed(threads), h2: before.h2.succeed(threads), ..self }
    }
}

/// The state of a backend.
pub(super) fn backend(
    previous: Option<&Generation>,
    conf: &Arc<Proxy>,
    settings: &Backend,
    fullconn: u32,
    threads: usize,
    now: Instant,
) -> Arc<LiveBackend> {
    let before = previous.and_then(|p| p.back_named(&conf.name));
    let Some((proxy, before)) = before.and_then(|p| Some((p, p.back.as_ref()?))) else {
        return Arc::new(LiveBackend::new(Arc::clone(conf), settings, fullconn, threads, now, None));
    };
    let as_configured = before.servers.places() == settings.servers.len()
        && (0..before.servers.places())
            .all(|i| before.servers.get(i).is_some_and(|s| !s.is_gone() && s.counters.fits(threads)));
    if as_configured
        && before.fullconn == fullconn
        && before.counters.fits(threads)
        && identity::same_backend(&proxy.conf, conf)
    {
        return Arc::clone(before);
    }
    let next = LiveBackend::new(Arc::clone(conf), settings, fullconn, threads, now, Some(before));
    next.take_over(before, now);
    // Whoever is in the old one's sessions may finish; what becomes idle there is of no use to anybody.
    before.servers.iter().for_each(|s| s.forget_idle());
    Arc::new(next)
}

impl LiveBackend {
    /// What can be said once the servers stand in their table.
    fn take_over(&self, before: &Self, now: Instant) {
        self.session_rate.go_on_from(&before.session_rate);
        self.total.store(before.total(), Relaxed);
        self.sessions_max.store(before.max(), Relaxed);
        self.queued_max.store(before.queued_max(), Relaxed);
        self.down_transitions.store(before.down_transitions.load(Relaxed), Relaxed);
        self.lifetime.go_on_from(&before.lifetime);
        let known = before.servers.by_name();
        for (i, server) in self.servers.iter().enumerate() {
            let Some(old) = known.get(server.name()) else { continue };
            let warm = before.warm_since(old.index.get());
            let slow = server.conf.slowstart.is_some();
            self.change(i, now, |_, lists| lists.warming(i, warm.filter(|_| slow)));
            if old.conf.maxconn == server.conf.maxconn && old.maxconn() != server.maxconn() {
                self.set_maxconn(i, old.maxconn());
            }
            let as_before = (&old.conf.endpoint, old.conf.port_offset)
                == (&server.conf.endpoint, server.conf.port_offset);
            let line = old.reached();
            if as_before && (&line.endpoint, line.port_offset) != (&old.conf.endpoint, old.conf.port_offset) {
                self.move_to(i, line.endpoint.clone(), line.port_offset);
            }
        }
    }
}

impl LiveServer {
    /// A server that is in nobody's table yet goes on as one that had its name.
    pub(super) fn after(mut self, before: &Self, threads: usize) -> Self {
        self.counters = before.counters.succeed(threads);
        if before.connections.fits(threads) {
            self.connections = before.connections.succeed(threads);
        }
        self.session_rate.go_on_from(&before.session_rate);
        self.lifetime.go_on_from(&before.lifetime);
        for (new, old) in [
            (&self.sessions, &before.sessions),
            (&self.failed_checks, &before.failed_checks),
            (&self.down_transitions, &before.down_transitions),
            (&self.failed_analyses, &before.failed_analyses),
        ] {
            new.store(old.load(Relaxed), Relaxed);
        }
        for (new, old) in [(&self.served_max, &before.served_max), (&self.queued_max, &before.queued_max)] {
            new.store(old.load(Relaxed), Relaxed);
        }
        if before.conf.weight == self.conf.weight {
            self.weight.store(before.weight(), Relaxed);
        }
        self.check.go_on_from(&before.check);
        self.agent.go_on_from(&before.agent);
        let unresolved = |s: &Self| s.admin() & admin::UNRESOLVED_MAINT;
        let checked = |s: &Self| (s.check.is_configured(), s.agent.is_configured());
        if before.conf.disabled != self.conf.disabled || unresolved(before) != unresolved(&self) {
            return self;
        }
        self.admin.store(before.admin(), Relaxed);
        // A server in maintenance is stopped whatever checks it has. Else those of now count, from where they begin.
        if checked(before) == checked(&self) || before.admin() & admin::MAINT != 0 {
            self.oper.store(before.oper() as u8, Relaxed);
        }
        self
    }
}

impl CheckState {
    fn go_on_from(&self, before: &Self) {
        if !self.is_configured() || !before.is_configured() {
            return;
        }
        let (old, new) = (before.health(), self.health());
        let value = match (old.rise(), old.fall()) == (new.rise(), new.fall()) {
            true => old.value(),
            false if old.is_up() => new.top(),
            false => 0,
        };
        self.set_health(new.at(value));
        self.set_last(before.last());
        self.change_settings(|settings| *settings = before.settings());
        self.set_enabled(before.is_enabled());
    }
}
