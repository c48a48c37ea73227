//! Limits of the process that commands change while it runs.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Limits {
    /// `maxconn`, and what it may be raised to.
    maxconn: AtomicUsize,
    hard_maxconn: AtomicUsize,
    /// Events a second; 0: none.
    pub connections: AtomicU32,
    pub sessions: AtomicU32,
    /// TLS connections of clients.
    pub ssl: AtomicU32,
    /// Bytes of compressed responses a second. Kept and shown; as long as nothing compresses there is nothing to slow down.
    pub compression: AtomicU32,
    changed: Notify,
}

impl Limits {
    #[must_use]
    pub fn new(maxconn: usize) -> Self {
        let most = || AtomicUsize::new(maxconn);
        Self { maxconn: most(), hard_maxconn: most(), ..Self::default() }
    }

    #[must_use]
    pub fn maxconn(&self) -> usize {
        self.maxconn.load(Relaxed)
    }

    /// What it may be raised to.
    #[must_use]
    pub fn hard_maxconn(&self) -> usize {
        self.hard_maxconn.load(Relaxed)
    }

    /// A reload brings another `maxconn`.
    pub fn set_hard_maxconn(&self, n: usize) {
        self.hard_maxconn.store(n, Relaxed);
        self.set_maxconn(n);
    }

    /// 0: as at the start.
    pub fn set_maxconn(&self, n: usize) {
        self.maxconn.store(if n == 0 { self.hard_maxconn() } else { n }, Relaxed);
        self.changed();
    }

    /// A limit has changed: those that wait at one look again.
    pub fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Becomes ready with [`Self::changed`]; to be enabled before looking.
    pub fn watch(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}
