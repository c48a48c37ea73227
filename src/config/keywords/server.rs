//! `server`, `server-template` and `default-server` lines and their options.

use crate::config::address::{self, Host, Port, Spec};
use crate::config::checks;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::draft::{InitAddr, Reference, ServerDraft};
use crate::config::guid;
use crate::config::keyword::{BACK, BACK_ONLY, Keyword};
use crate::config::model::backend::{HashKey, InitState, Layer, Ws};
use crate::config::model::check::Speaks;
use crate::config::model::{Endpoint, Mark, OnError, Protocol, SendProxy};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "server",
        BACK_ONLY,
        "<name> <address>[:[port]] [param*]",
        "Declares a server. Without a port the client's destination port is used; '+N' and '-N' are added to it.",
        server,
    ),
    Keyword::new(
        "default-server",
        BACK,
        "[param*]",
        "Sets options for the servers that follow in the section.",
        |p, l| {
            let Some(mut template) = p.draft().map(|d| d.default_server.clone()) else { return };
            let well = options(p, l, 1, "default-server", &mut template);
            if std::mem::take(&mut template.server.id) > 0 {
                let at = l.words.iter().position(|word| word.text == "id").unwrap_or(0);
                p.warning(l, at, "'id' is not accepted in 'default-server' and has no effect: servers of one backend have different ids, give each its own.");
            }
            if let Some(draft) = p.draft().filter(|_| well) {
                draft.default_server = template;
            }
        },
    ),
    Keyword::new(
        "server-template",
        BACK_ONLY,
        "<prefix> <num | range> <fqdn>[:<port>] [params*]",
        "Declares several servers that differ in their number only.",
        template,
    ),
];

/// One option of a server. `apply` gets the index of the option's own word.
pub struct ServerOption {
    pub name: &'static str,
    pub args: &'static str,
    pub doc: &'static str,
    /// Words after the option's own; `source` and `init-addr` count their own.
    pub(super) taken: usize,
    pub(super) apply: fn(&mut Parser, &Line, usize, &mut ServerDraft),
}

pub(super) const fn option(
    name: &'static str,
    args: &'static str,
    doc: &'static str,
    taken: usize,
    apply: fn(&mut Parser, &Line, usize, &mut ServerDraft),
) -> ServerOption {
    ServerOption { name, args, doc, taken, apply }
}

pub const OPTIONS: &[ServerOption] = &[
    option("addr", "<ipv4|ipv6>", "Checks go to this address.", 1, check_address),
    option("backup", "", "Used only when no other server is left.", 0, |_, _, _, s| s.server.backup = true),
    option("no-backup", "", "Undoes 'backup'.", 0, |_, _, _, s| s.server.backup = false),
    option("check", "", "Enables health checks.", 0, |_, _, _, s| s.checked = true),
    option("no-check", "", "Undoes 'check'.", 0, |_, _, _, s| s.checked = false),
    option("check-send-proxy", "", "Checks begin with a PROXY protocol header.", 0, |_, _, _, s| {
        s.timing.send_proxy = true;
    }),
    option("no-check-send-proxy", "", "Undoes 'check-send-proxy'.", 0, |_, _, _, s| {
        s.timing.send_proxy = false
    }),
    option("check-ssl", "", "Checks use TLS (1.2 or 1.3).", 0, |_, _, _, s| {
        s.timing.ssl = true;
        s.tls.plain_checks = false;
    }),
    option("no-check-ssl", "", "Checks are plain, even with 'ssl'.", 0, |_, _, _, s| {
        s.timing.ssl = false;
        s.tls.plain_checks = true;
    }),
    option(
        "check-via-socks4",
        "",
        "Checks go through the server's 'socks4' proxy too. Those of 'tcp-check' and 'http-check connect' say 'via-socks4'.",
        0,
        |_, _, _, s| s.timing.via_socks4 = true,
    ),
    option("check-sni", "<sni>", "The name checks over TLS ask for.", 1, |p, l, i, s| {
        s.timing.sni = p.text(l, i + 1, "a server name");
    }),
    option(
        "check-alpn",
        "<protocols>",
        "The protocols checks over TLS offer, with commas between.",
        1,
        |p, l, i, s| match checks::alpn(l.word(i + 1)) {
            Some(names) => s.timing.alpn = names,
            None => p.alert(l, i + 1, "'check-alpn' : a protocol's name has 1 to 255 characters."),
        },
    ),
    option(
        "check-proto",
        "{h1|h2|none}",
        "The version of HTTP that HTTP checks are spoken in, whatever 'check-alpn' agrees upon; 'none' for the others.",
        1,
        check_proto,
    ),
    option(
        "check-reuse-pool",
        "",
        "Refused: each check makes a connection of its own, for the idle ones belong to the threads that serve requests.",
        0,
        reuse_pool,
    ),
    option("check-pool-conn-name", "<name>", "Refused with 'check-reuse-pool'.", 1, reuse_pool),
    option(
        "no-check-reuse-pool",
        "",
        "Each check makes a connection of its own, as it does without.",
        0,
        |_, _, _, _| {},
    ),
    option(
        "healthcheck",
        "<name>",
        "Checks are those of the 'healthcheck' section of that name, not of the backend.",
        1,
        |p, l, i, s| {
            s.healthcheck =
                p.text(l, i + 1, "a name").map(|name| Reference { name, line: l.clone(), word: i + 1 });
        },
    ),
    option("cookie", "<value>", "The server's value in the persistence cookie.", 1, |p, l, i, s| {
        s.server.cookie = p.text(l, i + 1, "a value");
    }),
    option("disabled", "", "Starts in maintenance.", 0, |_, _, _, s| s.server.disabled = true),
    option("enabled", "", "Undoes 'disabled'.", 0, |_, _, _, s| s.server.disabled = false),
    option("downinter", "<delay>", "Time between checks while the server is down.", 1, |p, l, i, s| {
        s.timing.downinter = delay(p, l, i);
    }),
    option(
        "error-limit",
        "<count>",
        "Errors that 'observe' allows before 'on-error' acts.",
        1,
        |p, l, i, s| {
            s.server.error_limit = p.integer(l, i + 1, 1, i32::MAX as u32).unwrap_or(10);
        },
    ),
    option("fall", "<count>", "Failed checks that take the server down.", 1, |p, l, i, s| {
        s.timing.fall = p.integer(l, i + 1, 1, i32::MAX as u32).unwrap_or(3);
    }),
    option("fastinter", "<delay>", "Time between checks while the state is changing.", 1, |p, l, i, s| {
        s.timing.fastinter = delay(p, l, i);
    }),
    option(
        "guid",
        "<string>",
        "A name for the server that nothing else has: its counters are kept by it.",
        1,
        |p, l, i, s| {
            if l.word(0) != "server" {
                let message = format!("'guid' names one server: not on '{}'.", l.word(0));
                return p.alert(l, i, message);
            }
            s.server.guid = guid::word(p, l, i + 1, "'guid'");
        },
    ),
    option(
        "hash-key",
        "<key>",
        "What consistent hashing places the server by: id, addr, addr-port.",
        1,
        hash_key,
    ),
    option("id", "<id>", "The server's number; unique in the backend.", 1, |p, l, i, s| {
        s.server.id = p.integer(l, i + 1, 1, i32::MAX as u32).unwrap_or(0);
    }),
    option(
        "init-addr",
        "{last|libc|none|<ip>},[...]",
        "How the address of a name is found at start; 'last': from the server state file.",
        1,
        init_addr,
    ),
    option(
        "init-state",
        "{fully-up|up|down|fully-down}",
        "The state the server starts in.",
        1,
        |p, l, i, s| {
            s.timing.init_state = match l.word(i + 1) {
                "fully-up" => InitState::FullyUp,
                "up" => InitState::Up,
                "down" => InitState::Down,
                "fully-down" => InitState::FullyDown,
                other => {
                    let message = format!(
                        "'init-state' expects one of 'fully-up', 'up', 'down' or 'fully-down' (got '{other}')"
                    );
                    return p.alert(l, i + 1, message);
                }
            };
        },
    ),
    option("inter", "<delay>", "Time between checks (2 s).", 1, |p, l, i, s| {
        if let Some(inter) = delay(p, l, i) {
            s.timing.inter = inter;
        }
    }),
    option(
        "max-reuse",
        "<count>",
        "Requests a connection to the server may carry after its first; -1: no limit.",
        1,
        |p, l, i, s| {
            s.server.max_reuse = p.integer(l, i + 1, -1, i32::MAX).unwrap_or(-1);
        },
    ),
    option(
        "maxconn",
        "<maxconn>",
        "Connections (requests, in HTTP) the server gets at a time; more wait.",
        1,
        |p, l, i, s| {
            s.server.maxconn = p.integer(l, i + 1, 0, i32::MAX as u32).unwrap_or(0);
        },
    ),
    option("maxqueue", "<maxqueue>", "Requests that may wait for the server.", 1, |p, l, i, s| {
        s.server.maxqueue = p.integer(l, i + 1, 0, i32::MAX as u32).unwrap_or(0);
    }),
    option("minconn", "<minconn>", "With 'fullconn', the limit at low load.", 1, |p, l, i, s| {
        s.server.minconn = p.integer(l, i + 1, 0, i32::MAX as u32).unwrap_or(0);
    }),
    option("non-stick", "", "Never put into a stick table (there is none yet).", 0, |p, l, i, s| {
        s.server.non_stick = true;
        p.diag(l, i, "'non-stick' is accepted and has no effect in weir: stick tables are refused.");
    }),
    option("stick", "", "Undoes 'non-stick'.", 0, |_, _, _, s| s.server.non_stick = false),
    option("observe", "<mode>", "Watches traffic for errors: layer4, layer7.", 1, |p, l, i, s| {
        s.server.observe = match l.word(i + 1) {
            "none" => None,
            "layer4" => Some(Layer::L4),
            "layer7" => Some(Layer::L7),
            other => {
                let message =
                    format!("'observe' expects one of 'none', 'layer4', 'layer7' but got '{other}'");
                return p.alert(l, i + 1, message);
            }
        };
    }),
    option("on-error", "<mode>", "What too many observed errors do.", 1, |p, l, i, s| {
        s.server.on_error = match l.word(i + 1) {
            "fastinter" => OnError::FastInter,
            "fail-check" => OnError::FailCheck,
            "sudden-death" => OnError::SuddenDeath,
            "mark-down" => OnError::MarkDown,
            other => {
                let message = format!(
                    "'on-error' expects one of 'fastinter', 'fail-check', 'sudden-death' or 'mark-down' but got '{other}'"
                );
                return p.alert(l, i + 1, message);
            }
        };
    }),
    option(
        "on-marked-down",
        "<action>",
        "'shutdown-sessions' closes them when the server goes down.",
        1,
        |p, l, i, s| {
            if l.word(i + 1) == "shutdown-sessions" {
                s.server.on_marked_down = Some(Mark::ShutdownSessions);
            } else {
                let message =
                    format!("'on-marked-down' expects 'shutdown-sessions' but got '{}'", l.word(i + 1));
                p.alert(l, i + 1, message);
            }
        },
    ),
    option(
        "on-marked-up",
        "<action>",
        "'shutdown-backup-sessions' closes those on backup servers.",
        1,
        |p, l, i, s| {
            if l.word(i + 1) == "shutdown-backup-sessions" {
                s.server.on_marked_up = Some(Mark::ShutdownBackupSessions);
            } else {
                let message =
                    format!("'on-marked-up' expects 'shutdown-backup-sessions' but got '{}'", l.word(i + 1));
                p.alert(l, i + 1, message);
            }
        },
    ),
    option(
        "pool-low-conn",
        "<max>",
        "Idle connections below which threads do not share them.",
        1,
        |p, l, i, s| {
            s.server.pool_low_conn = p.integer(l, i + 1, 0, i32::MAX as u32).unwrap_or(0);
        },
    ),
    option("pool-max-conn", "<max>", "Idle connections kept; -1: no limit, 0: none.", 1, |p, l, i, s| {
        s.server.pool_max_conn = p.integer(l, i + 1, -1, i32::MAX).unwrap_or(-1);
    }),
    option(
        "pool-purge-delay",
        "<delay>",
        "How often half of the unused idle connections are closed.",
        1,
        |p, l, i, s| {
            if let Some(purge) = p.duration(l, i + 1, Unit::Milliseconds) {
                s.server.pool_purge_delay = purge;
            }
        },
    ),
    option("port", "<port>", "Checks go to this port.", 1, |p, l, i, s| {
        s.timing.port = p.integer(l, i + 1, 1, u16::MAX);
    }),
    option(
        "proto",
        "{h1|h2|none}",
        "Protocol spoken to the server, whatever ALPN says. Without it: what 'alpn' agrees upon, else HTTP/1.1.",
        1,
        proto,
    ),
    option("proxy-v2-options", "<option>[,<option>]*", "TLVs of PROXY version 2 headers.", 1, proxy_options),
    option(
        "redir",
        "<prefix>",
        "GET and HEAD requests are redirected here instead of being sent to the server.",
        1,
        |p, l, i, s| {
            s.server.redir = p.text(l, i + 1, "a prefix");
        },
    ),
    option("rise", "<count>", "Successful checks that bring the server back.", 1, |p, l, i, s| {
        s.timing.rise = p.integer(l, i + 1, 1, i32::MAX as u32).unwrap_or(2);
    }),
    option("send-proxy", "", "Connections begin with a PROXY protocol version 1 header.", 0, |_, _, _, s| {
        s.server.send_proxy.get_or_insert_with(SendProxy::default).v1 = true;
    }),
    option("no-send-proxy", "", "Undoes 'send-proxy'.", 0, |_, _, _, s| {
        let header = s.server.send_proxy.take().filter(|h| h.v2);
        s.server.send_proxy = header.map(|h| SendProxy { v1: false, ..h });
    }),
    option(
        "send-proxy-v2",
        "",
        "Connections begin with a PROXY protocol version 2 header.",
        0,
        |_, _, _, s| {
            v2(s);
        },
    ),
    option("no-send-proxy-v2", "", "Undoes 'send-proxy-v2'.", 0, |_, _, _, s| no_v2(s)),
    option(
        "send-proxy-v2-ssl",
        "",
        "The same, with the TLS information of the client's connection.",
        0,
        |_, _, _, s| {
            v2(s).ssl = true;
        },
    ),
    option("no-send-proxy-v2-ssl", "", "Undoes 'send-proxy-v2-ssl'.", 0, |_, _, _, s| no_v2(s)),
    option(
        "send-proxy-v2-ssl-cn",
        "",
        "The same, with the client certificate's common name.",
        0,
        |_, _, _, s| {
            let header = v2(s);
            header.ssl = true;
            header.ssl_cn = true;
        },
    ),
    option("no-send-proxy-v2-ssl-cn", "", "Undoes 'send-proxy-v2-ssl-cn'.", 0, |_, _, _, s| no_v2(s)),
    option(
        "slowstart",
        "<delay>",
        "How long a server that comes back takes to reach its full share.",
        1,
        |p, l, i, s| {
            s.server.slowstart = p.duration(l, i + 1, Unit::Milliseconds).filter(|d| !d.is_zero());
        },
    ),
    option(
        "socks4",
        "<addr>:<port>",
        "Connections go through this SOCKS 4 proxy, which knows IPv4 alone; checks do so with 'check-via-socks4'.",
        1,
        socks4,
    ),
    option(
        "tcp-ut",
        "<delay>",
        "How long sent data may stay unacknowledged (TCP_USER_TIMEOUT).",
        1,
        |p, l, i, s| {
            s.server.tcp_user_timeout = p.duration(l, i + 1, Unit::Milliseconds);
        },
    ),
    option("tfo", "", "Sends data with the SYN (TCP_FASTOPEN).", 0, |_, _, _, s| s.server.tfo = true),
    option("no-tfo", "", "Undoes 'tfo'.", 0, |_, _, _, s| s.server.tfo = false),
    option(
        "track",
        "[<backend>/]<server>",
        "Follows another server's state instead of checking.",
        1,
        |p, l, i, s| {
            s.server.track = p.text(l, i + 1, "a server");
        },
    ),
    option("weight", "<weight>", "The server's share, 0 to 256 (1).", 1, |p, l, i, s| {
        match l.word(i + 1).parse::<u32>() {
            Ok(weight) if weight <= 256 => s.server.weight = weight,
            _ => {
                let message = format!("'weight' : '{}' is not between 0 and 256 inclusive", l.word(i + 1));
                p.alert(l, i + 1, message);
            }
        }
    }),
    option(
        "ws",
        "{ auto | h1 | h2 }",
        "What is spoken to relay websockets: 'h2' is an extended CONNECT, 'auto' HTTP/1.1 where 'alpn' offers that too.",
        1,
        websockets,
    ),
];

/// HAProxy's other options: known, not built.
pub const UNSUPPORTED: &[&str] = &[
    "allow-0rtt",
    "cc",
    "check-sni-auto",
    "idle-ping",
    "ktls",
    "log-bufsize",
    "log-proto",
    "namespace",
    "no-check-sni-auto",
    "no-renegotiate",
    "no-sni-auto",
    "npn",
    "pool-conn-name",
    "quic-cc-algo",
    "renegotiate",
    "resolve-net",
    "resolve-opts",
    "resolve-prefer",
    "resolvers",
    "set-proxy-v2-tlv-fmt",
    "shard",
    "sni-auto",
    "strict-maxconn",
    "tcp-md5sig",
];

/// The tables of all families.
pub fn every_option() -> impl Iterator<Item = &'static ServerOption> {
    OPTIONS
        .iter()
        .chain(super::agent::OPTIONS)
        .chain(super::l4::SERVER_OPTIONS)
        .chain(super::server_tls::OPTIONS)
}

pub(super) fn delay(parser: &mut Parser, line: &Line, i: usize) -> Option<std::time::Duration> {
    let delay = parser.duration(line, i + 1, Unit::Milliseconds)?;
    if delay.is_zero() {
        let message = format!("invalid value {} for argument '{}' of server", line.word(i + 1), line.word(i));
        parser.alert(line, i + 1, message);
        return None;
    }
    Some(delay)
}

fn reuse_pool(parser: &mut Parser, line: &Line, i: usize, _: &mut ServerDraft) {
    let message = format!(
        "'{}' is not supported by weir yet: each check makes a connection of its own; remove the word, checks stay as they are without it",
        line.word(i)
    );
    parser.alert(line, i, message);
}

fn check_proto(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    draft.timing.speaks = match line.word(i + 1) {
        "h1" => Some(Speaks::Http1),
        "h2" => Some(Speaks::Http2),
        "none" => Some(Speaks::Bytes),
        "fcgi" => return parser.unsupported(line, i + 1, "check-proto fcgi"),
        other => {
            let message = format!("'check-proto' : unknown MUX protocol '{other}'.");
            return parser.alert(line, i + 1, message);
        }
    };
}

fn proto(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    draft.raw = line.word(i + 1) == "none";
    draft.server.protocol = match line.word(i + 1) {
        "h1" => Some(Protocol::H1),
        "h2" => Some(Protocol::H2),
        "none" => None,
        name => return parser.unsupported(line, i + 1, &format!("{} {name}", line.word(i))),
    };
}

fn websockets(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    draft.server.ws = match line.word(i + 1) {
        "auto" => Ws::Auto,
        "h1" => Ws::H1,
        "h2" => Ws::H2,
        _ => {
            let message = "'ws' : has to be 'auto', 'h1' or 'h2'.";
            return parser.alert(line, i + 1, message);
        }
    };
}

fn v2(draft: &mut ServerDraft) -> &mut SendProxy {
    let header = draft.server.send_proxy.get_or_insert_with(SendProxy::default);
    header.v2 = true;
    header
}

fn no_v2(draft: &mut ServerDraft) {
    let header = draft.server.send_proxy.take().filter(|h| h.v1 || !h.v2);
    draft.server.send_proxy = header.map(|h| SendProxy { v2: false, ..h });
}

fn check_address(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    match address::socket(line.word(i + 1)) {
        Ok(address) => {
            draft.timing.addr = Some(address.ip());
            if address.port() != 0 {
                draft.timing.port = Some(address.port());
            }
        }
        Err(message) => parser.alert(line, i + 1, format!("'addr' : {message}")),
    }
}

fn socks4(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    match address::socket(line.word(i + 1)) {
        Ok(address) if address.port() != 0 => draft.server.socks4 = Some(address),
        Ok(_) => {
            parser.alert(line, i + 1, format!("'socks4' : missing port number in '{}'.", line.word(i + 1)));
        }
        Err(message) => parser.alert(line, i + 1, format!("'socks4' : {message}")),
    }
}

fn hash_key(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    draft.server.hash_key = match line.word(i + 1) {
        "id" => HashKey::Id,
        "addr" => HashKey::Addr,
        "addr-port" => HashKey::AddrPort,
        other => {
            let message = format!("'hash-key' has to be 'id', 'addr', or 'addr-port' (got '{other}')");
            return parser.alert(line, i + 1, message);
        }
    };
}

fn init_addr(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    draft.init_addr.clear();
    for method in line.word(i + 1).split(',') {
        let method = match method {
            "last" => InitAddr::Last,
            "libc" => InitAddr::Libc,
            "none" => InitAddr::None,
            other => match other.parse() {
                Ok(ip) => InitAddr::Ip(ip),
                Err(_) => {
                    let message = format!(
                        "'init-addr' : unknown method '{other}', only 'last', 'libc', 'none' or an address are supported"
                    );
                    return parser.alert(line, i + 1, message);
                }
            },
        };
        draft.init_addr.push(method);
    }
}

fn proxy_options(parser: &mut Parser, line: &Line, i: usize, draft: &mut ServerDraft) {
    for name in line.word(i + 1).split(',') {
        let header = draft.server.send_proxy.get_or_insert_with(SendProxy::default);
        match name {
            "ssl" => header.ssl = true,
            "cert-cn" => {
                header.ssl = true;
                header.ssl_cn = true;
            }
            "unique-id" => header.unique_id = true,
            "crc32c" => header.crc32c = true,
            "authority" => header.authority = true,
            "ssl-cipher" => (header.ssl, header.ssl_cipher) = (true, true),
            "cert-sig" => (header.ssl, header.cert_sig) = (true, true),
            "cert-key" => (header.ssl, header.cert_key) = (true, true),
            other => {
                return parser.alert(line, i + 1, format!("'proxy-v2-options' : unknown option '{other}'"));
            }
        }
    }
}

/// Applies the options from word `first` on; answers whether all were good.
fn options(parser: &mut Parser, line: &Line, first: usize, context: &str, draft: &mut ServerDraft) -> bool {
    let before = parser.diagnostics.len();
    let mut i = first;
    while i < line.words.len() {
        let word = line.word(i);
        let known = every_option().any(|o| o.name == word) || word == "source" || UNSUPPORTED.contains(&word);
        if known && !super::l4::server_option_fits(parser, line, i, context) {
            if !parser.replaying {
                return false;
            }
            // What `defaults` says for proxies of another mode.
            i += 1 + every_option().find(|o| o.name == word).map_or(1, |o| o.taken);
            continue;
        }
        if word == "source" {
            match super::source::parse(parser, line, i) {
                Some((source, next)) => {
                    draft.server.source = Some(source);
                    i = next;
                }
                None => return false,
            }
        } else if let Some(option) = every_option().find(|o| o.name == word) {
            if line.words.len() <= i + option.taken {
                parser.alert(line, i, format!("'{context}' : '{word}' expects {} as argument.", option.args));
                return false;
            }
            (option.apply)(parser, line, i, draft);
            i += 1 + option.taken;
        } else if let Some(taken) = super::bind::inert(line, word).filter(|_| context != "default-server") {
            parser.diag(line, i, format!("'{context}' : '{word}' has no effect without 'ssl'."));
            i += 1 + taken;
        } else if UNSUPPORTED.contains(&word) {
            parser.alert(line, i, format!("'{context}' : '{word}' is not supported by weir yet"));
            return false;
        } else {
            let names = every_option().map(|o| o.name).chain(UNSUPPORTED.iter().copied()).chain(["source"]);
            let mut diagnostic =
                Diagnostic::at(Severity::Alert, line, i, format!("'{context}' : unknown keyword '{word}'."));
            let is_port = i == 3 && word.parse::<u16>().is_ok() && !line.word(2).contains(':');
            let port = is_port
                .then(|| format!("a port follows the address behind a colon: '{}:{word}'", line.word(2)));
            diagnostic.hint = port.or_else(|| suggest::hint(word, names));
            parser.report(diagnostic);
            return false;
        }
    }
    parser.replaying || parser.diagnostics.len() == before
}

fn server(parser: &mut Parser, line: &Line) {
    if line.words.len() < 3 {
        parser.alert(line, line.words.len(), "'server' expects <name> and <addr>[:<port>] as arguments.");
        return;
    }
    if let Some(c) = crate::config::sections::invalid_character(line.word(1)) {
        let message = format!("character '{c}' is not permitted in server name '{}'.", line.word(1));
        parser.alert(line, 1, message);
        return;
    }
    let Some(mut draft) = begin(parser, line) else { return };
    draft.server.name = line.word(1).into();
    let context = context(parser, line.word(1));
    let addressed = endpoint(parser, line, 2, &context, &mut draft);
    options(parser, line, 3, &context, &mut draft);
    if addressed {
        push(parser, draft);
    }
}

/// A server added while the process runs, with the `accepted` options alone.
pub fn running(parser: &mut Parser, line: &Line, accepted: &[&str]) -> Option<ServerDraft> {
    let mut draft = begin(parser, line)?;
    draft.server.name = line.word(1).into();
    draft.init_addr = vec![InitAddr::None];
    let context = context(parser, line.word(1));
    let mut i = 3;
    while i < line.words.len() {
        let word = line.word(i);
        let known = every_option().find(|o| o.name == word);
        if (known.is_some() || UNSUPPORTED.contains(&word)) && !accepted.contains(&word) {
            parser.alert(line, i, format!("'{word}' option is not accepted for dynamic server"));
            return None;
        }
        i += 1 + known.map_or(0, |o| o.taken);
    }
    (endpoint(parser, line, 2, &context, &mut draft) && options(parser, line, 3, &context, &mut draft))
        .then_some(draft)
}

fn template(parser: &mut Parser, line: &Line) {
    if line.words.len() < 4 {
        let message = "'server-template' expects <prefix> <nb | range> <addr>[:<port>] as arguments.";
        parser.alert(line, line.words.len(), message);
        return;
    }
    let Some((low, high)) = range(line.word(2)) else {
        let message = format!("'server-template' : Wrong number or range of servers '{}'.", line.word(2));
        parser.alert(line, 2, message);
        return;
    };
    let Some(mut draft) = begin(parser, line) else { return };
    let context = context(parser, line.word(1));
    if !endpoint(parser, line, 3, &context, &mut draft) || !options(parser, line, 4, &context, &mut draft) {
        return;
    }
    for number in low..=high {
        let mut one = draft.clone();
        one.server.name = format!("{}{number}", line.word(1)).into();
        if number > low {
            one.server.id = 0;
        }
        push(parser, one);
    }
}

/// The names a `server-template` line makes; none where its number or range is wrong.
pub fn template_names(prefix: &str, numbers: &str) -> Vec<String> {
    let (low, high) = range(numbers).unwrap_or((1, 0));
    (low..=high).map(|number| format!("{prefix}{number}")).collect()
}

/// `5` or `1-5`; more servers than could be meant are refused.
fn range(text: &str) -> Option<(u32, u32)> {
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (low.parse().ok()?, high.parse().ok()?),
        None => (1, text.parse().ok()?),
    };
    (low <= high && high - low < 100_000 && high > 0).then_some((low, high))
}

fn begin(parser: &mut Parser, line: &Line) -> Option<ServerDraft> {
    let mut draft = parser.draft()?.default_server.clone();
    draft.line = line.clone();
    draft.server.place = Some(line.place.clone());
    Some(draft)
}

fn push(parser: &mut Parser, draft: ServerDraft) {
    if let Some(proxy) = parser.draft() {
        proxy.servers.push(draft);
    }
}

fn context(parser: &mut Parser, name: &str) -> String {
    let proxy = parser.draft().map_or(String::new(), |d| d.proxy.name.to_string());
    format!("server {proxy}/{name}")
}

fn endpoint(parser: &mut Parser, line: &Line, index: usize, context: &str, draft: &mut ServerDraft) -> bool {
    let text = line.word(index);
    let refuse = |parser: &mut Parser, message: String| {
        parser.alert(line, index, format!("'{context}' : {message}"));
        false
    };
    match address::parse(text) {
        Ok(Spec::Inet { udp: true, .. }) => {
            refuse(parser, format!("UDP servers are not supported by weir yet in '{text}'"))
        }
        Ok(Spec::Inet { family, host, port, .. }) => {
            let number = match port {
                Port::One(port) => port,
                Port::None => {
                    draft.server.port_offset = Some(0);
                    0
                }
                Port::Offset(offset) => {
                    draft.server.port_offset = Some(offset);
                    0
                }
                Port::Range(..) => {
                    return refuse(parser, format!("port ranges are not allowed here in '{text}'"));
                }
            };
            let ip = match host {
                Host::Ip(ip) => ip,
                Host::Wildcard => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                Host::Name(name) => {
                    draft.host = Some(name);
                    draft.family = family;
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED)
                }
            };
            draft.server.endpoint = Endpoint::Inet(SocketAddr::new(ip, number));
            true
        }
        Ok(Spec::Unix { path, datagram: false }) => {
            draft.server.endpoint = Endpoint::Unix(path);
            true
        }
        Ok(Spec::Abstract(name)) => {
            draft.server.endpoint = Endpoint::Abstract(name);
            true
        }
        Ok(_) => refuse(parser, format!("address '{text}' is not supported by weir yet")),
        Err(message) => refuse(parser, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_ranges() {
        assert_eq!(range("5"), Some((1, 5)));
        assert_eq!(range("3-5"), Some((3, 5)));
        assert_eq!(range("0-9"), Some((0, 9)));
        for bad in ["0", "5-3", "x", "1-", "999999999"] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }
}
