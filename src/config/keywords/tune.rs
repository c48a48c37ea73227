//! `tune.*` of the `global` section: those that have a meaning here, and those that are about performance alone.

use crate::config::keyword::{GLOBAL, Keyword};
use crate::config::model::global::Tune;
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::units::Unit;
use std::time::Duration;

macro_rules! size {
    ($name:literal, $field:ident, $min:expr, $max:expr, $doc:literal) => {
        Keyword::new($name, GLOBAL, "<size>", $doc, |p, l| size(p, l, $min, $max, |t, n| t.$field = n))
    };
}

macro_rules! h2 {
    ($name:literal, $field:ident, $min:expr, $max:expr, $doc:literal) => {
        Keyword::new($name, GLOBAL, "<number>", $doc, |p, l| {
            size(p, l, $min, $max, |t, n| t.h2.$field = n.try_into().unwrap_or_default())
        })
    };
}

/// A variable counts 80 bytes and its text. One that does not fit is not set.
macro_rules! vars {
    ($name:literal, $field:ident, $doc:literal) => {
        Keyword::new($name, GLOBAL, "<size>", $doc, |p, l| size(p, l, 0, 1 << 40, |t, n| t.vars.$field = n))
    };
}

macro_rules! accepted {
    ($name:literal, $doc:literal) => {
        Keyword::new($name, GLOBAL, "<value>", $doc, performance_only).negatable()
    };
}

/// RFC 9113 6.9.1
const WINDOW: usize = (1 << 31) - 1;

pub const TABLE: &[Keyword] = &[
    size!("tune.bufsize", bufsize, 1024, 1 << 28, "Size of the buffer a message's head must fit in (16384)."),
    size!(
        "tune.maxrewrite",
        maxrewrite,
        0,
        1 << 28,
        "Room kept in the buffer for headers that rules add (1024)."
    ),
    size!("tune.http.maxhdr", http_maxhdr, 1, 32767, "Header fields a message may have (101)."),
    size!(
        "tune.http.logurilen",
        http_logurilen,
        1,
        1 << 20,
        "Characters of the request line that are logged (1023)."
    ),
    size!("tune.http.cookielen", http_cookielen, 1, 1 << 20, "Characters of a captured cookie (63)."),
    size!("tune.rcvbuf.client", rcvbuf_client, 0, 1 << 30, "Receive buffer of client sockets."),
    size!("tune.rcvbuf.frontend", rcvbuf_client, 0, 1 << 30, "Receive buffer of client sockets."),
    size!("tune.rcvbuf.server", rcvbuf_server, 0, 1 << 30, "Receive buffer of server sockets."),
    size!("tune.rcvbuf.backend", rcvbuf_server, 0, 1 << 30, "Receive buffer of server sockets."),
    size!("tune.sndbuf.client", sndbuf_client, 0, 1 << 30, "Send buffer of client sockets."),
    size!("tune.sndbuf.frontend", sndbuf_client, 0, 1 << 30, "Send buffer of client sockets."),
    size!("tune.sndbuf.server", sndbuf_server, 0, 1 << 30, "Send buffer of server sockets."),
    size!("tune.sndbuf.backend", sndbuf_server, 0, 1 << 30, "Send buffer of server sockets."),
    size!("tune.pipesize", pipesize, 0, 1 << 30, "Size of the pipes that splice(2) uses."),
    Keyword::new(
        "tune.maxaccept",
        GLOBAL,
        "<number>",
        "Connections accepted in a row; -1: no limit.",
        |p, l| {
            if let Some(n) = p.integer(l, 1, -1, i32::MAX) {
                p.global.tune.maxaccept = n;
            }
        },
    ),
    Keyword::new("tune.idletimer", GLOBAL, "<time>", "After which a stream counts as idle (1 s).", |p, l| {
        if let Some(time) = p.duration(l, 1, Unit::Milliseconds) {
            if time > Duration::from_millis(65535) {
                return p.alert(l, 1, "'tune.idletimer' expects a timer value between 0 and 65535 ms.");
            }
            p.global.tune.idle_timer = time;
            p.no_effect(l, 0, "it is about speed alone, and nothing here depends on it");
        }
    }),
    Keyword::new(
        "tune.idle-pool.shared",
        GLOBAL,
        "{ on | off }",
        "Whether threads share idle server connections.",
        |p, l| {
            if let Some(on) = p.on_off(l, 1) {
                p.global.tune.idle_pool_shared = on;
                p.no_effect(l, 0, "each thread keeps its own idle connections");
            }
        },
    ),
    accepted!(
        "tune.applet.zero-copy-forwarding",
        "About HAProxy's own internals: accepted, nothing to tune here."
    ),
    accepted!("tune.buffers.limit", "About HAProxy's buffer pools: accepted, nothing to tune here."),
    accepted!("tune.buffers.reserve", "About HAProxy's buffer pools: accepted, nothing to tune here."),
    accepted!("tune.disable-fast-forward", "About HAProxy's own internals: accepted, nothing to tune here."),
    accepted!(
        "tune.disable-zero-copy-forwarding",
        "About HAProxy's own internals: accepted, nothing to tune here."
    ),
    accepted!("tune.epoll.mask-events", "About HAProxy's poller: accepted, nothing to tune here."),
    accepted!("tune.events.max-events-at-once", "About HAProxy's poller: accepted, nothing to tune here."),
    accepted!("tune.fd.edge-triggered", "About HAProxy's poller: accepted, nothing to tune here."),
    accepted!("tune.fd.tables", "About HAProxy's poller: accepted, nothing to tune here."),
    accepted!("tune.h1.zero-copy-fwd-recv", "About HAProxy's own internals: accepted, nothing to tune here."),
    accepted!("tune.h1.zero-copy-fwd-send", "About HAProxy's own internals: accepted, nothing to tune here."),
    accepted!("tune.listener.default-shards", "Every thread has its own listening socket: accepted."),
    accepted!("tune.listener.multi-queue", "Every thread has its own listening socket: accepted."),
    accepted!("tune.maxpollevents", "About HAProxy's poller: accepted, nothing to tune here."),
    accepted!("tune.memory.hot-size", "About HAProxy's memory pools: accepted, nothing to tune here."),
    accepted!("tune.pattern.cache-size", "Patterns are looked up in trees and tables here: accepted."),
    accepted!("tune.pool-high-fd-ratio", "About HAProxy's memory of idle connections: accepted."),
    accepted!("tune.pool-low-fd-ratio", "About HAProxy's memory of idle connections: accepted."),
    accepted!(
        "tune.pt.zero-copy-forwarding",
        "About HAProxy's own internals: accepted, nothing to tune here."
    ),
    accepted!("tune.recv_enough", "About HAProxy's reads: accepted, nothing to tune here."),
    accepted!("tune.runqueue-depth", "About HAProxy's scheduler: accepted, nothing to tune here."),
    accepted!("tune.sched.low-latency", "About HAProxy's scheduler: accepted, nothing to tune here."),
    vars!("tune.vars.global-max-size", all, "Bytes that all variables may take together; 0: any number."),
    vars!("tune.vars.proc-max-size", process, "Bytes of the variables of scope 'proc' and all below it."),
    vars!("tune.vars.sess-max-size", session, "Bytes of one session's variables, its requests' included."),
    vars!(
        "tune.vars.txn-max-size",
        transaction,
        "Bytes of one request's variables: scopes 'txn', 'req' and 'res'."
    ),
    vars!("tune.vars.reqres-max-size", exchange, "Bytes of scope 'req' and of scope 'res', each."),
    vars!("tune.vars.check-max-size", check, "Bytes of one check's variables."),
    h2!(
        "tune.h2.header-table-size",
        header_table_size,
        0,
        65536,
        "What a peer may keep of headers for later (4096 bytes)."
    ),
    h2!(
        "tune.h2.initial-window-size",
        initial_window_size,
        0,
        WINDOW,
        "What a peer may send on a stream before we took any (65536 bytes)."
    ),
    h2!(
        "tune.h2.fe.initial-window-size",
        fe_initial_window_size,
        0,
        WINDOW,
        "The same for clients alone; 0: as 'tune.h2.initial-window-size'."
    ),
    h2!(
        "tune.h2.max-concurrent-streams",
        max_concurrent_streams,
        1,
        WINDOW,
        "Streams a peer may have open at once (100)."
    ),
    h2!(
        "tune.h2.fe.max-concurrent-streams",
        fe_max_concurrent_streams,
        0,
        WINDOW,
        "The same for clients alone; 0: as 'tune.h2.max-concurrent-streams'."
    ),
    h2!(
        "tune.h2.be.initial-window-size",
        be_initial_window_size,
        0,
        WINDOW,
        "The same for servers alone; 0: as 'tune.h2.initial-window-size'."
    ),
    h2!(
        "tune.h2.be.max-concurrent-streams",
        be_max_concurrent_streams,
        0,
        WINDOW,
        "Streams opened at once on one connection to a server; 0: as 'tune.h2.max-concurrent-streams'."
    ),
    h2!(
        "tune.h2.be.glitches-threshold",
        be_glitches_threshold,
        0,
        WINDOW,
        "Frames without use after which a server's connection is closed; 0: no limit."
    ),
    h2!(
        "tune.h2.max-frame-size",
        max_frame_size,
        16384,
        16_777_215,
        "Longest frame a peer may send (16384 bytes)."
    ),
    h2!(
        "tune.h2.fe.max-total-streams",
        fe_max_total_streams,
        0,
        WINDOW,
        "Streams after which a client has to connect anew; 0: no limit."
    ),
    h2!(
        "tune.h2.fe.glitches-threshold",
        fe_glitches_threshold,
        0,
        WINDOW,
        "Frames without use, and streams given up unanswered, after which a client is sent away; 0: no limit."
    ),
    accepted!("tune.h2.zero-copy-fwd-send", "About HAProxy's own internals: accepted, nothing to tune here."),
    accepted!("busy-polling", "About HAProxy's poller: accepted, nothing to tune here."),
    Keyword::new(
        "profiling.tasks",
        GLOBAL,
        "{ auto | on | off }",
        "'on' measures what tasks cost ('show profiling'); 'auto', for weir, is 'off'.",
        |p, l| match l.word(1) {
            "on" => p.global.profiling_tasks = true,
            "off" | "auto" => p.global.profiling_tasks = false,
            other => {
                let message =
                    format!("'profiling.tasks' expects either 'on', 'auto', or 'off' but got '{other}'.");
                p.alert(l, 1, message);
            }
        },
    ),
    Keyword::new(
        "profiling.memory",
        GLOBAL,
        "{ on | off }",
        "'off' alone: memory is never profiled.",
        |p, l| {
            if l.word(1) != "off" {
                p.unsupported(l, 1, "profiling.memory on");
            }
        },
    ),
    accepted!("numa-cpu-mapping", "Threads are bound by 'cpu-map' only: accepted."),
    accepted!("no-memory-trimming", "About HAProxy's memory pools: accepted, nothing to tune here."),
    accepted!("prealloc-fd", "About HAProxy's descriptor table: accepted, nothing to tune here."),
    accepted!("maxpipes", "Pipes are made as splice(2) needs them: accepted."),
    accepted!(
        "maxcomprate",
        "Acts with 'compression' only, which is refused where it is asked for: accepted."
    ),
    accepted!(
        "maxcompcpuusage",
        "Acts with 'compression' only, which is refused where it is asked for: accepted."
    ),
    accepted!(
        "maxzlibmem",
        "Acts with 'compression' only, which is refused where it is asked for: accepted."
    ),
    Keyword::new("ca-base", GLOBAL, "<dir>", "Where relative names of 'ca-file' start.", |p, l| {
        if let Some(path) = p.text(l, 1, "a directory path") {
            p.ca_base = Some(path.into());
        }
    }),
    Keyword::new(
        "ssl-default-server-ciphers",
        GLOBAL,
        "<ciphers>",
        "'ciphers' of the server lines that do not say it.",
        |p, l| p.server_ciphers[0] = crate::config::tls::named(p, l),
    ),
    Keyword::new(
        "ssl-default-server-ciphersuites",
        GLOBAL,
        "<ciphersuites>",
        "'ciphersuites' of the server lines that do not say it.",
        |p, l| p.server_ciphers[1] = crate::config::tls::named(p, l),
    ),
    Keyword::new(
        "ssl-default-server-options",
        GLOBAL,
        "<option>...",
        "Versions of TLS spoken to servers whose lines do not say it: 'ssl-min-ver', 'ssl-max-ver', 'no-tlsv1x', \
         'force-tlsv1x'; 'no-tls-tickets'.",
        crate::config::tls::default_server_options,
    ),
    Keyword::new(
        "ssl-server-verify",
        GLOBAL,
        "[none | required]",
        "Whether servers' certificates are verified where the line does not say it (required).",
        |p, l| {
            p.verify_servers = match l.word(1) {
                "none" => false,
                "required" => true,
                _ => return p.alert(l, 1, "'ssl-server-verify' expects 'none' or 'required' as argument."),
            };
        },
    ),
];

fn size(parser: &mut Parser, line: &Line, min: usize, max: usize, set: fn(&mut Tune, usize)) {
    let keyword = line.word(0).to_owned();
    match crate::config::units::size(line.word(1)).ok().and_then(|n| usize::try_from(n).ok()) {
        Some(n) if n >= min && n <= max => {
            if parser.at_most(line, 2) {
                set(&mut parser.global.tune, n);
            }
        }
        Some(_) => {
            let message = format!("'{keyword}' expects a numeric value between {min} and {max}");
            parser.alert(line, 1, message);
        }
        None => parser.alert(line, 1, format!("'{keyword}' expects a positive integer argument.")),
    }
}

/// HAProxy documents it as a matter of speed or of a feature that is refused elsewhere: leaving it out changes nothing.
fn performance_only(parser: &mut Parser, line: &Line) {
    parser.diag(line, 0, format!("'{}' is accepted and has nothing to act on in weir.", line.word(0)));
}
