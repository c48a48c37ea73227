//! Sockets: listening, accepting, dialling, relaying; nothing here knows a protocol above TCP (but for the PROXY header).
//!
//! `listener` makes listening sockets from `bind` lines, `stream` is the one connection type the engines see, `dial`
//! opens a connection to a server, `relay` moves bytes with splice(2), `raw` holds the system calls that need `unsafe`.

mod announce;
pub mod carried;
pub mod dial;
pub mod greet;
pub mod handoff;
pub mod listener;
pub mod own;
pub mod raw;
pub mod relay;
pub mod secure;
pub mod socks4;
mod stream;
mod timer;
pub mod tls;
pub mod tls_counts;

pub use announce::proxy_header;
pub use dial::{Dial, DialError, DialErrorKind, Wrap, dial};
pub use listener::Listener;
pub use stream::Stream;
pub use timer::Timer;

use crate::config::model::{Bind, KeepAliveProbes};
use crate::expr::facts::ConnFacts;
use crate::live::sessions::Card;
use crate::live::variables::Variables;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// SO_KEEPALIVE with the times and the count that are given.
fn keep_alive(socket: &socket2::Socket, probes: KeepAliveProbes) {
    let _ = socket.set_keepalive(true);
    let mut wanted = socket2::TcpKeepalive::new();
    if let Some(idle) = probes.idle {
        wanted = wanted.with_time(idle);
    }
    if let Some(interval) = probes.interval {
        wanted = wanted.with_interval(interval);
    }
    if let Some(count) = probes.count {
        wanted = wanted.with_retries(count);
    }
    if probes != KeepAliveProbes::default() {
        let _ = socket.set_tcp_keepalive(&wanted);
    }
}

/// A client connection on its way to an engine: connection-level rules have passed, a PROXY header has been taken off.
#[derive(Debug)]
pub struct Accepted {
    pub stream: Stream,
    /// What the administration sees of it.
    pub card: Rc<Card>,
    pub conn: Box<ConnFacts>,
    pub bind: Arc<Bind>,
    /// Bytes already read from the client, to be treated as if they came first on `stream`.
    pub preread: Vec<u8>,
    /// When it was accepted, on the monotonic clock (`conn.accepted` is the same moment on the wall clock).
    pub at: Instant,
    /// What the PROXY header took, in milliseconds (`%Th`).
    pub handshake: i64,
    /// What `tcp-request connection|session` rules set.
    pub variables: Variables,
}
