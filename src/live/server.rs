//! One server's state as everyone may read it. It changes through its [`super::LiveBackend`] only.

use super::checks::CheckState;
use super::counters::{ServerConnections, ServerCounters, Sharded};
use super::dynamic_cookies::Made;
use super::lifetime::Lifetime;
use super::observe::Observed;
use super::rate::Rate;
use super::reach::Moved;
use super::secure::Tls;
use crate::config::model::backend::InitState;
use crate::config::model::{Check, Endpoint, Server};
use crate::health::{Health, Start};
use crate::ids::ServerIndex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use tokio::sync::Notify;

/// What checks say of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperState {
    Stopped,
    /// Up again, in slow start.
    Starting,
    Running,
    /// `disable-on-404`: no new requests but those that persistence sends.
    Stopping,
}

/// What was ordered of a server; bits of [`LiveServer::admin`], with the values of HAProxy's state files.
pub mod admin {
    /// `disabled` in the configuration, or by command.
    pub const FORCED_MAINT: u8 = 0x01;
    /// The server it tracks is in maintenance.
    pub const INHERITED_MAINT: u8 = 0x02;
    /// `disabled` in the configuration (with [`FORCED_MAINT`]).
    pub const CONFIGURED_MAINT: u8 = 0x04;
    pub const FORCED_DRAIN: u8 = 0x08;
    pub const INHERITED_DRAIN: u8 = 0x10;
    /// Its name has no address.
    pub const UNRESOLVED_MAINT: u8 = 0x20;
    pub const MAINT: u8 = FORCED_MAINT | INHERITED_MAINT | UNRESOLVED_MAINT;
    pub const DRAIN: u8 = FORCED_DRAIN | INHERITED_DRAIN;
}

#[derive(Debug)]
pub struct LiveServer {
    pub index: ServerIndex,
    pub conf: Arc<Server>,
    pub counters: Sharded<ServerCounters>,
    /// Removed while the process runs.
    pub(super) gone: AtomicBool,
    pub connections: Sharded<ServerConnections>,
    /// `srid`: tells a server from one removed earlier that may have had its name and number.
    pub revision: u32,
    pub session_rate: Rate,
    pub(super) oper: AtomicU8,
    pub(super) admin: AtomicU8,
    pub(super) weight: AtomicU32,
    pub(super) maxconn: AtomicU32,
    pub(super) moved: Moved,
    pub(super) made_cookie: Made,
    pub(super) effective: AtomicU32,
    pub(super) throttle: AtomicU32,
    pub(super) usable: AtomicBool,
    pub(super) served: AtomicU32,
    pub(super) served_max: AtomicU32,
    pub(super) queued: AtomicU32,
    pub(super) queued_max: AtomicU32,
    pub(super) sessions: AtomicU64,
    /// How often it went down: an idle connection made before the last time is not to be used again.
    pub(super) downs: AtomicU32,
    pub(super) kills: AtomicU32,
    pub(super) kill: Notify,
    pub(super) observed: Observed,
    pub(super) tls: Option<Box<Tls>>,
    pub check: CheckState,
    pub agent: CheckState,
    pub(super) lifetime: Lifetime,
    /// `chkfail`, `chkdown`, `hanafail`
    pub failed_checks: AtomicU64,
    pub down_transitions: AtomicU64,
    pub failed_analyses: AtomicU64,
}

impl LiveServer {
    pub(super) fn new(index: ServerIndex, conf: Arc<Server>, threads: usize, now: Instant) -> Self {
        // Without an address nothing can reach it: that is maintenance too.
        let unreachable = matches!(conf.endpoint, Endpoint::Unresolved { .. });
        let mut orders = 0;
        if conf.disabled {
            orders |= admin::FORCED_MAINT | admin::CONFIGURED_MAINT;
        }
        if unreachable {
            orders |= admin::UNRESOLVED_MAINT;
        }
        let health = conf.check.as_ref().map(initial);
        let agent = conf.agent.as_ref().map(|_| Health::new(1, 1, Start::FullyUp));
        let starts_up = orders & admin::MAINT == 0 && health.is_none_or(Health::is_up);
        let oper = if starts_up { OperState::Running } else { OperState::Stopped };
        let weight = conf.weight;
        let check = CheckState::new(health);
        if orders & admin::MAINT != 0 {
            check.pause();
        }
        Self {
            index,
            counters: Sharded::new(threads),
            gone: AtomicBool::new(false),
            revision: 0,
            connections: Sharded::new(threads),
            session_rate: Rate::new(now),
            oper: AtomicU8::new(oper as u8),
            admin: AtomicU8::new(orders),
            weight: AtomicU32::new(weight),
            maxconn: AtomicU32::new(conf.maxconn),
            moved: Moved::default(),
            made_cookie: Made::default(),
            effective: AtomicU32::new(0),
            throttle: AtomicU32::new(100),
            usable: AtomicBool::new(false),
            served: AtomicU32::new(0),
            served_max: AtomicU32::new(0),
            queued: AtomicU32::new(0),
            queued_max: AtomicU32::new(0),
            sessions: AtomicU64::new(0),
            downs: AtomicU32::new(0),
            kills: AtomicU32::new(0),
            kill: Notify::new(),
            observed: Observed::default(),
            tls: Tls::new(&conf),
            check,
            agent: CheckState::new(agent),
            lifetime: Lifetime::new(now),
            failed_checks: AtomicU64::new(0),
            down_transitions: AtomicU64::new(0),
            failed_analyses: AtomicU64::new(0),
            conf,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.conf.name
    }

    /// Removed by command: only its place is left.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }

    #[must_use]
    pub fn oper(&self) -> OperState {
        match self.oper.load(Relaxed) {
            0 => OperState::Stopped,
            1 => OperState::Starting,
            2 => OperState::Running,
            _ => OperState::Stopping,
        }
    }

    #[must_use]
    pub fn admin(&self) -> u8 {
        self.admin.load(Relaxed)
    }

    /// Up by its checks and not in maintenance: persistence may send requests here (`srv_is_up`).
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.oper() != OperState::Stopped && self.admin() & admin::MAINT == 0
    }

    /// Balancing may send requests here: up, not draining, not stopping, weight above 0.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.usable.load(Relaxed)
    }

    /// The weight as set by configuration or command.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// The weight in effect: less than [`Self::weight`] in slow start.
    #[must_use]
    pub fn effective_weight(&self) -> u32 {
        self.effective.load(Relaxed)
    }

    /// The limit as set by configuration, command or agent; 0: none.
    #[must_use]
    pub fn maxconn(&self) -> u32 {
        self.maxconn.load(Relaxed)
    }

    /// Connections made before this are not used again.
    pub(super) fn forget_idle(&self) {
        self.downs.fetch_add(1, Relaxed);
    }

    /// Percent of its weight that a slow start has reached.
    #[must_use]
    pub fn throttle(&self) -> u32 {
        self.throttle.load(Relaxed)
    }

    /// Requests in progress, and the most there ever were.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.served.load(Relaxed)
    }

    #[must_use]
    pub fn max(&self) -> u32 {
        self.served_max.load(Relaxed)
    }

    /// Requests that wait for this server alone.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.queued.load(Relaxed)
    }

    #[must_use]
    pub fn queued_max(&self) -> u32 {
        self.queued_max.load(Relaxed)
    }

    /// A connection to it is tried, or an idle one used again: HAProxy counts a session each time.
    pub fn begin_session(&self) {
        self.sessions.fetch_add(1, Relaxed);
    }

    /// Sessions so far, attempts included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sessions.load(Relaxed)
    }

    /// Changes each time the server goes down. A pooled connection remembers it and is dropped if it differs.
    #[must_use]
    pub fn downs(&self) -> u32 {
        self.downs.load(Relaxed)
    }

    /// Changes when the server's sessions are told to close.
    #[must_use]
    pub fn kills(&self) -> u32 {
        self.kills.load(Relaxed)
    }

    /// Ready when this server's sessions are to be closed (`on-marked-down shutdown-sessions`, `on-marked-up
    /// shutdown-backup-sessions` of another server). `since` is [`Self::kills`] as the session began.
    pub async fn killed(&self, since: u32) {
        loop {
            let told = self.kill.notified();
            if self.kills() != since {
                return;
            }
            told.await;
        }
    }

    pub fn shutdown_sessions(&self) {
        self.kills.fetch_add(1, Relaxed);
        self.kill.notify_waiters();
    }
}

fn initial(check: &Check) -> Health {
    let start = match check.init_state {
        InitState::Up => Start::Up,
        InitState::FullyUp => Start::FullyUp,
        InitState::Down => Start::Down,
        InitState::FullyDown => Start::FullyDown,
    };
    Health::new(check.rise, check.fall, start)
}
