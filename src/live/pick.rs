//! Choosing a server for a request: persistence first, then the algorithm, else the queue.

use super::backend::{Lists, LiveBackend};
use super::queue::{Key, Outcome, Ticket};
use super::server::LiveServer;
use crate::balance::{self, Request};
use crate::ids::ServerIndex;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What a request asks of its backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want<'a> {
    /// The server that persistence (cookie), `use-server` or a content rule chose.
    pub sticky: Option<Sticky>,
    /// What the algorithm hashes; `None` falls back to round robin as HAProxy does.
    pub key: Option<HashInput<'a>>,
    /// The server the last attempt failed on (redispatch): taken only if no other is usable.
    pub avoid: Option<ServerIndex>,
    pub queue_timeout: Option<Duration>,
    pub priority_class: i32,
    pub priority_offset_ms: i32,
    pub random: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Sticky {
    pub server: ServerIndex,
    /// `force-persist` or `option persist`: even when it is down.
    pub even_down: bool,
    /// May the queue give it another server when this one is full for too long (`option redispatch`)?
    pub redispatch: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum HashInput<'a> {
    Source(IpAddr),
    Bytes(&'a [u8]),
}

/// Why no server was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No usable server: 503, `SC`.
    NoServer,
    /// The queue is full (`maxqueue`) and no other server takes it: 503.
    QueueFull,
    /// `timeout queue` struck: 503, `sQ`.
    QueueTimeout,
}

/// A request's place on a server. Dropping it frees the place for the next that waits.
#[derive(Debug)]
pub struct Slot {
    backend: Arc<LiveBackend>,
    server: Arc<LiveServer>,
    /// Log fields: the place it had in the server's and in the backend's queue, from 1; 0: it did not wait there.
    pub server_queue: u32,
    pub backend_queue: u32,
}

impl Slot {
    #[must_use]
    pub fn server(&self) -> &Arc<LiveServer> {
        &self.server
    }

    #[must_use]
    pub fn backend(&self) -> &Arc<LiveBackend> {
        &self.backend
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.backend.release(self.server.index.get());
    }
}

impl LiveBackend {
    /// A server at once, or `None` if the request must wait: then call [`Self::assign`].
    pub fn try_assign(self: &Arc<Self>, want: &Want<'_>) -> Option<Result<Slot, Refusal>> {
        match self.lock().choose(self, want) {
            Choice::Server(i) => Some(self.slot(i, 0, 0).ok_or(Refusal::NoServer)),
            Choice::Refused(r) => Some(Err(r)),
            Choice::Wait(_) => None,
        }
    }

    /// A server, after waiting in its queue or the backend's if need be. Cancel-safe: a future that is dropped leaves
    /// the queue.
    ///
    /// # Errors
    /// No usable server, no room in the queue, or `timeout queue`.
    pub async fn assign(self: &Arc<Self>, mut want: Want<'_>) -> Result<Slot, Refusal> {
        let deadline = want.queue_timeout.and_then(|t| tokio::time::Instant::now().checked_add(t));
        loop {
            let waiting = {
                let mut lists = self.lock();
                match lists.choose(self, &want) {
                    Choice::Server(i) => return self.slot(i, 0, 0).ok_or(Refusal::NoServer),
                    Choice::Refused(r) => return Err(r),
                    Choice::Wait(place) => self.join(&mut lists, place, &want),
                }
            };
            let place = waiting.place;
            let outcome = match deadline {
                None => waiting.await,
                Some(at) => tokio::time::timeout_at(at, waiting).await.map_err(|_| Refusal::QueueTimeout)?,
            };
            match outcome {
                Outcome::Granted { server, ahead } => {
                    let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
                    let (own, shared) = if place.is_some() { (ahead, 0) } else { (0, ahead) };
                    return self.slot(server, own, shared).ok_or(Refusal::NoServer);
                }
                Outcome::Retry => want.sticky = None,
            }
        }
    }

    fn slot(self: &Arc<Self>, i: usize, server_queue: u32, backend_queue: u32) -> Option<Slot> {
        let server = Arc::clone(self.servers.get(i)?);
        Some(Slot { backend: Arc::clone(self), server, server_queue, backend_queue })
    }

    fn join(self: &Arc<Self>, lists: &mut Lists, place: Option<usize>, want: &Want<'_>) -> Waiting {
        lists.arrivals += 1;
        let since = Instant::now().saturating_duration_since(self.started);
        let key = Key {
            class: want.priority_class,
            due_ms: crate::clock::millis(since).saturating_add(i64::from(want.priority_offset_ms)),
            arrival: lists.arrivals,
        };
        let stays =
            place.is_some() && want.sticky.map_or(!self.redistributes, |s| s.even_down || !s.redispatch);
        let ticket = lists.queue(place).join(key, stays);
        lists.note_queue(self, place);
        Waiting { backend: Arc::clone(self), place, key, ticket, collected: false }
    }
}

/// What [`Lists::choose`] found. A `Server` is already counted.
pub(super) enum Choice {
    Server(usize),
    /// Wait for this server, or for any.
    Wait(Option<usize>),
    Refused(Refusal),
}

impl Lists {
    fn choose(&mut self, backend: &LiveBackend, want: &Want<'_>) -> Choice {
        self.pool.sessions = backend.sessions.load(Relaxed);
        if let Some(choice) = want.sticky.and_then(|s| self.choose_sticky(backend, s)) {
            return choice;
        }
        if self.pool.weight() == 0 {
            return Choice::Refused(Refusal::NoServer);
        }
        // In these algorithms a queue means that every server is full: nobody overtakes.
        if self.any.len() > 0 && self.pool.served > 0 && self.table.queues_mean_full() {
            return Choice::Wait(None);
        }
        let request = Request {
            key: want.key.map(|k| match k {
                HashInput::Source(a) => balance::Key::Address(a),
                HashInput::Bytes(b) => balance::Key::Bytes(b),
            }),
            avoid: want.avoid.map(ServerIndex::get),
            random: want.random,
        };
        let Some(i) = self.table.pick(&self.pool, &request) else { return Choice::Wait(None) };
        if request.avoid != Some(i)
            && let Some(server) = backend.servers.get(i)
        {
            self.balanced += 1;
            server.counters.here().balanced.inc();
        }
        if self.pool.has_room(i) {
            self.take(backend, i);
            return Choice::Server(i);
        }
        self.wait_for(i)
    }

    fn choose_sticky(&mut self, backend: &LiveBackend, sticky: Sticky) -> Option<Choice> {
        let i = sticky.server.get();
        let server = backend.servers.get(i).filter(|s| !s.is_gone())?;
        if !server.is_up() && !sticky.even_down {
            return None;
        }
        if self.pool.has_room(i) {
            self.take(backend, i);
            return Some(Choice::Server(i));
        }
        match self.wait_for(i) {
            Choice::Refused(_) if sticky.redispatch => None,
            choice => Some(choice),
        }
    }

    /// The server is chosen but full.
    fn wait_for(&self, i: usize) -> Choice {
        match self.pool.servers.get(i) {
            Some(s) if s.maxqueue > 0 && s.queued >= s.maxqueue => Choice::Refused(Refusal::QueueFull),
            _ => Choice::Wait(Some(i)),
        }
    }
}

/// A request in a queue.
struct Waiting {
    backend: Arc<LiveBackend>,
    place: Option<usize>,
    key: Key,
    ticket: Ticket,
    collected: bool,
}

impl Future for Waiting {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let polled = self.ticket.poll(cx);
        self.collected |= polled.is_ready();
        polled
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.collected {
            return;
        }
        let left = {
            let mut lists = self.backend.lock();
            let left = lists.queue(self.place).leave(self.key);
            lists.note_queue(&self.backend, self.place);
            left
        };
        if left {
            return;
        }
        // Granted between the last poll and now: the slot goes to the next one.
        if let Some(Outcome::Granted { server, .. }) = self.ticket.outcome() {
            self.backend.release(server);
        }
    }
}
