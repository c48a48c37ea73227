//! A worker's side of logging: frames lines, queues them, sends them in batches.

use super::frame;
use super::hub::Hub;
use super::route::Route;
use super::sample;
use crate::config::model::{LogTarget, ProxyLog};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

/// Lines queued for one destination before they are sent without waiting for the timer.
pub const BATCH: usize = 32;

/// How long the first line of a batch waits for others.
const LINGER: Duration = Duration::from_millis(1);

/// One per thread.
#[derive(Debug)]
pub struct Sender {
    hub: Arc<Hub>,
    state: RefCell<State>,
    /// Wakes [`Sender::run`] when the first line is queued; `None` while it is not waiting.
    waker: RefCell<Option<Waker>>,
    running: Cell<bool>,
}

#[derive(Debug, Default)]
struct State {
    routes: Vec<Route>,
    known: Vec<Known>,
    queued: bool,
}

/// A target already met: which route it takes. Holding the `Arc` keeps its address from meaning another.
#[derive(Debug)]
struct Known {
    target: Arc<LogTarget>,
    route: usize,
    samples: Vec<(usize, Arc<AtomicU32>)>,
}

/// Targets remembered before the memory is cleaned of those no configuration has any more.
const KNOWN_MAX: usize = 64;

impl Sender {
    #[must_use]
    pub fn new(hub: &Arc<Hub>) -> Rc<Self> {
        Rc::new(Self {
            hub: Arc::clone(hub),
            state: RefCell::default(),
            waker: RefCell::default(),
            running: Cell::new(false),
        })
    }

    /// Sends a line to each of `targets` that wants its `level` (0 emergency ..= 7 debug). `tag` is the proxy's
    /// `log-tag`; `sd` the formatted `log-format-sd`, or empty. A final newline in `message` is not needed.
    pub fn emit(&self, targets: &[Arc<LogTarget>], level: u8, tag: Option<&str>, sd: &[u8], message: &[u8]) {
        if targets.is_empty() {
            return;
        }
        let line = frame::Line {
            date: SystemTime::now(),
            level,
            tag: tag.unwrap_or(&self.hub.tag),
            pid: self.hub.process.pid,
            hostname: self.hub.hostname.as_deref(),
            sd,
            message,
        };
        let mut state = self.state.borrow_mut();
        for target in targets {
            if level <= target.max_level {
                state.queue(&self.hub, target, &line);
            }
        }
        if !self.running.get() {
            state.flush(&self.hub);
        } else if state.queued
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// An event of a proxy (it starts, one of its servers goes down) to where the proxy logs.
    pub fn report(&self, log: &ProxyLog, level: u8, text: &str) {
        self.emit(&log.targets, level, log.tag.as_deref(), b"", text.as_bytes());
    }

    /// Sends what is queued now.
    pub fn flush(&self) {
        self.state.borrow_mut().flush(&self.hub);
    }

    /// Sends what was queued a millisecond after its first line, for ever. To be spawned once on the thread; before
    /// that, and after it is dropped, each line is sent at once.
    pub async fn run(self: Rc<Self>) {
        let _running = Running::start(&self);
        loop {
            poll_fn(|context| {
                if self.state.borrow().queued {
                    return Poll::Ready(());
                }
                *self.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            tokio::time::sleep(LINGER).await;
            self.flush();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.state.borrow_mut().flush(&self.hub);
    }
}

/// While it lives, lines wait for [`Sender::run`].
struct Running<'a>(&'a Sender);

impl<'a> Running<'a> {
    fn start(sender: &'a Sender) -> Self {
        sender.running.set(true);
        Self(sender)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
        self.0.flush();
    }
}

impl Known {
    fn sample_counter(&mut self, hub: &Hub, key: usize) -> Arc<AtomicU32> {
        if let Some((_, counter)) = self.samples.iter().find(|(k, _)| *k == key) {
            return Arc::clone(counter);
        }
        let counter = hub.sample_counter(key);
        self.samples.push((key, Arc::clone(&counter)));
        counter
    }
}

impl State {
    fn queue(&mut self, hub: &Hub, target: &Arc<LogTarget>, line: &frame::Line<'_>) {
        let known = self.known(hub, target);
        if let Some(ranges) = &target.sample {
            let Some(known) = self.known.get_mut(known) else { return };
            if !sample::take(ranges, &known.sample_counter(hub, std::ptr::from_ref(target).addr())) {
                return;
            }
        }
        let route = self.known.get(known).map_or(0, |k| k.route);
        let Some(route) = self.routes.get_mut(route) else { return };
        route.push(|out| frame::write(target, line, out));
        self.queued = true;
        if route.pending() >= BATCH {
            route.flush(hub);
        }
    }

    /// The index in `known` of a target, met now or before.
    fn known(&mut self, hub: &Hub, target: &Arc<LogTarget>) -> usize {
        if let Some(found) = self.known.iter().position(|k| Arc::ptr_eq(&k.target, target)) {
            return found;
        }
        if self.known.len() >= KNOWN_MAX {
            self.flush(hub);
            self.known.retain(|k| Arc::strong_count(&k.target) > 1);
        }
        let route = self.routes.iter().position(|r| r.goes_to(&target.transport)).unwrap_or_else(|| {
            self.routes.push(Route::new(&target.transport));
            self.routes.len() - 1
        });
        self.known.push(Known { target: Arc::clone(target), route, samples: Vec::new() });
        self.known.len() - 1
    }

    fn flush(&mut self, hub: &Hub) {
        for route in &mut self.routes {
            route.flush(hub);
        }
        self.queued = false;
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
