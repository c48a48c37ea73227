//! `load-server-state-from-file`: both programs start on the same file.

use crate::harness::console;
use crate::harness::own_address;
use crate::harness::process::{Program, Proxy};
use crate::rig::{FRONT, PATIENCE, SERVER};
use std::time::Instant;

/// What is said at the start, with each of `lines` (from srv_addr on after the name) in the file.
fn start(program: Program, lines: &[&str], local: bool) -> Vec<String> {
    let address = own_address();
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("states");
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    std::fs::write(&file, text.replace("LINE", "1 f 9")).unwrap();
    let (global, load) = if local { ("base", "local") } else { ("file", "global") };
    let path = if local { dir.path().to_owned() } else { file };
    let config = format!(
        "global\n server-state-{global} {}\ndefaults\n mode http\n balance roundrobin\n timeout client 5s\n timeout server 5s\n \
         timeout connect 5s\n load-server-state-from-file {load}\nlisten f\n bind {address}:{FRONT}\n server-state-file-name \
         states\n server a {address}:{SERVER} check inter 1h rise 3 fall 4 weight 10\n server b {address}:{SERVER} weight 10\n \
         server c {address}:{SERVER} disabled check inter 1h\n server d {address}:{SERVER} track f/a\n server e \
         {address}:{SERVER} check inter 1h rise 1 fall 1\n",
        path.display()
    );
    let folder = dir.path().display().to_string();
    let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &[FRONT]).unwrap();
    // The checks of a and e run at once, nobody answers: the states of the file are settled before that.
    let started = Instant::now();
    while !proxy.stderr().contains("Layer4") && started.elapsed() < PATIENCE && proxy.stderr().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let said = proxy.stderr();
    let said = said
        .lines()
        .filter_map(|l| l.split_once(" : config : "))
        .map(|(_, text)| text.replace(&folder, "DIR"));
    said.collect()
}

fn check(lines: &[&str], local: bool) {
    let (theirs, ours) = (start(Program::HaProxy, lines, local), start(Program::Weir, lines, local));
    assert_eq!(ours, theirs, "{lines:#?}");
    assert!(!theirs.is_empty(), "{lines:#?}: nothing was said");
}

const NAMES: &str = "# be_id be_name srv_id srv_name srv_addr ...";

#[test]
fn states_are_taken_over() {
    // Down by checks, in maintenance, disabled in the configuration, tracking.
    let (a, b) = (
        "LINE a 1.1.1.1 0 0 10 10 100 8 2 0 6 0 0 0 - 1 - 0 0 - - 0",
        "LINE b 1.1.1.1 0 1 5 10 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
    );
    let (c, d) = (
        "LINE c 1.1.1.1 2 0 1 1 100 6 3 3 6 0 0 0 - 1 - 0 0 - - 0",
        "LINE d 1.1.1.1 2 0 1 1 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
    );
    check(&["1", NAMES, a, b, c, d], false);
    check(&["1", NAMES, a, b, c, d], true);
    // Stopping and draining; a weight that the configuration has changed.
    let (a, b) = (
        "LINE a 1.1.1.1 3 8 7 10 100 6 4 5 2 0 0 0 - 1 - 0 0 - - 0",
        "LINE b 1.1.1.1 2 8 5 7 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
    );
    let (d, e) = (
        "LINE d 1.1.1.1 0 0 1 1 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0",
        "LINE e 1.1.1.1 3 0 1 1 100 0 0 0 6 0 0 0 - 1 - 0 0 - - 0",
    );
    check(&["1", NAMES, a, b, d, e], false);
    // By id, of another backend, and fields out of range.
    check(
        &[
            "1",
            NAMES,
            "1 f 9 a 1.1.1.1 9 0 7 10 100 6 3 1 6 0 0 0 - 1 - 0 0 - - 0",
            "2 g 9 b 1.1.1.1 0 0 7 10 100 6 3 1 6 0 0 0 - 1 - 0 0 - - 0",
            "1 f 9 e 1.1.1.1 2 0 300 1 100 6 3 1 6 0 0 0 - 1 - 0 0 - - 0",
        ],
        false,
    );
}

#[test]
fn bad_files_change_nothing() {
    for local in [false, true] {
        check(&[], local);
        check(&["2"], local);
        check(&["1", NAMES, "LINE b 1.1.1.1 0 0 5 10 100 0 0 0 0 0 0 0 - 1 - 0 0 - - 0", "garbage"], local);
    }
}

/// What `show servers state` tells of one server that started on the line `1 s ADDRESS 2 ORDERS 1 1 100 6 3 4 6 0 0 0 TAIL`,
/// without what the first check changes, and what was said of the line.
fn reached(program: Program, server: &str, address: &str, orders: u8, tail: &str) -> (String, String) {
    let own = own_address();
    let dir = tempfile::TempDir::new().unwrap();
    let line = format!("2 b 1 s {address} 2 {orders} 1 1 100 6 3 4 6 0 0 0 {tail}");
    let (file, socket) = (dir.path().join("states"), dir.path().join("socket"));
    std::fs::write(&file, format!("1\n{NAMES}\n{line}\n")).unwrap();
    let folder = dir.path().display().to_string();
    let config = format!(
        "global\n stats socket {}\n server-state-file {}\ndefaults\n mode http\n timeout client 5s\n timeout server 5s\n \
         timeout connect 5s\n load-server-state-from-file global\nfrontend f\n bind {own}:{FRONT}\nbackend b\n server s \
         {server}\n",
        socket.display(),
        file.display()
    );
    let proxy = Proxy::start_in(program, dir, &config, &["-db"], own, &[FRONT]).unwrap();
    let all = console::ask(&socket, "show servers state");
    let line = all.lines().find(|l| l.contains(" b 1 s ")).unwrap_or_else(|| panic!("{all}")).to_owned();
    let fields = line.split(' ').enumerate().filter(|(i, _)| matches!(i, 4 | 6..=8 | 17..));
    let said = proxy.stderr();
    let said =
        said.lines().filter_map(|l| l.split_once(" : config : ")).map(|(_, t)| t.replace(&folder, "DIR"));
    (fields.map(|(_, f)| f).collect::<Vec<_>>().join(" "), said.collect())
}

#[test]
fn addresses_and_ports_are_taken_over() {
    let check = |server: &str, address: &str, orders: u8, tail: &str| {
        let theirs = reached(Program::HaProxy, server, address, orders, tail);
        assert_eq!(
            reached(Program::Weir, server, address, orders, tail),
            theirs,
            "{server} {address} {tail}"
        );
        theirs
    };
    const OLD: &str = "127.0.0.77";
    const FULL: &str = "- 7777 - 0 7001 127.0.0.78 ::1 7002";
    let (plain, named) = ("127.0.0.1:9001", "localhost:9001");
    let checked = "127.0.0.1:9001 check inter 1h addr 127.0.0.2 port 9002";
    let both = "127.0.0.1:9001 check inter 1h agent-check agent-port 9100 agent-inter 1h";
    let agent = "127.0.0.1:9001 agent-check agent-port 9100 agent-inter 1h";
    // The port of the file counts; its address where a name may have been there last.
    assert!(check(plain, OLD, 0, "- 7777 - 0 0 - - 0").0.starts_with("127.0.0.1 0 1 1 - 7777"));
    assert!(check(named, OLD, 0, "localhost 7777 - 0 0 - - 0").0.starts_with("127.0.0.77 0"));
    for server in ["localhost:9001 init-addr libc,last", "localhost:9001 init-addr none", "127.0.0.1:+5"] {
        check(server, OLD, 0, "localhost 7777 - 0 0 - - 0");
    }
    // A name that nobody knows any more.
    check("no.such.name.invalid:9001", OLD, 0, "no.such.name.invalid 7777 - 0 0 - - 0");
    check("no.such.name.invalid:9001 init-addr last,none", OLD, 32, "no.such.name.invalid 7777 - 0 0 - - 0");
    check("no.such.name.invalid:9001 init-addr last,none", "-", 32, "no.such.name.invalid 7777 - 0 0 - - 0");
    check(named, OLD, 64, "another.name 7777 - 0 0 - - 0");
    check(named, "1.2.3.456", 0, "localhost 7777 - 0 0 - - 0");
    check(named, "::1", 0, "localhost 7777 - 0 0 - - 0");
    for bad in ["65536", "99999"] {
        check(named, OLD, 0, &format!("localhost {bad} - 0 0 - - 0"));
    }
    check(named, OLD, 0, &format!("{} 7777 - 0 0 - - 0", "x".repeat(300)));
    // Where check and agent went.
    for server in [plain, checked, both, agent] {
        check(server, OLD, 0, FULL);
    }
    for tail in [
        "- 7777",
        "- 7777 -",
        "- 7777 - 0 7001",
        "- 7777 - 0 0 - ::1 0",
        "- 7777 - 0 70010 127.0.0.78 ::1 7002",
        "- 7777 - 0 x 127.0.0.78 ::1 7002",
        "- 7777 - 0 7001 localhost ::1 7002",
        "- 7777 - 0 7001 127.0.0.78 - 70020",
    ] {
        check(both, OLD, 0, tail);
    }
    check(both, OLD, 2, "- 77777 - 0 7001 - - 0");
}

/// Who wanted maintenance or a drain then, and what the configuration wants now.
#[test]
fn orders_are_taken_over() {
    for server in ["127.0.0.1:9001", "127.0.0.1:9001 disabled", "127.0.0.1:9001 disabled check inter 1h"] {
        for orders in [0, 1, 4, 5, 8, 9, 12] {
            let tail = "- 9001 - 0 0 - - 0";
            let theirs = reached(Program::HaProxy, server, "127.0.0.1", orders, tail);
            assert_eq!(
                reached(Program::Weir, server, "127.0.0.1", orders, tail),
                theirs,
                "{server} {orders}"
            );
        }
    }
}
