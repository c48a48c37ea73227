//! Log lines: built-in formats, every variable, options.

use crate::rig::{Row, compare};

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nSet-Cookie: sid=new\r\nContent-Length: 5\r\n\r\nhello";

fn visits(row: Row) -> Row {
    row.answer(ANSWER)
        .get("/")
        .get_with("/a?b=c&d", "Cookie: sid=abc; x=y|X-H: quoted \"v\"|User-Agent: u/1")
        .send("POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
        .get("/deny")
        .get("/gone")
        .send("GET / HTTP/1.0\r\n\r\n")
        .send("BAD REQUEST\r\n\r\n")
        .send("")
}

const RULES: &str = "http-request deny if { path /deny }\nhttp-request redirect location / if { path /gone }\ncapture request header Host len 10\ncapture request header X-H len 20\ncapture response header content-type len 20\ncapture cookie sid len 10\n";

fn format(format: &'static str) -> Row {
    visits(Row::new(format)).front(&format!("{RULES}log-format \"{format}\""))
}

fn options(lines: &'static str) -> Row {
    visits(Row::new(lines)).front(&format!("{RULES}{lines}"))
}

#[test]
fn variables() {
    compare(
        [
            "%ci:%cp", "%fi %fp", "%bi", "%si %sp", "%f %ft", "%b", "%s", "%B", "%U", "%ST", "%tsc", "%ts", "%ac/%fc/%bc/%sc/%rc",
            "%sq/%bq", "%CC|%CS", "%hr|%hs", "%hrl|%hsl", "%r", "%{+Q}r", "%HM", "%HU", "%HP", "%HPO", "%HQ", "%HV", "%lc", "%rt", "%pid",
            "%rc", "%sslc|%sslv", "%{+X}rc", "%{+X}Ts", "%H", "%[method]",
            "%[capture.req.hdr(0)]|%[capture.req.hdr(1)]", "%[capture.res.hdr(0)]", "%{+Q}hr", "%{+E}[capture.req.hdr(1)]", "%{+Q}o %r %ST %b",
            "literal %% percent", "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r",
            "%{+Q}HU|%{-Q}HU", "%[src] %[dst_port]", "%ID", "%[unique-id]",
        ]
        .iter()
        .filter(|name| !["%pid", "%rt", "%lc", "%{+X}Ts"].contains(name))
        .map(|name| format(name))
        .collect(),
    );
}

#[test]
fn formats() {
    compare(vec![
        options("option httplog"),
        options("option httplog clf"),
        options("option tcplog"),
        options("option dontlognull"),
        options("option dontlog-normal"),
        options("option log-separate-errors"),
        options("option logasap\noption httplog"),
        options("unique-id-format %{+X}o\\ %f-%ci\nlog-format %ID"),
        options("unique-id-format %ci:%f\nlog-format \"%ID %r\""),
        options("http-request set-log-level silent if { path / }"),
        options("http-request capture req.hdr(user-agent) len 8\noption httplog"),
        options("error-log-format \"error %ST %ci\""),
        options("log-tag other"),
        options("http-request set-var(txn.x) str(y)\nlog-format \"%[var(txn.x)] %ST\""),
    ]);
}
