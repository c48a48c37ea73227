//! Every kind of change, and the wrong ones.

use crate::harness::client::Client;
use crate::harness::listens;
use crate::harness::origin::Origin;
use crate::harness::{eventually, own_address};
use crate::{GET, Rig, status};
use std::net::{IpAddr, TcpStream};

const ONE: &str = "frontend f\n    bind {A}:8080\n    http-request return status 200\n";

#[test]
fn an_address_comes_and_goes() {
    let rig = Rig::start(ONE, &[8080]);
    rig.go_to("frontend f\n    bind {A}:8080\n    bind {A}:8081\n    http-request return status 200\n");
    assert_eq!((status(rig.at(8080)), status(rig.at(8081))), ("200".into(), "200".into()));
    rig.go_to("frontend f\n    bind {A}:8081\n    http-request return status 200\n");
    assert_eq!(status(rig.at(8081)), "200");
    assert!(eventually(|| !listens(IpAddr::V4(rig.address), 8080)));
    assert!(TcpStream::connect(rig.at(8080)).is_err());
}

#[test]
fn an_address_moves_to_another_frontend() {
    let rig = Rig::start(ONE, &[8080]);
    rig.go_to("frontend g\n    bind {A}:8080\n    http-request return status 204\n");
    assert_eq!(status(rig.at(8080)), "204");
}

#[test]
fn rules_and_acls_change() {
    let rig = Rig::start(ONE, &[8080]);
    rig.go_to("frontend f\n    bind {A}:8080\n    acl here path /\n    http-request return status 403 if here\n    http-request return status 200\n");
    assert_eq!(status(rig.at(8080)), "403");
}

#[test]
fn threads_come_and_go() {
    let rig = Rig::start_with("    nbthread 1\n", ONE, &[8080]);
    for threads in [4, 2, 1, 3] {
        let answer = rig.reload_with(&format!("    nbthread {threads}\n"), ONE);
        assert!(answer.starts_with("Success=1"), "{answer}");
        for _ in 0..40 {
            assert_eq!(status(rig.at(8080)), "200");
        }
        assert!(rig.ask("show info").contains(&format!("\nNbthread: {threads}\n")));
    }
    assert_eq!(rig.stat("f", "FRONTEND", "req_tot"), "160");
}

#[test]
fn limits_and_buffers_change() {
    let rig = Rig::start_with("    maxconn 100\n    tune.bufsize 16384\n", ONE, &[8080]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(20_000));
    let ask = |rig: &Rig| {
        let mut client = Client::connect(rig.at(8080));
        client.send(long.as_bytes());
        String::from_utf8_lossy(&client.response(false)).into_owned()
    };
    assert!(!ask(&rig).starts_with("HTTP/1.1 200"));
    let answer = rig.reload_with("    maxconn 77\n    tune.bufsize 65536\n", ONE);
    assert!(answer.starts_with("Success=1"), "{answer}");
    assert!(ask(&rig).starts_with("HTTP/1.1 200"));
    assert!(rig.ask("show info").contains("\nMaxconn: 77\n"));
}

#[test]
fn a_wrong_one_changes_nothing() {
    let rig = Rig::start(ONE, &[8080]);
    for (wrong, says) in [
        ("frontend f\n    bind {A}:8080\n    bogus\n", "unknown keyword 'bogus'"),
        ("frontend f\n    bind {A}:8080\n    default_backend nowhere\n", "nowhere"),
        ("frontend f\n    bind 198.51.100.1:8080\n", "cannot bind socket"),
    ] {
        let answer = rig.reload(wrong);
        assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
        assert!(
            answer.contains(says) || rig.proxy.stderr().contains(says),
            "{answer}\n{}",
            rig.proxy.stderr()
        );
        assert!(rig.proxy.stderr().contains("Reload failed"), "{}", rig.proxy.stderr());
        assert_eq!(status(rig.at(8080)), "200");
    }
    std::fs::remove_file(rig.proxy.dir().join("proxy.cfg")).unwrap();
    let answer = rig.ask("reload");
    assert!(answer.starts_with("Success=0") && answer.contains("Cannot open configuration file"), "{answer}");
    assert!(rig.ask("show generations").contains("# reloads: 0 done, 4 refused"));
    assert!(rig.ask("show startup-logs").contains("Cannot open configuration file"));
    rig.go_to(ONE);
}

#[test]
fn usr2_reloads() {
    let rig = Rig::start(ONE, &[8080]);
    rig.write("", &ONE.replace("200", "418"));
    rig.proxy.signal("USR2");
    assert!(eventually(|| status(rig.at(8080)) == "418"));
}

#[test]
fn the_administration_socket_changes_too() {
    let rig = Rig::start(ONE, &[8080]);
    let other = rig.proxy.dir().join("other.sock");
    let mut open = crate::harness::console::Console::connect(&rig.socket);
    open.send(b"prompt\n");
    open.until("> ");
    let answer = rig.reload_with(
        &format!("    stats socket {} level user\n", other.display()),
        &ONE.replace("frontend f", "frontend g"),
    );
    assert!(answer.starts_with("Success=1"), "{answer}");
    assert!(crate::harness::console::ask(&other, "show stat").contains("\ng,FRONTEND"));
    // Whoever was inside sees the new configuration with the next command.
    open.send(b"show stat\n");
    assert!(open.until("\n> ").contains("\ng,FRONTEND"));
    rig.go_to(ONE);
    assert!(!other.exists());
}

#[test]
fn old_connections_end_politely() {
    let origin = Origin::start((own_address(), 0).into(), &[]);
    let config = format!(
        "frontend f\n    bind {{A}}:8080\n    default_backend b\nbackend b\n    server s {}\n",
        origin.address()
    );
    let rig = Rig::start(&config, &[8080]);
    let mut client = Client::connect(rig.at(8080));
    client.send(GET);
    assert!(!client.response(false).is_empty());
    rig.go_to(
        &config.replace("default_backend b", "http-response set-header x-new 1\n    default_backend b"),
    );
    // Its generation answers, and asks for another connection.
    client.send(GET);
    let answer = String::from_utf8_lossy(&client.response(false)).to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert!(!answer.contains("x-new"), "{answer}");
    assert!(client.rest().1);
    let mut client = Client::connect(rig.at(8080));
    client.send(GET);
    assert!(String::from_utf8_lossy(&client.response(false)).contains("x-new: 1"));
}

#[test]
fn hard_stop_after_ends_what_an_old_generation_has() {
    let rig = Rig::start_with(
        "    hard-stop-after 100ms\n",
        "frontend f\n    bind {A}:8080\n    http-request return status 200\n",
        &[8080],
    );
    let mut client = Client::connect(rig.at(8080));
    client.send(GET);
    assert!(!client.response(false).is_empty());
    rig.go_to(ONE);
    assert!(client.rest().1, "it is closed");
    assert!(eventually(|| !rig.ask("show generations").contains("\n1 ")));
}

#[test]
fn idle_connections_are_closed_one_after_another() {
    let mut rig = Rig::start_with("    close-spread-time 200ms\n", ONE, &[8080]);
    let mut clients: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = Client::connect(rig.at(8080));
            client.send(GET);
            assert!(!client.response(false).is_empty());
            client
        })
        .collect();
    rig.proxy.signal("USR1");
    for client in &mut clients {
        assert!(client.rest().1, "it is closed");
    }
    assert!(rig.proxy.wait(std::time::Duration::from_secs(20)).is_some_and(|status| status.success()));
}

/// What `weir diff` says beforehand is what the reload does.
#[test]
fn differences_are_told_beforehand() {
    let rig = Rig::start_with("    nbthread 1\n", ONE, &[8080]);
    let dir = tempfile::TempDir::new().unwrap();
    let (old, new) = (dir.path().join("old.cfg"), dir.path().join("new.cfg"));
    std::fs::copy(rig.proxy.dir().join("proxy.cfg"), &old).unwrap();
    let changed = ONE.replace("{A}:8080\n", "{A}:8080\n    bind {A}:8081\n");
    rig.write("    nbthread 2\n", &changed);
    std::fs::copy(rig.proxy.dir().join("proxy.cfg"), &new).unwrap();
    let run = |words: &[&str]| {
        let output = crate::harness::process::Program::Weir.run(words);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (old, new) = (old.to_string_lossy().into_owned(), new.to_string_lossy().into_owned());
    let (code, text) = run(&["diff", &old, &new]);
    assert_eq!(code, Some(1));
    let expected = format!(
        "global: nbthread: 1 -> 2 (threads begin or end; no connection affected)\nfrontend f: added: bind {}:8081 (bound before anything else changes)\n",
        rig.address
    );
    assert_eq!(text, expected);
    let (_, json) = run(&["diff", "-j", &old, &new]);
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed[0]["change"], "nbthread: 1 -> 2");
    assert_eq!(run(&["diff", &old, &old]), (Some(0), String::new()));
    assert_eq!(run(&["diff", &old, "/nonexistent.cfg"]).0, Some(2));
    assert!(rig.ask("reload").starts_with("Success=1"));
    assert!(rig.ask("show info").contains("\nNbthread: 2\n"));
    assert_eq!(status(rig.at(8081)), "200");
}
