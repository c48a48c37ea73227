//! What RFC 9113 wants of a server, section by section: for each thing a client may do wrong the error and whose it is.

use super::*;

const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 32;
const WHOLE: u8 = END_STREAM | END_HEADERS;

/// A name that begins with the section, what is said after preface and settings, and how the server reacts.
type Row = (&'static str, Vec<Vec<u8>>, &'static str);

const ANSWER: &str = "stream 1: answer";
const MALFORMED: &str = "stream 1: PROTOCOL_ERROR";
const PROTOCOL: &str = "connection: PROTOCOL_ERROR";
const SIZE: &str = "connection: FRAME_SIZE_ERROR";
const COMPRESSION: &str = "connection: COMPRESSION_ERROR";
const CLOSED: &str = "connection: STREAM_CLOSED";
const FLOW: &str = "connection: FLOW_CONTROL_ERROR";

/// A request that is answered at once.
fn get() -> Vec<u8> {
    with(&[])
}

fn with(more: &[(&str, &str)]) -> Vec<u8> {
    head(WHOLE, &request("GET", "/here", more))
}

/// A request with a body to come, to a server that never answers.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    head(END_HEADERS, &request("POST", "/never", more))
}

/// A request that is never answered.
fn waiting() -> Vec<u8> {
    head(WHOLE, &request("GET", "/never", &[]))
}

fn head(flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, 1, block)
}

fn pseudo(fields: &[(&str, &str)]) -> Vec<u8> {
    head(WHOLE, &block(fields))
}

fn connect(fields: &[(&str, &str)]) -> Vec<u8> {
    head(END_HEADERS, &block(&[&[(":method", "CONNECT")], fields].concat()))
}

fn setting(number: u8, value: [u8; 4]) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[[0, number].as_slice(), &value].concat())
}

fn framing() -> Vec<Row> {
    let path = |path| head(WHOLE, &request("GET", path, &[]));
    vec![
        (
            "4.1 the reserved bit is ignored",
            vec![frame(HEADERS, WHOLE, 0x8000_0001, &request("GET", "/here", &[]))],
            ANSWER,
        ),
        ("4.1 frames of unknown types are ignored", vec![frame(77, 0xff, 1, b"xyz"), get()], ANSWER),
        ("4.1 unknown flags are ignored", vec![frame(PING, 0xfe, 0, &[0; 8]), get()], ANSWER),
        ("4.2 a frame longer than allowed", vec![vec![0x00, 0x40, 0x01, DATA, 0, 0, 0, 0, 1]], SIZE),
        ("4.2 a head too short for its priority", vec![head(WHOLE | WITH_PRIORITY, &[0; 3])], SIZE),
        ("4.2 a body too short for its padding", vec![post(&[]), frame(DATA, PADDED, 1, b"")], SIZE),
        ("4.3 the index 0", vec![head(WHOLE, b"\x80")], COMPRESSION),
        ("4.3 an index of nothing", vec![head(WHOLE, b"\xff\x20")], COMPRESSION),
        ("4.3 an integer without end", vec![head(WHOLE, &[0xff; 6])], COMPRESSION),
        ("4.3 the end inside a string", vec![head(WHOLE, b"\x00\x84\xff\xff\xff\xff\x00")], COMPRESSION),
        ("4.3 padding that is too long", vec![head(WHOLE, b"\x00\x82\x1f\xff\x00")], COMPRESSION),
        ("4.3 a table larger than allowed", vec![head(WHOLE, b"\x3f\xe1\xff\x7f\x82")], COMPRESSION),
        ("4.3 a table's size behind a field", vec![head(WHOLE, b"\x82\x20")], COMPRESSION),
        ("4.3 a string that is cut off", vec![head(WHOLE, b"\x40\x05a")], COMPRESSION),
        ("4.3 a field without a name", vec![with(&[("", "y")])], COMPRESSION),
        (
            "4.3 another frame inside a head",
            vec![head(END_STREAM, &request("GET", "/here", &[])), frame(PING, 0, 0, &[0; 8])],
            PROTOCOL,
        ),
        (
            "4.3 another stream's CONTINUATION",
            vec![head(END_STREAM, b"\x82"), frame(CONTINUATION, END_HEADERS, 3, b"")],
            PROTOCOL,
        ),
        ("8.3.1 a path without a slash", vec![path("here")], MALFORMED),
        ("8.3.1 an empty path", vec![path("")], MALFORMED),
        ("8.3.1 a path with a space", vec![path("/a b")], MALFORMED),
        ("8.3.1 a path with a line end", vec![path("/a\r\nb")], MALFORMED),
        ("8.3.1 a path with a fragment", vec![path("/here#x")], MALFORMED),
        ("8.3.1 a whole URI for a path", vec![path("http://x/")], MALFORMED),
    ]
}

fn streams() -> Vec<Row> {
    let reset = || frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let trailers = |flags, fields: &[(&str, &str)]| head(flags, &block(fields));
    let many = (1..=201).step_by(2).map(|n| frame(HEADERS, WHOLE, n, &request("GET", "/never", &[])));
    vec![
        ("5.1 DATA on an idle stream", vec![frame(DATA, 0, 1, b"x")], PROTOCOL),
        ("5.1 RST_STREAM on an idle stream", vec![frame(RST_STREAM, 0, 1, &[0; 4])], PROTOCOL),
        ("5.1 WINDOW_UPDATE on an idle stream", vec![frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])], PROTOCOL),
        ("5.1 CONTINUATION on an idle stream", vec![frame(CONTINUATION, END_HEADERS, 1, b"")], PROTOCOL),
        (
            "5.1 PRIORITY on an idle stream is ignored",
            vec![frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0]), get()],
            ANSWER,
        ),
        ("5.1 DATA behind the end", vec![waiting(), frame(DATA, 0, 1, b"x")], "stream 1: STREAM_CLOSED"),
        ("5.1 HEADERS behind the end", vec![waiting(), trailers(WHOLE, &[("x", "y")])], CLOSED),
        (
            "5.1 DATA behind a reset",
            vec![post(&[]), reset(), frame(DATA, 0, 1, b"x")],
            "stream 1: STREAM_CLOSED",
        ),
        ("5.1 HEADERS behind a reset", vec![post(&[]), reset(), trailers(WHOLE, &[("x", "y")])], CLOSED),
        ("5.1.1 an even stream", vec![frame(HEADERS, WHOLE, 2, &request("GET", "/here", &[]))], PROTOCOL),
        (
            "5.1.1 a stream below another",
            vec![
                frame(HEADERS, WHOLE, 5, &request("GET", "/never", &[])),
                frame(HEADERS, WHOLE, 3, &request("GET", "/here", &[])),
            ],
            PROTOCOL,
        ),
        ("5.1.1 the same stream again", vec![waiting(), get()], CLOSED),
        ("5.1.2 more streams than allowed", many.collect(), "stream 201: REFUSED_STREAM"),
        ("6.1 DATA on stream 0", vec![frame(DATA, 0, 0, b"x")], PROTOCOL),
        ("6.1 padding as long as the frame", vec![post(&[]), frame(DATA, PADDED, 1, &[1])], PROTOCOL),
        ("6.1 padding longer than the frame", vec![post(&[]), frame(DATA, PADDED, 1, &[9, 1])], PROTOCOL),
        ("6.2 HEADERS on stream 0", vec![frame(HEADERS, WHOLE, 0, &request("GET", "/here", &[]))], PROTOCOL),
        ("6.2 a head's padding longer than the frame", vec![head(WHOLE | PADDED, &[0xff, 0x82])], PROTOCOL),
        ("6.3 PRIORITY on stream 0", vec![frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 0])], PROTOCOL),
        ("6.3 PRIORITY of a wrong size", vec![frame(PRIORITY, 0, 1, &[0; 4])], SIZE),
        (
            "RFC 7540 5.3.1 a head that depends on itself",
            vec![head(
                WHOLE | WITH_PRIORITY,
                &[&[0, 0, 0, 1, 0], &request("GET", "/here", &[])[..]].concat(),
            )],
            MALFORMED,
        ),
        ("6.4 RST_STREAM on stream 0", vec![frame(RST_STREAM, 0, 0, &[0; 4])], PROTOCOL),
        ("6.4 RST_STREAM of a wrong size", vec![frame(RST_STREAM, 0, 1, &[0; 3])], SIZE),
        (
            "8.1 trailers that are not the end",
            vec![post(&[]), trailers(END_HEADERS, &[("x", "y")])],
            MALFORMED,
        ),
        (
            "8.1 pseudo-header fields in trailers",
            vec![post(&[]), trailers(WHOLE, &[(":path", "/")])],
            MALFORMED,
        ),
        (
            "8.1 a field of HTTP/1 in trailers",
            vec![post(&[]), trailers(WHOLE, &[("connection", "x")])],
            MALFORMED,
        ),
    ]
}

fn connection() -> Vec<Row> {
    vec![
        ("6.5 SETTINGS on a stream", vec![frame(SETTINGS, 0, 1, b"")], PROTOCOL),
        ("6.5 SETTINGS of a wrong size", vec![frame(SETTINGS, 0, 0, &[0; 5])], SIZE),
        ("6.5 SETTINGS ACK with something in it", vec![frame(SETTINGS, ACK, 0, &[0; 6])], SIZE),
        ("6.5.2 ENABLE_PUSH of 2", vec![setting(2, [0, 0, 0, 2])], PROTOCOL),
        ("6.5.2 a window beyond 2^31-1", vec![setting(4, [0x80, 0, 0, 0])], FLOW),
        ("6.5.2 frames below 16384", vec![setting(5, [0, 0, 0x3f, 0xff])], PROTOCOL),
        ("6.5.2 frames above 2^24-1", vec![setting(5, [1, 0, 0, 0])], PROTOCOL),
        ("6.5.2 an unknown setting is ignored", vec![setting(0x99, [1, 0, 0, 0]), get()], ANSWER),
        ("RFC 8441 3 ENABLE_CONNECT_PROTOCOL of 2", vec![setting(8, [0, 0, 0, 2])], PROTOCOL),
        ("6.6 PUSH_PROMISE", vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])], PROTOCOL),
        ("6.7 PING on a stream", vec![frame(PING, 0, 1, &[0; 8])], PROTOCOL),
        ("6.7 PING of a wrong size", vec![frame(PING, 0, 0, &[0; 6])], SIZE),
        ("6.8 GOAWAY on a stream", vec![frame(GOAWAY, 0, 1, &[0; 8])], PROTOCOL),
        ("6.8 GOAWAY of a wrong size", vec![frame(GOAWAY, 0, 0, &[0; 4])], SIZE),
        ("6.9 WINDOW_UPDATE by nothing", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])], PROTOCOL),
        ("6.9 a stream's by nothing", vec![waiting(), frame(WINDOW_UPDATE, 0, 1, &[0; 4])], MALFORMED),
        ("6.9 WINDOW_UPDATE of a wrong size", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])], SIZE),
        (
            "6.9.1 a connection's window beyond 2^31-1",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])],
            FLOW,
        ),
        (
            "6.9.1 a stream's window beyond 2^31-1",
            vec![waiting(), frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])],
            "stream 1: FLOW_CONTROL_ERROR",
        ),
        (
            "6.9.2 a setting that makes a window too large",
            vec![
                waiting(),
                frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]),
                setting(4, [0x7f, 0xff, 0xff, 0xff]),
            ],
            FLOW,
        ),
        ("6.10 CONTINUATION of nothing", vec![waiting(), frame(CONTINUATION, END_HEADERS, 1, b"")], PROTOCOL),
        (
            "6.10 CONTINUATION on stream 0",
            vec![head(END_STREAM, b"\x82"), frame(CONTINUATION, END_HEADERS, 0, b"")],
            PROTOCOL,
        ),
    ]
}

fn messages() -> Vec<Row> {
    let (method, scheme, path) = ((":method", "GET"), (":scheme", "http"), (":path", "/here"));
    let authority = |authority| pseudo(&[method, scheme, (":authority", authority), path]);
    let mut rows = vec![
        (
            "8.1.1 more than was promised",
            vec![post(&[("content-length", "2")]), frame(DATA, END_STREAM, 1, b"abc")],
            MALFORMED,
        ),
        (
            "8.1.1 less than was promised",
            vec![post(&[("content-length", "5")]), frame(DATA, END_STREAM, 1, b"abc")],
            MALFORMED,
        ),
        ("8.1.1 nothing of what was promised", vec![with(&[("content-length", "5")])], MALFORMED),
        ("8.1.1 two lengths", vec![post(&[("content-length", "1"), ("content-length", "2")])], MALFORMED),
        ("8.2.2 te of trailers is none of HTTP/1", vec![with(&[("te", "trailers")])], ANSWER),
        ("8.3 a pseudo-header field twice", vec![with(&[path])], MALFORMED),
        (
            "8.3 a pseudo-header field behind a field",
            vec![pseudo(&[method, scheme, ("x", "y"), path])],
            MALFORMED,
        ),
        ("8.3 :status of a client", vec![with(&[(":status", "200")])], MALFORMED),
        ("8.3 :status that is none", vec![with(&[(":status", "ok")])], MALFORMED),
        ("8.3 an unknown pseudo-header field", vec![with(&[(":foo", "x")])], MALFORMED),
        ("8.3.1 no method", vec![pseudo(&[scheme, path])], MALFORMED),
        ("8.3.1 no scheme", vec![pseudo(&[method, path])], MALFORMED),
        ("8.3.1 no path", vec![pseudo(&[method, scheme, (":authority", "a")])], MALFORMED),
        ("8.3.1 a method that is none", vec![pseudo(&[(":method", "GE T"), scheme, path])], MALFORMED),
        ("8.3.1 an empty method", vec![pseudo(&[(":method", ""), scheme, path])], MALFORMED),
        (
            "8.3.1 a scheme that is none",
            vec![pseudo(&[method, (":scheme", "ht tp"), (":authority", "a"), path])],
            MALFORMED,
        ),
        ("8.3.1 user information", vec![authority("u@example.org")], MALFORMED),
        ("8.3.1 an authority that is none", vec![authority("a b")], MALFORMED),
        ("8.5 CONNECT with a scheme", vec![connect(&[scheme, (":authority", "a:1")])], MALFORMED),
        ("8.5 CONNECT with a path", vec![connect(&[path, (":authority", "a:1")])], MALFORMED),
        ("8.5 CONNECT to nobody", vec![connect(&[])], MALFORMED),
        (
            "RFC 8441 4 :protocol without CONNECT",
            vec![pseudo(&[method, (":protocol", "websocket"), scheme, path])],
            MALFORMED,
        ),
        (
            "RFC 8441 4 no path",
            vec![connect(&[(":protocol", "websocket"), scheme, (":authority", "a")])],
            MALFORMED,
        ),
        (
            "RFC 8441 4 no scheme",
            vec![connect(&[(":protocol", "websocket"), (":authority", "a"), path])],
            MALFORMED,
        ),
    ];
    let bad: [(&str, (&str, &str)); 20] = [
        ("8.1.1 a length that is none", ("content-length", "x")),
        ("8.1.1 a length with a sign", ("content-length", "+5")),
        ("8.1.1 an empty length", ("content-length", "")),
        ("8.1.1 a length beyond all bounds", ("content-length", "99999999999999999999999")),
        ("8.2 an uppercase name", ("X", "y")),
        ("8.2.1 a name with a space", ("x y", "y")),
        ("8.2.1 a name with a colon", ("x:y", "y")),
        ("8.2.1 a name with a NUL", ("x\0", "y")),
        ("8.2.1 a name beyond ASCII", ("x\u{e4}", "y")),
        ("8.2.1 a value with a NUL", ("x", "a\0b")),
        ("8.2.1 a value with a CR", ("x", "a\rb")),
        ("8.2.1 a value with a LF", ("x", "a\nb")),
        ("8.2.1 a value that would be another request", ("x", "a\r\n\r\nGET /never HTTP/1.1\r\n\r\n")),
        ("8.2.2 connection", ("connection", "close")),
        ("8.2.2 keep-alive", ("keep-alive", "5")),
        ("8.2.2 proxy-connection", ("proxy-connection", "x")),
        ("8.2.2 transfer-encoding", ("transfer-encoding", "chunked")),
        ("8.2.2 upgrade", ("upgrade", "h2c")),
        ("8.2.2 te", ("te", "gzip")),
        ("8.3 an empty pseudo-header field", (":", "x")),
    ];
    rows.extend(bad.map(|(name, field)| (name, vec![with(&[field])], MALFORMED)));
    rows
}

/// A proxy whose `/here` is answered at once, and that waits for a server with everything else.
fn proxy() -> (Proxy, std::net::TcpListener, SocketAddr) {
    let address = harness::own_address();
    let server = harness::bind_soon(|| std::net::TcpListener::bind((address, ORIGIN)));
    let config = format!(
        "defaults\n    mode http\n    timeout connect 60s\n    timeout client 60s\n    timeout server 60s\nfrontend f\n    bind {address}:{FRONT}\n    \
         http-request return status 200 if {{ path /here }}\n    default_backend b\nbackend b\n    server s {address}:{ORIGIN}\n"
    );
    let proxy = Proxy::start(Program::Weir, &config, address, &[FRONT]).unwrap_or_else(|e| panic!("{e}"));
    (proxy, server, (address, FRONT).into())
}

#[test]
fn errors_have_the_right_code_and_scope() {
    let (_proxy, _server, front) = proxy();
    let mut wrong = Vec::new();
    for (name, frames, expected) in [framing(), streams(), connection(), messages()].concat() {
        let mut peer = Peer::new(front);
        peer.raw(&frames.concat());
        let reaction = peer.reaction();
        if reaction != expected {
            wrong.push(format!("{name}: {reaction}, not {expected}"));
        } else if reaction.ends_with("ERROR") && reaction.starts_with("stream") {
            peer.get(301, "/here");
            assert_eq!(peer.wait(HEADERS, 301).flags & END_HEADERS, END_HEADERS, "a request after {name}");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn connections_begin_with_preface_and_settings() {
    let (_proxy, _server, front) = proxy();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for (name, bytes, expected) in [
        ("3.4 no settings", [preface.clone(), get()].concat(), PROTOCOL),
        (
            "3.4 settings acknowledged before there are any",
            [preface, frame(SETTINGS, ACK, 0, b"")].concat(),
            PROTOCOL,
        ),
        ("3.4 a preface that changes its mind", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), "closed"),
    ] {
        let mut peer = Peer::silent(front);
        peer.raw(&bytes);
        assert_eq!(peer.reaction(), expected, "{name}");
    }
}

/// What a refused head put into the dynamic table is there for those that follow, and stays refused.
#[test]
fn tables_hold_after_a_malformed_head() {
    let (_proxy, _server, front) = proxy();
    let begin = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a")]);
    let ask = |stream, more: &[u8]| frame(HEADERS, WHOLE, stream, &[&begin[..], more].concat());
    let mut peer = Peer::new(front);
    peer.raw(&ask(1, b"\x84\x40\x03X-Y\x04evil"));
    assert_eq!(peer.reaction(), MALFORMED);
    peer.raw(&ask(3, b"\x44\x05/here\x40\x01x\x03abc"));
    assert_eq!(peer.reaction(), "stream 3: answer");
    // The newest is `x`, behind it `:path` and then the bad one.
    for (stream, more, expected) in [
        (5, b"\xbf".as_slice(), "answer"),
        (7, b"\xbf\xbe", "answer"),
        (9, b"\xbf\xc0", "PROTOCOL_ERROR"),
        (11, b"\xbf\x0f\x31\x01v", "PROTOCOL_ERROR"),
        (13, b"\xbf", "answer"),
    ] {
        peer.raw(&ask(stream, more));
        assert_eq!(peer.reaction(), format!("stream {stream}: {expected}"));
    }
    peer.raw(&ask(15, b"\xbf\xc1"));
    assert_eq!(peer.reaction(), COMPRESSION);
}

/// Whichever window is passed first.
#[test]
fn more_than_the_windows_allow_is_refused() {
    let (_proxy, _server, front) = proxy();
    let mut peer = Peer::new(front);
    peer.raw(&[vec![post(&[])], vec![frame(DATA, 0, 1, &[0; 16384]); 200]].concat().concat());
    let reaction = peer.reaction();
    assert!(reaction.ends_with(": FLOW_CONTROL_ERROR"), "{reaction}");
}

/// A byte at a time, and over many reads.
#[test]
fn pieces_are_judged_as_the_whole_is() {
    let (_proxy, _server, front) = proxy();
    let mut peer = Peer::new(front);
    let refused = with(&[("X", "y")]);
    let long = request("GET", "/here", &[("x", &"y".repeat(3000))]);
    let answered = [
        frame(HEADERS, END_STREAM, 3, &long[..1000]),
        frame(CONTINUATION, 0, 3, &long[1000..2000]),
        frame(CONTINUATION, END_HEADERS, 3, &long[2000..]),
    ]
    .concat();
    refused.iter().for_each(|byte| peer.raw(&[*byte]));
    assert_eq!(peer.reaction(), MALFORMED);
    answered.chunks(7).for_each(|part| peer.raw(part));
    assert_eq!(peer.reaction(), "stream 3: answer");
}
