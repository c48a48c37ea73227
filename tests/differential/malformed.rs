//! Requests and responses that servers read differently from each other: both proxies must take the same side.

use crate::rig::{Row, compare};

#[test]
fn requests() {
    let table: &[(&str, &str)] = &[
        ("two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        (
            "same length twice",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        ),
        ("length list, same", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\nabc"),
        ("length list", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 4\r\n\r\nabc"),
        ("plus length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc"),
        ("negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\nabc"),
        ("hex length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\nabc"),
        ("empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n"),
        ("huge length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\nabc"),
        ("length with spaces", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:   3  \r\n\r\nabc"),
        ("zeros before length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0003\r\n\r\nabc"),
        (
            "length and chunked",
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunked and length",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "chunked twice",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "gzip then chunked",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked then gzip",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        ),
        ("identity", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n"),
        ("xchunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        ("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "two encodings",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("empty encoding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \r\n\r\n"),
        ("tab before chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n"),
        ("quoted chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
        ("space before colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
        ("tab before colon", "GET / HTTP/1.1\r\nHost\t: h\r\n\r\n"),
        ("space before name", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
        ("folded header", "GET / HTTP/1.1\r\nHost: h\r\nX-A: one\r\n two\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nHost: h\r\nnothing\r\n\r\n"),
        ("empty name", "GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n"),
        ("odd name", "GET / HTTP/1.1\r\nHost: h\r\nX@Y: v\r\n\r\n"),
        ("name with a slash", "GET / HTTP/1.1\r\nHost: h\r\nX/Y: v\r\n\r\n"),
        ("underscore in name", "GET / HTTP/1.1\r\nHost: h\r\nX_Y: v\r\n\r\n"),
        ("high byte in name", "GET / HTTP/1.1\r\nHost: h\r\nX\u{e9}: v\r\n\r\n"),
        ("high byte in value", "GET / HTTP/1.1\r\nHost: h\r\nX: \u{e9}\r\n\r\n"),
        ("control byte in value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\u{1}b\r\n\r\n"),
        ("tab in value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\tb\r\n\r\n"),
        ("bare CR in value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n"),
        ("CR CR LF", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("authority differs", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"),
        ("authority with port", "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("authority without host", "GET http://a/x HTTP/1.1\r\n\r\n"),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("tab between", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("space at end", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n"),
        ("control byte in target", "GET /\u{1} HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("high byte in target", "GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("fragment", "GET /a#frag HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("odd target bytes", "GET /a\"<>^`{|}\\ HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("target without slash", "GET abc HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("method of odd bytes", "GE(T / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("lower case method", "get / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("HTTP/0.9", "GET /\r\n\r\n"),
        ("HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n"),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
        ("http/1.1 in lower case", "GET / http/1.1\r\nHost: h\r\n\r\n"),
        ("HTTP/1.10", "GET / HTTP/1.10\r\nHost: h\r\n\r\n"),
        ("HTTP/01.1", "GET / HTTP/01.1\r\nHost: h\r\n\r\n"),
        ("other protocol", "GET / RTSP/1.0\r\nHost: h\r\n\r\n"),
        ("tls hello", "\u{16}\u{3}\u{1}\0\u{5}hello\r\n\r\n"),
        ("only line feeds", "\n\n\nGET / HTTP/1.1\nHost: h\n\n"),
        ("missing last CRLF, then close", "GET / HTTP/1.1\r\nHost: h\r\n"),
        (
            "chunk size not hex",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "length in GET",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
        ),
        ("upgrade in HTTP/1.0", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h9\r\n\r\n"),
        (
            "connection hides a header",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Secret, close\r\nX-Secret: 1\r\n\r\n",
        ),
        ("TE header", "GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n\r\n"),
        (
            "http2-settings",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        ),
        ("expect unknown", "GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n"),
        (
            "websocket",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ),
        (
            "websocket without key",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            "websocket, empty key",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key:\r\n\r\n",
        ),
        (
            "websocket, short key",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n",
        ),
        (
            "websocket key twice",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        ),
        ("websocket without connection", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"),
        (
            "websocket among others",
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h9, WebSocket\r\n\r\n",
        ),
        ("connect without authority", "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ];
    let mut rows: Vec<Row> = table.iter().map(|(name, bytes)| Row::new(name).send(bytes)).collect();
    let lenient = [
        "space before colon",
        "high byte in name",
        "control byte in value",
        "high byte in target",
        "odd target bytes",
        "two lengths",
        "odd name",
        "HTTP/0.9",
        "HTTP/1.2",
    ];
    rows.extend(
        table
            .iter()
            .filter(|(name, _)| lenient.contains(name))
            .map(|(name, bytes)| Row::new(name).front("option accept-invalid-http-request").send(bytes)),
    );
    compare(rows);
}

#[test]
fn many_fields() {
    let rows = [100, 101, 256, 300, 301].map(|count| {
        let fields: String = (1..count).map(|n| format!("X-{n}: v\r\n")).collect();
        let name: &'static str = format!("{count} fields").leak();
        Row::new(name)
            .more("global\n    tune.http.maxhdr 301")
            .send(&format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
    });
    compare(rows.to_vec());
}

#[test]
fn websocket_answers() {
    let table: &[(&'static str, &'static str)] = &[
        (
            "accepted",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        ),
        (
            "no accept field",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        ),
        (
            "wrong accept field",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: abc\r\n\r\n",
        ),
        ("not accepted", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "200 with an upgrade",
            "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok",
        ),
    ];
    compare(
        table
            .iter()
            .map(|(name, answer)| {
                Row::new(name)
                    .defaults("retries 0\ntimeout server 500ms\ntimeout tunnel 500ms")
                    .answer(answer)
                    .get_with(
                        "/",
                        "Connection: Upgrade|Upgrade: websocket|Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                    )
            })
            .collect(),
    );
}

#[test]
fn buffered_chunks() {
    let table: &[(&str, &str)] = &[
        ("good", "3\r\nabc\r\n0\r\n\r\n"),
        ("upper case hex", "A\r\n0123456789\r\n0\r\n\r\n"),
        ("leading zeros", "0003\r\nabc\r\n000\r\n\r\n"),
        ("extension", "3;a=b;c=\"d e\"\r\nabc\r\n0;last\r\n\r\n"),
        ("space after size", "3 \r\nabc\r\n0\r\n\r\n"),
        ("space before size", " 3\r\nabc\r\n0\r\n\r\n"),
        ("0x", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("sign", "+3\r\nabc\r\n0\r\n\r\n"),
        ("not hex", "g\r\nabc\r\n0\r\n\r\n"),
        ("empty size", "\r\nabc\r\n0\r\n\r\n"),
        ("line feed after size", "3\nabc\r\n0\r\n\r\n"),
        ("line feed after data", "3\r\nabc\n0\r\n\r\n"),
        ("data too long", "3\r\nabcd\r\n0\r\n\r\n"),
        ("overflow", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("negative by overflow", "ffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
        ("bad trailer", "3\r\nabc\r\n0\r\nbad trailer\r\n\r\n"),
        ("trailer", "3\r\nabc\r\n0\r\nX-T: v\r\n\r\n"),
        ("length in a trailer", "3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"),
        ("line feed ends trailers", "3\r\nabc\r\n0\r\n\n"),
        ("CR in extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ];
    let rows = table.iter().map(|(name, body)| {
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        Row::new(name).defaults("option http-buffer-request\ntimeout http-request 500ms").send(&request)
    });
    compare(rows.collect());
}

#[test]
fn responses() {
    let table: &[(&'static str, &'static str)] = &[
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
        ("bad length", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc"),
        ("space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
        ("space in name", "HTTP/1.1 200 OK\r\nBad Name: 2\r\n\r\nok"),
        ("no colon", "HTTP/1.1 200 OK\r\nnothing\r\n\r\nok"),
        ("status of two digits", "HTTP/1.1 99 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("status of letters", "HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
        ("version 2", "HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("other protocol", "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("folded", "HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok"),
        ("control byte in value", "HTTP/1.1 200 OK\r\nX-A: a\u{1}b\r\nContent-Length: 2\r\n\r\nok"),
        ("xchunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nok"),
        ("bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n"),
        ("unasked 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ("empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ];
    compare(
        table
            .iter()
            .map(|(name, answer)| {
                Row::new(name).defaults("retries 0\ntimeout server 500ms").answer(answer).get("/")
            })
            .collect(),
    );
}
