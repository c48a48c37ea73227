//! `mode l4`: keywords of its proxies, of `global`, and options of its servers; `bind`, `balance` and `source` as they
//! are read there.

use super::server::{ServerOption, option};
use crate::balance::l4::Scheduler;
use crate::config::address::{self, Host, Port, Spec};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{BACK, GLOBAL, Keyword, Prefix};
use crate::config::l4::{Draft, Netmask, PersistDraft, allowed};
use crate::config::model::l4::{
    Encapsulation, Flags, Forward, Hook, MinimumUp, OnDown, OnRemove, Protocol, Sync, Vip,
};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "forward",
        BACK,
        "{ nat | dr | tun [gue port <port>] | fullnat [toa] }",
        "In 'mode l4', how packets reach the servers: nat translates both ways through this host, dr rewrites the MAC \
         address only (the default, as in ipvsadm), tun wraps packets in IP (or in UDP, with gue), fullnat shows the \
         servers an address of 'source'.",
        |p, l| {
            if let Some(forward) = forward(p, l) {
                draft(p, |d| d.forward = Some((l.clone(), forward)));
            }
        },
    ),
    Keyword::new(
        "l4-compat",
        GLOBAL,
        "ipvs",
        "Servers with equal claims are chosen in the order of their lines, as IPVS does, and a server that comes back gets \
         every new flow until it has as many as the others.",
        |p, l| {
            if l.word(1) != "ipvs" {
                return p.alert(l, 1, format!("'l4-compat' expects 'ipvs' (got '{}').", l.word(1)));
            }
            if p.at_most(l, 2) {
                p.global.l4.compat_ipvs = true;
            }
        },
    ),
    Keyword::new(
        "l4-hook",
        GLOBAL,
        "{ auto | tc | xdp }",
        "Where 'mode l4' takes packets from interfaces: at tc's ingress or, before that, by XDP (default: auto).",
        |p, l| {
            let hook = match l.word(1) {
                "auto" => Hook::Auto,
                "tc" => Hook::Tc,
                "xdp" => Hook::Xdp,
                other => {
                    return p.alert(
                        l,
                        1,
                        format!("'l4-hook' expects 'auto', 'tc' or 'xdp' (got '{other}')."),
                    );
                }
            };
            if hook == Hook::Xdp {
                crate::config::l4::pending::need(p, l, 1, crate::config::l4::pending::Feature::XdpHook);
            }
            if p.at_most(l, 2) {
                p.global.l4.hook = hook;
            }
        },
    ),
    Keyword::new(
        "l4-sync",
        GLOBAL,
        "<address>:<port> key <secret> [source <address>] [interface <name>]",
        "Tells another director (or a multicast group of them) which flows 'mode l4' forwards, and hears of its flows at the same \
         port, so that connections go on when it takes over. Whoever is master of a 'vrrp' section tells; without one both do. \
         All have the same key, services and servers.",
        sync,
    ),
    Keyword::new(
        "minimum up",
        BACK,
        "<servers> [hysteresis <servers>] [on-up <command>] [on-down <command>]",
        "In 'mode l4', how many servers make the service whole (keepalived's quorum). The commands are run without a shell.",
        minimum_up,
    ),
    Keyword::new(
        "on-remove",
        BACK,
        "{ cut | drain | expire }",
        "In 'mode l4', what becomes of UDP flows to a server that is gone: they end at once (cut, the default), last until \
         they are silent (drain), or are scheduled anew (expire).",
        |p, l| {
            let what = match l.word(1) {
                "cut" => OnRemove::Cut,
                "drain" => OnRemove::Drain,
                "expire" => OnRemove::Expire,
                other => {
                    return p.alert(
                        l,
                        1,
                        format!("'on-remove' expects 'cut', 'drain' or 'expire' (got '{other}')."),
                    );
                }
            };
            if p.at_most(l, 2) {
                draft(p, |d| d.on_remove = Some((l.clone(), what)));
            }
        },
    ),
    Keyword::new(
        "option one-packet",
        BACK,
        "",
        "In 'mode l4', every datagram is scheduled for itself and no flow is kept; for UDP only.",
        |p, l| switch(p, l, |d, on| d.one_packet = on),
    )
    .negatable(),
    Keyword::new(
        "option quiesce-on-down",
        BACK,
        "",
        "In 'mode l4', a server that goes down gets no new flows and keeps those it has.",
        |p, l| switch(p, l, |d, on| d.quiesce_on_down = on),
    )
    .negatable(),
    Keyword::new(
        "persist",
        BACK,
        "[<timeout>] [netmask <mask>] [on-down { move | keep }]",
        "In 'mode l4', a client's flows go to one server, until it has had none for the time (360 s). With a mask, clients \
         of one network go together: 255.255.255.0, or a number of bits. When their server is down they move to another \
         one, or wait for it (keep).",
        persist,
    ),
    Keyword::new(
        "timeout tcp",
        BACK,
        "<timeout>",
        "In 'mode l4', silence after which a TCP flow is forgotten (900 s).",
        timeout,
    ),
    Keyword::new(
        "timeout tcpfin",
        BACK,
        "<timeout>",
        "In 'mode l4', silence after which a TCP flow is forgotten that has seen a FIN (120 s).",
        timeout,
    ),
    Keyword::new(
        "timeout udp",
        BACK,
        "<timeout>",
        "In 'mode l4', silence after which a UDP flow is forgotten (300 s).",
        timeout,
    ),
];

/// Options of `server` lines in `mode l4` alone.
pub const SERVER_OPTIONS: &[ServerOption] = &[
    option(
        "forward",
        "<how>",
        "In 'mode l4', how packets reach this server: nat, dr, tun or fullnat.",
        1,
        |p, l, i, s| match l.word(i + 1) {
            "nat" => s.server.l4.forward = Some(Forward::Nat),
            "dr" => s.server.l4.forward = Some(Forward::DirectRouting),
            "tun" => s.server.l4.forward = Some(Forward::Tunnel(Encapsulation::Ip)),
            "fullnat" => s.server.l4.forward = Some(Forward::FullNat { toa: false }),
            other => unknown_forward(p, l, i + 1, other),
        },
    ),
    option(
        "l-threshold",
        "<flows>",
        "In 'mode l4', a server that met its 'u-threshold' gets new flows below this many (three quarters of it).",
        1,
        |p, l, i, s| threshold(p, l, i, |n| s.server.l4.lower_threshold = n),
    ),
    option(
        "u-threshold",
        "<flows>",
        "In 'mode l4', a server with this many flows gets no new ones (0: no limit).",
        1,
        |p, l, i, s| threshold(p, l, i, |n| s.server.l4.upper_threshold = n),
    ),
];

/// A line that must not stand in its proxy for what the proxy's mode is; answers whether it may.
pub fn fits(parser: &mut Parser, line: &Line, row: &Keyword) -> bool {
    let Some((active, in_defaults)) =
        parser.draft().map(|d| (d.l4.active, d.section == crate::config::keyword::Section::Defaults))
    else {
        return true;
    };
    // `persist rdp-cookie` is HAProxy's.
    let foreign = row.name == "persist" && line.word(1).starts_with("rdp-cookie");
    if active && allowed::keyword(row) && !foreign {
        return true;
    }
    let index = row.name.split(' ').count() - 1;
    if active {
        let message = format!("'{}' has no meaning in 'mode l4'.", row.name);
        let diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
        parser.report(diagnostic.hint(allowed::instead(row.name)));
        return false;
    }
    if foreign {
        parser.unsupported(line, 0, "persist rdp-cookie");
        return false;
    }
    // `defaults` may serve proxies of every mode.
    if in_defaults || !allowed::own(row) {
        return true;
    }
    let diagnostic = Diagnostic::at(Severity::Alert, line, index, format!("'{}' needs 'mode l4'.", row.name));
    parser.report(diagnostic.hint("write 'mode l4' in the section, or remove the line"));
    false
}

/// As [`fits`], for an option of a server.
pub fn server_option_fits(parser: &mut Parser, line: &Line, index: usize, context: &str) -> bool {
    let word = line.word(index);
    let Some((active, in_defaults)) =
        parser.draft().map(|d| (d.l4.active, d.section == crate::config::keyword::Section::Defaults))
    else {
        return true;
    };
    let (message, hint) = if active && !allowed::server_option(word) {
        (
            format!("'{context}' : '{word}' has no meaning in 'mode l4'."),
            allowed::instead_of_server_option(word),
        )
    } else if !active && !in_defaults && allowed::own_server_option(word) {
        (
            format!("'{context}' : '{word}' needs 'mode l4'."),
            "write 'mode l4' in the section, or remove the word",
        )
    } else {
        return true;
    };
    parser.report(Diagnostic::at(Severity::Alert, line, index, message).hint(hint));
    // In a `defaults` section replayed, what has no meaning here is passed over.
    false
}

fn sync(p: &mut Parser, l: &Line) {
    let Ok(peer) = l.word(1).parse::<SocketAddr>() else {
        return p.alert(l, 1, format!("'l4-sync' expects <address>:<port> (got '{}').", l.word(1)));
    };
    if peer.port() == 0 || peer.ip().is_unspecified() {
        return p.alert(l, 1, format!("'l4-sync' expects an address and a port (got '{peer}')."));
    }
    let (mut key, mut source, mut interface) = (None, None, None);
    let mut at = 2;
    while !l.word(at).is_empty() {
        let value = l.word(at + 1);
        if value.is_empty() {
            return p.alert(l, at, format!("'l4-sync' : '{}' expects a value.", l.word(at)));
        }
        match l.word(at) {
            "key" => key = Some(value.into()),
            "interface" => interface = Some(value.into()),
            "source" => match value.parse::<IpAddr>() {
                Ok(address) if address.is_ipv4() == peer.is_ipv4() => source = Some(address),
                _ => {
                    let message = format!(
                        "'l4-sync' : 'source' expects an address of the peer's family (got '{value}')."
                    );
                    return p.alert(l, at + 1, message);
                }
            },
            other => {
                let message = format!("'l4-sync' : '{other}' is none of 'key', 'source', 'interface'.");
                return p.alert(l, at, message);
            }
        }
        at += 2;
    }
    let Some(key) = key else {
        return p.alert(
            l,
            0,
            "'l4-sync' needs 'key <secret>': whoever sends flows decides where packets go.".to_owned(),
        );
    };
    p.global.l4.sync = Some(Arc::new(Sync { peer, source, interface, key }));
}

fn draft(parser: &mut Parser, change: impl FnOnce(&mut Draft)) {
    if let Some(draft) = parser.draft() {
        change(&mut draft.l4);
    }
}

fn timeout(parser: &mut Parser, line: &Line) {
    let Some(timeout) = parser.duration(line, 2, Unit::Milliseconds) else { return };
    if timeout.is_zero() {
        let message =
            format!("'timeout {}' : a flow must end some time: 0 is no timeout here.", line.word(1));
        return parser.alert(line, 2, message);
    }
    if !parser.at_most(line, 3) {
        return;
    }
    draft(parser, |d| match line.word(1) {
        "tcp" => d.timeouts.tcp = timeout,
        "tcpfin" => d.timeouts.tcpfin = timeout,
        _ => d.timeouts.udp = timeout,
    });
}

fn switch(parser: &mut Parser, line: &Line, set: fn(&mut Draft, Option<Line>)) {
    if parser.at_most(line, 2) {
        let on = (parser.prefix == Prefix::None).then(|| line.clone());
        draft(parser, |d| set(d, on));
    }
}

fn threshold(parser: &mut Parser, line: &Line, i: usize, set: impl FnOnce(u32)) {
    if let Some(flows) = parser.integer(line, i + 1, 0, u32::MAX) {
        set(flows);
    }
}

fn unknown_forward(parser: &mut Parser, line: &Line, index: usize, got: &str) {
    let message = format!("'forward' expects 'nat', 'dr', 'tun' or 'fullnat' (got '{got}').");
    let mut diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
    diagnostic.hint = match got {
        "masquerading" | "masq" | "NAT" | "-m" => Some("LVS's masquerading is 'nat'".to_owned()),
        "gatewaying" | "gateway" | "DR" | "-g" => Some("LVS's gatewaying is 'dr'".to_owned()),
        "ipip" | "TUN" | "-i" => Some("LVS's tunneling is 'tun'".to_owned()),
        other => suggest::hint(other, ["nat", "dr", "tun", "fullnat"]),
    };
    parser.report(diagnostic);
}

fn forward(parser: &mut Parser, line: &Line) -> Option<Forward> {
    let (forward, words) = match (line.word(1), line.word(2), line.word(3)) {
        ("nat", ..) => (Forward::Nat, 2),
        ("dr", ..) => (Forward::DirectRouting, 2),
        ("tun", "gue", "port") => {
            let port = parser.integer(line, 4, 1, u16::MAX)?;
            (Forward::Tunnel(Encapsulation::Gue { port }), 5)
        }
        ("tun", "gue", _) => {
            parser.alert(line, 3, "'forward tun gue' expects 'port <port>'.");
            return None;
        }
        ("tun", "", _) => (Forward::Tunnel(Encapsulation::Ip), 2),
        ("tun", other, _) => {
            let message =
                format!("'forward tun' wraps packets in IP, or in UDP by 'gue port <port>' (got '{other}').");
            parser.alert(line, 2, message);
            return None;
        }
        ("fullnat", "toa", _) => (Forward::FullNat { toa: true }, 3),
        ("fullnat", ..) => (Forward::FullNat { toa: false }, 2),
        (other, ..) => {
            unknown_forward(parser, line, 1, other);
            return None;
        }
    };
    parser.at_most(line, words).then_some(forward)
}

fn persist(parser: &mut Parser, line: &Line) {
    let mut persist =
        PersistDraft { timeout: Duration::from_secs(360), netmask: None, on_down: OnDown::Move };
    let mut i = 1;
    if line.word(1).starts_with(|c: char| c.is_ascii_digit()) {
        let Some(timeout) = parser.duration(line, 1, Unit::Seconds) else { return };
        if timeout.is_zero() {
            return parser.alert(line, 1, "'persist' : the time must be more than 0.");
        }
        persist.timeout = timeout;
        i = 2;
    }
    while i < line.words.len() {
        match (line.word(i), line.word(i + 1)) {
            ("netmask", text) => match netmask(text) {
                Some(mask) => persist.netmask = Some(mask),
                None => {
                    let message = format!(
                        "'persist netmask' expects a mask as 255.255.255.0 or a number of bits (got '{text}')."
                    );
                    return parser.alert(line, i + 1, message);
                }
            },
            ("on-down", "move") => persist.on_down = OnDown::Move,
            ("on-down", "keep") => persist.on_down = OnDown::Keep,
            ("on-down", other) => {
                let message = format!("'persist on-down' expects 'move' or 'keep' (got '{other}').");
                return parser.alert(line, i + 1, message);
            }
            (other, _) => {
                let message = format!("'persist' expects a time, 'netmask' or 'on-down' (got '{other}').");
                return parser.alert(line, i, message);
            }
        }
        i += 2;
    }
    draft(parser, |d| d.persist = Some((line.clone(), persist)));
}

/// A mask without holes, or a number of bits; neither may be 0.
fn netmask(text: &str) -> Option<Netmask> {
    if let Ok(bits) = text.parse::<u8>() {
        return (1..=128).contains(&bits).then_some(Netmask::Bits(bits));
    }
    let mask = u32::from(text.parse::<std::net::Ipv4Addr>().ok()?);
    let bits = mask.leading_ones();
    (mask != 0 && mask.count_ones() == bits).then(|| Netmask::Dotted(u8::try_from(bits).unwrap_or(32)))
}

fn minimum_up(parser: &mut Parser, line: &Line) {
    let Some(servers) = parser.integer(line, 2, 1, 65_535) else { return };
    let mut minimum = MinimumUp { servers, hysteresis: 0, on_up: None, on_down: None };
    let mut i = 3;
    while i < line.words.len() {
        match line.word(i) {
            "hysteresis" => match parser.integer(line, i + 1, 0, servers - 1) {
                Some(hysteresis) => minimum.hysteresis = hysteresis,
                None => return,
            },
            word @ ("on-up" | "on-down") => {
                let Some(command) = command(parser, line, i) else { return };
                if word == "on-up" {
                    minimum.on_up = Some(command);
                } else {
                    minimum.on_down = Some(command);
                }
            }
            other => {
                let message =
                    format!("'minimum up' expects 'hysteresis', 'on-up' or 'on-down' (got '{other}').");
                return parser.alert(line, i, message);
            }
        }
        i += 2;
    }
    draft(parser, |d| d.minimum_up = Some((line.clone(), minimum)));
}

/// A program with its arguments in one word.
fn command(parser: &mut Parser, line: &Line, i: usize) -> Option<Vec<String>> {
    let words: Vec<String> = line.word(i + 1).split_whitespace().map(str::to_owned).collect();
    if words.first().is_some_and(|program| program.starts_with('/')) {
        return Some(words);
    }
    let message =
        format!("'{}' expects a program with its whole path (in quotes with its arguments).", line.word(i));
    parser.alert(line, i + 1, message);
    None
}

// --- keywords that other modes have too -----------------------------------------------------------------------------

/// HAProxy's algorithms that mean the same without looking into packets.
const SAME: &[(&str, Scheduler)] = &[
    ("roundrobin", Scheduler::Wrr),
    ("static-rr", Scheduler::Wrr),
    ("leastconn", Scheduler::Wlc),
    ("source", Scheduler::Sh),
    ("first", Scheduler::Fo),
    ("random", Scheduler::Twos),
    ("random(2)", Scheduler::Twos),
];

pub(super) fn balance(parser: &mut Parser, line: &Line) {
    let name = line.word(1);
    let same = SAME.iter().find(|(word, _)| *word == name).map(|(_, scheduler)| *scheduler);
    let Some(scheduler) = Scheduler::by_name(name).or(same) else {
        let names = Scheduler::ALL.map(|s| format!("'{}'", s.name())).join(", ");
        let message = format!("'balance' in 'mode l4' expects one of {names} (got '{name}').");
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
        let algorithm = name.split('(').next().unwrap_or("");
        diagnostic.hint = match algorithm {
            "uri" | "url_param" | "hdr" | "hash" | "rdp-cookie" => Some(format!(
                "'{algorithm}' looks at what the client says: it needs 'mode http' or 'mode tcp'"
            )),
            "random" => Some("two draws ('twos') are all there is here".to_owned()),
            _ => suggest::hint(name, Scheduler::ALL.map(Scheduler::name)),
        };
        return parser.report(diagnostic);
    };
    let mut flags = Flags::default();
    for i in 2..line.words.len() {
        for word in line.word(i).split(',') {
            match (scheduler, word) {
                (Scheduler::Sh, "sh-port") | (Scheduler::Mh, "mh-port") => flags.port = true,
                (Scheduler::Sh, "sh-fallback") | (Scheduler::Mh, "mh-fallback") => flags.fallback = true,
                _ => {
                    let message = format!("'balance {name}' has no flag '{word}'.");
                    let diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
                    let hint = "'sh' has 'sh-port' and 'sh-fallback', 'mh' has 'mh-port' and 'mh-fallback'";
                    return parser.report(diagnostic.hint(hint));
                }
            }
        }
    }
    draft(parser, |d| d.scheduler = Some((line.clone(), scheduler, flags)));
}

/// `source 10.0.0.5-10.0.0.8 [10.0.0.20 ...]`: fullnat's addresses.
pub(super) fn source(parser: &mut Parser, line: &Line) {
    if line.word(1).is_empty() {
        return parser.alert(line, 0, "'source' expects addresses or ranges as '10.0.0.5-10.0.0.8'.");
    }
    for i in 1..line.words.len() {
        match range(line.word(i)) {
            Ok(addresses) => draft(parser, |d| {
                d.sources.extend(addresses.into_iter().map(|address| (line.clone(), address)));
            }),
            Err(message) => parser.alert(line, i, format!("'source' : {message}")),
        }
    }
}

/// More addresses than anybody means.
const MOST_SOURCES: u128 = 1024;

fn range(text: &str) -> Result<Vec<IpAddr>, String> {
    let address = |text: &str| {
        text.parse::<IpAddr>().map_err(|_| format!("'{text}' is not an IP address, nor a range of them"))
    };
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (address(low)?, address(high)?),
        None => (address(text)?, address(text)?),
    };
    let number = |address| match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    };
    let (first, last) = (number(low), number(high));
    if low.is_ipv4() != high.is_ipv4() || last < first {
        return Err(format!("'{text}' is no range: it ends before it begins"));
    }
    if last - first >= MOST_SOURCES {
        return Err(format!("'{text}' has more than {MOST_SOURCES} addresses"));
    }
    let back = |n: u128| match low {
        IpAddr::V4(_) => IpAddr::from(u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes()),
        IpAddr::V6(_) => IpAddr::from(n.to_be_bytes()),
    };
    Ok((first..=last).map(back).collect())
}

/// More ports on one line than anybody means: `:0` stands for all.
const MOST_PORTS: usize = 256;

pub(super) fn bind(parser: &mut Parser, line: &Line) {
    if line.word(1).chars().all(|c| c == ',') {
        return parser.alert(line, 0, "'bind' expects <address>:<port> or udp@<address>:<port>.");
    }
    if line.word(1).eq_ignore_ascii_case("fwmark") {
        let message = "'bind' : services by firewall mark are not supported by weir.".to_owned();
        return parser.report(Diagnostic::at(Severity::Alert, line, 1, message).hint(
            "packets are taken at tc's ingress, before iptables or nft could mark them: name the addresses in several 'bind' lines, \
             which are one service, and '<address>:0' for every port",
        ));
    }
    let Some(name) = bind_options(parser, line) else { return };
    for text in line.word(1).split(',').filter(|t| !t.is_empty()) {
        match vips(text, line, name.as_ref()) {
            Ok(found) => draft(parser, |d| d.vips.extend(found.into_iter().map(|vip| (line.clone(), vip)))),
            Err(message) => parser.alert(line, 1, format!("'bind' : {message}")),
        }
    }
}

/// The line's `name`, if all options have a meaning here.
fn bind_options(parser: &mut Parser, line: &Line) -> Option<Option<Arc<str>>> {
    let mut name = None;
    let mut i = 2;
    while i < line.words.len() {
        let word = line.word(i);
        if !allowed::bind_option(word) {
            let known = super::bind::OPTIONS.iter().any(|o| o.name == word)
                || super::bind::UNSUPPORTED.contains(&word)
                || super::bind_ssl::taken(word).is_some();
            let (message, hint) = if known {
                let message = format!("'bind' : '{word}' has no meaning in 'mode l4'.");
                let hint = "the kernel forwards packets to servers: nothing listens here, and TLS is theirs";
                (message, Some(hint.to_owned()))
            } else {
                (format!("'bind' : unknown keyword '{word}'."), suggest::hint(word, ["name", "id"]))
            };
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, i, message);
            diagnostic.hint = hint;
            parser.report(diagnostic);
            return None;
        }
        if word == "name" {
            name = Some(parser.text(line, i + 1, "a name")?.into());
        } else {
            parser.integer(line, i + 1, 1, i32::MAX)?;
        }
        i += 2;
    }
    Some(name)
}

fn vips(text: &str, line: &Line, name: Option<&Arc<str>>) -> Result<Vec<Vip>, String> {
    let Spec::Inet { family, host, port, udp } = address::parse(text)? else {
        return Err(format!("'mode l4' forwards TCP and UDP: '{text}' is neither"));
    };
    if host == Host::Wildcard {
        return Err(format!(
            "'mode l4' needs one address, not '{text}': every packet to this host would be taken; write the virtual address"
        ));
    }
    let address = address::ip_of(&host, family)?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("'{text}' is not the address of a service"));
    }
    let (low, high) = match port {
        Port::One(port) => (port, port),
        Port::Range(low, high) if low > 0 => (low, high),
        Port::None => return Err(format!("missing port number in '{text}' (':0' stands for every port)")),
        _ => return Err(format!("'{text}' : this is no port to listen on")),
    };
    if usize::from(high - low) >= MOST_PORTS {
        return Err(format!(
            "'{text}' has more than {MOST_PORTS} ports: ':0' with 'persist' stands for every port"
        ));
    }
    let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
    let one = |port| Vip { address, port, protocol, name: name.cloned(), place: line.place.clone() };
    Ok((low..=high).map(one).collect())
}

/// Is the current proxy in `mode l4`?
pub(super) fn is_l4(parser: &mut Parser) -> bool {
    parser.draft().is_some_and(|d| d.l4.active)
}
