//! Backends under load: queues, priorities, limits, slow start, tracking.

mod dynamic;
mod orders;

use super::control::ServerAt;
use super::*;
use crate::config::model::{Backend, Balance, Front, Server};
use crate::ids::ServerIndex;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(super) fn server(name: &str) -> Server {
    Server { name: name.into(), id: u32::from(name.as_bytes()[0] - b'a') + 1, ..Server::default() }
}

pub(super) fn backend(balance: Balance, servers: Vec<Server>) -> Proxy {
    let servers = servers.into_iter().map(Arc::new).collect();
    Proxy {
        name: "web".into(),
        back: Some(Backend { balance, servers, ..Backend::default() }),
        ..Proxy::default()
    }
}

pub(super) fn generation(proxies: Vec<Proxy>) -> Generation {
    let config = Config { proxies: proxies.into_iter().map(Arc::new).collect(), ..Config::default() };
    let process = Process::new(1, "h".into(), 1, 100);
    Generation::build(Arc::new(config), Arc::new(process), 1, None)
}

fn live(proxy: Proxy) -> (Generation, Arc<LiveBackend>) {
    let generation = generation(vec![proxy]);
    let back = generation.proxies[0].back.clone().unwrap();
    (generation, back)
}

const WEB: ProxyIndex = ProxyIndex(0);

fn at(i: u32) -> ServerAt {
    (WEB, ServerIndex(i))
}

fn sticky(i: u32, redispatch: bool) -> Want<'static> {
    Want { sticky: Some(Sticky { server: ServerIndex(i), even_down: false, redispatch }), ..Want::default() }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn name(slot: &Slot) -> &str {
    slot.server().name()
}

fn picks(back: &Arc<LiveBackend>, n: usize) -> String {
    (0..n).map(|_| name(&back.try_assign(&Want::default()).unwrap().unwrap()).to_owned()).collect()
}

#[test]
fn a_freed_slot_goes_to_the_first_that_waits() {
    let (_generation, back) =
        live(backend(Balance::RoundRobin, vec![Server { maxconn: 1, minconn: 1, ..server("a") }]));
    let first = back.try_assign(&Want::default()).unwrap().unwrap();
    assert!(back.try_assign(&Want::default()).is_none());
    let mut second = pin!(back.assign(Want::default()));
    let mut third = Box::pin(back.assign(Want::default()));
    let mut fourth = pin!(back.assign(Want::default()));
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(third.as_mut()).is_pending());
    assert!(poll(fourth.as_mut()).is_pending());
    assert_eq!(back.queued(), 3);
    drop(first);
    assert_eq!((back.queued(), back.servers[0].current()), (2, 1));
    let Poll::Ready(Ok(slot)) = poll(second) else { panic!("second has no slot") };
    assert_eq!((slot.backend_queue, slot.server_queue), (1, 0));
    assert!(poll(third.as_mut()).is_pending());
    drop(slot);
    // The third has the slot but is gone before it knows: the fourth gets it.
    drop(third);
    let Poll::Ready(Ok(slot)) = poll(fourth) else { panic!("fourth has no slot") };
    // The second, the third and itself left the queue.
    assert_eq!(slot.backend_queue, 3);
    drop(slot);
    assert_eq!((back.queued(), back.servers[0].current(), back.servers[0].max()), (0, 0, 1));
}

#[test]
fn priorities_go_before_arrival() {
    let (_generation, back) =
        live(backend(Balance::RoundRobin, vec![Server { maxconn: 1, minconn: 1, ..server("a") }]));
    let held = back.try_assign(&Want::default()).unwrap().unwrap();
    let mut normal = pin!(back.assign(Want::default()));
    let mut urgent = pin!(back.assign(Want { priority_class: -1, ..Want::default() }));
    let mut early = pin!(back.assign(Want { priority_offset_ms: -5000, ..Want::default() }));
    assert!(poll(normal.as_mut()).is_pending());
    assert!(poll(urgent.as_mut()).is_pending());
    assert!(poll(early.as_mut()).is_pending());
    drop(held);
    let Poll::Ready(Ok(slot)) = poll(urgent) else { panic!("class") };
    drop(slot);
    assert!(poll(normal.as_mut()).is_pending());
    let Poll::Ready(Ok(slot)) = poll(early) else { panic!("offset") };
    drop(slot);
    assert!(poll(normal).is_ready());
}

#[test]
fn a_full_queue_refuses_or_redispatches() {
    let limited = |n| Server { maxconn: 1, minconn: 1, maxqueue: 1, ..server(n) };
    let (_generation, back) = live(backend(Balance::RoundRobin, vec![limited("a"), limited("b")]));
    let held = back.try_assign(&sticky(0, false)).unwrap().unwrap();
    let mut waits = pin!(back.assign(sticky(0, false)));
    assert!(poll(waits.as_mut()).is_pending());
    assert_eq!(back.servers[0].queued(), 1);
    let Some(Err(refusal)) = back.try_assign(&sticky(0, false)) else { panic!("not refused") };
    assert_eq!(refusal, Refusal::QueueFull);
    let other = back.try_assign(&sticky(0, true)).unwrap().unwrap();
    assert_eq!(name(&other), "b");
    drop(held);
    let Poll::Ready(Ok(slot)) = poll(waits) else { panic!("no slot") };
    assert_eq!((name(&slot), slot.server_queue), ("a", 1));
}

#[tokio::test]
async fn the_queue_timeout_strikes() {
    let (_generation, back) =
        live(backend(Balance::RoundRobin, vec![Server { maxconn: 1, minconn: 1, ..server("a") }]));
    let _held = back.try_assign(&Want::default()).unwrap().unwrap();
    let want = Want { queue_timeout: Some(Duration::from_millis(5)), ..Want::default() };
    assert_eq!(back.assign(want).await.unwrap_err(), Refusal::QueueTimeout);
    assert_eq!(back.queued(), 0);
}

#[test]
fn who_waits_for_a_server_that_goes_down_chooses_again() {
    let limited = |n| Server { maxconn: 1, minconn: 1, ..server(n) };
    let (generation, back) = live(backend(Balance::RoundRobin, vec![limited("a"), limited("b")]));
    let _held = back.try_assign(&sticky(0, true)).unwrap().unwrap();
    let mut moves = pin!(back.assign(sticky(0, true)));
    let mut stays = pin!(back.assign(sticky(0, false)));
    assert!(poll(moves.as_mut()).is_pending());
    assert!(poll(stays.as_mut()).is_pending());
    let notices = generation.set_oper(at(0), OperState::Stopped, ", reason: test", Instant::now());
    assert_eq!(
        notices[0].log,
        "Server web/a is DOWN, reason: test. 1 active and 0 backup servers left. 1 sessions active, 1 requeued, \
         1 remaining in queue."
    );
    let Poll::Ready(Ok(slot)) = poll(moves) else { panic!("not redistributed") };
    assert_eq!(name(&slot), "b");
    assert!(poll(stays).is_pending());
}

#[test]
fn a_server_that_comes_up_serves_the_queue() {
    let limited = |n| Server { maxconn: 1, minconn: 1, ..server(n) };
    let (generation, back) = live(backend(Balance::LeastConn, vec![limited("a"), limited("b")]));
    let now = Instant::now();
    generation.set_oper(at(1), OperState::Stopped, "", now);
    let _held = back.try_assign(&Want::default()).unwrap().unwrap();
    let mut waits = pin!(back.assign(Want::default()));
    assert!(poll(waits.as_mut()).is_pending());
    let notices = generation.set_oper(at(1), OperState::Running, "", now);
    assert_eq!(
        notices[0].log,
        "Server web/b is UP. 2 active and 0 backup servers online. 1 sessions requeued, 0 total in queue."
    );
    let Poll::Ready(Ok(slot)) = poll(waits) else { panic!("not served") };
    assert_eq!(name(&slot), "b");
}

#[test]
fn nobody_left() {
    let (generation, back) = live(backend(Balance::RoundRobin, vec![server("a")]));
    let notices = generation.set_oper(at(0), OperState::Stopped, "", Instant::now());
    assert_eq!(notices[1].log, "backend web has no server available!");
    assert_eq!(notices[1].stderr_line(7), "[ALERT]    (7) : backend 'web' has no server available!\n");
    let Some(Err(refusal)) = back.try_assign(&Want::default()) else { panic!("not refused") };
    assert_eq!(refusal, Refusal::NoServer);
    // Persistence may still insist.
    let insists = Want {
        sticky: Some(Sticky { server: ServerIndex(0), even_down: true, redispatch: false }),
        ..Want::default()
    };
    assert!(back.try_assign(&insists).unwrap().is_ok());
    assert_eq!(generation.nbsrv(WEB), 0);
}

/// `minconn 2 maxconn 10 fullconn 100`: the limit follows the backend's sessions.
#[test]
fn the_limit_follows_the_load() {
    let mut proxy = backend(Balance::RoundRobin, vec![Server { minconn: 2, maxconn: 10, ..server("a") }]);
    proxy.back.as_mut().unwrap().fullconn = Some(100);
    let (_generation, back) = live(proxy);
    for (sessions, limit) in [(1, 2), (20, 2), (21, 2), (30, 3), (99, 9), (100, 10), (500, 10)] {
        while back.current() < sessions {
            back.enter();
        }
        let mut slots = Vec::new();
        while let Some(Ok(slot)) = back.try_assign(&Want::default()) {
            slots.push(slot);
        }
        assert_eq!(slots.len(), limit, "{sessions} sessions");
    }
}

/// As haproxy 2.6 shows them, `slim` of each backend.
#[test]
fn full_loads_follow_the_frontends() {
    let text = "frontend f1\n use_backend b1 if { path /1 }\n use_backend b1 if { path /2 }\n use_backend b2 if { path /3 }\n default_backend b1
frontend f2\n maxconn 55\n use_backend %[path] if { path /a }\n default_backend b3
frontend f3\n disabled\n default_backend b3
listen l1\n maxconn 310\n use_backend b2 if { path /x }
listen l2\n maxconn 700\n default_backend b4
backend b1\nbackend b2\nbackend b3\nbackend b4\nbackend b5\nbackend b6\n fullconn 17\n";
    let check = |maxconn: usize, expected: [u32; 8]| {
        let text = format!(
            "defaults\n mode http\n timeout client 1s\n timeout connect 1s\n timeout server 1s\n{text}"
        );
        let source = crate::config::Source { name: "t.cfg".into(), bytes: text.into_bytes() };
        let config = crate::config::load(&[source], &Default::default()).unwrap().config;
        let process = Process::new(1, "h".into(), 1, maxconn);
        let generation = Generation::build(Arc::new(config), Arc::new(process), 1, None);
        let loads: Vec<u32> =
            generation.proxies.iter().filter_map(|p| Some(p.back.as_ref()?.fullconn)).collect();
        assert_eq!(loads, expected, "{maxconn}");
    };
    check(1000, [31, 1, 100, 131, 6, 70, 1, 17]);
    check(9984, [31, 1, 999, 1030, 6, 70, 1, 17]);
}

#[test]
fn turns_are_exact_across_threads() {
    let (_generation, back) = live(backend(Balance::RoundRobin, vec![server("a"), server("b"), server("c")]));
    let picked: String = std::thread::scope(|s| {
        let threads: Vec<_> = (0..3).map(|_| s.spawn(|| picks(&back, 1000))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let totals = ["a", "b", "c"].map(|name| picked.matches(name).count());
    assert_eq!(totals, [1000, 1000, 1000]);
    assert_eq!(picks(&back, 6), "abcabc");
}

/// A server comes back under leastconn while the others are busy: its share of new connections follows the ramp although
/// it has fewer connections than any other.
#[test]
fn slow_start_limits_admission() {
    let slow = Some(Duration::from_secs(100));
    let servers = vec![server("a"), server("b"), Server { slowstart: slow, ..server("c") }];
    let (generation, back) = live(backend(Balance::LeastConn, servers));
    let start = Instant::now();
    generation.set_oper(at(2), OperState::Stopped, "", start);
    generation.set_oper(at(2), OperState::Running, "", start);
    let share = |seconds: u64| {
        generation.tick(start + Duration::from_secs(seconds));
        let slots: Vec<Slot> =
            (0..330).map(|_| back.try_assign(&Want::default()).unwrap().unwrap()).collect();
        slots.iter().filter(|s| name(s) == "c").count()
    };
    // weight 1/16 of 1: 330 x 1/33 = 10; half of the weight: 330 x 9/41 = 72; at the end a third.
    assert!((9..=10).contains(&share(0)));
    assert_eq!(share(50), 72);
    assert!((107..=110).contains(&share(99)));
    assert_eq!(share(100), 110);
    assert_eq!(back.servers[2].oper(), OperState::Running);
}

#[test]
fn slow_start_ramps_weight_and_maxconn() {
    let slow = Some(Duration::from_secs(100));
    let limited = Server { slowstart: slow, maxconn: 50, minconn: 50, ..server("b") };
    let (generation, back) = live(backend(Balance::RoundRobin, vec![server("a"), limited]));
    let start = Instant::now();
    generation.set_oper(at(1), OperState::Stopped, "", start);
    generation.set_oper(at(1), OperState::Running, "", start);
    for (seconds, limit) in [(0, 1), (10, 5), (50, 25), (99, 49), (100, 50)] {
        generation.tick(start + Duration::from_secs(seconds));
        let mut slots = Vec::new();
        while slots.len() < 60 {
            match back.try_assign(&sticky(1, false)) {
                Some(Ok(slot)) => slots.push(slot),
                _ => break,
            }
        }
        assert_eq!(slots.len(), limit, "{seconds} s");
    }
}

#[test]
fn tracking_servers_follow() {
    let tracker = Proxy {
        name: "other".into(),
        ..backend(Balance::RoundRobin, vec![Server { track: Some("web/a".into()), ..server("a") }])
    };
    let generation = generation(vec![backend(Balance::RoundRobin, vec![server("a"), server("b")]), tracker]);
    let now = Instant::now();
    let lines = |notices: Vec<Notice>| notices.into_iter().map(|n| n.log).collect::<Vec<_>>();
    assert_eq!(
        lines(generation.set_oper(at(0), OperState::Stopped, ", reason: test", now))[1..],
        [
            "Server other/a is DOWN via web/a. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, \
             0 remaining in queue.",
            "backend other has no server available!"
        ]
    );
    generation.set_oper(at(0), OperState::Running, "", now);
    assert_eq!(
        lines(generation.set_maint(at(0), true, now))[..2],
        [
            "Server web/a is going DOWN for maintenance. 1 active and 0 backup servers left. 0 sessions active, \
             0 requeued, 0 remaining in queue.",
            "Server other/a is going DOWN for maintenance via web/a. 0 active and 0 backup servers left. 0 sessions \
             active, 0 requeued, 0 remaining in queue."
        ]
    );
    assert!(!generation.server_is_up(ProxyIndex(1), "a"));
    assert_eq!(
        lines(generation.set_maint(at(0), false, now)),
        [
            "Server web/a is UP/READY (leaving forced maintenance).",
            "Server other/a is UP/READY (leaving maintenance)."
        ]
    );
    assert!(generation.server_is_up(ProxyIndex(1), "a"));
}

#[test]
fn the_dump_is_haproxys() {
    let front = Proxy { name: "l".into(), front: Some(Front::default()), ..Proxy::default() };
    let generation = generation(vec![backend(Balance::RoundRobin, vec![server("a")]), front]);
    assert_eq!(
        generation.dump_servers(),
        [
            "SIGHUP received, dumping servers states.",
            "SIGHUP: Server web/a is UP. Conn: 0 act, 0 pend, 0 tot.",
            "SIGHUP: Proxy web has 1 active servers and 0 backup servers available. Conn: act(FE+BE): 0+0, 0 pend (0 \
             unass), tot(FE+BE): 0+0.",
            "SIGHUP: Proxy l has no servers. Conn: act(FE+BE): 0+0, 0 pend (0 unass), tot(FE+BE): 0+0."
        ]
    );
}

#[test]
fn sessions_are_told_to_end() {
    let marked = Server { on_marked_down: Some(crate::config::model::Mark::ShutdownSessions), ..server("a") };
    let (generation, back) = live(backend(Balance::RoundRobin, vec![marked]));
    let mut told = pin!(back.servers[0].killed(back.servers[0].kills()));
    assert!(poll(told.as_mut()).is_pending());
    generation.set_oper(at(0), OperState::Stopped, "", Instant::now());
    assert!(poll(told).is_ready());
}
