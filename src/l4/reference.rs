//! What becomes of a packet, in plain Rust: what the packet programs must do, and the answer to "where would this go".
//!
//! It stands on a [`Plan`] and on what the maps hold beside it: loads, turns, flows and templates. Times are nanoseconds,
//! as in the maps.

use super::abi::{
    Address, AddressKey, FlowKey, Index, Load, Mode, NO_SERVER, Scheduler as Way, Server, Service, State,
    TemplateKey, hash, server_flag, service_flag,
};
use super::plan::{Entry, Plan};
use super::write::{ServerId, ServiceId};
use crate::balance::l4::counting::{self, Draws};
use crate::balance::l4::locality::{Lblc, Lblcr};
use crate::balance::l4::{Member, Scheduler, Ties, hashed};
use std::collections::HashMap;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// What the maps hold apart from the plan.
#[derive(Debug, Default)]
pub struct Held {
    pub loads: HashMap<ServerId, Load>,
    /// Number of the next new flow of each service.
    pub turns: HashMap<ServiceId, u64>,
    pub templates: HashMap<TemplateKey, Remembered>,
    pub flows: HashMap<FlowKey, Known>,
    localities: HashMap<ServiceId, Lblc>,
    sets: HashMap<ServiceId, Lblcr>,
}

/// A persistence template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub server: ServerId,
    pub seen: u64,
    /// Live flows that count on it.
    pub flows: u32,
}

/// A flow that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub service: ServiceId,
    pub server: ServerId,
    pub state: State,
    pub seen: u64,
}

/// A packet of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub key: FlowKey,
    /// It opens a TCP connection (SYN alone); true for UDP.
    pub opens: bool,
}

/// What becomes of it, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No service of ours: the kernel goes on with it.
    NotOurs,
    /// It goes where its flow goes.
    Follows(ServiceId, ServerId),
    /// Its flow begins; `by_template`: on the server its client stays on.
    Begins { service: ServiceId, server: ServerId, by_template: bool },
    /// No flow has it and it begins none: refused.
    NotSyn(ServiceId),
    /// No server may take it: refused.
    NoServer(ServiceId),
}

/// What becomes of a client's packet at `now`. A flow that is over ends, and turns are taken; the rest is
/// for [`Held::take`].
#[must_use]
pub fn decide(plan: &Plan, state: &mut Held, packet: &Packet, now: u64) -> Verdict {
    if let Some(flow) = state.flows.get(&packet.key) {
        if !is_over(plan, flow, packet) {
            return Verdict::Follows(flow.service, flow.server);
        }
        state.end(plan, &packet.key, now);
    }
    let Some(id) = find_service(plan, &packet.key) else { return Verdict::NotOurs };
    let Some(entry) = plan.services.get(&id) else { return Verdict::NotOurs };
    if !packet.opens {
        return Verdict::NotSyn(id);
    }
    if let Some(server) = remembered(plan, state, &entry.service, id, &packet.key, now) {
        return Verdict::Begins { service: id, server, by_template: true };
    }
    match choose(state, entry, id, &packet.key, now) {
        Some(server) => Verdict::Begins { service: id, server, by_template: false },
        None => Verdict::NoServer(id),
    }
}

/// The service of an address and port; those that have the port before those that have them all.
#[must_use]
pub fn find_service(plan: &Plan, key: &FlowKey) -> Option<ServiceId> {
    let exact =
        AddressKey { address: key.destination, port: key.destination_port, protocol: key.protocol, pad: 0 };
    plan.addresses.get(&exact).or_else(|| plan.addresses.get(&AddressKey { port: 0, ..exact })).copied()
}

/// The server a client stays on, if it may get flows.
#[must_use]
pub fn remembered(
    plan: &Plan,
    state: &Held,
    service: &Service,
    id: ServiceId,
    key: &FlowKey,
    now: u64,
) -> Option<ServerId> {
    let template =
        (service.persist > 0).then(|| state.templates.get(&template_key(service, id, key))).flatten()?;
    let lives = template.flows > 0 || now.saturating_sub(template.seen) < u64::from(service.persist) * SECOND;
    let server = plan.servers.get(&template.server)?;
    (lives && server.flags & (server_flag::LEAVE | server_flag::CUT) == 0).then_some(template.server)
}

#[must_use]
pub fn template_key(service: &Service, id: ServiceId, key: &FlowKey) -> TemplateKey {
    let mut client = key.source.0;
    client.iter_mut().zip(service.persist_mask.0).for_each(|(byte, mask)| *byte &= mask);
    TemplateKey { client: Address(client), service: id.0 }
}

/// A client that takes its port again, or a server whose flows are cut.
fn is_over(plan: &Plan, flow: &Known, packet: &Packet) -> bool {
    let opens = packet.opens && packet.key.protocol == TCP;
    let server = plan.servers.get(&flow.server);
    // Where answers do not pass here, a FIN of the client is all there is to see of the end.
    let one_way = server.is_some_and(|s| s.mode != Mode::Nat as u8 && s.mode != Mode::FullNat as u8);
    let again = opens
        && match flow.state {
            State::TimeWait | State::Close => true,
            State::FinWait => one_way,
            _ => false,
        };
    let udp = if packet.key.protocol == TCP { 0 } else { server_flag::CUT_UDP };
    again || server.is_none_or(|s| s.flags & (server_flag::CUT | udp) != 0)
}

const TCP: u8 = 6;

/// The server of a new flow, as the service's scheduler chooses it.
#[must_use]
pub fn choose(state: &mut Held, entry: &Entry, id: ServiceId, key: &FlowKey, now: u64) -> Option<ServerId> {
    let turn = state.turns.entry(id).or_default();
    let this = *turn;
    *turn += 1;
    let scheduler = match Way::from_number(entry.service.scheduler)? {
        Way::ByTable => return by_table(state, entry, id, key, this),
        Way::Lc => Scheduler::Lc,
        Way::Wlc => Scheduler::Wlc,
        Way::Sed => Scheduler::Sed,
        Way::Nq => Scheduler::Nq,
        Way::Fo => Scheduler::Fo,
        Way::Ovf => Scheduler::Ovf,
        Way::Twos => Scheduler::Twos,
        Way::Lblc => Scheduler::Lblc,
        Way::Lblcr => Scheduler::Lblcr,
    };
    let members = members(state, entry);
    let ties =
        if entry.service.flags & service_flag::IPVS_TIES == 0 { Ties::ByWeight } else { Ties::ByOrder };
    let (destination, moment) = (key.destination.ip(), Duration::from_nanos(now));
    let place = match scheduler {
        Scheduler::Lblc => {
            state.localities.entry(id).or_default().pick(&members, ties, this, destination, moment)
        }
        Scheduler::Lblcr => state.sets.entry(id).or_default().pick(&members, ties, this, destination, moment),
        other => counting::pick(other, &members, ties, this, draws(key, this)),
    };
    entry.members.get(place?).map(|m| ServerId(m.server))
}

/// The draws of `twos` come of the flow: whoever knows its number can tell them.
fn draws(key: &FlowKey, turn: u64) -> Draws {
    let draw = |round: u64| hash(key.source, u16::from_be(key.source_port), round as u32);
    (draw(turn.wrapping_mul(2)), draw(turn.wrapping_mul(2).wrapping_add(1)))
}

fn members(state: &Held, entry: &Entry) -> Vec<Member> {
    let of = |id: u32| state.loads.get(&ServerId(id)).copied().unwrap_or_default();
    let one = |m: &super::abi::Member| {
        let load = of(m.server);
        Member {
            weight: m.weight,
            active: load.active,
            inactive: load.inactive,
            overloaded: load.overloaded != 0,
            admission: m.admission,
            id: m.server,
        }
    };
    entry.members.iter().map(one).collect()
}

fn by_table(state: &mut Held, entry: &Entry, id: ServiceId, key: &FlowKey, turn: u64) -> Option<ServerId> {
    let table: Vec<Option<usize>> =
        entry.slots.iter().map(|s| (*s != NO_SERVER).then_some(*s as usize)).collect();
    let usable = |server: usize| {
        let server = u32::try_from(server).map(ServerId).ok();
        server.is_some_and(|s| state.loads.get(&s).is_none_or(|l| l.overloaded == 0))
    };
    let fallback = entry.service.flags & service_flag::FALLBACK != 0;
    let index = Index::from_number(entry.service.index)?;
    if index == Index::Turn {
        let length = table.len() as u64;
        let at = |round: u32| turn.wrapping_add(u64::from(round)).checked_rem(length).unwrap_or(0);
        let rounds = u32::try_from(length).unwrap_or(u32::MAX);
        let round = (0..rounds).find(|round| {
            let slot = usize::try_from(at(*round)).ok().and_then(|s| table.get(s).copied().flatten());
            slot.is_some_and(usable)
        })?;
        // The next flow goes on behind the slot that was taken.
        *state.turns.entry(id).or_default() += u64::from(round);
        let slot = usize::try_from(at(round)).ok()?;
        return entry.slots.get(slot).map(|s| ServerId(*s));
    }
    let slot = |round: u32| {
        let (address, port) = match index {
            Index::Destination => (key.destination, 0),
            Index::SourcePort => (key.source, u16::from_be(key.source_port)),
            _ => (key.source, 0),
        };
        hash(address, port, round) as usize
    };
    let found = hashed::look_up(&table, fallback, usable, slot)?;
    u32::try_from(found).ok().map(ServerId)
}

impl Held {
    /// Makes of a decision what the programs make of it: a flow that begins is there, and counts.
    pub fn take(&mut self, plan: &Plan, packet: &Packet, verdict: Verdict, now: u64) {
        match verdict {
            Verdict::Begins { service, server, .. } => self.begin(plan, packet, service, server, now),
            Verdict::Follows(..) => {
                if let Some(flow) = self.flows.get_mut(&packet.key) {
                    flow.seen = now;
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, plan: &Plan, packet: &Packet, service: ServiceId, server: ServerId, now: u64) {
        self.end(plan, &packet.key, now);
        let entry = plan.services.get(&service);
        if packet.key.protocol != TCP
            && entry.is_some_and(|e| e.service.flags & service_flag::ONE_PACKET != 0)
        {
            return self.join(plan, packet, service, server, now, 0);
        }
        let state = if packet.key.protocol == TCP { State::SynRecv } else { State::Udp };
        self.flows.insert(packet.key, Known { service, server, state, seen: now });
        let load = self.loads.entry(server).or_default();
        if state.active() {
            load.active += 1;
        } else {
            load.inactive += 1;
        }
        judge(plan.servers.get(&server), load);
        self.join(plan, packet, service, server, now, 1);
    }

    /// The client stays on the server, if its service remembers; so many flows more count on that.
    fn join(
        &mut self,
        plan: &Plan,
        packet: &Packet,
        service: ServiceId,
        server: ServerId,
        now: u64,
        more: u32,
    ) {
        let Some(entry) = plan.services.get(&service).filter(|e| e.service.persist > 0) else { return };
        let key = template_key(&entry.service, service, &packet.key);
        let before = self.templates.get(&key).copied();
        let flows = before.filter(|t| t.server == server).map_or(0, |t| t.flows);
        self.templates.insert(key, Remembered { server, seen: now, flows: flows + more });
        if before.is_none_or(|t| t.server != server) {
            self.loads.entry(server).or_default().persistent += 1;
            self.unname(before);
        }
    }

    /// The flow goes to another state, and its server's counts with it.
    pub fn enter(&mut self, plan: &Plan, key: &FlowKey, state: State) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let before = std::mem::replace(&mut flow.state, state);
        if before.active() == state.active() {
            return;
        }
        let load = self.loads.entry(flow.server).or_default();
        if state.active() {
            load.inactive = load.inactive.saturating_sub(1);
            load.active += 1;
        } else {
            load.active = load.active.saturating_sub(1);
            load.inactive += 1;
        }
        judge(plan.servers.get(&flow.server), load);
    }

    /// The flow is no more.
    pub fn end(&mut self, plan: &Plan, key: &FlowKey, now: u64) {
        let Some(flow) = self.flows.remove(key) else { return };
        let load = self.loads.entry(flow.server).or_default();
        let count = if flow.state.active() { &mut load.active } else { &mut load.inactive };
        *count = count.saturating_sub(1);
        judge(plan.servers.get(&flow.server), load);
        let Some(entry) = plan.services.get(&flow.service).filter(|e| e.service.persist > 0) else { return };
        let template = self.templates.get_mut(&template_key(&entry.service, flow.service, key));
        if let Some(template) = template.filter(|t| t.server == flow.server) {
            template.flows = template.flows.saturating_sub(1);
            template.seen = now;
        }
    }

    /// Templates that nobody counted on for as long as their service remembers are no more.
    pub fn forget(&mut self, plan: &Plan, now: u64) {
        let old = |key: &TemplateKey, template: &Remembered| {
            let service = plan.services.get(&ServiceId(key.service));
            let persist = service.map_or(0, |entry| u64::from(entry.service.persist));
            template.flows == 0 && now.saturating_sub(template.seen) >= persist * SECOND
        };
        let over: Vec<TemplateKey> =
            self.templates.iter().filter(|(key, t)| old(key, t)).map(|(key, _)| *key).collect();
        for key in over {
            let gone = self.templates.remove(&key);
            self.unname(gone);
        }
    }

    /// A template that names its server no more.
    fn unname(&mut self, template: Option<Remembered>) {
        if let Some(load) = template.and_then(|t| self.loads.get_mut(&t.server)) {
            load.persistent = load.persistent.saturating_sub(1);
        }
    }
}

/// Overloaded from the upper threshold on, until below the lower one, or below three quarters of the upper one.
fn judge(server: Option<&Server>, load: &mut Load) {
    let Some(server) = server else { return };
    let flows = u64::from(load.active) + u64::from(load.inactive);
    let (upper, lower) = (u64::from(server.upper), u64::from(server.lower));
    let relieved = if lower > 0 { flows < lower } else { flows * 4 < upper * 3 || upper == 0 };
    if upper > 0 && flows >= upper {
        load.overloaded = 1;
    } else if load.overloaded != 0 && relieved {
        load.overloaded = 0;
    }
}
