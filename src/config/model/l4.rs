//! `mode l4`: services whose packets are forwarded in the kernel.

use crate::balance::l4::Scheduler;
use crate::config::raw::Place;
use crate::ids::ProxyIndex;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What `global` says about `mode l4`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L4Global {
    pub hook: Hook,
    /// `l4-compat ipvs`: ties are broken in the order of the list alone, and a server that comes back under a
    /// scheduler that counts connections gets them all until it has as many as the others.
    pub compat_ipvs: bool,
    /// `l4-sync`
    pub sync: Option<Arc<Sync>>,
}

/// Whom flows are told, so that another director can go on with them (`l4-sync`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// One director, or a group.
    pub peer: SocketAddr,
    /// Where datagrams come from, and are heard.
    pub source: Option<IpAddr>,
    pub interface: Option<Box<str>>,
    /// Signs them.
    pub key: Box<str>,
}

/// Where the program is attached (`l4-hook`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hook {
    /// The best that the interface can do.
    #[default]
    Auto,
    Tc,
    Xdp,
}

/// One service: every address of a `listen`, or of a `frontend` and its `default_backend`. Its servers, their weights
/// and states are those of the proxy `back`, in the same order.
#[derive(Clone, Debug)]
pub struct Service {
    /// The section with the addresses.
    pub front: ProxyIndex,
    /// The section with the servers; the same one for a `listen`.
    pub back: ProxyIndex,
    /// At least one. All are of one family, and no other service has any of them.
    pub vips: Vec<Vip>,
    pub settings: Arc<L4>,
}

/// A virtual address, as a `bind` line says it.
#[derive(Clone, Debug)]
pub struct Vip {
    /// One address, never "any".
    pub address: IpAddr,
    /// 0: every port that no other service of the address has.
    pub port: u16,
    pub protocol: Protocol,
    /// The line's `name`.
    pub name: Option<Arc<str>>,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// What a `listen` or `backend` in `mode l4` says apart from its servers.
#[derive(Clone, Debug)]
pub struct L4 {
    /// What servers do that do not say it themselves.
    pub forward: Forward,
    pub scheduler: Scheduler,
    pub flags: Flags,
    pub persist: Option<Persist>,
    pub timeouts: FlowTimeouts,
    /// `source`: fullnat's local addresses, in order and without duplicates.
    pub sources: Vec<IpAddr>,
    /// `option one-packet`: each datagram is scheduled for itself.
    pub one_packet: bool,
    /// `option quiesce-on-down`: flows of a server that goes down are left to it.
    pub quiesce_on_down: bool,
    /// What becomes of UDP flows to a server that is no more.
    pub on_remove: OnRemove,
    pub minimum_up: Option<MinimumUp>,
}

/// How packets reach a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Forward {
    /// Both ways through the director; the server sees the client's address and its own port.
    Nat,
    /// The packet as it is, to the server's MAC address. ipvsadm's default too.
    #[default]
    DirectRouting,
    Tunnel(Encapsulation),
    /// Both ways through the director; the server sees one of the director's addresses.
    FullNat {
        /// The client's address travels in a TCP option.
        toa: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// IP in IP: protocol 4, or 41 for IPv6.
    Ip,
    /// Generic UDP Encapsulation to this port.
    Gue { port: u16 },
}

/// `sh-port`, `mh-port`; `sh-fallback`, `mh-fallback`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The client's port is hashed too.
    pub port: bool,
    /// When the server that the hash chose is not available, another one is.
    pub fallback: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persist {
    pub timeout: Duration,
    /// Clients whose first `prefix` bits are equal go together: 32 or 128 for each by itself.
    pub prefix: u8,
    pub on_down: OnDown,
}

/// What becomes of clients whose server is down or drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDown {
    /// Their next flow goes to another server, and they stay there.
    #[default]
    Move,
    /// Their flows wait for the server.
    Keep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRemove {
    /// They end at once.
    #[default]
    Cut,
    /// They go on until they are silent for their timeout.
    Drain,
    /// New packets are scheduled anew, as if the flow had ended.
    Expire,
}

/// Silence after which a flow is forgotten; the names are those of `ipvsadm --set`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTimeouts {
    pub tcp: Duration,
    /// After a FIN.
    pub tcpfin: Duration,
    pub udp: Duration,
}

impl Default for FlowTimeouts {
    /// IPVS's.
    fn default() -> Self {
        Self {
            tcp: Duration::from_secs(900),
            tcpfin: Duration::from_secs(120),
            udp: Duration::from_secs(300),
        }
    }
}

/// `minimum up`: how many servers make the service whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinimumUp {
    pub servers: u32,
    /// The service is lost below `servers - hysteresis`, and whole again from `servers + hysteresis` on.
    pub hysteresis: u32,
    /// Run when the service is whole again; program and arguments.
    pub on_up: Option<Vec<String>>,
    /// Run when it is lost.
    pub on_down: Option<Vec<String>>,
}

/// What a `server` line says in `mode l4` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerL4 {
    /// Always set in a service's servers.
    pub forward: Option<Forward>,
    /// No new flows from this many on; 0: no limit.
    pub upper_threshold: u32,
    /// After that, none until there are fewer than this; 0: three quarters of the upper one.
    pub lower_threshold: u32,
}
