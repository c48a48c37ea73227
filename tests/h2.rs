//! HTTP/2 clients: what weir does with each error of RFC 9113 and with clients that mean harm, beside what others see of
//! it; and its log lines beside haproxy's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "harness/browser.rs"]
#[allow(dead_code)]
mod browser;
#[path = "h2/conformance.rs"]
mod conformance;
#[path = "h2/fragments.rs"]
mod fragments;
mod harness;
#[path = "h2/peer.rs"]
mod peer;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::origin::Origin;
use harness::process::{Program, Proxy};
use harness::syslog::Syslog;
use peer::*;

const FRONT: u16 = 8080;
const ORIGIN: u16 = 9001;
const LOG: u16 = 5140;
const PATIENCE: Duration = Duration::from_secs(30);

struct Rig {
    proxy: Proxy,
    origin: Origin,
    log: Syslog,
    address: Ipv4Addr,
    socket: PathBuf,
}

impl Rig {
    fn start(program: Program, global: &str, answers: &[&str]) -> Self {
        let address = harness::own_address();
        let origin = Origin::start((address, ORIGIN).into(), answers);
        let log = Syslog::start((address, LOG).into());
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("admin.sock");
        let config = format!(
            "global\n    nbthread 1\n    stats socket {} level admin\n    log {address}:{LOG} local0\n{global}defaults\n    mode http\n    timeout connect 20s\n    \
             timeout client 20s\n    timeout server 20s\n    option httplog\n    log global\nfrontend f\n    bind {address}:{FRONT}\n    \
             http-request return status 200 content-type text/plain string here if {{ path /here }}\n    \
             http-request deny if {{ path /deny }}\n    http-request silent-drop if {{ path /drop }}\n    default_backend b\nbackend b\n    server s {address}:{ORIGIN}\n",
            socket.display()
        );
        let proxy = Proxy::start_in(program, dir, &config, &["-db"], address, &[FRONT])
            .unwrap_or_else(|e| panic!("{e}"));
        Self { proxy, origin, log, address, socket }
    }

    fn front(&self) -> SocketAddr {
        (self.address, FRONT).into()
    }

    /// Another client is served, now.
    fn serves_others(&self, after: &str) {
        let mut other = Peer::new(self.front());
        other.get(1, "/here");
        assert_eq!(other.reaction(), "stream 1: answer", "another client after {after}");
    }

    /// The columns of HTTP/2 of a row of `show stat`.
    fn counts(&self, row: &str) -> Vec<(String, String)> {
        let text = harness::console::ask(&self.socket, "show stat");
        let names = text.lines().next().unwrap().split(',');
        let cells = text.lines().find(|l| l.starts_with(row)).unwrap().split(',');
        let counts = names.zip(cells).filter(|(name, _)| name.starts_with("h2_"));
        counts.map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    }

    /// What the process holds, in kB.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.proxy.pid())).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

#[test]
fn harm_is_bounded_and_others_are_served() {
    let rig = Rig::start(Program::Weir, "", &["HTTP/1.1 200 OK\r\n\r\n"]);
    rig.serves_others("nothing");
    let before = rig.memory();

    // CVE-2023-44487: requests given up as soon as they are made.
    let mut peer = Peer::new(rig.front());
    let mut frames = Vec::new();
    for stream in (1..20_000).step_by(2) {
        frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", "/slow", &[])));
        frames.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    peer.raw(&frames);
    assert_eq!(peer.reaction(), "connection: ENHANCE_YOUR_CALM", "rapid reset");
    rig.serves_others("rapid reset");

    // CVE-2025-8671: the server is made to reset them.
    let mut peer = Peer::new(rig.front());
    let mut frames = Vec::new();
    for stream in (1..20_000).step_by(2) {
        frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &request("GET", "/slow", &[])));
        frames.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
    }
    peer.raw(&frames);
    let calm = (0..30_000).map(|_| peer.reaction()).find(|r| !r.starts_with("stream"));
    assert_eq!(calm.as_deref(), Some("connection: ENHANCE_YOUR_CALM"), "made you reset");
    rig.serves_others("made you reset");

    // CVE-2024-27316: a head without end.
    let mut peer = Peer::new(rig.front());
    peer.send(HEADERS, END_STREAM, 1, &request("GET", "/here", &[]));
    for _ in 0..10_000 {
        peer.send(CONTINUATION, 0, 1, &block(&[("x", "y")]));
    }
    assert_eq!(peer.reaction(), "connection: ENHANCE_YOUR_CALM", "CONTINUATION without end");

    // A few bytes that become many: one field put into the table, then named again and again.
    let mut peer = Peer::new(rig.front());
    let mut bomb = request("GET", "/here", &[]);
    bomb.extend([0x40, 1, b'x', 127, 0xa0, 0x1e]);
    bomb.extend([b'a'; 127 + 0x20 + 0x1e * 128 - 128 + 128]);
    bomb.resize(16_000, 0x80 | 62);
    peer.send(HEADERS, END_STREAM | END_HEADERS, 1, &bomb);
    let reaction = peer.reaction();
    assert!(reaction == "stream 1: answer" || reaction.starts_with("connection"), "HPACK bomb: {reaction}");

    // Those that want answers and do not read them.
    for (kind, payload) in [(PING, vec![0; 8]), (SETTINGS, vec![])] {
        let mut peer = Peer::new(rig.front());
        let burst: Vec<u8> = std::iter::repeat_n(frame(kind, 0, 0, &payload), 5_000).flatten().collect();
        for _ in 0..20 {
            peer.raw(&burst);
        }
    }
    rig.serves_others("PING and SETTINGS without end");

    // Windows that stay shut: what was asked for is not fetched further than buffers go.
    let mut shut: Vec<Peer> = (0..20).map(|_| Peer::new(rig.front())).collect();
    for peer in &mut shut {
        peer.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        for stream in (1..200).step_by(2) {
            peer.get(stream, "/here");
        }
        peer.wait(HEADERS, 199);
    }
    rig.serves_others("windows that stay shut");
    let grown = rig.memory().saturating_sub(before);
    assert!(grown < 100_000, "grew by {grown} kB");
}

#[test]
fn a_threshold_of_glitches_sends_away() {
    let rig = Rig::start(Program::Weir, "    tune.h2.fe.glitches-threshold 50\n", &[]);
    for (kind, payload) in [(PING, vec![0; 8]), (SETTINGS, vec![]), (PRIORITY, vec![0, 0, 0, 3, 0])] {
        let mut peer = Peer::new(rig.front());
        let stream = u32::from(kind == PRIORITY);
        for _ in 0..60 {
            peer.send(kind, 0, stream, &payload);
        }
        assert_eq!(peer.reaction(), "connection: ENHANCE_YOUR_CALM", "{kind}");
    }
    let mut peer = Peer::new(rig.front());
    for stream in (1..150).step_by(2) {
        peer.get(stream, "/here");
        assert_eq!(peer.wait(HEADERS, stream).flags, END_HEADERS);
    }
}

#[test]
fn windows_hold_both_ways() {
    let body = "x".repeat(200_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let rig = Rig::start(Program::Weir, "", &[&answer, harness::origin::OK]);
    let mut peer = Peer::new(rig.front());
    peer.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10]);
    peer.get(1, "/slow");
    peer.wait(HEADERS, 1);
    assert_eq!(peer.wait(DATA, 1).payload.len(), 10);
    // The other stream is not held up by this one.
    peer.send(HEADERS, END_STREAM | END_HEADERS, 3, &request("HEAD", "/here", &[]));
    peer.wait(HEADERS, 3);
    peer.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 90]);
    assert_eq!(peer.wait(DATA, 1).payload.len(), 90);
    // Both windows have to be open.
    peer.send(WINDOW_UPDATE, 0, 1, &[0, 10, 0, 0]);
    let mut got = 100;
    while got < 65_535 {
        got += peer.wait(DATA, 1).payload.len();
    }
    assert_eq!(got, 65_535);
    peer.send(WINDOW_UPDATE, 0, 0, &[0, 10, 0, 0]);
    loop {
        let frame = peer.wait(DATA, 1);
        got += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(got, body.len());
}

/// Log lines, less what differs between two runs.
fn line(text: &str) -> String {
    let rest = text.split_once("] ").map_or(text, |(_, rest)| rest);
    let mut words: Vec<String> = rest.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        let numbers: Vec<&str> = word.split('/').collect();
        if numbers.len() == 5 && numbers.iter().all(|n| n.parse::<i64>().is_ok()) {
            *word = numbers
                .iter()
                .map(|n| if n.starts_with('-') { "-" } else { "n" })
                .collect::<Vec<_>>()
                .join("/");
        }
    }
    words.join(" ").trim_end().to_owned()
}

/// The same streams, one connection each, to `program`: its log lines and what its server saw.
fn course(program: Program) -> (Vec<String>, Vec<String>) {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let informed =
        "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let ok = harness::origin::OK;
    let rig = Rig::start(program, "", &[ok, ok, ok, ok, chunked, informed]);
    let whole = END_STREAM | END_HEADERS;
    let rows: Vec<Vec<Vec<u8>>> = vec![
        vec![frame(
            HEADERS,
            whole,
            1,
            &request("GET", "/a?b=1", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]),
        )],
        vec![
            frame(HEADERS, END_HEADERS, 1, &request("POST", "/b", &[("content-length", "5")])),
            frame(DATA, END_STREAM, 1, b"hello"),
        ],
        vec![
            frame(HEADERS, END_HEADERS, 1, &request("POST", "/c", &[])),
            frame(DATA, END_STREAM, 1, b"hello"),
        ],
        vec![frame(HEADERS, whole, 1, &request("HEAD", "/d", &[("host", "other")]))],
        vec![frame(HEADERS, whole, 1, &request("GET", "/e", &[]))],
        vec![frame(HEADERS, whole, 1, &request("GET", "/f", &[]))],
        vec![frame(HEADERS, whole, 1, &request("GET", "/deny", &[]))],
        vec![frame(HEADERS, whole, 1, &request("GET", "/here", &[]))],
    ];
    let mut lines = Vec::new();
    for (number, frames) in rows.iter().enumerate() {
        let mut peer = Peer::new(rig.front());
        frames.iter().for_each(|frame| peer.raw(frame));
        assert_eq!(peer.reaction(), "stream 1: answer", "{program:?} {number}");
        let text =
            rig.log.wait_for("HTTP/2.0", PATIENCE).unwrap_or_else(|| panic!("{program:?}: no line {number}"));
        lines.push(line(&text));
        rig.log.drain();
    }
    (lines, rig.origin.seen())
}

#[test]
fn requests_and_their_lines_are_those_of_haproxy() {
    let (theirs, ours) = (course(Program::HaProxy), course(Program::Weir));
    assert_eq!(theirs.0, ours.0);
    assert_eq!(theirs.1, ours.1);
}

/// What is said after the preface, and whether its frames are counted alike: haproxy counts no frame that is an error.
#[allow(clippy::type_complexity)]
fn countable() -> Vec<(&'static str, bool, Vec<Vec<u8>>)> {
    let whole = END_STREAM | END_HEADERS;
    let get = |stream, more: &[(&str, &str)]| frame(HEADERS, whole, stream, &request("GET", "/here", more));
    let post = frame(HEADERS, END_HEADERS, 1, &request("POST", "/body", &[]));
    vec![
        ("a request", true, vec![get(1, &[])]),
        ("two requests", true, vec![get(1, &[]), get(3, &[])]),
        ("a request with a body", true, vec![post, frame(DATA, END_STREAM, 1, b"hello")]),
        ("GOAWAY", true, vec![get(1, &[]), frame(GOAWAY, 0, 0, &[0; 8])]),
        ("a field of HTTP/1", true, vec![get(1, &[("connection", "close")])]),
        ("a coding of HTTP/1", true, vec![get(1, &[("te", "gzip")])]),
        ("two lengths", true, vec![get(1, &[("content-length", "1"), ("content-length", "2")])]),
        ("a request that is one, then one that is none", true, vec![get(1, &[]), get(3, &[("te", "gzip")])]),
        ("DATA on stream 0", false, vec![frame(DATA, 0, 0, b"x")]),
        ("HEADERS on an even stream", false, vec![get(2, &[])]),
        ("RST_STREAM on an idle stream", false, vec![frame(RST_STREAM, 0, 1, &[0; 4])]),
        ("RST_STREAM of a wrong size", false, vec![frame(RST_STREAM, 0, 1, &[0; 3])]),
        ("SETTINGS of a wrong size", false, vec![frame(SETTINGS, 0, 0, &[0; 5])]),
        ("PUSH_PROMISE", false, vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])]),
        ("WINDOW_UPDATE by nothing", false, vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])]),
        ("a window beyond 2^31-1", false, vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]),
        ("CONTINUATION of nothing", false, vec![frame(CONTINUATION, END_HEADERS, 1, b"")]),
    ]
}

/// The columns of HTTP/2 in `show stat`, and the lines of what is no request.
#[test]
fn counts_and_refusals_are_those_of_haproxy() {
    for (name, whole, frames) in countable() {
        let rigs =
            [Program::HaProxy, Program::Weir].map(|program| Rig::start(program, "", &[harness::origin::OK]));
        let refuses = name.contains("HTTP/1") || name == "two lengths" || name.contains("none");
        for rig in &rigs {
            let mut peer = Peer::new(rig.front());
            frames.iter().for_each(|frame| peer.raw(frame));
            assert_ne!(peer.reaction(), "closed", "{name}");
            if name.contains("two requests") || name.contains("none") {
                assert_ne!(peer.reaction(), "closed", "{name}");
            }
        }
        let compared = |rig: &Rig| {
            let mut counts = rig.counts("f,FRONTEND");
            // haproxy counts them again as it answers them.
            counts.retain(|(name, _)| name != "h2_settings_rcvd" && (whole || !name.ends_with("_rcvd")));
            counts
        };
        let begun = Instant::now();
        loop {
            // The other side may have been heard before it was counted; a client's end is noticed a moment later.
            let [theirs, ours] = [compared(&rigs[0]), compared(&rigs[1])];
            let open = theirs.iter().any(|(name, n)| name == "h2_open_connections" && n != "0");
            if theirs == ours && !open {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{name}: haproxy {theirs:?}\nweir {ours:?}");
        }
        if refuses {
            let [theirs, ours] = rigs.each_ref().map(|rig| {
                line(&rig.log.wait_for("BADREQ", PATIENCE).unwrap_or_else(|| panic!("{name}: no line")))
            });
            assert_eq!(theirs, ours, "{name}");
        }
    }
}

#[test]
fn a_stream_that_is_given_up_is_given_up_at_the_server() {
    let (_proxy, server, log, front) = before_a_server();
    let mut peer = Peer::new(front);
    peer.get(1, "/x");
    let (mut accepted, head) = accept(&server);
    assert!(head.starts_with("GET /x HTTP/1.1\r\n"));
    peer.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let end = accepted.read(&mut [0]);
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let text = log.wait_for("HTTP/2.0", PATIENCE).expect("a line");
    assert_eq!(
        line(&text),
        "f b/s n/n/n/-/n -1 0 - - CD-- n/n/n/n/n 0/0 \"GET http://example.org/x HTTP/2.0\""
    );
    // The connection goes on.
    peer.get(3, "/y");
    assert!(server.accept().is_ok());
}

/// A listener for connections of a proxy in front of it, both on an address of their own.
fn before_a_server() -> (Proxy, std::net::TcpListener, Syslog, SocketAddr) {
    let address = harness::own_address();
    let server = harness::bind_soon(|| std::net::TcpListener::bind((address, ORIGIN)));
    let log = Syslog::start((address, LOG).into());
    let config = format!(
        "global\n    log {address}:{LOG} local0\ndefaults\n    mode http\n    timeout connect 20s\n    timeout client 60s\n    \
         timeout server 60s\n    option httplog\n    log global\nfrontend f\n    bind {address}:{FRONT}\n    default_backend b\n\
         backend b\n    server s {address}:{ORIGIN}\n"
    );
    let proxy = Proxy::start(Program::Weir, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    (proxy, server, log, (address, FRONT).into())
}

/// The head of a request of HTTP/1, and the connection it came on.
fn accept(server: &std::net::TcpListener) -> (std::net::TcpStream, String) {
    let (mut accepted, _) = server.accept().unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(accepted.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.extend(byte);
    }
    (accepted, String::from_utf8(head).unwrap())
}

#[test]
fn clients_that_leave_are_noticed_at_the_server() {
    let (_proxy, server, log, front) = before_a_server();
    for round in 0..30 {
        let mut peer = Peer::new(front);
        let path = format!("/left/{round}/");
        peer.get(1, &path);
        let (mut accepted, _) = accept(&server);
        if round % 2 == 0 {
            peer.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        }
        drop(peer);
        let end = accepted.read(&mut [0]);
        assert!(matches!(end, Ok(0)), "round {round}: {end:?}");
        assert!(log.wait_for(&path, PATIENCE).is_some(), "round {round}");
    }
}

/// An extended CONNECT (RFC 8441).
const WEBSOCKET: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "example.org"),
    (":path", "/chat"),
    ("sec-websocket-version", "13"),
];

/// To the server it is an upgrade like any other.
#[test]
fn websockets_are_begun_by_connect() {
    let (_proxy, server, _log, front) = before_a_server();
    let mut peer = Peer::new(front);
    peer.send(HEADERS, END_HEADERS, 1, &block(&WEBSOCKET));
    let (mut accepted, head) = accept(&server);
    let lower = head.to_ascii_lowercase();
    assert!(
        head.starts_with("GET /chat HTTP/1.1\r\n")
            || head.starts_with("GET http://example.org/chat HTTP/1.1\r\n"),
        "{head}"
    );
    for field in
        ["connection: upgrade", "upgrade: websocket", "host: example.org", "sec-websocket-version: 13"]
    {
        assert_eq!(lower.matches(&format!("\r\n{field}\r\n")).count(), 1, "{field} in {head}");
    }
    let key = lower.split("sec-websocket-key: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert_eq!(key.len(), 24, "{head}");
    accepted
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
        .unwrap();
    let answer = peer.wait(HEADERS, 1);
    assert_eq!(answer.flags & END_STREAM, 0);
    // The static table's `:status 200`; nothing of the upgrade is told.
    assert_eq!(answer.payload, [0x88]);
    assert_eq!(peer.wait(DATA, 1).payload, b"hello");
    peer.send(DATA, 0, 1, b"\x81\x02hi");
    let mut frame = [0; 4];
    accepted.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x02hi");
    accepted.write_all(b"\x81\x03you").unwrap();
    assert_eq!(peer.wait(DATA, 1).payload, b"\x81\x03you");
    // Another stream beside it.
    peer.get(3, "/other");
    let (mut other, _) = accept(&server);
    other.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    peer.wait(HEADERS, 3);
    peer.send(DATA, END_STREAM, 1, b"\x88\x00");
    let mut rest = Vec::new();
    accepted.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"\x88\x00");
    drop(accepted);
    while peer.wait(DATA, 1).flags & END_STREAM == 0 {}
}

#[test]
fn a_server_may_decline_the_upgrade() {
    let (_proxy, server, _log, front) = before_a_server();
    let mut peer = Peer::new(front);
    peer.send(HEADERS, END_HEADERS, 1, &block(&WEBSOCKET));
    let (mut accepted, _) = accept(&server);
    accepted.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").unwrap();
    assert_eq!(peer.reaction(), "stream 1: answer");
    let body = peer.wait(DATA, 1);
    assert_eq!((body.payload.as_slice(), body.flags & END_STREAM), (b"no".as_slice(), END_STREAM));
}

/// Programs of others, over TLS with ALPN.
#[test]
fn others_speak_it_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    harness::certificates::authority(dir.path(), "ca");
    harness::certificates::leaf(dir.path(), "ca", "leaf", &["localhost"]);
    let address = harness::own_address();
    let big = "y".repeat(300_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{big}", big.len());
    let _origin = Origin::start((address, ORIGIN).into(), &[&answer]);
    let config = format!(
        "defaults\n    mode http\n    timeout connect 20s\n    timeout client 20s\n    timeout server 20s\nfrontend f\n    \
         bind {address}:{FRONT} ssl crt {}/leaf.pem\n    http-response set-header x-alpn %[ssl_fc_alpn]\n    \
         http-response set-header x-ver %[req.ver]\n    default_backend b\nbackend b\n    server s {address}:{ORIGIN}\n",
        dir.path().display()
    );
    let _proxy = Proxy::start(Program::Weir, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    let url = format!("https://{address}:{FRONT}/");
    for (more, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let curl = Command::new("curl")
            .args([
                "-sk",
                "-m",
                "60",
                more,
                "-D",
                "-",
                "-o",
                "/dev/null",
                "-w",
                "size=%{size_download} version=%{http_version}",
                &url,
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&curl.stdout).into_owned();
        let alpn = if version == "2" { "x-alpn: h2" } else { "x-alpn: http/1.1" };
        assert!(text.contains(&format!("size=300000 version={version}")) && text.contains(alpn), "{text}");
    }
    let load = Command::new("h2load")
        .args(["-n", "400", "-c", "4", "-m", "10", &url])
        .output()
        .expect("h2load (Debian package nghttp2-client) starts");
    let text = String::from_utf8_lossy(&load.stdout);
    assert!(text.contains("400 succeeded, 0 failed, 0 errored"), "{text}");
    let upload = dir.path().join("upload");
    std::fs::write(&upload, "z".repeat(500_000)).unwrap();
    let posted = Command::new("nghttp").args(["-nsv", "-d"]).arg(&upload).arg(&url).output().unwrap();
    let text = String::from_utf8_lossy(&posted.stdout);
    assert!(text.contains(":status: 200"), "{text}");
}

#[test]
fn a_browser_speaks_it_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    harness::certificates::authority(dir.path(), "ca");
    harness::certificates::leaf(dir.path(), "ca", "leaf", &["localhost"]);
    let address = harness::own_address();
    let config = format!(
        "defaults\n    mode http\n    timeout connect 20s\n    timeout client 60s\n    timeout server 20s\nfrontend f\n    \
         bind {address}:{FRONT} ssl crt {}/leaf.pem\n    \
         http-request return status 200 content-type text/html lf-string '<title>%[req.ver]</title>'\n",
        dir.path().display()
    );
    let _proxy = Proxy::start(Program::Weir, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    let browser = browser::Browser::start();
    browser.open(&format!("https://{address}:{FRONT}/"));
    assert_eq!(browser.text("performance.getEntriesByType('navigation')[0].nextHopProtocol"), "h2");
    assert_eq!(browser.text("document.title"), "2.0");
}

/// The first SETTINGS of the server: (number, value).
fn told(peer: &mut Peer) -> Vec<(u16, u32)> {
    let frame = peer.wait(SETTINGS, 0);
    let number = |b: &[u8]| b.iter().fold(0, |n, b| n << 8 | u32::from(*b));
    frame.payload.chunks(6).map(|s| (number(&s[..2]) as u16, number(&s[2..]))).collect()
}

#[test]
fn clients_are_told_what_the_configuration_says() {
    let global = "    tune.h2.header-table-size 1000\n    tune.h2.initial-window-size 70000\n    tune.h2.fe.max-concurrent-streams 7\n    \
                  tune.h2.max-frame-size 20000\n    tune.h2.fe.max-total-streams 3\n";
    let rig = Rig::start(Program::Weir, global, &[]);
    let mut peer = Peer::new(rig.front());
    let settings = told(&mut peer);
    for setting in [(1, 1000), (3, 7), (4, 70000), (5, 20000)] {
        assert!(settings.contains(&setting), "{setting:?} in {settings:?}");
    }
    // After three streams it has to connect anew; the third is still answered.
    for stream in [1, 3, 5] {
        peer.get(stream, "/here");
    }
    let mut wanted = vec![(HEADERS, 5), (GOAWAY, 0)];
    while !wanted.is_empty() {
        let frame = peer.next().expect("both come");
        wanted.retain(|w| *w != (frame.kind, frame.stream));
    }
}

#[test]
fn idle_connections_end_with_a_goaway() {
    let address = harness::own_address();
    for (timeouts, asks) in [
        ("timeout client 300ms", true),
        ("timeout client 30s\n    timeout http-keep-alive 300ms", true),
        ("timeout client 300ms", false),
    ] {
        let config = format!(
            "defaults\n    mode http\n    timeout connect 20s\n    timeout server 20s\n    {timeouts}\nfrontend f\n    bind {address}:{FRONT}\n    \
             http-request return status 200\n"
        );
        let _proxy =
            Proxy::start(Program::Weir, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
        let mut peer = Peer::new((address, FRONT).into());
        if asks {
            peer.get(1, "/");
            peer.wait(HEADERS, 1);
        }
        assert_eq!(peer.wait(GOAWAY, 0).payload[4..8], [0; 4], "{timeouts} {asks}");
        assert_eq!(peer.next(), None);
    }
}

/// `silent-drop` ends the whole connection, and its client goes on waiting.
#[test]
fn a_dropped_client_hears_nothing() {
    for program in [Program::HaProxy, Program::Weir] {
        let rig = Rig::start(program, "", &[harness::origin::OK]);
        let mut peer = Peer::new(rig.front());
        peer.get(1, "/drop");
        assert!(rig.log.wait_for("/drop", PATIENCE).is_some());
        if program == Program::Weir {
            // haproxy forgets the connection only after `timeout client`.
            let open = |(name, n): &(String, String)| name == "h2_open_connections" && n != "0";
            let begun = Instant::now();
            while rig.counts("f,FRONTEND").iter().any(open) {
                assert!(begun.elapsed() < PATIENCE, "the connection is still there");
            }
        }
        let (kinds, open) = peer.heard();
        assert!(kinds.iter().all(|kind| [SETTINGS, WINDOW_UPDATE].contains(kind)), "{kinds:?}");
        assert!(open, "the client was told");
        rig.serves_others("silent-drop");
    }
}

#[test]
fn a_soft_stop_lets_streams_end() {
    let (proxy, server, _log, front) = before_a_server();
    let mut peer = Peer::new(front);
    peer.get(1, "/x");
    let (mut accepted, _) = accept(&server);
    proxy.signal("USR1");
    peer.wait(GOAWAY, 0);
    accepted.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    assert_eq!(peer.wait(DATA, 1).payload, b"ok");
}
