//! `no-accept`: the address is found, but nobody answers on it, and nothing of that outlives the process.

use crate::harness::network::{Net, Node, VIRTUAL, ip, keepalived_instance, python};
use crate::harness::terminal::wait_until;
use crate::weir_config;

const FAST: &str = "version 3\n    advert-interval 100ms";
const VIRTUAL6: &str = "2001:db8:99::100";

/// Answers on all addresses of a machine.
fn serve(net: &Net, machine: &str) -> Node {
    let script = "import socket\ns=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)\ns.bind(('::',23053))\n\
                  while True:\n  d,a=s.recvfrom(9); s.sendto(d,a)";
    let node = net.start(machine, &["python3", "-c", script]);
    wait_until("it answers", || answers(net, "10.99.0.1"));
    node
}

/// Whether the address answers to b, asked a few times.
fn answers(net: &Net, address: &str) -> bool {
    let family = if address.contains(':') { "AF_INET6" } else { "AF_INET" };
    let script = format!(
        "import socket\ns=socket.socket(socket.{family},socket.SOCK_DGRAM)\ns.settimeout(0.3)\nr='no'\nfor _ in range(3):\n  \
         try:\n    s.sendto(b'?',('{address}',23053)); s.recv(9); r='yes'; break\n  except OSError: pass\nprint(r)"
    );
    python(net, "b", &script) == ["yes"]
}

fn is_found(net: &Net, address: &str) -> bool {
    ip(&format!("-n {} neigh show {address}", net.space("b"))).contains("lladdr 02:00:00:00:99:01")
}

#[test]
fn what_is_addressed_to_it_is_dropped() {
    let net = Net::new();
    let _server = serve(&net, "a");
    let a = net.weir("a", &weir_config(FAST, 150));
    net.only("a");
    assert!(answers(&net, VIRTUAL), "it is taken by default");
    a.stop();
    for (line, answered) in [("no-accept", false), ("strict", false), ("strict\n    accept", true)] {
        let a = net.weir("a", &weir_config(&format!("{FAST}\n    {line}"), 150));
        net.only("a");
        ip(&format!("-n {} neigh flush all", net.space("b")));
        assert_eq!(answers(&net, VIRTUAL), answered, "{line}");
        assert!(is_found(&net, VIRTUAL), "{line}");
        assert!(answers(&net, "10.99.0.1"), "the machine's own address is as ever");
        if answered {
            a.stop();
        } else {
            // The address is still there, what dropped is not.
            a.kill();
            assert!(answers(&net, VIRTUAL));
        }
    }
}

#[test]
fn ipv6_is_found_and_dropped() {
    let net = Net::new();
    let _server = serve(&net, "a");
    let config = |line: &str| {
        format!(
            "vrrp VI_6\n    interface eth0\n    virtual-router-id 51\n    advert-interval 100ms\n    address fe80::100/64\n    address {VIRTUAL6}/64\n    {line}\n"
        )
    };
    let a = net.weir("a", &config("no-accept"));
    net.only_address("a", VIRTUAL6);
    ip(&format!("-n {} -6 neigh flush all", net.space("b")));
    assert!(!answers(&net, VIRTUAL6));
    assert!(is_found(&net, VIRTUAL6), "neighbours are answered");
    a.stop();
    let _a = net.weir("a", &config("accept"));
    net.only_address("a", VIRTUAL6);
    assert!(answers(&net, VIRTUAL6));
}

/// keepalived's word for it means the same.
#[test]
fn keepalived_drops_it_too() {
    let net = Net::new();
    let _server = serve(&net, "a");
    let lines =
        " version 3\n advert_int 0.2\n no_accept\n virtual_ipaddress {\n 10.99.0.100/24\n }\n priority 150";
    let _other = net.keepalived_whole("a", &keepalived_instance("VI_1", lines));
    net.only("a");
    wait_until("it is dropped", || !answers(&net, VIRTUAL));
    assert!(is_found(&net, VIRTUAL));
}
