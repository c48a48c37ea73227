//! Single configuration lines, given to Debian's haproxy and to our reader: both must accept or refuse the same. The
//! lists in `config-lines/` mark where we differ on purpose.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use weir::config::environment::Environment;
use weir::config::{Source, load};

const DEFAULTS: &str = "defaults\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n";

/// The lines of one list, each put into a whole configuration by `around`.
fn check(list: &str, around: impl Fn(&str) -> String) {
    let path = format!("{}/tests/config-lines/{list}.txt", env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.cfg");
    let mut wrong = Vec::new();
    for entry in std::fs::read_to_string(path).unwrap().lines().filter(|l| !l.starts_with('#')) {
        let (mark, line) = entry.split_at(1);
        let text = around(&line.replace(';', "\n "));
        std::fs::write(&file, &text).unwrap();
        let theirs = haproxy_accepts(&file);
        let ours = weir_accepts(&text);
        let expected = match mark {
            "!" => (true, false),
            "+" => (false, true),
            _ => (theirs, theirs),
        };
        if (theirs, ours) != expected {
            wrong.push(format!("{entry}: haproxy {theirs}, weir {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn ring_lines() {
    check("ring", |line| format!("{line}\n"));
}

#[test]
fn whole_configurations() {
    let path = format!("{}/tests/config-lines/whole.txt", env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.cfg");
    let mut wrong = Vec::new();
    for case in std::fs::read_to_string(path).unwrap().split("---- ").skip(1) {
        let (title, text) = case.split_once('\n').unwrap();
        std::fs::write(&file, text).unwrap();
        let theirs = haproxy_accepts(&file);
        let ours = weir_accepts(text);
        let expected = match &title[..1] {
            "!" => (true, false),
            "+" => (false, true),
            _ => (theirs, theirs),
        };
        if (theirs, ours) != expected {
            wrong.push(format!("{title}: haproxy {theirs}, weir {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Exit status 2 without an alert means that there is nothing to listen on, which is no error of the line.
fn haproxy_accepts(file: &std::path::Path) -> bool {
    let output = Command::new("haproxy").arg("-c").arg("-f").arg(file).output();
    let output = output.expect("Debian's haproxy must be installed (tests/run does it)");
    let alert = String::from_utf8_lossy(&output.stderr).contains("[ALERT]");
    output.status.success() || output.status.code() == Some(2) && !alert
}

fn weir_accepts(text: &str) -> bool {
    load(&[Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() }], &Environment::of_process())
        .is_ok()
}

#[test]
fn global_lines() {
    check("global", |line| format!("global\n {line}\n{DEFAULTS}backend b\n"));
}

#[test]
fn backend_lines() {
    check("backend", |line| {
        format!("{DEFAULTS}backend b\n mode http\n server s1 127.0.0.1:80 cookie a\n {line}\n")
    });
}

#[test]
fn frontend_lines() {
    check("frontend", |line| {
        format!("{DEFAULTS}backend b\n mode http\nfrontend f\n mode http\n bind :21000\n {line}\n")
    });
}

#[test]
fn server_lines() {
    check("server", |line| {
        format!("{DEFAULTS}backend b\n mode http\n server s0 127.0.0.1:81 check\n server {line}\n")
    });
}

#[test]
fn bind_lines() {
    check("bind", |line| format!("{DEFAULTS}frontend b\n mode http\n bind {line}\n"));
}
