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
    /// Places taken in this frontend, and of this `bind` line, on all threads.
    pub front_conns: Arc<AtomicUsize>,
    pub bind_conns: Arc<AtomicUsize>,
    pub bind_max: Option<usize>,
    /// The frontend's `maxconn`, else `-N`; 0: none.
    pub front_max: usize,
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
    /// Waits until one more connection may be accepted, and keeps its place.
    pub async fn enter(self: &Rc<Self>) -> Inside {
        while let Some(pause) = self.pause() {
            tokio::time::sleep(pause).await;
        }
        loop {
            if let Some(inside) = self.try_enter() {
                return inside;
            }
            let room = &self.shared.room;
            let freed = room.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            room.waiting.fetch_add(1, SeqCst);
            // A place freed between the two looks told nobody.
            let inside = self.try_enter();
            if inside.is_none() {
                freed.await;
            }
            room.waiting.fetch_sub(1, SeqCst);
            if let Some(inside) = inside {
                return inside;
            }
        }
    }

    /// Takes a place of the process, the frontend and the `bind` line, or none of them: threads accept at the same time,
    /// so counting comes before accepting.
    fn try_enter(self: &Rc<Self>) -> Option<Inside> {
        let process = &self.shared.generation.process;
        let places: [(&AtomicUsize, usize); 3] = [
            (&process.connections, process.maxconn),
            (&self.front_conns, self.front_max),
            (&self.bind_conns, self.bind_max.unwrap_or(0)),
        ];
        // Looking first leaves the counts alone while they are full, so that nobody sees a place taken that never was.
        if places.iter().any(|(now, most)| *most > 0 && now.load(SeqCst) >= *most) {
            return None;
        }
        for (taken, (now, most)) in places.iter().enumerate() {
            if now.fetch_add(1, SeqCst) >= *most && *most > 0 {
                for (now, _) in places.iter().take(taken + 1) {
                    now.fetch_sub(1, SeqCst);
                }
                self.shared.room.wake();
                return None;
            }
        }
        Some(Inside { gate: Rc::clone(self), opened: Cell::new(false) })
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
}

/// A place for a connection, and the connection once it is [opened](Inside::open).
pub struct Inside {
    gate: Rc<Gate>,
    opened: Cell<bool>,
}

impl Inside {
    /// A connection was accepted.
    pub fn open(&self) {
        self.opened.set(true);
        self.gate.proxy.front.open();
        self.gate.local.count.set(self.gate.local.count.get() + 1);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let gate = &self.gate;
        for now in [&gate.shared.generation.process.connections, &*gate.front_conns, &*gate.bind_conns] {
            now.fetch_sub(1, SeqCst);
        }
        if self.opened.get() {
            gate.proxy.front.close();
            gate.local.count.set(gate.local.count.get().saturating_sub(1));
            if gate.local.count.get() == 0 {
                gate.local.changed.notify_waiters();
            }
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
