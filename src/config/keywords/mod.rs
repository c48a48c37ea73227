//! The keyword tables, one file per family, and the lookup over all of them.

use super::diagnostic::{Diagnostic, Severity};
use super::keyword::{Keyword, Section};
use super::parser::Parser;
use super::raw::Line;
use super::suggest;
use std::collections::HashMap;
use std::sync::LazyLock;

pub mod acl;
pub mod agent;
pub mod balance;
pub mod bind;
pub mod bind_ssl;
pub mod check_kinds;
pub mod checks;
pub mod cookie;
pub mod crt_store;
pub mod global;
pub mod http_rules;
pub mod l4;
pub mod log;
pub mod mail;
mod ocsp;
pub mod options;
mod process;
pub mod proxy;
pub mod replies;
pub mod ring;
pub mod routing;
pub mod server;
pub mod server_tls;
pub mod source;
pub mod stats;
mod stats_socket;
pub mod tcp_rules;
pub mod timeouts;
mod tls;
pub mod tune;
pub mod unsupported;
pub mod userlist;
pub mod vrrp;
mod vrrp_routes;
mod vrrp_words;

/// Every table, in the order the manual shows them.
pub const TABLES: &[&[Keyword]] = &[
    global::TABLE,
    process::TABLE,
    tune::TABLE,
    tls::TABLE,
    ocsp::TABLE,
    log::TABLE,
    mail::TABLE,
    crt_store::TABLE,
    ring::TABLE,
    proxy::TABLE,
    bind::TABLE,
    server::TABLE,
    balance::TABLE,
    cookie::TABLE,
    checks::TABLE,
    check_kinds::TABLE,
    source::TABLE,
    timeouts::TABLE,
    options::TABLE,
    stats::TABLE,
    stats_socket::TABLE,
    acl::TABLE,
    routing::TABLE,
    http_rules::TABLE,
    tcp_rules::TABLE,
    replies::TABLE,
    userlist::TABLE,
    vrrp::TABLE,
    l4::TABLE,
    unsupported::TABLE,
];

/// Rows by the first word of their name.
static BY_FIRST_WORD: LazyLock<HashMap<&'static str, Vec<&'static Keyword>>> = LazyLock::new(|| {
    let mut map: HashMap<&'static str, Vec<&'static Keyword>> = HashMap::new();
    for keyword in TABLES.iter().flat_map(|table| table.iter()) {
        let first = keyword.name.split(' ').next().unwrap_or("");
        map.entry(first).or_default().push(keyword);
    }
    map
});

/// The rows whose name begins with `first`, in any section.
#[must_use]
pub fn family(first: &str) -> &'static [&'static Keyword] {
    BY_FIRST_WORD.get(first).map_or(&[], Vec::as_slice)
}

/// The row with the longest name that the words begin with; of equal ones, that which is valid in `section`.
#[must_use]
pub fn find(section: Section, words: &[&str]) -> Option<&'static Keyword> {
    let matching = family(words.first().copied().unwrap_or(""))
        .iter()
        .filter(|k| k.name.split(' ').enumerate().all(|(i, w)| words.get(i) == Some(&w)));
    matching.max_by_key(|k| (k.name.split(' ').count(), k.sections.has(section))).copied()
}

/// Is `word` the first word of any keyword, built or not?
#[must_use]
pub fn is_known(word: &str) -> bool {
    !family(word).is_empty() || unsupported::GLOBAL.contains(&word) || unsupported::PROXY.contains(&word)
}

/// Reports a keyword that no row of this section has, with the nearest that one has.
pub fn unknown(parser: &mut Parser, line: &Line) {
    let section = parser.section;
    let (first, second) = (line.word(0), line.word(1));
    let known = match (section, first) {
        (Section::Global, _) => unsupported::GLOBAL.contains(&first).then_some((0, first.to_owned())),
        (s, "option") if s.is_proxy() && !second.is_empty() => {
            unsupported::OPTIONS.contains(&second).then(|| (1, format!("option {second}")))
        }
        (s, _) if s.is_proxy() => unsupported::PROXY.contains(&first).then_some((0, first.to_owned())),
        _ => None,
    };
    if let Some((index, name)) = known {
        return parser.unsupported(line, index, &name);
    }
    let mut index = 0;
    let (message, hint) = if first == "option" && section.is_proxy() {
        index = 1;
        let names = family("option").iter().filter(|k| k.sections.has(section));
        let names =
            names.filter_map(|k| k.name.split(' ').nth(1)).chain(unsupported::OPTIONS.iter().copied());
        (format!("unknown option '{second}'."), suggest::hint(second, names))
    } else {
        let names = TABLES.iter().flat_map(|t| t.iter()).filter(|k| k.sections.has(section));
        let names = names.map(|k| k.name.split(' ').next().unwrap_or(""));
        let message = format!("unknown keyword '{first}' in '{}' section", section.name());
        (message, suggest::hint(first, names))
    };
    let mut diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
    diagnostic.hint = vrrp_words::hint(section, first)
        .or_else(|| vrrp_words::section_hint(first))
        .or_else(|| strange_blank(first))
        .or_else(|| elsewhere(line))
        .or(hint);
    parser.report(diagnostic);
}

/// Text from web pages brings blanks that are none to us.
fn strange_blank(word: &str) -> Option<String> {
    let blank =
        word.chars().find(|c| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}'))?;
    Some(format!(
        "a character in it looks like a blank and is another (U+{:04X}): type it anew",
        u32::from(blank)
    ))
}

/// A keyword of other sections.
fn elsewhere(line: &Line) -> Option<String> {
    const SECTIONS: [Section; 14] = [
        Section::Global,
        Section::Defaults,
        Section::Frontend,
        Section::Backend,
        Section::Listen,
        Section::Userlist,
        Section::HttpErrors,
        Section::HealthCheck,
        Section::Mailers,
        Section::Ring,
        Section::CrtStore,
        Section::Vrrp,
        Section::VrrpGroup,
        Section::VrrpScript,
    ];
    let words: Vec<&str> = line.words.iter().map(|w| w.text.as_str()).collect();
    let sections: Vec<String> = SECTIONS
        .into_iter()
        .filter(|section| find(*section, &words).is_some_and(|k| k.sections.has(*section)))
        .map(|section| format!("'{}'", section.name()))
        .collect();
    let (last, before) = sections.split_last()?;
    let list = if before.is_empty() { last.clone() } else { format!("{} or {last}", before.join(", ")) };
    let name = if line.word(0) == "option" { line.word(1) } else { line.word(0) };
    Some(format!("'{name}' belongs in a {list} section"))
}

/// What is told of a word that begins no section.
#[must_use]
pub fn section_hint(word: &str) -> Option<String> {
    vrrp_words::section_hint(word)
}

/// How many words an option of a `bind` or a `server` line takes; `None`: it is in no table.
#[must_use]
pub fn option_arguments(line: &str, option: &str) -> Option<usize> {
    if line == "bind" {
        let plain = bind::OPTIONS.iter().find(|o| o.name == option).map(|o| o.taken);
        return plain.or_else(|| bind_ssl::taken(option));
    }
    server::every_option().find(|o| o.name == option).map(|o| o.taken)
}

/// Does an option of a `bind` line concern handshakes?
#[must_use]
pub fn is_tls_of_bind(option: &str) -> bool {
    bind_ssl::taken(option).is_some()
}

/// Runs the row for `line` in the section the parser is in.
pub fn apply(parser: &mut Parser, keyword: &Keyword, line: &Line) {
    let is_vrrp = matches!(parser.section, Section::Vrrp | Section::VrrpGroup | Section::VrrpScript);
    if !is_vrrp || vrrp_words::fit(parser, line) {
        (keyword.apply)(parser, line);
    }
}
