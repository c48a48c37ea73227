//! The table of log variables.

use super::date::{self, Zone};
use super::writer::{Encode, Writer};
use crate::config::model::Mode;
use crate::expr::Facts;
use crate::expr::facts::LogRecord;
use crate::expr::fetch::request::path_of;
use std::time::SystemTime;

/// One `%name`.
#[derive(Debug)]
pub(crate) struct Variable {
    pub name: &'static str,
    pub doc: &'static str,
    pub write: Write,
}

/// How a variable is written. Most only read the log record.
#[derive(Debug)]
pub(crate) enum Write {
    Number(fn(&LogRecord) -> i64),
    /// Shown in hexadecimal under `+X`.
    HexNumber(fn(&LogRecord) -> i64),
    /// `+` in front while the count still grows.
    Running(fn(&LogRecord) -> i64),
    Other(fn(&mut Writer<'_>, &mut dyn Facts)),
}

const fn var(name: &'static str, write: Write, doc: &'static str) -> Variable {
    Variable { name, doc, write }
}

use Write::{HexNumber, Number, Other, Running};

#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    var("B", Running(|l| signed(l.bytes_to_client)), "bytes sent to the client"),
    var("CC", Other(|w, f| optional(w, f.log().request_cookie.as_deref())), "captured request cookie"),
    var("CS", Other(|w, f| optional(w, f.log().response_cookie.as_deref())), "captured response cookie"),
    var("H", Other(|w, f| w.text(f.process().hostname.as_bytes())), "host name"),
    var("HM", Other(|w, f| request_part(w, f, |l| Some(l.method))), "HTTP method"),
    var("HP", Other(|w, f| request_part(w, f, |l| l.uri.split(|b| *b == b'?').next())), "HTTP request URI without query string"),
    var("HPO", Other(|w, f| request_part(w, f, |l| path_of(l.uri))), "HTTP path only"),
    var("HQ", Other(|w, f| request_part(w, f, |l| l.uri.get(memchr::memchr(b'?', l.uri)?..))), "HTTP query string with its `?`"),
    var("HU", Other(|w, f| request_part(w, f, |l| Some(l.uri))), "HTTP request URI"),
    var("HV", Other(|w, f| request_part(w, f, |l| Some(l.version))), "HTTP version"),
    var("ID", Other(|w, f| { let id = f.unique_id(); optional(w, id.as_deref()); }), "unique id, made on first use"),
    var("ST", Number(|l| l.status.into()), "status code"),
    var("T", Other(|w, f| date::with_zone(accepted(f), Zone::Utc, w.out)), "accept date, GMT"),
    var("Ta", Running(|l| l.active), "active time of the request"),
    var("Tc", Number(|l| l.connect), "time to connect to the server"),
    var("Td", Other(|w, f| data_time(w, f)), "data transfer time"),
    var("Th", Number(|l| l.handshake), "connection handshake time"),
    var("Ti", Number(|l| l.idle), "idle time before the request"),
    var("Tl", Other(|w, f| date::with_zone(accepted(f), Zone::Local, w.out)), "accept date, local"),
    var("Tq", Number(|l| if l.request < 0 { -1 } else { l.handshake + l.idle + l.request }), "Th + Ti + TR"),
    var("TR", Number(|l| l.request), "time to receive the request"),
    var("Tr", Number(|l| l.response), "server's response time"),
    var("Ts", Other(|w, f| { let n = date::split(accepted(f)).0; w.int_or_hex(n); }), "accept date as a Unix time"),
    var("Tt", Running(|l| l.total), "total time since the accept"),
    var("Tu", Running(|l| l.user), "total time as the user sees it"),
    var("Tw", Number(|l| l.queue), "time in queues"),
    var("U", Number(|l| signed(l.bytes_from_client)), "bytes received from the client"),
    var("ac", Number(|l| l.process_conns.into()), "connections on the process"),
    var("b", Other(backend_name), "backend name"),
    var("bc", Number(|l| l.backend_conns.into()), "connections on the backend"),
    var("bi", Other(|w, f| w.address(f.log().backend_src)), "source address of the connection to the server"),
    var("bp", Other(|w, f| w.port(f.log().backend_src)), "source port of the connection to the server"),
    var("bq", Number(|l| l.backend_queue.into()), "requests ahead in the backend's queue"),
    var("ci", Other(client_ip), "client address"),
    var("cp", Other(client_port), "client port"),
    var("f", Other(|w, f| frontend_name(w, f)), "frontend name"),
    var("fc", Number(|l| l.frontend_conns.into()), "connections on the frontend"),
    var("fi", Other(|w, f| { let a = f.conn().dst; w.address(a); }), "address the client connected to"),
    var("fp", Other(|w, f| { let a = f.conn().dst; w.port(a); }), "port the client connected to"),
    var("ft", Other(transport), "frontend name, with `~` for TLS"),
    var("hr", Other(|w, f| braces(w, &f.log().request_captures)), "captured request headers"),
    var("hrl", Other(|w, f| list(w, &f.log().request_captures)), "captured request headers, CLF style"),
    var("hs", Other(|w, f| braces(w, &f.log().response_captures)), "captured response headers"),
    var("hsl", Other(|w, f| list(w, &f.log().response_captures)), "captured response headers, CLF style"),
    var("lc", HexNumber(|l| signed(l.log_counter)), "frontend log counter"),
    var("ms", Other(millis), "accept date milliseconds"),
    var("pid", Other(|w, f| { let n = f.process().pid.into(); w.int_or_hex(n); }), "process id"),
    var("r", Other(request_line), "HTTP request line"),
    var("rc", Other(retries), "retries, with `+` after a redispatch"),
    var("rt", HexNumber(|l| signed(l.request_counter)), "request counter"),
    var("s", Other(server_name), "server name"),
    var("sc", Number(|l| l.server_conns.into()), "connections on the server"),
    var("si", Other(|w, f| w.address(f.log().backend_dst)), "server address"),
    var("sp", Other(|w, f| w.port(f.log().backend_dst)), "server port"),
    var("sq", Number(|l| l.server_queue.into()), "requests ahead in the server's queue"),
    var("sslc", Other(|w, f| tls_text(w, f, |tls| tls.agreed.cipher.map(|(name, _)| name))), "TLS cipher"),
    var("sslv", Other(|w, f| tls_text(w, f, |tls| tls.agreed.version)), "TLS version"),
    var("t", Other(|w, f| date::with_millis(accepted(f), w.out)), "accept date with milliseconds"),
    var("tr", Other(|w, f| date::with_millis(requested(f), w.out)), "date of the request with milliseconds"),
    var("trg", Other(|w, f| date::with_zone(requested(f), Zone::Utc, w.out)), "date of the request, GMT"),
    var("trl", Other(|w, f| date::with_zone(requested(f), Zone::Local, w.out)), "date of the request, local"),
    var("ts", Other(|w, f| w.out.extend_from_slice(f.log().termination.get(..2).unwrap_or_default())), "termination state"),
    var("tsc", Other(|w, f| w.out.extend_from_slice(&f.log().termination)), "termination state with cookie status"),
];

pub(crate) fn by_name(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|v| v.name == name)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn accepted(facts: &dyn Facts) -> SystemTime {
    facts.log().accept_date.unwrap_or(facts.conn().accepted)
}

fn requested(facts: &dyn Facts) -> SystemTime {
    facts.log().request_date.unwrap_or_else(|| accepted(facts))
}

fn optional(w: &mut Writer<'_>, text: Option<&[u8]>) {
    match text {
        Some(text) => w.text(text),
        None => w.missing(),
    }
}

fn client_ip(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    match facts.conn().src {
        Some(_) => w.address(facts.conn().src),
        None => w.text(b"unix"),
    }
}

fn client_port(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    match facts.conn().src {
        Some(_) => w.port(facts.conn().src),
        // HAProxy shows the listener in place of a unix client's port.
        None => w.int(facts.conn().listener_id.into()),
    }
}

fn frontend_name(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    optional(w, facts.frontend().map(|p| p.name.as_bytes()));
}

/// The frontend, and `~` where its client speaks TLS.
fn transport(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    let secure = facts.conn().tls.is_some();
    match facts.frontend() {
        Some(front) if secure => w.text(format!("{}~", front.name).as_bytes()),
        _ => frontend_name(w, facts),
    }
}

fn backend_name(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    optional(w, facts.backend().or(facts.frontend()).map(|p| p.name.as_bytes()));
}

fn server_name(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    let name = facts.log().server_name.as_deref().or(facts.server_name()).unwrap_or("<NOSRV>");
    w.text(name.as_bytes());
}

fn tls_text(
    w: &mut Writer<'_>,
    facts: &mut dyn Facts,
    read: fn(&crate::tls::Handshake) -> Option<&'static str>,
) {
    optional(w, facts.conn().tls.as_deref().and_then(read).map(str::as_bytes));
}

fn millis(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    let (_, millis) = date::split(accepted(facts));
    if w.flags.hex {
        w.out.extend_from_slice(format!("{millis:02X}").as_bytes());
    } else {
        date::three_digits(millis, w.out);
    }
}

/// From the response's head to the end; on a TCP proxy from the connection to the server.
fn data_time(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    let log = facts.log();
    let tcp = facts.frontend().is_some_and(|p| p.mode == Mode::Tcp);
    let known = |n: i64| n.max(0);
    let time = match tcp {
        true if log.connect >= 0 => {
            log.total - known(log.handshake) - known(log.idle) - known(log.queue) - known(log.connect)
        }
        false if log.response >= 0 => {
            log.active - known(log.request) - known(log.queue) - known(log.connect) - log.response
        }
        _ => -1,
    };
    let early = log.early;
    w.running(time.max(-1), early);
}

fn retries(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    let log = facts.log();
    if log.redispatched {
        w.out.push(b'+');
    }
    w.int(log.retries.into());
}

/// The three words of a request line.
struct Line<'a> {
    method: &'a [u8],
    uri: &'a [u8],
    version: &'a [u8],
}

impl<'a> Line<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        let first = memchr::memchr(b' ', text)?;
        let last = memchr::memrchr(b' ', text).filter(|l| *l > first);
        Some(Self {
            method: text.get(..first)?,
            uri: text.get(first + 1..last.unwrap_or(text.len()))?,
            version: last.and_then(|l| text.get(l + 1..)).unwrap_or(b"HTTP/0.9"),
        })
    }
}

/// The line as received, or as it stands now where none was kept.
fn with_line<R>(facts: &dyn Facts, see: impl FnOnce(&[u8]) -> R) -> R {
    let kept = &facts.log().request_line;
    match facts.request() {
        Some(head) if kept.is_empty() && !head.method_bytes().is_empty() => {
            let v = head.version();
            let version = format!("HTTP/{}.{}", v.major, v.minor);
            see(&[head.method_bytes(), b" ", head.target(), b" ", version.as_bytes()].concat())
        }
        _ => see(kept),
    }
}

const BAD_REQUEST: &[u8] = b"<BADREQ>";

fn request_line(w: &mut Writer<'_>, facts: &mut dyn Facts) {
    with_line(facts, |line| match line {
        [] => w.text(BAD_REQUEST),
        line => w.encoded(line, Encode::Uri),
    });
}

fn request_part(w: &mut Writer<'_>, facts: &mut dyn Facts, part: for<'a> fn(&Line<'a>) -> Option<&'a [u8]>) {
    with_line(facts, |text| match Line::of(text) {
        None => w.text(BAD_REQUEST),
        Some(line) => w.encoded_or_nothing(part(&line).unwrap_or_default(), Encode::Uri),
    });
}

/// `{a|b|}`; nothing where no header is captured.
fn braces(w: &mut Writer<'_>, captures: &[Option<Vec<u8>>]) {
    if captures.is_empty() {
        return;
    }
    if w.flags.quote {
        w.out.push(b'"');
    }
    w.out.push(b'{');
    for (i, capture) in captures.iter().enumerate() {
        if i > 0 {
            w.out.push(b'|');
        }
        w.raw(capture.as_deref().unwrap_or_default(), Encode::Header);
    }
    w.out.push(b'}');
    if w.flags.quote {
        w.out.push(b'"');
    }
}

fn list(w: &mut Writer<'_>, captures: &[Option<Vec<u8>>]) {
    for (i, capture) in captures.iter().enumerate() {
        if i > 0 {
            w.out.push(b' ');
        }
        match capture {
            // A header captured with nothing in it is nothing, not the dash of one that was not there.
            Some(text) => w.encoded_or_nothing(text, Encode::Header),
            None => w.missing(),
        }
    }
}
