//! Facts and totals of the process.

use super::applet::Applets;
use super::captures::Total;
use super::counters::FrontTotals;
use super::dynamic::Revisions;
use super::heartbeat::Heartbeats;
use super::limits::Limits;
use super::rate::Rate;
use super::rings::Rings;
use super::sessions::Roster;
use super::vrrp::Desk;
use crate::clock::Now;
use crate::net::tls_counts::TlsCounts;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The most worker threads a reload may bring.
pub const MAX_THREADS: usize = 64;

#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    pub hostname: String,
    /// Worker threads at the start; a reload may change it (`Generation::threads`).
    pub nbthread: usize,
    pub started: Now,
    /// Client connections now.
    pub connections: AtomicUsize,
    pub limits: Limits,
    /// Set by a graceful stop: keep-alive connections are closed after the running request.
    pub stopping: AtomicBool,
    /// Set by it a moment later: those that wait for their next request are closed as well.
    pub closes_idle: AtomicBool,
    pub log_drops: AtomicU64,
    pub rings: Rings,
    /// Requests and TCP sessions so far, which gives each its number (`%rt`).
    pub requests: AtomicU64,
    /// Clients of the administration sockets now and so far, and the bytes sent to them.
    pub admin_clients: AtomicUsize,
    pub admin_connections: AtomicU64,
    pub admin_bytes_out: AtomicU64,
    /// How often a client had to wait because `maxconn` was reached.
    pub maxconn_reached: AtomicU64,
    pub rates: Rates,
    /// Where requests for the statistics page and its like go.
    pub applets: Applets,
    /// Messages refused for their form so far.
    pub captured: Total,
    /// Rings when servers were added or removed: their checks begin and end.
    pub server_changes: Notify,
    /// Certificates were exchanged, or an OCSP response is to be fetched.
    pub certificate_changes: Notify,
    pub(super) revisions: Revisions,
    /// Services of `mode l4` made by command, and what servers carry.
    pub l4: super::l4::Board,
    /// The sessions in progress on each thread.
    pub sessions: Roster,
    /// The workers' signs of life, while there are virtual routers.
    pub heartbeats: Heartbeats,
    /// Where the virtual routers are asked.
    pub vrrp: Desk,
    /// The configuration that runs.
    pub current: super::succession::Current,
    /// Where reloads are asked for.
    pub reloads: super::reload::Requests,
    idle_percent: AtomicU32,
    worked: Mutex<(Instant, Duration)>,
}

/// Of all frontends together.
#[derive(Debug)]
pub struct Rates {
    pub connections: Rate,
    pub sessions: Rate,
    pub bytes_out: Rate,
    /// TLS connections of clients, and handshakes without a session to resume, with clients and with servers.
    pub ssl: Rate,
    pub ssl_client_keys: Rate,
    pub ssl_server_keys: Rate,
}

impl Process {
    /// A process that starts now.
    #[must_use]
    pub fn new(pid: u32, hostname: String, nbthread: usize, maxconn: usize) -> Self {
        let started = Now::read();
        let rate = || Rate::new(started.mono);
        Self {
            pid,
            hostname,
            nbthread,
            started,
            connections: AtomicUsize::new(0),
            limits: Limits::new(maxconn),
            stopping: AtomicBool::new(false),
            closes_idle: AtomicBool::new(false),
            log_drops: AtomicU64::new(0),
            rings: Rings::default(),
            requests: AtomicU64::new(0),
            admin_clients: AtomicUsize::new(0),
            admin_connections: AtomicU64::new(0),
            admin_bytes_out: AtomicU64::new(0),
            maxconn_reached: AtomicU64::new(0),
            rates: Rates {
                connections: rate(),
                sessions: rate(),
                bytes_out: rate(),
                ssl: rate(),
                ssl_client_keys: rate(),
                ssl_server_keys: rate(),
            },
            applets: Applets::default(),
            captured: Total::default(),
            server_changes: Notify::new(),
            certificate_changes: Notify::new(),
            revisions: Revisions::default(),
            l4: super::l4::Board::default(),
            sessions: Roster::new(nbthread.max(MAX_THREADS)),
            heartbeats: Heartbeats::new(nbthread.max(MAX_THREADS), nbthread),
            vrrp: Desk::default(),
            current: super::succession::Current::default(),
            reloads: super::reload::Requests::default(),
            idle_percent: AtomicU32::new(100),
            worked: Mutex::new((started.mono, cpu_time())),
        }
    }

    /// Percent of the last second the threads waited.
    #[must_use]
    pub fn idle_percent(&self) -> u32 {
        self.idle_percent.load(Relaxed)
    }

    /// About every second: `totals` of all frontends, and the bytes sent to clients and servers.
    pub(super) fn tick(&self, totals: &FrontTotals, bytes_out: u64, now: Instant) {
        self.rates.connections.tick(totals.connections, now);
        self.rates.sessions.tick(totals.sessions, now);
        self.rates.bytes_out.tick(bytes_out, now);
        let tls = TlsCounts::read();
        self.rates.ssl.tick(tls.clients, now);
        self.rates.ssl_client_keys.tick(tls.client_keys, now);
        self.rates.ssl_server_keys.tick(tls.server_keys, now);
        let mut worked = self.worked.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = cpu_time();
        let passed = now.saturating_duration_since(worked.0);
        if passed < Duration::from_millis(100) {
            return;
        }
        let all = passed.as_secs_f64() * self.nbthread.max(1) as f64;
        let busy = cpu.saturating_sub(worked.1).as_secs_f64() / all;
        *worked = (now, cpu);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        self.idle_percent.store((100.0 * (1.0 - busy)).clamp(0.0, 100.0) as u32, Relaxed);
    }
}

/// What all threads of the process have used so far.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}
