//! Settles a backend's servers: numbers, addresses, checks, tracking.

use super::address;
use super::checks;
use super::diagnostic::{Diagnostic, Severity};
use super::draft::{InitAddr, Reference, ServerDraft};
use super::model::backend::Layer;
use super::model::check::{Action, Flavour, RuleSet, Speaks};
use super::model::probes::ExternalCommand;
use super::model::{Check, CheckKind, Endpoint, Mode, Protocol, Proxy, Server};
use super::parser::Parser;
use super::resolve::Ids;
use super::states::{self, StateFile};
use super::suggest;
use super::tls;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Drafts to servers, in order. `saved`: where those with a name may have been last.
pub fn settle(
    parser: &mut Parser,
    proxy: &Proxy,
    incomplete: bool,
    drafts: Vec<ServerDraft>,
    saved: Option<&StateFile>,
) -> Vec<Server> {
    check_names(parser, proxy, &drafts);
    let taken: HashSet<u32> = drafts.iter().map(|d| d.server.id).filter(|id| *id != 0).collect();
    let mut resolved: HashMap<String, Option<IpAddr>> = HashMap::new();
    let mut ids = Ids::new(taken);
    let named = drafts.iter().any(|d| d.host.is_some());
    let saved = saved.filter(|_| named).map(|f| f.lines_of(proxy)).unwrap_or_default();
    let mut servers = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut server = draft.server.clone();
        server.id_is_forced = server.id != 0;
        server.id = ids.give(server.id);
        if server.minconn > server.maxconn {
            // 'minconn' alone, or above 'maxconn', is a plain limit.
            server.maxconn = server.minconn;
        }
        if let Some(host) = &draft.host {
            let last = || states::last_address(&saved, &server);
            let endpoint = locate(parser, proxy, &draft, host, &last, &mut resolved);
            server.fqdn = Some(host.as_str().into());
            server.endpoint = endpoint;
        }
        if draft.raw && proxy.mode == Mode::Http || server.protocol.is_some() && proxy.mode != Mode::Http {
            let name = match server.protocol {
                Some(Protocol::H1) => "h1",
                Some(Protocol::H2) => "h2",
                None => "none",
            };
            let message = format!(
                "backend '{}' : MUX protocol '{name}' is not usable for server '{}'.",
                proxy.name, server.name
            );
            parser.alert(&draft.line, 1, message);
        }
        if draft.tls.asked && !incomplete {
            let name = format!("{}/{}", proxy.name, server.name);
            server.tls = tls::settle(parser, &name, &draft).map(Arc::new);
            server.ssl = draft.tls.on;
            server.sni = draft.tls.sni.clone();
        }
        if draft.checked && !incomplete {
            checked(parser, proxy, &draft, &mut server);
        }
        if draft.agent_checked && !incomplete {
            agent(parser, proxy, &draft, &mut server);
        }
        observed(parser, proxy, &draft);
        servers.push(server);
    }
    servers
}

fn check_names(parser: &mut Parser, proxy: &Proxy, drafts: &[ServerDraft]) {
    let mut names: HashMap<&str, &ServerDraft> = HashMap::new();
    let mut ids: HashMap<u32, &ServerDraft> = HashMap::new();
    for draft in drafts {
        let server = &draft.server;
        if let Some(first) = names.insert(&server.name, draft) {
            let message = format!(
                "backend '{}', another server named '{}' was already defined at line {}, please use distinct names.",
                proxy.name, server.name, first.line.place.line
            );
            parser.alert(&draft.line, 1, message);
        }
        if server.id == 0 {
            continue;
        }
        if let Some(first) = ids.insert(server.id, draft) {
            let message = format!(
                "'server {}/{}' : 'id' : custom id {} already used at {}:{} ('server {}').",
                proxy.name,
                server.name,
                server.id,
                first.line.place.file,
                first.line.place.line,
                first.server.name
            );
            parser.alert(&draft.line, 1, message);
        }
    }
}

/// The address of a host name, as `init-addr` says (`last,libc` without it).
fn locate(
    parser: &mut Parser,
    proxy: &Proxy,
    draft: &ServerDraft,
    host: &str,
    last: &dyn Fn() -> Option<IpAddr>,
    resolved: &mut HashMap<String, Option<IpAddr>>,
) -> Endpoint {
    let port = match &draft.server.endpoint {
        Endpoint::Inet(address) => address.port(),
        _ => 0,
    };
    let methods: &[InitAddr] =
        if draft.init_addr.is_empty() { &[InitAddr::Last, InitAddr::Libc] } else { &draft.init_addr };
    for method in methods {
        match method {
            InitAddr::Last => {
                if let Some(ip) = last() {
                    return Endpoint::Inet(SocketAddr::new(ip, port));
                }
            }
            InitAddr::Libc => {
                let key = format!("{:?} {host}", draft.family);
                let found = resolved.entry(key).or_insert_with(|| address::resolve(host, draft.family));
                if let Some(ip) = found {
                    return Endpoint::Inet(SocketAddr::new(*ip, port));
                }
            }
            InitAddr::Ip(ip) => return Endpoint::Inet(SocketAddr::new(*ip, port)),
            InitAddr::None => return Endpoint::Unresolved { host: host.to_owned(), port },
        }
    }
    let message =
        format!("'server {}/{}' : could not resolve address '{host}'.", proxy.name, draft.server.name);
    let diagnostic = Diagnostic::at(Severity::Alert, &draft.line, 2, message);
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    parser.report(diagnostic.hint(if numeric {
        "an IPv4 address is four numbers from 0 to 255 with dots between them"
    } else {
        "'init-addr last,libc,none' starts with the server down instead"
    }));
    Endpoint::Unresolved { host: host.to_owned(), port }
}

/// Settles the TLS of a check that has any.
fn secured(
    parser: &mut Parser,
    name: &str,
    proxy: &Proxy,
    draft: &ServerDraft,
    server: &Server,
    check: &mut Check,
) {
    let rules = rules(proxy, check).cloned();
    let mut connects = rules.iter().flat_map(|r| &r.steps).filter_map(|step| match &step.action {
        Action::Connect(connect) => Some(connect),
        _ => None,
    });
    // Checks of the service itself are made as its connections are.
    check.ssl |= draft.tls.on && !draft.tls.plain_checks && check.port.is_none() && check.addr.is_none();
    if !check.ssl && !connects.any(|c| c.ssl) {
        return;
    }
    check.tls =
        if draft.tls.asked { server.tls.clone() } else { tls::settle(parser, name, draft).map(Arc::new) };
    if check.alpn.is_empty() {
        // Rules made of bytes are not written for HTTP/2.
        let http = rules.is_some_and(|r| r.flavour == Flavour::Http);
        check.alpn = draft.tls.alpn.iter().filter(|p| http || *p != b"h2").cloned().collect();
    }
}

/// Is the check one for its `check-proto`?
fn is_spoken(proxy: &Proxy, check: &Check) -> bool {
    let http = matches!(rules(proxy, check), Some(rules) if rules.flavour == Flavour::Http);
    match check.speaks {
        Some(Speaks::Http1 | Speaks::Http2) => http,
        Some(Speaks::Bytes) => !http,
        None => true,
    }
}

/// The check's rules, if it is one of rules.
fn rules<'a>(proxy: &'a Proxy, check: &'a Check) -> Option<&'a Arc<RuleSet>> {
    match check.kind.as_ref().or(proxy.back.as_ref().map(|b| &b.check)) {
        Some(CheckKind::Rules(rules)) => Some(rules),
        _ => None,
    }
}

/// Do the check's rules say the port of every connection?
fn names_ports(proxy: &Proxy) -> bool {
    match proxy.back.as_ref().map(|b| &b.check) {
        Some(CheckKind::Rules(rules)) => rules.steps.iter().all(|step| match &step.action {
            Action::Connect(connect) => connect.port.is_some(),
            _ => true,
        }),
        _ => false,
    }
}

/// The kind of check that a `healthcheck` section makes.
fn health_check(
    parser: &mut Parser,
    server: &str,
    reference: &Reference,
) -> Option<(CheckKind, Option<Arc<ExternalCommand>>)> {
    let Some(section) = parser.healthchecks.iter().find(|h| h.name == reference.name) else {
        let message = format!("'server {server}' : unable to find healthcheck '{}'.", reference.name);
        let mut diagnostic = Diagnostic::at(Severity::Alert, &reference.line, reference.word, message);
        let names = parser.healthchecks.iter().map(|h| h.name.as_str());
        diagnostic.hint = suggest::hint(&reference.name, names);
        parser.report(diagnostic);
        return None;
    };
    let kind = section.kind.clone()?;
    let program = matches!(kind, CheckKind::External { .. }).then(|| Arc::new(section.external.clone()));
    Some((checks::settle(kind, &section.checks, section.disable_on_404, section.send_state), program))
}

fn checked(parser: &mut Parser, proxy: &Proxy, draft: &ServerDraft, server: &mut Server) {
    let name = format!("{}/{}", proxy.name, server.name);
    if server.track.is_some() {
        let message = format!("'server {name}' : unable to enable checks and tracking at the same time!");
        return parser.alert(&draft.line, 1, message);
    }
    if server.port_offset.is_some() && draft.timing.port.is_none() && !names_ports(proxy) {
        let message = format!(
            "'server {name}' : neither service port nor check port specified nor tcp_check rule 'connect' with port information."
        );
        return parser.alert(&draft.line, 2, message);
    }
    let mut check = draft.timing.clone();
    // Checks of the service itself begin as its connections do.
    if check.port.is_none() && check.addr.is_none() {
        check.send_proxy |= server.send_proxy.is_some();
    }
    if let Some(reference) = &draft.healthcheck
        && let Some((kind, program)) = health_check(parser, &name, reference)
    {
        (check.kind, check.external) = (Some(kind), program);
    }
    let http = matches!(rules(proxy, &check), Some(rules) if rules.flavour == Flavour::Http);
    if http && check.speaks.is_none() {
        check.speaks = server.protocol.map(|protocol| match protocol {
            Protocol::H1 => Speaks::Http1,
            Protocol::H2 => Speaks::Http2,
        });
    }
    if !is_spoken(proxy, &check) {
        let message = format!(
            "config: backend '{}': server '{}' uses an incompatible MUX protocol for the selected check type",
            proxy.name, server.name
        );
        parser.alert(&draft.line, 1, message);
    }
    secured(parser, &name, proxy, draft, server, &mut check);
    server.check = Some(check);
}

fn agent(parser: &mut Parser, proxy: &Proxy, draft: &ServerDraft, server: &mut Server) {
    if draft.agent.port == 0 {
        let message = format!(
            "'server {}/{}' : server {} does not have agent port. Agent check has been disabled.",
            proxy.name, server.name, server.name
        );
        return parser.alert(&draft.line, 1, message);
    }
    server.agent = Some(draft.agent.clone());
}

fn observed(parser: &mut Parser, proxy: &Proxy, draft: &ServerDraft) {
    if draft.server.observe == Some(Layer::L7) && proxy.mode != Mode::Http {
        let message = format!(
            "'server {}/{}' : 'layer7' can only be used in http proxies.",
            proxy.name, draft.server.name
        );
        parser.alert(&draft.line, 1, message);
    }
}
