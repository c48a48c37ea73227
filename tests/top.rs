//! `weir top` in a real terminal, on the stats socket of weir and of Debian's haproxy: shows what there is, drains a server
//! after a yes, and only then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use harness::process::{Program, Proxy};
use harness::status;
use harness::terminal::{Terminal, wait_until};

fn start(program: Program) -> Proxy {
    let address = harness::own_address();
    let config = format!(
        "global\n    stats socket unix@admin.sock level admin\n\
         defaults\n    mode http\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n\
         frontend web\n    bind {address}:8080\n    default_backend app\n\
         backend app\n    balance roundrobin\n    server s1 {address}:8081\n    server s2 {address}:8082\n"
    );
    Proxy::start(program, &config, address, &[8080]).unwrap()
}

/// The status column of a server, by the socket.
fn drains_after_a_yes(program: Program) {
    let proxy = start(program);
    let socket = proxy.dir().join("admin.sock");
    let weir = Program::Weir.path();
    let mut screen = Terminal::open(&format!("{} top -i 0.2 -s {}", weir.display(), socket.display()));
    screen.wait_for("app/s2", 1);
    screen.press("/s2\r");
    // A no first. That the question comes again shows that the no was taken.
    screen.press("d");
    screen.wait_for("Drain app/s2", 1);
    screen.press("n");
    screen.press("d");
    screen.wait_for("Drain app/s2", 2);
    assert_eq!(status(&socket, "s2"), "no check", "a no changes nothing");
    screen.press("y");
    wait_until("s2 drains", || status(&socket, "s2") == "DRAIN");
    screen.press("ry");
    wait_until("s2 is back", || status(&socket, "s2") == "no check");
    screen.press("q");
    wait_until("q quits", || screen.has_ended());
}

#[test]
fn drains_a_server_of_haproxy() {
    drains_after_a_yes(Program::HaProxy);
}

#[test]
fn drains_a_server_of_weir() {
    drains_after_a_yes(Program::Weir);
}

#[test]
fn plain_text_of_both() {
    for program in [Program::HaProxy, Program::Weir] {
        let proxy = start(program);
        let socket = proxy.dir().join("admin.sock");
        let output =
            Program::Weir.command().args(["top", "-b", "-s"]).arg(&socket).arg("app").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(text.contains("app/s1") && text.contains("app (backend)"), "{text}");
        assert!(!text.contains("web (frontend)"), "the filter holds: {text}");
    }
}

#[test]
fn says_why_nothing_is_shown() {
    let output = Program::Weir.run(&["top", "-b", "-s", "/nonexistent/weir.sock"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("/nonexistent/weir.sock: no such socket"), "{text}");
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("none.cfg");
    std::fs::write(&file, "global\n").unwrap();
    let output = Program::Weir.run(&["top", "-b", "-f", &file.to_string_lossy()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("no 'stats socket' line found") && text.contains("-s"), "{text}");
}
