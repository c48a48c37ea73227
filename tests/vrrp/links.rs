//! Interfaces that come and go, and a second one for the adverts.

use crate::harness::network::{Net, VIRTUAL, ip};
use crate::harness::terminal::wait_until;
use crate::weir_config;

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
fn an_address_that_was_taken_off_is_put_back() {
    let net = Net::new();
    let _a = net.weir("a", &weir_config(FAST, 150));
    net.only("a");
    ip(&format!("-n {} addr del {VIRTUAL}/24 dev eth0", net.space("a")));
    net.only("a");
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
