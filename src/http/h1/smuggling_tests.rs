//! Requests that could mean one thing to us and another to a server, and their cousins that are fine.

use super::*;
use crate::message::{Head, Method};

const LIMITS: Limits = Limits { head: 15360, fields: 101, relaxed: false };
const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\n";

/// What becomes of a request head: the forwarded bytes and its body, or the fault.
fn judge(raw: &[u8], limits: &Limits) -> Result<(String, BodyLength, bool), Fault> {
    let mut head = Head::new();
    match parse_request(raw, limits, &mut head) {
        Parsed::Complete { framing, .. } => {
            let mut out = Vec::new();
            write::request(&head, write::Persistence::KeepAlive, None, &mut out);
            Ok((String::from_utf8_lossy(&out).into_owned(), framing.length, framing.keep_alive))
        }
        Parsed::Partial => panic!("partial: {:?}", String::from_utf8_lossy(raw)),
        Parsed::Refused(fault) => Err(fault),
    }
}

fn refused(raw: impl AsRef<[u8]>, fault: Fault) {
    let raw = raw.as_ref();
    assert_eq!(judge(raw, &LIMITS).map(|r| r.0), Err(fault), "{:?}", String::from_utf8_lossy(raw));
}

fn forwarded(raw: impl AsRef<[u8]>, out: &str, length: BodyLength) {
    let raw = raw.as_ref();
    let got = judge(raw, &LIMITS).map(|(text, length, _)| (text, length));
    assert_eq!(got, Ok((out.to_owned(), length)), "{:?}", String::from_utf8_lossy(raw));
}

#[test]
fn ambiguous_lengths_are_refused() {
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 3 3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: a\0b\r\n",
        " X: a\r\n",
        ": a\r\n",
    ] {
        refused(format!("{POST}{fields}\r\n"), Fault::Bad);
    }
    refused(format!("{POST}Transfer-Encoding: gzip, chunked\r\n\r\n"), Fault::Unprocessable);
}

#[test]
fn targets_and_hosts_are_checked() {
    for raw in [
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x\r\n\r\n",
        "GET /x HTTP/1.1 \r\nHost: a\r\n\r\n",
        "G@T /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET http://foo/x HTTP/1.1\r\nHost: bar\r\n\r\n",
        "CONNECT foo:443 HTTP/1.1\r\nHost: bar:443\r\n\r\n",
    ] {
        refused(raw, Fault::Bad);
    }
    forwarded(
        "GET http://foo:80/x HTTP/1.1\r\nHost: foo\r\n\r\n",
        "GET http://foo/x HTTP/1.1\r\nhost: foo\r\n\r\n",
        BodyLength::None,
    );
    forwarded(
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        BodyLength::None,
    );
}

#[test]
fn a_tunnel_keeps_its_target_and_loses_the_default_port_of_its_host() {
    forwarded(
        "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
        "CONNECT h:443 HTTP/1.1\r\nhost: h\r\n\r\n",
        BodyLength::None,
    );
    forwarded(
        "CONNECT h:8 HTTP/1.1\r\nHost: h:8\r\n\r\n",
        "CONNECT h:8 HTTP/1.1\r\nhost: h:8\r\n\r\n",
        BodyLength::None,
    );
    refused("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n", Fault::Bad);
}

#[test]
fn heads_have_limits() {
    refused(format!("{GET}X: {}\r\n\r\n", "a".repeat(15500)), Fault::TooLarge);
    refused(format!("{GET}{}\r\n", "X: a\r\n".repeat(101)), Fault::TooLarge);
    assert!(judge(format!("{GET}{}\r\n", "X: a\r\n".repeat(100)).as_bytes(), &LIMITS).is_ok());
}

#[test]
fn what_is_fine_goes_on_as_haproxy_sends_it() {
    forwarded(
        format!("{GET}User-Agent:  Foo \r\n\r\n"),
        "GET /x HTTP/1.1\r\nhost: a\r\nuser-agent: Foo\r\n\r\n",
        BodyLength::None,
    );
    forwarded(
        "\r\n\r\nGET  /x   HTTP/1.1\nHost: a\n\n",
        "GET /x HTTP/1.1\r\nhost: a\r\n\r\n",
        BodyLength::None,
    );
    forwarded(
        "GET /x HTTP/1.0\r\n\r\n",
        "GET /x HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        BodyLength::None,
    );
    forwarded(
        format!("{GET}Connection: keep-alive, foo\r\n\r\n"),
        "GET /x HTTP/1.1\r\nhost: a\r\nconnection: foo\r\n\r\n",
        BodyLength::None,
    );
    forwarded(
        format!("{GET}Connection: close\r\n\r\n"),
        "GET /x HTTP/1.1\r\nhost: a\r\n\r\n",
        BodyLength::None,
    );
    forwarded(
        format!("{POST}Content-Length: 3\r\n\r\nabc"),
        "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n",
        BodyLength::Known(3),
    );
    forwarded(
        format!("{POST}Transfer-Encoding: Chunked\r\n\r\n"),
        "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n",
        BodyLength::Chunked,
    );
}

#[test]
fn relaxed_parsing_takes_what_haproxy_takes() {
    let relaxed = Limits { relaxed: true, ..LIMITS };
    let both =
        judge(format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n").as_bytes(), &relaxed);
    let text = "POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(both, Ok((text.to_owned(), BodyLength::Chunked, false)));
    let same = judge(format!("{POST}Content-Length: 3, 3\r\nContent-Length: 3\r\n\r\n").as_bytes(), &relaxed);
    let text = "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n";
    assert_eq!(same, Ok((text.to_owned(), BodyLength::Known(3), true)));
}

/// (head, method) -> (length, keep-alive, fields as sent)
fn response(raw: &str, method: Method) -> Result<(BodyLength, bool, String), Fault> {
    let mut head = Head::new();
    match parse_response(raw.as_bytes(), &LIMITS, method, &mut head) {
        Parsed::Complete { framing, .. } => {
            let mut out = Vec::new();
            head.write_fields(&mut out);
            Ok((framing.length, framing.keep_alive, String::from_utf8_lossy(&out).into_owned()))
        }
        Parsed::Partial => panic!("partial: {raw:?}"),
        Parsed::Refused(fault) => Err(fault),
    }
}

#[test]
fn responses_end_where_the_rfc_says() {
    let check = |raw: &str, method, length, keep_alive, fields: &str| {
        assert_eq!(response(raw, method), Ok((length, keep_alive, fields.to_owned())), "{raw:?}");
    };
    let get = Method::Get;
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        get,
        BodyLength::Known(2),
        true,
        "content-length: 2\r\n",
    );
    check(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        Method::Head,
        BodyLength::None,
        true,
        "content-length: 2\r\n",
    );
    check("HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", get, BodyLength::None, true, "");
    check(
        "HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n",
        get,
        BodyLength::None,
        true,
        "content-length: 2\r\n",
    );
    check("HTTP/1.1 200 OK\r\nX: y\r\n\r\n", get, BodyLength::UntilClose, false, "x: y\r\n");
    check(
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
        get,
        BodyLength::Known(2),
        false,
        "content-length: 2\r\n",
    );
    check(
        "HTTP/1.1 200\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
        get,
        BodyLength::Known(2),
        false,
        "content-length: 2\r\n",
    );
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
        get,
        BodyLength::Chunked,
        false,
        "transfer-encoding: chunked\r\n",
    );
    check(
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        get,
        BodyLength::None,
        true,
        "x: a   b\r\ncontent-length: 0\r\n",
    );
    for bad in [
        "HTXX\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    ] {
        assert_eq!(response(bad, get).map(|r| r.0), Err(Fault::Bad), "{bad:?}");
    }
}
