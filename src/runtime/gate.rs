//! Who may come in: `maxconn` of bind, frontend and process, and the rates. What is not accepted waits in the kernel's
//! backlog, as with HAProxy.

use super::Shared;
use crate::live::LiveProxy;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Wakes the accept loops that found everything full, on all threads.
#[derive(Debug, Default)]
pub struct Room {
    waiting: AtomicUsize,
    freed: Notify,
    conns: Budget,
    sessions: Budget,
}

impl Room {
    fn wake(&self) {
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }
}

/// Events of the current second.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Option<(Instant, u32)>>);

impl Budget {
    /// How long to wait before the next of `limit` events a second; `None`: go on, it is counted.
    fn take(&self, limit: u32, now: Instant) -> Option<Duration> {
        const SECOND: Duration = Duration::from_secs(1);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, used) = state.get_or_insert((now, 0));
        if now.saturating_duration_since(*start) >= SECOND {
            (*start, *used) = (now, 0);
        }
        if *used < limit {
            *used += 1;
            return None;
        }
        Some((*start + SECOND).saturating_duration_since(now).max(Duration::from_millis(1)))
    }
}

/// The limits one accept loop heeds.
pub struct Gate {
    pub shared: Arc<Shared>,
    pub proxy: Arc<LiveProxy>,
    /// Connections of this `bind` line, on all threads, and its limit.
    pub bind_conns: Arc<AtomicUsize>,
    pub bind_max: Option<usize>,
    pub rate: Arc<Budget>,
    /// Connections of this thread, for its end.
    pub local: Rc<Local>,
}

/// A thread's count of connections.
#[derive(Debug, Default)]
pub struct Local {
    pub count: Cell<usize>,
    pub changed: Notify,
}

impl Gate {
    /// Waits until one more connection may be accepted.
    pub async fn wait(&self) {
        while !self.has_room() {
            let room = &self.shared.room;
            let freed = room.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            room.waiting.fetch_add(1, SeqCst);
            if !self.has_room() {
                freed.await;
            }
            room.waiting.fetch_sub(1, SeqCst);
        }
        while let Some(pause) = self.pause() {
            tokio::time::sleep(pause).await;
        }
    }

    fn has_room(&self) -> bool {
        let below = |now: &AtomicUsize, most: usize| most == 0 || now.load(SeqCst) < most;
        let process = &self.shared.generation.process;
        let front_max = self.proxy.conf.front.as_ref().map_or(0, |f| f.maxconn);
        below(&process.connections, process.maxconn)
            && below(&self.proxy.front.current, front_max)
            && self.bind_max.is_none_or(|most| below(&self.bind_conns, most))
    }

    /// Whether a limit of number is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.has_room()
    }

    /// Is there a limit of rate or number that must be asked before each accept?
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.has_rates() || !self.has_room()
    }

    fn has_rates(&self) -> bool {
        let global = &self.shared.generation.config.global;
        let front = self.proxy.conf.front.as_ref().and_then(|f| f.rate_limit_sessions);
        global.maxconnrate > 0 || global.maxsessrate > 0 || front.is_some()
    }

    fn pause(&self) -> Option<Duration> {
        if !self.has_rates() {
            return None;
        }
        let global = &self.shared.generation.config.global;
        let now = Instant::now();
        let take = |budget: &Budget, limit: u32| if limit == 0 { None } else { budget.take(limit, now) };
        let front = self.proxy.conf.front.as_ref().and_then(|f| f.rate_limit_sessions).unwrap_or(0);
        take(&self.rate, front)
            .or_else(|| take(&self.shared.room.conns, global.maxconnrate))
            .or_else(|| take(&self.shared.room.sessions, global.maxsessrate))
    }

    /// Counts a connection in, until the guard is dropped.
    #[must_use]
    pub fn enter(self: &Rc<Self>) -> Inside {
        self.proxy.front.open();
        self.shared.generation.process.connections.fetch_add(1, SeqCst);
        self.bind_conns.fetch_add(1, SeqCst);
        self.local.count.set(self.local.count.get() + 1);
        Inside(Rc::clone(self))
    }
}

/// A connection that is counted.
pub struct Inside(Rc<Gate>);

impl Drop for Inside {
    fn drop(&mut self) {
        let gate = &self.0;
        gate.proxy.front.close();
        gate.shared.generation.process.connections.fetch_sub(1, SeqCst);
        gate.bind_conns.fetch_sub(1, SeqCst);
        gate.local.count.set(gate.local.count.get().saturating_sub(1));
        if gate.local.count.get() == 0 {
            gate.local.changed.notify_waiters();
        }
        gate.shared.room.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lasts_a_second() {
        let budget = Budget::default();
        let start = Instant::now();
        assert_eq!(budget.take(2, start), None);
        assert_eq!(budget.take(2, start), None);
        assert_eq!(budget.take(2, start + Duration::from_millis(400)), Some(Duration::from_millis(600)));
        assert_eq!(budget.take(2, start + Duration::from_secs(1)), None);
    }
}
