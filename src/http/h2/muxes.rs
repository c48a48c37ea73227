//! Which of a thread's connections of HTTP/2 a request may have a stream on, as `http-reuse` says.

use super::mux::{Lease, Mux};
use crate::config::model::Reuse;
use crate::http::Engine;
use crate::http::pool::limit;
use crate::live::LiveServer;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// Who asks for a stream.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub reuse: Reuse,
    /// Its client connection.
    pub owner: u64,
    /// The first request of that.
    pub first: bool,
    /// The name asked for (`sni`).
    pub sni: Option<&'a str>,
}

/// The connections of one thread.
#[derive(Default)]
pub struct Muxes {
    all: RefCell<Vec<Rc<Mux>>>,
    /// Being dialled: to which server, by the client connection.
    dialling: RefCell<Vec<(usize, u64, Rc<Notify>)>>,
    /// Of the process, which share what a server's limits allow.
    threads: Cell<usize>,
}

impl Muxes {
    pub fn take(&self, server: &Arc<LiveServer>, asker: Asker<'_>) -> Option<Lease> {
        let all = self.all.borrow();
        let mux = all.iter().find(|mux| {
            Arc::ptr_eq(&mux.server, server)
                && mux.sni.as_deref() == asker.sni
                && mux.downs == server.downs()
                && is_open_to(mux, asker)
                && mux.has_room()
        })?;
        if asker.reuse == Reuse::Safe {
            // A slow client shall not hold up the streams of others.
            mux.owner.set(asker.owner);
        }
        Some(mux.lease())
    }

    /// Keeps a connection for others, and for this client's other streams.
    pub fn put(&self, mux: &Rc<Mux>, threads: usize) {
        self.threads.set(threads);
        let mut all = self.all.borrow_mut();
        all.retain(|mux| !mux.is_over());
        all.push(Rc::clone(mux));
    }

    /// A client connection is gone: those that were its alone go too.
    pub fn disown(&self, owner: u64) {
        self.all.borrow_mut().retain(|mux| !(mux.private && mux.owner.get() == owner));
    }

    /// Idle ones to the server that everybody may have.
    pub fn idle(&self, server: &Arc<LiveServer>) -> usize {
        self.all.borrow().iter().filter(|mux| mux.is_counted() && Arc::ptr_eq(&mux.server, server)).count()
    }

    /// Drops those that have ended and the superfluous ones, as the pool does with others.
    pub fn sweep(&self, timed: bool) {
        let mut all = self.all.borrow_mut();
        all.retain(|mux| !mux.is_over());
        if !timed || all.is_empty() {
            return;
        }
        let mut servers: Vec<Arc<LiveServer>> = Vec::new();
        for mux in all.iter().filter(|mux| mux.is_counted()) {
            if !servers.iter().any(|s| Arc::ptr_eq(s, &mux.server)) {
                servers.push(Arc::clone(&mux.server));
            }
        }
        let now = Instant::now();
        servers.iter().for_each(|server| self.purge(&mut all, server, now));
    }

    /// Half of the superfluous ones a round, the oldest first; all beyond the limit.
    fn purge(&self, all: &mut Vec<Rc<Mux>>, server: &Arc<LiveServer>, now: Instant) {
        let conf = &server.conf;
        let limit = limit(conf, self.threads.get());
        let mut idle: Vec<Rc<Mux>> =
            all.iter().filter(|m| m.is_counted() && Arc::ptr_eq(&m.server, server)).cloned().collect();
        idle.sort_by_key(|mux| mux.since.get());
        let is_old = |mux: &Rc<Mux>| {
            mux.downs != server.downs()
                || now.saturating_duration_since(mux.since.get()) > conf.pool_purge_delay
        };
        let old = idle.iter().filter(|mux| is_old(mux)).count();
        let spare = idle.len().saturating_sub(conf.pool_low_conn as usize);
        let surplus = old.min(spare).div_ceil(2).max(idle.len().saturating_sub(limit));
        idle.iter().take(surplus).for_each(|mux| mux.retire());
        all.retain(|mux| !mux.is_over());
    }

    /// Somebody who may share dials already: to be waited for.
    pub fn dialled(&self, server: &Arc<LiveServer>, owner: u64) -> Option<Rc<Notify>> {
        let key = Arc::as_ptr(server).addr();
        let dialling = self.dialling.borrow();
        dialling.iter().find(|(s, o, _)| (*s, *o) == (key, owner)).map(|(_, _, told)| Rc::clone(told))
    }

    fn end_dial(&self, told: &Rc<Notify>) {
        self.dialling.borrow_mut().retain(|(_, _, other)| !Rc::ptr_eq(other, told));
        told.notify_waiters();
    }
}

/// Others wait for this dial until it is dropped.
pub struct Dialling {
    engine: Rc<Engine>,
    told: Rc<Notify>,
}

impl Dialling {
    pub fn begin(engine: &Rc<Engine>, server: &Arc<LiveServer>, owner: u64) -> Self {
        let told = Rc::new(Notify::new());
        let entry = (Arc::as_ptr(server).addr(), owner, Rc::clone(&told));
        engine.pools.muxes.dialling.borrow_mut().push(entry);
        Self { engine: Rc::clone(engine), told }
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.engine.pools.muxes.end_dial(&self.told);
    }
}

/// A connection with streams of this very client always; one with streams of others where `http-reuse` shares those; an
/// idle one as any other idle connection.
fn is_open_to(mux: &Mux, asker: Asker<'_>) -> bool {
    match (mux.owner.get(), asker.reuse) {
        (owner, _) if owner != 0 => owner == asker.owner,
        (_, Reuse::Never) => false,
        (_, Reuse::Always) => true,
        (_, Reuse::Aggressive) => mux.is_proven(),
        (_, Reuse::Safe) => !mux.is_idle() || !asker.first,
    }
}
