//! Links go down and come back between weir and keepalived, each of them in turn the one with the higher priority. With `nopreempt` on
//! both sides neither takes the addresses from the other; without it the higher one always has them, while its link is up.

use crate::harness;
use crate::harness::network::{Net, Node, ip, keepalived_instance};
use crate::harness::terminal::wait_until;
use std::path::{Path, PathBuf};

const VIRTUAL6: &str = "2001:db8:99::100";

/// A field of `show vrrp VI_1`.
fn field(socket: &Path, name: &str) -> String {
    let all = harness::ask(socket, "show vrrp VI_1");
    let line = all.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("no {name} in {all}"))
}

/// Waits until a counter has gone up so far.
fn more(socket: &Path, name: &str, count: u64) {
    let number = || field(socket, name).parse::<u64>().unwrap();
    let before = number();
    wait_until(&format!("{count} more {name}"), || number() >= before + count);
}

/// keepalived on machine b.
fn keepalived(net: &Net, lines: &str, priority: u8) -> Node {
    net.keepalived_whole("b", &keepalived_instance("VI_1", &format!("{lines} priority {priority}")))
}

/// weir on machine a, and its socket.
fn weir(net: &Net, lines: &str, priority: u8) -> (Node, PathBuf) {
    let socket = net.dir.path().join("a.sock");
    let config = format!(
        "global\n    stats socket {} level admin\nvrrp VI_1\n    interface eth0\n    virtual-router-id 51\n    priority {priority}\n    {lines}\n",
        socket.display()
    );
    (net.weir("a", &config), socket)
}

fn neither_preempts(weir_lines: &str, keepalived_lines: &str, address: &str) {
    let net = Net::new();
    keep_addresses(&net);
    let b = keepalived(&net, &format!("{keepalived_lines} nopreempt\n"), 200);
    net.only_address("b", address);
    let (a, socket) = weir(&net, &format!("nopreempt\n    {weir_lines}"), 250);
    let field = |name: &str| field(&socket, name);
    let more = |name: &str, count: u64| more(&socket, name, count);
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

/// A link as its machine sees it: told to be down, or with its cable pulled out of the switch.
#[derive(Clone, Copy)]
enum Link {
    Set(&'static str),
    Cable(&'static str),
}

impl Link {
    fn is(self, net: &Net, state: &str) {
        match self {
            Self::Set(machine) => ip(&format!("-n {} link set eth0 {state}", net.space(machine))),
            Self::Cable(machine) => ip(&format!("-n {} link set eth0{machine} {state}", net.space("s"))),
        };
    }
}

fn the_higher_one_has_them(weir_lines: &str, keepalived_lines: &str, address: &str) {
    let net = Net::new();
    keep_addresses(&net);
    let b = keepalived(&net, keepalived_lines, 100);
    net.only_address("b", address);
    let (a, socket) = weir(&net, weir_lines, 150);
    // The master's link goes: the other one takes over, and gives the addresses back. The backup's link goes: nothing moves.
    let course = |master: &str, backup: &str, links: [Link; 2]| {
        net.only_address(master, address);
        for link in links {
            link.is(&net, "down");
            net.only_address(backup, address);
            link.is(&net, "up");
            net.only_address(master, address);
        }
    };
    course("a", "b", [Link::Set("a"), Link::Cable("a")]);
    a.wait_for("VI_1: master -> fault: interface eth0 is down");
    a.wait_for("VI_1: backup -> master: priority 150 is above 100 of ");
    let became_master = || field(&socket, "Became_master");
    let times = became_master();
    let faults = || b.log().matches("(VI_1) Entering FAULT STATE").count();
    let before = faults();
    Link::Set("b").is(&net, "down");
    wait_until("keepalived is at fault", || faults() > before);
    Link::Set("b").is(&net, "up");
    more(&socket, "Adverts_sent", 5);
    net.only_address("a", address);
    assert_eq!(became_master(), times, "{}", a.log());
    assert_eq!(harness::ask(&socket, "set vrrp VI_1 priority 50"), "\n");
    course("b", "a", [Link::Set("b"), Link::Cable("b")]);
    a.wait_for("VI_1: master -> backup: ");
    let times = became_master();
    Link::Set("a").is(&net, "down");
    wait_until("weir is at fault", || field(&socket, "State") == "fault");
    Link::Set("a").is(&net, "up");
    wait_until("weir is backup", || field(&socket, "State") == "backup");
    more(&socket, "Adverts_received", 5);
    net.only_address("b", address);
    assert_eq!(became_master(), times, "{}", a.log());
}

/// What loses its addresses with its link cannot speak from one when it is back.
fn keep_addresses(net: &Net) {
    for machine in ["a", "b"] {
        let space = net.space(machine);
        ip(&format!("netns exec {space} sysctl -qw net.ipv6.conf.all.keep_addr_on_down=1"));
    }
}

type Course = fn(&str, &str, &str);

fn over_ipv4(course: Course, dialect: usize) {
    let dialect = &crate::DIALECTS[dialect];
    let weir = format!("address {}/24\n    {}", harness::network::VIRTUAL, dialect.weir);
    let addresses = format!("virtual_ipaddress {{\n {}/24\n }}", harness::network::VIRTUAL);
    course(&weir, &format!("{addresses}\n{}\n", dialect.keepalived), harness::network::VIRTUAL);
}

fn over_ipv6(course: Course, weir: &str, keepalived: &str) {
    let weir = format!(
        "version 3\n    advert-interval 200ms\n    address fe80::100/64\n    address 2001:db8:99::100/64\n    {weir}"
    );
    let addresses = "virtual_ipaddress {\n fe80::100/64\n 2001:db8:99::100/64\n }";
    course(&weir, &format!("{addresses}\n version 3\n advert_int 0.2\n{keepalived}\n"), VIRTUAL6);
}

/// The same dialects for both courses.
macro_rules! dialects {
    ($name:ident, $course:ident) => {
        mod $name {
            use super::{over_ipv4, over_ipv6, $course as course};

            #[test]
            fn version_2_with_a_password() {
                over_ipv4(course, 0);
            }

            #[test]
            fn version_2_without() {
                over_ipv4(course, 1);
            }

            #[test]
            fn version_3() {
                over_ipv4(course, 2);
            }

            #[test]
            fn version_3_to_a_peer() {
                over_ipv4(course, 3);
            }

            #[test]
            fn version_3_over_ipv6() {
                over_ipv6(course, "", "");
            }

            #[test]
            fn version_3_over_ipv6_to_a_peer() {
                let theirs = " unicast_src_ip 2001:db8:99::2\n unicast_peer {\n 2001:db8:99::1\n }";
                over_ipv6(course, "peer 2001:db8:99::2", theirs);
            }
        }
    };
}

dialects!(nopreempt, neither_preempts);
dialects!(preempt, the_higher_one_has_them);
