//! `forward tun`: the packet inside another one to the server, which answers the client itself; and ICMP errors about it all.

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
