//! Servers that come and go while the process runs (`add server`, `del server`).

use super::backend::{LiveBackend, candidate};
use super::control::ServerAt;
use super::queue::Queue;
use super::server::{LiveServer, OperState, admin};
use super::{Generation, LiveProxy};
use crate::config::model::{Mode, Server, UseServer};
use crate::ids::ServerIndex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Instant;

/// Numbers those who come after somebody went: servers added between two removals share one.
#[derive(Debug, Default)]
pub struct Revisions {
    last: AtomicU32,
    has_removed: AtomicBool,
}

impl Revisions {
    fn next(&self) -> u32 {
        let more = u32::from(self.has_removed.swap(false, Relaxed));
        self.last.fetch_add(more, Relaxed).wrapping_add(more)
    }

    fn removed(&self) {
        self.has_removed.store(true, Relaxed);
    }
}

/// Why a server cannot go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Another server tracks it, or a rule names it.
    Referenced,
    /// It is not in maintenance.
    Serving,
    /// Connections or requests that wait are still on it.
    Busy,
}

impl LiveBackend {
    /// May servers be added? Tables of the static algorithms are made once.
    #[must_use]
    pub fn takes_servers(&self) -> bool {
        self.lock().table.algorithm().is_dynamic()
    }

    /// The lowest number no server has.
    #[must_use]
    pub fn free_id(&self) -> u32 {
        (1..).find(|id| self.servers.iter().all(|s| s.conf.id != *id)).unwrap_or(u32::MAX)
    }

    /// Appends a server; `in_service` unless it is to wait for `enable server`.
    fn add(
        &self,
        conf: Arc<Server>,
        in_service: bool,
        threads: usize,
        revision: u32,
        now: Instant,
    ) -> Arc<LiveServer> {
        let mut lists = self.lock();
        let index = u32::try_from(self.servers.places()).unwrap_or(u32::MAX);
        let mut server = LiveServer::new(ServerIndex(index), conf, threads, now);
        server.revision = revision;
        let server = Arc::new(server);
        if !in_service {
            server.admin.fetch_or(admin::FORCED_MAINT, Relaxed);
        }
        // A check is enabled by command, once the server is known to be well.
        server.check.set_enabled(false);
        server.agent.set_enabled(false);
        let algorithm = lists.table.algorithm();
        lists.pool.servers.push(candidate(&server, algorithm));
        lists.own.push(Queue::default());
        lists.pool.recount();
        let lists = &mut *lists;
        lists.grown();
        self.servers.push(Arc::clone(&server));
        lists.publish(self, server.index.get());
        self.make_cookie(&server);
        server
    }
}

impl Generation {
    /// Adds a server to a backend whose algorithm takes it. It is in maintenance unless `in_service`, and its checks are
    /// off until a command enables them. `tracks`: the server whose state it follows.
    pub fn add_server(
        &self,
        proxy: &LiveProxy,
        conf: Server,
        in_service: bool,
        tracks: Option<ServerAt>,
    ) -> Option<Arc<LiveServer>> {
        let backend = proxy.back.as_ref()?;
        let now = Instant::now();
        let server =
            backend.add(Arc::new(conf), in_service, self.threads, self.process.revisions.next(), now);
        if let Some(tracked) = tracks {
            self.follow(tracked, (proxy.index, server.index), now);
        }
        self.process.server_changes.notify_one();
        Some(server)
    }

    /// Begins to track: the state of the moment is taken over at once.
    fn follow(&self, tracked: ServerAt, by: ServerAt, now: Instant) {
        self.add_tracking(tracked, by);
        let (Some((_, _, from)), Some((_, backend, _))) = (self.find(tracked), self.find(by)) else { return };
        let inherited = if from.admin() & admin::MAINT != 0 { admin::INHERITED_MAINT } else { 0 };
        let down = from.oper() == OperState::Stopped;
        backend.change(by.1.get(), now, |server, _| {
            server.admin.fetch_or(inherited, Relaxed);
            if down {
                server.oper.store(OperState::Stopped as u8, Relaxed);
            }
        });
    }

    /// Can the server go now?
    ///
    /// # Errors
    /// What keeps it.
    pub fn removable(&self, proxy: &LiveProxy, server: &LiveServer) -> Result<(), Kept> {
        let at = (proxy.index, server.index);
        let rules = proxy.conf.back.iter().flat_map(|b| &b.use_server);
        let named = rules.into_iter().any(|r| matches!(r.action, UseServer::Static(i) if i == server.index));
        if named || self.tracking().iter().any(|(tracked, _)| *tracked == at) {
            return Err(Kept::Referenced);
        }
        if server.admin() & admin::MAINT == 0 {
            return Err(Kept::Serving);
        }
        // What becomes of flows in the kernel is said beforehand, by 'on-remove'.
        let forwarded = proxy.conf.mode == Mode::L4;
        if !forwarded && (server.current() > 0 || server.queued() > 0) {
            return Err(Kept::Busy);
        }
        Ok(())
    }

    /// Removes a server. Its place stays, so that whoever still holds its index finds it gone.
    ///
    /// # Errors
    /// What keeps it.
    pub fn remove_server(&self, proxy: &LiveProxy, server: &LiveServer) -> Result<(), Kept> {
        let Some(backend) = &proxy.back else { return Ok(()) };
        {
            // Nobody is given the server while it is looked at.
            let _lists = backend.lock();
            self.removable(proxy, server)?;
            server.gone.store(true, Relaxed);
        }
        self.process.revisions.removed();
        self.process.server_changes.notify_one();
        Ok(())
    }
}
