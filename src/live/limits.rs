//! Limits of the process that commands change while it runs.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub struct Limits {
    /// `maxconn`, and what it may be raised to.
    maxconn: AtomicUsize,
    pub hard_maxconn: usize,
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
        Self { maxconn: AtomicUsize::new(maxconn), hard_maxconn: maxconn, ..Self::default() }
    }

    #[must_use]
    pub fn maxconn(&self) -> usize {
        self.maxconn.load(Relaxed)
    }

    /// 0: as at the start.
    pub fn set_maxconn(&self, n: usize) {
        self.maxconn.store(if n == 0 { self.hard_maxconn } else { n }, Relaxed);
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
