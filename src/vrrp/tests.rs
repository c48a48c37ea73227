//! The state machine, step by step. Many routers at once are in tests/vrrp_simulation.rs.

use super::*;
use crate::wire::vrrp::{Advert, Auth, GROUP_V4, Version};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// A router of version 2 at 10.0.0.`host`, once a second, preempting, with one address.
pub fn settings(host: u8, priority: u8) -> Settings {
    Settings {
        name: format!("VI_{host}"),
        version: Version::V2,
        vrid: 51,
        priority,
        interval: Duration::from_secs(1),
        preempt: Preempt::After(Duration::ZERO),
        starts_master: false,
        start_delay: Duration::ZERO,
        auth: Auth::pass("1111"),
        source: Ipv4Addr::new(10, 0, 0, host).into(),
        addresses: vec![Ipv4Addr::new(10, 0, 0, 100).into()],
        peers: Vec::new(),
        min_ttl: 255,
        announce_again: None,
        announce_every: None,
        announce_lower: None,
        provokes: true,
    }
}

/// On the router's own interface.
fn heard(local: IpAddr, source: IpAddr, destination: IpAddr, ttl: u8, payload: &[u8]) -> Received<'_> {
    Received { path: 0, local, source, destination, ttl, payload }
}

/// A router and a clock in milliseconds from its start.
struct Bench {
    router: Router,
    zero: Instant,
    now: u64,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let mut bench = Self { router: Router::new(settings), zero: Instant::now(), now: 0 };
        bench.input(Input::Start);
        bench
    }

    fn time(&self) -> Instant {
        self.zero + Duration::from_millis(self.now)
    }

    fn input(&mut self, input: Input<'_>) -> String {
        self.router.handle_input(input, self.time());
        self.outputs()
    }

    /// Goes on in steps of a millisecond, answering what happens.
    fn wait(&mut self, ms: u64) -> String {
        let mut all = Vec::new();
        for _ in 0..ms {
            self.now += 1;
            let now = self.time();
            while self.router.poll_timeout().is_some_and(|due| due <= now) {
                self.router.handle_timeout(now);
                let outputs = self.outputs();
                all.push(format!("{}:{outputs}", self.now));
            }
        }
        all.join(" ")
    }

    /// The process sleeps so long.
    fn oversleep(&mut self, ms: u64) -> String {
        self.now += ms;
        self.router.handle_timeout(self.time());
        self.outputs()
    }

    fn outputs(&mut self) -> String {
        let mut words = Vec::new();
        while let Some(output) = self.router.poll_output() {
            words.push(match output {
                Output::Send(advert) => format!("send{}", advert.priority),
                Output::AddAddresses => "add".into(),
                Output::RemoveAddresses => "remove".into(),
                Output::Announce(Burst::Taken) => "announce".into(),
                Output::Announce(burst) => format!("announce-{burst:?}").to_lowercase(),
                Output::Became { to, .. } => to.name().into(),
                Output::Conflict { priority, .. } => format!("conflict{priority}"),
            });
        }
        words.join(",")
    }

    /// An advert of 10.0.0.`host`, changed by `edit`.
    fn hear_edited(&mut self, host: u8, priority: u8, edit: impl FnOnce(&mut Advert)) -> String {
        let s = settings(host, priority);
        let mut advert = Advert {
            version: self.router.settings.version,
            vrid: s.vrid,
            priority,
            interval: s.interval,
            addresses: s.addresses.clone(),
            auth: self.router.settings.auth,
        };
        edit(&mut advert);
        let destination = IpAddr::V4(GROUP_V4);
        let payload = advert.write(s.source, destination);
        self.input(Input::Packet(heard(self.router.settings.source, s.source, destination, 255, &payload)))
    }

    fn hear(&mut self, host: u8, priority: u8) -> String {
        self.hear_edited(host, priority, |_| {})
    }
}

#[test]
fn alone_it_becomes_master() {
    let mut b = Bench::new(settings(1, 156));
    assert_eq!(b.wait(3390), "");
    assert_eq!(b.wait(1), "3391:send156,add,announce,master");
    assert_eq!(b.wait(2000), "4391:send156 5391:send156");
    assert_eq!(b.input(Input::Stop), "send0");
    assert_eq!(b.input(Input::Stop), "remove,stopped", "asked twice, it does not wait for the next one");
    assert_eq!(b.wait(10_000), "");
}

#[test]
fn initial_states() {
    let mut b = Bench::new(Settings { starts_master: true, ..settings(1, 156) });
    assert_eq!(b.wait(1400), "1391:send156,add,announce,master");
    let mut b = Bench::new(Settings { start_delay: Duration::from_secs(5), ..settings(1, 156) });
    assert_eq!(b.wait(8390), "");
    assert_eq!(b.wait(1), "8391:send156,add,announce,master");
    let mut owner = Router::new(settings(1, 255));
    owner.handle_input(Input::Start, Instant::now());
    assert_eq!(owner.state(), State::Master);
}

#[test]
fn a_backup_listens() {
    let mut b = Bench::new(settings(1, 100));
    assert_eq!(b.wait(3000), "");
    assert_eq!(b.hear(2, 150), "");
    assert_eq!(b.wait(3609), "", "3 s and 156/256 s after the last advert");
    assert_eq!(b.wait(1), "6610:send100,add,announce,master");
    let mut b = Bench::new(settings(1, 100));
    assert_eq!(b.wait(1000), "");
    assert_eq!(b.hear(2, 0), "", "it stops: only the skew is waited for");
    assert_eq!(b.wait(609), "");
    assert_eq!(b.wait(1), "1610:add,send100,announce,master");
}

#[test]
fn preemption() {
    let hear_lower = |b: &mut Bench| (0..8).map(|_| b.hear(2, 50) + &b.wait(1000)).collect::<String>();
    let mut b = Bench::new(settings(1, 100));
    assert!(hear_lower(&mut b).contains("3610:add,send100,announce,master"), "a lower advert does not count");
    let mut b = Bench::new(Settings { preempt: Preempt::Never, ..settings(1, 100) });
    assert_eq!(hear_lower(&mut b), "");
    let delay = Preempt::After(Duration::from_secs(5));
    let mut b = Bench::new(Settings { preempt: delay, ..settings(1, 100) });
    let happened = hear_lower(&mut b);
    assert!(happened.starts_with("5000:add,send100,announce,master"), "{happened}");
}

#[test]
fn two_masters() {
    let master = |priority| {
        let mut b = Bench::new(settings(5, priority));
        b.wait(4000);
        assert_eq!(b.router.state(), State::Master);
        b
    };
    assert_eq!(master(100).hear(2, 150), "conflict150,send100,remove,backup");
    assert_eq!(
        master(100).hear(9, 100),
        "conflict100,send100,remove,backup",
        "the higher address wins a tie"
    );
    let mut b = master(100);
    assert_eq!(b.hear(2, 100), "conflict100,send100,announce-lower");
    assert_eq!(b.hear(2, 100), "conflict100", "a flood is not answered with a flood");
    let mut silent = master(100);
    silent.router.settings.provokes = false;
    assert_eq!(silent.hear(2, 150), "conflict150,remove,backup");
    assert_eq!(master(100).hear(2, 0), "send100", "who stops was master: say who is");
    assert_eq!(b.router.counts.conflicts, 2);
}

#[test]
fn faults_and_hand_over() {
    let mut b = Bench::new(settings(1, 100));
    b.wait(4000);
    assert_eq!(b.input(Input::Fault("eth0 is down".into())), "send0,remove,fault");
    assert_eq!(b.hear(2, 50), "");
    assert_eq!(b.wait(60_000), "");
    assert_eq!(b.input(Input::Clear), "backup");
    assert_eq!(b.wait(4000), "67610:send100,add,announce,master");
    assert_eq!(b.input(Input::Yield("asked to".into())), "send0,backup");
    assert_eq!(b.wait(500), "", "still held: nobody else has it yet");
    b.hear(2, 50);
    assert_eq!(b.wait(100), "68600:remove", "the next one has it");
    let lower: String = (0..8).map(|_| b.hear(2, 50) + &b.wait(1000)).collect();
    assert_eq!(lower, "", "it does not take back what it gave");
    b.input(Input::Ready);
    let lower: String = (0..8).map(|_| b.hear(2, 50) + &b.wait(1000)).collect();
    assert!(lower.contains("master"));
}

#[test]
fn nobody_takes_what_is_handed_over() {
    let mut b = Bench::new(settings(1, 100));
    b.wait(4000);
    b.input(Input::Yield("asked to".into()));
    let happened = b.wait(4000);
    assert!(happened.starts_with("5497:remove "), "nobody was heard: {happened}");
    assert!(happened.contains("add,announce,master"), "an address without a holder serves nobody");
    b.input(Input::Yield("asked to".into()));
    assert_eq!(b.input(Input::Fault("eth0 is down".into())), "remove,fault");
}

#[test]
fn a_master_that_stops_waits_for_the_next_one() {
    let master = || {
        let mut b = Bench::new(settings(1, 100));
        b.wait(4000);
        assert_eq!(b.input(Input::Stop), "send0");
        b
    };
    let mut b = master();
    assert_eq!(b.wait(600), "", "clients are answered here meanwhile");
    assert_eq!(b.hear(2, 0), "", "who stops too does not come");
    assert_eq!(b.hear(2, 50), "");
    assert_eq!(b.wait(10_000), "4700:remove,stopped", "it has announced the addresses by then");
    assert_eq!(b.router.counts.conflicts, 0);
    assert_eq!(master().wait(10_000), "5497:remove,stopped", "nobody comes");
    assert_eq!(master().input(Input::Fault("eth0 is down".into())), "remove,stopped");
    assert_eq!(master().input(Input::FallBack("VI_2 is backup".into())), "");
    let mut b = Bench::new(settings(1, 100));
    b.wait(4000);
    b.input(Input::Yield("asked to".into()));
    assert_eq!(b.input(Input::Stop), "", "said already");
    assert_eq!(b.wait(10_000), "5497:remove,stopped");
}

#[test]
fn what_is_left_to_another_process_is_not_touched() {
    let mut b = Bench::new(settings(1, 100));
    b.wait(4000);
    assert_eq!(b.input(Input::Bequeath("left to the next process".into())), "stopped");
    assert_eq!(b.input(Input::Stop), "");
    assert_eq!(b.wait(10_000), "");
    let mut heir = Bench::new(settings(1, 100));
    assert_eq!(
        heir.input(Input::TakeOver("left by the process before".into())),
        "add,send100,announce,master"
    );
}

#[test]
fn asleep_with_the_process() {
    let mut b = Bench::new(settings(1, 100));
    b.wait(3000);
    assert_eq!(b.oversleep(10_000), "", "listens before it claims");
    assert_eq!(b.wait(3609), "");
    assert_eq!(b.wait(1), "16610:send100,add,announce,master");
    assert_eq!(b.oversleep(10_000), "remove,backup");
    assert_eq!(b.hear(2, 150), "");
    // The advert of whoever took over meanwhile is read before the timer is looked at: it is no rival to be outbid.
    let mut b = Bench::new(settings(1, 100));
    b.wait(4000);
    b.now += 10_000;
    assert_eq!(b.hear(2, 50), "remove,backup");
    assert_eq!(b.router.counts.conflicts, 0);
    // A short nap is no reason to let go.
    let mut b = Bench::new(settings(1, 100));
    b.wait(4000);
    assert_eq!(b.oversleep(2500), "send100");
}

#[test]
fn what_is_not_listened_to() {
    let check = |reason: DropReason, hear: &dyn Fn(&mut Bench)| {
        let mut b = Bench::new(settings(1, 100));
        b.wait(3000);
        hear(&mut b);
        assert_eq!(b.router.counts.dropped(reason), 1, "{reason:?}");
        assert_eq!(b.router.counts.received, 0);
        assert_eq!(b.wait(611), "3610:send100,add,announce,master", "{reason:?} moved no timer");
    };
    let edited = |edit: fn(&mut Advert)| move |b: &mut Bench| drop(b.hear_edited(2, 200, edit));
    check(DropReason::AuthMismatch, &edited(|a| a.auth = Auth::pass("2222")));
    check(DropReason::AuthType, &edited(|a| a.auth = Auth::None));
    check(DropReason::Interval, &edited(|a| a.interval = Duration::from_secs(2)));
    check(DropReason::AddressList, &edited(|a| a.addresses = vec![Ipv4Addr::new(10, 0, 0, 99).into()]));
    check(DropReason::AddressList, &edited(|a| a.addresses.clear()));
    check(DropReason::Version, &edited(|a| a.version = Version::V3));
    check(DropReason::Vrid, &edited(|a| a.vrid = 52));
    check(DropReason::Own, &|b| drop(b.hear(1, 200)));
    let raw = |ttl: u8, destination: Ipv4Addr, flip: usize| {
        move |b: &mut Bench| {
            let (s, destination) = (settings(2, 200), IpAddr::V4(destination));
            let advert = Advert {
                version: s.version,
                vrid: s.vrid,
                priority: 200,
                interval: s.interval,
                addresses: s.addresses.clone(),
                auth: s.auth,
            };
            let mut payload = advert.write(s.source, destination);
            if let Some(byte) = payload.get_mut(flip) {
                *byte ^= 1;
            }
            let local = b.router.settings.source;
            b.input(Input::Packet(heard(local, s.source, destination, ttl, &payload)));
        }
    };
    check(DropReason::Ttl, &raw(254, GROUP_V4, 99));
    check(DropReason::Checksum, &raw(255, GROUP_V4, 2));
    check(DropReason::Malformed, &raw(255, GROUP_V4, 3));
    check(DropReason::Stranger, &raw(255, Ipv4Addr::new(10, 0, 0, 1), 99));
}

#[test]
fn version_3_learns_the_masters_interval() {
    let ms = Duration::from_millis;
    let v3 = Settings { version: Version::V3, auth: Auth::None, interval: ms(1000), ..settings(1, 100) };
    let mut b = Bench::new(v3);
    b.wait(1000);
    b.hear_edited(2, 150, |a| a.interval = ms(100));
    assert_eq!(b.wait(361), "1361:send100,add,announce,master", "300 ms and 156/256 of 100 ms");
}

#[test]
fn peers_only() {
    let peers = vec![Ipv4Addr::new(10, 0, 0, 2).into()];
    let mut b = Bench::new(Settings { peers, ..settings(1, 100) });
    b.hear(2, 200);
    assert_eq!(b.router.counts.dropped(DropReason::Stranger), 1, "multicast is not for one who has peers");
}

#[test]
fn announcements_repeat() {
    let mut b = Bench::new(Settings {
        announce_again: Some(Duration::from_secs(5)),
        announce_every: Some(Duration::from_secs(60)),
        ..settings(1, 156)
    });
    b.wait(3391);
    let happened = b.wait(66_000);
    assert_eq!(happened.matches("announce").count(), 2, "{happened}");
    assert!(happened.contains("8391:send156,announce"), "{happened}");
    assert!(happened.contains("announce-refresh"), "{happened}");
}

#[test]
fn a_lower_master_is_answered_twice() {
    let lower = Some(Duration::from_millis(2500));
    let mut b = Bench::new(Settings { announce_lower: lower, ..settings(5, 100) });
    b.wait(4000);
    assert_eq!(b.hear(2, 50), "conflict50,send100,announce-lower");
    let happened = b.wait(10_000);
    assert_eq!(happened.matches("announce").count(), 1, "{happened}");
    assert!(happened.contains("6500:announce-lower"), "{happened}");
}

/// 10.0.0.5 has the higher address on its own interface, and the lower one on the other path.
#[test]
fn ties_over_two_paths() {
    let on = |b: &mut Bench, path: usize, ours: u8, theirs: u8| {
        let ip = |host: u8| IpAddr::from([10, u8::try_from(path).unwrap(), 0, host]);
        let advert = Advert {
            version: Version::V2,
            vrid: 51,
            priority: 100,
            interval: Duration::from_secs(1),
            addresses: settings(1, 1).addresses,
            auth: Auth::pass("1111"),
        };
        let destination = IpAddr::V4(GROUP_V4);
        let payload = advert.write(ip(theirs), destination);
        let (local, source) = (ip(ours), ip(theirs));
        b.input(Input::Packet(Received { path, local, source, destination, ttl: 255, payload: &payload }))
    };
    let own = |b: &mut Bench| on(b, 0, 5, 2);
    let further = |b: &mut Bench| on(b, 1, 2, 5);
    let master = || {
        let mut b = Bench::new(settings(5, 100));
        b.wait(4000);
        b
    };
    let (stays, falls) = ("conflict100,send100,announce-lower", "conflict100,send100,remove,backup");
    let mut b = master();
    assert_eq!(own(&mut b), stays);
    assert_eq!(further(&mut b), "conflict100", "they hear each other on the first: only its order counts");
    let mut b = master();
    assert_eq!(further(&mut b), falls, "the first is silent: the further one decides");
    let mut b = master();
    own(&mut b);
    b.wait(3609);
    assert_eq!(further(&mut b), stays, "heard on the first a moment ago");
    let mut b = master();
    own(&mut b);
    b.wait(3611);
    assert_eq!(further(&mut b), falls, "the first has fallen silent");
    // The other one of the two, whose further address is the higher one, stays: exactly one is left.
    let mut other = Bench::new(settings(2, 100));
    other.wait(4000);
    assert_eq!(on(&mut other, 1, 5, 2), stays);
    assert_eq!(on(&mut other, 0, 2, 5), falls);
}

/// A group of two: VI_1 hears masters, VI_2 follows.
#[test]
fn a_group_moves_together() {
    let zero = Instant::now();
    let after = |ms| zero + Duration::from_millis(ms);
    let routers = vec![Router::new(settings(1, 200)), Router::new(settings(2, 100))];
    let group = Group { name: "VG".into(), members: vec![0, 1] };
    let mut node = Node::new(routers, vec![group]);
    let states = |node: &mut Node| {
        while node.poll_output().is_some() {}
        (node.routers[0].state(), node.routers[1].state())
    };
    node.handle_input(0, Input::Start, zero);
    node.handle_input(1, Input::Start, zero);
    assert_eq!(states(&mut node), (State::Backup, State::Backup));
    node.handle_timeout(after(3219));
    assert_eq!(states(&mut node), (State::Master, State::Master), "the second did not wait for its own time");
    node.handle_input(1, Input::Fault("eth1 is down".into()), after(4000));
    assert_eq!(states(&mut node), (State::Fault, State::Fault));
    node.handle_input(0, Input::Fault("eth0 is down".into()), after(4100));
    node.handle_input(1, Input::Clear, after(4200));
    assert_eq!(states(&mut node), (State::Fault, State::Fault), "the first is still at fault");
    node.handle_input(0, Input::Clear, after(4300));
    assert_eq!(states(&mut node), (State::Backup, State::Backup));
}

/// The configuration says something else: the state stays, and the others learn of it.
#[test]
fn other_settings() {
    let v3 = |priority| Settings { version: Version::V3, auth: Auth::None, ..settings(1, priority) };
    let other = |edit: fn(&mut Settings)| {
        let mut s = Settings { source: Ipv4Addr::UNSPECIFIED.into(), ..v3(156) };
        edit(&mut s);
        Input::Settings(Box::new(s))
    };
    let mut b = Bench::new(v3(156));
    b.wait(4000);
    assert_eq!(b.router.state(), State::Master);
    assert_eq!(b.input(other(|_| {})), "");
    assert_eq!(b.wait(392), "4391:send156", "nothing is new");
    assert_eq!(b.input(other(|s| s.interval = Duration::from_secs(3))), "");
    assert_eq!(b.wait(4000), "4393:send156 7392:send156", "at once, and then in the new rhythm");
    assert_eq!(b.input(other(|s| s.addresses.push(Ipv4Addr::new(10, 0, 0, 101).into()))), "announce");
    assert_eq!(b.router.settings.source, settings(1, 156).source, "the one it has");

    // A backup waits for the one it hears, in that one's rhythm, from now on.
    let mut b = Bench::new(v3(100));
    b.wait(1000);
    b.hear(2, 150);
    b.wait(2000);
    b.input(other(|s| s.preempt = Preempt::Never));
    assert_eq!(b.wait(3600), "");
    assert!(b.wait(100).contains("master"));
    // But one that stops is followed as soon as before.
    let mut b = Bench::new(v3(100));
    b.wait(1000);
    b.hear(2, 0);
    b.input(other(|s| s.preempt = Preempt::Never));
    assert!(b.wait(610).contains("master"));
}

/// Routers change places, leave and come; a group's newcomer follows its master.
#[test]
fn other_routers() {
    let zero = Instant::now();
    let mut node = Node::new(vec![Router::new(settings(1, 200)), Router::new(settings(2, 100))], Vec::new());
    (0..2).for_each(|at| node.handle_input(at, Input::Start, zero));
    node.handle_input(0, Input::Fault("eth0 is down".into()), zero);
    node.handle_timeout(zero + Duration::from_secs(4));
    while node.poll_output().is_some() {}
    let group = Group { name: "VG".into(), members: vec![0, 1] };
    let new = Origin::New(Box::new(Router::new(settings(3, 100))));
    node.replace(vec![Origin::Place(1), new], vec![group]);
    let now = zero + Duration::from_secs(5);
    node.handle_input(1, Input::Start, now);
    let states: Vec<State> = node.routers.iter().map(Router::state).collect();
    assert_eq!(states, [State::Master, State::Backup]);
    node.join(now);
    assert_eq!(node.routers[1].state(), State::Master);
    // The fault was that of the router that has left.
    node.handle_input(1, Input::Clear, now);
    assert_eq!(node.routers[1].state(), State::Master);
}
