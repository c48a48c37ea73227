//! The virtual routers of this node as the administration sees them, and what it tells them.
//!
//! The routers live in their engine, on the control thread; questions and orders are left at a desk there and answered in turn, so
//! that what is shown is what is true when it is asked.

use super::Generation;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait.
const WAITING: usize = 64;

/// Names of the states a router can be in.
pub const STATES: [&str; 4] = ["stopped", "fault", "backup", "master"];

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterView {
    pub name: Arc<str>,
    pub group: Option<Arc<str>>,
    pub interface: String,
    pub vrid: u8,
    /// Of the protocol.
    pub version: u8,
    pub interval: Duration,
    pub preempt: String,
    /// Where adverts come from and go to.
    pub source: IpAddr,
    pub destinations: Vec<IpAddr>,
    /// `10.0.0.1/24`, with its device and label.
    pub addresses: Vec<String>,
    /// One of [`STATES`].
    pub state: &'static str,
    /// Why it cannot serve.
    pub fault: Option<String>,
    /// Told to stay backup.
    pub yields: bool,
    /// What is advertised; configured, or set since; and configured.
    pub priority: u8,
    pub base: u8,
    pub configured: u8,
    pub trackers: Vec<TrackerView>,
    /// The master it last heard.
    pub heard: Option<HeardView>,
    /// Another master was seen while it was master, so long ago.
    pub conflict: Option<(HeardView, Duration)>,
    pub change: Option<ChangeView>,
    pub transitions: u64,
    pub counts: CountsView,
}

/// What a router follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerView {
    /// `script chk`, `interface eth1`
    pub name: String,
    pub weight: i32,
    pub well: bool,
    /// What it adds to the priority now.
    pub part: i32,
    /// Why it fails.
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardView {
    pub address: IpAddr,
    pub priority: u8,
    /// Since its last advert.
    pub age: Duration,
}

/// The last change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeView {
    pub from: &'static str,
    pub reason: String,
    pub at: SystemTime,
    pub age: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountsView {
    pub sent: u64,
    pub received: u64,
    pub stops_sent: u64,
    pub stops_received: u64,
    pub became_master: u64,
    pub conflicts: u64,
    /// Adverts not listened to, by reason.
    pub dropped: Vec<(&'static str, u64)>,
}

impl RouterView {
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.state == "master"
    }

    /// Another master is there now, or was a moment ago.
    #[must_use]
    pub fn is_split(&self) -> bool {
        let recent = (self.interval * 5).max(Duration::from_secs(10));
        self.is_master() && self.conflict.as_ref().is_some_and(|(_, ago)| *ago <= recent)
    }

    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.iter().map(|(_, n)| n).sum()
    }
}

/// What the administrator wants of a router, and of those in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take over now.
    Master,
    /// Hand over, and do not take over from a living master.
    Backup,
    /// Give the addresses up, whoever takes them.
    Fault,
    /// The end of `Backup` and `Fault`.
    Ready,
    /// A new base priority, of this router alone.
    Priority(u8),
}

/// Something left at the desk, with the way back.
#[derive(Debug)]
pub enum Call {
    Show(oneshot::Sender<Vec<RouterView>>),
    /// For the router of this name.
    Order(Arc<str>, Order, oneshot::Sender<Result<(), String>>),
}

#[derive(Debug)]
pub struct Desk {
    calls: mpsc::Sender<Call>,
    /// Until the engine takes it.
    waiting: Mutex<Option<mpsc::Receiver<Call>>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (calls, waiting) = mpsc::channel(WAITING);
        Self { calls, waiting: Mutex::new(Some(waiting)) }
    }
}

impl Desk {
    /// For the engine, once.
    #[must_use]
    pub fn attend(&self) -> Option<mpsc::Receiver<Call>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Generation {
    /// The virtual routers in the order of the configuration; none when none are configured, or when they have stopped.
    pub async fn vrrp_routers(&self) -> Vec<RouterView> {
        if self.config.vrrp.routers.is_empty() {
            return Vec::new();
        }
        let (tell, told) = oneshot::channel();
        if self.process.vrrp.calls.send(Call::Show(tell)).await.is_err() {
            return Vec::new();
        }
        told.await.unwrap_or_default()
    }

    /// Gives the router at place `at` an order.
    ///
    /// # Errors
    /// Why it was not followed.
    pub async fn vrrp_order(&self, at: usize, order: Order) -> Result<(), String> {
        let gone = || "The virtual routers have stopped.".to_owned();
        let Some(router) = self.config.vrrp.routers.get(at) else {
            return Err("No such vrrp section.".to_owned());
        };
        let (tell, told) = oneshot::channel();
        let name = Arc::clone(&router.name);
        self.process.vrrp.calls.send(Call::Order(name, order, tell)).await.map_err(|_| gone())?;
        told.await.unwrap_or_else(|_| Err(gone()))
    }
}
