//! `bind` lines and their options.

use super::bind_ssl::{self, SslDraft};
use crate::config::address::{self, Host, Port, Spec};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::guid;
use crate::config::keyword::{FRONT_ONLY, Keyword};
use crate::config::model::{Address, Bind, Protocol};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;
use std::net::SocketAddr;

pub const TABLE: &[Keyword] = &[Keyword::new(
    "bind",
    FRONT_ONLY,
    "[<address>]:<port_range>[, ...] [param*] | /<path> [param*]",
    "Adds listening addresses to the proxy. Several addresses may be given, separated by commas, and a port range \
     opens one listener per port. In 'mode l4' nothing listens: the line names the virtual addresses whose packets are \
     forwarded, TCP or, with 'udp@', UDP; port 0 stands for every port and needs 'persist'; 'id' and 'name' are the \
     options.",
    |p, l| if super::l4::is_l4(p) { super::l4::bind(p, l) } else { bind(p, l) },
)];

/// One option of a `bind` line. `apply` gets the index of the option's own word and answers how many words it took.
pub struct BindOption {
    pub name: &'static str,
    pub args: &'static str,
    pub doc: &'static str,
    pub(super) apply: fn(&mut Parser, &Line, usize, &mut Settings),
    /// Words after the option's own.
    pub(super) taken: usize,
}

/// What the options of one line say about every listener it makes.
pub struct Settings {
    pub(super) bind: Bind,
    pub(super) ssl: SslDraft,
}

const fn option(
    name: &'static str,
    args: &'static str,
    doc: &'static str,
    taken: usize,
    apply: fn(&mut Parser, &Line, usize, &mut Settings),
) -> BindOption {
    BindOption { name, args, doc, apply, taken }
}

pub const OPTIONS: &[BindOption] = &[
    option(
        "accept-proxy",
        "",
        "Expects a PROXY protocol header, version 1 or 2, on every connection.",
        0,
        |_, _, _, s| {
            s.bind.accept_proxy = true;
        },
    ),
    option("backlog", "<backlog>", "Length of the kernel's accept queue.", 1, |p, l, i, s| {
        s.bind.backlog = p.integer(l, i + 1, 0, u32::MAX);
    }),
    option(
        "defer-accept",
        "",
        "Wakes up on the client's first bytes only (TCP_DEFER_ACCEPT).",
        0,
        |_, _, _, s| {
            s.bind.defer_accept = true;
        },
    ),
    option("gid", "<gid>", "Group of a unix socket, by number.", 1, |p, l, i, s| {
        s.bind.gid = p.integer(l, i + 1, 0, u32::MAX);
    }),
    option("group", "<group>", "Group of a unix socket, by name.", 1, |p, l, i, s| {
        s.bind.gid = p.group_id(l, i + 1, "bind");
    }),
    option(
        "guid-prefix",
        "<string>",
        "Names each address of the line by this, a dash and its place (from 0); nothing else has such a name.",
        1,
        |p, l, i, s| s.bind.guid = guid::word(p, l, i + 1, "'guid-prefix'"),
    ),
    option("id", "<id>", "The listener's number; unique in the proxy.", 1, |p, l, i, s| {
        s.bind.id = p.integer(l, i + 1, 1, i32::MAX as u32).unwrap_or(0);
    }),
    option("interface", "<interface>", "Listens on this network interface only.", 1, |p, l, i, s| {
        s.bind.interface = p.text(l, i + 1, "an interface name");
    }),
    option("maxconn", "<maxconn>", "Connections the listener accepts at a time.", 1, |p, l, i, s| {
        s.bind.maxconn = p.integer(l, i + 1, 1, usize::MAX);
    }),
    option("mode", "<mode>", "Permissions of a unix socket, octal.", 1, |p, l, i, s| {
        s.bind.mode = p.octal(l, i + 1, "bind");
    }),
    option("mss", "<maxseg>", "Largest segment announced to clients (TCP_MAXSEG).", 1, |p, l, i, s| {
        s.bind.mss = p.integer(l, i + 1, -65535, 65535);
        if s.bind.mss == Some(0) {
            p.alert(
                l,
                i + 1,
                "'mss' : expects an MSS with and absolute value between 1 and 65535".to_owned(),
            );
        }
    }),
    option("name", "<name>", "Name shown on the statistics page and in logs.", 1, |p, l, i, s| {
        s.bind.name = p.text(l, i + 1, "a name").map(Into::into);
    }),
    option("nice", "<nice>", "Kept for compatibility: -1024 (served first) to 1024.", 1, |p, l, i, s| {
        p.diag(l, i, "'nice' is accepted and has no effect in weir: connections are served in turn.");
        s.bind.nice = p.integer(l, i + 1, -1024, 1024).unwrap_or(0);
    }),
    option(
        "proto",
        "h1 | h2",
        "The protocol of HTTP that clients speak, whatever ALPN says.",
        1,
        |p, l, i, s| {
            s.bind.protocol = match l.word(i + 1) {
                "h1" => Some(Protocol::H1),
                "h2" => Some(Protocol::H2),
                "none" => None,
                other => return p.unsupported(l, i + 1, &format!("proto {other}")),
            };
        },
    ),
    option(
        "shards",
        "<number> | by-thread | by-group",
        "Every thread has a socket of its own.",
        1,
        |p, l, i, _| {
            // Each worker always has its own socket: any count asked for is met or exceeded.
            if !matches!(l.word(i + 1), "by-thread" | "by-group") {
                p.integer(l, i + 1, 1_u32, 1000);
            }
        },
    ),
    option(
        "tcp-ut",
        "<delay>",
        "How long sent data may stay unacknowledged (TCP_USER_TIMEOUT).",
        1,
        |p, l, i, s| {
            s.bind.tcp_user_timeout = p.duration(l, i + 1, Unit::Milliseconds);
        },
    ),
    option("tfo", "", "Accepts data with the SYN (TCP_FASTOPEN).", 0, |_, _, _, s| s.bind.tfo = true),
    option(
        "thread",
        "<thread-range>",
        "Threads that accept here: '1-4', 'odd', 'all', '1/1-2'.",
        1,
        |p, l, i, s| {
            if let Some(threads) = p.thread_set(l, i + 1) {
                s.bind.threads.extend(threads);
            }
        },
    ),
    option(
        "transparent",
        "",
        "Accepts connections to foreign addresses (IP_TRANSPARENT).",
        0,
        |_, _, _, s| {
            s.bind.transparent = true;
        },
    ),
    option("uid", "<uid>", "Owner of a unix socket, by number.", 1, |p, l, i, s| {
        s.bind.uid = p.integer(l, i + 1, 0, u32::MAX);
    }),
    option("user", "<user>", "Owner of a unix socket, by name.", 1, |p, l, i, s| {
        s.bind.uid = p.user_id(l, i + 1, "bind");
    }),
    option("v4v6", "", "An IPv6 address accepts IPv4 too.", 0, |_, _, _, s| s.bind.v4v6 = true),
    option("v6only", "", "An IPv6 address accepts IPv6 only.", 0, |_, _, _, s| s.bind.v6only = true),
];

/// HAProxy's other options: known, not built.
pub const UNSUPPORTED: &[&str] = &[
    "accept-netscaler-cip",
    "cc",
    "expose-fd",
    "idle-ping",
    "label",
    "level",
    "namespace",
    "nbconn",
    "process",
    "quic-cc-algo",
    "quic-force-retry",
    "quic-socket",
    "severity-output",
    "tcp-md5sig",
    "tcp-ss",
    "ca-sign-file",
    "ca-sign-pass",
    "generate-certificates",
    "ktls",
    "npn",
    "cafile",
];

fn bind(parser: &mut Parser, line: &Line) {
    if line.word(1).chars().all(|c| c == ',') {
        parser.alert(
            line,
            0,
            "'bind' expects {<path>|[addr1]:port1[-end1]}{,[addr]:port[-end]}... as arguments.",
        );
        return;
    }
    let mut settings = Settings { bind: empty(line), ssl: SslDraft::default() };
    options(parser, line, &mut settings);
    let (prefix, mut place) = (settings.bind.guid.take(), 0);
    let first = parser.draft().map_or(0, |draft| draft.binds.len());
    for text in line.word(1).split(',').filter(|t| !t.is_empty()) {
        match addresses(text) {
            Ok(found) => {
                for address in found {
                    let guid = prefix.as_ref().map(|p| format!("{p}-{place}").into());
                    place += 1;
                    let bind = Bind { address, guid, ..settings.bind.clone() };
                    if let Some(draft) = parser.draft() {
                        draft.binds.push(bind);
                    }
                    // An `id` names one listener: HAProxy gives it to the first of a range.
                    settings.bind.id = 0;
                }
            }
            Err(message) => parser.alert(line, 1, format!("'bind' : {message}")),
        }
    }
    let last = parser.draft().map_or(0, |draft| draft.binds.len());
    bind_ssl::finish(parser, line, settings, first..last);
}

/// Options that qualify `ssl` (word, arguments after it): without that word on the line they do nothing, here as in HAProxy.
const OF_SSL: &[(&str, usize)] = &[
    ("allow-0rtt", 0),
    ("alpn", 1),
    ("ciphers", 1),
    ("ciphersuites", 1),
    ("client-sigalgs", 1),
    ("curves", 1),
    ("ecdhe", 1),
    ("force-sslv3", 0),
    ("force-tlsv10", 0),
    ("force-tlsv11", 0),
    ("force-tlsv12", 0),
    ("force-tlsv13", 0),
    ("no-alpn", 0),
    ("no-ca-names", 0),
    ("no-ssl-reuse", 0),
    ("no-sslv3", 0),
    ("no-strict-sni", 0),
    ("no-tls-tickets", 0),
    ("no-tlsv10", 0),
    ("no-tlsv11", 0),
    ("no-tlsv12", 0),
    ("no-tlsv13", 0),
    ("npn", 1),
    ("prefer-client-ciphers", 0),
    ("sigalgs", 1),
    ("sni", 1),
    ("ssl-max-ver", 1),
    ("ssl-min-ver", 1),
    ("ssl-reuse", 0),
    ("strict-sni", 0),
    ("tls-tickets", 0),
    ("verify", 1),
    ("verifyhost", 1),
];

/// How many arguments the option has, if it can be passed over.
pub(super) fn inert(line: &Line, word: &str) -> Option<usize> {
    // Checks have a name and protocols of their own.
    let of_traffic = matches!(word, "sni" | "alpn");
    let active =
        line.words.iter().any(|w| matches!((w.text.as_str(), of_traffic), ("ssl", _) | ("check-ssl", false)));
    OF_SSL.iter().find(|(name, _)| *name == word && !active).map(|(_, taken)| *taken)
}

pub(super) fn empty(line: &Line) -> Bind {
    Bind { place: Some(line.place.clone()), ..Bind::bare(Address::Fd(-1)) }
}

fn options(parser: &mut Parser, line: &Line, settings: &mut Settings) {
    let context = format!("'bind {}' in section '{}'", line.word(1), parser.section.name());
    let has_ssl = line.words.iter().any(|w| w.text == "ssl");
    let mut i = 2;
    while i < line.words.len() {
        let word = line.word(i);
        if let Some(option) = OPTIONS.iter().find(|o| o.name == word) {
            if line.words.len() <= i + option.taken {
                parser.alert(line, i, format!("{context} : '{word}' expects {} as argument.", option.args));
                return;
            }
            (option.apply)(parser, line, i, settings);
            i += 1 + option.taken;
        } else if let Some(taken) = bind_ssl::taken(word).filter(|_| has_ssl || inert(line, word).is_none()) {
            if line.words.len() <= i + taken {
                parser.alert(line, i, format!("{context} : '{word}' : missing argument"));
                return;
            }
            bind_ssl::apply(parser, line, i, settings);
            i += 1 + taken;
        } else if let Some(taken) = inert(line, word) {
            parser.diag(line, i, format!("{context} : '{word}' has no effect without 'ssl'."));
            i += 1 + taken;
        } else if UNSUPPORTED.contains(&word) {
            parser.alert(line, i, format!("{context} : '{word}' is not supported by weir yet"));
            // What follows belongs to it (certificates, ciphers…): one error says it all.
            settings.ssl.broken = true;
            return;
        } else {
            let names =
                OPTIONS.iter().map(|o| o.name).chain(bind_ssl::names()).chain(UNSUPPORTED.iter().copied());
            let message = format!("{context}: unknown keyword '{word}'.");
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
            diagnostic.hint = suggest::hint(word, names);
            parser.report(diagnostic);
            // It may have been the certificate.
            settings.ssl.broken = true;
            return;
        }
    }
}

/// Every listening address that one comma-separated part stands for.
pub(super) fn addresses(text: &str) -> Result<Vec<Address>, String> {
    match address::parse(text)? {
        Spec::Inet { udp: true, .. } => {
            Err(format!("UDP addresses are not supported by weir yet in '{text}'"))
        }
        Spec::Inet { family, host, port, .. } => {
            let ip = address::ip_of(&host, family)?;
            let (low, high) = match port {
                Port::Range(low, high) => (low, high),
                // Clients could not be told which port it became.
                Port::One(0) => return Err(format!("invalid port '0' in '{text}'")),
                Port::One(port) => (port, port),
                Port::Offset(_) => return Err(format!("port offsets not allowed here in '{text}'")),
                Port::None if host == Host::Wildcard || text.parse::<u16>().is_ok() => {
                    return Err(format!("missing port number: '{text}', did you mean ':{text}' ?"));
                }
                Port::None => return Err(format!("missing port number in '{text}'")),
            };
            Ok((low..=high).map(|port| Address::Inet(SocketAddr::new(ip, port))).collect())
        }
        Spec::Unix { datagram: true, .. } => Err(format!("datagram sockets cannot be listened on: '{text}'")),
        Spec::Unix { path, .. } => Ok(vec![Address::Unix(path)]),
        Spec::Abstract(name) => Ok(vec![Address::Abstract(name)]),
        Spec::Fd(fd) => Ok(vec![Address::Fd(fd)]),
        Spec::SockPair(_) => Err(format!("'sockpair@' addresses are not supported by weir yet in '{text}'")),
    }
}
