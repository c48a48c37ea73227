//! `trace`: what it lists is HAProxy's in form, and what it tells is what happens.

use std::net::Ipv4Addr;
use std::time::Instant;

use crate::harness::client::Client;
use crate::harness::origin::Origin;
use crate::harness::own_address;
use crate::harness::process::Program;
use crate::rig::{LIMIT, PORT, Rig, compare};

const SECTIONS: &str = "ring r1\n    description \"a ring\"\n    format raw\n\
    frontend f\n    bind ADDR:8080\n    default_backend b\nbackend b\n    server s ADDR:9001\n\
    listen t\n    mode tcp\n    bind ADDR:8081\n    server t1 ADDR:9001\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn start() -> (Rig, Origin, Ipv4Addr) {
    let address = own_address();
    let origin = Origin::start((address, 9001).into(), &[RESPONSE]);
    (Rig::start(Program::Weir, "", SECTIONS, address), origin, address)
}

fn fetch(address: Ipv4Addr, port: u16, path: &str) {
    let mut client = Client::connect((address, port).into());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
}

/// Asks for a ring until its text is as wanted: other threads write a moment later.
fn await_events(rig: &Rig, ring: &str, wanted: impl Fn(&str) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let text = rig.ask(&format!("show events {ring}"));
        if wanted(&text) {
            return text;
        }
        assert!(begun.elapsed() < LIMIT, "not what was expected in {ring}:\n{text}");
    }
}

#[test]
fn commands_answer_as_haproxys_do() {
    let common = [
        "trace 0",
        "trace x",
        "show trace x",
        "trace h1 x",
        "trace h1 event x",
        "trace h1 event now",
        "trace h1 start x",
        "trace h1 level x",
        "trace h1 lock x",
        "trace h1 sink x",
        "trace h1 verbosity x",
        "trace h1 sink buf0",
        "trace h1 event none",
        "trace h1 event +rx_headers",
        "trace h1 start now",
        "trace h1 lock connection",
        "trace h1 level proto",
        "trace h1 verbosity quiet",
        "trace h1 stop now now",
        "user: trace",
        "operator: trace 0",
    ];
    compare("", SECTIONS, &common);
}

/// The marks stand where HAProxy has them.
#[test]
fn settings_are_listed() {
    let (rig, _origin, _) = start();
    let marked = |command: &str, line: &str| {
        let text = rig.ask(command);
        assert!(text.lines().any(|l| l.starts_with(line)), "{command}: no {line:?} in\n{text}");
    };
    marked("trace", " [.] 0          : ");
    marked("trace", " [.] h1         : ");
    marked("show trace", " [.] stream     -> none [drp 0]  [");
    marked("trace h1 event", "  + h1c_new      : ");
    marked("trace h1 start", "  - now          : ");
    marked("trace h1 level", "  * user       : ");
    marked("trace h1 lock", "  * nothing    : ");
    marked("trace h1 sink", "  * none       : ");
    marked("trace h1 sink", "    r1         : a ring");
    marked("trace h1 verbosity", "  * clean      : ");
    marked("show trace h1", "  - sink: none [0 dropped]");
    rig.ask("trace h1 sink r1; trace h1 level data; trace h1 lock session; trace h1 verbosity complete");
    rig.ask(
        "trace h1 event -h1c_new; trace h1 start rx_headers; trace h1 stop any; trace h1 stop !tx_headers",
    );
    // Events alone change no state, as with HAProxy: it has to wait or to run for them.
    marked("trace", " [.] h1         : ");
    rig.ask("trace h1 pause now");
    marked("trace", " [w] h1         : ");
    marked("trace h1 sink", "  * r1         : ");
    marked("trace h1 lock", "  * session    : ");
    marked("show trace h1", "  - sink: r1 [0 dropped]");
    marked("show trace h1", "    h1c_new      :        -        -        +       -");
    marked("show trace h1", "    rx_headers   :        +        +        +       -");
    marked("show trace h1", "    tx_headers   :        +        -        -       -");
    assert_eq!(rig.ask("trace 0"), "All traces now stopped\n");
    marked("show trace", " [.] h1         -> r1 [drp 0]  [");
}

#[test]
fn a_request_is_told_from_end_to_end() {
    let (rig, _origin, address) = start();
    for source in ["h1", "stream", "session"] {
        rig.ask(&format!("trace {source} sink r1; trace {source} level developer; trace {source} start now"));
    }
    rig.ask("trace h1 verbosity advanced; trace stream verbosity simple");
    fetch(address, PORT, "/hello");
    let text = await_events(&rig, "r1", |text| text.contains("connection is over"));
    let texts: Vec<&str> = text.lines().filter_map(|l| l.split_once("] ")?.1.split(" :").next()).collect();
    let expected = [
        "new session",
        "new connection",
        "new stream",
        "new stream",
        "received request headers",
        "backend chosen",
        "connected to the server",
        "sending request headers",
        "received response headers",
        "sending response headers",
        "end of stream",
        "end of stream",
        "connection is over",
    ];
    assert_eq!(texts, expected, "{text}");
    assert!(text.contains("|h1|1|tracing.rs:"), "{text}");
    assert!(text.contains(" [B] fe=f be=b srv=s src=127.0.0.1:"), "{text}");
    assert!(text.contains("- \"GET /hello HTTP/1.1\" host=\"h\""), "{text}");
    // Stopped sources are silent.
    rig.ask("trace 0");
    fetch(address, PORT, "/silent");
    rig.ask("trace session start now");
    fetch(address, PORT, "/last");
    let after = await_events(&rig, "r1", |text| text.matches("new session").count() == 2);
    assert!(!after.contains("/silent") && !after.contains("/last"), "{after}");
}

#[test]
fn a_locked_trace_keeps_to_one_connection() {
    let (rig, _origin, address) = start();
    rig.ask("trace stream sink r1; trace stream verbosity simple; trace stream lock connection");
    rig.ask("trace stream start strm_new; trace stream pause now; trace stream event none; trace stream event strm_new");
    let mut first = Client::connect((address, PORT).into());
    let ask = |client: &mut Client, path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert!(client.response(false).starts_with(b"HTTP/1.1 200"));
    };
    ask(&mut first, "/first");
    fetch(address, PORT, "/other");
    ask(&mut first, "/again");
    let text = await_events(&rig, "r1", |text| text.contains("/again"));
    assert_eq!(text.matches("new stream").count(), 2, "{text}");
    assert!(!text.contains("/other"), "{text}");
    assert!(rig.ask("trace").contains(" [R] stream "));
}

#[test]
fn tcp_streams_and_errors_are_told() {
    let (rig, _origin, address) = start();
    rig.ask("trace stream sink buf0; trace stream start now; trace h1 sink buf0; trace h1 level error; trace h1 start now");
    fetch(address, 8081, "/tcp");
    let mut client = Client::connect((address, PORT).into());
    client.send(b"this is no request\r\n\r\n");
    client.response(false);
    let text =
        await_events(&rig, "buf0", |text| text.contains("end of stream") && text.contains("no HTTP/1"));
    assert!(text.contains("backend chosen : [F] fe=t be=t\n"), "{text}");
    assert!(text.contains("end of stream : [F] fe=t be=t srv=t1\n"), "{text}");
    // The level of the line, then the time: the form of this ring.
    assert!(text.lines().filter(|l| !l.is_empty()).all(|l| l.starts_with("<0>20")), "{text}");
    assert!(text.contains("|h1|0|"), "{text}");
}

#[test]
fn checks_are_told_on_standard_error() {
    let address = own_address();
    let _origin = Origin::start((address, 9001).into(), &[RESPONSE]);
    let sections = "listen c\n    bind ADDR:8080\n    server up ADDR:9001 check inter 20ms\n    server down ADDR:9002 check inter 20ms\n";
    let rig = Rig::start(Program::Weir, "", sections, address);
    rig.ask("trace check sink stderr; trace check start now");
    let begun = Instant::now();
    let said = loop {
        let said = rig.proxy.stderr();
        if said.contains("check passed : [B] be=c srv=up status=L4OK")
            && said.contains("check failed : [B] be=c srv=down status=L4CON")
        {
            break said;
        }
        assert!(begun.elapsed() < LIMIT, "{said}");
    };
    assert!(said.contains("|check|1|watch.rs:"), "{said}");
}
