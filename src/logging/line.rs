//! The built-in log lines, written by hand: what `option httplog`, `tcplog`, `httplog clf` and no option at all log.
//! The same bytes as the equivalent `log-format` strings of HAProxy's manual (8.2), without walking a format per line.

use super::date;
use crate::config::model::Mode;
use crate::expr::Facts;
use crate::expr::facts::LogRecord;
use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

/// `option httplog`: `%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r`
pub fn http(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let record = facts.log();
    client_address(facts, out);
    out.push(b':');
    client_port(facts, out);
    out.extend_from_slice(b" [");
    date::date_ms(request_date(facts), out);
    out.extend_from_slice(b"] ");
    names(facts, out);
    out.push(b' ');
    joined(&[record.request, record.queue, record.connect, record.response], b'/', out);
    out.push(b'/');
    not_final(record, out);
    int(record.active, out);
    out.push(b' ');
    int(i64::from(record.status), out);
    out.push(b' ');
    not_final(record, out);
    int(count(record.bytes_to_client), out);
    for cookie in [&record.request_cookie, &record.response_cookie] {
        out.push(b' ');
        out.extend_from_slice(cookie.as_deref().unwrap_or(b"-"));
    }
    out.push(b' ');
    out.extend_from_slice(&record.termination);
    out.push(b' ');
    counts(record, out);
    for captures in [&record.request_captures, &record.response_captures] {
        if !captures.is_empty() {
            out.push(b' ');
            braced(captures, out);
        }
    }
    out.push(b' ');
    request_line(record, out);
}

/// `option tcplog`: `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`
pub fn tcp(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let record = facts.log();
    client_address(facts, out);
    out.push(b':');
    client_port(facts, out);
    out.extend_from_slice(b" [");
    date::date_ms(accept_date(facts), out);
    out.extend_from_slice(b"] ");
    names(facts, out);
    out.push(b' ');
    joined(&[record.queue, record.connect], b'/', out);
    out.push(b'/');
    not_final(record, out);
    int(record.total, out);
    out.push(b' ');
    not_final(record, out);
    int(count(record.bytes_to_client), out);
    out.push(b' ');
    out.extend_from_slice(record.termination.get(..2).unwrap_or_default());
    out.push(b' ');
    counts(record, out);
}

/// `option httplog clf`: `%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc
/// %sc %rc %sq %bq %CC %CS %hrl %hsl`
pub fn clf(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let record = facts.log();
    client_address(facts, out);
    out.extend_from_slice(b" - - [");
    date::clf_date(request_date(facts), out);
    out.extend_from_slice(b"] ");
    request_line(record, out);
    out.push(b' ');
    int(i64::from(record.status), out);
    out.push(b' ');
    not_final(record, out);
    int(count(record.bytes_to_client), out);
    out.extend_from_slice(b" \"\" \"\" ");
    client_port(facts, out);
    out.push(b' ');
    let accepted = accept_date(facts).duration_since(UNIX_EPOCH).unwrap_or_default();
    date::digits(accepted.subsec_millis(), 3, out);
    let mark = secure_mark(facts);
    for (name, mark) in [(frontend_name(facts), mark), (backend_name(facts), ""), (server_name(facts), "")] {
        out.extend_from_slice(b" \"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(mark.as_bytes());
        out.push(b'"');
    }
    out.push(b' ');
    joined(&[record.request, record.queue, record.connect, record.response], b' ', out);
    out.push(b' ');
    not_final(record, out);
    int(record.active, out);
    out.push(b' ');
    out.extend_from_slice(&record.termination);
    out.push(b' ');
    joined(&connections(record), b' ', out);
    out.push(b' ');
    retries(record, out);
    out.push(b' ');
    joined(&[i64::from(record.server_queue), i64::from(record.backend_queue)], b' ', out);
    for cookie in [&record.request_cookie, &record.response_cookie] {
        out.extend_from_slice(b" \"");
        out.extend_from_slice(cookie.as_deref().unwrap_or_default());
        out.push(b'"');
    }
    // Each list writes nothing when nothing is captured, and HAProxy writes one space for a run of them.
    out.push(b' ');
    for captures in [&record.request_captures, &record.response_captures] {
        for (i, value) in captures.iter().enumerate() {
            if i > 0 || out.last() != Some(&b' ') {
                out.push(b' ');
            }
            out.push(b'"');
            escape(value.as_deref().unwrap_or_default(), is_header_special, out);
            out.push(b'"');
        }
    }
}

/// No option: `Connect from 127.0.0.1:1234 to 127.0.0.1:80 (name/HTTP)`, logged when the request or connection is taken.
pub fn connect(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let conn = facts.conn();
    match (conn.src, conn.dst) {
        (Some(src), Some(dst)) => {
            out.extend_from_slice(b"Connect from ");
            endpoint(src, out);
            out.extend_from_slice(b" to ");
            endpoint(dst, out);
        }
        _ => {
            out.extend_from_slice(b"Connect to unix:");
            int(i64::from(conn.listener_id), out);
        }
    }
    out.extend_from_slice(b" (");
    out.extend_from_slice(frontend_name(facts).as_bytes());
    out.extend_from_slice(match facts.frontend().map(|f| f.mode) {
        Some(Mode::Http) => b"/HTTP)",
        _ => b"/TCP)",
    });
}

fn request_date(facts: &dyn Facts) -> SystemTime {
    facts.log().request_date.unwrap_or_else(|| accept_date(facts))
}

fn accept_date(facts: &dyn Facts) -> SystemTime {
    facts.log().accept_date.unwrap_or(facts.conn().accepted)
}

/// `%ci`
fn client_address(facts: &dyn Facts, out: &mut Vec<u8>) {
    match facts.conn().src {
        Some(src) => address(src.ip(), out),
        None => out.extend_from_slice(b"unix"),
    }
}

/// `%cp`: the listener's id on a unix socket.
fn client_port(facts: &dyn Facts, out: &mut Vec<u8>) {
    let conn = facts.conn();
    int(conn.src.map_or(i64::from(conn.listener_id), |src| i64::from(src.port())), out);
}

fn endpoint(at: SocketAddr, out: &mut Vec<u8>) {
    address(at.ip(), out);
    out.push(b':');
    int(i64::from(at.port()), out);
}

/// An IPv4 client of a `v4v6` socket stays `::ffff:127.0.0.1`, as HAProxy writes it.
fn address(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                int(i64::from(octet), out);
            }
        }
        IpAddr::V6(v6) => {
            use std::io::Write;
            // Writing to memory does not fail.
            let _ = write!(out, "{v6}");
        }
    }
}

fn frontend_name(facts: &dyn Facts) -> &str {
    facts.frontend().map_or("", |f| &f.name)
}

/// `%b`: the frontend itself until a backend is chosen.
fn backend_name(facts: &dyn Facts) -> &str {
    facts.backend().map_or_else(|| frontend_name(facts), |b| &b.name)
}

/// `%ft` shows clients that speak TLS.
fn secure_mark(facts: &dyn Facts) -> &'static str {
    if facts.conn().tls.is_some() { "~" } else { "" }
}

fn server_name(facts: &dyn Facts) -> &str {
    facts.log().server_name.as_deref().unwrap_or("<NOSRV>")
}

/// `%ft %b/%s`
fn names(facts: &dyn Facts, out: &mut Vec<u8>) {
    out.extend_from_slice(frontend_name(facts).as_bytes());
    out.extend_from_slice(secure_mark(facts).as_bytes());
    out.push(b' ');
    out.extend_from_slice(backend_name(facts).as_bytes());
    out.push(b'/');
    out.extend_from_slice(server_name(facts).as_bytes());
}

/// The `+` of `option logasap`.
fn not_final(record: &LogRecord, out: &mut Vec<u8>) {
    if record.early {
        out.push(b'+');
    }
}

fn connections(record: &LogRecord) -> [i64; 4] {
    [record.process_conns, record.frontend_conns, record.backend_conns, record.server_conns].map(i64::from)
}

/// `%ac/%fc/%bc/%sc/%rc %sq/%bq`
fn counts(record: &LogRecord, out: &mut Vec<u8>) {
    joined(&connections(record), b'/', out);
    out.push(b'/');
    retries(record, out);
    out.push(b' ');
    joined(&[i64::from(record.server_queue), i64::from(record.backend_queue)], b'/', out);
}

fn retries(record: &LogRecord, out: &mut Vec<u8>) {
    if record.redispatched {
        out.push(b'+');
    }
    int(i64::from(record.retries), out);
}

/// `{a|b}`
fn braced(captures: &[Option<Vec<u8>>], out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, value) in captures.iter().enumerate() {
        if i > 0 {
            out.push(b'|');
        }
        escape(value.as_deref().unwrap_or_default(), is_header_special, out);
    }
    out.push(b'}');
}

/// `%{+Q}r`
fn request_line(record: &LogRecord, out: &mut Vec<u8>) {
    out.push(b'"');
    if record.request_line.is_empty() {
        out.extend_from_slice(b"<BADREQ>");
    } else {
        escape(&record.request_line, is_line_special, out);
    }
    out.push(b'"');
}

/// What HAProxy writes as `#XX` in captured headers, where braces and bars delimit.
fn is_header_special(byte: u8) -> bool {
    matches!(byte, b'{' | b'|' | b'}') || is_line_special(byte)
}

/// The same in a request line.
fn is_line_special(byte: u8) -> bool {
    !(0x20..0x7f).contains(&byte) || matches!(byte, b'"' | b'#')
}

fn escape(text: &[u8], special: fn(u8) -> bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| special(b)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, after)) = tail.split_first() else { break };
        out.extend_from_slice(&[b'#', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        rest = after;
    }
    out.extend_from_slice(rest);
}

fn count(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn joined(values: &[i64], separator: u8, out: &mut Vec<u8>) {
    for (i, &value) in values.iter().enumerate() {
        if i > 0 {
            out.push(separator);
        }
        int(value, out);
    }
}

fn int(value: i64, out: &mut Vec<u8>) {
    // Nearly every number of a line is one digit or -1.
    if let 0..=9 = value {
        out.push(b'0' + value as u8);
        return;
    }
    if value < 0 {
        out.push(b'-');
    }
    let mut text = [0u8; 20];
    let mut at = text.len();
    let mut rest = value.unsigned_abs();
    while rest > 0 && at > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text[at..]);
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
