//! Reloads inside the process: routers that stay as they are know of none; others take what is new, and keep their state.

use crate::harness::console::ask;
use crate::harness::network::{Net, Node, VIRTUAL, capture, ip, sniff};
use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::weir_config;
use std::process::Command;

const FAST: &str = "version 3\n    advert-interval 100ms";
/// Where nobody may take a pause of this machine for the end of a master.
const SLOW: &str = "version 3\n    advert-interval 1s";
const SECOND: &str = "10.99.0.101";
const OTHER: &str = "10.98.0.100";

fn config(turn: u32, routers: &str) -> String {
    format!(
        "defaults\n    mode http\n    timeout connect 10s\n    timeout client 10s\n    timeout server 10s\n\
         frontend web\n    bind {VIRTUAL}:8080\n    http-request return status 200 content-type text/plain string turn-{turn}\n{routers}"
    )
}

fn asked(net: &Net) -> String {
    ip(&format!("netns exec {} curl -s --max-time 20 http://{VIRTUAL}:8080/", net.space("a")))
}

/// A process with a socket, and another configuration for it.
struct Machine<'n>(&'n Net, Node);

impl<'n> Machine<'n> {
    fn start(net: &'n Net, routers: &str) -> Self {
        Self(net, net.weir("a", &Self::whole(net, routers)))
    }

    fn whole(net: &Net, routers: &str) -> String {
        let socket = net.dir.path().join("a.sock");
        format!("global\n    stats socket {} level admin\n{routers}", socket.display())
    }

    fn reload(&self, routers: &str) -> String {
        self.0.write("a.cfg", &Self::whole(self.0, routers));
        self.ask("reload")
    }

    fn go_to(&self, routers: &str) {
        let answer = self.reload(routers);
        assert!(answer.starts_with("Success=1"), "{answer}\n{}", self.1.log());
    }

    /// What `weir diff` says of it.
    fn diff(&self, routers: &str) -> Vec<String> {
        let file = self.0.write("next.cfg", &Self::whole(self.0, routers));
        let socket = self.0.dir.path().join("a.sock");
        let output = Command::new(Program::Weir.path())
            .args(["diff", "-f", &file.to_string_lossy(), "-s", &socket.to_string_lossy()])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    fn ask(&self, line: &str) -> String {
        ask(&self.0.dir.path().join("a.sock"), line)
    }

    /// Changes of state so far.
    fn changes(&self, router: &str) -> Vec<String> {
        let log = self.1.log();
        let states = ["stopped", "fault", "backup", "master"];
        let change = |line: &str| {
            let (_, rest) = line.split_once(&format!(" : {router}: "))?;
            let (from, rest) = rest.split_once(" -> ")?;
            let (to, _) = rest.split_once(':')?;
            (states.contains(&from) && states.contains(&to)).then(|| format!("{from} -> {to}"))
        };
        log.lines().filter_map(change).collect()
    }
}

#[test]
fn a_reload_moves_no_address() {
    let net = Net::new();
    let routers = weir_config("", 150);
    let a = net.weir("a", &config(0, &routers));
    a.wait_for("-> master");
    net.only("a");
    for turn in 1..=10 {
        net.write("a.cfg", &config(turn, &routers));
        a.signal("USR2");
        a.wait_for(&format!("this is generation {}.", turn + 1));
        assert_eq!(asked(&net), format!("turn-{turn}"));
    }
    assert!(net.holds("a", VIRTUAL));
    let log = a.log();
    assert_eq!((log.matches("-> master").count(), log.matches("master ->").count()), (1, 0), "{log}");
    a.stop();
}

/// A worker thread that a reload has begun is watched as the others are.
#[test]
fn a_worker_more_may_hang() {
    let net = Net::new();
    let threads = |count| format!("    nbthread {count}\n{}", config(count, &weir_config(SLOW, 150)));
    let a = Machine::start(&net, &threads(1));
    net.only("a");
    a.go_to(&threads(2));
    a.ask("expert-mode on; debug dev hang-worker 2");
    a.1.wait_for("VI_1: master -> fault: worker 2 hangs");
}

/// The priority in an advert, which comes after the header of IPv4.
fn priority(packet: &str) -> u8 {
    u8::from_str_radix(&packet[44..46], 16).unwrap()
}

#[test]
fn the_protocol_says_what_follows_from_a_priority() {
    let net = Net::new();
    let a = Machine::start(&net, &weir_config(SLOW, 150));
    net.only("a");
    let b = net.weir("b", &weir_config(SLOW, 100));
    b.wait_for("VI_1: stopped -> backup");
    a.go_to(&weir_config(SLOW, 120));
    assert_eq!(priority(&capture(&net, "b", 1)[0]), 120);
    a.1.wait_for("VI_1: priority 150 -> 120: the configuration says so");
    assert_eq!(a.changes("VI_1"), ["stopped -> backup", "backup -> master"]);
    a.go_to(&weir_config(SLOW, 50));
    b.wait_for("VI_1: backup -> master: priority 100 is above 50 of 10.99.0.1");
    net.only("b");
    a.go_to(&weir_config(SLOW, 200));
    net.only("a");
    assert_eq!(a.changes("VI_1")[2..], ["master -> backup", "backup -> master"]);
    // A slower rhythm, which the other one learns.
    a.go_to(&weir_config("version 3\n    advert-interval 10s", 200));
    let shown = a.ask("show vrrp VI_1");
    assert!(
        shown.contains("Advert_interval_ms: 10000") && shown.contains("Configured_priority: 200"),
        "{shown}"
    );

    assert_eq!(a.changes("VI_1").len(), 4);
}

fn section(name: &str, interface: &str, vrid: u8, lines: &str) -> String {
    format!("vrrp {name}\n    interface {interface}\n    virtual-router-id {vrid}\n    {FAST}\n    {lines}\n")
}

#[test]
fn addresses_are_put_and_taken_while_the_master_stays_it() {
    let net = Net::new();
    let with = |addresses: &[&str]| {
        let lines: String = addresses.iter().map(|a| format!("    address {a}/24\n")).collect();
        section("VI_1", "eth0", 51, lines.trim())
    };
    let a = Machine::start(&net, &with(&[VIRTUAL]));
    net.only("a");
    let announced = std::thread::scope(|scope| {
        let condition = "f[12:14]==bytes([8,6]) and f[28:32]==bytes([10,99,0,101])";
        let sniffing = scope.spawn(|| sniff(&net, "b", condition, 1));
        // It listens before there is anything to hear: else it hears the burst of garp-delay.
        a.go_to(&with(&[VIRTUAL, SECOND]));
        sniffing.join().unwrap()
    });
    assert!(announced[0].starts_with("ffffffffffff"), "{announced:?}");
    assert!(net.holds("a", VIRTUAL) && net.holds("a", SECOND));
    let advert = &capture(&net, "b", 1)[0];
    assert!(advert.ends_with("0a6300640a630065"), "{advert}");
    assert_eq!(
        a.diff(&with(&[SECOND])),
        [
            "vrrp VI_1: address: 0 lines more, 1 less (put and taken at once where this node is master, which it stays)"
        ]
    );
    a.go_to(&with(&[SECOND]));
    assert!(!net.holds("a", VIRTUAL) && net.holds("a", SECOND));
    let advert = &capture(&net, "b", 1)[0];
    assert!(advert.ends_with("0a630065"), "{advert}");
    assert_eq!(a.changes("VI_1"), ["stopped -> backup", "backup -> master"]);
    // To another router of the same machine, with a route that goes along.
    a.go_to(&format!(
        "{}{}",
        with(&[VIRTUAL]),
        section("VI_2", "eth1", 52, &format!("address {OTHER}/24\n    route 10.1.0.0/16 via 10.98.0.2"))
    ));
    a.1.wait_for("VI_2: backup -> master");
    wait_until("all is there", || {
        net.holds("a", OTHER) && routes(&net).contains("10.1.0.0/16 via 10.98.0.2")
    });
    assert!(net.holds("a", VIRTUAL) && !net.holds("a", SECOND));
    a.go_to(&format!(
        "{}{}",
        section("VI_2", "eth1", 52, &format!("address {OTHER}/24\n    route 10.2.0.0/16 via 10.98.0.2")),
        with(&[VIRTUAL])
    ));
    let there = routes(&net);
    assert!(there.contains("10.2.0.0/16 via 10.98.0.2") && !there.contains("10.1.0.0/16"), "{there}");
    assert_eq!(a.changes("VI_1"), ["stopped -> backup", "backup -> master"]);
    assert_eq!(a.changes("VI_2"), ["stopped -> backup", "backup -> master"]);
    a.1.stop();
    assert!(!net.holds("a", VIRTUAL) && !net.holds("a", OTHER));
}

fn routes(net: &Net) -> String {
    ip(&format!("-n {} route", net.space("a")))
}

/// From none to one, to two, back to none, and to one again. The other node hears a priority of 0 and takes over at once.
#[test]
fn routers_come_and_go() {
    let net = Net::new();
    let none = "frontend f\n    mode tcp\n    timeout client 1s\n    bind 10.99.0.1:8080\n";
    let one = section("VI_1", "eth0", 51, &format!("priority 150\n    address {VIRTUAL}/24"));
    let vmac = section("VI_2", "eth1", 52, &format!("priority 150\n    use-vmac\n    address {OTHER}/24"));
    let [one, vmac] = [one, vmac].map(|section| section.replace(FAST, SLOW));
    let a = Machine::start(&net, none);
    wait_until("it answers", || a.ask("show info").contains("Uptime"));
    a.go_to(&format!("{none}{one}"));
    net.only("a");
    assert_eq!(a.changes("VI_1"), ["stopped -> backup", "backup -> master"]);
    let b = net.weir("b", &format!("{}{}", one.replace("150", "100"), vmac.replace("150", "100")));
    b.wait_for("VI_1: stopped -> backup");
    b.wait_for("VI_2: backup -> master");
    let next = format!("{none}{vmac}{one}");
    assert_eq!(a.diff(&next), ["vrrp VI_2: added (begins as backup)"]);
    a.go_to(&next);
    net.only_address("a", OTHER);
    let links = || ip(&format!("-n {} link", net.space("a")));
    assert!(links().contains("vrrp.52@eth1"));
    a.go_to(&format!("{none}{one}"));
    b.wait_for("VI_2: backup -> master: 10.98.0.1 stops");
    net.only_address("b", OTHER);
    assert!(!links().contains("vrrp.52"));
    let arp = ip(&format!("netns exec {} sysctl -n net.ipv4.conf.eth1.arp_ignore", net.space("a")));
    assert_eq!(arp.trim(), "0");
    assert_eq!(a.changes("VI_1"), ["stopped -> backup", "backup -> master"]);
    assert_eq!(a.changes("VI_2")[2..], ["master -> stopped"]);
    // Another id is another router.
    let next = format!("{none}{}", one.replace("51", "61"));
    assert_eq!(
        a.diff(&next),
        [
            "vrrp VI_1: virtual-router-id: 51 -> 61 (another router: the one before stops at once, this one begins as backup)"
        ]
    );
    a.go_to(&next);
    b.wait_for("VI_1: backup -> master: 10.99.0.1 stops");
    a.1.wait_for("VI_1: stopped -> backup: started");
    assert_eq!(
        a.diff(none),
        ["vrrp VI_1: removed (stops at once, so that another node takes its addresses)"]
    );
    a.go_to(none);
    net.only("b");
    assert!(a.ask("show vrrp json").trim().ends_with("[]"), "{}", a.ask("show vrrp json"));
    b.stop();
    a.go_to(&format!("{none}{one}"));
    net.only("a");
}

/// What is tracked goes on with how it fares, and with what the administrator said.
#[test]
fn what_is_tracked_goes_on() {
    let net = Net::new();
    let flag = net.write("well", "");
    let script = format!(
        "vrrp-script well\n    command /bin/ls {}\n    interval 100ms\n    timeout 5s\n    rise 1\n    fall 1\n    weight -60\n",
        flag.display()
    );
    let number = net.write("number", "7\n");
    let file = format!("    track file {} weight 2\n", number.display());
    let one = |priority: u8, lines: &str| {
        section("VI_1", "eth0", 51, &format!("priority {priority}\n    address {VIRTUAL}/24\n    {lines}"))
    };
    let a = Machine::start(&net, &format!("{script}{}", one(150, "track script well")));
    net.only("a");
    std::fs::remove_file(&flag).unwrap();
    a.1.wait_for("VI_1: priority 150 -> 90: script well failed");
    a.go_to(&format!("{script}{}", one(160, &format!("track script well\n{file}"))));
    a.1.wait_for("VI_1: priority 90 -> 100: the configuration says so");
    a.1.wait_for("VI_1: priority 100 -> 114: ");
    std::fs::write(&flag, "").unwrap();
    a.1.wait_for("VI_1: priority 114 -> 174");
    a.ask("set vrrp VI_1 priority 100");
    a.1.wait_for("VI_1: priority 160 -> 100: set by the administrator");
    a.go_to(&one(160, ""));
    a.1.wait_for("VI_1: priority 114 -> 100: the configuration says so");
    a.go_to(&one(161, ""));
    a.1.wait_for("VI_1: priority 100 -> 161: the configuration says so");
    assert_eq!(a.changes("VI_1"), ["stopped -> backup", "backup -> master"]);
}

/// A router that joins the group of a master becomes it too.
#[test]
fn groups_come_and_go() {
    let net = Net::new();
    let one = section("VI_1", "eth0", 51, &format!("address {VIRTUAL}/24"));
    let two = section("VI_2", "eth1", 52, &format!("address {OTHER}/24"));
    let group = "vrrp-group VG\n    member VI_1\n    member VI_2\n";
    let a = Machine::start(&net, &one);
    net.only("a");
    a.go_to(&format!("{two}{one}{group}"));
    a.1.wait_for("VI_2: backup -> master: VI_1 of group VG is master");
    ip(&format!("-n {} link set eth1 down", net.space("a")));
    a.1.wait_for("VI_1: master -> fault: VI_2: interface eth1 is down");
    a.go_to(&format!("{two}{one}"));
    net.only("a");
    assert_eq!(a.changes("VI_2").last().map(String::as_str), Some("master -> fault"));
}

/// What is wrong changes nothing, of the routers or of anything else.
#[test]
fn wrong_routers_are_refused() {
    let net = Net::new();
    let one = section("VI_1", "eth0", 51, &format!("address {VIRTUAL}/24"));
    let a = Machine::start(&net, &config(0, &one));
    net.only("a");
    let wrong = [
        (section("VI_2", "eth9", 52, &format!("address {OTHER}/24")), "this machine has no interface 'eth9'"),
        (
            one.replace("address", "notify /nonexistent/program\n    address"),
            "/nonexistent/program: No such file",
        ),
        (one.replace(VIRTUAL, "10.99.0.300"), "10.99.0.300"),
    ];
    for (routers, said) in wrong {
        let answer = a.reload(&config(1, &routers));
        assert!(answer.starts_with("Success=0") && answer.contains(said), "{answer}");
        assert_eq!(asked(&net), "turn-0");
        assert!(net.holds("a", VIRTUAL));
    }
    assert_eq!(a.changes("VI_1"), ["stopped -> backup", "backup -> master"]);
    a.go_to(&config(2, &one));
    assert_eq!(asked(&net), "turn-2");
}
