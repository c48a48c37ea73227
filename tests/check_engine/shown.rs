//! What `show stat` and `show servers state` tell of checks and agents, beside haproxy.

use crate::harness::process::{Program, Proxy};
use crate::harness::{bind_soon, console, own_address};
use crate::rig::{AGENT, FRONT, PATIENCE, SERVER};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

const COLUMNS: &[&str] = &[
    "svname",
    "status",
    "check_status",
    "check_code",
    "check_rise",
    "check_fall",
    "check_health",
    "check_desc",
    "last_chk",
    "agent_status",
    "agent_code",
    "agent_health",
    "agent_desc",
    "last_agt",
    "tracked",
];

/// Says `up` to everybody who connects.
fn agent(address: SocketAddr) {
    let listener = bind_soon(|| TcpListener::bind(address));
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(b"up\n");
        }
    });
}

/// Each server's columns, and its agent's bits in the state file. `*`: the next check is under way.
fn shown(socket: &Path) -> String {
    let all = console::ask(socket, "show stat");
    let mut lines = all.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let places: Vec<usize> = COLUMNS.iter().map(|c| names.iter().position(|n| n == c).expect(c)).collect();
    let mut text = String::new();
    for line in lines.filter(|l| !l.contains("END,")) {
        let fields: Vec<&str> = line.split(',').collect();
        let chosen: Vec<&str> = places.iter().filter_map(|i| fields.get(*i).copied()).collect();
        writeln!(text, "{}", chosen.join("|").replace("* ", "")).unwrap();
    }
    for line in console::ask(socket, "show servers state").lines().filter(|l| l.contains(" f ")) {
        let fields: Vec<&str> = line.split(' ').collect();
        writeln!(text, "{} {}", fields[3], fields[14].replace("23", "22")).unwrap();
    }
    text
}

fn course(program: Program) -> Vec<String> {
    let own = own_address();
    agent((own, AGENT).into());
    let dir = tempfile::TempDir::new().unwrap();
    let (socket, script) = (dir.path().join("socket"), dir.path().join("script"));
    std::fs::write(&script, "#!/bin/sh\nkill -9 $$\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "global\n stats socket {} level admin\n external-check\n insecure-fork-wanted\ndefaults\n mode http\n timeout client 5s\n \
         timeout server 5s\n timeout connect 5s\nlisten f\n bind {own}:{FRONT}\n default-server agent-port {AGENT} agent-inter \
         100ms inter 100ms\n server a {own}:{SERVER} agent-check\n server t {own}:{SERVER} track f/a\n server n {own}:{SERVER}\n \
         server c {own}:{AGENT} check\n server b {own}:{AGENT} check agent-check backup\n server m {own}:{SERVER} agent-check \
         disabled\n server tc {own}:{SERVER} track f/c\nbackend x\n option external-check\n external-check command {}\n server x \
         {own}:{SERVER} check inter 100ms\n",
        socket.display(),
        script.display()
    );
    let _proxy = Proxy::start_in(program, dir, &config, &["-db"], own, &[FRONT]).unwrap();
    let until = |done: &dyn Fn(&str) -> bool| {
        let limit = Instant::now() + PATIENCE;
        loop {
            let text = shown(&socket);
            if done(&text) {
                return text;
            }
            assert!(Instant::now() < limit, "{program:?}:\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // While an agent is asked, haproxy's line lacks what it said before.
    let spoken = |text: &str| text.matches("via agent : up").count() == 3;
    let heard = |text: &str| {
        let checked = text.contains("PROCERR") && text.matches("L4OK|").count() == 2;
        text.matches("|L7OK|").count() == 3 && spoken(text) && checked
    };
    let usual = until(&heard);
    let mut said = vec![usual];
    for state in ["drain", "maint"] {
        for server in ["a", "b", "c", "n"] {
            console::ask(&socket, &format!("set server f/{server} state {state}"));
        }
        said.push(until(&spoken));
    }
    said
}

#[test]
fn states_with_and_without_checks() {
    let (theirs, ours) = (course(Program::HaProxy), course(Program::Weir));
    assert_eq!(ours, theirs);
    assert!(theirs[0].contains("a|no check|") && theirs[0].contains("|4294967295|"), "{}", theirs[0]);
    assert!(theirs[1].contains("a|DRAIN (agent)|"), "{}", theirs[1]);
}

/// During maintenance the weight is what it was.
#[test]
fn a_weight_given_in_maintenance_counts_after_it() {
    let course = |program: Program| {
        let own = own_address();
        let dir = tempfile::TempDir::new().unwrap();
        let socket = dir.path().join("socket");
        let config = format!(
            "global\n stats socket {} level admin\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
             listen f\n bind {own}:{FRONT}\n server s {own}:{SERVER} weight 40\n server d {own}:{SERVER} weight 30 disabled\n",
            socket.display()
        );
        let _proxy = Proxy::start_in(program, dir, &config, &["-db"], own, &[FRONT]).unwrap();
        let weights = || {
            let all = console::ask(&socket, "show stat");
            let of = |line: &str| line.split(',').nth(18).unwrap_or_default().to_owned();
            all.lines().filter(|l| l.starts_with("f,") && !l.contains("END,")).map(of).collect::<Vec<_>>()
        };
        let mut seen = vec![weights()];
        for command in [
            "set server f/s state maint",
            "set weight f/s 10%",
            "set server f/d weight 7",
            "set server f/s state ready",
            "set server f/d state ready",
        ] {
            console::ask(&socket, command);
            seen.push(weights());
        }
        seen
    };
    let haproxy = course(Program::HaProxy);
    assert_eq!(course(Program::Weir), haproxy);
    assert_eq!(haproxy[2], ["40", "30"]);
}
