//! The layout of the maps, field by field as in `bpf/abi.h`, which says what each field means. Sizes are asserted here and there.
//!
//! Addresses are 16 bytes with IPv4 mapped; ports in keys and servers are in network order; everything else is the machine's.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How many services there can be.
pub const SERVICES: u32 = 1024;
/// How many servers, over all services.
pub const SERVERS: u32 = 16384;
/// How many servers one service can have.
pub const MEMBERS_MAX: usize = 1024;
/// How long a service's table can be.
pub const SLOTS_MAX: usize = 1 << 20;
/// A slot without a server.
pub const NO_SERVER: u32 = u32::MAX;
/// [`Member::admission`] of a server without a limit.
pub const ADMIT_ALL: u32 = 65536;

/// [`Service::flags`].
pub mod service_flag {
    /// Each datagram is scheduled by itself.
    pub const ONE_PACKET: u16 = 1;
    /// Equal load: the first listed, as IPVS; without, the greater weight.
    pub const IPVS_TIES: u16 = 2;
    /// A hashed slot without a usable server: hash again.
    pub const FALLBACK: u16 = 4;
}

/// [`Server::flags`].
pub mod server_flag {
    /// Flows end at their next packet.
    pub const CUT: u8 = 1;
    /// Persistence does not bring clients to it: it is down and its service moves them.
    pub const LEAVE: u8 = 2;
    /// As `CUT`, for UDP alone: the server was removed.
    pub const CUT_UDP: u8 = 4;
    /// For the process: it ends the server's UDP flows as soon as it writes this.
    pub const END_UDP: u8 = 8;
    /// fullnat: it is told the client's address in a TCP option.
    pub const TOA: u8 = 16;
    /// nat: answers of its flows are found by where they come from.
    pub const SOLE: u8 = 32;
}

/// Flags within [`Flow::word`].
pub mod flow_flag {
    /// Counted in a template.
    pub const PERSISTENT: u8 = 1;
    /// A reply's entry without a forward one: each datagram of its service is scheduled for itself.
    pub const ONE_PACKET: u8 = 2;
    /// The client's address goes into its first segments.
    pub const TOA: u8 = 4;
}

/// Numbers as in the C enum; 0 is no value, so that a zeroed record is none.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$inner])* $variant = $number,)* }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

numbers! {
    /// How a packet reaches its server.
    Mode {
        Nat = 1,
        Dr = 2,
        Tun = 3,
        FullNat = 4,
        /// The server is this host. Set by `io`, which knows the host's addresses; a plan says what is configured.
        Local = 5,
    }
}

numbers! {
    /// Who chooses the server of a new flow.
    Scheduler {
        /// A slot of the table, which [`Index`] chooses: rr, wrr, sh, dh, mh.
        ByTable = 0,
        Lc = 1,
        Wlc = 2,
        Sed = 3,
        Nq = 4,
        Fo = 5,
        Ovf = 6,
        Lblc = 7,
        Lblcr = 8,
        Twos = 9,
    }
}

numbers! {
    /// What chooses the slot of a table.
    Index {
        /// The number of the new flow, modulo the table's length.
        Turn = 0,
        Source = 1,
        SourcePort = 2,
        Destination = 3,
    }
}

numbers! {
    /// Which entry of a flow.
    Direction {
        Forward = 0,
        Reply = 1,
    }
}

numbers! {
    /// The states of IPVS; `Udp` and `Released` are ours.
    State {
        None = 0,
        Established = 1,
        SynSent = 2,
        SynRecv = 3,
        FinWait = 4,
        TimeWait = 5,
        Close = 6,
        CloseWait = 7,
        LastAck = 8,
        Listen = 9,
        SynAck = 10,
        Udp = 11,
        Released = 12,
    }
}

numbers! {
    /// Places in the map `counts`: packets that were not forwarded, and events.
    Count {
        NoServer = 0,
        NoRoute = 1,
        TableFull = 2,
        PortsExhausted = 3,
        Conflict = 4,
        Fragment = 5,
        Malformed = 6,
        Ttl = 7,
        TooBig = 8,
        NotSyn = 9,
        Rewrite = 10,
        Refused = 11,
        Cut = 12,
    }
}

impl Count {
    /// As lists and metrics have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoServer => "no_server",
            Self::NoRoute => "no_route",
            Self::TableFull => "table_full",
            Self::PortsExhausted => "ports_exhausted",
            Self::Conflict => "conflict",
            Self::Fragment => "fragment",
            Self::Malformed => "malformed",
            Self::Ttl => "ttl",
            Self::TooBig => "too_big",
            Self::NotSyn => "not_syn",
            Self::Rewrite => "rewrite",
            Self::Refused => "refused",
            Self::Cut => "cut",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Address(pub [u8; 16]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct AddressKey {
    pub address: Address,
    /// Network order; 0: every port without an entry of its own.
    pub port: u16,
    /// 6 or 17.
    pub protocol: u8,
    pub pad: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Service {
    /// [`Scheduler`].
    pub scheduler: u8,
    /// [`Index`].
    pub index: u8,
    /// [`service_flag`].
    pub flags: u16,
    /// Length of the list last written by `Write::Members`.
    pub members: u32,
    /// Length of the table last written by `Write::Table`.
    pub slots: u32,
    /// Seconds.
    pub timeout_tcp: u32,
    pub timeout_tcpfin: u32,
    pub timeout_udp: u32,
    /// Seconds a template lives after its last flow; 0: no persistence.
    pub persist: u32,
    pub persist_mask: Address,
    /// fullnat: length of the list last written by `Write::Sources`.
    pub sources: u32,
    /// fullnat: the ports to use of each of them, both inclusive, in host order.
    pub port_first: u16,
    pub port_last: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Member {
    pub server: u32,
    pub weight: u32,
    /// Share of all new flows it may get, in 1/65536 ([`ADMIT_ALL`]: any). Flow number n (from 0) may go to it when
    /// floor((n+1) * admission / 65536) > floor(n * admission / 65536); nobody else usable: the limits do not count.
    pub admission: u32,
}

/// How many of them are in one entry of the list.
pub const PAGE: usize = 8;

/// An entry of a service's list; places beyond the last member are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Members(pub [Member; PAGE]);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Server {
    pub address: Address,
    /// Network order; 0: the port the client used.
    pub port: u16,
    /// [`Mode`].
    pub mode: u8,
    /// [`server_flag`].
    pub flags: u8,
    pub service: u32,
    /// Flows from which on it is overloaded; 0: never.
    pub upper: u32,
    /// Flows below which it no longer is; 0: three quarters of `upper`.
    pub lower: u32,
    /// Network order; UDP encapsulation (GUE) for `Mode::Tun`; 0: plain IPIP.
    pub tunnel_port: u16,
    pub pad: u16,
    /// tun: the director's address in the outer header. Set by `io`, which knows the host's addresses.
    pub local: Address,
}

/// What a server carries now; written by the packet programs only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Load {
    pub active: u32,
    pub inactive: u32,
    /// Templates that name it.
    pub persistent: u32,
    pub overloaded: u32,
}

/// What a server carried, per CPU. A service's figures are the sums of its servers'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Traffic {
    pub flows: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
}

/// A packet's addresses as it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    pub source: Address,
    pub destination: Address,
    pub source_port: u16,
    pub destination_port: u16,
    pub protocol: u8,
    pub pad: [u8; 3],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// server << 32 | flags << 8 | state; of the forward entry.
    pub word: u64,
    /// `CLOCK_MONOTONIC_COARSE` of the last packet, ns.
    pub seen: u64,
    /// Where its packets leave: the packet programs' own (`struct l4_route`).
    pub route: [u32; 9],
    /// The kernel's jiffies when a packet was last looked at closely.
    pub tick: u32,
    /// What the packet's addresses become.
    pub source: Address,
    pub destination: Address,
    pub source_port: u16,
    pub destination_port: u16,
    pub service: u32,
    /// [`Direction`].
    pub direction: u8,
    /// [`Mode`].
    pub mode: u8,
    /// tun: [`Server::tunnel_port`] as it was when the flow began.
    pub tunnel_port: u16,
    /// When another director told of it last, in units of 2^20 ns; 0: never.
    pub told: u32,
}

/// How many places there are for origins.
pub const ORIGINS: u32 = 16_384;

/// Where a nat server's answers come from, and the virtual address they are of. Ports are in network order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Origin {
    pub from: Address,
    pub address: Address,
    pub from_port: u16,
    pub port: u16,
    /// Whose it is.
    pub server: u32,
    /// 0: nobody's.
    pub protocol: u8,
    pub pad: [u8; 3],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct TemplateKey {
    /// The client's address under [`Service::persist_mask`].
    pub client: Address,
    pub service: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Template {
    /// When its last flow began or ended.
    pub seen: u64,
    /// server << 32 | live flows that count on it.
    pub word: u64,
}

/// The process the maps are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Owner {
    pub pid: u64,
    /// In ticks since boot.
    pub started: u64,
    /// What it changed of the host, to be put back at the end: bits of `l4::io::host`.
    pub turned_on: u64,
}

/// What the programs `expire` and `forget` are given in place of a packet: this, then `count` keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Expire {
    /// `CLOCK_MONOTONIC_COARSE`, ns.
    pub now: u64,
    /// 1: whatever their age.
    pub force: u32,
    pub count: u32,
}

/// How many keys one call of `expire` takes.
pub const EXPIRE_MAX: usize = 80;
/// How many flows or templates one call of `learn` or `recall` takes.
pub const TOLD_MAX: usize = 20;

macro_rules! plain_bytes {
    ($($name:ident)*) => { $(
        // SAFETY: all of these are `repr(C)`, hold integers and arrays of them only, and have no padding (the sizes below are the sums of
        // their fields), so every byte is initialised and any bytes make a value.
        #[allow(unsafe_code)]
        unsafe impl aya::Pod for $name {}
    )* };
}

plain_bytes!(Address AddressKey Service Member Members Server Load Traffic FlowKey Flow Origin TemplateKey Template Owner);

const _: () = {
    assert!(size_of::<Expire>() == 16);
    assert!(size_of::<AddressKey>() == 20);
    assert!(size_of::<Service>() == 52);
    assert!(size_of::<Member>() == 12);
    assert!(size_of::<Members>() == 96);
    assert!(size_of::<Server>() == 52);
    assert!(size_of::<Load>() == 16);
    assert!(size_of::<Traffic>() == 40);
    assert!(size_of::<FlowKey>() == 40);
    assert!(size_of::<Flow>() == 104);
    assert!(size_of::<Origin>() == 44);
    assert!(size_of::<TemplateKey>() == 20);
    assert!(size_of::<Template>() == 16);
    assert!(size_of::<Owner>() == 24);
};

impl Address {
    #[must_use]
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        })
    }
}

impl AddressKey {
    /// `protocol` is 6 (TCP) or 17 (UDP).
    #[must_use]
    pub fn new(address: SocketAddr, protocol: u8) -> Self {
        Self { address: address.ip().into(), port: address.port().to_be(), protocol, pad: 0 }
    }
}

impl FlowKey {
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Self {
        Self {
            source: source.ip().into(),
            destination: destination.ip().into(),
            source_port: source.port().to_be(),
            destination_port: destination.port().to_be(),
            protocol,
            pad: [0; 3],
        }
    }

    #[must_use]
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(self.source.ip(), u16::from_be(self.source_port))
    }

    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.destination.ip(), u16::from_be(self.destination_port))
    }
}

impl FlowKey {
    /// As it lies in memory.
    #[must_use]
    pub fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..16].copy_from_slice(&self.source.0);
        bytes[16..32].copy_from_slice(&self.destination.0);
        bytes[32..34].copy_from_slice(&self.source_port.to_ne_bytes());
        bytes[34..36].copy_from_slice(&self.destination_port.to_ne_bytes());
        bytes[36] = self.protocol;
        bytes
    }
}

impl TemplateKey {
    /// As it lies in memory.
    #[must_use]
    pub fn bytes(&self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.client.0);
        bytes[16..].copy_from_slice(&self.service.to_ne_bytes());
        bytes
    }
}

impl Template {
    #[must_use]
    pub fn server(&self) -> u32 {
        (self.word >> 32) as u32
    }

    /// Live flows that count on it.
    #[must_use]
    pub fn flows(&self) -> u32 {
        self.word as u32
    }
}

impl Flow {
    /// As it lies in memory, without a route.
    #[must_use]
    pub fn bytes(&self) -> [u8; 104] {
        let mut bytes = [0; 104];
        bytes[..8].copy_from_slice(&self.word.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.seen.to_ne_bytes());
        bytes[56..72].copy_from_slice(&self.source.0);
        bytes[72..88].copy_from_slice(&self.destination.0);
        bytes[88..90].copy_from_slice(&self.source_port.to_ne_bytes());
        bytes[90..92].copy_from_slice(&self.destination_port.to_ne_bytes());
        bytes[92..96].copy_from_slice(&self.service.to_ne_bytes());
        (bytes[96], bytes[97]) = (self.direction, self.mode);
        bytes[98..100].copy_from_slice(&self.tunnel_port.to_ne_bytes());
        bytes[100..].copy_from_slice(&self.told.to_ne_bytes());
        bytes
    }

    /// [`flow_flag`].
    #[must_use]
    pub fn flags(&self) -> u8 {
        (self.word >> 8) as u8
    }

    #[must_use]
    pub fn server(&self) -> u32 {
        (self.word >> 32) as u32
    }

    #[must_use]
    pub fn state(&self) -> Option<State> {
        State::from_number(self.word as u8)
    }
}

impl Expire {
    /// As the program reads it.
    #[must_use]
    pub fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.now.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.force.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.count.to_ne_bytes());
        bytes
    }
}

/// What tables are hashed by; the packet programs compute the same (`l4_hash` in bpf/schedule.c). `port` is in host order, 0 where it does
/// not count; `round` is 0, and goes up where a fallback hashes again. The slot is the result modulo the table's length.
#[must_use]
pub fn hash(address: Address, port: u16, round: u32) -> u32 {
    let [high, low] = [&address.0[..8], &address.0[8..]]
        .map(|half| half.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte)));
    let mut h = (high ^ u64::from(round)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    h ^= h >> 32;
    h = (h ^ low ^ u64::from(port) << 16).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    h ^= h >> 29;
    h = h.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (h ^ h >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from(ip).ip(), ip);
        }
        let key = FlowKey::new("192.0.2.1:1234".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap(), 6);
        assert_eq!(key.source().to_string(), "192.0.2.1:1234");
        assert_eq!(key.destination().to_string(), "[2001:db8::1]:80");
    }

    #[test]
    fn words_hold_server_and_state() {
        let flow = Flow { word: 7 << 32 | 1 << 8 | 3, ..Flow::default() };
        assert_eq!((flow.server(), flow.state()), (7, Some(State::SynRecv)));
    }

    #[test]
    fn hashes_spread_neighbours_over_a_small_table() {
        let mut slots = [0; 16];
        for host in 0..=255 {
            slots[hash(IpAddr::from([10, 0, 0, host]).into(), 0, 0) as usize % 16] += 1;
        }
        assert!(slots.iter().all(|n| (4..40).contains(n)), "{slots:?}");
    }
}
