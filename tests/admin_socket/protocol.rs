//! Lines, prompts, payloads, levels, limits.

use std::time::Duration;

use crate::harness::console::{Console, ask};
use crate::harness::process::Program;
use crate::rig::{Rig, compare};

const PROXY: &str = "listen l\n    bind ADDR:8080\n    server s ADDR:9001\n";

#[test]
fn answers_of_the_session_family() {
    let many = format!("show version {}", "w ".repeat(200));
    compare(
        "",
        PROXY,
        &[
            "show version",
            " show \t version  \r",
            "show version;show version",
            "show version;;show version",
            "show version;",
            ";",
            "",
            "show ver\\sion",
            "show version\\;x",
            "show version\nshow version",
            &many,
            "nonsense",
            "show nonsense",
            "show",
            "help",
            "help show",
            "help nonsense words",
            "sh\0ow",
            "\u{1}\u{7f}",
            "quit",
            "quit now;show version",
            "show version;quit;show version",
            "prompt;prompt;show version",
            "prompt;show version;quit",
            "prompt\nset timeout cli 10\nnonsense\nquit",
            "prompt\nshow version <<\nfoo\nbar\n\nquit",
            "show version <<\nfoo;x\nbar\n\nshow version",
            "show cli level",
            "show cli level x",
            "show cli",
            "operator: show cli level",
            "user: show cli level",
            "operator;show cli level",
            "user;show cli level;operator",
            "user: operator",
            "user: user",
            "operator: operator;show cli level",
            "show cli sockets",
            "user: show cli sockets",
            "expert-mode",
            "expert-mode on;expert-mode",
            "expert-mode on;expert-mode off;expert-mode",
            "expert-mode what;expert-mode",
            "experimental-mode on;experimental-mode",
            "experimental-mode",
            "operator: expert-mode on",
            "user: experimental-mode",
            "set timeout",
            "set timeout client 5",
            "set timeout cli",
            "set timeout cli x",
            "set timeout cli 0",
            "set timeout cli 5x",
            "set timeout cli 5d",
            "user: set timeout cli 5",
            "set severity-output",
            "set severity-output loud",
            "set severity-output number",
            "set severity-output number;show version;nonsense;set timeout cli;show cli level;expert-mode",
            "set severity-output string;show version;nonsense;set timeout cli;show cli sockets",
            "set severity-output string;set severity-output none;show version",
        ],
    );
}

#[test]
fn prompts() {
    let rig = Rig::weir("", PROXY);
    let mut console = Console::connect(&rig.socket("admin"));
    console.send(b"prompt timed\n");
    let prompt = console.until("> ");
    assert!(prompt.starts_with("\n[0:00:00:0") && prompt.ends_with("]> "), "{prompt:?}");
    console.send(b"prompt n\n");
    assert_eq!(console.rest(), b"\n");
    let mut console = Console::connect(&rig.socket("admin"));
    console.send(b"prompt i\n");
    assert_eq!(console.until("\n"), "\n");
    console.send(b"show cli level\n");
    assert_eq!(console.until("\n\n"), "admin\n\n");
    console.send(b"prompt help\n");
    assert!(console.until("\n\n").starts_with("Usage: prompt"));
}

#[test]
fn processes_of_the_master_socket() {
    let rig = Rig::weir("", PROXY);
    for line in ["@1 show cli level", "@!1 show cli level", "@!12345 show cli level"] {
        assert_eq!(rig.ask(line), "admin\n\n", "{line}");
    }
}

#[test]
fn what_is_not_built_says_so() {
    let rig = Rig::weir("", PROXY);
    assert_eq!(rig.ask("show acme"), "'show acme' is not supported by weir yet.\n\n");
    assert_eq!(ask(&rig.socket("user"), "trace x"), "Permission denied\n\n");
}

#[test]
fn severity_from_the_configuration() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("s.sock");
    let global = format!("    stats socket {} severity-output number\n", path.display());
    let _rig = Rig::weir(&global, PROXY);
    assert_eq!(ask(&path, "show cli level"), "[6]: operator\n\n");
}

#[test]
fn too_long_lines_and_garbage_are_refused_cleanly() {
    let rig = Rig::weir("", PROXY);
    let socket = rig.socket("admin");
    for length in [16_384, 100_000, 3_000_000] {
        let mut console = Console::connect(&socket);
        console.send(&vec![b'x'; length]);
        console.finish_sending();
        let answer = String::from_utf8(console.rest()).unwrap();
        assert!(answer.starts_with("The command is too big for the buffer size."), "{length}: {answer}");
    }
    let mut console = Console::connect(&socket);
    console.send(b"add map x <<\n");
    console.send("line\n".repeat(5000).as_bytes());
    assert!(String::from_utf8_lossy(&console.rest()).starts_with("The command is too big"));
    let garbage: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let mut console = Console::connect(&socket);
    console.send(&garbage);
    console.finish_sending();
    assert!(String::from_utf8_lossy(&console.rest()).contains("Unknown command"));
    // An unfinished command is none.
    let mut console = Console::connect(&socket);
    console.send(b"show version");
    console.finish_sending();
    assert_eq!(console.rest(), b"");
    assert_eq!(ask(&socket, "show cli level"), "admin\n\n");
}

#[test]
fn idle_clients_are_disconnected_and_the_rest_wait_their_turn() {
    let rig = Rig::weir("    stats maxconn 2\n    stats timeout 300ms\n", PROXY);
    let mut idle: Vec<Console> = (0..4).map(|_| Console::connect(&rig.socket("admin"))).collect();
    // Served when the idle ones have run out of time.
    assert_eq!(rig.ask("show cli level"), "admin\n\n");
    for console in &mut idle {
        console.set_limit(Duration::from_secs(10));
        assert_eq!(console.rest(), b"");
    }
}

#[test]
fn a_client_that_does_not_read_stalls_nobody() {
    let rig = Rig::weir("    stats maxconn 20\n", PROXY);
    let mut deaf: Vec<Console> = (0..5).map(|_| Console::connect(&rig.socket("admin"))).collect();
    for console in &mut deaf {
        console.send(&b"help\n".repeat(2000));
    }
    assert_eq!(rig.ask("show cli level"), "admin\n\n");
    let all = deaf.remove(0).rest();
    assert_eq!(String::from_utf8_lossy(&all).matches("The following commands").count(), 2000);
}

#[test]
fn other_addresses() {
    let address = crate::harness::own_address();
    let global = format!(
        "    stats socket ipv4@{address}:8081 level admin\n    stats socket abns@weir-stats-{address} level user\n"
    );
    let rig = Rig::start(Program::Weir, &global, PROXY, address);
    let listed = rig.ask("show cli sockets");
    assert!(listed.contains(&format!("ipv4@{address}:8081 admin all\n")), "{listed}");
    assert!(listed.contains(&format!("abns@weir-stats-{address} user all\n")), "{listed}");
    let mut tcp = crate::harness::client::Client::connect((address, 8081).into());
    tcp.send(b"show cli level\n");
    assert_eq!(tcp.rest(), (b"admin\n\n".to_vec(), true));
}

#[test]
fn the_socket_file() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("s.sock");
    // What an earlier process left is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let global = format!("    stats socket {} mode 640 uid 65534 gid 65534 level user\n", path.display());
    let mut rig = Rig::weir(&global, PROXY);
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o640);
    assert_eq!((meta.uid(), meta.gid()), (65534, 65534));
    assert_eq!(ask(&path, "show cli level"), "user\n\n");
    rig.proxy.signal("TERM");
    assert!(rig.proxy.wait(Duration::from_secs(10)).is_some());
    assert!(!path.exists(), "the socket outlives its process");
}
