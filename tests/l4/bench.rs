//! Measurements, for `benches/l4/run`: each prints a table, and does nothing among the tests.

use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP, run};
use crate::schedulers::{frame, server, settings};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir::balance::l4::Scheduler;
use weir::config::model::l4::{Forward, L4, Protocol};
use weir::l4::abi::FlowKey;
use weir::l4::ids::Ids;
use weir::l4::io::{Limits, Plane, Walk, now};
use weir::l4::plan::{Plan, Wanted, plan};
use weir::l4::reconcile::writes;
use weir::l4::write::Write;

const SYN: u8 = 2;
const ACK: u8 = 16;
/// Of the kernel: the packet leaves by another interface.
const REDIRECT: u32 = 7;

fn wanted(name: &str) -> bool {
    std::env::var("WEIR_L4_BENCH").is_ok_and(|bench| bench == name)
}

/// A plane with one service of three servers behind a dummy interface that is there already (10.99.0.0/24 at `d0`).
fn plane(forward: Forward, flows: u32) -> Plane {
    let mut plane = Plane::open(Limits { flows, templates: 1 << 10 }).unwrap();
    let servers = (11..14).map(|n| weir::l4::plan::WantedServer { forward, ..server(false, n, 1) }).collect();
    let sources = (100..164).map(|n| [10, 99, 1, n].into()).collect();
    let service = Wanted {
        name: "bench".into(),
        addresses: vec![(SocketAddr::from(([192, 0, 2, 1], 80)), Protocol::Tcp)],
        settings: Arc::new(L4 { forward, sources, ..settings(Scheduler::Wlc) }),
        compat_ipvs: false,
        servers,
        whole: true,
    };
    let (next, problems) = plan(&[service], &mut Ids::default());
    assert_eq!(problems, [] as [&str; 0]);
    for write in writes(&Plan::default(), &next) {
        let local = match write {
            Write::Server { id, mut server } => {
                server.local = std::net::IpAddr::from([10, 99, 0, 1]).into();
                Write::Server { id, server }
            }
            other => other,
        };
        plane.apply(&local).unwrap();
    }
    plane.routes_changed(false).unwrap();
    plane
}

fn client(n: u32) -> FlowKey {
    let [_, a, b, c] = n.to_be_bytes();
    let source = SocketAddr::from(([11, a, b, c], 40_000));
    FlowKey::new(source, SocketAddr::from(([192, 0, 2, 1], 80)), 6)
}

struct Times(Vec<u128>);

impl Times {
    fn of(frames: impl Iterator<Item = Vec<u8>>, mut one: impl FnMut(&[u8]) -> Duration) -> Self {
        let mut times: Vec<u128> = frames.map(|frame| one(&frame).as_nanos()).collect();
        times.sort_unstable();
        Self(times)
    }

    fn at(&self, percent: usize) -> u128 {
        self.0[(self.0.len() - 1) * percent / 100]
    }

    fn print(&self, what: &str, empty: u128) {
        let [low, median, high] = [10, 50, 90].map(|percent| self.at(percent));
        println!(
            "| {what} | {low} | {median} | {high} | {} |",
            i128::try_from(median).unwrap() - i128::try_from(empty).unwrap()
        );
    }
}

const PACKETS: u32 = 20_000;

/// ns per packet, each run by itself.
#[test]
fn packets() {
    if !wanted("packets") {
        return;
    }
    let file = std::env::var("WEIR_L4_EMPTY").unwrap();
    let mut object = aya::Ebpf::load_file(file).unwrap();
    let empty: &mut SchedClassifier = object.program_mut("empty").unwrap().try_into().unwrap();
    empty.load().unwrap();
    println!(
        "| one packet | 10 % | median ns | 90 % | net of the empty program |\n|---|---:|---:|---:|---:|"
    );
    let frames = || (0..PACKETS).map(|n| frame(&client(n), SYN));
    let base = Times::of(frames(), |frame| {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        empty.test_run(options).unwrap().duration
    });
    let none = base.at(50);
    base.print("empty program", none);
    for (name, forward) in [
        ("dr", Forward::DirectRouting),
        ("nat", Forward::Nat),
        ("tun", Forward::Tunnel(weir::config::model::l4::Encapsulation::Ip)),
        ("fullnat", Forward::FullNat { toa: false }),
    ] {
        let mut plane = plane(forward, 1 << 17);
        let mut run = |frame: &[u8]| {
            let (result, time) = plane.try_frame(frame).unwrap();
            assert!(result == REDIRECT, "{name}: {result}: is there a route to 10.99.0.11?");
            time
        };
        Times::of(frames(), &mut run).print(&format!("{name}: new flow"), none);
        let hits = (0..PACKETS).map(|n| frame(&client(n), ACK));
        Times::of(hits, &mut run).print(&format!("{name}: hit"), none);
        // The same flow again and again: what one busy connection costs.
        let hits = (0..PACKETS).map(|_| frame(&client(7), ACK));
        Times::of(hits, &mut run).print(&format!("{name}: hit, one flow"), none);
        if name == "dr" {
            let other =
                FlowKey::new(SocketAddr::from(([11, 0, 0, 1], 1)), SocketAddr::from(([192, 0, 2, 9], 80)), 6);
            let misses = (0..PACKETS).map(|_| frame(&other, ACK));
            Times::of(misses, |frame| plane.try_frame(frame).unwrap().1).print("miss", none);
        }
    }
}

const MILLION: u32 = 1_000_000;

/// What the maps of this process have locked, in kB.
fn memory() -> u64 {
    let files = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let locked = |text: String| {
        let line: Option<u64> =
            text.lines().find(|line| line.starts_with("memlock:"))?.split_whitespace().nth(1)?.parse().ok();
        text.contains("map_type:").then_some(line).flatten()
    };
    files.filter_map(|file| locked(std::fs::read_to_string(file.path()).ok()?)).sum::<u64>() / 1024
}

/// A million flows: memory, the cost of a hit, the time to end them.
#[test]
fn flows() {
    if !wanted("flows") {
        return;
    }
    let mut plane = plane(Forward::DirectRouting, 1 << 20);
    println!("memory of the maps, 1,048,576 entries: {} MB", memory() / 1024);
    let mut fill = |few: u32, all: u32| {
        for n in few..all {
            plane.try_frame(&frame(&client(n), SYN)).unwrap();
        }
        let hits = (0..PACKETS).map(|n| frame(&client((n * 7919) % all), ACK));
        let times = Times::of(hits, |frame| plane.try_frame(frame).unwrap().1);
        println!("hit with {all} flows: median {} ns, 90 % {} ns", times.at(50), times.at(90));
    };
    fill(0, 1000);
    fill(1000, MILLION);
    let (start, mut walk, mut longest, mut ended) = (Instant::now(), Walk::default(), Duration::ZERO, 0);
    loop {
        let chunk = Instant::now();
        let Some(n) = plane.expire_chunk(&mut walk, now() + 3_600_000_000_000).unwrap() else { break };
        (longest, ended) = (longest.max(chunk.elapsed()), ended + n);
    }
    println!("{ended} flows ended in {:?}; longest call {longest:?}", start.elapsed());
}

/// The longest wait between a datagram and its answer in three seconds of one each millisecond, in ms.
fn longest_wait(prober: &mut Running) -> (f64, f64) {
    prober.enter();
    let line = prober.line();
    let mut words = line.split(' ').map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

const PROBER: &str = "
import socket,sys,time
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.connect((sys.argv[1],int(sys.argv[2])));s.settimeout(5)
for _ in sys.stdin:
    waits=[];end=time.monotonic()+3
    while time.monotonic()<end:
        t=time.monotonic();s.send(b'x');s.recv(100);waits.append(time.monotonic()-t);time.sleep(.001)
    waits.sort();print(waits[-1]*1000,waits[len(waits)*99//100]*1000,flush=True)
";

/// On a CPU of its own, and before everything else there: so that waits for a CPU are not taken for the packets'.
fn place(process: u32, cpu: u32) {
    run(&format!("taskset -acp {cpu} {process}"));
    run(&format!("chrt -a -f -p 10 {process}"));
}

/// Do packets wait while a million flows are ended? Packets and the ending of flows on a CPU each.
#[test]
fn stall() {
    if !wanted("stall") {
        return;
    }
    let net = Net::new("d");
    let origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    origins.iter().for_each(|origin| place(origin.id(), 0));
    let mut director = net.director_of(1 << 21);
    run(&format!("taskset -acp 1 {}", director.id()));
    director.services(80, 8080, "nat", "rr");
    director.tell("fill 1000000");
    let mut prober = net.start("c", &["python3", "-c", PROBER, VIP, "80"]);
    place(prober.id(), 0);
    for _ in 0..3 {
        let (worst, usual) = longest_wait(&mut prober);
        println!("echo of a datagram, nothing ends: 99 % {usual:.2} ms, longest {worst:.2} ms");
    }
    director.start("expire 3600");
    let (worst, usual) = longest_wait(&mut prober);
    println!("echo of a datagram, flows end: 99 % {usual:.2} ms, longest {worst:.2} ms");
    println!("flows ended: {}", director.answer());
}

/// Bytes and packets the director has sent; one for the stack may be several on a wire.
fn sent(net: &Net) -> [f64; 2] {
    ["bytes", "packets"].map(|what| {
        net.on("d", &format!("cat /sys/class/net/eth0/statistics/tx_{what}")).trim().parse().unwrap()
    })
}

/// iperf3 from the client to s1: Mbit/s, and the bytes of a packet that left the director.
fn iperf(net: &Net, to: &str, port: u16) -> [f64; 2] {
    let before = sent(net);
    let output = net.on("c", &format!("iperf3 -c {to} -p {port} -t 3 -J"));
    let received = output.split("\"sum_received\"").nth(1).unwrap();
    let rate = received.split("\"bits_per_second\":").nth(1).unwrap();
    let after = sent(net);
    let rate = rate.split([',', '}']).next().unwrap().trim().parse::<f64>().unwrap() / 1e6;
    [rate, (after[0] - before[0]) / (after[1] - before[1])]
}

/// Through the director by nat and dr, against plain routing through it.
#[test]
fn throughput() {
    if !wanted("throughput") {
        return;
    }
    let net = Net::new("d");
    net.hold_address("s1");
    net.on("s1", "ip addr add 10.73.0.11/32 dev lo");
    net.on("r", "ip route add 10.73.0.11/32 via 10.72.0.1");
    net.on("d", "ip route add 10.73.0.11/32 via 10.72.0.11");
    for machine in ["d", "r", "s1"] {
        net.on(machine, "sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0");
    }
    let _server = net.start("s1", &["iperf3", "-s", "-p", "5201"]);
    wait_until("iperf3 listens", || {
        let output = net.output("c", "iperf3 -c 10.73.0.11 -t 1 -J");
        String::from_utf8_lossy(&output.stdout).contains("\"sum_received\"")
    });
    // Without a program at the hook, and with one that has nothing to do with these packets.
    let bare: Vec<[f64; 2]> = (0..3).map(|_| iperf(&net, "10.73.0.11", 5201)).collect();
    let mut director = net.director();
    director.tell(&format!("service 0 tcp {VIP}:5201 rr"));
    director.tell("server 0 0 10.72.0.11:5201 nat 1");
    director.tell("ready 0");
    director.tell("attach");
    let mut rounds = Vec::new();
    for _ in 0..5 {
        rounds.push([iperf(&net, "10.73.0.11", 5201), iperf(&net, VIP, 5201)]);
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let of = |rounds: &[[f64; 2]], at: usize| median(rounds.iter().map(|round| round[at]).collect());
    let [routed, nat] = [0, 1].map(|at| rounds.iter().map(|round| round[at]).collect::<Vec<_>>());
    for (what, rounds) in [
        ("plain routing, nothing attached", &bare),
        ("plain routing past the program", &routed),
        ("nat", &nat),
    ] {
        println!("{what}: {:.0} Mbit/s, {:.0} bytes a packet", of(rounds, 0), of(rounds, 1));
    }
    println!("nat is {:.1} % of plain routing", of(&nat, 0) / of(&routed, 0) * 100.0);
}
