//! HTTP/2 to servers: answers, log lines and the sharing of connections beside haproxy's, against a server of PyPI's h2
//! library that does what the path says; gRPC.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
#[path = "h2/peer.rs"]
#[allow(dead_code)]
mod peer;
#[path = "h2/scripted.rs"]
mod scripted;

use harness::process::Program;
use peer::*;
use scripted::*;
use std::path::Path;
use std::process::Command;

/// What curl says of a request over both protocols of clients.
const COURSE: &[&[&str]] = &[
    &["/plain"],
    &["-d", "hello", "/whole"],
    &["-H", "transfer-encoding: chunked", "-d", "hello", "/whole"],
    &["/empty=200"],
    &["/empty=204"],
    &["/empty=304"],
    &["/nolength"],
    &["/trailers"],
    &["/interim"],
    &["-I", "/head"],
    &["-X", "OPTIONS", "--request-target", "*", "/"],
    &["-H", "te: trailers", "-H", "x-a: 1", "-H", "cookie: a=1; b=2", "/fields?a=b"],
    &["/status=503"],
    &["/rst=8"],
    &["/rst=2"],
    &["/close"],
    &["/part=rst"],
    &["/part=close"],
    &["/deny"],
    &["/big=300000"],
];

const UNANSWERED: &[&str] = &["/rst=8", "/rst=2", "/close", "/part=rst", "/part=close"];

/// Answers, log lines, and what the server saw.
fn course(program: Program) -> Vec<String> {
    let rig = Rig::start(program, &Setup { backend: "http-reuse never", ..Setup::default() });
    let mut out = Vec::new();
    for protocol in ["--http1.1", "--http2-prior-knowledge"] {
        for words in COURSE {
            // Of a request of HTTP/2 whose server closes, haproxy says nothing, neither to the client nor in the log; what
            // curl shows of a part depends on how soon the reset comes behind it.
            if protocol == "--http2-prior-knowledge" && UNANSWERED.contains(&words[0]) {
                continue;
            }
            out.push(format!("{protocol} {words:?}"));
            out.push(rig.curl(protocol, words));
            let line = rig.log.wait_for("] f ", PATIENCE).unwrap_or_else(|| panic!("{program:?}: {words:?}"));
            out.push(log_line(&line));
            rig.log.drain();
        }
    }
    out.extend(rig.server.requests().iter().map(|r| as_haproxy_asks(r)));
    out
}

#[test]
fn answers_and_log_lines_are_those_of_haproxy() {
    let (theirs, ours) = (course(Program::HaProxy), course(Program::Weir));
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(theirs.len(), ours.len());
}

/// What a server sent before it gave up reaches the client before it is told so.
#[test]
fn a_reset_does_not_overtake_what_came_before() {
    let rig = Rig::start(Program::Weir, &Setup { backend: "http-reuse never", ..Setup::default() });
    for path in ["/part=rst", "/part=close"] {
        let mut client = Peer::new(rig.front());
        client.get(1, path);
        client.wait(HEADERS, 1);
        assert_eq!(client.wait(DATA, 1).payload, b"abc", "{path}");
        client.wait(RST_STREAM, 1);
        let line = rig.log.wait_for("] f ", PATIENCE).expect("a line");
        assert!(line.contains(" SD-- "), "{path}: {line}");
        rig.log.drain();
    }
}

/// A client of HTTP/1.0 knows no chunks.
#[test]
fn an_old_client_is_told_the_end_by_a_close() {
    let rig = Rig::start(Program::Weir, &Setup::default());
    let answer = rig.curl("--http1.0", &["/nolength"]);
    assert_eq!(answer, "HTTP/1.1 200 \nx-version: 2.0\nconnection: close\n\nhello");
}

/// How many connections the server has seen after three clients with five streams each at once, then one with five in
/// turn.
fn shared(program: Program, backend: &str, server: &str) -> usize {
    let rig = Rig::start(program, &Setup { backend, server, ..Setup::default() });
    let mut clients: Vec<Peer> = (0..3).map(|_| Peer::new(rig.front())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        for stream in [1, 3, 5, 7, 9] {
            client.get(stream, &format!("/hold/{number}/{stream}"));
            rig.server.wait(&format!(":path=/hold/{number}/{stream} "));
        }
    }
    let mut last = Peer::new(rig.front());
    last.get(1, "/release");
    last.wait(HEADERS, 1);
    for client in &mut clients {
        for stream in [1, 3, 5, 7, 9] {
            client.wait(HEADERS, stream);
        }
    }
    rig.server.connections()
}

#[test]
fn streams_share_connections_as_http_reuse_says() {
    for (backend, server, expected) in [
        ("http-reuse never", "", 4),
        ("http-reuse safe", "", 4),
        ("http-reuse always", "", 1),
        ("http-reuse always", "max-reuse 4", 4),
    ] {
        let (theirs, ours) =
            (shared(Program::HaProxy, backend, server), shared(Program::Weir, backend, server));
        assert_eq!((theirs, ours), (expected, expected), "{backend} {server}");
    }
}

/// A server's own limit, and ours.
#[test]
fn limits_of_streams_open_more_connections() {
    for (global, options) in [("tune.h2.be.max-concurrent-streams 2", ""), ("", "--streams 2")] {
        let setup = Setup { global, backend: "http-reuse always", options, ..Setup::default() };
        let rig = Rig::start(Program::Weir, &setup);
        let mut client = Peer::new(rig.front());
        // The server's settings are known once it has answered.
        client.get(1, "/plain");
        client.wait(HEADERS, 1);
        for stream in [3, 5, 7, 9, 11] {
            client.get(stream, &format!("/hold/{stream}"));
            rig.server.wait(&format!(":path=/hold/{stream} "));
        }
        assert_eq!(rig.server.connections(), 3, "{global} {options}");
    }
}

/// What a server's limit lets each thread keep depends on how many there are now.
#[test]
fn threads_that_came_with_a_reload_share_the_limit() {
    let setup = Setup {
        global: "tune.h2.be.max-concurrent-streams 1",
        backend: "http-reuse always",
        server: "pool-max-conn 2 pool-purge-delay 1h",
        ..Setup::default()
    };
    let rig = Rig::start(Program::Weir, &setup);
    rig.reload(&Setup { threads: 2, ..setup });
    let mut client = Peer::new(rig.front());
    for (stream, path) in [(1, "/hold/1"), (3, "/hold/3"), (5, "/release")] {
        client.get(stream, path);
        rig.server.wait(&format!(":path={path} "));
    }
    let mut answered = 0;
    while answered < 3 {
        answered += u32::from(client.next().expect("the connection goes on").kind == HEADERS);
    }
    assert_eq!(rig.server.connections(), 3);
    // One thread has all three, and may keep one of the two.
    rig.server.wait_for_lines(" goaway ", 2);
    assert!(rig.curl("--http1.1", &["/plain"]).ends_with("ok"));
}

/// Idle connections are used again, closed ones and those that said goodbye are not.
#[test]
fn what_the_server_did_not_look_at_is_asked_again() {
    let rig = Rig::start(Program::Weir, &Setup { backend: "http-reuse always", ..Setup::default() });
    let mut client = Peer::new(rig.front());
    let mut stream = 1;
    let mut ask = |frames: Vec<Vec<u8>>| {
        frames.iter().for_each(|f| client.raw(f));
        let head = client.wait(HEADERS, stream);
        stream += 2;
        head.payload[0]
    };
    let get = |stream, path: &str| {
        vec![frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", path, &[]))]
    };
    let post = |stream, path: &str| {
        vec![
            frame(HEADERS, END_HEADERS, stream, &request("POST", path, &[])),
            frame(DATA, END_STREAM, stream, b"body"),
        ]
    };
    // The static table's `:status 200`.
    assert_eq!(ask(get(1, "/once-rst=7/a")), 0x88);
    assert_eq!(ask(post(3, "/once-rst=7/b")), 0x88);
    assert_eq!(ask(post(5, "/once-goaway=0/c")), 0x88);
    assert_eq!(ask(get(7, "/plain")), 0x88);
    // Closed without a word, on a connection used before: asked again where that cannot do harm.
    assert_eq!(ask(get(9, "/once-close/d")), 0x88);
    let lines = rig.server.requests();
    let count = |path: &str| lines.iter().filter(|l| l.contains(path)).count();
    assert_eq!((count("/a "), count("/b "), count("/c "), count("/d ")), (2, 2, 2, 2), "{lines:#?}");
}

/// `retry-on` and `option redispatch`.
fn retried(program: Program, path: &str, retry_on: &str) -> (String, String) {
    let backend =
        format!("http-reuse never\n    retries 2\n    option redispatch 1\n    retry-on {retry_on}");
    let rig = Rig::start(program, &Setup { backend: &backend, ..Setup::default() });
    let answer = rig.curl("--http1.1", &[path]);
    let line = rig.log.wait_for("] f ", PATIENCE).expect("a line");
    (answer, log_line(&line))
}

#[test]
fn retries_are_those_of_haproxy() {
    for (path, retry_on) in [
        ("/once-rst=2/a", "empty-response"),
        ("/once-rst=2/a", "conn-failure"),
        ("/once-close/a", "empty-response"),
        ("/once-status=503/a", "503"),
        ("/rst=2", "all-retryable-errors"),
    ] {
        let (theirs, ours) =
            (retried(Program::HaProxy, path, retry_on), retried(Program::Weir, path, retry_on));
        assert_eq!(theirs, ours, "{path} {retry_on}");
    }
}

/// A server that does not take a body holds up its client's stream, and no other.
#[test]
fn windows_hold_from_end_to_end() {
    let rig = Rig::start(Program::Weir, &Setup { backend: "http-reuse always", ..Setup::default() });
    let mut client = Peer::new(rig.front());
    client.send(HEADERS, END_HEADERS, 1, &request("POST", "/unread", &[]));
    rig.server.wait(":path=/unread ");
    // The server's own window is 65,535 bytes, of this connection and stream; behind it stand our buffers.
    let (mut sent, mut window, mut stream, mut rounds) = (0, 65_535, 3, 0);
    while rounds < 20 {
        while window >= 10_000 {
            client.send(DATA, 0, 1, &[b'z'; 10_000]);
            window -= 10_000;
            sent += 10_000;
        }
        assert!(sent < 250_000, "{sent} bytes were taken");
        // Other streams go on; by the time they are answered more room has been told, if there is any.
        client.get(stream, "/plain");
        loop {
            let frame = client.next().expect("the connection goes on");
            if frame.kind == WINDOW_UPDATE && frame.stream == 1 {
                window += u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
            }
            if frame.kind == HEADERS && frame.stream == stream {
                break;
            }
        }
        stream += 2;
        rounds += u32::from(rig.server.received(1) == 65_535);
    }
}

/// The settings a server is told, and its stream's end seen although it comes late.
#[test]
fn servers_are_told_what_the_configuration_says() {
    let global = "tune.h2.be.initial-window-size 70000\n    tune.h2.max-frame-size 20000\n    tune.h2.header-table-size 1000";
    let rig = Rig::start(Program::Weir, &Setup { global, ..Setup::default() });
    assert!(rig.curl("--http1.1", &["/late"]).ends_with("abc"));
    rig.server.wait("settings ");
    let settings = rig.server.lines().into_iter().find(|l| l.contains("settings ")).unwrap();
    for setting in ["(1, 1000)", "(2, 0)", "(4, 70000)", "(5, 20000)"] {
        assert!(settings.contains(setting), "{settings}");
    }
    assert!(rig.curl("--http1.1", &["/plain"]).ends_with("ok"));
    assert!(!rig.server.lines().iter().any(|l| l.contains("reset ")), "{:?}", rig.server.lines());
}

/// Over TLS by ALPN, and with `proto h2` whatever ALPN says.
#[test]
fn alpn_chooses_the_protocol() {
    let dir = tempfile::tempdir().unwrap();
    harness::certificates::authority(dir.path(), "ca");
    harness::certificates::leaf(dir.path(), "ca", "leaf", &["localhost"]);
    let pem = dir.path().join("leaf.pem");
    for (server, offered, agreed, version) in [
        ("alpn h2,http/1.1", "h2,http/1.1", "h2", "2.0"),
        ("alpn h2,http/1.1", "http/1.1", "http/1.1", "1.1"),
        ("alpn http/1.1", "h2,http/1.1", "http/1.1", "1.1"),
        ("alpn h2", "h2", "h2", "2.0"),
        ("proto h2 alpn h2", "h2", "h2", "2.0"),
    ] {
        let options = format!("--tls {} {offered}", pem.display());
        let server = format!("ssl verify none {server}");
        let backend = "http-response set-header x-tls %[ssl_bc],%[ssl_bc_alpn],%[ssl_bc_protocol]";
        let setup = Setup { backend, server: &server, options: &options, proto: "", ..Setup::default() };
        let rig = Rig::start(Program::Weir, &setup);
        // The second finds a connection that is there.
        for _ in 0..2 {
            let answer = rig.curl("--http1.1", &["/plain"]);
            assert!(answer.ends_with("ok"), "{server} {offered}: {answer}");
            let tls = format!("x-tls: 1,{agreed},TLSv1.3");
            assert!(answer.contains(&tls), "{server} {offered}: no {tls} in {answer}");
            assert!(answer.contains(&format!("x-version: {version}")), "{server} {offered}: {answer}");
        }
        rig.server.wait(&format!("tls {agreed}"));
    }
}

/// Keys and their answer as in RFC 6455 1.3.
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn head(client: &mut harness::client::Client) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.read_exactly(1));
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn websockets_of_http_1_are_connects_to_servers() {
    let rig = Rig::start(Program::Weir, &Setup { options: "--ws", ..Setup::default() });
    let mut client = harness::client::Client::connect(rig.front());
    client.send(HANDSHAKE.as_bytes());
    let head = head(&mut client);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert!(head.contains("\r\nupgrade: websocket\r\n") && head.contains("x-protocol: websocket"), "{head}");
    client.send(b"\x01hi");
    assert_eq!(client.read_exactly(8), b"echo:\x01hi");
    let asked = rig.server.wait(":path=/chat ");
    assert!(asked.contains(":method=CONNECT") && asked.contains(":protocol=websocket"), "{asked}");
    assert!(!asked.contains("sec-websocket-key") && asked.contains("sec-websocket-version=13"), "{asked}");
}

#[test]
fn websockets_of_http_2_stay_connects() {
    let rig = Rig::start(Program::Weir, &Setup { options: "--ws", ..Setup::default() });
    let mut client = Peer::new(rig.front());
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "example.org"),
        (":path", "/chat"),
    ];
    client.send(HEADERS, END_HEADERS, 1, &block(&connect));
    assert_eq!(client.wait(HEADERS, 1).payload[0], 0x88);
    client.send(DATA, 0, 1, b"one");
    assert_eq!(client.wait(DATA, 1).payload, b"echo:one");
    client.send(DATA, END_STREAM, 1, b"two");
    assert_eq!(client.wait(DATA, 1).payload, b"echo:two");
    while client.wait(DATA, 1).flags & END_STREAM == 0 {}
}

/// A server that knows no extended CONNECT.
#[test]
fn a_server_without_websockets_is_not_asked_for_them() {
    let rig = Rig::start(Program::Weir, &Setup::default());
    let mut client = harness::client::Client::connect(rig.front());
    client.send(HANDSHAKE.as_bytes());
    assert!(head(&mut client).starts_with("HTTP/1.1 502 "));
    assert!(rig.server.requests().is_empty());
}

/// `ws`: what the connection of a websocket speaks where ALPN offers both.
#[test]
fn ws_chooses_the_protocol_of_websockets() {
    let dir = tempfile::tempdir().unwrap();
    harness::certificates::authority(dir.path(), "ca");
    harness::certificates::leaf(dir.path(), "ca", "leaf", &["localhost"]);
    let options = format!("--ws --tls {} h2,http/1.1", dir.path().join("leaf.pem").display());
    for (ws, expected) in [("", "tls http/1.1"), ("ws h1", "tls http/1.1"), ("ws h2", "tls h2")] {
        let server = format!("ssl verify none alpn h2,http/1.1 {ws}");
        let setup = Setup { server: &server, options: &options, proto: "", ..Setup::default() };
        let rig = Rig::start(Program::Weir, &setup);
        assert!(rig.curl("--http1.1", &["/plain"]).contains("x-version: 2.0"));
        let mut client = harness::client::Client::connect(rig.front());
        client.send(HANDSHAKE.as_bytes());
        let head = head(&mut client);
        assert!(head.starts_with("HTTP/1.1 101 "), "{ws}: {head}");
        let request = rig.server.wait("/chat");
        let number = request.split(' ').next().unwrap();
        let spoken = format!("{number} {expected}");
        assert!(rig.server.lines().contains(&spoken), "{ws}: {:?}", rig.server.lines());
    }
}

/// `proto h2` holds for the checks of a server too, and programs are told of it.
#[test]
fn checks_speak_what_the_server_does() {
    let setup = Setup {
        backend: "option httpchk GET /checked\n    http-check expect status 200",
        server: "check inter 200ms",
        ..Setup::default()
    };
    let rig = Rig::start(Program::Weir, &setup);
    let asked = rig.server.wait(":path=/checked ");
    assert!(asked.contains(":method=GET"), "{asked}");
}

/// The sources `h1` and `h2` of traces each tell of their own side.
#[test]
fn traces_tell_of_the_side_that_speaks_it() {
    let rig = Rig::start(Program::Weir, &Setup::default());
    for source in ["h1", "h2"] {
        rig.ask(&format!("trace {source} sink buf0; trace {source} start now"));
    }
    assert!(rig.curl("--http1.1", &["/plain"]).ends_with("ok"));
    // Other threads write a moment later.
    let text = rig.ask_until("show events buf0", |text| text.matches("headers").count() == 4);
    let heads: Vec<_> = text.lines().filter(|l| l.contains("headers")).collect();
    let expected = [
        ("|h1|", "received request headers : [F]"),
        ("|h2|", "sending request headers : [B]"),
        ("|h2|", "received response headers : [B]"),
        ("|h1|", "sending response headers : [F]"),
    ];
    assert_eq!(heads.len(), expected.len(), "{text}");
    for (line, (source, what)) in heads.iter().zip(expected) {
        assert!(line.contains(source) && line.contains(what), "{source} {what}: {text}");
    }
}

/// Large bodies both ways at once, over several streams.
#[test]
fn large_bodies_come_whole() {
    let rig = Rig::start(Program::Weir, &Setup { backend: "http-reuse always", ..Setup::default() });
    let dir = tempfile::tempdir().unwrap();
    let upload = dir.path().join("upload");
    std::fs::write(&upload, "z".repeat(1_500_000)).unwrap();
    let url = format!("http://{}", rig.front());
    let posted = Command::new("curl")
        .args(["-s", "-m", "60", "--http2-prior-knowledge", "-Z", "--data-binary"])
        .arg(format!("@{}", upload.display()))
        .args(["-o", "/dev/null", "-w", "%{http_code} %{size_upload}\\n"])
        .arg(format!("{url}/whole/1"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&posted.stdout).trim(), "200 1500000");
    let load = Command::new("h2load")
        .args(["-n", "40", "-c", "2", "-m", "10", &format!("{url}/big=700000")])
        .output()
        .expect("h2load (Debian package nghttp2-client) starts");
    let text = String::from_utf8_lossy(&load.stdout);
    assert!(text.contains("40 succeeded, 0 failed, 0 errored"), "{text}");
    assert!(text.contains("28000000) data") || text.contains("(28000000) data"), "{text}");
}

/// grpcio's client and server, of PyPI: unary calls and streams of either side and both, through HTTP/2 on both sides.
fn grpc(bind: &str, server: &str, files: &[&Path]) {
    let address = harness::own_address();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/h2/calls.py");
    let config = format!(
        "defaults\n    mode http\n    timeout connect 20s\n    timeout client 60s\n    timeout server 60s\nfrontend f\n    \
         bind {address}:{FRONT} {bind}\n    default_backend b\nbackend b\n    http-reuse always\n    \
         server s {address}:{SERVER} {server}\n"
    );
    let _proxy = harness::process::Proxy::start(Program::Weir, &config, address, &[FRONT])
        .unwrap_or_else(|e| panic!("{e}"));
    let output = python()
        .arg(script)
        .args([format!("{address}:{SERVER}"), format!("{address}:{FRONT}")])
        .args(files)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        text.trim().lines().last(),
        Some("all passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn grpc_passes() {
    grpc("proto h2", "proto h2", &[]);
}

#[test]
fn grpc_passes_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    harness::certificates::authority(dir.path(), "ca");
    harness::certificates::leaf(dir.path(), "ca", "leaf", &["localhost"]);
    let [ca, leaf] = ["ca.pem", "leaf.pem"].map(|file| dir.path().join(file));
    let server = format!("ssl ca-file {} verifyhost localhost sni str(localhost) alpn h2", ca.display());
    grpc(&format!("ssl crt {}", leaf.display()), &server, &[&ca, &leaf]);
}
