//! `vrrp` sections as they are read, and their check once all names are known.

use super::diagnostic::{Diagnostic, Severity};
use super::draft::Draft;
use super::keyword::Section;
use super::model::Mode;
use super::model::mail::EmailAlert;
use super::model::vrrp::{
    Garp, Notify, RunAs, Track, Tracked, VirtualAddress, VirtualRoute, VirtualRule, Vrrp, VrrpConfig,
    VrrpGroup, VrrpScript,
};
use super::parser::Parser;
use super::raw::Line;
use super::suggest;
use crate::ids::ProxyIndex;
use crate::wire::vrrp::{Auth, LONGEST_V3, OWNER, TTL, Version};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// keepalived's default, and the RFC's.
const PRIORITY: u8 = 100;
/// Linux' hop limit.
const PEERS_V6: u8 = 64;

/// What the sections have said so far.
#[derive(Default)]
pub struct Drafts {
    pub routers: Vec<RouterDraft>,
    pub groups: Vec<GroupDraft>,
    pub scripts: Vec<ScriptDraft>,
    /// Places of the `mailers` sections that routers use.
    pub mailers: Vec<usize>,
}

pub struct RouterDraft {
    pub header: Line,
    pub interface: Option<String>,
    pub further: Option<(Line, String)>,
    /// `use-vmac`, with the interface's name if one is given.
    pub vmac: Option<(Line, Option<String>)>,
    pub vrid: Option<u8>,
    pub version: Option<Version>,
    pub starts_master: bool,
    pub priority: u8,
    /// With its line, for what depends on the version.
    pub interval: Option<(Line, Duration)>,
    pub preempt: bool,
    pub preempt_delay: Duration,
    pub start_delay: Duration,
    pub auth: Option<(Line, Auth)>,
    pub source: Option<(Line, IpAddr)>,
    pub peers: Vec<(Line, IpAddr)>,
    pub min_ttl: Option<u8>,
    pub addresses: Vec<(Line, VirtualAddress)>,
    /// `accept` or `no-accept`.
    pub accepts: Option<(Line, bool)>,
    pub strict: bool,
    pub routes: Vec<(Line, VirtualRoute)>,
    pub rules: Vec<(Line, VirtualRule)>,
    pub garp: Garp,
    /// Those of its fields that follow others unless given.
    pub lower_repeat: Option<u32>,
    pub lower_delay: Option<Duration>,
    pub tracks: Vec<TrackDraft>,
    pub notify: Notify,
    pub mail: EmailAlert,
    /// The first line about mail.
    pub mail_line: Option<Line>,
}

pub struct TrackDraft {
    pub line: Line,
    pub what: TrackedName,
    pub weight: Option<i32>,
}

pub enum TrackedName {
    Interface(String),
    Script(String),
    Backend(String, usize),
    Frontend(String),
    L4(Option<(String, usize)>),
    File(PathBuf),
    Process(String, usize),
}

pub struct GroupDraft {
    pub header: Line,
    pub members: Vec<Line>,
    pub notify: Notify,
}

pub struct ScriptDraft {
    pub header: Line,
    pub command: Vec<String>,
    pub user: Option<RunAs>,
    pub interval: Duration,
    pub timeout: Option<Duration>,
    pub rise: u32,
    pub fall: u32,
    pub weight: i32,
    pub init_fail: bool,
}

/// A section begins.
pub fn begin(parser: &mut Parser, section: Section, header: &Line) {
    let header = header.clone();
    match section {
        Section::Vrrp => parser.vrrp.routers.push(RouterDraft {
            header,
            interface: None,
            further: None,
            vmac: None,
            vrid: None,
            version: None,
            starts_master: false,
            priority: PRIORITY,
            interval: None,
            preempt: true,
            preempt_delay: Duration::ZERO,
            start_delay: Duration::ZERO,
            auth: None,
            source: None,
            peers: Vec::new(),
            min_ttl: None,
            addresses: Vec::new(),
            accepts: None,
            strict: false,
            routes: Vec::new(),
            rules: Vec::new(),
            garp: Garp::default(),
            lower_repeat: None,
            lower_delay: None,
            tracks: Vec::new(),
            notify: Notify::default(),
            mail: EmailAlert::default(),
            mail_line: None,
        }),
        Section::VrrpGroup => {
            parser.vrrp.groups.push(GroupDraft { header, members: Vec::new(), notify: Notify::default() });
        }
        Section::VrrpScript => parser.vrrp.scripts.push(ScriptDraft {
            header,
            command: Vec::new(),
            user: None,
            interval: Duration::from_secs(1),
            timeout: None,
            rise: 1,
            fall: 1,
            weight: 0,
            init_fail: false,
        }),
        _ => {}
    }
}

/// Names become places, and what no line alone can be wrong about is checked.
pub fn resolve(parser: &mut Parser, proxies: &[Draft]) -> VrrpConfig {
    let drafts = std::mem::take(&mut parser.vrrp);
    let names = Names {
        scripts: drafts.scripts.iter().map(|s| s.header.word(1).to_owned()).collect(),
        weights: drafts.scripts.iter().map(|s| s.weight).collect(),
        routers: drafts.routers.iter().map(|r| r.header.word(1).to_owned()).collect(),
        fronts: named(proxies, |d| d.section.has_front()),
        backs: named(proxies, |d| d.section.has_back()),
        services: named(proxies, |d| d.section.has_back() && d.proxy.mode == Mode::L4),
    };
    twins(parser, drafts.routers.iter().map(|r| &r.header));
    twins(parser, drafts.groups.iter().map(|g| &g.header));
    twins(parser, drafts.scripts.iter().map(|s| &s.header));
    same_vrid(parser, &drafts.routers);
    same_vmac(parser, &drafts.routers);
    twice(parser, &drafts);
    VrrpConfig {
        groups: drafts.groups.into_iter().map(|g| group(parser, g, &names)).collect(),
        scripts: drafts.scripts.iter().filter_map(|s| script(parser, s)).collect(),
        routers: drafts.routers.into_iter().filter_map(|r| router(parser, r, &names)).collect(),
    }
}

struct Names {
    scripts: Vec<String>,
    weights: Vec<i32>,
    routers: Vec<String>,
    fronts: Vec<(String, ProxyIndex)>,
    backs: Vec<(String, ProxyIndex)>,
    /// Sections with servers in `mode l4`.
    services: Vec<(String, ProxyIndex)>,
}

fn named(proxies: &[Draft], keep: impl Fn(&Draft) -> bool) -> Vec<(String, ProxyIndex)> {
    (0..)
        .zip(proxies)
        .filter(|(_, draft)| keep(draft))
        .map(|(i, draft)| (draft.proxy.name.to_string(), ProxyIndex(i)))
        .collect()
}

fn twins<'a>(parser: &mut Parser, headers: impl Iterator<Item = &'a Line>) {
    let mut seen: Vec<&Line> = Vec::new();
    for header in headers {
        if let Some(first) = seen.iter().find(|s| s.word(1) == header.word(1)) {
            let message = format!(
                "{} '{}' has the same name as the one declared at {}:{}.",
                header.word(0),
                header.word(1),
                first.place.file,
                first.place.line
            );
            parser.alert(header, 1, message);
        }
        seen.push(header);
    }
}

/// Two routers of one vrid on one interface would hear each other as the same router.
fn same_vrid(parser: &mut Parser, routers: &[RouterDraft]) {
    let six = |r: &RouterDraft| r.addresses.first().is_some_and(|(_, a)| a.address.is_ipv6());
    let interfaces = |r: &RouterDraft| {
        r.interface.iter().chain(r.further.iter().map(|(_, name)| name)).cloned().collect::<Vec<_>>()
    };
    for (i, router) in routers.iter().enumerate() {
        let twin = routers[..i].iter().find(|other| {
            router.vrid.is_some()
                && other.vrid == router.vrid
                && interfaces(other).iter().any(|name| interfaces(router).contains(name))
                && six(other) == six(router)
        });
        if let Some(other) = twin {
            let message = format!(
                "vrrp '{}' has the virtual-router-id and the interface of '{}': give one of them another id.",
                router.header.word(1),
                other.header.word(1)
            );
            parser.alert(&router.header, 1, message);
        }
    }
}

/// An address of an interface that two hold is lost for both when one gives it up; a router in two groups cannot follow both.
fn twice(parser: &mut Parser, drafts: &Drafts) {
    let mut held: Vec<(IpAddr, Option<&String>, &str)> = Vec::new();
    for router in &drafts.routers {
        for (line, VirtualAddress { address, device, .. }) in &router.addresses {
            let device = device.as_ref().or(router.interface.as_ref());
            if let Some((.., name)) = held.iter().find(|(a, d, _)| (a, *d) == (address, device)) {
                parser.alert(line, 1, format!("'address' : vrrp '{name}' has {address} already."));
            }
            held.push((*address, device, router.header.word(1)));
        }
    }
    let mut grouped: Vec<(&str, &str)> = Vec::new();
    for group in &drafts.groups {
        for line in &group.members {
            if let Some((_, other)) = grouped.iter().find(|(name, _)| *name == line.word(1)) {
                let message = format!("'member' : '{}' is in vrrp-group '{other}' already.", line.word(1));
                parser.alert(line, 1, message);
            }
            grouped.push((line.word(1), group.header.word(1)));
        }
    }
}

/// What is written without an effect.
fn idle(parser: &mut Parser, draft: &RouterDraft) {
    let name = draft.header.word(1);
    if !draft.preempt && draft.priority == OWNER {
        let message = format!(
            "vrrp '{name}' : 'nopreempt' is ignored: the owner of the addresses (priority 255) takes them."
        );
        parser.warning(&draft.header, 1, message);
    } else if !draft.preempt && !draft.preempt_delay.is_zero() {
        let message = format!("vrrp '{name}' : 'preempt-delay' is ignored with 'nopreempt'.");
        parser.warning(&draft.header, 1, message);
    }
}

/// The line and the interface's name: keepalived's, if none is given.
fn vmac_name(draft: &RouterDraft) -> Option<(&Line, String)> {
    let (line, given) = draft.vmac.as_ref()?;
    let six = draft.addresses.first().is_some_and(|(_, a)| a.address.is_ipv6());
    let usual = || format!("{}.{}", if six { "vrrp6" } else { "vrrp" }, draft.vrid.unwrap_or(0));
    Some((line, given.clone().unwrap_or_else(usual)))
}

fn same_vmac(parser: &mut Parser, routers: &[RouterDraft]) {
    for (i, router) in routers.iter().enumerate() {
        let Some((line, name)) = vmac_name(router) else { continue };
        let twin = routers[..i].iter().find(|other| vmac_name(other).is_some_and(|(_, n)| n == name));
        if let Some(other) = twin {
            let message = format!(
                "'use-vmac' : interface '{name}' is that of vrrp '{}': name another one.",
                other.header.word(1)
            );
            parser.alert(line, 0, message);
        }
    }
}

fn missing(parser: &mut Parser, header: &Line, line: &str) {
    let message = format!("{} '{}' has no '{line}'.", header.word(0), header.word(1));
    parser.alert(header, 1, message);
}

fn unknown<'a>(
    parser: &mut Parser,
    line: &Line,
    at: usize,
    what: &str,
    names: impl Iterator<Item = &'a str>,
) {
    let name = line.word(at);
    let message = format!("'{}' : no {what} is named '{name}'.", line.word(0));
    let mut diagnostic = Diagnostic::at(Severity::Alert, line, at, message);
    diagnostic.hint = suggest::hint(name, names);
    parser.report(diagnostic);
}

fn script(parser: &mut Parser, draft: &ScriptDraft) -> Option<VrrpScript> {
    if draft.command.is_empty() {
        missing(parser, &draft.header, "command");
        return None;
    }
    Some(VrrpScript {
        name: draft.header.word(1).into(),
        command: draft.command.clone(),
        user: draft.user.clone(),
        interval: draft.interval,
        timeout: draft.timeout.unwrap_or(draft.interval),
        rise: draft.rise,
        fall: draft.fall,
        weight: draft.weight,
        init_fail: draft.init_fail,
    })
}

fn group(parser: &mut Parser, draft: GroupDraft, names: &Names) -> VrrpGroup {
    let mut members = Vec::new();
    for line in &draft.members {
        match names.routers.iter().position(|name| name == line.word(1)) {
            Some(at) => members.push(at),
            None => unknown(parser, line, 1, "vrrp section", names.routers.iter().map(String::as_str)),
        }
    }
    if draft.members.is_empty() {
        missing(parser, &draft.header, "member");
    }
    VrrpGroup { name: draft.header.word(1).into(), members, notify: draft.notify }
}

fn router(parser: &mut Parser, draft: RouterDraft, names: &Names) -> Option<Vrrp> {
    let mail = mail(parser, draft.mail.clone(), draft.mail_line.as_ref());
    let tracks = draft.tracks.iter().filter_map(|t| track(parser, t, names)).collect();
    family(parser, &draft);
    further(parser, &draft);
    strict(parser, &draft);
    idle(parser, &draft);
    let version = version(parser, &draft);
    if draft.addresses.is_empty() {
        missing(parser, &draft.header, "address");
    }
    if draft.vrid.is_none() {
        missing(parser, &draft.header, "virtual-router-id");
    }
    let vmac = vmac_name(&draft).map(|(_, name)| name);
    let Some(interface) = draft.interface else {
        missing(parser, &draft.header, "interface");
        return None;
    };
    if !draft.preempt && draft.starts_master {
        let message = format!(
            "vrrp '{}' has 'nopreempt' and 'state master': it would take the addresses from a living master as it starts. Write 'state backup'.",
            draft.header.word(1)
        );
        parser.alert(&draft.header, 1, message);
    }
    // To IPv6 peers keepalived 2.2 sends with the system's hop limit.
    let usual_ttl = if draft.peers.iter().any(|(_, p)| p.is_ipv6()) { PEERS_V6 } else { TTL };
    Some(Vrrp {
        place: draft.header.place.clone(),
        name: draft.header.word(1).into(),
        interface,
        further: draft.further.map(|(_, name)| name),
        vmac,
        vrid: draft.vrid?,
        version,
        starts_master: draft.starts_master || draft.priority == OWNER,
        priority: draft.priority,
        interval: draft.interval.map_or(Duration::from_secs(1), |(_, i)| i),
        preempt: draft.preempt,
        preempt_delay: draft.preempt_delay,
        start_delay: draft.start_delay,
        auth: draft.auth.map_or(Auth::None, |(_, a)| a),
        source: draft.source.map(|(_, s)| s),
        peers: draft.peers.into_iter().map(|(_, p)| p).collect(),
        min_ttl: draft.min_ttl.unwrap_or(usual_ttl),
        addresses: draft.addresses.into_iter().map(|(_, a)| a).collect(),
        strict: draft.strict,
        accepts: draft.accepts.map_or(!draft.strict, |(_, a)| a) || draft.priority == OWNER,
        routes: draft.routes.into_iter().map(|(_, r)| r).collect(),
        rules: draft.rules.into_iter().map(|(_, r)| r).collect(),
        garp: Garp {
            lower_repeat: draft.lower_repeat.unwrap_or(draft.garp.repeat),
            lower_delay: draft.lower_delay.unwrap_or(draft.garp.delay),
            ..draft.garp
        },
        tracks,
        notify: draft.notify,
        mail,
    })
}

/// Where mail about its changes goes.
fn mail(parser: &mut Parser, mut alert: EmailAlert, line: Option<&Line>) -> EmailAlert {
    let Some(line) = line else { return alert };
    let (Some(wanted), Some(_), Some(_)) = (&alert.mailers, &alert.from, &alert.to) else {
        let message = "'email-alert' : all of 'email-alert mailers', 'email-alert from' and 'email-alert to' are needed.";
        parser.alert(line, 0, message);
        return alert;
    };
    alert.section = parser.mailer_sections.iter().position(|m| m.name == *wanted);
    match alert.section {
        Some(section) => parser.vrrp.mailers.push(section),
        None => {
            let hint = suggest::hint(wanted, parser.mailer_sections.iter().map(|m| m.name.as_str()));
            let message = format!("'email-alert' : unable to find mailers '{wanted}'.");
            parser.report(Diagnostic { hint, ..Diagnostic::at(Severity::Alert, line, 0, message) });
        }
    }
    alert
}

/// A second heartbeat is for the group: peers have one address each.
fn further(parser: &mut Parser, draft: &RouterDraft) {
    let Some((line, name)) = &draft.further else { return };
    if draft.interface.as_ref() == Some(name) {
        parser.alert(line, 1, format!("'interface' : '{name}' is given twice."));
    }
    if !draft.peers.is_empty() {
        parser.alert(line, 1, "'interface' : a second one is for multicast: remove it, or the 'peer' lines.");
    }
}

/// What the RFCs know nothing of, or forbid.
fn strict(parser: &mut Parser, draft: &RouterDraft) {
    if !draft.strict {
        return;
    }
    let version = draft.version.unwrap_or(Version::V2);
    let beyond = [
        (draft.peers.first().map(|(line, _)| line), "there are no peers, only the group"),
        (draft.auth.as_ref().map(|(line, _)| line), "there is no authentication (RFC 3768 section 5.3.6)"),
        (draft.further.as_ref().map(|(line, _)| line), "adverts go out of one interface"),
        (
            draft.accepts.as_ref().filter(|(_, a)| *a && version == Version::V2).map(|(line, _)| line),
            "version 2 takes nothing for the addresses (RFC 3768 section 6.4.3)",
        ),
        (
            draft.addresses.first().map(|(line, a)| (line, a.address)).and_then(|(line, address)| {
                matches!(address, IpAddr::V6(six) if six.segments()[0] & 0xffc0 != 0xfe80).then_some(line)
            }),
            "the first IPv6 address is link-local (RFC 9568 section 5.2.9)",
        ),
    ];
    for (line, why) in beyond.into_iter().filter_map(|(line, why)| Some((line?, why))) {
        parser.alert(line, 0, format!("'{}' : not with 'strict': {why}.", line.word(0)));
    }
    let header = |what: &str| format!("vrrp '{}' : not with 'strict': {what}.", draft.header.word(1));
    if draft.min_ttl.is_some_and(|ttl| ttl != TTL) {
        parser.alert(&draft.header, 1, header("'min-ttl' is 255"));
    }
    if draft.starts_master && draft.priority != OWNER {
        parser.alert(
            &draft.header,
            1,
            header("only the owner of the addresses, priority 255, starts as master"),
        );
    }
}

/// One router is of one family.
fn family(parser: &mut Parser, draft: &RouterDraft) {
    let Some((_, first)) = draft.addresses.first() else { return };
    let six = first.address.is_ipv6();
    let addresses = draft.addresses.iter().map(|(line, a)| (line, a.address));
    let others = draft.source.iter().chain(&draft.peers).map(|(line, address)| (line, *address));
    let routes = draft.routes.iter().flat_map(|(line, r)| r.addresses().map(move |a| (line, a)));
    let rules = draft.rules.iter().flat_map(|(line, r)| r.addresses().map(move |a| (line, a)));
    for (line, address) in
        addresses.chain(others).chain(routes).chain(rules).filter(|(_, a)| a.is_ipv6() != six)
    {
        let message = format!(
            "'{}' : {address} is not of the family of the router's first address, {}: write a vrrp section for each family.",
            line.word(0),
            first.address
        );
        parser.alert(line, 1, message);
    }
}

/// What depends on the version.
fn version(parser: &mut Parser, draft: &RouterDraft) -> Version {
    let six = draft.addresses.first().is_some_and(|(_, a)| a.address.is_ipv6());
    // As keepalived: version 2, which knows no IPv6.
    let version = draft.version.unwrap_or(if six { Version::V3 } else { Version::V2 });
    if six && draft.version == Some(Version::V2) {
        let message =
            format!("vrrp '{}' : version 2 knows no IPv6: write 'version 3'.", draft.header.word(1));
        parser.alert(&draft.header, 1, message);
    }
    if let (Version::V3, Some((line, _))) = (version, &draft.auth) {
        parser.alert(line, 0, "'authentication' : version 3 has none (RFC 9568 section 9): remove the line.");
    }
    if let Some((line, interval)) = &draft.interval {
        let whole = interval.subsec_nanos() == 0;
        let problem = match version {
            Version::V2 if !whole || interval.as_secs() > 255 => {
                Some("whole seconds up to 255s with version 2")
            }
            Version::V3 if interval.as_millis() % 10 != 0 || *interval > LONGEST_V3 => {
                Some("a multiple of 10ms up to 40950ms with version 3")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            parser.alert(line, 1, format!("'advert-interval' : must be {problem}."));
        }
    }
    version
}

fn track(parser: &mut Parser, draft: &TrackDraft, names: &Names) -> Option<Track> {
    let line = &draft.line;
    let find =
        |list: &[(String, ProxyIndex)], name: &str| list.iter().find(|(n, _)| n == name).map(|(_, i)| *i);
    let (what, usual) = match &draft.what {
        TrackedName::Interface(name) => (Tracked::Interface(name.clone()), 0),
        // As keepalived's: the number itself.
        TrackedName::File(path) => (Tracked::File(path.clone()), 1),
        TrackedName::Process(name, min_up) => (Tracked::Process { name: name.clone(), min_up: *min_up }, 0),
        TrackedName::Script(name) => {
            let Some(at) = names.scripts.iter().position(|n| n == name) else {
                unknown(parser, line, 2, "vrrp-script section", names.scripts.iter().map(String::as_str));
                return None;
            };
            (Tracked::Script(at), names.weights.get(at).copied().unwrap_or(0))
        }
        TrackedName::Backend(name, min_up) => {
            let Some(proxy) = find(&names.backs, name) else {
                unknown(parser, line, 2, "backend", names.backs.iter().map(|(n, _)| n.as_str()));
                return None;
            };
            (Tracked::Backend { proxy, min_up: *min_up }, 0)
        }
        TrackedName::L4(_) if names.services.is_empty() => {
            parser.alert(line, 1, "'track l4' : no section is in 'mode l4'.");
            return None;
        }
        TrackedName::L4(None) => (Tracked::L4(None), 0),
        TrackedName::L4(Some((name, min_up))) => {
            let Some(proxy) = find(&names.services, name) else {
                unknown(
                    parser,
                    line,
                    2,
                    "section in 'mode l4' with servers",
                    names.services.iter().map(|(n, _)| n.as_str()),
                );
                return None;
            };
            (Tracked::L4(Some((proxy, *min_up))), 0)
        }
        TrackedName::Frontend(name) => {
            let Some(proxy) = find(&names.fronts, name) else {
                unknown(parser, line, 2, "frontend", names.fronts.iter().map(|(n, _)| n.as_str()));
                return None;
            };
            (Tracked::Frontend(proxy), 0)
        }
    };
    Some(Track { what, weight: draft.weight.unwrap_or(usual) })
}

#[cfg(test)]
mod tests;
