//! Where a server is reached: as its line says, or where a command has moved it.

use super::backend::LiveBackend;
use super::server::LiveServer;
use crate::config::model::{Endpoint, Server};
use arc_swap::ArcSwapOption;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server line with another address, once a command gave it one.
#[derive(Debug, Default)]
pub struct Moved {
    /// Looked at before each connection; nearly always false.
    any: AtomicBool,
    line: ArcSwapOption<Server>,
}

/// A server line as it is now.
#[derive(Debug)]
pub enum Reached<'a> {
    Configured(&'a Server),
    Moved(Arc<Server>),
}

impl Deref for Reached<'_> {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Configured(server) => server,
            Self::Moved(server) => server,
        }
    }
}

impl LiveServer {
    /// The server line with the address of this moment.
    #[must_use]
    pub fn reached(&self) -> Reached<'_> {
        if self.moved.any.load(Ordering::Relaxed)
            && let Some(line) = self.moved.line.load_full()
        {
            return Reached::Moved(line);
        }
        Reached::Configured(&self.conf)
    }

    /// The same to keep.
    #[must_use]
    pub fn line(&self) -> Arc<Server> {
        match self.reached() {
            Reached::Moved(line) => line,
            Reached::Configured(_) => Arc::clone(&self.conf),
        }
    }
}

impl LiveBackend {
    /// `set server ... addr`: new connections go there; idle ones to the old address are not used again.
    pub fn move_server(&self, i: usize, address: SocketAddr, port_offset: Option<i32>) {
        self.move_to(i, Endpoint::Inet(address), port_offset);
    }

    pub(super) fn move_to(&self, i: usize, endpoint: Endpoint, port_offset: Option<i32>) {
        let Some(server) = self.servers.get(i) else { return };
        let mut line = Server::clone(&server.reached());
        line.endpoint = endpoint;
        line.port_offset = port_offset;
        server.moved.line.store(Some(Arc::new(line)));
        server.moved.any.store(true, Ordering::Release);
        server.forget_idle();
        self.rehash(i);
        self.make_cookie(server);
        // Checks go to the address too.
        server.check.change_settings(|_| {});
        server.agent.change_settings(|_| {});
    }
}
