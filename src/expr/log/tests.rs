//! Every variable and flag, with the bytes haproxy 2.6 logged for the same request.

use super::LogFormat;
use crate::expr::facts::LogRecord;
use crate::expr::mock::Mock;
use crate::expr::{Scope, Site};
use std::time::{Duration, SystemTime};

fn record() -> LogRecord {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_237_101_802);
    LogRecord {
        handshake: 1,
        idle: 2,
        request: 3,
        queue: 4,
        connect: 5,
        response: 6,
        active: 25,
        total: 28,
        user: 27,
        accept_date: Some(at),
        request_date: Some(at + Duration::from_millis(3)),
        bytes_to_client: 81,
        bytes_from_client: 101,
        status: 200,
        termination: *b"--NI",
        retries: 2,
        process_conns: 1,
        frontend_conns: 2,
        backend_conns: 3,
        server_conns: 4,
        backend_queue: 6,
        server_queue: 5,
        server_name: Some("s1".into()),
        backend_src: "127.0.0.1:35070".parse().ok(),
        backend_dst: "127.0.0.1:21252".parse().ok(),
        request_line: b"GET /p%20a/b?x=1&y=\"2\" HTTP/1.1".to_vec(),
        request_captures: vec![Some(b"c \"u\" |r{l}\\".to_vec()), None, Some(b"a\x01\xff#[x]".to_vec())],
        response_captures: vec![Some(b"ng\"inx]}".to_vec())],
        request_cookie: Some(b"SID=x1".to_vec()),
        unique_id: Some(b"127.0.0.1:39022".to_vec()),
        request_counter: 1,
        log_counter: 7,
        ..LogRecord::default()
    }
}

fn check_with(log: LogRecord, format: &str, expected: &str) {
    let mut mock = Mock { log, ..Mock::default() };
    let format =
        LogFormat::parse(format, Site::Log, &Scope::default()).unwrap_or_else(|e| panic!("{format}: {e:?}"));
    let mut out = Vec::new();
    format.render_log(&mut mock, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

fn check(format: &str, expected: &str) {
    check_with(record(), format, expected);
}

#[test]
fn variables() {
    check("%B %CC %CS %H %U %ST", "81 SID=x1 - lb1 101 200");
    check("%HM %HP %HPO %HQ %HU %HV", "GET /p%20a/b /p%20a/b ?x=1&y=#222#22 /p%20a/b?x=1&y=#222#22 HTTP/1.1");
    check("%T|%trg", "21/Nov/2026:04:58:21 +0000|21/Nov/2026:04:58:21 +0000");
    check("%Th/%Ti/%Tq/%TR/%Tw/%Tc/%Tr/%Td/%Ta/%Tt/%Tu", "1/2/6/3/4/5/6/7/25/28/27");
    check("%Ts.%ms", "1795237101.802");
    check("%ac/%fc/%bc/%sc/%rc %sq/%bq", "1/2/3/4/2 5/6");
    check("%b/%s %bi:%bp %si:%sp", "app/s1 127.0.0.1:35070 127.0.0.1:21252");
    check("%ci:%cp %fi:%fp %f %ft", "192.0.2.7:1234 198.51.100.1:80 www www");
    check("%hr %hs", "{c #22u#22 #7Cr#7Bl#7D\\||a#01#FF#23[x]} {ng#22inx]#7D}");
    check("%hrl|%hsl", "c #22u#22 #7Cr#7Bl#7D\\ - a#01#FF#23[x]|ng#22inx]#7D");
    check("%lc %rt %pid %ID", "7 1 77 127.0.0.1:39022");
    check("%r", "GET /p%20a/b?x=1&y=#222#22 HTTP/1.1");
    check("%ts %tsc %sslc %sslv", "-- --NI - -");
    check("100%% %[src]%[dst]", "100% 192.0.2.7198.51.100.1");
}

#[test]
fn flags() {
    check(
        "%{+Q}hr %{+Q}hrl",
        "\"{c #22u#22 #7Cr#7Bl#7D\\||a#01#FF#23[x]}\" \"c #22u#22 #7Cr#7Bl#7D\\\" \"\" \"a#01#FF#23[x]\"",
    );
    check("%{+Q,+E}hs %{+E}hrl", "\"{ng#22inx\\]#7D}\" c #22u#22 #7Cr#7Bl#7D\\\\ - a#01#FF#23[x\\]");
    check("%{+X}o %ci:%cp %si %Ts %pid %lc %ms", "C0000207:04D2 7F000001 6B0124ED 004D 0007 322");
    check("%{+Q}o %ci %{-Q}cp %f %[env(NOPE)] %ST", "\"192.0.2.7\" 1234 \"www\" \"\" 200");
    check(
        "[%[bin(0041)] %[str(\"a b\")] %{+Q}[bin(0041)] %[env(NOPE)]|%{+Q,+E}[str(a]b)]|%{+E}[str(a]b)]|",
        "[- a b \"\" -|\"a\\]b\"|a\\]b|",
    );
    check("a  b   %f | ", "a b www | ");
    check("%{x}ci", "192.0.2.7");
}

#[test]
fn bad_request() {
    let log = LogRecord {
        status: 400,
        request: -1,
        queue: -1,
        connect: -1,
        response: -1,
        server_name: None,
        termination: *b"CR--",
        early: true,
        redispatched: true,
        ..LogRecord::default()
    };
    let mut mock = Mock { log, server: None, backend: None, ..Mock::default() };
    mock.request = None;
    let format = LogFormat::parse(
        "%r %HM %HU %s %b %Tq/%Tw/%Td/%Tt %hr|%bi %bp %B %rc %ID",
        Site::Log,
        &Scope::default(),
    );
    let mut out = Vec::new();
    format.unwrap().render_log(&mut mock, &mut out);
    let expected = "<BADREQ> <BADREQ> <BADREQ> <NOSRV> www -1/-1/+-1/+0 |- - +0 +0 -";
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn headers() {
    let check = |format: &str, expected: &[u8]| {
        let mut mock = Mock::default();
        if let Some(head) = mock.request.as_mut() {
            head.add(b"x-bin", b"a\tb\x01\x1f\x7f\x80%25");
            head.add(b"x-quote", b"c \"u\"]");
        }
        let mut out = Vec::new();
        LogFormat::parse(format, Site::HttpRequest, &Scope::default()).unwrap().render(&mut mock, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected), "{format}");
    };
    check("%[req.hdr(x-none)]|", b"|");
    check("a  b ", b"a  b ");
    check("%[req.hdr(x-bin)]", b"a\tb%01%1F%7F\x80%25");
    check("%{+Q}[req.hdr(x-quote)]", b"c \"u\"]");
    check("%{+E}[req.hdr(x-quote)]", b"c \\\"u\\\"\\]");
    check("%{+Q}f|%CC|%si|%{+Q}CC", b"\"www\"|||\"\"");
    check("%[bin(00414243)]%[bin(41)]", b"A");
    check("%HM %HU", b"GET /static/logo.png?a=1&b=two&a=3");
}

#[test]
fn builtin_formats_parse() {
    use super::builtin::{CLF, CONNECT, CONNECT_ERROR, HTTPLOG, TCPCLF, TCPLOG};
    for format in [CLF, CONNECT, CONNECT_ERROR, HTTPLOG, TCPCLF, TCPLOG] {
        assert!(LogFormat::parse(format, Site::Log, &Scope::default()).is_ok(), "{format}");
    }
}

#[test]
fn refusals() {
    let check = |format: &str, expected: &str| {
        let e = LogFormat::parse(format, Site::Log, &Scope::default()).unwrap_err();
        assert_eq!(e.message, expected);
    };
    check(
        "%zz",
        "no such format variable 'zz'. If you wanted to emit the '%' character verbatim, you need to use '%%'.",
    );
    check("%[src]%", "truncated line after '%'.");
    check("%[src", "missing ']' after 'src'");
    check("%[pth]", "failed to parse sample expression <pth> : unknown fetch method 'pth'");
    check("%{+Qci", "missing '}' after '+Qci'.");
    check("%{+json}o %ci", "log-format flag 'json' is not supported by weir yet");
}
