//! Section headers, the `defaults` chain, and the dispatch of lines to their keyword rows.

use super::checks::HealthCheck;
use super::diagnostic::{Diagnostic, Severity};
use super::draft::Draft;
use super::keyword::{Keyword, Prefix, Section};
use super::keywords;
use super::keywords::server::template_names;
use super::model::{Backend, Front, HttpErrors, Mode, Proxy, Userlist};
use super::order::Order;
use super::parser::Parser;
use super::raw::Line;
use super::section_names::{BUILT, UNSUPPORTED};
use super::suggest;
use super::vrrp;
use crate::expr::{Directory, Own, Scope};
use std::collections::HashMap;
use std::sync::Arc;

/// A `defaults` section: its lines are applied again to every proxy that stands on it.
#[derive(Clone)]
pub struct Defaults {
    name: String,
    header: Line,
    from: Option<usize>,
    lines: Vec<(Prefix, Line, &'static Keyword)>,
}

/// A header and its lines.
struct Block {
    section: Section,
    header: Line,
    lines: Vec<Line>,
}

/// Applies all `lines` to the parser: userlists and http-errors first, since proxies refer to them, then the rest in order.
pub fn apply(parser: &mut Parser, lines: Vec<Line>) {
    let blocks = blocks(parser, lines);
    parser.directory = Some(Arc::new(directory(&blocks)));
    let mut walker = Walker { parser, defaults: Vec::new(), current: None, order: Order::default() };
    let early = |b: &Block| {
        matches!(b.section, Section::Userlist | Section::HttpErrors | Section::HealthCheck | Section::Ring)
    };
    for block in blocks.iter().filter(|b| early(b)) {
        walker.block(block);
    }
    // Certificates of stores are named on `bind` lines above them, too, and lie where the global section says.
    let stores = blocks.iter().any(|b| b.section == Section::CrtStore);
    let next = |b: &Block| stores && b.section == Section::Global;
    for block in blocks.iter().filter(|b| next(b)) {
        walker.block(block);
    }
    for block in blocks.iter().filter(|b| b.section == Section::CrtStore) {
        walker.block(block);
    }
    for block in blocks.iter().filter(|b| !early(b) && !next(b) && b.section != Section::CrtStore) {
        walker.block(block);
    }
}

/// An unindented word that is no keyword at all and nearly a section's name.
fn misspelt_header(line: &Line) -> Option<(&'static str, Section)> {
    let word = line.word(0);
    let indented = line.words.first().is_none_or(|w| w.start > 0);
    if indented || word == "no" || word == "default" || keywords::is_known(word) {
        return None;
    }
    let near = suggest::nearest(word, BUILT.iter().map(|(name, _)| *name))?;
    BUILT.iter().find(|(name, _)| *name == near).copied()
}

/// The names proxies and servers will have, read ahead of them: expressions may name what comes later.
fn directory(blocks: &[Block]) -> Directory {
    let mut directory = Directory::default();
    for block in blocks {
        let name = block.header.word(1);
        if block.section == Section::Ring {
            directory.rings.insert(name.to_owned());
        }
        if matches!(block.section, Section::Frontend | Section::Listen) {
            directory.frontends.insert(name.to_owned());
        }
        if !matches!(block.section, Section::Backend | Section::Listen) {
            continue;
        }
        let servers = directory.backends.entry(name.to_owned()).or_default();
        for line in &block.lines {
            match line.word(0) {
                "server" => drop(servers.insert(line.word(1).to_owned())),
                "server-template" => servers.extend(template_names(line.word(1), line.word(2))),
                _ => {}
            }
        }
    }
    directory
}

fn blocks(parser: &mut Parser, lines: Vec<Line>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in lines {
        let word = line.word(0);
        if let Some((_, section)) = BUILT.iter().find(|(name, _)| *name == word) {
            blocks.push(Block { section: *section, header: line, lines: Vec::new() });
        } else if UNSUPPORTED.contains(&word) {
            parser.alert(&line, 0, format!("section '{word}' is not supported by weir yet"));
            blocks.push(Block { section: Section::Unsupported, header: line, lines: Vec::new() });
        } else if let Some((name, section)) = misspelt_header(&line) {
            let section_before = blocks.last().map_or("", |b| b.section.name());
            let message = if section_before.is_empty() {
                format!("unknown keyword '{word}' out of section.")
            } else {
                format!("unknown keyword '{word}' in '{section_before}' section")
            };
            let diagnostic = Diagnostic::at(Severity::Alert, &line, 0, message);
            parser.report(diagnostic.hint(format!("did you mean '{name}' maybe ?")));
            // Read as what it was meant to be, so that its lines do not turn into errors of the section before.
            blocks.push(Block { section, header: line, lines: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            block.lines.push(line);
        } else {
            let message = format!("unknown keyword '{word}' out of section.");
            let near = || suggest::hint(word, BUILT.iter().map(|(name, _)| *name));
            let mut diagnostic = Diagnostic::at(Severity::Alert, &line, 0, message);
            diagnostic.hint = super::keywords::section_hint(word).or_else(near);
            parser.report(diagnostic);
        }
    }
    blocks
}

struct Walker<'a> {
    parser: &'a mut Parser,
    defaults: Vec<Defaults>,
    /// The `defaults` section that proxies without `from` stand on: the last one read.
    current: Option<usize>,
    order: Order,
}

impl Walker<'_> {
    fn block(&mut self, block: &Block) {
        self.parser.section = block.section;
        self.order = Order::default();
        match block.section {
            Section::None | Section::Unsupported => return,
            Section::Global => self.no_argument(&block.header),
            Section::Defaults => return self.defaults(block),
            Section::Frontend | Section::Backend | Section::Listen => self.proxy(block),
            Section::Userlist => {
                let name = self.name(block, "userlist");
                if self.parser.userlists.iter().any(|u| *u.name == *name) {
                    let message = format!("ignoring duplicated userlist '{name}'.");
                    self.parser.warning(&block.header, 1, message);
                }
                self.parser.userlist = Userlist { name: name.as_str().into(), ..Userlist::default() };
            }
            Section::HttpErrors => {
                let name = self.name(block, "http-errors");
                if self.parser.http_errors.iter().any(|h| *h.name == *name) {
                    let message = format!("http-errors section '{name}' already declared.");
                    self.parser.alert(&block.header, 1, message);
                }
                self.parser.http_error = HttpErrors { name: name.as_str().into(), ..HttpErrors::default() };
            }
            section @ (Section::Vrrp | Section::VrrpGroup | Section::VrrpScript) => {
                self.name(block, section.name());
                vrrp::begin(self.parser, section, &block.header);
            }
            Section::HealthCheck => {
                let name = self.name(block, "healthcheck");
                if self.parser.healthchecks.iter().any(|h| h.name == name) {
                    let message = format!("healthcheck section '{name}' already declared.");
                    self.parser.alert(&block.header, 1, message);
                }
                self.parser.healthcheck = HealthCheck { name, ..HealthCheck::default() };
            }
            Section::Ring => {
                let name = self.name(block, "ring");
                super::keywords::ring::begin(self.parser, &block.header, &name);
            }
            Section::CrtStore => super::keywords::crt_store::begin(self.parser, &block.header),
            Section::Mailers => {
                let name = self.name(block, "mailers");
                super::keywords::mail::begin(self.parser, &block.header, name);
            }
        }
        for line in acls_together(&block.lines) {
            self.line(line);
        }
        match block.section {
            Section::Userlist => {
                let userlist = std::mem::take(&mut self.parser.userlist);
                self.check_groups(block, &userlist);
                if !self.parser.userlists.iter().any(|u| u.name == userlist.name) {
                    self.parser.userlists.push(Arc::new(userlist));
                }
            }
            Section::HttpErrors => {
                let errors = std::mem::take(&mut self.parser.http_error);
                self.parser.http_errors.push(Arc::new(errors));
            }
            Section::HealthCheck => self.end_health_check(block),
            Section::Mailers => super::keywords::mail::end(self.parser),
            Section::Ring => super::keywords::ring::end(self.parser, &block.header),
            _ => {}
        }
    }

    fn end_health_check(&mut self, block: &Block) {
        let check = std::mem::take(&mut self.parser.healthcheck);
        if check.kind.is_none() {
            let message = format!("healthcheck '{}' has no 'type'.", check.name);
            self.parser.alert(&block.header, 1, message);
        }
        self.parser.healthchecks.push(check);
    }

    /// Users and groups of a list refer to each other by name.
    fn check_groups(&mut self, block: &Block, list: &Userlist) {
        for user in &list.users {
            for group in user.groups.iter().filter(|g| !list.groups.iter().any(|known| known.name == **g)) {
                let message = format!(
                    "userlist '{}': no such group '{group}' specified in user '{}'",
                    list.name, user.name
                );
                let hint = suggest::hint(group, list.groups.iter().map(|g| g.name.as_str()));
                let mut diagnostic = Diagnostic::at(Severity::Alert, &block.header, 1, message);
                diagnostic.hint = hint;
                self.parser.report(diagnostic);
            }
        }
        for group in &list.groups {
            for user in group.users.iter().filter(|u| !list.users.iter().any(|known| known.name == **u)) {
                let message = format!(
                    "userlist '{}': no such user '{user}' specified in group '{}'",
                    list.name, group.name
                );
                let hint = suggest::hint(user, list.users.iter().map(|u| u.name.as_str()));
                let mut diagnostic = Diagnostic::at(Severity::Alert, &block.header, 1, message);
                diagnostic.hint = hint;
                self.parser.report(diagnostic);
            }
        }
    }

    /// The section's name word, checked.
    fn name(&mut self, block: &Block, kind: &str) -> String {
        let name = block.header.word(1).to_owned();
        if name.is_empty() {
            self.parser.alert(&block.header, 0, format!("'{kind}' expects a name as argument."));
        } else {
            self.check_characters(&block.header, 1, kind);
            if block.header.words.len() > 2 {
                self.unexpected(&block.header, 2);
            }
        }
        name
    }

    fn check_characters(&mut self, line: &Line, index: usize, kind: &str) {
        if let Some(c) = invalid_character(line.word(index)) {
            let message =
                format!("character '{c}' is not permitted in '{kind}' name '{}'.", line.word(index));
            self.parser.alert(line, index, message);
        }
    }

    fn unexpected(&mut self, line: &Line, index: usize) {
        let message = format!("'{}' cannot handle unexpected argument '{}'.", line.word(0), line.word(index));
        self.parser.alert(line, index, message);
    }

    fn no_argument(&mut self, line: &Line) {
        if line.words.len() > 1 && !line.word(1).is_empty() {
            self.unexpected(line, 1);
        }
    }

    fn defaults(&mut self, block: &Block) {
        let header = &block.header;
        let (name, from_at) = match (header.word(1), header.word(2)) {
            ("from", _) => (String::new(), 1),
            (name, _) => (name.to_owned(), 2),
        };
        if !name.is_empty() {
            self.check_characters(header, 1, "defaults");
        }
        let from = self.from(header, from_at, &format!("defaults '{name}'"));
        let defaults = Defaults { name, header: header.clone(), from, lines: Vec::new() };
        self.defaults.push(defaults);
        let index = self.defaults.len() - 1;
        self.current = Some(index);
        self.start_draft(block, from);
        for line in acls_together(&block.lines) {
            if let Some(entry) = self.line(line)
                && let Some(defaults) = self.defaults.get_mut(index)
            {
                defaults.lines.push(entry);
            }
        }
        self.parser.drafts.pop();
    }

    /// `from NAME` at word `at`, if it is there.
    fn from(&mut self, header: &Line, at: usize, who: &str) -> Option<usize> {
        match header.word(at) {
            "" => return None,
            "from" => {}
            other if header.word(0) == "defaults" => {
                let message = format!("'{other}' on the 'defaults' line is ignored.");
                let rest =
                    header.words.iter().skip(at).map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
                let diagnostic = Diagnostic::at(Severity::Warning, header, at, message);
                self.parser.report(diagnostic.hint(format!("write '{rest}' on a line of its own")));
                return None;
            }
            other => {
                let message = format!("'{}' cannot handle unexpected argument '{other}'.", header.word(0));
                self.parser.alert(header, at, message);
                return None;
            }
        }
        let name = header.word(at + 1);
        if name.is_empty() {
            self.parser.alert(
                header,
                at,
                format!("'{}' expects a defaults section name after 'from'.", header.word(0)),
            );
            return None;
        }
        if header.words.len() > at + 2 {
            self.unexpected(header, at + 2);
        }
        let found: Vec<usize> =
            self.defaults.iter().enumerate().filter(|(_, d)| d.name == name).map(|(i, _)| i).collect();
        match found.as_slice() {
            [] => {
                let message = format!("defaults section '{name}' not found for {who}.");
                let hint = suggest::hint(name, self.defaults.iter().map(|d| d.name.as_str()));
                let mut diagnostic = Diagnostic::at(Severity::Alert, header, at + 1, message);
                diagnostic.hint = hint;
                self.parser.report(diagnostic);
                None
            }
            [one] => Some(*one),
            [first, second, ..] => {
                let place = |i: &usize| {
                    self.defaults
                        .get(*i)
                        .map_or(String::new(), |d| format!("{}:{}", d.header.place.file, d.header.place.line))
                };
                let message = format!(
                    "ambiguous defaults section name '{name}' referenced by {who} exists at least at {} and {}.",
                    place(first),
                    place(second)
                );
                self.parser.alert(header, at + 1, message);
                Some(*first)
            }
        }
    }

    fn proxy(&mut self, block: &Block) {
        let header = &block.header;
        let kind = header.word(0);
        let name = header.word(1);
        if name.is_empty() {
            let message = format!("'{kind}' expects an <id> argument");
            self.parser.alert(header, 0, message);
        } else {
            self.check_characters(header, 1, kind);
        }
        let who = if kind == "listen" { format!("proxy '{name}'") } else { format!("{kind} '{name}'") };
        // `listen name :80`: the form of HAProxy 1.4 and before.
        let second = header.word(2);
        let old_address = block.section != Section::Backend && second.contains(':') && second != "from";
        let from = if old_address { None } else { self.from(header, 2, &who) };
        self.start_draft(block, from.or(self.current));
        if old_address {
            self.old_address(header);
        }
    }

    fn old_address(&mut self, header: &Line) {
        let words = header.words.iter().skip(2).cloned();
        let bind = crate::config::raw::Word { text: "bind".into(), ..header.words[0].clone() };
        let line = Line {
            place: header.place.clone(),
            source: header.source.clone(),
            words: std::iter::once(bind).chain(words).collect(),
        };
        let text = line.words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        let message = format!(
            "an address on the '{}' line is the form of old versions; it is read as '{text}'.",
            header.word(0)
        );
        let diagnostic = Diagnostic::at(Severity::Warning, header, 2, message);
        self.parser.report(diagnostic.hint(format!("write '{text}' on a line of its own")));
        self.line(&line);
    }

    /// A new draft with the lines of its `defaults` chain already applied.
    fn start_draft(&mut self, block: &Block, from: Option<usize>) {
        let (section, header) = (block.section, &block.header);
        let mut chain = Vec::new();
        let mut next = from;
        while let Some(defaults) = next.and_then(|i| self.defaults.get(i)) {
            chain.push(defaults.lines.clone());
            next = defaults.from;
        }
        let inherited = chain.iter().rev().flatten().map(|(_, line, _)| line);
        let mode =
            inherited.chain(&block.lines).rfind(|line| line.word(0) == "mode").map(|line| line.word(1));
        let in_l4 = mode == Some("l4");
        let proxy = Proxy {
            mode: if in_l4 { Mode::L4 } else { Mode::default() },
            name: header.word(1).into(),
            place: Some(header.place.clone()),
            front: section.has_front().then(Front::default),
            back: section.has_back().then(Backend::default),
            ..Proxy::default()
        };
        let scope = Scope {
            userlists: self.parser.userlists.clone(),
            directory: self.parser.directory.clone(),
            patterns: Arc::clone(&self.parser.patterns),
            environment: self.parser.bare.environment.clone(),
            own: (section != Section::Defaults).then(|| Own {
                name: header.word(1).to_owned(),
                front: section.has_front(),
                back: section.has_back(),
            }),
            ..Scope::default()
        };
        let mut draft = Draft::new(section, header.clone(), proxy, scope);
        draft.l4.active = in_l4;
        self.parser.drafts.push(draft);
        self.parser.replaying = true;
        for (depth, (prefix, line, keyword)) in
            chain.iter().rev().enumerate().flat_map(|(i, lines)| lines.iter().map(move |line| (i + 1, line)))
        {
            // Timeouts reach every proxy: 'timeout tarpit' of a frontend falls back to 'timeout connect'.
            let reaches = keyword.sections.has(section) || keyword.name.starts_with("timeout ");
            if reaches && keywords::l4::fits(self.parser, line, keyword) {
                self.parser.prefix = *prefix;
                self.parser.depth = depth;
                self.parser.apply(keyword, line);
            }
        }
        self.parser.depth = 0;
        self.parser.replaying = false;
        // ACLs of `defaults` are for its own rules, which hold on to them.
        if let Some(draft) = self.parser.draft() {
            draft.scope.acls.clear();
        }
    }

    /// Applies one line; answers what a `defaults` section keeps of it.
    fn line(&mut self, line: &Line) -> Option<(Prefix, Line, &'static Keyword)> {
        let original = line;
        let mut line = line.clone();
        let prefix = match line.word(0) {
            "no" => Prefix::No,
            "default" => Prefix::Default,
            _ => Prefix::None,
        };
        if prefix != Prefix::None {
            line.words.remove(0);
            if line.words.is_empty() {
                let message = format!(
                    "'{}' expects a keyword after it.",
                    if prefix == Prefix::No { "no" } else { "default" }
                );
                self.parser.alert(original, 0, message);
                return None;
            }
        }
        self.parser.prefix = prefix;
        let section = self.parser.section;
        let words: Vec<&str> = line.words.iter().map(|w| w.text.as_str()).collect();
        let Some(keyword) = keywords::find(section, &words) else {
            keywords::unknown(self.parser, &line);
            return None;
        };
        if !keyword.sections.has(section) {
            self.misplaced(keyword, &line);
            return None;
        }
        if prefix != Prefix::None && !keyword.no {
            let message = if words.first() == Some(&"option") {
                format!("negation/default is not supported for option '{}'.", line.word(1))
            } else {
                "negation/default currently supported only for options, log, busy-polling, set-dumpable, strict-limits, insecure-fork-wanted and numa-cpu-mapping.".to_owned()
            };
            self.parser.alert(&line, 0, message);
            return None;
        }
        if section == Section::Defaults && self.anonymous() && NAMED_DEFAULTS_ONLY.contains(&line.word(0)) {
            let message = format!("'{}' not allowed in anonymous 'defaults' section.", line.word(0));
            self.parser
                .report(Diagnostic::at(Severity::Alert, &line, 0, message).hint("give the section a name"));
            return None;
        }
        if section.is_proxy() && !keywords::l4::fits(self.parser, &line, keyword) {
            return None;
        }
        if section.is_proxy()
            && let Some(message) = self.order.note(&line)
        {
            self.parser.warning(&line, 0, message);
        }
        self.parser.global.shows_responses |= line.words.iter().any(|word| asks_for_a_response(&word.text));
        self.parser.apply(keyword, &line);
        if keyword.name == "acl" {
            self.note_broken_acl(line.word(1));
        }
        Some((prefix, line, keyword))
    }

    fn anonymous(&self) -> bool {
        self.defaults.last().is_some_and(|d| d.name.is_empty())
    }

    fn note_broken_acl(&mut self, name: &str) {
        if let Some(draft) = self.parser.draft()
            && draft.scope.acls.get(name).is_none()
        {
            draft.broken_acls.push(name.to_owned());
        }
    }

    /// A keyword that exists, but not in this section.
    fn misplaced(&mut self, keyword: &Keyword, line: &Line) {
        let section = self.parser.section;
        let word = if line.word(0) == "option" { line.word(1) } else { keyword.name };
        let proxy_name = self.parser.drafts.last().map_or(String::new(), |d| d.proxy.name.to_string());
        let proxy_keyword = keyword.sections.0 & super::keyword::ANY_PROXY.0 != 0;
        if !section.is_proxy() || !proxy_keyword {
            keywords::unknown(self.parser, line);
        } else if section == Section::Defaults {
            self.parser.alert(line, 0, format!("'{word}' not allowed in 'defaults' section."));
        } else {
            let side = if section == Section::Frontend { "backend" } else { "frontend" };
            let kind = section.name();
            if keyword.name == "server" || keyword.name == "server-template" {
                let message =
                    format!("'{word}' not allowed because {kind} '{proxy_name}' has no {side} capability.");
                self.parser.alert(line, 0, message);
                return;
            }
            let ending = match word {
                "maxconn" => " Maybe you want 'fullconn' instead ?",
                "fullconn" => " Maybe you want 'maxconn' instead ?",
                _ => "",
            };
            let message =
                format!("'{word}' ignored because {kind} '{proxy_name}' has no {side} capability.{ending}");
            self.parser.warning(line, 0, message);
        }
    }
}

/// The section's lines, where all `acl` lines of one name follow the first of them: HAProxy lets later lines complete
/// an ACL that rules in between use already.
fn acls_together(lines: &[Line]) -> Vec<&Line> {
    let mut groups: HashMap<&str, Vec<&Line>> = HashMap::new();
    for line in lines.iter().filter(|l| l.word(0) == "acl") {
        groups.entry(line.word(1)).or_default().push(line);
    }
    let mut out = Vec::with_capacity(lines.len());
    for line in lines {
        if line.word(0) == "acl" {
            out.extend(groups.remove(line.word(1)).unwrap_or_default());
        } else {
            out.push(line);
        }
    }
    out
}

/// Keywords that `defaults` takes only when it has a name: proxies refer to the rules, they are not copied.
const NAMED_DEFAULTS_ONLY: &[&str] =
    &["acl", "http-request", "http-response", "http-after-response", "tcp-request", "tcp-response"];

/// The first character that may not stand in a name.
#[must_use]
pub fn invalid_character(name: &str) -> Option<char> {
    name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-')))
}

/// Does it look like an expression that reads a response's body?
fn asks_for_a_response(word: &str) -> bool {
    ["res.body", "res.len", "res.payload", "payload(", "payload_lv("].iter().any(|name| word.contains(name))
}
