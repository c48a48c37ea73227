//! Neither side takes the addresses from the other, whatever the priorities: weir and keepalived, both with `nopreempt`. They move when
//! a link goes down, and when a process is killed.

use crate::harness;
use crate::harness::network::{Net, ip, keepalived_instance};
use crate::harness::terminal::wait_until;

const VIRTUAL6: &str = "2001:db8:99::100";

fn neither_preempts(weir: &str, keepalived: &str, address: &str) {
    let net = Net::new();
    let socket = net.dir.path().join("a.sock");
    let field = |name: &str| -> String {
        let all = harness::ask(&socket, "show vrrp VI_1");
        let line = all.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
        line.unwrap_or_else(|| panic!("no {name} in {all}"))
    };
    let more = |name: &str, count: u64| {
        let number = || field(name).parse::<u64>().unwrap();
        let before = number();
        wait_until(&format!("{count} more {name}"), || number() >= before + count);
    };
    let b = net.keepalived_whole(
        "b",
        &keepalived_instance("VI_1", &format!("{keepalived} nopreempt\n priority 200")),
    );
    net.only_address("b", address);
    let a = net.weir(
        "a",
        &format!(
            "global\n    stats socket {} level admin\nvrrp VI_1\n    interface eth0\n    virtual-router-id 51\n    priority 250\n    nopreempt\n    {weir}\n",
            socket.display()
        ),
    );
    let is_backup = || wait_until("weir is backup", || field("State") == "backup");
    a.wait_for("VI_1: stopped -> ");
    is_backup();
    more("Adverts_received", 5);
    assert!(net.holds("b", address) && !a.log().contains("-> master"), "{}", a.log());
    ip(&format!("-n {} link set eth0 down", net.space("b")));
    net.only_address("a", address);
    assert_eq!(harness::ask(&socket, "set vrrp VI_1 priority 100"), "\n");
    ip(&format!("-n {} link set eth0 up", net.space("b")));
    let backups = || b.log().matches("(VI_1) Entering BACKUP STATE").count();
    wait_until("keepalived is backup again", || backups() == 2);
    more("Adverts_sent", 5);
    net.only_address("a", address);
    ip(&format!("-n {} link set eth0 down", net.space("a")));
    a.wait_for("VI_1: master -> fault: interface eth0 is down");
    net.only_address("b", address);
    ip(&format!("-n {} link set eth0 up", net.space("a")));
    is_backup();
    more("Adverts_received", 5);
    net.only_address("b", address);
    b.kill();
    wait_until("weir takes over", || net.holds("a", address));
}

fn over_ipv4(dialect: usize) {
    let dialect = &crate::DIALECTS[dialect];
    let weir = format!("address {}/24\n    {}", harness::network::VIRTUAL, dialect.weir);
    let addresses = format!("virtual_ipaddress {{\n {}/24\n }}", harness::network::VIRTUAL);
    neither_preempts(&weir, &format!("{addresses}\n{}\n", dialect.keepalived), harness::network::VIRTUAL);
}

#[test]
fn version_2_with_a_password() {
    over_ipv4(0);
}

#[test]
fn version_2_without() {
    over_ipv4(1);
}

#[test]
fn version_3() {
    over_ipv4(2);
}

#[test]
fn version_3_to_a_peer() {
    over_ipv4(3);
}

#[test]
fn over_ipv6() {
    let weir =
        "version 3\n    advert-interval 200ms\n    address fe80::100/64\n    address 2001:db8:99::100/64";
    let addresses = "virtual_ipaddress {\n fe80::100/64\n 2001:db8:99::100/64\n }";
    neither_preempts(weir, &format!("{addresses}\n version 3\n advert_int 0.2\n"), VIRTUAL6);
}
