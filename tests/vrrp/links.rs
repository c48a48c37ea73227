//! Interfaces that come and go, and a second one for the adverts.

use crate::harness::network::{Net, VIRTUAL, ip};
use crate::harness::terminal::wait_until;
use crate::weir_config;
use std::process::Command;

const FAST: &str = "version 3\n    advert-interval 100ms";

#[test]
fn an_interface_is_deleted_and_made_again() {
    let net = Net::new();
    let a = net.weir("a", &weir_config(FAST, 150));
    net.only("a");
    let _b = net.weir("b", &weir_config(FAST, 100));
    ip(&format!("-n {} link del eth0", net.space("a")));
    a.wait_for("VI_1: master -> fault: interface eth0 is ");
    net.only("b");
    net.plug("a", "eth0");
    net.only("a");
    assert!(!a.log().contains("ALERT"), "{}", a.log());
}

/// The address adverts come from is taken away, and another one is there.
#[test]
fn the_source_address_changes() {
    let net = Net::new();
    let a = net.weir("a", &weir_config(FAST, 150));
    net.only("a");
    let b = net.weir("b", &weir_config(FAST, 100));
    b.wait_for("stopped -> backup");
    let space = net.space("a");
    // The kernel takes the virtual address along, a secondary one of the same network: it is put back.
    ip(&format!("-n {space} addr add 10.99.0.7/25 dev eth0"));
    ip(&format!("-n {space} addr del 10.99.0.1/24 dev eth0"));
    net.only("a");
    a.stop();
    b.wait_for("VI_1: backup -> master: 10.99.0.7 stops");
    net.only("b");
}

#[test]
fn addresses_have_what_was_asked_for() {
    let net = Net::new();
    let more = "address 10.99.0.101/32 dev eth1 scope link\n    address 10.99.0.102/25 label eth0:vip";
    let a = net.weir("a", &weir_config(&format!("{FAST}\n    {more}"), 150));
    net.only("a");
    let shown = |device: &str| ip(&format!("-n {} -o addr show dev {device}", net.space("a")));
    wait_until("all of them are there", || shown("eth0").contains("10.99.0.102"));
    assert!(shown("eth1").contains("inet 10.99.0.101/32 scope link eth1"), "{}", shown("eth1"));
    assert!(shown("eth0").contains("inet 10.99.0.102/25 scope global eth0:vip"), "{}", shown("eth0"));
    assert!(
        shown("eth0").contains(&format!("inet {VIRTUAL}/24 scope global secondary eth0")),
        "{}",
        shown("eth0")
    );
    a.stop();
    assert!(
        !shown("eth1").contains("10.99.0.101") && !shown("eth0").contains("10.99.0.10"),
        "{}",
        shown("eth0")
    );
}

#[test]
fn an_address_that_was_taken_off_is_put_back() {
    let net = Net::new();
    let _a = net.weir("a", &weir_config(FAST, 150));
    net.only("a");
    ip(&format!("-n {} addr del {VIRTUAL}/24 dev eth0", net.space("a")));
    net.only("a");
}

/// Routes and rules come after the addresses, go before them, and are cleaned up after a kill.
#[test]
fn routes_and_rules_follow_the_addresses() {
    let net = Net::new();
    let space = net.space("a");
    let lines = format!(
        "{FAST}\n    route 10.1.0.0/16 via 10.99.0.2 src {VIRTUAL} metric 7\n    route 10.2.0.0/16\n    route default via 10.98.0.2 dev eth1 table 1000\n    rule from {VIRTUAL} table 1000 priority 77"
    );
    let has = |all: bool| {
        let main = ip(&format!("-n {space} route show"));
        let other = ip(&format!("-n {space} route show table all"))
            .contains("default via 10.98.0.2 dev eth1 table 1000");
        let rule = ip(&format!("-n {space} rule show"));
        [
            main.contains(&format!(
                "10.1.0.0/16 via 10.99.0.2 dev eth0 proto keepalived src {VIRTUAL} metric 7"
            )),
            main.contains("10.2.0.0/16 dev eth0 proto keepalived scope link"),
            other,
            rule.contains(&format!("77:\tfrom {VIRTUAL} lookup 1000")),
        ]
        .iter()
        .all(|there| *there == all)
    };
    let config = weir_config(&lines, 150);
    let a = net.weir("a", &config);
    net.only("a");
    wait_until("all of them are there", || has(true));
    a.kill();
    assert!(has(true));
    let a = net.weir("a", &config);
    a.wait_for("VI_1: rule from 10.99.0.100 table 1000 priority 77 was still there: removed");
    a.wait_for("VI_1: route 10.2.0.0/16 was still there: removed");
    net.only("a");
    wait_until("all of them are there again", || has(true));
    let b = net.weir("b", &weir_config(FAST, 200));
    net.only("b");
    wait_until("none is left", || has(false));
    b.stop();
    net.only("a");
    a.stop();
    assert!(has(false));
}

#[test]
fn routes_of_ipv6_follow_too() {
    let net = Net::new();
    let space = net.space("a");
    let config = "vrrp VI_6\n    interface eth0\n    virtual-router-id 51\n    advert-interval 100ms\n    address fe80::100/64\n    route 2001:db8:1::/48 via 2001:db8:99::2\n    rule from 2001:db8:99::/64 table 1000 priority 78\n";
    let has = || {
        let route = ip(&format!("-n {space} -6 route show"))
            .contains("2001:db8:1::/48 via 2001:db8:99::2 dev eth0 proto keepalived");
        (route, ip(&format!("-n {space} -6 rule show")).contains("from 2001:db8:99::/64 lookup 1000"))
    };
    let a = net.weir("a", config);
    wait_until("both are there", || has() == (true, true));
    a.stop();
    assert_eq!(has(), (false, false));
}

/// The switch between the nodes fails on one network, without a link going down: the other one keeps the backup quiet.
#[test]
fn a_second_interface_carries_adverts() {
    let net = Net::new();
    let lines = format!("{FAST}\n    interface eth1");
    let a = net.weir("a", &weir_config(&lines, 150));
    net.only("a");
    let b = net.weir("b", &weir_config(&lines, 100));
    b.wait_for("stopped -> backup");
    let switch = net.space("s");
    // Parted: the port to the switch is up, but nothing passes it.
    ip(&format!("-n {switch} link set eth0a nomaster"));
    // An advert that only eth1 brings is what b's last one comes from.
    a.stop();
    b.wait_for("VI_1: backup -> master: 10.98.0.1 stops");
    let a = net.weir("a", &weir_config(&lines, 150));
    wait_until("a is master again", || a.log().contains("backup -> master"));
    b.wait_for("VI_1: master -> backup: 10.98.0.1 has priority 150");
    ip(&format!("-n {switch} link set eth1a nomaster"));
    b.wait_for("VI_1: backup -> master: master down after");
    // Heard again on either one.
    ip(&format!("-n {switch} link set eth1a master breth1"));
    net.only("a");
    ip(&format!("-n {} link del eth1", net.space("b")));
    b.wait_for("VI_1: the further path is lost: interface eth1 is gone");
    net.plug("b", "eth1");
    b.wait_for("VI_1: the further path is there again");
}

/// A tagged network on a card, with a smaller MTU; the card beneath goes down, and its MTU changes.
#[test]
fn on_a_vlan() {
    let net = Net::new();
    for (machine, host) in [("a", 1), ("b", 2)] {
        let space = net.space(machine);
        let add = format!("-n {space} link add link eth0 name eth0.10 mtu 1400 type");
        let words = format!("{add} vlan id 10");
        let has_vlans = Command::new("ip").args(words.split_whitespace()).output().unwrap().status.success();
        // A kernel without them (802.1q is often a module): another link that stands on the card alike.
        if !has_vlans {
            ip(&format!("{add} macvlan mode bridge"));
        }
        ip(&format!("-n {space} addr add 10.97.0.{host}/24 dev eth0.10"));
        ip(&format!("-n {space} link set eth0.10 up"));
    }
    let config =
        |priority| weir_config(FAST, priority).replace("eth0", "eth0.10").replace("10.99.", "10.97.");
    let virtual_address = "10.97.0.100";
    let a = net.weir("a", &config(150));
    net.only_address("a", virtual_address);
    let b = net.weir("b", &config(100));
    b.wait_for("VI_1: stopped -> backup");
    let space = net.space("a");
    ip(&format!("-n {space} link set eth0 mtu 1280"));
    assert!(ip(&format!("-n {space} link show eth0.10")).contains("mtu 1280"));
    ip(&format!("-n {space} link set eth0 mtu 1500"));
    ip(&format!("-n {space} link set eth0 down"));
    a.wait_for("VI_1: master -> fault: interface eth0.10 is down");
    net.only_address("b", virtual_address);
    ip(&format!("-n {space} link set eth0 up"));
    net.only_address("a", virtual_address);
    a.stop();
    b.wait_for("VI_1: backup -> master: 10.97.0.1 stops");
    assert!(!b.log().contains("ALERT"), "{}", b.log());
}

/// Two hundred addresses on a link of 600 bytes: adverts come in pieces.
#[test]
fn an_advert_may_be_longer_than_the_mtu() {
    let net = Net::new();
    let more: String = (101..=250).map(|host| format!("    address 10.99.0.{host}/24\n")).collect();
    let config = |priority| format!("{}{more}", weir_config(FAST, priority));
    for machine in ["a", "b"] {
        ip(&format!("-n {} link set eth0 mtu 576", net.space(machine)));
    }
    let a = net.weir("a", &config(150));
    net.only_address("a", "10.99.0.250");
    let b = net.weir("b", &config(100));
    b.wait_for("VI_1: stopped -> backup");
    a.stop();
    b.wait_for("VI_1: backup -> master: 10.99.0.1 stops");
    net.only_address("b", "10.99.0.250");
    assert!(!b.log().contains("no master heard"), "{}", b.log());
}

/// A cable that is loose: however often it comes and goes, one node holds the address in the end.
#[test]
fn a_link_flaps() {
    let net = Net::new();
    let a = net.weir("a", &weir_config(FAST, 150));
    net.only("a");
    let b = net.weir("b", &weir_config(FAST, 100));
    b.wait_for("VI_1: stopped -> backup");
    let space = net.space("a");
    for _ in 0..20 {
        ip(&format!("-n {space} link set eth0 down"));
        ip(&format!("-n {space} link set eth0 up"));
    }
    a.wait_for("VI_1: master -> fault: interface eth0 is down");
    net.only("a");
    // At the far end: the port of the switch.
    let switch = net.space("s");
    for _ in 0..20 {
        ip(&format!("-n {switch} link set eth0a down"));
        ip(&format!("-n {switch} link set eth0a up"));
    }
    net.only("a");
    assert!(!a.log().contains("ALERT") && !b.log().contains("ALERT"), "{}{}", a.log(), b.log());
}
