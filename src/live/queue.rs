//! Requests that wait for a server, by priority and arrival.
//!
//! A [`Ticket`] is a request's place. It resolves to a grant (the slot is already counted as taken) or to the order to
//! choose again. Dropping it leaves the queue; a grant nobody collected is given back by its owner (`pick::Waiting`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Class first, then the time of arrival moved by the priority offset, then arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub class: i32,
    pub due_ms: i64,
    pub arrival: u64,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Server and how many requests left the queue while this one was in it, itself included (as HAProxy logs it).
    Granted { server: usize, ahead: u64 },
    /// The server it waited for is gone: choose again.
    Retry,
}

#[derive(Debug, Default)]
struct Cell {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// Shared by the queue and the request that waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticket(Arc<Mutex<Cell>>);

impl Ticket {
    pub fn poll(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut cell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = cell.outcome {
            return Poll::Ready(outcome);
        }
        if !cell.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            cell.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ends the wait; the waker is to be woken when no lock is held.
    fn settle(&self, outcome: Outcome) -> Option<Waker> {
        let mut cell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cell.outcome = Some(outcome);
        cell.waker.take()
    }

    pub fn outcome(&self) -> Option<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).outcome
    }
}

/// Those that wait in one place: for one server, or for any of the backend.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Key, Waiter>,
    left: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: Ticket,
    /// How many had left the queue when it came.
    joined_at: u64,
    /// Stays even if its server goes down (`force-persist`).
    stays: bool,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn first(&self) -> Option<Key> {
        self.waiting.first_key_value().map(|(k, _)| *k)
    }

    pub fn join(&mut self, key: Key, stays: bool) -> Ticket {
        let ticket = Ticket::default();
        self.waiting.insert(key, Waiter { ticket: ticket.clone(), joined_at: self.left, stays });
        ticket
    }

    /// Grants a slot of `server` to the first.
    pub fn grant(&mut self, server: usize) -> Option<Option<Waker>> {
        let (_, w) = self.waiting.pop_first()?;
        self.left += 1;
        let ahead = self.left - w.joined_at;
        Some(w.ticket.settle(Outcome::Granted { server, ahead }))
    }

    /// A request gave up.
    pub fn leave(&mut self, key: Key) -> bool {
        let was_there = self.waiting.remove(&key).is_some();
        if was_there {
            self.left += 1;
        }
        was_there
    }

    /// Sends all away to choose again, but those that stay. Answers how many.
    pub fn disperse(&mut self, wake: &mut Vec<Waker>) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|_, w| {
            if !w.stays {
                wake.extend(w.ticket.settle(Outcome::Retry));
            }
            w.stays
        });
        let gone = before - self.waiting.len();
        self.left += gone as u64;
        gone
    }
}
