//! Two directors that tell each other of their flows: one goes, and what was established goes on through the other.

use crate::configured::Held;
use crate::harness::ask;
use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP, VIP6};
use std::net::IpAddr;
use std::path::PathBuf;
use weir::l4::abi::{FlowKey, Mode, State};
use weir::l4::sync::{Told, ToldFlow, encode};

/// Where a director finds that it must not be master. Without, a machine that is too busy for adverts would soon have two of them.
fn hold_file(net: &Net, machine: &str) -> PathBuf {
    net.dir.path().join(format!("{machine}.hold"))
}

fn hold(net: &Net, machine: &str, held: bool) {
    std::fs::write(hold_file(net, machine), if held { "1" } else { "0" }).unwrap();
}

/// A virtual router of both directors.
fn router(net: &Net, me: &str, (name, id): (&str, u8), priority: u8, addresses: &[&str]) -> String {
    let hold = hold_file(net, me);
    let addresses: String =
        addresses.iter().map(|address| format!(" address {address} dev eth0\n")).collect();
    format!(
        "vrrp {name}\n interface eth0\n virtual-router-id {id}\n version 3\n priority {priority}\n advert-interval 200ms\n track file {} weight 0\n{addresses}",
        hold.display()
    )
}

/// Waits until a machine sends what is for `address` to the director: it has heard of the move. Until then it sends to the other one.
fn wait_for_neighbour(net: &Net, machine: &str, address: &str, director: &str) {
    let link = net.on(director, "cat /sys/class/net/eth0/address");
    wait_until(&format!("{machine} finds {address} at {director}"), || {
        net.on(machine, &format!("ip neigh show {address} dev eth0")).contains(link.trim())
    });
}

/// `s1` behind nat, with the directors' common address as its gateway; `s2` behind dr; a client stays on its server at port 81.
fn config(net: &Net, me: &str, peer: &str, priority: u8) -> String {
    let socket = net.dir.path().join(format!("{me}.sock"));
    format!(
        "global
    stats socket {} level admin
    l4-sync {peer}:8849 key secret
{}listen nat
    mode l4
    bind {VIP}:80
    forward nat
    server s1 10.72.0.11:8080
listen dr
    mode l4
    bind {VIP}:8080
    forward dr
    server s2 10.72.0.12
listen stays
    mode l4
    bind {VIP}:81
    forward nat
    balance rr
    persist 300s
    server s1 10.72.0.11:8080
    server s3 10.72.0.11:8081
",
        socket.display(),
        router(net, me, ("pair", 7), priority, &["10.72.0.100/24", "10.72.0.200/24"])
    )
}

fn start(net: &Net, machine: &str, config: &str) -> Running {
    let file = net.dir.path().join(format!("{machine}.cfg"));
    std::fs::write(&file, config).unwrap();
    net.start(machine, &[&Program::Weir.path().to_string_lossy(), "-db", "-f", &file.to_string_lossy()])
}

/// How many established flows a director lists.
fn established(net: &Net, machine: &str) -> usize {
    let socket = net.dir.path().join(format!("{machine}.sock"));
    ask(&socket, "show l4 flows").lines().filter(|line| line.contains("ESTABLISHED")).count()
}

fn has_address(net: &Net, machine: &str) -> bool {
    net.on(machine, "ip -4 addr show dev eth0").contains(VIP)
}

#[test]
fn established_connections_outlive_their_director() {
    let net = Net::new("r");
    net.join("d2", 2);
    net.on("d", &format!("ip addr del {VIP}/32 dev eth0"));
    net.on("s1", "ip route replace default via 10.72.0.200");
    net.hold_address("s2");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::"), net.origin("s1", 8081, "::")];
    let asks = net.capture("d", "udp and src 10.72.0.2 and dst port 8849");
    hold(&net, "d2", true);
    let _first = start(&net, "d", &config(&net, "d", "10.72.0.2", 200));
    wait_until("the first has the addresses", || has_address(&net, "d"));
    let mut nat = Held::to(&net, VIP, 80, "tcp");
    let mut dr = Held::to(&net, VIP, 8080, "tcp");
    assert_eq!(nat.ask("open 50"), [50, 0, 0, 0]);
    assert_eq!(dr.ask("open 50"), [0, 50, 0, 0]);
    // One that starts later asks for all there is: nothing else has it send before it is master.
    let _second = start(&net, "d2", &config(&net, "d2", "10.72.0.1", 100));
    asks.wait_for(&["10.72.0.2.8849 > 10.72.0.1.8849", "length 32"]);
    let socket = net.dir.path().join("d2.sock");
    wait_until("the second answers", || socket.exists());
    wait_until("the second knows of those", || established(&net, "d2") == 100);
    assert_eq!(nat.ask("open 50"), [50, 0, 0, 0]);
    assert_eq!(dr.ask("open 50"), [0, 50, 0, 0]);
    let mut stays = Held::to(&net, VIP, 81, "tcp");
    assert_eq!(stays.ask("open 1"), [1, 0, 0, 0]);
    wait_until("the second knows of all", || established(&net, "d2") == 201);
    assert!(!has_address(&net, "d2"));
    hold(&net, "d2", false);
    net.on("d", "ip link set eth0 down");
    wait_until("the second has the addresses", || has_address(&net, "d2"));
    assert_eq!(nat.ask("again"), [100, 0, 0, 0]);
    assert_eq!(dr.ask("again"), [0, 100, 0, 0]);
    assert_eq!(stays.ask("again"), [1, 0, 0, 0]);
    // The client's server is the one it had, though it would be the other's turn.
    let list = ask(&socket, "show l4 templates");
    assert!(list.contains("10.71.0.2") && list.contains("10.72.0.11:8080"), "{list}");
    assert_eq!(nat.ask("open 5"), [5, 0, 0, 0]);
    // The first comes back, and asks for what began meanwhile: that goes on through it.
    assert_eq!(dr.ask("open 45"), [0, 45, 0, 0]);
    hold(&net, "d", true);
    let asks = net.capture("d2", "udp and src 10.72.0.1 and dst port 8849");
    net.on("d", "ip link set eth0 up");
    net.on("d", "ip route add default via 10.72.0.254");
    asks.wait_for(&["10.72.0.1.8849 > 10.72.0.2.8849", "length 32"]);
    wait_until("the first knows of all", || established(&net, "d") == 251);
    assert!(!has_address(&net, "d"));
    hold(&net, "d", false);
    wait_until("the first has the addresses", || has_address(&net, "d") && !has_address(&net, "d2"));
    assert_eq!(nat.ask("again"), [105, 0, 0, 0]);
    assert_eq!(dr.ask("again"), [0, 145, 0, 0]);
}

/// The other ways: in tunnels, with the director's own address, datagrams, IPv6.
/// New datagrams would go to another server at the second director: only those of flows it was told of go where they went.
fn other_ways(net: &Net, me: &str, peer: &str, priority: u8) -> String {
    let [usual, other] = if me == "d" { [1, 0] } else { [0, 1] };
    let socket = net.dir.path().join(format!("{me}.sock"));
    [
        format!("global\n stats socket {} level admin\n l4-sync {peer}:8849 key secret\n", socket.display()),
        router(net, me, ("four", 7), priority, &["10.72.0.100/24", "10.72.0.200/24", "10.72.0.210/24"]),
        router(net, me, ("six", 8), priority, &["fe80::7/64", "fd72::100/64", "fd72::200/64"]),
        format!("listen udp\n mode l4\n bind udp@{VIP}:82\n forward nat\n server s1 10.72.0.11:8080 weight {usual}\n server s2 10.72.0.12:8080 weight {other}\n"),
        format!("listen tun\n mode l4\n bind {VIP}:8080\n forward tun\n server s2 10.72.0.12\n"),
        format!("listen full\n mode l4\n bind {VIP}:84\n forward fullnat\n source 10.72.0.210\n server s2 10.72.0.12:8080\n"),
        format!("listen datagrams\n mode l4\n bind udp@{VIP}:84\n forward fullnat\n source 10.72.0.210\n server s1 10.72.0.11:8080 weight {other}\n server s2 10.72.0.12:8080 weight {usual}\n"),
        format!("listen v6\n mode l4\n bind [{VIP6}]:80\n forward nat\n server s1 [fd72::11]:8080\n"),
    ]
    .concat()
}

/// How many flows a director lists that are worth telling of.
fn known(net: &Net, machine: &str) -> usize {
    let socket = net.dir.path().join(format!("{machine}.sock"));
    let list = ask(&socket, "show l4 flows");
    list.lines().filter(|line| line.contains("ESTABLISHED") || line.starts_with("UDP")).count()
}

/// The second director there, with IPv6, and the addresses for `vrrp` to move; `s1` behind nat.
fn with_ipv6() -> Net {
    let net = Net::new("r");
    net.join("d2", 2);
    net.on("d2", "ip -6 addr add fd72::2/64 dev eth0 nodad");
    net.on("d2", "ip -6 route add default via fd72::254");
    net.on("d", &format!("ip addr del {VIP}/32 dev eth0"));
    net.on("d", &format!("ip -6 addr del {VIP6}/128 dev eth0"));
    net.on("s1", "ip route replace default via 10.72.0.200");
    net.on("s1", "ip -6 route replace default via fd72::200");
    net
}

fn has_both(net: &Net, machine: &str) -> bool {
    let list = net.on(machine, "ip addr show dev eth0");
    // Duplicate address detection holds an address back.
    list.contains(VIP) && list.lines().any(|line| line.contains(VIP6) && !line.contains("tentative"))
}

/// The first director goes, and all know that the second has the addresses: it has them a moment before all have heard so, and nobody
/// repeats a datagram. `servers`: who answers to which of them.
fn move_over(net: &Net, servers: &[(&str, &str)]) {
    assert!(!has_both(net, "d2"));
    hold(net, "d2", false);
    net.on("d", "ip link set eth0 down");
    wait_until("the second has the addresses", || has_both(net, "d2"));
    for (machine, address) in [("r", VIP), ("r", VIP6)].iter().chain(servers) {
        wait_for_neighbour(net, machine, address, "d2");
    }
}

#[test]
fn tunnels_fullnat_datagrams_and_ipv6_outlive_their_director() {
    let net = with_ipv6();
    net.hold_address("s2");
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/l4.bpf.o");
    net.on("s2", "tc qdisc add dev eth0 clsact");
    net.on("s2", &format!("tc filter add dev eth0 ingress bpf da obj {object} program unwrap"));
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    hold(&net, "d2", true);
    let _first = start(&net, "d", &other_ways(&net, "d", "10.72.0.2", 200));
    wait_until("the first has the addresses", || has_both(&net, "d"));
    let _second = start(&net, "d2", &other_ways(&net, "d2", "10.72.0.1", 100));
    let socket = net.dir.path().join("d2.sock");
    wait_until("the second answers", || socket.exists());
    let ways = [
        ("udp", VIP, 82, "udp", [20, 0, 0, 0]),
        ("tun", VIP, 8080, "tcp", [0, 20, 0, 0]),
        ("fullnat", VIP, 84, "tcp", [0, 20, 0, 0]),
        ("fullnat, udp", VIP, 84, "udp", [0, 20, 0, 0]),
        ("IPv6", VIP6, 80, "tcp", [20, 0, 0, 0]),
    ];
    let mut held = ways.map(|(name, address, port, protocol, expected)| {
        let mut one = Held::to(&net, address, port, protocol);
        assert_eq!(one.ask("open 20"), expected, "{name}");
        one
    });
    wait_until("the second knows of all", || known(&net, "d2") == 100);
    move_over(&net, &[("s1", "10.72.0.200"), ("s1", "fd72::200"), ("s2", "10.72.0.210")]);
    for ((name, .., expected), one) in ways.iter().zip(&mut held) {
        assert_eq!(one.ask("again"), *expected, "{name}");
    }
}

/// Clients stay on `s1`; new ones would go to `s2` at the second director. Flows end after a second without a packet.
fn staying(net: &Net, me: &str, peer: &str, priority: u8) -> String {
    let [usual, other] = if me == "d" { [1, 0] } else { [0, 1] };
    let socket = net.dir.path().join(format!("{me}.sock"));
    let section = |name: &str, bind: &str, source: &str, [first, second]: [&str; 2]| {
        format!(
            "listen {name}\n mode l4\n bind {bind}\n forward fullnat\n source {source}\n persist 300s on-down keep\n timeout tcp 1s\n timeout udp 1s\n server s1 {first}:8080 weight {usual}\n server s2 {second}:8080 weight {other}\n"
        )
    };
    let [v4, v6] = [["10.72.0.11", "10.72.0.12"], ["[fd72::11]", "[fd72::12]"]];
    [
        format!("global\n stats socket {} level admin\n l4-sync {peer}:8849 key secret\n", socket.display()),
        router(net, me, ("four", 7), priority, &["10.72.0.100/24", "10.72.0.210/24"]),
        router(net, me, ("six", 8), priority, &["fe80::7/64", "fd72::100/64", "fd72::210/64"]),
        section("datagrams", &format!("udp@{VIP}:85"), "10.72.0.210", v4),
        section("v6", &format!("[{VIP6}]:85"), "fd72::210", v6),
        section("datagrams6", &format!("udp@[{VIP6}]:85"), "fd72::210", v6),
    ]
    .concat()
}

#[test]
fn clients_without_flows_stay_where_they_were() {
    let net = with_ipv6();
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let clients_in = |machine: &str, list: &str| {
        let list = ask(&net.dir.path().join(format!("{machine}.sock")), &format!("show l4 {list}"));
        list.lines().filter(|line| line.contains("10.71.0.2") || line.contains("fd71::2")).count()
    };
    hold(&net, "d2", true);
    let _first = start(&net, "d", &staying(&net, "d", "10.72.0.2", 200));
    wait_until("the first has the addresses", || has_both(&net, "d"));
    let ways = [(VIP, "udp"), (VIP6, "tcp"), (VIP6, "udp")];
    let mut held = ways.map(|(address, protocol)| Held::to(&net, address, 85, protocol));
    for one in &mut held {
        assert_eq!(one.ask("open 2"), [2, 0, 0, 0]);
    }
    wait_until("their flows are over", || clients_in("d", "flows") == 0);
    assert_eq!(clients_in("d", "templates"), 3);
    let _second = start(&net, "d2", &staying(&net, "d2", "10.72.0.1", 100));
    let socket = net.dir.path().join("d2.sock");
    wait_until("the second answers", || socket.exists());
    wait_until("the second knows where they stay", || clients_in("d2", "templates") == 3);
    move_over(&net, &[("s1", "10.72.0.210"), ("s1", "fd72::210")]);
    for (one, way) in held.iter_mut().zip(ways) {
        assert_eq!(one.ask("open 2"), [2, 0, 0, 0], "{way:?}");
    }
}

/// Another director in the hands of the test: answers who asks with the first datagram, sends the second at a line from here, and tells of each
/// datagram that asks, before that and after it.
const OTHER: &str = "
import select,socket,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(('10.72.0.2',8849))
said=[bytes.fromhex(h) for h in sys.argv[1:]]
while True:
    ready=select.select([s,sys.stdin],[],[],60)[0]
    if not ready: sys.exit()
    for r in ready:
        if r is s:
            s.recv(2000);print(['asked again','asked'][len(said)-1],flush=True)
            if len(said)==2: s.sendto(said[0],('10.72.0.1',8849))
        else:
            sys.stdin.readline();s.sendto(said.pop(),('10.72.0.1',8849))
";

#[test]
fn a_director_asks_for_what_was_lost() {
    let net = Net::new("r");
    net.join("d2", 2);
    hold(&net, "d", true);
    let _director = start(&net, "d", &config(&net, "d", "10.72.0.2", 200));
    let flow = |port: u16| ToldFlow {
        key: FlowKey::new(([10, 71, 0, 2], port).into(), ([10, 72, 0, 100], 80).into(), 6),
        state: State::Established as u8,
        mode: Mode::Nat as u8,
        persistent: false,
        silent: 0,
        source: IpAddr::from([10, 71, 0, 2]).into(),
        destination: IpAddr::from([10, 72, 0, 11]).into(),
        source_port: port.to_be(),
        destination_port: 8080u16.to_be(),
    };
    let hex = |port: u16, stamp: u64| -> String {
        let datagram = encode(&Told::Flows(vec![flow(port)]), stamp, b"secret");
        datagram.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    // Number 101 is lost.
    let mut other = net.start("d2", &["python3", "-c", OTHER, &hex(50_000, 100), &hex(50_001, 102)]);
    assert_eq!(other.line(), "asked");
    wait_until("the answer is heard", || established(&net, "d") == 1);
    other.enter();
    wait_until("what comes later is heard", || established(&net, "d") == 2);
    while other.line() != "asked again" {}
}
