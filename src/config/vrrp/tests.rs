//! Good and bad lines of `vrrp` sections.

use crate::config::environment::Environment;
use crate::config::{Source, load};

const WHOLE: &str = "interface eth0\n virtual-router-id 51\n address 10.0.0.1/24";

/// What is wrong with the lines of a `vrrp` section beside the three it must have, without the place.
fn complaints(text: &str) -> String {
    let source = Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() };
    match load(&[source], &Environment::default()) {
        Ok(_) => String::new(),
        Err(all) => all.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("\n"),
    }
}

fn check(lines: &str, expected: &str) {
    let got = complaints(&format!("vrrp VI_1\n {WHOLE}\n {lines}\n"));
    assert!(if expected.is_empty() { got.is_empty() } else { got.contains(expected) }, "{lines}: {got}");
}

#[test]
fn good_lines() {
    check("", "");
    check("version 3\n advert-interval 100ms\n peer 10.0.0.2\n source 10.0.0.3\n nopreempt", "");
    check("address 10.0.0.2 dev eth1 label eth1:1\n track interface eth1 weight -10\n garp-repeat 3", "");
    check(
        "notify /bin/x a b\nvrrp-group G\n member VI_1\nvrrp-script s\n command \"/bin/true x\"\n weight 5",
        "",
    );
}

#[test]
fn bad_lines() {
    check("advert-interval 100ms", "whole seconds up to 255s with version 2");
    check("version 3\n advert-interval 105ms", "a multiple of 10ms");
    check("version 3\n authentication pass x", "version 3 has none");
    check("authentication ah x", "not supported by weir: use 'pass'");
    check("virtual-router-id 0", "virtual-router-id");
    check("priority 256", "priority");
    check("state master\n nopreempt", "Write 'state backup'");
    check("address fe80::1", "not of the family");
    check("address 10.0.0.1/33", "the prefix must be 0 to 32");
    check("address 10.0.0.2 label a-much-too-long-label", "15 letters");
    check("address 10.0.0.2/32 scope link", "");
    check("address 10.0.0.2/32 scope wide", "'scope' expects global, site, link or host (got 'wide')");
    check("address 10.0.0.2/32 broad yes", "expects 'dev', 'label' or 'scope'");
    check("address 10.0.0.1/24", "vrrp 'VI_1' has 10.0.0.1 already");
    check("address 10.0.0.1/24 dev eth1", "");
    check("nopreempt extra", "'nopreempt' cannot handle unexpected argument 'extra'");
    let second = "vrrp VI_2\n interface eth0\n virtual-router-id 52\n address 10.0.0.1/32";
    check(second, "vrrp 'VI_1' has 10.0.0.1 already");
    check(&second.replace("eth0", "eth1"), "");
    let groups = "vrrp-group G\n member VI_1\nvrrp-group H\n member VI_1";
    check(groups, "'VI_1' is in vrrp-group 'G' already");
    check("track backend nope", "no backend is named 'nope'");
    check("track script nope", "no vrrp-script section is named 'nope'");
    check("track l4", "no section is in 'mode l4'");
    let service = "listen vip\n mode l4\n bind 10.0.0.1:80\n server s 10.0.0.9:80\nbackend other\n mode tcp";
    check(&format!("track l4\n track l4 weight -20\n track l4 vip min-up 2 weight -5\n{service}"), "");
    check(&format!("track l4 vop\n{service}"), "no section in 'mode l4' with servers is named 'vop'");
    check(&format!("track l4 other\n{service}"), "is named 'other'");
    check(&format!("track l4 vip up\n{service}"), "'track l4' : unexpected argument 'up'");
    check(
        "garp-lower-prio-repeat 0\n garp-lower-prio-delay 0\n garp-refresh 60s\n garp-refresh-repeat 2",
        "",
    );
    check("garp-lower-prio-repeat 101", "garp-lower-prio-repeat");
    check("notify relative", "with its whole path");
    check("preempt", "preempt");
    check("vrrp VI_2", "has no 'interface'");
    check("interface eth1", "");
    check("accept", "");
    check("no-accept\n strict", "");
    check("strict\n peer 10.0.0.2", "'peer' : not with 'strict'");
    check("strict\n authentication pass 1", "not with 'strict': there is no authentication");
    check("strict\n accept", "version 2 takes nothing");
    check("strict\n version 3\n accept", "");
    check("strict\n min-ttl 64", "'min-ttl' is 255");
    check("strict\n state master", "only the owner");
    check("strict\n interface eth1", "adverts go out of one interface");
    check("use-vmac", "");
    check(
        "route 10.1.0.0/16 via 10.0.0.254\n route default via 10.0.0.254 dev eth0 src 10.0.0.1 metric 5 table 100",
        "",
    );
    check("rule from 10.0.0.1 table 100 priority 50\n rule to 10.1.0.0/16 iif eth0 fwmark 7 table 300", "");
    check("route 10.1.0.0/33", "'route' expects a network");
    check("route default", "'via' or 'dev'");
    check("route 10.1.0.0/16 via fe80::1", "not of the family");
    check("route 10.1.0.0/16 over eth0", "unexpected argument 'over'");
    check("route 10.1.0.0/16 metric x", "'metric' expects a number");
    check("rule from 10.0.0.1", "'rule' has no 'table'");
    check("rule table 5", "expects 'from', 'to', 'iif' or 'fwmark'");
    check("use-vmac too-long-for-an-interface", "no interface's name");
    let other = "vrrp B\n interface eth1\n virtual-router-id 51\n address 10.0.1.1/24";
    check(&format!("use-vmac\n{other}\n use-vmac vm1"), "");
    check(&format!("use-vmac\n{other}\n use-vmac"), "interface 'vrrp.51' is that of vrrp 'VI_1'");
    check("interface eth0", "'eth0' is given twice");
    check("interface eth1\n interface eth2", "two at the most");
    check("interface eth1\n peer 10.0.0.2", "a second one is for multicast");
}

#[test]
fn whole_file() {
    assert!(complaints("vrrp A\n interface eth0\n").contains("has no 'address'"));
    assert!(complaints(&format!("vrrp A\n {WHOLE}\nvrrp A\n {WHOLE}\n")).contains("has the same name"));
    assert!(
        complaints(&format!("vrrp A\n {WHOLE}\nvrrp B\n {WHOLE}\n")).contains("give one of them another id")
    );
    assert!(complaints("vrrp-group G\n").contains("has no 'member'"));
    assert!(complaints("vrrp-group G\n member X\n").contains("no vrrp section is named 'X'"));
    assert!(complaints("vrrp-script S\n").contains("has no 'command'"));
    let six = "vrrp A\n interface eth0\n virtual-router-id 1\n address 2001:db8::1/64\n";
    assert_eq!(complaints(six), "");
    assert!(complaints(&format!("{six} strict\n")).contains("the first IPv6 address is link-local"));
    assert!(complaints(&format!("{six} version 2\n")).contains("version 2 knows no IPv6"));
}
