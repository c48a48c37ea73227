//! The last message each proxy refused for its form, kept for `show errors`.

use super::{Generation, LiveProxy, LiveServer};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// A refused message.
#[derive(Clone, Debug)]
pub struct Capture {
    pub at: SystemTime,
    /// How many were captured before it in the whole process.
    pub number: u64,
    /// The proxy of the other side: a request's backend, a response's frontend.
    pub other: Option<Arc<LiveProxy>>,
    pub server: Option<Arc<LiveServer>>,
    pub src: Option<SocketAddr>,
    /// As it was received, as far as it was.
    pub bytes: Vec<u8>,
    pub position: usize,
    /// The part of the message it happened in: name and number.
    pub state: (&'static str, u8),
}

/// What a proxy keeps.
#[derive(Debug, Default)]
pub struct Captures {
    request: Mutex<Option<Box<Capture>>>,
    response: Mutex<Option<Box<Capture>>>,
}

/// How many were captured so far.
#[derive(Debug, Default)]
pub struct Total(AtomicU64);

impl Total {
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Captures {
    #[must_use]
    pub fn request(&self) -> Option<Capture> {
        copy(&self.request)
    }

    #[must_use]
    pub fn response(&self) -> Option<Capture> {
        copy(&self.response)
    }
}

fn copy(kept: &Mutex<Option<Box<Capture>>>) -> Option<Capture> {
    kept.lock().unwrap_or_else(PoisonError::into_inner).as_deref().cloned()
}

impl Generation {
    /// A client's request was refused by `frontend`.
    pub fn capture_request(&self, frontend: &LiveProxy, capture: Capture) {
        self.capture(&frontend.captures.request, capture);
    }

    /// A server's response was refused by `backend`.
    pub fn capture_response(&self, backend: &LiveProxy, capture: Capture) {
        self.capture(&backend.captures.response, capture);
    }

    fn capture(&self, into: &Mutex<Option<Box<Capture>>>, mut capture: Capture) {
        capture.number = self.process.captured.0.fetch_add(1, Relaxed);
        *into.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(capture));
    }
}
