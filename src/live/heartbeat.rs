//! Signs of life of the worker threads, for those who give this node's addresses up when it does not forward any more.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How often each worker has moved, and how many there are.
#[derive(Debug)]
pub struct Heartbeats(Box<[AtomicU64]>, AtomicUsize);

impl Heartbeats {
    #[must_use]
    pub fn new(most: usize, threads: usize) -> Self {
        Self((0..most).map(|_| AtomicU64::new(0)).collect(), AtomicUsize::new(threads))
    }

    /// A reload changes the number of workers.
    pub fn set_workers(&self, threads: usize) {
        self.1.store(threads, Relaxed);
    }

    /// The worker moves.
    pub fn beat(&self, thread: usize) {
        if let Some(count) = self.0.get(thread) {
            count.fetch_add(1, Relaxed);
        }
    }

    #[must_use]
    pub fn counts(&self) -> Vec<u64> {
        self.0.iter().take(self.1.load(Relaxed)).map(|count| count.load(Relaxed)).collect()
    }
}
