//! Signs of life of the worker threads, for those who give this node's addresses up when it does not forward any more.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often each worker has moved.
#[derive(Debug)]
pub struct Heartbeats(Box<[AtomicU64]>);

impl Heartbeats {
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| AtomicU64::new(0)).collect())
    }

    /// The worker moves.
    pub fn beat(&self, thread: usize) {
        if let Some(count) = self.0.get(thread) {
            count.fetch_add(1, Relaxed);
        }
    }

    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.0.iter().map(|count| count.load(Relaxed)).collect()
    }
}
