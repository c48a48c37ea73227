//! How many TLS connections there are and were, to clients and to servers: what `show info` tells.

use rustls::{Connection, HandshakeKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static OPEN: AtomicU64 = AtomicU64::new(0);
static ALL: AtomicU64 = AtomicU64::new(0);
static CLIENTS: AtomicU64 = AtomicU64::new(0);
static CLIENT_KEYS: AtomicU64 = AtomicU64::new(0);
static SERVER_KEYS: AtomicU64 = AtomicU64::new(0);

/// Totals since the process began, but for `open`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsCounts {
    /// Connections now, and so far.
    pub open: u64,
    pub all: u64,
    /// Clients that came in by a `bind` line with `ssl`.
    pub clients: u64,
    /// Handshakes that resumed no session, with clients and with servers: each computes keys.
    pub client_keys: u64,
    pub server_keys: u64,
}

impl TlsCounts {
    #[must_use]
    pub fn read() -> Self {
        Self {
            open: OPEN.load(Relaxed),
            all: ALL.load(Relaxed),
            clients: CLIENTS.load(Relaxed),
            client_keys: CLIENT_KEYS.load(Relaxed),
            server_keys: SERVER_KEYS.load(Relaxed),
        }
    }
}

/// A client that is to speak TLS is there.
pub(super) fn client() {
    CLIENTS.fetch_add(1, Relaxed);
}

/// Counts a connection as open while it lives.
#[derive(Debug)]
pub(super) struct Counted(());

impl Counted {
    pub fn new() -> Self {
        OPEN.fetch_add(1, Relaxed);
        ALL.fetch_add(1, Relaxed);
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

/// A handshake is done.
pub(super) fn shaken(tls: &Connection) {
    let (kind, keys) = match tls {
        Connection::Server(tls) => (tls.handshake_kind(), &CLIENT_KEYS),
        Connection::Client(tls) => (tls.handshake_kind(), &SERVER_KEYS),
    };
    if kind != Some(HandshakeKind::Resumed) {
        keys.fetch_add(1, Relaxed);
    }
}
