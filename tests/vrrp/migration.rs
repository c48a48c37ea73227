//! From haproxy and keepalived to weir and back, as docs/operations.md says: two nodes, one after the other, under a client's eyes.

use crate::handover::{looping_client, seen, with_client};
use crate::harness::network::{Net, Node};
use crate::harness::process::Program;
use crate::harness::terminal::wait_until;

/// Seconds that the client waits for an answer: a node that loses an address cannot send from it any more.
const PATIENCE: u8 = 3;

const KEEPALIVED: &str = " version 3\n advert_int 0.1";

/// What haproxy has run with, and weir goes on with.
fn proxy(net: &Net, machine: &str, name: &str) -> String {
    format!(
        "global\n    stats socket {}/{machine}-{name}.sock level admin expose-fd listeners\n\
         defaults\n    mode http\n    timeout connect 10s\n    timeout client 10s\n    timeout server 10s\n\
         frontend web\n    bind *:8080\n    http-request return status 200 content-type text/plain string {name}-{machine}\n",
        net.dir.path().display()
    )
}

fn haproxy(net: &Net, machine: &str) -> Node {
    let file = net.write(&format!("{machine}-haproxy.cfg"), &proxy(net, machine, "haproxy"));
    let program = Program::HaProxy.path();
    let node = net.start(machine, &[&program.to_string_lossy(), "-W", "-db", "-f", &file.to_string_lossy()]);
    let socket = net.dir.path().join(format!("{machine}-haproxy.sock"));
    wait_until("haproxy listens", || socket.exists());
    node
}

fn keepalived(net: &Net, machine: &str, priority: u8) -> Node {
    net.keepalived(machine, &format!("{KEEPALIVED}\n priority {priority}"))
}

fn weir(net: &Net, machine: &str, priority: u8) -> Node {
    let router = crate::weir_config("version 3\n    advert-interval 100ms", priority);
    net.weir(machine, &(proxy(net, machine, "weir") + &router))
}

/// The answers in their order, without the connections that broke as the addresses moved.
fn answers(client: Node) -> Vec<String> {
    let mut words: Vec<String> = seen(client).into_iter().filter(|w| !w.starts_with("lost:")).collect();
    words.dedup();
    words
}

#[test]
fn two_nodes_go_over_to_weir_and_back() {
    let net = Net::new();
    with_client(&net);
    let (proxy_a, proxy_b) = (haproxy(&net, "a"), haproxy(&net, "b"));
    let (vrrp_a, vrrp_b) = (keepalived(&net, "a", 150), keepalived(&net, "b", 100));
    net.only("a");

    // Step 6: the backup node. Step 7: a look there.
    let client = looping_client(&net, "weir-a", PATIENCE);
    client.wait_for("haproxy-a\n");
    vrrp_b.stop();
    proxy_b.stop();
    let weir_b = weir(&net, "b", 100);
    weir_b.wait_for("VI_1: stopped -> backup");
    let shown = crate::harness::ask(&net.dir.path().join("b-weir.sock"), "show vrrp");
    assert!(shown.contains("VI_1") && shown.to_lowercase().contains("backup"), "{shown}");
    net.only("a");
    // Step 8: its peer's keepalived stops, the addresses come. Step 9: and go back.
    vrrp_a.stop();
    net.only("b");
    proxy_a.stop();
    client.wait_for("weir-b\n");
    let weir_a = weir(&net, "a", 150);
    net.only("a");
    assert_eq!(answers(client), ["haproxy-a", "weir-b", "weir-a"], "{}{}", weir_a.log(), weir_b.log());

    // Step 10: the node that is master goes back.
    let client = looping_client(&net, "haproxy-a", PATIENCE);
    client.wait_for("weir-a\n");
    weir_a.stop();
    net.only("b");
    client.wait_for("weir-b\n");
    let _proxy_a = haproxy(&net, "a");
    let _vrrp_a = keepalived(&net, "a", 150);
    net.only("a");
    assert_eq!(answers(client), ["weir-a", "weir-b", "haproxy-a"], "{}", weir_b.log());
}
