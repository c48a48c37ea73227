//! A process that stops: its connections leave politely.

use crate::harness::client::Client;
use crate::harness::{eventually, listens};
use crate::{GET, Rig};
use std::net::IpAddr;
use std::time::Duration;

const LONG_IDLE: &str = "frontend f\n    bind {A}:8080\n    timeout http-keep-alive 1h\n    timeout client 1h\n    http-request return status 200\n";

/// Also of generations before the last.
#[test]
fn idle_connections_do_not_keep_a_process_that_stops() {
    let mut rig = Rig::start(LONG_IDLE, &[8080]);
    let mut client = Client::connect(rig.at(8080));
    client.send(GET);
    assert!(!client.response(false).is_empty());
    rig.go_to(LONG_IDLE);
    rig.proxy.signal("USR1");
    assert!(rig.proxy.wait(Duration::from_secs(20)).is_some_and(|status| status.success()));
    assert!(client.rest().1, "it is closed");
}

/// A connection in use leaves with the next response: one that is closed instead fails the request on its way.
#[test]
fn a_stop_waits_a_moment_for_connections_in_use() {
    // On a machine that is busy the moment may have passed before the request is there.
    let left_politely = (0..8).any(|_| {
        let rig = Rig::start(LONG_IDLE, &[8080]);
        let mut client = Client::connect(rig.at(8080));
        client.send(GET);
        assert!(!client.response(false).is_empty());
        rig.proxy.signal("USR1");
        assert!(eventually(|| !listens(IpAddr::V4(rig.address), 8080)));
        // Whoever closes at once has done so by the time this is answered.
        let _gone = std::fs::read_to_string(format!("/proc/{}/status", rig.proxy.pid()));
        client.send(GET);
        let answer = String::from_utf8_lossy(&client.response(false)).to_ascii_lowercase();
        answer.starts_with("http/1.1 200") && answer.contains("connection: close")
    });
    assert!(left_politely);
}
