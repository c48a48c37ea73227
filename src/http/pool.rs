//! Idle server connections of one thread, newest first, and who may use them (`http-reuse`).

use super::h2::Muxes;
use super::upstream::Upstream;
use crate::config::model::{Reuse, Server};
use crate::live::LiveServer;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A server connection between two requests. When it is of no more use it is closed with a reset, which spares both sides
/// the closing handshake and us the TIME_WAIT: the last response was whole, nothing can be lost.
pub struct Idle {
    /// `None` once it is used again.
    up: Option<Box<Upstream>>,
    since: Instant,
}

impl Idle {
    pub fn new(up: Box<Upstream>, since: Instant) -> Self {
        Self { up: Some(up), since }
    }

    /// The connection, to be used again.
    pub fn into_upstream(mut self) -> Option<Box<Upstream>> {
        self.up.take()
    }

    fn uses(&self) -> u32 {
        self.up.as_ref().map_or(0, |up| up.uses)
    }

    pub fn downs(&self) -> u32 {
        self.up.as_ref().map_or(0, |up| up.downs)
    }

    fn is_for(&self, sni: Option<&str>) -> bool {
        self.up.as_ref().is_some_and(|up| up.sni.as_deref() == sni)
    }

    /// May a request for the name `sni` at `server` use it?
    pub fn is_of(&self, server: &Arc<LiveServer>, sni: Option<&str>) -> bool {
        self.is_for(sni) && self.up.as_ref().is_some_and(|up| Arc::ptr_eq(&up.server, server))
    }

    /// Still open and silent, as far as the reactor has noticed.
    pub fn is_silent(&self) -> bool {
        match &self.up {
            Some(up) if up.stream.is_readable() => self.is_alive(Waker::noop()),
            up => up.is_some(),
        }
    }

    /// Still open and silent; `waker` is woken when that changes. Mostly nobody is asked: readiness was noted when it came. Only after a read that filled
    /// its buffer (or a splice) readiness is stale, and one more read tells.
    pub fn is_alive(&self, waker: &Waker) -> bool {
        let Some(Upstream { stream, .. }) = self.up.as_deref() else { return false };
        let mut cx = Context::from_waker(waker);
        if stream.poll_read_ready(&mut cx).is_pending() {
            return true;
        }
        let silent = matches!(stream.try_read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        silent && stream.poll_read_ready(&mut cx).is_pending()
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(up) = &self.up {
            up.stream.reset_on_close();
        }
    }
}

/// An idle connection only its client may use (`http-reuse never`).
pub struct Own(Option<Idle>);

impl Own {
    pub fn new(idle: Idle) -> Self {
        if let Some(up) = &idle.up {
            up.server.connections.here().private.inc();
        }
        Self(Some(idle))
    }

    pub fn take(mut self) -> Option<Idle> {
        self.uncount();
        self.0.take()
    }

    fn uncount(&self) {
        if let Some(up) = self.0.as_ref().and_then(|idle| idle.up.as_ref()) {
            up.server.connections.here().private.sub(1);
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.uncount();
    }
}

#[derive(Default)]
struct ServerPool {
    idle: Vec<Idle>,
    server: Option<Arc<LiveServer>>,
    /// When it was last purged, or began.
    purged: Option<Instant>,
}

type ByServer = HashMap<usize, ServerPool, foldhash::fast::FixedState>;

impl ServerPool {
    #[cold]
    fn opened<'p>(pools: &'p mut ByServer, server: &Arc<LiveServer>) -> &'p mut Self {
        let pool = pools.entry(key(server)).or_default();
        pool.server = Some(Arc::clone(server));
        pool
    }
}

/// All pools of the thread, by server.
#[derive(Default)]
pub struct Pools {
    by_server: RefCell<ByServer>,
    /// Wakes [`housekeeping`] when an idle connection becomes readable.
    reaper: RefCell<Option<Waker>>,
    /// Those that carry many streams.
    pub muxes: Muxes,
}

/// How often idle connections are looked over.
const ROUND: Duration = Duration::from_secs(1);

/// Idle connections kept beyond what is in use, whatever the peak.
const SPARE: usize = 8;

/// Idle connections to a server that one of `threads` threads may keep.
pub(super) fn limit(conf: &Server, threads: usize) -> usize {
    usize::try_from(conf.pool_max_conn).map_or(usize::MAX, |most| most.div_ceil(threads.max(1)))
}

fn key(server: &Arc<LiveServer>) -> usize {
    Arc::as_ptr(server).addr()
}

impl Pools {
    /// An idle connection to `server` that `reuse` lets a request for the name `sni` have; `first`: the first request of
    /// its client connection.
    pub fn take(
        &self,
        server: &Arc<LiveServer>,
        reuse: Reuse,
        first: bool,
        sni: Option<&str>,
    ) -> Option<Idle> {
        let mut pools = self.by_server.borrow_mut();
        let pool = pools.get_mut(&key(server))?;
        loop {
            let at = match (reuse, first) {
                (Reuse::Never, _) | (Reuse::Safe, true) => return None,
                // Proven connections only: those that were reused before.
                (Reuse::Aggressive, true) => pool.idle.iter().rposition(|i| i.uses() > 1 && i.is_for(sni))?,
                (Reuse::Safe | Reuse::Aggressive, false) | (Reuse::Always, _) => {
                    pool.idle.iter().rposition(|i| i.is_for(sni))?
                }
            };
            let idle = pool.idle.swap_remove(at);
            let here = server.connections.here();
            if idle.uses() > 1 {
                here.proven.sub(1)
            } else {
                here.unproven.sub(1)
            };
            if idle.downs() == server.downs() && idle.is_silent() {
                return Some(idle);
            }
        }
    }

    /// Keeps a connection for later, unless the server's limits or its record speak against it.
    pub fn put(&self, idle: Idle, threads: usize) {
        let Some(up) = &idle.up else { return };
        let server = &up.server;
        let conf = &server.conf;
        let limit = limit(conf, threads);
        if limit == 0
            || conf.max_reuse >= 0 && up.uses > conf.max_reuse.unsigned_abs()
            || up.downs != server.downs()
        {
            return;
        }
        let reaper = self.reaper.borrow();
        if !idle.is_alive(reaper.as_ref().unwrap_or(Waker::noop())) {
            return;
        }
        let mut pools = self.by_server.borrow_mut();
        let pool = match pools.get_mut(&key(server)) {
            Some(pool) => pool,
            None => ServerPool::opened(&mut pools, server),
        };
        let here = server.connections.here();
        let peak = usize::try_from(here.peak.get()).unwrap_or(usize::MAX);
        let wanted = peak.saturating_add(SPARE.max(conf.pool_low_conn as usize));
        if pool.idle.len() >= limit.min(wanted) {
            std::hint::cold_path();
            let oldest = pool.idle.remove(0);
            if oldest.uses() > 1 {
                here.proven.sub(1)
            } else {
                here.unproven.sub(1)
            };
        }
        if idle.uses() > 1 {
            here.proven.inc()
        } else {
            here.unproven.inc()
        };
        pool.idle.push(idle);
    }

    /// Drops the closed and those idle for longer than `pool-purge-delay`, down to `pool-low-conn`.
    fn sweep(&self, waker: &Waker, timed: bool) {
        self.muxes.sweep(timed);
        let now = Instant::now();
        self.by_server.borrow_mut().retain(|_, pool| {
            let Some(server) = &pool.server else { return false };
            let here = server.connections.here();
            let (downs, delay) = (server.downs(), server.conf.pool_purge_delay);
            pool.idle.retain(|idle| idle.downs() == downs && idle.is_alive(waker));
            if timed {
                let low = server.conf.pool_low_conn as usize;
                let old = pool.idle.iter().filter(|i| now.saturating_duration_since(i.since) > delay).count();
                // Half of the superfluous ones a round, the oldest first.
                let surplus = old.min(pool.idle.len().saturating_sub(low)).div_ceil(2);
                pool.idle.sort_by_key(|i| i.since);
                pool.idle.drain(..surplus);
                if now.saturating_duration_since(*pool.purged.get_or_insert(now)) >= delay {
                    pool.purged = Some(now);
                    here.purge();
                }
            }
            let proven = pool.idle.iter().filter(|i| i.uses() > 1).count();
            here.proven.set((proven + self.muxes.idle(server)) as u64);
            here.unproven.set((pool.idle.len() - proven) as u64);
            !pool.idle.is_empty()
        });
    }
}

/// Drops idle connections as they are closed or grow old, for ever.
pub async fn housekeeping(pools: &Pools) {
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    poll_fn(|cx| {
        if !pools.reaper.borrow().as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *pools.reaper.borrow_mut() = Some(cx.waker().clone());
        }
        let timed = round.poll_tick(cx).is_ready();
        if timed {
            // The interval was ready: poll again to be woken for the next round.
            let _ = round.poll_tick(cx);
        }
        pools.sweep(cx.waker(), timed);
        Poll::<()>::Pending
    })
    .await;
}
