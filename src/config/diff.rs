//! The difference between two configurations in words, each with what a reload makes of it.
//!
//! Both are taken as the sections and lines they are read to: comments, spacing, quoting, the order of sections and what
//! variables stand for make no difference.

mod effect;

use super::environment::Environment;
use super::keywords;
use super::written::Stamp;
use super::{Source, preprocess, section_names};
use std::collections::{BTreeMap, BTreeSet};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `backend web`
    pub section: String,
    /// `server web2: weight 6 -> 8`
    pub change: String,
    /// `no connection affected`
    pub effect: &'static str,
    /// The server whose line it is.
    pub server: Option<String>,
    /// Connections there now, where a running process has been asked.
    pub connections: Option<u64>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} ({}", self.section, self.change, self.effect)?;
        match self.connections {
            Some(1) => f.write_str("; 1 connection now)"),
            Some(count) => write!(f, "; {count} connections now)"),
            None => f.write_str(")"),
        }
    }
}

/// The words of a line; of a section its lines.
type Words = Vec<String>;
type Sections = Vec<(String, Vec<Words>)>;

/// What differs, in the order of the new configuration; what is gone comes last. Both must load.
#[must_use]
pub fn diff(old: &[Source], new: &[Source], environment: &Environment) -> Vec<Difference> {
    let (old, new) = (sections(old, environment), sections(new, environment));
    let forwarded = [&old, &new].map(forwarded);
    let (begins, ends) = (forwarded[0].is_empty(), forwarded[1].is_empty());
    let is_l4 = |name: &str| forwarded.iter().any(|all| all.contains(name));
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
    for difference in all.iter_mut().filter(|d| is_l4(&d.section)) {
        difference.effect = effect::of_l4(begins, ends);
    }
    let confined = old.iter().any(|(name, lines)| name == "global" && lines.iter().any(|l| is(l, "chroot")));
    if confined && !all.is_empty() {
        let change = "chroot: the process cannot read its configuration again".to_owned();
        all.insert(0, Difference::new("global", change, effect::NEW_PROCESS));
    }
    all
}

/// Files of the old configuration that have other contents now, where the new one still names them.
#[must_use]
pub fn changed_files(stamps: &[Stamp], new: &[Source], environment: &Environment) -> Vec<Difference> {
    let mut all = Vec::new();
    let changed: Vec<&Stamp> = stamps.iter().filter(|s| s.has_changed()).collect();
    for (name, lines) in sections(new, environment) {
        for words in &lines {
            for stamp in changed.iter().filter(|s| s.is_named_by(words)) {
                let change = format!("{}: the file {} has changed", key(words), stamp.path.display());
                all.push(Difference::new(&name, change, effect::of_file(words)));
            }
        }
    }
    all
}

impl Difference {
    fn new(section: &str, change: String, effect: &'static str) -> Self {
        Self { section: section.to_owned(), change, effect, server: None, connections: None }
    }
}

fn is(words: &[String], first: &str) -> bool {
    words.first().is_some_and(|w| w == first)
}

/// The proxies in `mode l4`.
fn forwarded(sections: &Sections) -> BTreeSet<String> {
    let l4 = |lines: &[Words]| lines.iter().any(|l| is(l, "mode") && l.get(1).is_some_and(|w| w == "l4"));
    sections.iter().filter(|(_, lines)| l4(lines)).map(|(name, _)| name.clone()).collect()
}

/// Sections by name. What a proxy takes from is one of its lines: `from defaults`.
fn sections(sources: &[Source], environment: &Environment) -> Sections {
    let mut environment = environment.clone();
    let mut all: Sections = vec![("global".to_owned(), Vec::new())];
    let (mut here, mut nameless) = (0, 0);
    let mut defaults: Option<String> = None;
    for line in preprocess::read(sources, &mut environment).lines {
        let mut words: Words = line.words.into_iter().map(|w| w.text).collect();
        let Some(first) = words.first() else { continue };
        if !section_names::is_header(first) {
            if let Some((_, lines)) = all.get_mut(here) {
                lines.push(words);
            }
            continue;
        }
        let is_proxy = matches!(first.as_str(), "frontend" | "backend" | "listen");
        let from = words.iter().position(|w| w == "from").filter(|at| *at > 0);
        let named = from.map(|at| words.split_off(at)).and_then(|mut tail| tail.pop());
        if words.len() == 1 && is(&words, "defaults") {
            nameless += 1;
            words.extend((nameless > 1).then(|| nameless.to_string()));
        }
        let name = words.join(" ");
        if is(&words, "defaults") {
            defaults = Some(name.clone());
        }
        let origin = named.map(|n| format!("defaults {n}")).or_else(|| defaults.clone().filter(|_| is_proxy));
        // A section may be written in several parts.
        here = all.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            let own = origin.filter(|o| *o != name).map(|o| vec!["from".to_owned(), o]);
            all.push((name, own.into_iter().collect()));
            all.len() - 1
        });
    }
    all
}

fn whole(section: &str, change: &str) -> Difference {
    Difference::new(section, change.to_owned(), effect::of_section(section, change))
}

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
        let server = key.strip_prefix("server ").map(str::to_owned);
        out.push(Difference {
            server,
            ..Difference::new(section, change, effect::of_line(section, key, what))
        });
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

fn options(words: &[String], from: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let line = words.first().map_or("", String::as_str);
    let mut rest = words.get(from..).unwrap_or_default();
    while let Some((name, after)) = rest.split_first() {
        // Of one that has no place in a table (`source` and its own) nothing is lost, whatever is taken for its value.
        let taken = keywords::option_arguments(line, name).unwrap_or(1).min(after.len());
        let (value, left) = after.split_at(taken);
        all.push((name.clone(), value.join(" ")));
        rest = left;
    }
    all
}

#[cfg(test)]
mod tests;
