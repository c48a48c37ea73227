//! What the engines share while the process runs: proxies and servers with their state, counters, queues and pools.
//! Threads meet here only: atomics, `ArcSwap`, short locks never held across an await.

pub mod rules;

use crate::config::model::{Config, Proxy};
use crate::ids::{ProxyIndex, ServerIndex};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

/// Facts and totals of the process.
#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    pub hostname: String,
    pub nbthread: usize,
    /// Client connections now, and the limit over all frontends.
    pub connections: AtomicUsize,
    pub maxconn: usize,
    /// Set by a graceful stop: keep-alive connections are closed after the running request.
    pub stopping: AtomicBool,
    pub log_drops: AtomicU64,
    pub requests: AtomicU64,
}

/// One running configuration. Connections keep the generation they began with.
#[derive(Debug)]
pub struct Generation {
    pub config: Arc<Config>,
    pub proxies: Vec<Arc<LiveProxy>>,
    pub process: Arc<Process>,
}

/// A proxy's state. `conf.front`/`conf.back` tell which sides it has.
#[derive(Debug)]
pub struct LiveProxy {
    pub index: ProxyIndex,
    pub conf: Arc<Proxy>,
    pub front: FrontState,
    pub back: Option<Arc<LiveBackend>>,
}

/// Counters of a frontend.
#[derive(Debug, Default)]
pub struct FrontState {
    pub current: AtomicUsize,
    pub total: AtomicU64,
}

/// A backend's servers, queue and balancing table.
#[derive(Debug)]
pub struct LiveBackend {
    pub servers: Vec<Arc<LiveServer>>,
}

#[derive(Debug)]
pub struct LiveServer {
    pub index: ServerIndex,
    pub conf: Arc<crate::config::model::Server>,
}

/// What a request asks of its backend.
#[derive(Debug, Default)]
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
