//! What the maps shall hold: services and their servers' health in, records, lists and tables out. Nothing here changes a
//! map; [`super::reconcile`] says what must be written to get from one plan to the next.

use super::abi::{
    ADMIT_ALL, Address, AddressKey, Index, MEMBERS_MAX, Member, Mode, NO_SERVER, Origin, SLOTS_MAX,
    Scheduler as Way, Server, Service, hash, server_flag, service_flag,
};
use super::ids::Ids;
use super::parity::CATCH_UP;
use super::write::{ServerId, ServiceId};
use crate::balance::l4::{Scheduler, hashed, maglev, turns};
use crate::config::model::l4::{Encapsulation, Forward, L4, OnDown, OnRemove, Protocol};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A service as it is to be, whoever asked for it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is known by from one plan to the next.
    pub name: Arc<str>,
    /// Port 0 stands for every port.
    pub addresses: Vec<(SocketAddr, Protocol)>,
    pub settings: Arc<L4>,
    /// Ties and slow starts as IPVS has them: none of ours.
    pub compat_ipvs: bool,
    pub servers: Vec<WantedServer>,
    /// `minimum up` is met, or there is none. Below it, a backup server serves if there is one.
    pub whole: bool,
}

#[derive(Clone, Debug)]
pub struct WantedServer {
    pub name: Arc<str>,
    /// Port 0: the client's is kept.
    pub address: SocketAddr,
    pub forward: Forward,
    /// 0 to 65535.
    pub weight: u32,
    /// How far its slow start is, in percent; 100 when it has none.
    pub ramp: u32,
    /// Its slow start is over, and it has fewer flows than its share: it gets no more than twice that share of the new ones.
    pub catching_up: bool,
    pub state: ServerState,
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    pub backup: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    Up,
    /// In maintenance or drained: no new flows, those it has go on.
    Drained,
    /// Its checks failed.
    Down,
}

/// The maps' contents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub addresses: HashMap<AddressKey, ServiceId>,
    pub services: BTreeMap<ServiceId, Entry>,
    /// Those that are gone stay until no flow has them.
    pub servers: BTreeMap<ServerId, Server>,
    /// nat: whose answers come from where, by their places in the map.
    pub origins: BTreeMap<u32, Origin>,
}

/// A service with its lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    pub service: Service,
    pub members: Vec<Member>,
    pub slots: Vec<u32>,
    pub sources: Vec<Address>,
}

/// Ports of fullnat's addresses.
const FULLNAT_PORTS: (u16, u16) = (1024, 65_535);

/// The plan for the services, and a sentence for each that does not fit into the maps. Identities are kept in `ids`.
#[must_use]
pub fn plan(wanted: &[Wanted], ids: &mut Ids) -> (Plan, Vec<String>) {
    let (mut plan, mut problems) = (Plan::default(), Vec::new());
    for service in wanted {
        match add(&mut plan, service, ids) {
            Ok(()) => {}
            Err(problem) => {
                problems.push(format!("mode l4 : '{}' is not forwarded: {problem}", service.name))
            }
        }
    }
    for id in ids.sole() {
        if let Some(server) = plan.servers.get_mut(&id) {
            server.flags |= server_flag::SOLE;
        }
    }
    ids.end_of_plan(&mut plan);
    (plan, problems)
}

fn add(plan: &mut Plan, wanted: &Wanted, ids: &mut Ids) -> Result<(), String> {
    if wanted.servers.len() > MEMBERS_MAX {
        return Err(format!("it has more than {MEMBERS_MAX} servers"));
    }
    let addresses: Vec<AddressKey> = wanted
        .addresses
        .iter()
        .map(|(address, protocol)| AddressKey::new(*address, number(*protocol)))
        .collect();
    let id = ids.service(&wanted.name, &addresses).ok_or("there are too many services")?;
    let mut known = Vec::with_capacity(wanted.servers.len());
    for server in &wanted.servers {
        let server_id = ids
            .server(&wanted.name, server.name.as_ref(), server.address, mode(server.forward))
            .ok_or("there are too many servers")?;
        if server.forward == Forward::Nat {
            ids.claim(origins(&addresses, server, server_id), server_id);
        }
        let record = record(wanted, server, id);
        plan.servers.insert(server_id, record);
        ids.note(server_id, record, if_gone(wanted.settings.on_remove));
        known.push((server_id, server));
    }
    plan.services.insert(id, entry(wanted, &serving(wanted, &known)));
    ids.leave_orphans(id, if_gone(wanted.settings.on_remove));
    plan.addresses.extend(addresses.into_iter().map(|key| (key, id)));
    Ok(())
}

/// Where answers of a nat server come from, and of which virtual address they are; `None`: that is not known beforehand.
fn origins(addresses: &[AddressKey], server: &WantedServer, id: ServerId) -> Option<Vec<Origin>> {
    let origin = |vip: &AddressKey| {
        let port = server.address.port().to_be();
        (vip.port != 0).then_some(Origin {
            from: server.address.ip().into(),
            address: vip.address,
            from_port: if port == 0 { vip.port } else { port },
            port: vip.port,
            server: id.0,
            protocol: vip.protocol,
            pad: [0; 3],
        })
    };
    addresses.iter().map(origin).collect()
}

/// What a server's flows learn when it is removed. Those of TCP go on.
fn if_gone(on_remove: OnRemove) -> u8 {
    match on_remove {
        OnRemove::Cut => server_flag::CUT_UDP | server_flag::END_UDP,
        OnRemove::Expire => server_flag::CUT_UDP,
        OnRemove::Drain => 0,
    }
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

pub(super) fn mode(forward: Forward) -> Mode {
    match forward {
        Forward::Nat => Mode::Nat,
        Forward::DirectRouting => Mode::Dr,
        Forward::Tunnel(_) => Mode::Tun,
        Forward::FullNat { .. } => Mode::FullNat,
    }
}

fn record(wanted: &Wanted, server: &WantedServer, service: ServiceId) -> Server {
    let down = server.state == ServerState::Down;
    let mut flags = 0;
    if down && !wanted.settings.quiesce_on_down {
        flags |= server_flag::CUT;
    }
    if server.forward == (Forward::FullNat { toa: true }) {
        flags |= server_flag::TOA;
    }
    let moves = wanted.settings.persist.is_none_or(|p| p.on_down == OnDown::Move);
    if moves && (server.state != ServerState::Up || server.weight == 0) {
        flags |= server_flag::LEAVE;
    }
    Server {
        address: server.address.ip().into(),
        port: server.address.port().to_be(),
        mode: mode(server.forward) as u8,
        flags,
        service: service.0,
        upper: server.upper_threshold,
        lower: server.lower_threshold,
        tunnel_port: match server.forward {
            Forward::Tunnel(Encapsulation::Gue { port }) => port.to_be(),
            _ => 0,
        },
        pad: 0,
        local: Address::default(),
    }
}

/// A server that has a place among those of the service, and its weight there.
type Place<'a> = (ServerId, &'a WantedServer, u32);

/// Who serves: the servers that are not backup, or else the first backup that is up. One that is drained keeps its place
/// with weight 0, so that hash tables stay as they are for the others.
fn serving<'a>(wanted: &Wanted, known: &[(ServerId, &'a WantedServer)]) -> Vec<Place<'a>> {
    let usable = |s: &WantedServer| s.state == ServerState::Up && s.weight > 0;
    let backup = known.iter().find(|(_, s)| s.backup && usable(s));
    let own_up = known.iter().any(|(_, s)| !s.backup && usable(s));
    if let Some((id, server)) = backup.filter(|_| !own_up || !wanted.whole) {
        return vec![(*id, *server, server.weight)];
    }
    let down = |s: &WantedServer| s.state == ServerState::Down && !wanted.settings.quiesce_on_down;
    let own = known.iter().filter(|(_, s)| !s.backup && !down(s));
    own.map(|(id, s)| (*id, *s, if s.state == ServerState::Up { s.weight } else { 0 })).collect()
}

fn entry(wanted: &Wanted, places: &[Place]) -> Entry {
    let settings = &wanted.settings;
    let (scheduler, index) = way(settings);
    let members = members(wanted, places);
    let slots = if scheduler == Way::ByTable { slots(wanted, places) } else { Vec::new() };
    let sources: Vec<Address> = settings.sources.iter().take(MEMBERS_MAX).map(|a| (*a).into()).collect();
    let mut flags = 0;
    for (on, flag) in [
        (settings.one_packet, service_flag::ONE_PACKET),
        (wanted.compat_ipvs, service_flag::IPVS_TIES),
        (settings.flags.fallback, service_flag::FALLBACK),
    ] {
        flags |= if on { flag } else { 0 };
    }
    let v4 = wanted.addresses.first().is_none_or(|(a, _)| a.is_ipv4());
    let service = Service {
        scheduler: scheduler as u8,
        index: index as u8,
        flags,
        members: length(&members),
        slots: length(&slots),
        timeout_tcp: seconds(settings.timeouts.tcp),
        timeout_tcpfin: seconds(settings.timeouts.tcpfin),
        timeout_udp: seconds(settings.timeouts.udp),
        persist: settings.persist.map_or(0, |p| seconds(p.timeout)),
        persist_mask: settings.persist.map_or_else(Address::default, |p| mask(v4, p.prefix)),
        sources: length(&sources),
        port_first: if sources.is_empty() { 0 } else { FULLNAT_PORTS.0 },
        port_last: if sources.is_empty() { 0 } else { FULLNAT_PORTS.1 },
    };
    Entry { service, members, slots, sources }
}

fn way(settings: &L4) -> (Way, Index) {
    let source = if settings.flags.port { Index::SourcePort } else { Index::Source };
    match settings.scheduler {
        Scheduler::Rr | Scheduler::Wrr => (Way::ByTable, Index::Turn),
        Scheduler::Sh | Scheduler::Mh => (Way::ByTable, source),
        Scheduler::Dh => (Way::ByTable, Index::Destination),
        Scheduler::Lc => (Way::Lc, Index::Turn),
        Scheduler::Wlc => (Way::Wlc, Index::Turn),
        Scheduler::Sed => (Way::Sed, Index::Turn),
        Scheduler::Nq => (Way::Nq, Index::Turn),
        Scheduler::Fo => (Way::Fo, Index::Turn),
        Scheduler::Ovf => (Way::Ovf, Index::Turn),
        Scheduler::Lblc => (Way::Lblc, Index::Turn),
        Scheduler::Lblcr => (Way::Lblcr, Index::Turn),
        Scheduler::Twos => (Way::Twos, Index::Turn),
    }
}

/// Those that may get new flows. During its slow start a server is admitted to its share of them, times how far it is; after that, until it
/// has as many flows as is its share, to twice that.
fn members(wanted: &Wanted, places: &[Place]) -> Vec<Member> {
    let total: u64 = places.iter().map(|(_, _, weight)| u64::from(*weight)).sum();
    let admission = |server: &WantedServer, weight: u32| {
        let slow = server.ramp < 100;
        if wanted.compat_ipvs || total == 0 || !slow && !server.catching_up {
            return ADMIT_ALL;
        }
        let times = if slow { u64::from(server.ramp) } else { 100 * CATCH_UP };
        let share = u64::from(ADMIT_ALL) * u64::from(weight) * times / (100 * total);
        u32::try_from(share).unwrap_or(ADMIT_ALL).min(ADMIT_ALL)
    };
    let serving = places.iter().filter(|(_, _, weight)| *weight > 0);
    serving
        .map(|(id, server, weight)| Member {
            server: id.0,
            weight: *weight,
            admission: admission(server, *weight),
        })
        .collect()
}

fn slots(wanted: &Wanted, places: &[Place]) -> Vec<u32> {
    let id = |place: usize| places.get(place).map_or(NO_SERVER, |(id, _, _)| id.0);
    let weights: Vec<u32> = places.iter().map(|(_, _, weight)| *weight).collect();
    let ramps = !wanted.compat_ipvs && places.iter().any(|(_, server, _)| server.ramp < 100);
    // A share of a turn cannot be had: with a slow start under way, weights are counted in hundredths.
    let ramped = |weight: u32, server: &WantedServer| weight.min(655) * server.ramp.min(100);
    let hashed = |table: Vec<Option<usize>>| table.into_iter().map(|p| p.map_or(NO_SERVER, id)).collect();
    match wanted.settings.scheduler {
        Scheduler::Rr if !ramps => turns::round_robin(&weights).into_iter().map(id).collect(),
        Scheduler::Rr => {
            let shares: Vec<u32> = places.iter().map(|(_, s, weight)| ramped((*weight).min(1), s)).collect();
            turns::weighted(&shares, SLOTS_MAX).into_iter().map(id).collect()
        }
        Scheduler::Wrr if ramps => {
            let shares: Vec<u32> = places.iter().map(|(_, s, weight)| ramped(*weight, s)).collect();
            turns::weighted(&shares, SLOTS_MAX).into_iter().map(id).collect()
        }
        Scheduler::Wrr => turns::weighted(&weights, SLOTS_MAX).into_iter().map(id).collect(),
        Scheduler::Sh => hashed(hashed::source(&weights)),
        Scheduler::Dh => hashed(hashed::destination(&weights)),
        _ => {
            let places: Vec<maglev::Place> = places
                .iter()
                .map(|(_, server, weight)| {
                    let (address, port) = (Address::from(server.address.ip()), server.address.port());
                    maglev::Place {
                        weight: *weight,
                        hashes: (hash(address, port, 1), hash(address, port, 2)),
                    }
                })
                .collect();
            hashed(maglev::table(&places, maglev::SLOTS))
        }
    }
}

/// The first bits of an address; IPv4's begin after those that map it.
fn mask(v4: bool, prefix: u8) -> Address {
    let kept = |bits: u8, width: u8| u128::MAX.checked_shl(u32::from(width - bits.min(width))).unwrap_or(0);
    if v4 {
        let bits = u32::try_from(kept(prefix, 32) & u128::from(u32::MAX)).unwrap_or(u32::MAX);
        let mut mask = [0xff; 16];
        mask[12..].copy_from_slice(&Ipv4Addr::from(bits).octets());
        return Address(mask);
    }
    IpAddr::from(Ipv6Addr::from(kept(prefix, 128))).into()
}

/// A time in whole seconds, at least one.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}

fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
