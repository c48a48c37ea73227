//! Two directors that tell each other of their flows: one goes, and what was established goes on through the other.

use crate::configured::Held;
use crate::harness::ask;
use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP};

/// `s1` behind nat, with the directors' common address as its gateway; `s2` behind dr; a client stays on its server at port 81.
fn config(net: &Net, me: &str, peer: &str, priority: u8) -> String {
    let socket = net.dir.path().join(format!("{me}.sock"));
    format!(
        "global
    stats socket {} level admin
    l4-sync {peer}:8849 key secret
vrrp pair
    interface eth0
    virtual-router-id 7
    version 3
    priority {priority}
    advert-interval 200ms
    address {VIP}/24 dev eth0
    address 10.72.0.200/24 dev eth0
listen nat
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
        socket.display()
    )
}

fn start(net: &Net, machine: &str, peer: &str, priority: u8) -> Running {
    let file = net.dir.path().join(format!("{machine}.cfg"));
    std::fs::write(&file, config(net, machine, peer, priority)).unwrap();
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
    let _first = start(&net, "d", "10.72.0.2", 200);
    wait_until("the first has the addresses", || has_address(&net, "d"));
    let mut nat = Held::to(&net, VIP, 80, "tcp");
    let mut dr = Held::to(&net, VIP, 8080, "tcp");
    assert_eq!(nat.ask("open 50"), [50, 0, 0, 0]);
    assert_eq!(dr.ask("open 50"), [0, 50, 0, 0]);
    // One that starts later asks for all there is.
    let _second = start(&net, "d2", "10.72.0.1", 100);
    let socket = net.dir.path().join("d2.sock");
    wait_until("the second answers", || socket.exists());
    wait_until("the second knows of those", || established(&net, "d2") == 100);
    assert_eq!(nat.ask("open 50"), [50, 0, 0, 0]);
    assert_eq!(dr.ask("open 50"), [0, 50, 0, 0]);
    let mut stays = Held::to(&net, VIP, 81, "tcp");
    assert_eq!(stays.ask("open 1"), [1, 0, 0, 0]);
    wait_until("the second knows of all", || established(&net, "d2") == 201);
    assert!(!has_address(&net, "d2"));
    net.on("d", "ip link set eth0 down");
    wait_until("the second has the addresses", || has_address(&net, "d2"));
    assert_eq!(nat.ask("again"), [100, 0, 0, 0]);
    assert_eq!(dr.ask("again"), [0, 100, 0, 0]);
    assert_eq!(stays.ask("again"), [1, 0, 0, 0]);
    // The client's server is the one it had, though it would be the other's turn.
    let list = ask(&socket, "show l4 templates");
    assert!(list.contains("10.71.0.2") && list.contains("10.72.0.11:8080"), "{list}");
    assert_eq!(nat.ask("open 5"), [5, 0, 0, 0]);
}
