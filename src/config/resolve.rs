//! From drafts to the model: names become indices, defaults are filled in, the whole is checked once.

use super::certificates;
use super::checks;
use super::diagnostic::{Diagnostic, Severity};
use super::door;
use super::draft::{Draft, Reference, Target};
use super::environment::Environment;
use super::guid;
use super::l4;
use super::model::check::Flavour;
use super::model::{Bind, CheckKind, Config, Mode, Proxy, Rule, Server, UseBackend, UseServer};
use super::parser::Parser;
use super::raw::Place;
use super::servers;
use super::suggest;
use super::vrrp;
use super::whole;
use crate::ids::{ProxyIndex, ServerIndex};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The only maker of a [`Config`].
#[must_use]
pub fn resolve(mut parser: Parser, files: Vec<PathBuf>) -> (Config, Vec<Diagnostic>, Environment) {
    let drafts = std::mem::take(&mut parser.drafts);
    let names = Names::collect(&mut parser, &drafts);
    let vrrp = vrrp::resolve(&mut parser, &drafts);
    let mut ids = Ids::taken(&mut parser, &drafts);
    let mut proxies = Vec::with_capacity(drafts.len());
    let mut forwarded = Vec::with_capacity(drafts.len());
    for (position, mut draft) in drafts.into_iter().enumerate() {
        forwarded.push(l4::Said::take(&mut draft));
        let mut proxy = proxy(&mut parser, draft, &names);
        proxy.index = u32::try_from(position).ok().map(ProxyIndex);
        proxy.id_is_forced = proxy.id != 0;
        proxy.id = ids.give(proxy.id);
        proxies.push(proxy);
    }
    let l4_services = l4::settle(&mut parser, &mut proxies, &forwarded);
    certificates::settle_updates(&mut parser);
    whole::check(&mut parser, &mut proxies);
    guid::check(&mut parser, &proxies);
    parser.patterns.finish();
    idle_edits(&mut parser);
    let config = Config {
        written: super::written::Written::default(),
        memory: 0,
        global: parser.global,
        proxies: proxies.into_iter().map(Arc::new).collect(),
        userlists: parser.userlists,
        vrrp,
        l4_services,
        http_errors: parser.http_errors,
        mailers: parser.mailer_sections,
        rings: parser.rings,
        states: parser.states,
        patterns: parser.patterns,
        tls: parser.tls.store,
        files,
        environment: super::environment::Environment::default(),
    };
    (config, parser.diagnostics, parser.environment)
}

/// Rules that change a file nobody looks at.
fn idle_edits(parser: &mut Parser) {
    for (line, index, file) in std::mem::take(&mut parser.pattern_edits) {
        if file.is_empty() || parser.patterns.find(&file).is_none() {
            let message = format!("no ACL and no map uses the file '{file}': the rule changes nothing.");
            parser.warning(&line, index, message);
        }
    }
}

/// Proxies by name: a frontend and a backend may share one.
struct Names {
    fronts: HashMap<String, Named>,
    /// In the order of names, which is that of suggestions.
    backs: BTreeMap<String, Named>,
}

#[derive(Clone)]
struct Named {
    index: ProxyIndex,
    mode: Mode,
    /// `frontend`, `backend` or `proxy` (a `listen`).
    kind: &'static str,
    place: Place,
}

impl Names {
    fn collect(parser: &mut Parser, drafts: &[Draft]) -> Self {
        let mut names = Self { fronts: HashMap::new(), backs: BTreeMap::new() };
        for (position, draft) in drafts.iter().enumerate() {
            let name = draft.proxy.name.to_string();
            let (front, back) = (draft.section.has_front(), draft.section.has_back());
            let this = Named {
                index: ProxyIndex(u32::try_from(position).unwrap_or(u32::MAX)),
                mode: draft.proxy.mode,
                kind: kind(front, back),
                place: draft.header.place.clone(),
            };
            let twin = names.fronts.get(&name).filter(|_| front).or(names.backs.get(&name).filter(|_| back));
            if let Some(first) = twin.filter(|_| !name.is_empty()) {
                let message = format!(
                    "{} '{name}' has the same name as {} '{name}' declared at {}:{}.",
                    this.kind, first.kind, first.place.file, first.place.line
                );
                parser.alert(&draft.header, 1, message);
            }
            if front {
                names.fronts.entry(name.clone()).or_insert_with(|| this.clone());
            }
            if back {
                names.backs.entry(name).or_insert(this);
            }
        }
        names
    }

    /// The backend (or listen) of that name; reported when there is none or its mode differs.
    fn backend(&self, parser: &mut Parser, reference: &Reference, proxy: &Proxy) -> Option<ProxyIndex> {
        let name = &reference.name;
        let keyword = reference.line.word(0);
        if proxy.disabled && !self.backs.contains_key(name) {
            return None;
        }
        let Some(target) = self.backs.get(name) else {
            let message = format!("Proxy '{}': unable to find required {keyword}: '{name}'.", proxy.name);
            let mut diagnostic = Diagnostic::at(Severity::Alert, &reference.line, reference.word, message);
            diagnostic.hint = match self.fronts.get(name) {
                Some(front) => Some(format!("'{name}' is a {} only: it has no servers", front.kind)),
                None => suggest::hint(name, self.backs.keys().map(String::as_str)),
            };
            parser.report(diagnostic);
            return None;
        };
        if target.kind == "proxy" && proxy.back.is_some() && *name == *proxy.name {
            let message = format!("Proxy '{name}': loop detected for {keyword}: '{name}'.");
            parser.alert(&reference.line, reference.word, message);
            return None;
        }
        // A connection that comes in by TCP goes on as HTTP when its backend speaks it.
        if target.mode == proxy.mode || (proxy.mode == Mode::Tcp && target.mode == Mode::Http) {
            return Some(target.index);
        }
        let at = |p: &Place| format!("{}:{}", p.file, p.line);
        let how = match keyword {
            "default_backend" => "as its default backend".to_owned(),
            keyword => format!("in a '{keyword}' rule"),
        };
        let message = format!(
            "{} {} '{}' ({}) tries to use incompatible {} {} '{name}' ({}) {how} (see 'mode').",
            mode_name(proxy.mode),
            kind(proxy.front.is_some(), proxy.back.is_some()),
            proxy.name,
            proxy.place.as_ref().map_or(String::new(), at),
            mode_name(target.mode),
            target.kind,
            at(&target.place),
        );
        parser.alert(&reference.line, reference.word, message);
        None
    }
}

/// HAProxy's word for a proxy in messages.
pub(super) fn kind(front: bool, back: bool) -> &'static str {
    match (front, back) {
        (true, true) => "proxy",
        (true, false) => "frontend",
        _ => "backend",
    }
}

pub(super) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
        Mode::L4 => "l4",
    }
}

/// Numbers given by the user, and the next free ones for the others.
pub(super) struct Ids {
    taken: HashSet<u32>,
    next: u32,
}

impl Ids {
    fn taken(parser: &mut Parser, drafts: &[Draft]) -> Self {
        let mut taken = HashMap::new();
        for draft in drafts.iter().filter(|d| d.proxy.id != 0) {
            if let Some(first) = taken.insert(draft.proxy.id, draft.proxy.name.clone()) {
                let message = format!(
                    "custom id {} for proxy '{}' is already used by proxy '{first}'.",
                    draft.proxy.id, draft.proxy.name
                );
                parser.alert(&draft.header, 1, message);
            }
        }
        // HAProxy's own proxy of the administration sockets, where there are any, is the first.
        let next = if parser.global.stats_sockets.is_empty() { 1 } else { 2 };
        Self { taken: taken.into_keys().collect(), next }
    }

    /// The user's number, or the next one that is free. One given by the user uses up its turn, as in HAProxy.
    pub(super) fn give(&mut self, custom: u32) -> u32 {
        let mut id = self.next;
        while custom == 0 && self.taken.contains(&id) {
            id = id.saturating_add(1);
        }
        self.next = id.saturating_add(1);
        if custom == 0 { id } else { custom }
    }

    pub(super) fn new(taken: HashSet<u32>) -> Self {
        Self { taken, next: 1 }
    }
}

fn proxy(parser: &mut Parser, mut draft: Draft, names: &Names) -> Proxy {
    let mut proxy = std::mem::take(&mut draft.proxy);
    if draft.log_global {
        let own = std::mem::take(&mut proxy.log.targets);
        proxy.log.targets = parser.global.log.iter().cloned().chain(own).collect();
    }
    error_files(parser, &draft, &mut proxy);
    unused_checks(parser, &draft, &proxy);
    if let Some(back) = proxy.back.as_mut() {
        let kind = std::mem::replace(&mut back.check, CheckKind::Tcp);
        back.check = checks::settle(kind, &draft.checks, back.disable_on_404, back.send_state);
    }
    // Both had no setting of their own in HAProxy 1.0, and still fall back to the connect timeout.
    proxy.timeouts.queue = proxy.timeouts.queue.or(proxy.timeouts.connect);
    proxy.timeouts.tarpit = proxy.timeouts.tarpit.or(proxy.timeouts.connect);
    let self_index = names.backs.get(&*proxy.name).map(|n| n.index).filter(|_| proxy.back.is_some());
    let default_backend = match &draft.default_backend {
        Some(reference) if draft.section.has_front() => names.backend(parser, reference, &proxy),
        _ => self_index.filter(|_| proxy.front.is_some()),
    };
    let use_backend = draft.use_backend.into_iter().filter_map(|rule| {
        let action = match rule.action {
            Target::Name(reference) => UseBackend::Static(names.backend(parser, &reference, &proxy)?),
            Target::Format(format) => UseBackend::Dynamic(format),
        };
        Some(Rule { place: rule.place, condition: rule.condition, action })
    });
    let use_backend: Vec<Rule<UseBackend>> = use_backend.collect();
    let uses = std::mem::take(&mut draft.uses);
    for door in draft.doors.iter_mut().filter(|door| door.sources.is_empty()) {
        door.sources.clone_from(&uses);
    }
    door::settle(parser, &proxy.name, proxy.mode, &mut draft.binds, std::mem::take(&mut draft.doors));
    if let Some(front) = proxy.front.as_mut() {
        front.default_backend = default_backend;
        front.use_backend = use_backend;
        front.binds = binds(parser, draft.binds);
    }
    if proxy.back.is_some() {
        let saved = parser.states.of(&parser.global, &proxy);
        let servers = servers::settle(parser, &proxy, draft.incomplete, draft.servers, saved.as_deref());
        let use_server = use_servers(parser, &proxy, &servers, draft.use_server);
        if let Some(back) = proxy.back.as_mut() {
            back.servers = servers.into_iter().map(Arc::new).collect();
            back.use_server = use_server;
        }
    }
    proxy
}

/// `errorfiles`: the pages of the named section, where the proxy has none of its own said later.
fn error_files(parser: &mut Parser, draft: &Draft, proxy: &mut Proxy) {
    for wanted in &draft.errorfiles {
        let Some(section) = parser.http_errors.iter().find(|h| *h.name == *wanted.section.name).cloned()
        else {
            let message =
                format!("proxy '{}': unknown http-errors section '{}'.", proxy.name, wanted.section.name);
            let mut diagnostic =
                Diagnostic::at(Severity::Alert, &wanted.section.line, wanted.section.word, message);
            diagnostic.hint =
                suggest::hint(&wanted.section.name, parser.http_errors.iter().map(|h| &*h.name));
            parser.report(diagnostic);
            continue;
        };
        for (status, reply) in &section.replies {
            if wanted.codes.is_empty() || wanted.codes.contains(status) {
                proxy.errors.retain(|(known, _)| known != status);
                proxy.errors.push((*status, reply.clone()));
            }
        }
    }
}

/// Rules do nothing without the option that makes use of them.
fn unused_checks(parser: &mut Parser, draft: &Draft, proxy: &Proxy) {
    let Some(back) = proxy.back.as_ref() else { return };
    let flavour = match &back.check {
        CheckKind::Rules(rules) => Some(rules.flavour),
        _ => None,
    };
    let (kind, name) = (kind(proxy.front.is_some(), true), &proxy.name);
    let mut messages = Vec::new();
    for (rules, keyword, option, wanted) in [
        (&draft.checks.tcp, "tcp-check", "tcp-check", Flavour::Tcp),
        (&draft.checks.http, "http-check", "httpchk", Flavour::Http),
    ] {
        if rules.are_own() && flavour != Some(wanted) {
            let message = format!(
                "{kind} '{name}' uses {keyword} rules without 'option {option}', so the rules are ignored."
            );
            messages.push(message);
        }
    }
    for (on, keyword) in [(back.disable_on_404, "disable-on-404"), (back.send_state, "send-state")] {
        if on && flavour.is_some_and(|f| f != Flavour::Http) {
            messages.push(format!(
                "'{keyword}' will be ignored for {kind} '{name}' (requires 'option httpchk')."
            ));
        }
    }
    for message in messages {
        parser.report(Diagnostic {
            severity: Severity::Warning,
            place: None,
            message,
            source: None,
            hint: None,
        });
    }
}

/// Gives listeners their numbers and `unix-bind`'s settings.
fn binds(parser: &mut Parser, binds: Vec<Bind>) -> Vec<Arc<Bind>> {
    let mut taken: HashSet<u32> = HashSet::new();
    for bind in binds.iter().filter(|b| b.id != 0) {
        if !taken.insert(bind.id) {
            parser.report(Diagnostic {
                severity: Severity::Alert,
                place: bind.place.clone(),
                message: format!("'bind' : 'id' : custom id {} already used in this proxy", bind.id),
                source: None,
                hint: None,
            });
        }
    }
    let mut ids = Ids::new(taken);
    let unix = parser.unix_bind.clone();
    let numbered = binds.into_iter().map(|mut bind| {
        bind.id = ids.give(bind.id);
        if let super::model::Address::Unix(path) = &mut bind.address {
            if let Some(prefix) = &unix.prefix {
                *path = format!("{prefix}{}", path.display()).into();
            }
            bind.mode = bind.mode.or(unix.mode);
            bind.uid = bind.uid.or(unix.uid);
            bind.gid = bind.gid.or(unix.gid);
        }
        Arc::new(bind)
    });
    numbered.collect()
}

fn use_servers(
    parser: &mut Parser,
    proxy: &Proxy,
    servers: &[Server],
    rules: Vec<Rule<Target>>,
) -> Vec<Rule<UseServer>> {
    let mut out = Vec::new();
    for rule in rules {
        let action = match rule.action {
            Target::Format(format) => UseServer::Dynamic(format),
            Target::Name(reference) => {
                let Some(index) = servers.iter().position(|s| *s.name == *reference.name) else {
                    let message = format!(
                        "backend '{}' : unable to find server '{}' referenced in a 'use-server' rule.",
                        proxy.name, reference.name
                    );
                    let mut diagnostic =
                        Diagnostic::at(Severity::Alert, &reference.line, reference.word, message);
                    diagnostic.hint = suggest::hint(&reference.name, servers.iter().map(|s| &*s.name));
                    parser.report(diagnostic);
                    continue;
                };
                UseServer::Static(ServerIndex(u32::try_from(index).unwrap_or(u32::MAX)))
            }
        };
        out.push(Rule { place: rule.place, condition: rule.condition, action });
    }
    out
}
