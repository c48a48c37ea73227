//! Routers under a virtual clock and a network that loses, doubles, delays and parts: once it is quiet again, each part of the
//! network has one master and it stays. Every run follows from its seed, which a failure prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use weir::vrrp::{Input, Output, Preempt, Received, Router, Settings, State};
use weir::wire::vrrp::{Auth, GROUP_V4, TTL, Version};

const RUNS: u64 = 10_000;
/// Milliseconds of trouble, and then of quiet.
const TROUBLE: u64 = 20_000;
const SETTLES: u64 = 25_000;
const STAYS: u64 = 10_000;

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives {
        path: usize,
        to: usize,
        from: usize,
        payload: Vec<u8>,
    },
    /// Something goes wrong somewhere.
    Mischief,
    /// One that was stopped is started again, once it has left.
    Starts(usize),
}

struct Machine {
    router: Router,
    holds: bool,
    /// Asleep until then (SIGSTOP).
    asleep_until: u64,
    transitions: usize,
}

struct World {
    seed: u64,
    random: Random,
    zero: Instant,
    now: u64,
    machines: Vec<Machine>,
    settings: Vec<Settings>,
    /// The networks all machines are on: the one that holds the addresses, and perhaps one more that carries adverts.
    paths: usize,
    /// Which part of each network each machine is in.
    part: [Vec<u64>; 2],
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    trouble: bool,
}

fn settings(random: &mut Random, machines: u64) -> Vec<Settings> {
    let version = if random.percent(50) { Version::V2 } else { Version::V3 };
    let interval = match version {
        Version::V2 => Duration::from_secs(1 + random.below(2)),
        Version::V3 => Duration::from_millis(100 + 10 * random.below(100)),
    };
    let preempt = match random.below(3) {
        0 => Preempt::Never,
        1 => Preempt::After(Duration::ZERO),
        _ => Preempt::After(Duration::from_millis(random.below(3000))),
    };
    (0..machines)
        .map(|i| Settings {
            name: format!("VI_{i}"),
            version,
            vrid: 7,
            priority: u8::try_from(1 + random.below(254)).unwrap(),
            interval,
            preempt,
            starts_master: random.percent(30),
            start_delay: Duration::ZERO,
            auth: if version == Version::V2 { Auth::pass("secret") } else { Auth::None },
            source: Ipv4Addr::new(10, 0, 0, u8::try_from(i + 1).unwrap()).into(),
            addresses: vec![Ipv4Addr::new(10, 0, 0, 100).into()],
            peers: Vec::new(),
            min_ttl: TTL,
            announce_again: Some(Duration::from_secs(5)),
            announce_every: None,
            announce_lower: None,
            provokes: random.percent(50),
        })
        .collect()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let count = 2 + random.below(4);
        let settings = settings(&mut random, count);
        let machines = settings
            .iter()
            .map(|s| Machine {
                router: Router::new(s.clone()),
                holds: false,
                asleep_until: 0,
                transitions: 0,
            })
            .collect();
        let part = [vec![0; settings.len()], vec![0; settings.len()]];
        let paths = if random.percent(30) { 2 } else { 1 };
        let zero = Instant::now();
        let mut world = Self {
            seed,
            random,
            zero,
            now: 0,
            machines,
            settings,
            paths,
            part,
            events: BinaryHeap::new(),
            serial: 0,
            trouble: true,
        };
        for at in 0..world.machines.len() {
            world.input(at, Input::Start);
        }
        for _ in 0..world.random.below(12) {
            let at = world.random.below(TROUBLE);
            world.plan(at, Event::Mischief);
        }
        world
    }

    fn time(&self) -> Instant {
        self.zero + Duration::from_millis(self.now)
    }

    fn plan(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.push(Reverse((at, self.serial, event)));
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        let now = self.time();
        self.machines[at].router.handle_input(input, now);
        self.take_outputs(at);
    }

    fn take_outputs(&mut self, at: usize) {
        while let Some(output) = self.machines[at].router.poll_output() {
            let machine = &mut self.machines[at];
            match output {
                Output::AddAddresses => {
                    assert!(!machine.holds, "seed {}: added twice", self.seed);
                    machine.holds = true;
                }
                Output::RemoveAddresses => {
                    assert!(machine.holds, "seed {}: removed twice", self.seed);
                    machine.holds = false;
                }
                Output::Became { .. } => machine.transitions += 1,
                Output::Send(advert) => {
                    for path in 0..self.paths {
                        let payload = advert.write(self.source(at, path), GROUP_V4.into());
                        self.broadcast(path, at, &payload);
                    }
                }
                Output::Announce(_) | Output::Conflict { .. } => {}
            }
        }
    }

    /// On the second network the order of the addresses is the other way round.
    fn source(&self, at: usize, path: usize) -> IpAddr {
        match (path, self.settings[at].source) {
            (0, source) => source,
            _ => Ipv4Addr::new(10, 1, 0, 200 - u8::try_from(at).unwrap()).into(),
        }
    }

    fn broadcast(&mut self, path: usize, from: usize, payload: &[u8]) {
        for to in (0..self.machines.len()).filter(|to| *to != from) {
            if self.part[path][to] != self.part[path][from] || (self.trouble && self.random.percent(15)) {
                continue;
            }
            let copies = 1 + u64::from(self.trouble && self.random.percent(10));
            for _ in 0..copies {
                let delay = if self.trouble { self.random.below(400) } else { 1 };
                self.plan(self.now + delay, Event::Arrives { path, to, from, payload: payload.to_vec() });
            }
        }
    }

    fn mischief(&mut self) {
        let at = usize::try_from(self.random.below(self.machines.len() as u64)).unwrap();
        match self.random.below(7) {
            // kill -9 and a new start
            0 => {
                let machine = &mut self.machines[at];
                machine.router = Router::new(self.settings[at].clone());
                machine.holds = false;
                self.input(at, Input::Start);
            }
            1 => {
                self.input(at, Input::Stop);
                if self.random.percent(50) {
                    self.input(at, Input::Stop);
                }
                self.happen(Event::Starts(at));
            }
            2 => self.machines[at].asleep_until = self.now + self.random.below(12_000),
            3 => {
                let path = usize::try_from(self.random.below(2)).unwrap();
                for machine in 0..self.machines.len() {
                    self.part[path][machine] = self.random.below(2);
                }
            }
            5 => {
                self.input(at, Input::Yield("asked to".into()));
                self.input(at, Input::Ready);
            }
            4 => self.part = [vec![0; self.machines.len()], vec![0; self.machines.len()]],
            _ => {
                self.input(at, Input::Fault("link down".into()));
                self.input(at, Input::Clear);
            }
        }
    }

    /// Runs until `end`.
    fn run(&mut self, end: u64) {
        loop {
            let timer = self.next_timer();
            let event = self.events.peek().map(|Reverse((at, _, _))| *at);
            let Some(next) = timer.map(|(at, _)| at).into_iter().chain(event).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if event == Some(next) {
                let Some(Reverse((_, _, event))) = self.events.pop() else { continue };
                self.happen(event);
            } else if let Some((_, at)) = timer {
                let now = self.time();
                self.machines[at].router.handle_timeout(now);
                self.take_outputs(at);
            }
        }
        self.now = end;
    }

    fn next_timer(&self) -> Option<(u64, usize)> {
        let due = |machine: &Machine| {
            let due = machine.router.poll_timeout()?.saturating_duration_since(self.zero);
            // Rounded up, or the router is asked before it is due.
            let due = u64::try_from(due.as_micros().div_ceil(1000)).unwrap();
            Some(due.max(machine.asleep_until))
        };
        self.machines.iter().enumerate().filter_map(|(at, m)| Some((due(m)?, at))).min()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Mischief => self.mischief(),
            Event::Starts(at) if self.machines[at].router.state() == State::Stopped => {
                self.input(at, Input::Start);
            }
            Event::Starts(at) => self.plan(self.now + 1000, Event::Starts(at)),
            Event::Arrives { path, to, from, payload } => {
                let wakes = self.machines[to].asleep_until;
                if wakes > self.now {
                    // It waits in the socket.
                    return self.plan(wakes, Event::Arrives { path, to, from, payload });
                }
                let (local, source) = (self.source(to, path), self.source(from, path));
                let (destination, payload) = (IpAddr::V4(GROUP_V4), &payload[..]);
                let packet = Received { path, local, source, destination, ttl: TTL, payload };
                self.input(to, Input::Packet(packet));
            }
        }
    }

    /// The masters of each part, by place.
    fn masters(&self, part: u64) -> Vec<usize> {
        (0..self.machines.len())
            .filter(|at| self.part[0][*at] == part && self.machines[*at].router.state() == State::Master)
            .collect()
    }

    fn check(&self) {
        for part in [0, 1] {
            let members: Vec<usize> =
                (0..self.machines.len()).filter(|at| self.part[0][*at] == part).collect();
            if members.is_empty() {
                continue;
            }
            let masters = self.masters(part);
            assert_eq!(
                masters.len(),
                1,
                "seed {}: part {part} {members:?} has masters {masters:?}",
                self.seed
            );
            if matches!(self.settings[0].preempt, Preempt::After(_)) {
                let rank = |at: &usize| (self.settings[*at].priority, self.settings[*at].source);
                let best = members.iter().max_by_key(|at| rank(at)).unwrap();
                // Equal priorities: whoever is master stays, an address breaks ties between masters only.
                assert_eq!(
                    self.settings[masters[0]].priority, self.settings[*best].priority,
                    "seed {}: {} is not the best of part {part}",
                    self.seed, masters[0]
                );
            }
        }
        for machine in &self.machines {
            // What was handed over is let go of by now.
            let is_master = machine.router.state() == State::Master;
            assert_eq!(machine.holds, is_master, "seed {}: addresses and state differ", self.seed);
        }
    }
}

fn run(seed: u64) -> Vec<usize> {
    let mut world = World::new(seed);
    world.run(TROUBLE);
    world.trouble = false;
    // Whole again, or parted alike on both networks. A second network that is whole makes one of the first.
    if world.random.percent(50) {
        world.part[0].fill(0);
    }
    let reaches_all = world.paths == 2 && world.random.percent(50);
    world.part[1] = if reaches_all { vec![0; world.machines.len()] } else { world.part[0].clone() };
    world.run(TROUBLE + SETTLES);
    if reaches_all {
        world.part[0].fill(0);
    }
    world.check();
    let settled: Vec<usize> = world.machines.iter().map(|m| m.transitions).collect();
    world.run(TROUBLE + SETTLES + STAYS);
    world.check();
    let later: Vec<usize> = world.machines.iter().map(|m| m.transitions).collect();
    assert_eq!(settled, later, "seed {seed}: still moving in quiet");
    later
}

#[test]
fn one_master_in_each_part_once_it_is_quiet() {
    let moved: usize = (1..=RUNS).map(|seed| run(seed).iter().sum::<usize>()).sum();
    // The trouble is real: on the average run addresses moved several times.
    assert!(moved > usize::try_from(RUNS).unwrap() * 6, "{moved} transitions only");
}

#[test]
fn a_seed_tells_all() {
    for seed in [3, 77, 4242] {
        assert_eq!(run(seed), run(seed));
    }
}
