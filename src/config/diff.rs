//! The difference between two configurations in words, each with what a reload makes of it.
//!
//! Both are taken as the sections and lines they are read to: comments, spacing, quoting, the order of sections and what
//! variables stand for make no difference.

use super::environment::Environment;
use super::raw::Line;
use super::{Source, preprocess, section_names};
use std::collections::BTreeMap;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `backend web`
    pub section: String,
    /// `server web2: weight 6 -> 8`
    pub change: String,
    /// `no connection affected`
    pub effect: &'static str,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({})", self.section, self.change, self.effect)
    }
}

/// The words of a line; of a section its lines.
type Words = Vec<String>;
type Sections = Vec<(String, Vec<Words>)>;

/// What differs, in the order of the new configuration; what is gone comes last. Both must load.
#[must_use]
pub fn diff(old: &[Source], new: &[Source], environment: &Environment) -> Vec<Difference> {
    let (old, new) = (sections(old, environment), sections(new, environment));
    let mut all = Vec::new();
    for (name, lines) in &new {
        match old.iter().find(|(known, _)| known == name) {
            Some((_, before)) => compare(name, before, lines, &mut all),
            None => all.push(whole(name, "added")),
        }
    }
    for (name, _) in &old {
        if !new.iter().any(|(known, _)| known == name) {
            all.push(whole(name, "removed"));
        }
    }
    all
}

fn sections(sources: &[Source], environment: &Environment) -> Sections {
    let mut environment = environment.clone();
    let lines: Vec<Line> = preprocess::read(sources, &mut environment).lines;
    let mut all: Sections = vec![("global".to_owned(), Vec::new())];
    let mut here = 0;
    for line in lines {
        let words: Words = line.words.into_iter().map(|w| w.text).collect();
        let Some(first) = words.first() else { continue };
        if section_names::is_header(first) {
            let name = words.join(" ");
            // A section may be written in several parts.
            here = all.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                all.push((name, Vec::new()));
                all.len() - 1
            });
        } else if let Some((_, lines)) = all.get_mut(here) {
            lines.push(words);
        }
    }
    all
}

fn kind(section: &str) -> &str {
    section.split(' ').next().unwrap_or_default()
}

fn whole(section: &str, change: &str) -> Difference {
    let effect = match (kind(section), change) {
        ("frontend" | "listen", "added") => "its addresses are bound before anything else changes",
        ("frontend" | "listen", _) => "its addresses are closed; its connections finish",
        ("backend", "added") => "its checks begin",
        ("backend", _) => "its connections finish; its checks end",
        ("vrrp" | "vrrp-group" | "vrrp-script", _) => NEW_PROCESS,
        _ => "what refers to it changes",
    };
    Difference { section: section.to_owned(), change: change.to_owned(), effect }
}

const NEW_PROCESS: &str = "needs a new process: a reload is refused";

/// By what a line is known: a second one with the same key belongs to it.
fn key(words: &[String]) -> String {
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    match word(0) {
        "no" | "default" => format!("{} {}", word(1), word(2)).trim_end().to_owned(),
        "bind" | "server" | "server-template" | "option" | "timeout" | "acl" | "stats" | "user" | "group"
        | "errorfile" | "compression" | "mailer" | "cpu-map" => format!("{} {}", word(0), word(1)),
        first => first.to_owned(),
    }
}

fn by_key(lines: &[Words]) -> BTreeMap<String, Vec<&Words>> {
    let mut all: BTreeMap<String, Vec<&Words>> = BTreeMap::new();
    for line in lines {
        all.entry(key(line)).or_default().push(line);
    }
    all
}

fn compare(section: &str, old: &[Words], new: &[Words], out: &mut Vec<Difference>) {
    let (before, after) = (by_key(old), by_key(new));
    let mut tell = |key: &str, change: String, what: &Changed| {
        out.push(Difference { section: section.to_owned(), change, effect: effect(section, key, what) });
    };
    for (key, lines) in &after {
        match before.get(key) {
            None => tell(key, format!("added: {}", listed(lines)), &Changed::Added),
            Some(known) if known == lines => {}
            Some(known) => match (known.as_slice(), lines.as_slice()) {
                ([one], [other]) => {
                    let words = changed_words(one, other);
                    if words.is_empty() {
                        continue;
                    }
                    let text: Vec<String> = words.iter().map(|(a, b)| arrow(a, b)).collect();
                    tell(key, format!("{key}: {}", text.join(", ")), &Changed::Words(words));
                }
                _ => {
                    let gone = known.iter().filter(|l| !lines.contains(l)).count();
                    let come = lines.iter().filter(|l| !known.contains(l)).count();
                    let text = match (gone, come) {
                        (0, 0) => format!("{key}: the lines have another order"),
                        _ => format!("{key}: {come} lines more, {gone} less"),
                    };
                    tell(key, text, &Changed::Lines);
                }
            },
        }
    }
    for (key, lines) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        tell(key, format!("removed: {}", listed(lines)), &Changed::Removed);
    }
}

enum Changed {
    Added,
    Removed,
    /// Of one line: what was said, and what is said instead.
    Words(Vec<(String, String)>),
    Lines,
}

fn listed(lines: &[&Words]) -> String {
    lines.iter().map(|l| l.join(" ")).collect::<Vec<_>>().join("; ")
}

fn arrow(a: &str, b: &str) -> String {
    match (a, b) {
        ("", b) => format!("+ {b}"),
        (a, "") => format!("- {a}"),
        // `weight 6 -> 8` rather than `weight 6 -> weight 8`.
        (a, b) => match (a.split_once(' '), b.split_once(' ')) {
            (Some((x, rest)), Some((y, other))) if x == y => format!("{x} {rest} -> {other}"),
            _ => format!("{a} -> {b}"),
        },
    }
}

/// What two lines of one key say differently. Options of `bind` and `server` are taken with their arguments, as far as the
/// other line shows where they begin.
fn changed_words(old: &[String], new: &[String]) -> Vec<(String, String)> {
    let fixed = match old.first().map(String::as_str) {
        Some("server" | "server-template") => 3,
        Some("bind") => 2,
        _ => return vec![(tail(old), tail(new))],
    };
    let mut all = Vec::new();
    if old.get(2..fixed) != new.get(2..fixed) {
        all.push((join(old.get(2..fixed)), join(new.get(2..fixed))));
    }
    let (before, after) = (options(old, fixed), options(new, fixed));
    for (name, value) in &after {
        match before.iter().find(|(known, _)| known == name) {
            None => all.push((String::new(), said(name, value))),
            Some((_, known)) if known != value => all.push((said(name, known), said(name, value))),
            Some(_) => {}
        }
    }
    for (name, value) in before.iter().filter(|(name, _)| !after.iter().any(|(known, _)| known == name)) {
        all.push((said(name, value), String::new()));
    }
    let sorted = |mut options: Vec<(String, String)>| {
        options.sort();
        options
    };
    // An option that stands twice; another order alone is no difference.
    if all.is_empty() && sorted(before) != sorted(after) {
        all.push((tail(old), tail(new)));
    }
    all
}

fn said(name: &str, value: &str) -> String {
    format!("{name} {value}").trim_end().to_owned()
}

fn tail(words: &[String]) -> String {
    // Of `option` and its like the second word belongs to the key.
    let known = key(words).split(' ').count();
    join(words.get(known..))
}

fn join(words: Option<&[String]>) -> String {
    words.unwrap_or_default().join(" ")
}

/// Options that stand without an argument on `bind` and `server` lines.
const FLAGS: &[&str] = &[
    "accept-proxy",
    "allbackups",
    "backup",
    "check",
    "check-send-proxy",
    "check-ssl",
    "defer-accept",
    "disabled",
    "enabled",
    "agent-check",
    "non-stick",
    "no-check",
    "no-backup",
    "no-ssl-reuse",
    "send-proxy",
    "send-proxy-v2",
    "ssl",
    "strict-sni",
    "tfo",
    "transparent",
    "v4v6",
    "v6only",
    "no-sslv3",
    "no-tls-tickets",
    "check-via-socks4",
];

fn options(words: &[String], from: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut words = words.get(from..).unwrap_or_default().iter();
    while let Some(name) = words.next() {
        let value = if FLAGS.contains(&name.as_str()) { None } else { words.next() };
        all.push((name.clone(), value.cloned().unwrap_or_default()));
    }
    all
}

fn effect(section: &str, key: &str, change: &Changed) -> &'static str {
    let name = key.split(' ').next().unwrap_or_default();
    match kind(section) {
        "vrrp" | "vrrp-group" | "vrrp-script" => return NEW_PROCESS,
        "global" => return of_global(key),
        "defaults" => return "new connections of the proxies that take it from here",
        _ => {}
    }
    match (name, change) {
        ("bind", Changed::Added) => "bound before anything else changes",
        ("bind", Changed::Removed) => "closed; its connections finish",
        ("bind", Changed::Words(words)) => of_bind(words),
        ("server" | "server-template", Changed::Added) => {
            "takes part at once, unless its check says otherwise"
        }
        ("server" | "server-template", Changed::Removed) => "its connections finish",
        ("server" | "server-template", Changed::Words(words)) => of_server(words),
        ("balance" | "hash-type", _) => "new requests; states and counters stay",
        ("maxconn", _) => "at once",
        ("timeout", _) if key == "timeout check" => "checks from the next on",
        ("http-check" | "tcp-check", _) => "checks from the next on",
        ("log" | "log-format" | "log-tag" | "error-log-format", _) => "new connections' lines",
        _ => "new connections",
    }
}

fn begins(words: &[(String, String)], names: &[&str]) -> bool {
    let name = |text: &str| text.split(' ').next().map(str::to_owned).unwrap_or_default();
    words.iter().all(|(a, b)| names.contains(&name(if b.is_empty() { a } else { b }).as_str()))
}

fn of_bind(words: &[(String, String)]) -> &'static str {
    const TLS: &[&str] = &[
        "ssl",
        "crt",
        "crt-list",
        "ca-file",
        "crl-file",
        "verify",
        "alpn",
        "npn",
        "ciphers",
        "ciphersuites",
        "curves",
        "ssl-min-ver",
        "ssl-max-ver",
        "strict-sni",
        "ecdhe",
        "ca-verify-file",
        "crt-ignore-err",
        "ca-ignore-err",
    ];
    const SOCKET: &[&str] = &[
        "backlog",
        "defer-accept",
        "tfo",
        "transparent",
        "v4v6",
        "v6only",
        "interface",
        "mss",
        "tcp-ut",
        "mode",
        "user",
        "group",
        "uid",
        "gid",
    ];
    if begins(words, TLS) {
        "new handshakes"
    } else if words.iter().any(|w| begins(std::slice::from_ref(w), SOCKET)) {
        "another socket at the same address; who waits in the old one is served"
    } else {
        "new connections"
    }
}

fn of_server(words: &[(String, String)]) -> &'static str {
    const CHECKS: &[&str] = &[
        "check",
        "inter",
        "fastinter",
        "downinter",
        "rise",
        "fall",
        "port",
        "addr",
        "agent-check",
        "agent-port",
        "agent-inter",
        "agent-addr",
        "agent-send",
        "check-ssl",
        "check-sni",
        "check-alpn",
        "check-proto",
        "observe",
        "error-limit",
        "on-error",
        "check-send-proxy",
    ];
    if begins(words, &["weight"]) {
        "no connection affected; a weight set by command gives way"
    } else if begins(words, CHECKS) {
        "checks go on from the last result"
    } else if begins(words, &["maxconn", "minconn", "maxqueue", "slowstart", "backup", "cookie"]) {
        "new requests"
    } else if begins(words, &["disabled", "enabled"]) {
        "its state is what the configuration says"
    } else {
        "new connections; idle ones are not used again"
    }
}

fn of_global(key: &str) -> &'static str {
    match key.split(' ').next().unwrap_or_default() {
        "user" | "group" | "uid" | "gid" | "chroot" | "daemon" | "pidfile" | "master-worker"
        | "localpeer" => "takes effect with a new process",
        "nbthread" => "threads begin or end; no connection affected",
        "maxconn" | "maxconnrate" | "maxsessrate" | "maxsslrate" => "at once",
        "stats" => "the administration sockets that stay go on",
        _ => "new connections",
    }
}

#[cfg(test)]
mod tests;
