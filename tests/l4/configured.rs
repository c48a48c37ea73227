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
