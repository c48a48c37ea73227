//! The packet program and `src/l4/reference.rs` choose the same server: packets of generated clients through both, while flows move and
//! end, weights change, and servers are drained, die and come back. The program runs on each packet by itself (BPF_PROG_TEST_RUN).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use weir::balance::l4::Scheduler;
use weir::config::model::l4::{Flags, FlowTimeouts, Forward, L4, OnDown, OnRemove, Persist, Protocol};
use weir::l4::abi::{Direction, FlowKey, Load, State, Template, TemplateKey, server_flag};
use weir::l4::ids::Ids;
use weir::l4::io::{Limits, Plane, Walk, now};
use weir::l4::parity::Parity;
use weir::l4::plan::{Plan, ServerState, Wanted, WantedServer, plan};
use weir::l4::reconcile::writes;
use weir::l4::reference::{Held, Packet, Verdict, decide};
use weir::l4::write::{ServerId, Write};

/// Of each of the courses of a scheduler, two or more.
const FLOWS: u32 = 5_000;
const SECOND: u64 = 1_000_000_000;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 % u64::from(n)).unwrap()
    }
}

/// One service on both planes.
struct Twins {
    plane: Plane,
    ids: Ids,
    wanted: Wanted,
    plan: Plan,
    held: Held,
    random: Random,
    begun: u32,
    /// How many new flows each server got.
    got: BTreeMap<ServerId, u32>,
    unserved: u32,
}

pub fn settings(scheduler: Scheduler) -> L4 {
    L4 {
        forward: Forward::DirectRouting,
        scheduler,
        flags: Flags::default(),
        persist: None,
        timeouts: FlowTimeouts { udp: Duration::from_secs(60), ..FlowTimeouts::default() },
        sources: Vec::new(),
        one_packet: false,
        quiesce_on_down: false,
        on_remove: OnRemove::Cut,
        minimum_up: None,
    }
}

pub fn server(v6: bool, n: u8, weight: u32) -> WantedServer {
    WantedServer {
        name: format!("s{n}").into(),
        address: SocketAddr::new(address(v6, [10, 99, 0, n]), 0),
        forward: Forward::DirectRouting,
        weight,
        ramp: 100,
        catching_up: false,
        state: ServerState::Up,
        upper_threshold: 0,
        lower_threshold: 0,
        backup: false,
    }
}

fn address(v6: bool, [a, b, c, d]: [u8; 4]) -> IpAddr {
    if v6 {
        let [high, low] = [[a, b], [c, d]].map(u16::from_be_bytes);
        return [0x2001, 0xdb8, 0, 0, 0, 0, high, low].into();
    }
    [a, b, c, d].into()
}

impl Twins {
    fn new(settings: L4, compat_ipvs: bool, v6: bool) -> Self {
        let vips = (1..=8).map(|n| SocketAddr::new(address(v6, [192, 0, 2, n]), 80));
        let addresses = vips.flat_map(|vip| [(vip, Protocol::Tcp), (vip, Protocol::Udp)]).collect();
        let weights = [4, 3, 2, 1, 7, 100];
        let servers = (1..).zip(weights).map(|(n, weight)| server(v6, n, weight)).collect();
        let mut twins = Self {
            plane: Plane::open(Limits { flows: 1 << 16, templates: 1 << 12 }).unwrap(),
            ids: Ids::default(),
            wanted: Wanted {
                name: "twins".into(),
                addresses,
                settings: Arc::new(settings),
                compat_ipvs,
                servers,
                whole: true,
            },
            plan: Plan::default(),
            held: Held::default(),
            random: Random(0x5eed_0006),
            begun: 0,
            got: BTreeMap::new(),
            unserved: 0,
        };
        twins.bring();
        twins
    }

    /// What is wanted now, written as the engine writes it.
    fn bring(&mut self) {
        for id in self.ids.leaving().filter(|id| self.plane.is_idle(*id)).collect::<Vec<_>>() {
            self.ids.forget(id);
        }
        let (next, problems) = plan(std::slice::from_ref(&self.wanted), &mut self.ids);
        assert_eq!(problems, [] as [&str; 0]);
        let writes = writes(&self.plan, &next);
        self.plan = next;
        for write in writes {
            self.plane.apply(&write).unwrap();
            match write {
                Write::RemoveServer { id } => {
                    self.held.loads.remove(&id);
                    self.got.remove(&id);
                }
                Write::Server { id, server } if server.flags & server_flag::END_UDP != 0 => {
                    self.plane.end_flows_of(id, Some(17), now()).unwrap();
                    let of_it = |key: &FlowKey| key.protocol == 17 && self.held.flows[key].server == id;
                    let keys: Vec<FlowKey> = self.held.flows.keys().copied().filter(of_it).collect();
                    keys.iter().for_each(|key| self.held.end(&self.plan, key, now()));
                }
                _ => {}
            }
        }
    }

    fn v6(&self) -> bool {
        self.wanted.addresses[0].0.is_ipv6()
    }

    fn packet(&mut self, key: FlowKey, flags: u8) {
        let time = now();
        let before = self.held.flows.get(&key).map(|flow| flow.state);
        let packet = Packet { key, opens: key.protocol == 17 || flags == SYN };
        let verdict = decide(&self.plan, &mut self.held, &packet, time);
        self.held.take(&self.plan, &packet, verdict, time);
        match (verdict, before) {
            (Verdict::Begins { server, .. }, _) => {
                self.begun += 1;
                *self.got.entry(server).or_default() += 1;
            }
            (Verdict::NoServer(_), _) => self.unserved += 1,
            (Verdict::Follows(..), Some(state)) => self.held.enter(&self.plan, &key, moved(state, flags)),
            _ => {}
        }
        self.plane.try_frame(&frame(&key, flags)).unwrap();
    }

    fn step(&mut self) {
        let v6 = self.v6();
        let n = self.random.below(4000);
        let [_, _, high, low] = n.to_be_bytes();
        let client = SocketAddr::new(address(v6, [10, 1, high, low]), 40_000 + low as u16 % 3);
        let vip = SocketAddr::new(address(v6, [192, 0, 2, 1 + u8::try_from(n % 8).unwrap()]), 80);
        let (tcp, udp) = (FlowKey::new(client, vip, 6), FlowKey::new(client, vip, 17));
        match self.random.below(100) {
            0..50 => self.packet(tcp, SYN),
            50..60 => self.packet(udp, 0),
            60..80 => self.packet(tcp, ACK),
            80..92 => self.packet(tcp, FIN | ACK),
            _ => self.packet(tcp, RST),
        }
    }

    /// Both planes end what was silent for so long.
    fn pass(&mut self, seconds: u64) {
        let mut walk = Walk::default();
        let later = now() + seconds * SECOND;
        while self.plane.expire_chunk(&mut walk, later).unwrap().is_some() {}
        let service = self.plan.services.values().next().unwrap().service;
        let over: Vec<FlowKey> = self
            .held
            .flows
            .iter()
            .filter(|(_, flow)| flow.state.patience(&service) <= seconds)
            .map(|(key, _)| *key)
            .collect();
        for key in over {
            self.held.end(&self.plan, &key, later);
        }
        let mut templates = Walk::<TemplateKey, Template>::default();
        while self.plane.forget_chunk(&mut templates, later).unwrap().is_some() {}
        self.held.forget(&self.plan, later);
    }

    /// The same flows on the same servers in the same states, and the same counts.
    fn compare(&mut self, when: &str) {
        let mut there = BTreeMap::new();
        let mut walk = Walk::default();
        while let Some(chunk) = walk.next(&self.plane).unwrap() {
            let forward = chunk.filter(|(_, flow)| flow.direction == Direction::Forward as u8);
            there.extend(forward.map(|(key, flow)| (key.bytes(), (flow.server(), flow.state()))));
        }
        let expected: BTreeMap<_, _> = self
            .held
            .flows
            .iter()
            .map(|(key, flow)| (key.bytes(), (flow.server.0, Some(flow.state))))
            .collect();
        for (key, flow) in &expected {
            assert_eq!(there.get(key), Some(flow), "{when}: {key:?}");
        }
        assert_eq!(there.len(), expected.len(), "{when}");
        let mut templates = Walk::<TemplateKey, Template>::default();
        let mut there = BTreeMap::new();
        while let Some(chunk) = templates.next_templates(&self.plane).unwrap() {
            there.extend(chunk.map(|(key, t)| (key.bytes(), (t.server(), t.flows()))));
        }
        let expected: BTreeMap<_, _> =
            self.held.templates.iter().map(|(key, t)| (key.bytes(), (t.server.0, t.flows))).collect();
        assert!(there == expected, "{when}: {} templates, not {}", there.len(), expected.len());
        for id in self.plan.servers.keys() {
            let got = self.got.get(id).copied().unwrap_or_default();
            assert_eq!(self.plane.traffic(*id).flows, u64::from(got), "{when}: {id:?}");
            let expected = self.held.loads.get(id).copied().unwrap_or_default();
            assert_eq!(self.plane.load(*id), expected, "{when}: {id:?}");
        }
    }

    /// Until so many flows began; `change` is called now and then.
    fn course(&mut self, change: fn(&mut Random, &mut Wanted)) {
        let mut round = 0;
        while self.begun < FLOWS {
            round += 1;
            assert!(round < 400, "{} flows only, {} unserved", self.begun, self.unserved);
            for _ in 0..250 {
                self.step();
            }
            let when = format!("{:?} round {round}", self.wanted.settings.scheduler);
            self.compare(&when);
            let seconds = [0, 20, 70, 130, 910][self.random.below(5) as usize];
            self.pass(seconds);
            self.compare(&format!("{when} after {seconds} s"));
            change(&mut self.random, &mut self.wanted);
            self.bring();
        }
    }
}

/// As TCP goes on where the server's segments do not pass here.
fn moved(state: State, flags: u8) -> State {
    match state {
        State::Udp => State::Udp,
        State::SynRecv if flags & RST != 0 => State::SynRecv,
        _ if flags & RST != 0 => State::Close,
        State::Established if flags & FIN != 0 => State::FinWait,
        State::SynRecv if flags & FIN != 0 => State::TimeWait,
        State::SynRecv if flags & ACK != 0 => State::Established,
        other => other,
    }
}

pub fn frame(key: &FlowKey, flags: u8) -> Vec<u8> {
    let mut transport = Vec::new();
    transport.extend(key.source_port.to_ne_bytes());
    transport.extend(key.destination_port.to_ne_bytes());
    if key.protocol == 6 {
        transport.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    } else {
        transport.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    }
    let length = u16::try_from(transport.len()).unwrap();
    // To the loopback interface, for which the kernel lets the program run.
    let mut frame = vec![0; 12];
    if let (IpAddr::V4(source), IpAddr::V4(destination)) = (key.source.ip(), key.destination.ip()) {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + length).to_be_bytes());
        frame.extend([0, 1, 0x40, 0, 64, key.protocol, 0, 0]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([key.protocol, 64]);
        frame.extend(key.source.0);
        frame.extend(key.destination.0);
    }
    frame.extend(transport);
    frame
}

/// Weights, drains, deaths, thresholds.
fn upheaval(random: &mut Random, wanted: &mut Wanted) {
    for server in &mut wanted.servers {
        match random.below(12) {
            0 => server.weight = random.below(10),
            1 => server.weight = random.below(4) * 100,
            2 => server.state = ServerState::Drained,
            3 => server.state = ServerState::Down,
            4..7 => server.state = ServerState::Up,
            7 => {
                (server.upper_threshold, server.lower_threshold) =
                    (100 + random.below(300), random.below(100))
            }
            8 => (server.upper_threshold, server.lower_threshold) = (0, 0),
            9 => server.ramp = 1 + random.below(100),
            _ => {}
        }
    }
}

fn agree(settings: L4) {
    for compat_ipvs in [false, true] {
        let mut twins = Twins::new(settings.clone(), compat_ipvs, false);
        twins.course(upheaval);
        let spread = twins.got.values().filter(|n| **n > 10).count();
        assert!(spread > 1, "{:?}: {:?}", twins.wanted.settings.scheduler, twins.got);
    }
}

macro_rules! schedulers {
    ($($test:ident $scheduler:ident,)*) => { $(
        #[test]
        fn $test() {
            agree(settings(Scheduler::$scheduler));
        }
    )* };
}

schedulers! {
    round_robin Rr,
    weighted_round_robin Wrr,
    least_connections Lc,
    weighted_least_connections Wlc,
    shortest_expected_delay Sed,
    never_queue Nq,
    failover Fo,
    overflow Ovf,
    source_hashing Sh,
    destination_hashing Dh,
    maglev_hashing Mh,
    two_draws Twos,
    locality Lblc,
    locality_with_sets Lblcr,
}

/// Nothing is left of a datagram that is scheduled for itself, but that its client stays.
#[test]
fn one_packet() {
    for persist in
        [None, Some(Persist { timeout: Duration::from_secs(60), prefix: 28, on_down: OnDown::Move })]
    {
        let settings = L4 { one_packet: true, persist, ..settings(Scheduler::Wlc) };
        let mut twins = Twins::new(settings, false, false);
        twins.course(upheaval);
        assert!(twins.held.flows.keys().all(|key| key.protocol == 6));
    }
}

#[test]
fn hashing_with_ports_and_fallback() {
    for scheduler in [Scheduler::Sh, Scheduler::Mh] {
        for flags in [(true, false), (false, true), (true, true)] {
            let flags = Flags { port: flags.0, fallback: flags.1 };
            let mut twins = Twins::new(L4 { flags, ..settings(scheduler) }, false, flags.port);
            twins.course(upheaval);
            assert!(twins.unserved == 0 || !flags.fallback || twins.unserved < twins.begun / 4);
        }
    }
}

/// Clients stay on their servers: each by itself, or whole networks; what becomes of them when servers are down or gone.
#[test]
fn persistence() {
    for (prefix, on_down, on_remove, quiesce_on_down) in [
        (32, OnDown::Move, OnRemove::Cut, false),
        (28, OnDown::Keep, OnRemove::Expire, true),
        (24, OnDown::Keep, OnRemove::Drain, false),
    ] {
        let persist = Some(Persist { timeout: Duration::from_secs(60), prefix, on_down });
        let settings = L4 { persist, on_remove, quiesce_on_down, ..settings(Scheduler::Wlc) };
        let mut twins = Twins::new(settings, false, false);
        twins.course(|random, wanted| {
            upheaval(random, wanted);
            if random.below(3) == 0 {
                let gone = random.below(6) as usize;
                if wanted.servers.len() > 3 {
                    wanted.servers.remove(gone % wanted.servers.len());
                } else {
                    let n = u8::try_from(7 + random.below(40)).unwrap();
                    wanted.servers.retain(|s| s.name != format!("s{n}").into());
                    wanted.servers.push(server(false, n, 5));
                }
            }
        });
    }
}

/// Three servers that hold a thousand flows each, and a fourth that comes: how many of each hundred new flows it gets at each percent of
/// its slow start.
fn avalanche(compat_ipvs: bool) -> Vec<(u32, u32)> {
    let mut twins = Twins::new(settings(Scheduler::Wlc), compat_ipvs, false);
    twins.wanted.servers = (1..=3).map(|n| server(false, n, 100)).collect();
    // Those that are gone have no flows, and are forgotten.
    twins.bring();
    twins.bring();
    let mut clients = 0..;
    let mut open = |twins: &mut Twins, flows: u32| {
        for n in clients.by_ref().take(flows as usize) {
            let [_, a, b, c] = u32::to_be_bytes(n);
            let client = SocketAddr::from(([11, a, b, c], 40_000));
            let key = FlowKey::new(client, twins.wanted.addresses[0].0, 6);
            twins.packet(key, SYN);
            twins.packet(key, ACK);
        }
    };
    open(&mut twins, 3000);
    assert!(twins.plan.servers.keys().all(|id| twins.plane.load(*id).active == 1000));
    twins.wanted.servers.push(server(false, 4, 100));
    let mut got = Vec::new();
    for percent in 1..100 {
        twins.wanted.servers[3].ramp = percent;
        twins.bring();
        let id = twins.ids.find("twins", "s4", twins.wanted.servers[3].address).unwrap();
        let before = twins.plane.load(id).active;
        open(&mut twins, 100);
        got.push((percent, twins.plane.load(id).active - before));
    }
    // The ramp is over, and it has caught up by far less than all: no more than twice its share until it has.
    twins.wanted.servers[3].ramp = 100;
    let mut parity = Parity::default();
    let mut slow = [Wanted { servers: twins.wanted.servers.clone(), ..twins.wanted.clone() }];
    slow[0].servers[3].ramp = 99;
    parity.judge(&mut slow, |_, _, _| Load::default());
    for round in 0..1000 {
        let (ids, plane, wanted) = (&twins.ids, &twins.plane, &mut twins.wanted);
        parity.judge(std::slice::from_mut(wanted), |service, server, address| {
            ids.find(service, server, address).map(|id| plane.load(id)).unwrap_or_default()
        });
        if !twins.wanted.servers[3].catching_up {
            break;
        }
        assert!(round < 999, "it never catches up");
        twins.bring();
        let id = twins.ids.find("twins", "s4", twins.wanted.servers[3].address).unwrap();
        let before = twins.plane.load(id).active;
        open(&mut twins, 20);
        let more = twins.plane.load(id).active - before;
        assert!(more <= 10, "{more} of 20");
    }
    let active = |name: &str, n: usize| {
        let id = twins.ids.find("twins", name, twins.wanted.servers[n].address).unwrap();
        twins.plane.load(id).active
    };
    let (own, other) = (active("s4", 3), active("s1", 0));
    assert!(compat_ipvs || own.abs_diff(other) < 30, "{own} {other}");
    twins.compare("after the avalanche");
    got
}

#[test]
fn slow_start_holds_the_avalanche_back() {
    for (percent, got) in avalanche(false) {
        // Its fair share is a quarter; no more than a fifth above the ramp, and one that the hundred cuts off.
        assert!(got * 400 <= percent * 100 * 120 / 100 + 400, "{got} of 100 at {percent} %");
    }
    let unlimited = avalanche(true);
    assert!(unlimited[..10].iter().all(|(_, got)| *got == 100), "{unlimited:?}");
    let sum: u32 = unlimited.iter().map(|(_, got)| got).sum();
    assert_eq!(sum, (3000 + 9900) / 4, "until parity");
}

/// nat: a service that has a server for itself makes one entry of a flow, and answers find it; one that shares it makes two.
#[test]
fn answers_have_entries_only_where_a_server_is_shared() {
    for (shares, entries) in [(false, 1), (true, 2)] {
        let mut plane = Plane::open(Limits { flows: 1 << 10, templates: 1 << 10 }).unwrap();
        let service = |name: &str, vip: [u8; 4]| Wanted {
            name: name.into(),
            addresses: vec![(SocketAddr::from((vip, 80)), Protocol::Tcp)],
            settings: Arc::new(settings(Scheduler::Rr)),
            compat_ipvs: false,
            servers: vec![WantedServer { forward: Forward::Nat, ..server(false, 1, 1) }],
            whole: true,
        };
        let mut wanted = vec![service("one", [192, 0, 2, 1])];
        wanted.extend(shares.then(|| service("other", [192, 0, 2, 2])));
        let (next, problems) = plan(&wanted, &mut Ids::default());
        assert_eq!(problems, [] as [&str; 0]);
        for write in writes(&Plan::default(), &next) {
            plane.apply(&write).unwrap();
        }
        let (client, own) = (SocketAddr::from(([10, 1, 0, 1], 4000)), SocketAddr::from(([10, 99, 0, 1], 80)));
        let key = FlowKey::new(client, wanted[0].addresses[0].0, 6);
        plane.try_frame(&frame(&key, SYN)).unwrap();
        assert_eq!(all(&plane).len(), entries, "{shares}");
        // Another client's, and then the flow's own.
        plane.try_frame(&frame(&FlowKey::new(own, SocketAddr::from(([10, 1, 0, 1], 4001)), 6), RST)).unwrap();
        assert_eq!(state(&plane, &key), Some(State::SynRecv));
        plane.try_frame(&frame(&FlowKey::new(own, client, 6), RST)).unwrap();
        assert_eq!(state(&plane, &key), Some(State::Close), "{shares}");
        let mut walk = Walk::default();
        while plane.expire_chunk(&mut walk, now() + 60 * SECOND).unwrap().is_some() {}
        assert_eq!(all(&plane).len(), 0);
    }
}

fn all(plane: &Plane) -> Vec<(FlowKey, weir::l4::abi::Flow)> {
    let (mut all, mut walk) = (Vec::new(), Walk::default());
    while let Some(chunk) = walk.next(plane).unwrap() {
        all.extend(chunk.map(|(key, flow)| (*key, *flow)));
    }
    all
}

fn state(plane: &Plane, key: &FlowKey) -> Option<State> {
    all(plane).into_iter().find(|(k, _)| k == key)?.1.state()
}
