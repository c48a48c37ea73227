//! Rings: the last events of a log target, kept for `show events` and for log servers.
//!
//! Writing never waits. A full ring forgets its oldest events, but none that one of its servers has still to take: then
//! it is the new event that is dropped, and counted.

use crate::config::model::ring::Ring as Model;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::Notify;

/// What keeping an event costs beside its bytes.
const OVERHEAD: usize = 3;

/// The most handed to a reader at once.
const PORTION: usize = 64 * 1024;

#[derive(Debug)]
pub struct Ring {
    pub conf: Model,
    state: Mutex<State>,
    changed: Notify,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// The number of the oldest event kept; they are numbered from 0.
    first: u64,
    /// For each server: the number of the event it takes next.
    taken: Vec<u64>,
}

impl Ring {
    #[must_use]
    pub fn new(conf: Model) -> Self {
        let state = State { taken: vec![0; conf.servers.len()], ..State::default() };
        Self { conf, state: Mutex::new(state), changed: Notify::new(), dropped: AtomicU64::new(0) }
    }

    /// Adds events, each without a newline at its end. Answers how many were dropped.
    pub fn push<'a>(&self, events: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut dropped = 0;
        let mut state = self.lock();
        for event in events {
            if !state.make_room(event.len() + OVERHEAD, self.conf.size) {
                dropped += 1;
                continue;
            }
            state.bytes += event.len() + OVERHEAD;
            state.events.push_back(event.into());
        }
        drop(state);
        self.dropped.fetch_add(dropped as u64, Relaxed);
        self.changed.notify_waiters();
        dropped
    }

    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// The number of the next event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.lock().end()
    }

    /// Gives the events from number `from` on (or the oldest kept) to `each`, a portion at most, and answers the number
    /// of the next one.
    pub fn read(&self, from: u64, mut each: impl FnMut(&[u8])) -> u64 {
        let state = self.lock();
        let from = from.max(state.first);
        let mut next = from;
        let mut given = 0;
        let skip = usize::try_from(from - state.first).unwrap_or(usize::MAX);
        for event in state.events.iter().skip(skip) {
            if given > PORTION {
                break;
            }
            each(event);
            given += event.len();
            next += 1;
        }
        next
    }

    /// A server has taken all events before that one.
    pub fn take(&self, server: usize, next: u64) {
        if let Some(taken) = self.lock().taken.get_mut(server) {
            *taken = next;
        }
    }

    /// Ready once there is an event with this number or a later one.
    pub async fn wait(&self, from: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.end() > from {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Forgets what is needed and may be forgotten.
    fn make_room(&mut self, wanted: usize, size: usize) -> bool {
        let needed = self.taken.iter().copied().min().unwrap_or(u64::MAX);
        while self.bytes + wanted > size {
            if self.first >= needed {
                return false;
            }
            let Some(oldest) = self.events.pop_front() else { return false };
            self.bytes -= oldest.len() + OVERHEAD;
            self.first += 1;
        }
        true
    }
}

/// All of a process, the built-in one first.
#[derive(Debug, Default)]
pub struct Rings(RwLock<Vec<Arc<Ring>>>);

impl Rings {
    /// Makes those of a configuration; one that was there before stays with its events.
    pub fn open(&self, sections: &[Model]) {
        let wanted = std::iter::once(Model::built_in()).chain(sections.iter().cloned());
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *all);
        let find = |conf: Model| {
            before.iter().find(|r| r.conf == conf).cloned().unwrap_or_else(|| Arc::new(Ring::new(conf)))
        };
        *all = wanted.map(find).collect();
    }

    #[must_use]
    pub fn all(&self) -> Vec<Arc<Ring>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Ring>> {
        self.all().into_iter().find(|r| r.conf.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::ring::{Framing, RingServer};

    fn ring(size: usize, servers: usize) -> Ring {
        let server =
            RingServer { name: "s".into(), address: ([127, 0, 0, 1], 1).into(), framing: Framing::Legacy };
        Ring::new(Model { servers: vec![server; servers], ..Model::new("r", size) })
    }

    fn push(ring: &Ring, events: &[&str]) -> usize {
        ring.push(events.iter().map(|e| e.as_bytes()))
    }

    fn check(ring: &Ring, from: u64, expected: &[&str], next: u64) {
        let mut got = Vec::new();
        let after = ring.read(from, |e| got.push(String::from_utf8_lossy(e).into_owned()));
        assert_eq!((got.iter().map(String::as_str).collect::<Vec<_>>(), after), (expected.to_vec(), next));
    }

    #[test]
    fn keeps_the_newest() {
        let ring = ring(16, 0);
        assert_eq!(push(&ring, &["a", "bb", "ccc"]), 0);
        check(&ring, 0, &["a", "bb", "ccc"], 3);
        assert_eq!(push(&ring, &["dddd"]), 0);
        check(&ring, 0, &["ccc", "dddd"], 4);
        check(&ring, 3, &["dddd"], 4);
        check(&ring, 4, &[], 4);
        assert_eq!(push(&ring, &["much too long for it"]), 1);
        assert_eq!(ring.dropped(), 1);
    }

    #[test]
    fn what_a_server_has_not_taken_stays() {
        let ring = ring(16, 2);
        assert_eq!(push(&ring, &["aaaaa", "bbbbb", "ccccc"]), 1);
        check(&ring, 0, &["aaaaa", "bbbbb"], 2);
        ring.take(0, 2);
        assert_eq!(push(&ring, &["ddddd"]), 1);
        ring.take(1, 1);
        assert_eq!(push(&ring, &["eeeee", "fffff"]), 1);
        check(&ring, 0, &["bbbbb", "eeeee"], 3);
        assert_eq!(ring.dropped(), 3);
    }
}
