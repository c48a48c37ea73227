//! Plans, the way between them, and what becomes of packets under them.

use super::abi::{ADMIT_ALL, FlowKey, NO_SERVER, Origin, Server, Service, State, server_flag};
use super::ids::Ids;
use super::plan::{Entry, Plan, ServerState, Wanted, WantedServer, plan};
use super::reconcile::writes;
use super::reference::{Held, Packet, Verdict, decide};
use super::write::{ServerId, ServiceId, Write};
use crate::balance::l4::Scheduler;
use crate::config::model::l4::{Flags, FlowTimeouts, Forward, L4, OnDown, OnRemove, Persist, Protocol};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn settings(scheduler: Scheduler) -> L4 {
    L4 {
        forward: Forward::Nat,
        scheduler,
        flags: Flags::default(),
        persist: None,
        timeouts: FlowTimeouts::default(),
        sources: Vec::new(),
        one_packet: false,
        quiesce_on_down: false,
        on_remove: OnRemove::Cut,
        minimum_up: None,
    }
}

pub(super) fn server(n: u8, weight: u32) -> WantedServer {
    WantedServer {
        name: format!("s{n}").into(),
        address: SocketAddr::from(([10, 0, 0, n], 80)),
        forward: Forward::Nat,
        weight,
        ramp: 100,
        catching_up: false,
        state: ServerState::Up,
        upper_threshold: 0,
        lower_threshold: 0,
        backup: false,
    }
}

pub(super) fn wanted(name: &str, settings: L4, servers: Vec<WantedServer>) -> Wanted {
    let port = 8000 + u16::from(name.as_bytes()[0]);
    Wanted {
        name: name.into(),
        addresses: vec![(SocketAddr::from(([192, 0, 2, 1], port)), Protocol::Tcp)],
        settings: Arc::new(settings),
        compat_ipvs: true,
        servers,
        whole: true,
    }
}

fn plan_of(services: &[Wanted]) -> Plan {
    let (plan, problems) = plan(services, &mut Ids::default());
    assert!(problems.is_empty(), "{problems:?}");
    plan
}

/// The first service's entry.
fn entry(service: Wanted) -> Entry {
    plan_of(&[service]).services.into_values().next().unwrap()
}

fn client(n: u32) -> FlowKey {
    let [_, a, b, c] = n.to_be_bytes();
    FlowKey::new(SocketAddr::from(([10, a, b, c], 40_000)), SocketAddr::from(([192, 0, 2, 1], 8000 + 97)), 6)
}

fn syn(n: u32) -> Packet {
    Packet { key: client(n), opens: true }
}

/// The servers of `flows` clients that come one after the other, as letters.
fn course(plan: &Plan, held: &mut Held, flows: std::ops::Range<u32>) -> String {
    flows
        .map(|n| {
            let verdict = decide(plan, held, &syn(n), 0);
            held.take(plan, &syn(n), verdict, 0);
            match verdict {
                Verdict::Begins { server, .. } => char::from(b'A' + u8::try_from(server.0).unwrap()),
                _ => '-',
            }
        })
        .collect()
}

#[test]
fn weighted_round_robin_takes_turns() {
    let servers = vec![server(1, 4), server(2, 3), server(3, 2)];
    let plan = plan_of(&[wanted("a", settings(Scheduler::Wrr), servers)]);
    assert_eq!(course(&plan, &mut Held::default(), 0..18), "AABABCABCAABABCABC");
}

#[test]
fn an_overloaded_server_is_passed_over_until_it_is_relieved() {
    let mut servers = vec![server(1, 1), server(2, 1)];
    servers[0].upper_threshold = 2;
    let plan = plan_of(&[wanted("a", settings(Scheduler::Rr), servers)]);
    let mut held = Held::default();
    assert_eq!(course(&plan, &mut held, 0..6), "ABABBB");
    held.end(&plan, &client(0), 0);
    assert_eq!(course(&plan, &mut held, 6..8), "AB", "one of two is below three quarters");
}

#[test]
fn flows_stay_until_they_end() {
    let plan = plan_of(&[wanted("a", settings(Scheduler::Wlc), vec![server(1, 1), server(2, 1)])]);
    let mut held = Held::default();
    assert_eq!(course(&plan, &mut held, 0..4), "ABAB");
    let data = Packet { opens: false, ..syn(1) };
    assert_eq!(decide(&plan, &mut held, &data, 0), Verdict::Follows(ServiceId(0), ServerId(1)));
    held.enter(&plan, &client(1), State::TimeWait);
    let load = held.loads[&ServerId(1)];
    assert_eq!((load.active, load.inactive), (1, 1));
    held.end(&plan, &client(1), 0);
    assert_eq!(held.loads[&ServerId(1)].inactive, 0);
    assert_eq!(decide(&plan, &mut held, &data, 0), Verdict::NotSyn(ServiceId(0)));
    let mut other = data;
    other.key.destination_port = 1;
    assert_eq!(decide(&plan, &mut held, &other, 0), Verdict::NotOurs);
}

#[test]
fn clients_stay_on_their_server() {
    let persist = Persist { timeout: Duration::from_secs(10), prefix: 24, on_down: OnDown::Move };
    let mut service = wanted(
        "a",
        L4 { persist: Some(persist), ..settings(Scheduler::Rr) },
        vec![server(1, 1), server(2, 1)],
    );
    let mut ids = Ids::default();
    let (before, _) = plan(std::slice::from_ref(&service), &mut ids);
    let mut held = Held::default();
    assert_eq!(course(&before, &mut held, 0..256), "A".repeat(256), "one network");
    assert_eq!(course(&before, &mut held, 256..258), "BB");
    for n in 0..256 {
        held.end(&before, &client(n), 5_000_000_000);
    }
    let at = |held: &mut Held, plan: &Plan, now| decide(plan, held, &syn(3), now);
    let stays = Verdict::Begins { service: ServiceId(0), server: ServerId(0), by_template: true };
    assert_eq!(at(&mut held, &before, 14_000_000_000), stays);
    assert_ne!(at(&mut held, &before, 15_000_000_000), stays, "ten seconds after the last flow");
    service.servers[0].state = ServerState::Down;
    let (after, _) = plan(&[service], &mut ids);
    assert_eq!(after.servers[&ServerId(0)].flags & !server_flag::SOLE, server_flag::CUT | server_flag::LEAVE);
    assert_ne!(at(&mut held, &after, 6_000_000_000), stays, "moves when its server is down");
}

#[test]
fn backups_serve_when_nobody_else_does() {
    let mut servers = vec![server(1, 1), server(2, 1), server(3, 1)];
    servers[1].backup = true;
    servers[2].backup = true;
    let serving = |servers: &[WantedServer], whole| {
        let service = Wanted { whole, ..wanted("a", settings(Scheduler::Wlc), servers.to_vec()) };
        entry(service).members.iter().map(|m| m.server).collect::<Vec<_>>()
    };
    assert_eq!(serving(&servers, true), [0]);
    assert_eq!(serving(&servers, false), [1], "the minimum is not met");
    servers[0].state = ServerState::Down;
    assert_eq!(serving(&servers, true), [1], "the first backup alone");
    servers[1].state = ServerState::Down;
    assert_eq!(serving(&servers, true), [2]);
    servers[2].state = ServerState::Drained;
    assert_eq!(serving(&servers, true), [] as [u32; 0]);
}

#[test]
fn a_drained_server_leaves_its_hash_slots_empty() {
    let mut servers = vec![server(1, 1), server(2, 1)];
    servers[1].state = ServerState::Drained;
    let drained = entry(wanted("a", settings(Scheduler::Sh), servers.clone()));
    assert_eq!(drained.slots[..4], [0, NO_SERVER, 0, NO_SERVER]);
    servers[1].state = ServerState::Down;
    let down = entry(wanted("a", settings(Scheduler::Sh), servers));
    assert!(down.slots.iter().all(|s| *s == 0));
}

#[test]
fn slow_start_is_a_share_of_admission_or_of_turns() {
    let mut servers = vec![server(1, 1), server(2, 1), server(3, 2)];
    servers[2].ramp = 50;
    let mut service = wanted("a", settings(Scheduler::Wlc), servers);
    let admissions = |s: &Wanted| entry(s.clone()).members.iter().map(|m| m.admission).collect::<Vec<_>>();
    assert_eq!(admissions(&service), [ADMIT_ALL; 3], "as IPVS");
    service.compat_ipvs = false;
    assert_eq!(admissions(&service), [ADMIT_ALL, ADMIT_ALL, ADMIT_ALL / 4]);
    service.settings = Arc::new(settings(Scheduler::Wrr));
    let slots = entry(service).slots;
    assert_eq!([0, 1, 2].map(|i| slots.iter().filter(|s| **s == i).count()), [1, 1, 1]);
}

#[test]
fn the_mask_covers_mapped_addresses() {
    let mask = |prefix, vip: &str| {
        let persist = Persist { timeout: Duration::from_secs(1), prefix, on_down: OnDown::Move };
        let mut service = wanted("a", L4 { persist: Some(persist), ..settings(Scheduler::Rr) }, Vec::new());
        service.addresses[0].0 = vip.parse().unwrap();
        entry(service).service.persist_mask.0
    };
    assert_eq!(mask(24, "192.0.2.1:80")[10..], [255, 255, 255, 255, 255, 0]);
    assert_eq!(mask(32, "192.0.2.1:80"), [255; 16]);
    assert_eq!(mask(65, "[2001:db8::1]:80")[6..10], [255, 255, 128, 0]);
    assert_eq!(mask(128, "[2001:db8::1]:80"), [255; 16]);
}

#[test]
fn who_leaves_keeps_its_place_until_it_is_forgotten() {
    let mut ids = Ids::default();
    let both = wanted("a", settings(Scheduler::Rr), vec![server(1, 1), server(2, 1)]);
    let one = wanted("a", settings(Scheduler::Rr), vec![server(2, 1)]);
    let (_, _) = plan(std::slice::from_ref(&both), &mut ids);
    let (after, _) = plan(std::slice::from_ref(&one), &mut ids);
    assert!(after.servers.contains_key(&ServerId(0)) && after.services[&ServiceId(0)].slots == [1]);
    let flags = server_flag::LEAVE | server_flag::CUT_UDP | server_flag::END_UDP;
    assert_eq!(after.servers[&ServerId(0)].flags, flags, "TCP flows go on");
    assert_eq!(ids.leaving().collect::<Vec<_>>(), [ServerId(0)]);
    let (again, _) = plan(&[both], &mut ids);
    assert_eq!(
        (again.services[&ServiceId(0)].slots.as_slice(), ids.leaving().count()),
        ([0, 1].as_slice(), 0)
    );
    let (_, _) = plan(std::slice::from_ref(&one), &mut ids);
    ids.forget(ServerId(0));
    let (last, _) = plan(&[one], &mut ids);
    assert!(!last.servers.contains_key(&ServerId(0)));
}

// --- the way from plan to plan --------------------------------------------------------------------------------------

/// The maps, as writes make them.
#[derive(Default)]
struct Maps {
    addresses: HashMap<super::abi::AddressKey, ServiceId>,
    services: BTreeMap<ServiceId, Service>,
    lists: BTreeMap<ServiceId, Entry>,
    servers: BTreeMap<ServerId, Server>,
    origins: BTreeMap<u32, Origin>,
}

impl Maps {
    fn apply(&mut self, write: Write) {
        match write {
            Write::Server { id, server } => drop(self.servers.insert(id, server)),
            Write::Members { service, members } => self.lists.entry(service).or_default().members = members,
            Write::Table { service, slots } => self.lists.entry(service).or_default().slots = slots,
            Write::Sources { service, sources } => self.lists.entry(service).or_default().sources = sources,
            Write::Service { id, service } => drop(self.services.insert(id, service)),
            Write::Address { key, service } => drop(self.addresses.insert(key, service)),
            Write::RemoveAddress { key } => drop(self.addresses.remove(&key)),
            Write::RemoveService { id } => {
                self.services.remove(&id);
                self.lists.remove(&id);
            }
            Write::RemoveServer { id } => drop(self.servers.remove(&id)),
            Write::Origin { place, origin } => drop(self.origins.insert(place, origin)),
            Write::RemoveOrigin { place } => drop(self.origins.remove(&place)),
        }
    }

    /// Whatever a packet can reach is there.
    fn check(&self, state: &str) {
        for id in self.addresses.values() {
            assert!(self.services.contains_key(id), "{state}: an address leads to no service");
        }
        let empty = Entry::default();
        for (id, service) in &self.services {
            let lists = self.lists.get(id).unwrap_or(&empty);
            for (what, counted, there) in [
                ("members", service.members, lists.members.len()),
                ("slots", service.slots, lists.slots.len()),
                ("sources", service.sources, lists.sources.len()),
            ] {
                assert!(counted as usize <= there, "{state}: {counted} {what} of {id:?}, {there} there");
            }
            let named = lists.members.iter().map(|m| m.server).chain(lists.slots.iter().copied());
            for server in named.filter(|s| *s != NO_SERVER) {
                assert!(
                    self.servers.contains_key(&ServerId(server)),
                    "{state}: {id:?} names server {server}"
                );
            }
        }
    }

    /// Would a new flow of the service get a server?
    fn serves(&self, id: ServiceId) -> bool {
        let (Some(service), Some(lists)) = (self.services.get(&id), self.lists.get(&id)) else {
            return false;
        };
        let slots = lists.slots.iter().take(service.slots as usize);
        match service.scheduler {
            0 => slots.clone().any(|s| *s != NO_SERVER),
            _ => service.members > 0,
        }
    }

    fn plan(self) -> Plan {
        let services = self.services.into_iter().map(|(id, service)| {
            let lists = self.lists.get(&id).cloned().unwrap_or_default();
            (id, Entry { service, ..lists })
        });
        let services = services.collect();
        Plan { addresses: self.addresses, services, servers: self.servers, origins: self.origins }
    }
}

#[test]
fn every_step_between_two_plans_is_whole() {
    let mut seed = 0x5eed_0005_u64;
    let mut below = move |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    for round in 0..300 {
        let mut ids = Ids::default();
        let (mut maps, mut from) = (Maps::default(), Plan::default());
        for step in 0..6 {
            let mut services = Vec::new();
            for name in ["a", "b", "c"] {
                if below(4) == 0 {
                    continue;
                }
                let scheduler = Scheduler::ALL[usize::try_from(below(14)).unwrap()];
                let servers = (1..=u8::try_from(below(6)).unwrap())
                    .map(|n| {
                        let weight = u32::try_from(below(4)).unwrap();
                        let state =
                            [ServerState::Up, ServerState::Up, ServerState::Drained, ServerState::Down]
                                [usize::try_from(below(4)).unwrap()];
                        WantedServer {
                            state,
                            backup: below(5) == 0,
                            ..server(n + u8::try_from(below(2)).unwrap() * 10, weight)
                        }
                    })
                    .collect();
                let sources = (0..below(3)).map(|n| [10, 9, 0, u8::try_from(n).unwrap()].into()).collect();
                services.push(wanted(name, L4 { sources, ..settings(scheduler) }, servers));
            }
            for id in ids.leaving().filter(|id| id.0 % 2 == 0).collect::<Vec<_>>() {
                ids.forget(id);
            }
            let (to, problems) = plan(&services, &mut ids);
            assert!(problems.is_empty());
            let steady: Vec<ServiceId> = to
                .services
                .keys()
                .copied()
                .filter(|id| {
                    let serves = |p: &Plan| p.services.get(id).is_some_and(|e| !e.members.is_empty());
                    serves(&from) && serves(&to)
                })
                .collect();
            for (n, write) in writes(&from, &to).into_iter().enumerate() {
                let state = format!("round {round} step {step} write {n} {write:?}");
                maps.apply(write);
                maps.check(&state);
                for id in &steady {
                    assert!(maps.serves(*id), "{state}: {id:?} serves nobody for a moment");
                }
            }
            let there = std::mem::take(&mut maps).plan();
            assert_eq!(there, to, "round {round} step {step}");
            assert!(writes(&to, &to).is_empty());
            for write in writes(&Plan::default(), &to) {
                maps.apply(write);
            }
            from = to;
        }
        for write in writes(&from, &Plan::default()) {
            maps.apply(write);
            maps.check("the end");
        }
        assert_eq!(maps.plan(), Plan::default());
    }
}
