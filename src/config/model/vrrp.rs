//! `vrrp`, `vrrp-group` and `vrrp-script` sections.

use crate::config::model::mail::EmailAlert;
use crate::config::raw::Place;
use crate::ids::ProxyIndex;
use crate::wire::vrrp::{Auth, Version};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One virtual router.
#[derive(Clone, Debug)]
pub struct Vrrp {
    pub place: Place,
    pub name: Arc<str>,
    pub interface: String,
    /// Carries adverts too: the master is lost when both are silent.
    pub further: Option<String>,
    /// The interface to make for the virtual MAC address.
    pub vmac: Option<String>,
    pub vrid: u8,
    pub version: Version,
    pub starts_master: bool,
    pub priority: u8,
    pub interval: Duration,
    pub preempt: bool,
    pub preempt_delay: Duration,
    pub start_delay: Duration,
    pub auth: Auth,
    /// Where adverts come from; none: the interface's first address.
    pub source: Option<IpAddr>,
    pub peers: Vec<IpAddr>,
    pub min_ttl: u8,
    pub addresses: Vec<VirtualAddress>,
    /// Nothing that the RFCs do not know.
    pub strict: bool,
    /// What is addressed to the virtual addresses is taken, not dropped.
    pub accepts: bool,
    /// These come and go with the addresses.
    pub routes: Vec<VirtualRoute>,
    pub rules: Vec<VirtualRule>,
    pub garp: Garp,
    pub tracks: Vec<Track>,
    pub notify: Notify,
    /// Mail on changes of state.
    pub mail: EmailAlert,
}

impl Vrrp {
    /// A router is of the family of its addresses.
    pub fn is_v6(&self) -> bool {
        self.addresses.first().is_some_and(|a| a.address.is_ipv6())
    }

    /// Those that carry adverts.
    pub fn interfaces(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.interface).chain(&self.further)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    pub address: IpAddr,
    pub prefix: u8,
    /// None: the router's interface.
    pub device: Option<String>,
    pub label: Option<String>,
    /// `RT_SCOPE_*` of linux/rtnetlink.h; IPv6 addresses have their own.
    pub scope: u8,
}

/// What `scope` may be, as ip-address(8) says it.
pub const SCOPES: [(&str, u8); 4] = [("global", 0), ("site", 200), ("link", 253), ("host", 254)];

/// A network, or one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRoute {
    /// As it was written.
    pub text: String,
    /// None: the default route.
    pub to: Option<Prefix>,
    pub via: Option<IpAddr>,
    pub device: Option<String>,
    pub source: Option<IpAddr>,
    pub metric: Option<u32>,
    pub table: u32,
}

impl VirtualRoute {
    /// All addresses it names.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.to.map(|to| to.address).into_iter().chain(self.via).chain(self.source)
    }
}

/// Which table packets are routed by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRule {
    /// As it was written.
    pub text: String,
    pub from: Option<Prefix>,
    pub to: Option<Prefix>,
    /// The one they come in by.
    pub interface: Option<String>,
    pub mark: Option<u32>,
    pub table: u32,
    pub priority: Option<u32>,
}

impl VirtualRule {
    /// All addresses it names.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.from.into_iter().chain(self.to).map(|prefix| prefix.address)
    }
}

/// How the addresses are announced: gratuitous ARP, unsolicited neighbour advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garp {
    /// A second burst comes this long after the first; zero: none.
    pub delay: Duration,
    /// Packets in a burst.
    pub repeat: u32,
    /// While master, a burst every so often; zero: none.
    pub refresh: Duration,
    /// Packets in each of those.
    pub refresh_repeat: u32,
    /// When a lower master is heard: packets in a burst, and in a second one that comes so long after it; zero: none.
    pub lower_repeat: u32,
    pub lower_delay: Duration,
}

impl Default for Garp {
    /// keepalived's.
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            repeat: 5,
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_repeat: 5,
            lower_delay: Duration::from_secs(5),
        }
    }
}

/// What a router's priority follows. Weight 0: its failure is a fault. A positive weight is added while it is well, a
/// negative one while it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    pub what: Tracked,
    pub weight: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    Interface(String),
    /// Place in the configuration's scripts.
    Script(usize),
    /// Well while at least so many servers are usable.
    Backend {
        proxy: ProxyIndex,
        min_up: usize,
    },
    /// Well while it accepts connections.
    Frontend(ProxyIndex),
    /// Well while `mode l4` forwards, and a service of it has so many usable servers.
    L4(Option<(ProxyIndex, usize)>),
    /// The number in it, times the weight, is added; with weight 0 a number other than 0 is a fault.
    File(PathBuf),
    /// Well while so many processes of the name run.
    Process {
        name: String,
        min_up: usize,
    },
}

/// Whom programs run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    pub user: String,
    /// None: the user's own.
    pub group: Option<String>,
}

/// Programs to run on a change of state: words, without a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    pub master: Option<Vec<String>>,
    pub backup: Option<Vec<String>>,
    pub fault: Option<Vec<String>>,
    pub stop: Option<Vec<String>>,
    pub any: Option<Vec<String>>,
    pub user: Option<RunAs>,
}

#[derive(Clone, Debug)]
pub struct VrrpScript {
    pub name: Arc<str>,
    pub command: Vec<String>,
    pub user: Option<RunAs>,
    pub interval: Duration,
    pub timeout: Duration,
    pub rise: u32,
    pub fall: u32,
    pub weight: i32,
    /// Counts as failing until it passed `rise` times.
    pub init_fail: bool,
}

#[derive(Clone, Debug)]
pub struct VrrpGroup {
    pub name: Arc<str>,
    /// Places in the configuration's routers.
    pub members: Vec<usize>,
    pub notify: Notify,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct VrrpConfig {
    pub routers: Vec<Vrrp>,
    pub groups: Vec<VrrpGroup>,
    pub scripts: Vec<VrrpScript>,
}

impl VrrpConfig {
    /// The virtual addresses of all routers.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.routers.iter().flat_map(|r| &r.addresses).map(|a| a.address).collect()
    }
}
