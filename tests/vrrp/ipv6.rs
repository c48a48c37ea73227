//! IPv6: with keepalived on the other side, and byte for byte.

use crate::harness::network::{Net, Node, ip, keepalived_instance, sniff};
use crate::harness::terminal::wait_until;

const VIRTUAL6: &str = "2001:db8:99::100";
const ADDRESSES: &str = "address fe80::100/64\n    address 2001:db8:99::100/64";
/// The other side's.
const THEIRS: &str =
    " version 3\n advert_int 0.2\n virtual_ipaddress {\n fe80::100/64\n 2001:db8:99::100/64\n }\n";

fn weir_config(lines: &str, priority: u8) -> String {
    format!(
        "vrrp VI_6\n    interface eth0\n    virtual-router-id 51\n    advert-interval 200ms\n    priority {priority}\n    {ADDRESSES}\n    {lines}\n"
    )
}

fn keepalived(net: &Net, machine: &str, lines: &str, priority: u8) -> Node {
    let lines = format!("{THEIRS}{lines}\n priority {priority}");
    net.keepalived_whole(machine, &keepalived_instance("VI_6", &lines))
}

/// The link-local addresses are there, past the detection of duplicates.
fn ready(net: &Net) {
    for machine in ["a", "b"] {
        let space = net.space(machine);
        wait_until("link-local addresses", || {
            let all = ip(&format!("-n {space} -6 addr show dev eth0 scope link"));
            all.contains("fe80::") && !all.contains("tentative")
        });
    }
}

fn speaks_with_keepalived(weir_lines: &str, keepalived_lines: &str) {
    let net = Net::new();
    ready(&net);
    let other = keepalived(&net, "b", keepalived_lines, 100);
    net.only_address("b", VIRTUAL6);
    let weir = net.weir("a", &weir_config(weir_lines, 150));
    net.only_address("a", VIRTUAL6);
    assert!(net.holds("a", "fe80::100"), "the link-local one too");
    weir.wait_for("VI_6: backup -> master: priority 150 is above 100 of ");
    weir.stop();
    net.only_address("b", VIRTUAL6);
    let weir = net.weir("a", &weir_config(weir_lines, 150));
    net.only_address("a", VIRTUAL6);
    weir.kill();
    wait_until("keepalived takes over", || net.holds("b", VIRTUAL6));
    let weir = net.weir("a", &weir_config(weir_lines, 150));
    weir.wait_for("2001:db8:99::100 was still on eth0: removed");
    net.only_address("a", VIRTUAL6);
    other.stop();
    let other = keepalived(&net, "b", keepalived_lines, 200);
    net.only_address("b", VIRTUAL6);
    weir.wait_for("VI_6: master -> backup: ");
    other.kill();
    wait_until("weir takes over", || net.holds("a", VIRTUAL6));
    weir.wait_for("VI_6: backup -> master: master down after");
}

#[test]
fn to_the_group() {
    speaks_with_keepalived("", "");
}

#[test]
fn to_a_peer() {
    speaks_with_keepalived(
        "peer 2001:db8:99::2",
        " unicast_src_ip 2001:db8:99::2\n unicast_peer {\n 2001:db8:99::1\n }",
    );
}

/// One vrid in both families on one interface are two routers.
#[test]
fn beside_ipv4() {
    let net = Net::new();
    ready(&net);
    let four = |priority| {
        format!(
            "vrrp VI_4\n    interface eth0\n    virtual-router-id 51\n    version 3\n    advert-interval 200ms\n    priority {priority}\n    address 10.99.0.100/24\n"
        )
    };
    let theirs = " version 3\n advert_int 0.2\n virtual_ipaddress {\n 10.99.0.100/24\n }\n priority 100";
    let four_of_keepalived = keepalived_instance("VI_4", theirs);
    let six_of_keepalived = keepalived_instance("VI_6", &format!("{THEIRS}\n priority 150"));
    let _other = net.keepalived_whole("b", &format!("{four_of_keepalived}{six_of_keepalived}"));
    net.only("b");
    net.only_address("b", VIRTUAL6);
    let _weir = net.weir("a", &format!("{}{}", four(150), weir_config("", 100)));
    net.only("a");
    net.only_address("b", VIRTUAL6);
}

/// Adverts but for the flow label, which the sender's kernel chooses; announcements whole.
#[test]
fn frames_are_keepalived_s_byte_for_byte() {
    let mut seen = Vec::new();
    for program in ["weir", "keepalived"] {
        let net = &Net::new();
        ready(net);
        // What is on the wire is seen from the machine that does not send it, from before the first advert.
        let frames = std::thread::scope(|scope| {
            let advert = scope.spawn(move || sniff(net, "a", "f[12:14]==b'\\x86\\xdd' and f[20]==112", 1));
            let announced =
                "f[12:14]==b'\\x86\\xdd' and f[20]==58 and f[54]==136 and f[62:64]==b'\\x20\\x01'";
            let announcement = scope.spawn(move || sniff(net, "a", announced, 5));
            // After the first advert a burst of five, and one more five seconds later: which of them is seen does not matter.
            let node = match program {
                "weir" => net.weir("b", &weir_config("", 120)),
                _ => keepalived(net, "b", "", 120),
            };
            let advert = advert.join().unwrap().remove(0);
            let announcements = announcement.join().unwrap();
            node.stop();
            (format!("{}{}", &advert[..31], &advert[36..]), announcements)
        });
        let (advert, announcements) = frames;
        assert!(announcements.iter().all(|a| *a == announcements[0]), "{announcements:?}");
        seen.push((advert, announcements[0].clone()));
    }
    assert_eq!(seen[0], seen[1]);
}

/// The same qualities as keepalived's: no detection of duplicates, and a host's address is deprecated.
#[test]
fn addresses_have_keepalived_s_qualities() {
    let mut seen = Vec::new();
    for program in ["weir", "keepalived"] {
        let net = Net::new();
        ready(&net);
        let _node = match program {
            "weir" => net.weir(
                "b",
                "vrrp VI_6\n    interface eth0\n    virtual-router-id 51\n    advert-interval 200ms\n    address fe80::100\n    address 2001:db8:99::100/64\n",
            ),
            _ => net.keepalived_whole(
                "b",
                &keepalived_instance("VI_6", &THEIRS.replace("fe80::100/64", "fe80::100")),
            ),
        };
        net.only_address("b", VIRTUAL6);
        wait_until("both are there", || net.holds("b", "fe80::100"));
        let mut lines: Vec<String> = ip(&format!("-n {} -o -6 addr show dev eth0", net.space("b")))
            .lines()
            .filter(|line| line.contains("::100/"))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        lines.sort();
        seen.push(lines);
    }
    assert_eq!(seen[0].len(), 2, "{seen:?}");
    assert_eq!(seen[0], seen[1]);
}

/// Another holder is told of at once: a lie in the neighbour's table is mended by the announcements.
#[test]
fn neighbours_learn_where_the_address_is() {
    let net = Net::new();
    ready(&net);
    let lie = format!(
        "-n {} -6 neigh replace {VIRTUAL6} lladdr 02:00:00:00:00:99 dev eth0 nud stale",
        net.space("b")
    );
    ip(&lie);
    let _a = net.weir("a", &weir_config("", 150));
    net.only_address("a", VIRTUAL6);
    let table = || ip(&format!("-n {} -6 neigh show {VIRTUAL6}", net.space("b")));
    wait_until("b knows a's card", || table().contains("02:00:00:00:99:01"));
}
