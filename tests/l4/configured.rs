//! The whole program between namespaces, with configurations that choose how servers are chosen.

use crate::harness::process::Program;
use crate::harness::terminal::wait_until;
use crate::net::{Net, Running, VIP};
use std::path::PathBuf;

/// weir on the director; the origins of both servers on port 8080.
pub struct Weir<'a> {
    pub net: &'a Net,
    socket: PathBuf,
    _process: Running,
}

impl<'a> Weir<'a> {
    pub fn start(net: &'a Net, sections: &str) -> Self {
        let file = net.dir.path().join("weir.cfg");
        let socket = net.dir.path().join("weir.sock");
        let config = format!("global\n stats socket {} level admin\n{sections}", socket.display());
        std::fs::write(&file, config).unwrap();
        let program = Program::Weir.path();
        let words = [&program.to_string_lossy(), "-db", "-f", &file.to_string_lossy()];
        let process = net.start("d", &words);
        let weir = Self { net, socket, _process: process };
        wait_until("weir forwards", || {
            let output = weir.ipvsadm("-L -n");
            output.is_some_and(|list| list.contains("->  ") || list.contains("-> 10.72"))
        });
        weir
    }

    /// What a command of the socket answers.
    pub fn ask(&self, command: &str) -> String {
        crate::harness::ask(&self.socket, command)
    }

    pub fn ipvsadm(&self, words: &str) -> Option<String> {
        let program = Program::Weir.path();
        let mut command = self.net.command("d", &[&program.to_string_lossy(), "ipvsadm"]);
        let output =
            command.args(words.split_whitespace()).env("WEIR_SOCKET", &self.socket).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Who answers a connection of its own.
    pub fn who(&self, port: u16) -> String {
        let output = self.net.output("c", &format!("curl -s --max-time 20 http://{VIP}:{port}/"));
        String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
    }

    /// Weight, active and inactive flows of the server, as ipvsadm lists it.
    pub fn listed(&self, server: &str) -> Option<(u32, u32, u32)> {
        let list = self.ipvsadm("-L -n")?;
        let line = list.lines().find(|line| line.contains(&format!("-> {server}")))?;
        let words: Vec<u32> = line.split_whitespace().skip(3).filter_map(|w| w.parse().ok()).collect();
        Some((*words.first()?, *words.get(1)?, *words.get(2)?))
    }
}

/// Connections held by the client, see hold.py.
pub struct Held(Running);

impl Held {
    pub fn to(net: &Net, address: &str, port: u16, protocol: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/l4/hold.py");
        let mut running = net.start("c", &["python3", script, address, &port.to_string(), protocol]);
        assert_eq!(running.line(), "ready");
        Self(running)
    }

    /// How many of the answers came from each of s1, s2 and the director, and how many did not come.
    pub fn ask(&mut self, line: &str) -> [usize; 4] {
        self.0.write(line);
        let answer = self.0.line();
        ["s1", "s2", "d", "-"].map(|name| answer.split(' ').filter(|who| *who == name).count())
    }
}

#[test]
fn weights_thresholds_and_drains_choose_who_gets_connections() {
    let net = Net::new("d");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let weir = Weir::start(
        &net,
        "listen weights
    mode l4
    bind 10.72.0.100:80
    forward nat
    server s1 10.72.0.11:8080 weight 3
    server s2 10.72.0.12:8080 weight 1
listen thresholds
    mode l4
    bind 10.72.0.100:81
    forward nat
    balance wlc
    server s1 10.72.0.11:8080 weight 3 u-threshold 4 l-threshold 2
    server s2 10.72.0.12:8080 weight 1
",
    );
    // wlc, the default: three to one; and all back to where none is.
    let mut first = Held::to(&net, VIP, 80, "tcp");
    assert_eq!(first.ask("open 16"), [12, 4, 0, 0]);
    wait_until("the list says so", || weir.listed("10.72.0.11:8080") == Some((3, 12, 0)));
    assert_eq!(weir.listed("10.72.0.12:8080"), Some((1, 4, 0)));
    assert_eq!(weir.ask("set server weights/s1 weight 0").trim(), "");
    wait_until("nothing new comes to weight 0", || (0..4).all(|_| weir.who(80) == "s2"));
    assert_eq!(first.ask("open 4"), [0, 4, 0, 0]);
    assert_eq!(first.ask("again"), [12, 8, 0, 0], "what is there goes on");
    // Four are enough for s1; it takes more when fewer than two are left.
    let (mut four, mut more) = (Held::to(&net, VIP, 81, "tcp"), Held::to(&net, VIP, 81, "tcp"));
    assert_eq!(four.ask("open 5"), [4, 1, 0, 0]);
    assert_eq!(more.ask("open 3"), [0, 3, 0, 0]);
}

/// Both servers at port 80 of the virtual address; `lines` go before them.
fn section(name: &str, bind: &str, lines: &str) -> String {
    format!(
        "listen {name}\n mode l4\n bind {bind}\n forward nat\n{lines} server s1 10.72.0.11:8080\n server s2 10.72.0.12:8080\n"
    )
}

#[test]
fn a_client_stays_on_its_server() {
    let net = Net::new("d");
    let _origins = [8080, 8081].map(|port| [net.origin("s1", port, "::"), net.origin("s2", port, "::")]);
    let alone = |all: [usize; 4]| ["s1", "s2"].into_iter().zip(all).find(|(_, n)| *n > 0).unwrap().0;
    let weir = Weir::start(
        &net,
        &[
            section("moves", "10.72.0.100:80\n bind 10.72.0.100:443", " balance rr\n persist 300s\n"),
            section("keeps", "10.72.0.100:81", " balance rr\n persist 300s on-down keep\n"),
            section("udp", "udp@10.72.0.100:82", " balance rr\n persist 300s netmask 255.255.0.0\n"),
        ]
        .concat(),
    );
    let mut held = [80, 443, 81].map(|port| Held::to(&net, VIP, port, "tcp"));
    let [first, second, kept] = [0, 1, 2].map(|i| held[i].ask("open 5"));
    assert!(first.contains(&5) && kept.contains(&5), "{first:?} {kept:?}");
    assert_eq!(first, second, "the addresses of one service");
    assert!(Held::to(&net, VIP, 82, "udp").ask("open 5").contains(&5));
    let list = weir.ipvsadm("-L -n --persistent-conn").unwrap();
    assert!(list.contains("10.72.0.11:8080"), "{list}");
    // In maintenance: who may moves, and stays where it moved to; what is there goes on.
    let (server, other) = (alone(first), if alone(first) == "s1" { "s2" } else { "s1" });
    weir.ask(&format!("set server moves/{server} state maint"));
    wait_until("new flows move", || weir.who(80) == other);
    assert_eq!(held[0].ask("again"), first);
    weir.ask(&format!("set server moves/{server} state ready"));
    assert!((0..4).all(|_| weir.who(443) == other));
    let server = alone(kept);
    weir.ask(&format!("set server keeps/{server} state drain"));
    let other = if server == "s1" { "s2" } else { "s1" };
    let mut neighbour = || {
        net.on("c", "ip addr replace 10.71.0.3/24 dev eth0");
        let output = net.output("c", "curl -s --max-time 20 --interface 10.71.0.3 http://10.72.0.100:81/");
        String::from_utf8_lossy(&output.stdout).starts_with(other)
    };
    wait_until("somebody new goes to the other server", &mut neighbour);
    assert_eq!(held[2].ask("open 5"), kept, "its own clients stay");
    drop(weir);
    // Every port, without one of the servers' own.
    let every = "listen every\n mode l4\n bind 10.72.0.100:0\n forward nat\n balance rr\n persist 300s\n server s1 10.72.0.11\n server s2 10.72.0.12\n";
    let weir = Weir::start(&net, every);
    let server = weir.who(8080);
    assert!(server == "s1" || server == "s2", "{server}");
    assert!((0..4).all(|_| weir.who(8081) == server && weir.who(8080) == server));
}

#[test]
fn each_datagram_by_itself() {
    let net = Net::new("d");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let weir = Weir::start(&net, &section("dns", "udp@10.72.0.100:53", " balance rr\n option one-packet\n"));
    let mut client = Held::to(&net, VIP, 53, "udp");
    let mut all = [client.ask("open 1"), client.ask("again"), client.ask("again"), client.ask("again")];
    all.sort_unstable();
    assert_eq!(
        all,
        [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
        "answers come back to the one socket"
    );
    assert!(!weir.ask("show l4 flows").contains("10.71.0.2"));
    // Its fragments stay together.
    let long = "x".repeat(4000);
    for _ in 0..4 {
        assert!(net.datagram(VIP, 53, &long).ends_with(&long));
    }
}

#[test]
fn flows_of_servers_that_are_down_or_gone() {
    let net = Net::new("d");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let health = [net.origin("s1", 9001, "::"), net.origin("s2", 9001, "::")];
    let checked = " balance rr\n default-server check port 9001 inter 200ms fall 1 rise 1\n";
    let udp = |name: &str, port: u16, lines: &str| {
        section(name, &format!("udp@10.72.0.100:{port}"), &format!(" balance rr\n{lines}"))
    };
    let weir = Weir::start(
        &net,
        &[
            section("quiesced", "10.72.0.100:80", &format!("{checked} option quiesce-on-down\n")),
            section("ended", "10.72.0.100:81", checked),
            udp("cut", 53, ""),
            udp("expire", 54, " on-remove expire\n"),
            udp("drain", 55, " on-remove drain\n"),
        ]
        .concat(),
    );
    let mut tcp = [80, 81].map(|port| Held::to(&net, VIP, port, "tcp"));
    let mut datagrams = [53, 54, 55].map(|port| Held::to(&net, VIP, port, "udp"));
    for held in tcp.iter_mut().chain(&mut datagrams) {
        assert_eq!(held.ask("open 8"), [4, 4, 0, 0]);
    }
    let [down, _up] = health;
    drop(down);
    for port in [80, 81] {
        wait_until("nothing new goes to a server that is down", || (0..4).all(|_| weir.who(port) == "s2"));
    }
    assert_eq!(tcp[0].ask("again"), [4, 4, 0, 0], "quiesced");
    assert_eq!(tcp[1].ask("again"), [0, 4, 0, 4], "the others are told at once");
    for name in ["cut", "expire", "drain"] {
        weir.ask(&format!("set server {name}/s1 state maint"));
        wait_until("the server is removed", || {
            weir.ask(&format!("del server {name}/s1"));
            !weir.ask("show servers state").contains(&format!("{name} 1 s1"))
        });
    }
    wait_until("flows of the removed server go to the other", || datagrams[0].ask("again") == [0, 8, 0, 0]);
    wait_until("at their next datagram", || datagrams[1].ask("again") == [0, 8, 0, 0]);
    assert_eq!(datagrams[2].ask("again"), [4, 4, 0, 0], "drained");
}

#[test]
fn below_the_minimum_the_sorry_server_serves_and_programs_are_told() {
    let net = Net::new("d");
    let [first, _second] = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    let _sorry = net.origin("d", 8081, "127.0.0.1");
    let said = net.dir.path().join("said");
    let weir = Weir::start(
        &net,
        &format!(
            "listen web
    mode l4
    bind 10.72.0.100:80
    forward nat
    balance rr
    minimum up 2 on-down \"/usr/bin/tee {0}.down\" on-up \"/usr/bin/tee {0}.up\"
    server s1 10.72.0.11:8080 check inter 200ms fall 1 rise 1
    server s2 10.72.0.12:8080 check inter 200ms fall 1 rise 1
    server sorry 127.0.0.1:8081 backup
",
            said.display()
        ),
    );
    wait_until("both serve", || weir.who(80) == "s1" && weir.who(80) == "s2");
    drop(first);
    wait_until("one is too few", || weir.who(80) == "d");
    wait_until("the program is told", || said.with_extension("down").exists());
    assert!(!said.with_extension("up").exists());
    let _first = net.origin("s1", 8080, "::");
    wait_until("two are enough", || (0..4).all(|_| weir.who(80) != "d"));
    wait_until("the program is told", || said.with_extension("up").exists());
}

/// The avalanche, see schedulers.rs for its figures: here `slowstart` in a configuration.
#[test]
fn slow_start_limits_what_an_empty_server_gets() {
    let net = Net::new("d");
    let _origins = [net.origin("s1", 8080, "::"), net.origin("s2", 8080, "::")];
    for (compat, expected) in [("", [29, 1, 0, 0]), (" l4-compat ipvs\n", [0, 30, 0, 0])] {
        let lines = " default-server slowstart 10m\n";
        let weir = Weir::start(&net, &format!("{compat}{}", section("web", "10.72.0.100:80", lines)));
        weir.ask("set server web/s2 state maint");
        wait_until("the first serves alone", || (0..4).all(|_| weir.who(80) == "s1"));
        let mut held = Held::to(&net, VIP, 80, "tcp");
        assert_eq!(held.ask("open 60"), [60, 0, 0, 0]);
        weir.ask("set server web/s2 state ready");
        let mut new = Held::to(&net, VIP, 80, "tcp");
        let mut got = [0; 4];
        // Its ramp has hardly begun: one in two hundred.
        wait_until("it has its first", || {
            let more = new.ask("open 1");
            got = [0, 1, 2, 3].map(|i| got[i] + more[i]);
            more[1] > 0
        });
        let more = new.ask("open 30");
        if compat.is_empty() {
            assert!(more[1] <= expected[1] && more[0] >= expected[0], "{more:?}");
        } else {
            assert_eq!(more, expected);
        }
        assert_eq!(got[2..], [0, 0]);
    }
}
