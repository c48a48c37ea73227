//! `forward tun`: the packet inside another one to the server, which answers the client itself; and ICMP errors about it all.

use crate::harness::process::Program;
use crate::net::{Net, VIP, VIP6};

#[test]
fn packets_travel_inside_others_and_large_ones_are_answered() {
    let net = Net::new("r");
    let object = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/l4.bpf.o");
    for server in ["s1", "s2"] {
        net.hold_address(server);
        net.on(server, "tc qdisc add dev eth0 clsact");
        net.on(server, &format!("tc filter add dev eth0 ingress bpf da obj {object} program unwrap"));
    }
    let _origins = [net.origin("s1", 80, "::"), net.origin("s2", 80, "::")];
    let mut director = net.director();
    director.services(80, 80, "tun", "rr");
    let [there, back] = [net.capture("s1", "proto 4"), net.capture("d", "src host 10.72.0.100")];
    let names = [0; 4].map(|_| net.curl(&format!("http://{VIP}/")).split(' ').next().unwrap().to_owned());
    assert_eq!(names, ["s1", "s2", "s1", "s2"]);
    there.wait_for(&[
        "proto IPIP (4)",
        "10.72.0.1 > 10.72.0.11:",
        "10.71.0.2.",
        &format!("> {VIP}.80: Flags [S]"),
    ]);
    assert!(!back.has(&[VIP, "> 10.71.0.2."]), "{:?}", back.packets());
    assert!(net.datagram(VIP, 80, "hello").ends_with("hello"));
    for software in [false, true] {
        if software {
            net.sum_in_software();
        }
        net.move_much(&format!("http://{VIP}"));
        net.move_much(&format!("http://[{VIP6}]"));
    }
    // Full segments do not fit into the tunnel: the clients were told.
    assert!(director.number("count TooBig") > 0);
}

/// A real server as `weir l4 server-setup` prepares it, put back at the end.
struct Prepared<'a>(&'a Net, &'a str);

fn prepare<'a>(net: &'a Net, machine: &'a str) -> Prepared<'a> {
    let weir = Program::Weir.path();
    let words = format!("l4 server-setup --vip {VIP},{VIP6} --mode tun --gue-port 6080");
    net.on(machine, &format!("{} {words}", weir.display()));
    Prepared(net, machine)
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        let _ = self.0.output(self.1, &format!("{} l4 server-setup --undo", Program::Weir.path().display()));
    }
}

/// This sandbox's kernel may have no `fou`: what the server would see is looked at byte by byte, and unwrapped by our program.
#[test]
fn packets_travel_in_udp_by_gue() {
    let net = Net::new("r");
    let _prepared = ["s1", "s2"].map(|server| prepare(&net, server));
    let _origins = [net.origin("s1", 80, "::"), net.origin("s2", 80, "::")];
    let mut director = net.director();
    director.services(80, 80, "tun:6080", "rr");
    // Version 0, no more words, IPv4 within, no flags, no checksum; then the packet itself, to the virtual address.
    let gue = "udp dst port 6080 and udp[6:2] = 0 and udp[8:4] = 0x00040000 and udp[12] = 0x45 and udp[28:4] = 0x0a480064";
    let [there, back] = [net.capture("s1", gue), net.capture("d", "src host 10.72.0.100")];
    let names = [0; 4].map(|_| net.curl(&format!("http://{VIP}/")).split(' ').next().unwrap().to_owned());
    assert_eq!(names, ["s1", "s2", "s1", "s2"]);
    // A SYN of 60 bytes with the 4 of GUE.
    there.wait_for(&["proto UDP (17), length 92", "10.72.0.1.", "> 10.72.0.11.6080: ", "UDP, length 64"]);
    assert!(!back.has(&[VIP, "> 10.71.0.2."]), "{:?}", back.packets());
    drop(there);
    // Next header 17; in IPv6 the filter language knows no fields of UDP.
    let gue = "ip6 proto 17 and ip6[42:2] = 6080 and ip6[46:2] = 0 and ip6[48:4] = 0x00290000 and ip6[52] & 0xf0 = 0x60";
    let there = net.capture("s1", gue);
    assert!(net.curl(&format!("http://[{VIP6}]/")).starts_with("s1 "));
    there.wait_for(&["fd72::1.", "> fd72::11.6080: ", "UDP, length 84"]);
    assert!(net.datagram(VIP, 80, "hello").ends_with("hello"));
    assert!(net.datagram(VIP6, 80, "hello").ends_with("hello"));
    for software in [false, true] {
        if software {
            net.sum_in_software();
        }
        net.move_much(&format!("http://{VIP}"));
        net.move_much(&format!("http://[{VIP6}]"));
    }
    // Full segments do not fit into the tunnel: the clients were told.
    assert!(director.number("count TooBig") > 0);
}

/// IPv4 to a server that is reached by IPv6, and the other way round: in IP, and in UDP.
#[test]
fn tunnels_carry_the_other_family() {
    let net = Net::new("r");
    let _prepared = ["s1", "s2"].map(|server| prepare(&net, server));
    let _origins = [net.origin("s1", 80, "::"), net.origin("s2", 80, "::")];
    let mut director = net.director();
    let ways =
        [(VIP.to_owned(), "[fd72::11]", "[fd72::12]"), (format!("[{VIP6}]"), "10.72.0.11", "10.72.0.12")];
    for (id, (vip, first, second)) in (0..).zip(&ways) {
        for (id, protocol) in [(2 * id, "tcp"), (2 * id + 1, "udp")] {
            director.tell(&format!("service {id} {protocol} {vip}:80 rr"));
            director.tell(&format!("server {} {id} {first}:80 tun 1", 2 * id));
            director.tell(&format!("server {} {id} {second}:80 tun:6080 1", 2 * id + 1));
            director.tell(&format!("ready {id}"));
        }
    }
    director.tell("attach");
    // 41 and 4 are the protocols of IPv6 and IPv4 in one another; 0x0029 and 0x0004 those in GUE's header.
    let there = net.capture("s1", "ip proto 41 or ip6 proto 4");
    let gue = "(udp dst port 6080 and udp[8:4] = 0x00290000) or (ip6 proto 17 and ip6[42:2] = 6080 and ip6[48:4] = 0x00040000)";
    let in_udp = net.capture("s2", gue);
    for (vip, ..) in &ways {
        let names = [0; 4].map(|_| net.curl(&format!("http://{vip}/")).split(' ').next().unwrap().to_owned());
        assert_eq!(names, ["s1", "s2", "s1", "s2"], "{vip}");
    }
    there.wait_for(&["fd72::1 > fd72::11:", &format!("> {VIP}.80: Flags [S]")]);
    there.wait_for(&["10.72.0.1 > 10.72.0.11:", &format!("> {VIP6}.80: Flags [S]")]);
    in_udp.wait_for(&["fd72::1.", "> fd72::12.6080: "]);
    in_udp.wait_for(&["10.72.0.1.", "> 10.72.0.12.6080: "]);
    drop((there, in_udp));
    for vip in [VIP, VIP6] {
        for _ in 0..2 {
            assert!(net.datagram(vip, 80, "hello").ends_with("hello"), "{vip}");
        }
    }
    // Down from one server and up to the other, and the other way round.
    for _ in 0..2 {
        for (vip, ..) in &ways {
            net.move_much(&format!("http://{vip}"));
            net.curl(&format!("http://{vip}/"));
        }
    }
    assert!(director.number("count TooBig") > 0);
}

#[test]
fn errors_about_flows_reach_who_must_know() {
    for (mode, gateway) in [("nat", "d"), ("fullnat", "r"), ("dr", "r")] {
        let net = Net::new(gateway);
        if mode == "dr" {
            net.hold_address("s1");
            net.hold_address("s2");
        }
        let _origins = [net.origin("s1", 80, "::"), net.origin("s2", 80, "::")];
        let mut director = net.director();
        director.services(80, 80, mode, "rr");
        for (service, pool) in [(0, "10.72.0.1"), (1, "10.72.0.1"), (2, "fd72::1"), (3, "fd72::1")] {
            director.tell(&format!("sources {service} 20000 29999 {pool}"));
            director.tell(&format!("ready {service}"));
        }
        // Segments of the servers that the router cannot pass on: it says so to the virtual address.
        net.on("r", "ip link set eth1 mtu 1300");
        for machine in ["s1", "s2"] {
            net.on(machine, "ethtool -K eth0 tso off gso off");
        }
        for url in [format!("http://{VIP}"), format!("http://[{VIP6}]")] {
            let size = net.curl(&format!("-o /dev/null -w %{{size_download}} {url}/bytes/1000000"));
            assert_eq!(size, "1000000", "{mode}");
        }
        // A server whose port is closed says so to the client.
        director.tell(&format!("service 4 udp {VIP}:82 rr"));
        director.tell(&format!("server 8 4 10.72.0.11:{} {mode} 1", if mode == "dr" { 82 } else { 9 }));
        director.tell("sources 4 20000 29999 10.72.0.1");
        director.tell("ready 4");
        assert!(net.refused(VIP, 82), "{mode}");
    }
}
