//! TLS to a server: whether connections use it now, and what they use.

use super::backend::LiveBackend;
use super::server::LiveServer;
use crate::config::model::Server;
use crate::net::tls::Connector;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[derive(Debug)]
pub struct Tls {
    on: AtomicBool,
    connector: ArcSwap<Connector>,
}

impl Tls {
    /// `None`: the server's line does not speak of TLS.
    pub(super) fn new(conf: &Server) -> Option<Box<Self>> {
        let tls = conf.tls.as_ref()?;
        let connector = ArcSwap::from_pointee(Connector::new(tls));
        Some(Box::new(Self { on: AtomicBool::new(conf.ssl), connector }))
    }
}

impl LiveServer {
    /// What makes connections TLS ones; `None`: they are plain.
    #[must_use]
    pub fn connector(&self) -> Option<Arc<Connector>> {
        let tls = self.tls.as_ref()?;
        tls.on.load(Relaxed).then(|| tls.connector.load_full())
    }

    /// Are connections TLS ones?
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.on.load(Relaxed))
    }
}

impl LiveBackend {
    /// `set server ... ssl`; `false`: its line has no settings for it. Connections there are stay as they are, idle ones
    /// are not used again.
    pub fn secure_server(&self, i: usize, on: bool) -> bool {
        let Some((server, tls)) = self.servers.get(i).and_then(|s| Some((s, s.tls.as_ref()?))) else {
            return false;
        };
        tls.on.store(on, Relaxed);
        server.forget_idle();
        true
    }
}
