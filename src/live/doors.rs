//! A frontend's listening sockets, as commands and signals open and close them.
//!
//! A paused TCP listener refuses connections and can listen again: shutting down the reading side takes it out of the
//! LISTEN state and keeps its address. Other kinds go on listening while nobody accepts.

use super::control::{Notice, WARNING};
use super::{Generation, LiveProxy};
use crate::ids::ProxyIndex;
use crate::net::Listener;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Open,
    Paused,
    /// For good.
    Closed,
}

#[derive(Debug, Default)]
pub struct Doors {
    listeners: Mutex<Vec<Arc<Listener>>>,
    phase: AtomicU8,
    pauses: AtomicU64,
    changed: Notify,
}

impl Doors {
    /// A listener of this frontend, whoever accepts from it.
    pub fn add(&self, listener: Arc<Listener>) {
        self.lock().push(listener);
    }

    /// The listeners are these from now on: of a reload, which closes those it does not keep by itself.
    pub fn replace(&self, listeners: Vec<Arc<Listener>>) {
        *self.lock() = listeners;
    }

    /// The listeners of now.
    #[must_use]
    pub fn listeners(&self) -> Vec<Arc<Listener>> {
        self.lock().clone()
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(SeqCst) {
            0 => Phase::Open,
            1 => Phase::Paused,
            _ => Phase::Closed,
        }
    }

    /// How often they were paused: a thread that was busy meanwhile finds them open as before, and its sockets are not what
    /// they were.
    #[must_use]
    pub fn pauses(&self) -> u64 {
        self.pauses.load(SeqCst)
    }

    /// How many listeners there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Returns when connections may be accepted; false: never again.
    pub async fn open(&self) -> bool {
        loop {
            let told = self.changed.notified();
            match self.phase() {
                Phase::Open => return true,
                Phase::Closed => return false,
                Phase::Paused => told.await,
            }
        }
    }

    /// Returns when the phase may be another one.
    pub async fn change(&self) {
        let told = self.changed.notified();
        if self.phase() == Phase::Open {
            told.await;
        }
    }

    /// # Errors
    /// A socket that does not obey; the others have.
    pub fn pause(&self) -> io::Result<()> {
        self.phase.store(Phase::Paused as u8, SeqCst);
        self.pauses.fetch_add(1, SeqCst);
        let result = self.each(Listener::pause);
        self.changed.notify_waiters();
        result
    }

    /// # Errors
    /// A socket that cannot listen again: another process has its address now.
    pub fn resume(&self) -> io::Result<()> {
        let result = self.each(Listener::resume);
        self.phase.store(Phase::Open as u8, SeqCst);
        self.changed.notify_waiters();
        result
    }

    /// Lets go of the addresses.
    pub fn close(&self) {
        self.phase.store(Phase::Closed as u8, SeqCst);
        let _refuses_from_now = self.each(Listener::pause);
        self.lock().clear();
        self.changed.notify_waiters();
    }

    /// A graceful stop: nobody listens any more once those who accept have let go as well.
    pub fn release(&self) {
        self.phase.store(Phase::Closed as u8, SeqCst);
        self.lock().clear();
        self.changed.notify_waiters();
    }

    fn each(&self, act: impl Fn(&Listener) -> io::Result<()>) -> io::Result<()> {
        let mut result = Ok(());
        for listener in self.lock().iter() {
            if let Err(error) = act(listener) {
                result = Err(error);
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generation {
    fn fronts(&self) -> impl Iterator<Item = (ProxyIndex, &LiveProxy)> {
        self.proxies.iter().filter(|p| p.conf.front.is_some()).map(|p| (p.index, &**p))
    }

    /// `disable frontend`
    ///
    /// # Errors
    /// A socket that does not obey; the others have.
    pub fn pause_frontend(&self, index: ProxyIndex) -> io::Result<Vec<Notice>> {
        let Some(proxy) = self.proxy(index) else { return Ok(Vec::new()) };
        proxy.front.doors.pause()?;
        Ok(vec![proxy.door_notice("Paused")])
    }

    /// `enable frontend`
    ///
    /// # Errors
    /// A socket that cannot listen again.
    pub fn resume_frontend(&self, index: ProxyIndex) -> io::Result<Vec<Notice>> {
        let Some(proxy) = self.proxy(index) else { return Ok(Vec::new()) };
        proxy.front.doors.resume()?;
        Ok(vec![proxy.door_notice("Resumed")])
    }

    /// `shutdown frontend`: its addresses are free; what runs goes on.
    pub fn close_frontend(&self, index: ProxyIndex) -> Vec<Notice> {
        let Some(proxy) = self.proxy(index) else { return Vec::new() };
        proxy.front.doors.close();
        vec![proxy.stop_notice()]
    }

    /// SIGTTOU: leaves the addresses to another process.
    pub fn pause_all(&self) -> Vec<Notice> {
        self.in_phase(Phase::Open).into_iter().filter_map(|i| self.pause_frontend(i).ok()).flatten().collect()
    }

    /// Accepts nobody on sockets that another process has as well. Answers which frontends that concerns.
    #[must_use]
    pub fn hold(&self) -> Vec<ProxyIndex> {
        let open = self.in_phase(Phase::Open);
        open.iter().filter_map(|i| self.proxy(*i)).for_each(|proxy| drop(proxy.front.doors.pause()));
        open
    }

    /// Accepts again.
    pub fn go_on(&self, held: &[ProxyIndex]) {
        held.iter().filter_map(|i| self.proxy(*i)).for_each(|proxy| drop(proxy.front.doors.resume()));
    }

    /// SIGTTIN: takes them back.
    pub fn resume_all(&self) -> Vec<Notice> {
        let paused = self.in_phase(Phase::Paused);
        paused.into_iter().filter_map(|i| self.resume_frontend(i).ok()).flatten().collect()
    }

    /// What a graceful stop says of the proxies that have not been shut down before.
    #[must_use]
    pub fn stop_notices(&self) -> Vec<Notice> {
        let left = self.proxies.iter().filter(|p| p.front.doors.phase() != Phase::Closed);
        left.map(|p| p.stop_notice()).collect()
    }

    /// A graceful stop: no address is kept.
    pub fn close_all(&self) {
        self.fronts().for_each(|(_, proxy)| proxy.front.doors.release());
    }

    fn in_phase(&self, phase: Phase) -> Vec<ProxyIndex> {
        let here = self.fronts().filter(|(_, p)| p.front.doors.count() > 0 && p.front.doors.phase() == phase);
        here.map(|(index, _)| index).collect()
    }
}

impl LiveProxy {
    fn door_notice(&self, verb: &str) -> Notice {
        let kind = if self.conf.back.is_some() { "proxy" } else { "frontend" };
        Notice::new(self.index, WARNING, format!("{verb} {kind} {}.", self.conf.name))
    }

    /// What is said when a proxy stops.
    #[must_use]
    pub fn stop_notice(&self) -> Notice {
        let front = self.front.total();
        let back = self.back.as_ref().map_or(0, |b| b.total());
        let text = format!("Proxy {} stopped (cumulated conns: FE: {front}, BE: {back}).", self.conf.name);
        Notice::new(self.index, WARNING, text)
    }
}
