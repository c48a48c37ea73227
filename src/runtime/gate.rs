//! Who may come in: `maxconn` of bind, frontend and process, and the rates. What is not accepted waits in the kernel's
//! backlog, as with HAProxy.

use super::Shared;
use crate::live::LiveProxy;
use crate::net::tls_counts;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
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
    ssl: Budget,
    /// Places of `bind` lines with `ssl` that are taken.
    ssl_conns: AtomicUsize,
}

impl Room {
    fn wake(&self) {
        if self.waiting.load(SeqCst) > 0 {
            self.freed.notify_waiters();
        }
    }
}

/// Events of about the last second, as HAProxy counts them: those of this second, and those of the one before in
/// proportion to what is left of this one.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Option<Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    start: Instant,
    used: u64,
    before: u64,
}

const SECOND: Duration = Duration::from_secs(1);

impl Window {
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.start);
        if passed >= SECOND {
            self.before = if passed < 2 * SECOND { self.used } else { 0 };
            self.used = 0;
            self.start += SECOND * u32::try_from(passed.as_secs()).unwrap_or(1);
        }
    }

    /// How long until another event fits.
    fn wait(&self, limit: u64, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.start);
        if self.used >= limit {
            // The next second begins full; it has room once a share of this one has slid out of it.
            return SECOND.saturating_sub(elapsed)
                + SECOND / u32::try_from(self.used.max(1)).unwrap_or(u32::MAX);
        }
        // before * (1 - t) must fall to limit - used - 1.
        let room = (limit - self.used - 1).min(self.before);
        let millis = 1000 - 1000 * room / self.before.max(1);
        Duration::from_millis(millis).saturating_sub(elapsed)
    }
}

impl Budget {
    /// How long to wait before the next of `limit` events a second; `None`: go on, it is counted.
    fn take(&self, limit: u32, now: Instant) -> Option<Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = state.get_or_insert(Window { start: now, used: 0, before: 0 });
        window.turn(now);
        let left = SECOND.saturating_sub(now.saturating_duration_since(window.start)).as_millis() as u64;
        let rate = window.used + window.before * left / 1000;
        if rate < u64::from(limit) {
            window.used += 1;
            return None;
        }
        Some(window.wait(u64::from(limit), now).max(Duration::from_millis(1)))
    }
}

/// The limits one accept loop heeds.
pub struct Gate {
    pub shared: Arc<Shared>,
    pub proxy: Arc<LiveProxy>,
    /// Places of this `bind` line that are taken, on all threads.
    pub bind_conns: Arc<AtomicUsize>,
    pub bind_max: Option<usize>,
    /// The `bind` line has `ssl`: its connections are bound by that rate too.
    pub ssl: bool,
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
            let changed = self.shared.generation.process.limits.watch();
            let of_servers = tls_counts::watch();
            tokio::pin!(freed, changed, of_servers);
            freed.as_mut().enable();
            changed.as_mut().enable();
            of_servers.as_mut().enable();
            room.waiting.fetch_add(1, SeqCst);
            let process = &self.shared.generation.process;
            if process.connections.load(SeqCst) >= process.limits.maxconn() {
                process.maxconn_reached.fetch_add(1, SeqCst);
            }
            // A place freed between the two looks told nobody.
            let inside = self.try_enter();
            if inside.is_none() {
                tokio::select! {
                    () = freed => {}
                    () = changed => {}
                    () = of_servers, if self.ssl => {}
                }
            }
            room.waiting.fetch_sub(1, SeqCst);
            if let Some(inside) = inside {
                return inside;
            }
        }
    }

    /// Takes a place of the process, the frontend and the `bind` line, or none of them: threads accept at the same time,
    /// so counting comes before accepting.
    pub fn try_enter(self: &Rc<Self>) -> Option<Inside> {
        let process = &self.shared.generation.process;
        let ssl_most = if self.ssl { tls_counts::room_for_clients() } else { None };
        // Servers have taken all there is.
        if ssl_most == Some(0) {
            return None;
        }
        let ssl_most = ssl_most.map_or(0, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let every: [(&AtomicUsize, usize); 4] = [
            (&process.connections, process.limits.maxconn()),
            (&self.proxy.front.places, self.front_max()),
            (&self.bind_conns, self.bind_max.unwrap_or(0)),
            (&self.shared.room.ssl_conns, ssl_most),
        ];
        let places = if self.ssl { &every[..] } else { &every[..3] };
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
        Some(Inside { gate: Rc::clone(self), opened: Cell::new(None) })
    }

    /// The frontend's `maxconn`, else `-N`; 0: none.
    fn front_max(&self) -> usize {
        match self.proxy.front.maxconn.load(Relaxed) {
            0 => self.shared.proxy_maxconn,
            most => most,
        }
    }

    fn has_rates(&self) -> bool {
        let limits = &self.shared.generation.process.limits;
        let front = self.proxy.conf.front.as_ref().and_then(|f| f.rate_limit_sessions);
        limits.connections.load(Relaxed) > 0
            || limits.sessions.load(Relaxed) > 0
            || self.ssl_limit() > 0
            || front.is_some()
    }

    fn pause(&self) -> Option<Duration> {
        if !self.has_rates() {
            return None;
        }
        let limits = &self.shared.generation.process.limits;
        let now = Instant::now();
        let take = |budget: &Budget, limit: u32| if limit == 0 { None } else { budget.take(limit, now) };
        let front = self.proxy.conf.front.as_ref().and_then(|f| f.rate_limit_sessions).unwrap_or(0);
        take(&self.rate, front)
            .or_else(|| take(&self.shared.room.conns, limits.connections.load(Relaxed)))
            .or_else(|| take(&self.shared.room.sessions, limits.sessions.load(Relaxed)))
            .or_else(|| take(&self.shared.room.ssl, self.ssl_limit()))
    }

    fn ssl_limit(&self) -> u32 {
        if self.ssl { self.shared.generation.process.limits.ssl.load(Relaxed) } else { 0 }
    }
}

/// A place for a connection, and the connection once it is [opened](Inside::open).
pub struct Inside {
    gate: Rc<Gate>,
    /// The listener it came in by.
    opened: Cell<Option<u32>>,
}

impl Inside {
    /// A connection was accepted on the listener with that `id`.
    pub fn open(&self, listener: u32) {
        self.opened.set(Some(listener));
        self.gate.proxy.front.open(listener);
        self.gate.local.count.set(self.gate.local.count.get() + 1);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let gate = &self.gate;
        for now in [&gate.shared.generation.process.connections, &gate.proxy.front.places, &*gate.bind_conns]
        {
            now.fetch_sub(1, SeqCst);
        }
        if gate.ssl {
            gate.shared.room.ssl_conns.fetch_sub(1, SeqCst);
        }
        if let Some(listener) = self.opened.get() {
            gate.proxy.front.close(listener);
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
    fn a_budget_slides() {
        let budget = Budget::default();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for _ in 0..10 {
            assert_eq!(budget.take(10, start), None);
        }
        assert_eq!(budget.take(10, at(400)), Some(Duration::from_millis(700)));
        // The last second's ten weigh less and less.
        assert_eq!(budget.take(10, at(1000)), Some(Duration::from_millis(100)));
        assert_eq!(budget.take(10, at(1101)), None);
        assert_eq!(budget.take(10, at(1102)), None);
        assert!(budget.take(10, at(1103)).is_some());
        for _ in 0..4 {
            assert_eq!(budget.take(10, at(1510)), None);
        }
        assert!(budget.take(10, at(1511)).is_some());
        assert_eq!(budget.take(10, at(9000)), None);
    }

    #[test]
    fn whoever_waits_as_told_gets_in() {
        let budget = Budget::default();
        let mut now = Instant::now();
        let begin = now;
        for _ in 0..1000 {
            while let Some(wait) = budget.take(50, now) {
                now += wait;
            }
        }
        let took = now.duration_since(begin).as_millis();
        assert!((18_000..22_000).contains(&took), "{took}");
    }
}
