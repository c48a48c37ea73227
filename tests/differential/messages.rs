//! Framing, versions, connection headers, interim responses.

use crate::rig::{Row, compare};

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n";
const TRAILERS: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
const CLOSE: &str = "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nuntil close";
const OLD: &str = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
const OLD_KEEP: &str = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
const SAYS_CLOSE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
const SAYS_KEEP: &str =
    "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok";
const EARLY: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const NOT_MODIFIED: &str = "HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 10\r\n\r\n";

fn requests(row: Row) -> Row {
    row.get("/11")
        .get_with("/close", "Connection: close")
        .get_with("/keep", "Connection: keep-alive")
        .get_with("/mixed", "Connection: Keep-Alive, X-Foo|X-Foo: 1|Keep-Alive: timeout=3")
        .get_with("/pc", "Proxy-Connection: keep-alive")
        .send("GET /10 HTTP/1.0\r\n\r\n")
        .send("GET /10keep HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .send("HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n")
        .send("POST /cl HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        .send("POST /te HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;ext\r\n!\r\n0\r\n\r\n")
        .send("POST /trailer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: 1\r\n\r\n")
        .send("POST /empty HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
        .send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
        .send("GET http://abs.example/x HTTP/1.1\r\nHost: abs.example\r\n\r\n")
        .send("GET /lf HTTP/1.1\nHost: h\n\n")
        .send("\r\nGET /crlf-first HTTP/1.1\r\nHost: h\r\n\r\n")
        .send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .send("DELETE /d HTTP/1.1\r\nHost: h\r\n\r\n")
        .send("FOO /custom HTTP/1.1\r\nHost: h\r\nx:   spaced   \r\nempty:\r\n\r\n")
}

#[test]
fn answers() {
    let with = |name: &'static str, answer: &'static str| requests(Row::new(name)).answer(answer);
    compare(vec![
        requests(Row::new("content-length")),
        with("chunked", CHUNKED),
        with("trailers", TRAILERS),
        with("until close", CLOSE),
        with("HTTP/1.0", OLD),
        with("HTTP/1.0 keep-alive", OLD_KEEP),
        with("connection: close", SAYS_CLOSE),
        with("connection: keep-alive", SAYS_KEEP),
        with("103", EARLY),
        with("204", NO_CONTENT),
        with("304", NOT_MODIFIED),
        with("no reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
        with("no reason, no space", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
        with("odd status", "HTTP/1.1 799 What\r\nContent-Length: 2\r\n\r\nok"),
        with("names' case", "HTTP/1.1 200 OK\r\nX-MiXeD-Case: Keep\r\nCONTENT-LENGTH: 2\r\n\r\nok"),
        with("same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        with(
            "length and chunked",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        with("line feeds only", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok\r\n\r\n"),
    ]);
}

#[test]
fn connection_modes() {
    let with = |name: &'static str| requests(Row::new(name)).defaults(name);
    compare(vec![
        with("option http-keep-alive"),
        with("option http-server-close"),
        with("option httpclose"),
        with("option http-server-close\nhttp-reuse never"),
        with("http-reuse never"),
        with("http-reuse always"),
        with("http-reuse aggressive"),
        with("option http-buffer-request"),
        with("option http-pretend-keepalive\noption http-server-close"),
        with("option accept-invalid-http-request"),
        with("option http-use-proxy-header"),
        with("option prefer-last-server"),
        with("option abortonclose"),
        with("option nolinger"),
        with("option logasap"),
        with("no option http-keep-alive"),
        requests(Row::new("frontend httpclose")).front("option httpclose"),
        requests(Row::new("backend httpclose")).back("option httpclose"),
        requests(Row::new("frontend server-close")).front("option http-server-close"),
    ]);
}

#[test]
fn upgrades() {
    let ws = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let accept = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello";
    compare(vec![
        Row::new("accepted").answer(accept).send(ws),
        Row::new("refused").answer("HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n").send(ws),
        Row::new("ignored").send(ws),
        Row::new("without a key")
            .answer("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h9\r\n\r\nhi")
            .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h9\r\n\r\n"),
        Row::new("connect")
            .answer("HTTP/1.1 200 OK\r\n\r\ntunnel")
            .send("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"),
        Row::new("connect refused")
            .answer("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
            .send("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"),
    ]);
}
