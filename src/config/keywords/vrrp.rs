//! `vrrp`, `vrrp-group` and `vrrp-script` sections: what keepalived does beside a proxy, inside it.

use super::vrrp_routes;
use crate::config::keyword::{Keyword, Section, VRRP, VRRP_GROUP, VRRP_SCRIPT};
use crate::config::model::vrrp::{RunAs, SCOPES, VirtualAddress};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::units::Unit;
use crate::config::vrrp::{RouterDraft, ScriptDraft, TrackDraft, TrackedName};
use crate::wire::vrrp::{Auth, Version};
use std::net::IpAddr;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "accept",
        VRRP,
        "",
        "A master takes what is addressed to the virtual addresses (default, but not with 'strict').",
        |p, l| {
            if p.at_most(l, 1) {
                change(p, |r| r.accepts = Some((l.clone(), true)));
            }
        },
    ),
    Keyword::new(
        "address",
        VRRP,
        "<address>[/<prefix>] [dev <interface>] [label <label>] [scope { global | site | link | host }]",
        "A virtual address, held while master. Without a prefix it is a host's (/32, /128).",
        address,
    ),
    Keyword::new(
        "advert-interval",
        VRRP,
        "<time>",
        "Between two adverts (default: 1s): whole seconds in version 2, multiples of 10ms in version 3.",
        |p, l| {
            if let Some(interval) = p.duration(l, 1, Unit::Seconds) {
                if interval.is_zero() {
                    return p.alert(l, 1, "'advert-interval' : must be more than 0.");
                }
                change(p, |r| r.interval = Some((l.clone(), interval)));
            }
        },
    ),
    Keyword::new(
        "authentication",
        VRRP,
        "pass <password>",
        "The password of version 2, sent in the clear; its first eight bytes count.",
        authentication,
    ),
    Keyword::new(
        "command",
        VRRP_SCRIPT,
        "<command>",
        "The program and its arguments, run without a shell.",
        |p, l| {
            if let Some(words) = command(p, l) {
                change_script(p, |s| s.command = words);
            }
        },
    ),
    Keyword::new(
        "email-alert",
        VRRP,
        "{ mailers <section> | from <address> | to <addresses> | myhostname <name> }",
        "Mail on every change of state, through a mailers section.",
        email_alert,
    ),
    Keyword::new("fall", VRRP_SCRIPT, "<count>", "Failures in a row that count (default: 1).", |p, l| {
        if let Some(n) = p.integer(l, 1, 1, 255) {
            change_script(p, |s| s.fall = n);
        }
    }),
    Keyword::new(
        "garp-delay",
        VRRP,
        "<time>",
        "A second burst of announcements comes this long after the first (default: 5s; 0: none).",
        |p, l| {
            if let Some(delay) = p.duration(l, 1, Unit::Seconds) {
                change(p, |r| r.garp.delay = delay);
            }
        },
    ),
    Keyword::new(
        "garp-lower-prio-delay",
        VRRP,
        "<time>",
        "The same after the burst that answers a lower master (default: garp-delay; 0: none).",
        |p, l| {
            if let Some(delay) = p.duration(l, 1, Unit::Seconds) {
                change(p, |r| r.lower_delay = Some(delay));
            }
        },
    ),
    Keyword::new(
        "garp-lower-prio-repeat",
        VRRP,
        "<count>",
        "Announcements of each address when a lower master is heard (default: garp-repeat; 0: none).",
        |p, l| {
            if let Some(repeat) = p.integer(l, 1, 0, 100) {
                change(p, |r| r.lower_repeat = Some(repeat));
            }
        },
    ),
    Keyword::new(
        "garp-refresh",
        VRRP,
        "<time>",
        "While master, a burst of announcements every so often (default: 0, none).",
        |p, l| {
            if let Some(refresh) = p.duration(l, 1, Unit::Seconds) {
                change(p, |r| r.garp.refresh = refresh);
            }
        },
    ),
    Keyword::new(
        "garp-refresh-repeat",
        VRRP,
        "<count>",
        "Announcements of each address in a burst of garp-refresh (default: 1).",
        |p, l| {
            if let Some(repeat) = p.integer(l, 1, 1, 100) {
                change(p, |r| r.garp.refresh_repeat = repeat);
            }
        },
    ),
    Keyword::new(
        "garp-repeat",
        VRRP,
        "<count>",
        "Announcements of each address in a burst (default: 5).",
        |p, l| {
            if let Some(repeat) = p.integer(l, 1, 1, 100) {
                change(p, |r| r.garp.repeat = repeat);
            }
        },
    ),
    Keyword::new(
        "init-fail",
        VRRP_SCRIPT,
        "",
        "The script counts as failing until it has passed 'rise' times.",
        |p, l| {
            if p.at_most(l, 1) {
                change_script(p, |s| s.init_fail = true);
            }
        },
    ),
    Keyword::new(
        "interface",
        VRRP,
        "<interface>",
        "Where adverts are sent and heard, and addresses held. A second one carries adverts too: a master is lost when both are silent.",
        interface,
    ),
    Keyword::new("interval", VRRP_SCRIPT, "<time>", "Between two runs (default: 1s).", |p, l| {
        if let Some(interval) = p.duration(l, 1, Unit::Seconds) {
            if interval.is_zero() {
                return p.alert(l, 1, "'interval' : must be more than 0.");
            }
            change_script(p, |s| s.interval = interval);
        }
    }),
    Keyword::new("member", VRRP_GROUP, "<vrrp>", "A vrrp section of the group.", |p, l| {
        if p.text(l, 1, "the name of a vrrp section").is_some()
            && let Some(group) = p.vrrp.groups.last_mut()
        {
            group.members.push(l.clone());
        }
    }),
    Keyword::new(
        "min-ttl",
        VRRP,
        "<ttl>",
        "The lowest TTL or hop limit of adverts that are heard (default: 255; 64 with IPv6 peers, as keepalived sends to them). Less is for peers behind routers.",
        |p, l| {
            if let Some(ttl) = p.integer(l, 1, 1, 255) {
                change(p, |r| r.min_ttl = Some(ttl));
            }
        },
    ),
    Keyword::new(
        "no-accept",
        VRRP,
        "",
        "What is addressed to the virtual addresses is dropped, by nftables, unless this router owns them.",
        |p, l| {
            if p.at_most(l, 1) {
                change(p, |r| r.accepts = Some((l.clone(), false)));
            }
        },
    ),
    Keyword::new(
        "nopreempt",
        VRRP,
        "",
        "Leaves the addresses with a living master of lower priority.",
        |p, l| {
            if p.at_most(l, 1) {
                change(p, |r| r.preempt = false);
            }
        },
    ),
    notify(
        "notify",
        "On every change of state. Arguments are added: INSTANCE or GROUP, name, state, priority.",
    ),
    notify("notify-backup", "When it becomes backup."),
    notify("notify-fault", "When it is at fault."),
    notify("notify-master", "When it becomes master."),
    notify("notify-stop", "When it stops."),
    Keyword::new(
        "peer",
        VRRP,
        "<address>",
        "A router adverts are sent to, and taken from, instead of multicast. May be repeated.",
        |p, l| {
            if let Some(address) = ip(p, l, 1) {
                change(p, |r| r.peers.push((l.clone(), address)));
            }
        },
    ),
    Keyword::new(
        "preempt-delay",
        VRRP,
        "<time>",
        "How long a lower master must have been in sight before the addresses are taken from it (default: 0).",
        |p, l| {
            if let Some(delay) = p.duration(l, 1, Unit::Seconds) {
                change(p, |r| r.preempt_delay = delay);
            }
        },
    ),
    Keyword::new(
        "priority",
        VRRP,
        "<priority>",
        "1 to 254, the highest becomes master (default: 100); 255: the owner of the addresses.",
        |p, l| {
            if let Some(priority) = p.integer(l, 1, 1, 255) {
                change(p, |r| r.priority = priority);
            }
        },
    ),
    Keyword::new(
        "route",
        VRRP,
        "<network>|default [via <address>] [dev <interface>] [src <address>] [metric <n>] [table <n>]",
        "A route that comes and goes with the addresses, of their family (default: by the router's interface).",
        vrrp_routes::route,
    ),
    Keyword::new(
        "rule",
        VRRP,
        "[from <network>] [to <network>] [iif <interface>] [fwmark <n>] table <n> [priority <n>]",
        "A rule of routing that comes and goes with the addresses.",
        vrrp_routes::rule,
    ),
    Keyword::new("rise", VRRP_SCRIPT, "<count>", "Passes in a row that count (default: 1).", |p, l| {
        if let Some(n) = p.integer(l, 1, 1, 255) {
            change_script(p, |s| s.rise = n);
        }
    }),
    Keyword::new(
        "source",
        VRRP,
        "<address>",
        "The address adverts are sent from; it breaks ties (default: the interface's first).",
        |p, l| {
            if let Some(address) = ip(p, l, 1) {
                change(p, |r| r.source = Some((l.clone(), address)));
            }
        },
    ),
    Keyword::new(
        "start-delay",
        VRRP,
        "<time>",
        "Listens this much longer after the start (default: 0).",
        |p, l| {
            if let Some(delay) = p.duration(l, 1, Unit::Seconds) {
                change(p, |r| r.start_delay = delay);
            }
        },
    ),
    Keyword::new(
        "state",
        VRRP,
        "{ master | backup }",
        "What it starts as (default: backup): 'master' waits for one interval instead of three.",
        |p, l| match l.word(1) {
            "master" => change(p, |r| r.starts_master = true),
            "backup" => change(p, |r| r.starts_master = false),
            other => p.alert(l, 1, format!("'state' expects 'master' or 'backup' (got '{other}').")),
        },
    ),
    Keyword::new(
        "strict",
        VRRP,
        "",
        "Refuses what the RFCs do not know (peers, passwords, a second interface...), and is 'no-accept' by itself.",
        |p, l| {
            if p.at_most(l, 1) {
                change(p, |r| r.strict = true);
            }
        },
    ),
    Keyword::new(
        "timeout",
        VRRP_SCRIPT,
        "<time>",
        "A run that takes longer is killed and has failed (default: the interval).",
        |p, l| {
            if let Some(timeout) = p.duration(l, 1, Unit::Seconds) {
                change_script(p, |s| s.timeout = Some(timeout));
            }
        },
    ),
    Keyword::new(
        "track",
        VRRP,
        "{ interface | script | frontend | file } <name> [weight <n>] | { backend | process } <name> [min-up <n>] [weight <n>] | l4 [<name> [min-up <n>]] [weight <n>]",
        "Follows something: weight 0 (default) makes its failure a fault, a positive weight is added while it is well, a negative one while it fails. The number in a file is multiplied by the weight (default there: 1) and added; with weight 0 a number other than 0 is a fault.",
        track,
    ),
    Keyword::new(
        "user",
        VRRP.or(VRRP_GROUP).or(VRRP_SCRIPT),
        "<user> [<group>]",
        "Whom the programs of the section run as (default: as weir does).",
        user,
    ),
    Keyword::new(
        "use-vmac",
        VRRP,
        "[<interface>]",
        "Holds the addresses on an interface with the virtual MAC address, made for it (default: vrrp.<id>, vrrp6.<id>).",
        |p, l| {
            let name = (l.words.len() > 1).then(|| l.word(1).to_owned());
            if name.as_ref().is_some_and(|n| is_no_interface(n)) {
                return p.alert(l, 1, format!("'use-vmac' : '{}' is no interface's name.", l.word(1)));
            }
            if p.at_most(l, 2) {
                change(p, |r| r.vmac = Some((l.clone(), name)));
            }
        },
    ),
    Keyword::new(
        "version",
        VRRP,
        "{ 2 | 3 }",
        "Of the protocol (default: 2; 3 with IPv6 addresses).",
        |p, l| {
            let version = match l.word(1) {
                "2" => Version::V2,
                "3" => Version::V3,
                other => return p.alert(l, 1, format!("'version' expects 2 or 3 (got '{other}').")),
            };
            change(p, |r| r.version = Some(version));
        },
    ),
    Keyword::new(
        "virtual-router-id",
        VRRP,
        "<id>",
        "1 to 255, the same on all routers of the addresses.",
        |p, l| {
            if let Some(vrid) = p.integer(l, 1, 1, 255) {
                change(p, |r| r.vrid = Some(vrid));
            }
        },
    ),
    Keyword::new("weight", VRRP_SCRIPT, "<weight>", "-253 to 253: see 'track' (default: 0).", |p, l| {
        if let Some(weight) = p.integer(l, 1, -253, 253) {
            change_script(p, |s| s.weight = weight);
        }
    }),
];

const fn notify(name: &'static str, doc: &'static str) -> Keyword {
    Keyword::new(name, VRRP.or(VRRP_GROUP), "<command>", doc, apply_notify)
}

fn apply_notify(parser: &mut Parser, line: &Line) {
    let Some(words) = command(parser, line) else { return };
    let in_group = parser.section == Section::VrrpGroup;
    let notify = if in_group {
        parser.vrrp.groups.last_mut().map(|g| &mut g.notify)
    } else {
        parser.vrrp.routers.last_mut().map(|r| &mut r.notify)
    };
    let Some(notify) = notify else { return };
    match line.word(0) {
        "notify-master" => notify.master = Some(words),
        "notify-backup" => notify.backup = Some(words),
        "notify-fault" => notify.fault = Some(words),
        "notify-stop" => notify.stop = Some(words),
        _ => notify.any = Some(words),
    }
}

fn user(parser: &mut Parser, line: &Line) {
    let Some(user) = parser.text(line, 1, "a user's name") else { return };
    let group = Some(line.word(2)).filter(|g| !g.is_empty()).map(str::to_owned);
    let user = Some(RunAs { user, group });
    match parser.section {
        Section::VrrpScript => change_script(parser, |s| s.user = user),
        Section::VrrpGroup => {
            if let Some(group) = parser.vrrp.groups.last_mut() {
                group.notify.user = user;
            }
        }
        _ => change(parser, |r| r.notify.user = user),
    }
}

fn email_alert(parser: &mut Parser, line: &Line) {
    let (what, value) = (line.word(1), line.word(2).to_owned());
    if value.is_empty() {
        return parser.alert(
            line,
            1,
            "'email-alert' expects 'mailers', 'from', 'to' or 'myhostname' and a value.",
        );
    }
    change(parser, |r| {
        r.mail_line.get_or_insert_with(|| line.clone());
    });
    match what {
        "mailers" => change(parser, |r| r.mail.mailers = Some(value)),
        "from" => change(parser, |r| r.mail.from = Some(value)),
        "to" => change(parser, |r| r.mail.to = Some(value)),
        "myhostname" => change(parser, |r| r.mail.hostname = Some(value)),
        other => parser.alert(
            line,
            1,
            format!("'email-alert' expects 'mailers', 'from', 'to' or 'myhostname' (got '{other}')."),
        ),
    }
}

pub(super) fn change(parser: &mut Parser, apply: impl FnOnce(&mut RouterDraft)) {
    if let Some(router) = parser.vrrp.routers.last_mut() {
        apply(router);
    }
}

fn change_script(parser: &mut Parser, apply: impl FnOnce(&mut ScriptDraft)) {
    if let Some(script) = parser.vrrp.scripts.last_mut() {
        apply(script);
    }
}

/// A program and its arguments: several words, or one word that holds them all.
fn command(parser: &mut Parser, line: &Line) -> Option<Vec<String>> {
    let words = line.words.iter().skip(1).flat_map(|w| w.text.split_whitespace()).map(str::to_owned);
    let words: Vec<String> = words.collect();
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        let message = format!("'{}' expects a program with its whole path.", line.word(0));
        parser.alert(line, 1, message);
        return None;
    }
    Some(words)
}

fn ip(parser: &mut Parser, line: &Line, at: usize) -> Option<IpAddr> {
    let parsed = line.word(at).parse().ok();
    if parsed.is_none() {
        let message = format!("'{}' expects an IP address (got '{}').", line.word(0), line.word(at));
        parser.alert(line, at, message);
    }
    parsed
}

fn is_no_interface(name: &str) -> bool {
    name.is_empty() || name.len() > 15 || name.contains('/')
}

fn interface(parser: &mut Parser, line: &Line) {
    let Some(name) = parser.text(line, 1, "an interface name") else { return };
    if is_no_interface(&name) {
        return parser.alert(line, 1, format!("'interface' : '{name}' is no interface's name."));
    }
    let Some(router) = parser.vrrp.routers.last_mut() else { return };
    match (&router.interface, &router.further) {
        (None, _) => router.interface = Some(name),
        (Some(_), None) => router.further = Some((line.clone(), name)),
        _ => parser.alert(line, 1, "'interface' : two at the most."),
    }
}

fn authentication(parser: &mut Parser, line: &Line) {
    match (line.word(1), line.word(2)) {
        ("pass", "") => parser.alert(line, 1, "'authentication pass' expects a password."),
        ("pass", password) => {
            if password.len() > 8 {
                parser.warning(line, 2, "'authentication pass' : only the first eight bytes count.");
            }
            let auth = Auth::pass(password);
            change(parser, |r| r.auth = Some((line.clone(), auth)));
        }
        ("ah", _) => parser.alert(
            line,
            1,
            "'authentication ah' : IPsec AH is not supported by weir: use 'pass', or version 3 without.",
        ),
        (other, _) => {
            parser.alert(line, 1, format!("'authentication' expects 'pass' (got '{other}')."));
        }
    }
}

fn address(parser: &mut Parser, line: &Line) {
    let text = line.word(1);
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let Ok(address) = ip.parse::<IpAddr>() else {
        return parser.alert(line, 1, format!("'address' expects an IP address (got '{text}')."));
    };
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.map(str::parse::<u8>) {
        None => widest,
        Some(Ok(prefix)) if prefix <= widest => prefix,
        Some(_) => {
            return parser.alert(
                line,
                1,
                format!("'address' : the prefix must be 0 to {widest} (got '{text}')."),
            );
        }
    };
    let mut held = VirtualAddress { address, prefix, device: None, label: None, scope: 0 };
    let mut i = 2;
    while i < line.words.len() {
        let value = line.word(i + 1).to_owned();
        if value.is_empty() {
            return parser.alert(line, i, format!("'address' : '{}' expects a value.", line.word(i)));
        }
        match line.word(i) {
            "dev" => held.device = Some(value),
            "label" if value.len() > 15 => {
                return parser.alert(line, i + 1, "'address' : a label has 15 letters at the most.");
            }
            "label" => held.label = Some(value),
            "scope" if address.is_ipv6() => {
                return parser.alert(
                    line,
                    i,
                    "'address' : the scope of an IPv6 address is in the address: remove it.",
                );
            }
            "scope" => match SCOPES.iter().find(|(name, _)| *name == value) {
                Some((_, scope)) => held.scope = *scope,
                None => {
                    let message =
                        format!("'address' : 'scope' expects global, site, link or host (got '{value}').");
                    return parser.alert(line, i + 1, message);
                }
            },
            other => {
                let message = format!("'address' expects 'dev', 'label' or 'scope' (got '{other}').");
                return parser.alert(line, i, message);
            }
        }
        i += 2;
    }
    change(parser, |r| r.addresses.push((line.clone(), held)));
}

fn track(parser: &mut Parser, line: &Line) {
    // All of 'mode l4', or one service of it.
    let is_whole = line.word(1) == "l4" && matches!(line.word(2), "" | "weight");
    let name = if is_whole { String::new() } else { line.word(2).to_owned() };
    if name.is_empty() && !is_whole {
        return parser.alert(line, 1, "'track' expects what to follow and its name.");
    }
    let (mut weight, mut min_up) = (None, 1);
    let mut i = if is_whole { 2 } else { 3 };
    while i < line.words.len() {
        match line.word(i) {
            "weight" => match parser.integer(line, i + 1, -253, 253) {
                Some(n) => weight = Some(n),
                None => return,
            },
            "min-up" if !is_whole && matches!(line.word(1), "backend" | "process" | "l4") => {
                match parser.integer(line, i + 1, 1, 65_535) {
                    Some(n) => min_up = n,
                    None => return,
                }
            }
            other => {
                return parser.alert(
                    line,
                    i,
                    format!("'track {}' : unexpected argument '{other}'.", line.word(1)),
                );
            }
        }
        i += 2;
    }
    let what = match line.word(1) {
        "interface" => TrackedName::Interface(name),
        "script" => TrackedName::Script(name),
        "backend" => TrackedName::Backend(name, min_up),
        "frontend" => TrackedName::Frontend(name),
        "file" if !name.starts_with('/') => {
            return parser.alert(line, 2, "'track file' expects a whole path.");
        }
        "file" => TrackedName::File(name.into()),
        "process" => TrackedName::Process(name, min_up),
        "l4" => TrackedName::L4((!is_whole).then_some((name, min_up))),
        other => {
            let message = format!(
                "'track' expects 'interface', 'script', 'backend', 'frontend', 'file', 'process' or 'l4' (got '{other}')."
            );
            return parser.alert(line, 1, message);
        }
    };
    change(parser, |r| r.tracks.push(TrackDraft { line: line.clone(), what, weight }));
}
