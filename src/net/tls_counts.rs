//! How many TLS connections there are and were, to clients and to servers: what `show info` tells.

use rustls::{Connection, HandshakeKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// `maxsslconn`; 0: none.
static MOST: AtomicU64 = AtomicU64::new(0);
/// Told when a connection to a server ends while there is a limit.
static FREED: Notify = Notify::const_new();
/// Connections to servers.
static SERVERS: AtomicU64 = AtomicU64::new(0);
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

/// `maxsslconn` from now on.
pub fn limit(most: u64) {
    MOST.store(most, Relaxed);
}

#[must_use]
pub fn most() -> u64 {
    MOST.load(Relaxed)
}

/// How many clients may speak TLS beside the connections to servers there are now; `None`: any number.
#[must_use]
pub fn room_for_clients() -> Option<u64> {
    match most() {
        0 => None,
        most => Some(most.saturating_sub(SERVERS.load(Relaxed))),
    }
}

/// Becomes ready when there may be more room for clients; to be enabled before looking.
pub fn watch() -> Notified<'static> {
    FREED.notified()
}

/// May another connection to a server begin?
pub(super) fn has_room() -> bool {
    let most = most();
    most == 0 || OPEN.load(Relaxed) < most
}

/// A client that is to speak TLS is there.
pub(super) fn client() {
    CLIENTS.fetch_add(1, Relaxed);
}

/// Counts a connection as open while it lives.
#[derive(Debug)]
pub(super) struct Counted {
    to_server: bool,
}

impl Counted {
    pub fn new(tls: &Connection) -> Self {
        OPEN.fetch_add(1, Relaxed);
        ALL.fetch_add(1, Relaxed);
        let to_server = matches!(tls, Connection::Client(_));
        if to_server {
            SERVERS.fetch_add(1, Relaxed);
        }
        Self { to_server }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
        if self.to_server {
            SERVERS.fetch_sub(1, Relaxed);
            if most() > 0 {
                FREED.notify_waiters();
            }
        }
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
