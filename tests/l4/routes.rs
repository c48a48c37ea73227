//! Flows keep the route they have found: it must follow what happens to routes, neighbours and interfaces.

use crate::configured::{Held, Weir};
use crate::harness::terminal::wait_until;
use crate::net::{Net, VIP};

/// A second way from the director to s1, `eth1` on both.
fn second_way(net: &Net) {
    net.on("d", "ip link add eth1 type veth peer name other");
    let space = net.on("s1", "ip netns identify");
    net.on("d", &format!("ip link set other netns {}", space.trim()));
    net.on("s1", "ip link set other name eth1");
    net.on("d", "ip addr add 10.74.0.1/24 dev eth1");
    net.on("s1", "ip addr add 10.74.0.11/24 dev eth1");
    for machine in ["d", "s1"] {
        net.on(machine, "ip link set eth1 up");
        net.on(machine, "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0");
    }
}

/// Packets that came by the second way.
fn came_by_it(net: &Net) -> u64 {
    net.on("s1", "cat /sys/class/net/eth1/statistics/rx_packets").trim().parse().unwrap()
}

fn section(forward: &str) -> String {
    format!("listen web\n mode l4\n bind {VIP}:80\n forward {forward}\n server s1 10.72.0.11:8080\n")
}

#[test]
fn flows_follow_their_routes() {
    let net = Net::new("d");
    second_way(&net);
    let _origin = net.origin("s1", 8080, "::");
    let _weir = Weir::start(&net, &section("nat"));
    let mut held = Held::to(&net, VIP, 80, "tcp");
    assert_eq!(held.ask("open 5"), [5, 0, 0, 0]);
    // Another card, of which its kernel tells.
    net.on("s1", "sysctl -qw net.ipv4.conf.eth0.arp_notify=1");
    net.on("s1", "ip link set eth0 address 02:00:00:00:07:11");
    assert_eq!(held.ask("again"), [5, 0, 0, 0], "the neighbour has another MAC address");
    net.on("d", "ip route add 10.72.0.11/32 via 10.74.0.11");
    wait_until("packets go by the new route", || {
        let before = came_by_it(&net);
        held.ask("again") == [5, 0, 0, 0] && came_by_it(&net) >= before + 5
    });
    // The route goes without a word about it.
    net.on("d", "ip link set eth1 down");
    assert_eq!(held.ask("again"), [5, 0, 0, 0], "the interface is down");
    assert_eq!(held.ask("open 5"), [5, 0, 0, 0]);
}

#[test]
fn a_route_for_one_client_is_not_another_ones() {
    let net = Net::new("d");
    second_way(&net);
    let _origin = net.origin("s1", 8080, "::");
    net.on("c", "ip addr add 10.71.0.3/24 dev eth0");
    let _weir = Weir::start(&net, &section("nat"));
    let ask = |from: &str| {
        let before = came_by_it(&net);
        let answer = net.curl(&format!("--interface {from} http://{VIP}/"));
        assert!(answer.starts_with("s1 "), "{answer}");
        // Of one connection, without what neighbours tell each other.
        came_by_it(&net) >= before + 4
    };
    assert!(!ask("10.71.0.2") && !ask("10.71.0.3"));
    net.on("d", "ip route add 10.72.0.11/32 via 10.74.0.11 table 100");
    net.on("d", "ip rule add from 10.71.0.3 table 100");
    wait_until("the rule counts", || ask("10.71.0.3"));
    for _ in 0..4 {
        assert!(!ask("10.71.0.2"));
        assert!(ask("10.71.0.3"));
    }
}
