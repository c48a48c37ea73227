//! The course of traffic: something of every kind that is counted.

use crate::harness::process::Program;
use crate::rig::{Rig, request};

/// A program at the end of it.
pub fn run(program: Program) -> Rig {
    let mut rig = Rig::start(program);
    checks(&mut rig);
    answers(&mut rig);
    broken_requests(&mut rig);
    backends(&mut rig);
    private(&mut rig);
    aborts(&mut rig);
    queues(&mut rig);
    streams(&mut rig);
    slow_start(&mut rig);
    replaced(&mut rig);
    rig
}

fn checks(rig: &mut Rig) {
    rig.until("the first checks", |table, _| {
        let known = |row, column, text| table.cell(row, column).trim_start_matches("* ") == text;
        known("web/good", "check_status", "L4OK")
            && known("web/good", "agent_status", "L7OK")
            && known("observed/s", "check_status", "L4OK")
            && known("warming/w", "check_status", "L4OK")
            && known("down/x", "status", "DOWN")
            && known("down/y", "status", "DOWN")
    });
}

fn answers(rig: &mut Rig) {
    let mut client = rig.connect(8080);
    for _ in 0..3 {
        client.send(request("/kept-alive").as_bytes());
        assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    }
    drop(client);
    rig.settle();
    for path in [
        "/500",
        "/301",
        "/999",
        "/late",
        "/deny",
        "/tarpit",
        "/return",
        "/redirect",
        "/418",
        "/monitor",
        "/close",
        "/junk",
        "/part",
    ] {
        rig.get(8080, path);
    }
    rig.exchange(8080, "GET /cookie HTTP/1.1\r\nHost: h.example\r\nCookie: SRV=g\r\n\r\n");
    rig.exchange(
        8080,
        "GET /101 HTTP/1.1
Host: h.example
Connection: upgrade
Upgrade: echo

",
    );
    let fill = "a".repeat(7000);
    for path in ["/lenient", "/strict"] {
        rig.exchange(
            8088,
            &format!(
                "GET {path} HTTP/1.1
Host: h.example
X-Fill: {fill}

"
            ),
        );
    }
}

fn broken_requests(rig: &mut Rig) {
    rig.exchange(8080, "GARBAGE\r\n\r\n");
    rig.leave(8080, "GET / HT");
    rig.leave(8080, "");
}

fn backends(rig: &mut Rig) {
    for path in [
        "/dead/",
        "/redispatched/",
        "/redispatched/",
        "/redispatched/",
        "/empty/",
        "/nowhere/",
        "/denied/",
        "/tracking/",
        "/down/",
        "/slow/eof",
        "/hanging/hang",
        "/observed/500",
        "/observed/",
    ] {
        rig.get(8081, path);
    }
}

/// A connection that belongs to one client, while that is idle.
fn private(rig: &mut Rig) {
    let mut client = rig.connect(8081);
    client.send(request("/private/").as_bytes());
    assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    rig.until("an idle connection of its own", |table, _| {
        // haproxy 2.6 does not have the column.
        !table.columns.iter().any(|name| name == "priv_idle_cur")
            || table.number("private/s", "priv_idle_cur") == 1
    });
    drop(client);
    rig.settle();
}

fn aborts(rig: &mut Rig) {
    rig.abort(8087, &request("/eof"));
    rig.abort(8087, "POST /eof HTTP/1.1\r\nHost: h.example\r\nContent-Length: 10\r\n\r\nabc");
}

fn queues(rig: &mut Rig) {
    let mut first = rig.hold(8081, &request("/narrow/hold"));
    let mut second = rig.connect(8081);
    second.send(request("/narrow/").as_bytes());
    rig.until("a queue", |table, _| table.number("narrow/BACKEND", "qcur") == 1);
    // The time in the queue has to be told from none.
    std::thread::sleep(std::time::Duration::from_millis(20));
    rig.origin.release();
    assert!(first.response(false).starts_with(b"HTTP/1.1 200"));
    assert!(second.response(false).starts_with(b"HTTP/1.1 200"));
    drop((first, second));
    rig.settle();
    let mut first = rig.hold(8081, &request("/brief/hold"));
    let mut second = rig.connect(8081);
    second.send(request("/brief/").as_bytes());
    assert!(second.response(false).starts_with(b"HTTP/1.1 503"));
    rig.origin.release();
    assert!(first.response(false).starts_with(b"HTTP/1.1 200"));
    drop((first, second));
    rig.settle();
}

fn streams(rig: &mut Rig) {
    rig.get(8082, "/");
    rig.get(8082, "/close");
    rig.abort(8082, &request("/eof"));
    // Nothing is sent where nothing is forwarded: what is read of it is a matter of time.
    for port in [8083, 8084, 8085, 8086] {
        rig.knock(port);
    }
}

fn slow_start(rig: &mut Rig) {
    rig.ask("set server warming/w state maint");
    rig.ask("set server warming/w state ready");
    rig.until("a server in slow start", |table, _| {
        // Checks bring its health back to the full.
        !table.cell("warming/w", "throttle").is_empty() && table.cell("warming/w", "status") == "UP"
    });
}

/// A server that takes the place of another.
fn replaced(rig: &mut Rig) {
    for line in
        ["add server empty/gone 127.0.0.1:9", "del server empty/gone", "add server empty/there 127.0.0.1:9"]
    {
        rig.ask(line);
    }
    rig.table();
}
