//! Certificates named on `bind` lines: files, bundles, directories and lists, read into the store as they are met.

use super::diagnostic::{Diagnostic, Severity};
use super::door::TlsOptions;
use super::keywords::bind_ssl;
use super::keywords::crt_store::CrtStore;
use super::parser::Parser;
use super::raw::{Line, Place, Word};
use super::tls::Preferences;
use crate::tls::certificate::{BESIDE, BUNDLE, Extra, Problem, reason, with};
use crate::tls::{Listing, Slot, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// TLS as far as it does not belong to one proxy.
#[derive(Debug)]
pub struct Tls {
    pub store: Arc<Store>,
    pub crt_base: Option<String>,
    /// `key-base`
    pub key_base: Option<String>,
    /// The `crt-store` section that is being read.
    pub section: CrtStore,
    pub extra: Extra,
    /// `tune.ssl.cachesize`
    pub cached_sessions: usize,
    /// `tune.ssl.lifetime`
    pub session_lifetime: Duration,
    /// `tune.ssl.maxrecord`, `tune.ssl.hard-maxrecord`
    pub max_record: Option<usize>,
    /// What `allow-0rtt` lets clients send early, in bytes.
    pub early_data: u32,
    /// `ssl-default-bind-*`
    pub bind_defaults: TlsOptions,
    /// `ssl-default-server-curves` and its like.
    pub server_defaults: Preferences,
    /// Each certificate that is shown to clients, with what is said of its OCSP responses there.
    pub(super) claims: Vec<Claim>,
}

/// `ocsp-update` of a certificate: on, off, or nothing said, in one place.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    slot: Arc<Slot>,
    fresh: Option<bool>,
    line: Line,
    word: usize,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            store: Arc::default(),
            crt_base: None,
            key_base: None,
            section: CrtStore::default(),
            extra: Extra::default(),
            cached_sessions: 20_000,
            session_lifetime: Duration::from_secs(300),
            max_record: None,
            early_data: 0,
            bind_defaults: TlsOptions::default(),
            server_defaults: Preferences::default(),
            claims: Vec::new(),
        }
    }
}

/// A certificate to be shown.
#[derive(Clone, Debug)]
pub struct Source {
    pub slot: Arc<Slot>,
    pub filters: Vec<String>,
    /// A list's line has its own.
    pub options: Option<TlsOptions>,
    pub written: Option<Arc<str>>,
    pub list: Option<Listing>,
    pub is_default: bool,
}

impl Source {
    fn plain(slot: Arc<Slot>) -> Self {
        Self { slot, filters: Vec::new(), options: None, written: None, list: None, is_default: false }
    }
}

/// `crt <file | directory>`: what it stands for. `Err`: HAProxy's sentence about it.
pub fn open(parser: &Parser, line: &Line, name: &str) -> Result<Vec<Source>, String> {
    // Of a `crt-store` section.
    if name.starts_with('@') {
        let slot = parser.tls.store.get(name);
        let slot =
            slot.ok_or_else(|| format!("unable to find certificate '{name}' in a 'crt-store' section."))?;
        return Ok(vec![Source::plain(slot)]);
    }
    let name = match &parser.tls.crt_base {
        Some(base) if !name.starts_with('/') => format!("{base}/{name}"),
        _ => name.to_owned(),
    };
    let path = parser.path(line, &name);
    if path.is_dir() {
        return directory(parser, name.trim_end_matches('/'), &path);
    }
    let bundle = !path.exists() && parser.tls.extra.bundle;
    let members: Vec<&str> = BUNDLE.iter().filter(|e| bundle && with(&path, e).exists()).copied().collect();
    if members.is_empty() {
        return one(parser, &name, &path);
    }
    let mut found = Vec::new();
    for ending in members {
        found.extend(one(parser, &format!("{name}.{ending}"), &with(&path, ending))?);
    }
    Ok(found)
}

/// A list of its own, to which certificates can be added while it is in use.
fn directory(parser: &Parser, name: &str, path: &Path) -> Result<Vec<Source>, String> {
    let list: Arc<str> = name.into();
    let mut found = Vec::new();
    let files = files(path).map_err(|e| format!("unable to scan directory '{name}' ({e})."))?;
    for (number, file) in (0..).zip(files) {
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sources = one(parser, &format!("{name}/{file}"), &path.join(&file))?;
        let listing = Listing { list: Arc::clone(&list), number, directory: true };
        found.extend(sources.into_iter().map(|s| Source { list: Some(listing.clone()), ..s }));
    }
    Ok(found)
}

/// Says why OCSP responses beside certificates are passed over.
pub fn doubts(parser: &mut Parser, line: &Line, index: usize, found: &[Source]) {
    for source in found {
        let certificate = source.slot.certificate();
        if let Some(why) = certificate.ocsp.as_ref().and_then(|staple| staple.doubt) {
            parser.warning(line, index, format!("Loading: {why}. Content will be ignored."));
        }
    }
}

/// Notes what a place says of the OCSP responses of certificates: `fresh`, if anything.
pub fn claim(parser: &mut Parser, line: &Line, word: usize, found: &[Source], fresh: Option<bool>) {
    let claims = found.iter().map(|s| Claim { slot: Arc::clone(&s.slot), fresh, line: line.clone(), word });
    parser.tls.claims.extend(claims);
}

/// Settles whose OCSP responses are kept fresh, once all is read: every place that shows a certificate must say the same.
pub fn settle_updates(parser: &mut Parser) {
    let manner = &parser.global.ocsp_updates;
    let (by_default, disabled) = (manner.on, manner.disabled);
    parser.tls.store.updates.set_default(by_default && !disabled);
    if disabled {
        return;
    }
    for Claim { slot, fresh, line, word } in std::mem::take(&mut parser.tls.claims) {
        // What a `crt-store` says holds wherever nothing is said.
        let of_store = slot.updates().filter(|_| slot.name.starts_with('@'));
        let fresh = fresh.or(of_store).unwrap_or(by_default);
        match slot.keep_fresh(fresh) {
            Ok(true) => {}
            Ok(false) => {
                let (said, before) = if fresh { ("on", "off") } else { ("off", "on") };
                let message = format!(
                    "'{}' is already defined with incompatible parameters: 'ocsp-update' was '{before}' before, and is '{said}' here.",
                    slot.name
                );
                let diagnostic = Diagnostic::at(Severity::Alert, &line, word, message);
                parser.report(diagnostic.hint(
                    "say the same on every line of a crt-list that names it, and 'ocsp-update.mode' where a 'bind' line does",
                ));
            }
            Err(problem) => parser.alert(&line, word, problem.sentence(&slot.name)),
        }
    }
}

fn one(parser: &Parser, name: &str, path: &Path) -> Result<Vec<Source>, String> {
    let slot = parser.tls.store.open(name, path, parser.tls.extra);
    slot.map(|slot| vec![Source::plain(slot)]).map_err(|problem: Problem| problem.sentence(name))
}

/// The certificates of a directory, in HAProxy's order.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(path).map_err(|e| reason(&e))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.sort();
    files.retain(|file| {
        let hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let beside = file.extension().is_some_and(|e| BESIDE.iter().any(|b| e == *b));
        !hidden && !beside && file.is_file()
    });
    Ok(files)
}

/// `crt-list <file>`: a certificate a line, `file [options] filter...`. What is wrong is reported at the list's line.
/// `None`: something was.
pub fn list(parser: &mut Parser, line: &Line, index: usize) -> Option<Vec<Source>> {
    let name = line.word(index).to_owned();
    let path = parser.path(line, &name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("'crt-list' : cannot open file '{name}' : {}.", reason(&error));
            parser.alert(line, index, message);
            return None;
        }
    };
    let file: Arc<str> = name.as_str().into();
    let mut found = Vec::new();
    let mut whole = true;
    for (number, text) in (1..).zip(text.lines()) {
        let entry = entry(&file, number, text);
        if entry.words.is_empty() {
            continue;
        }
        match listed(parser, line, &entry) {
            Some(sources) => {
                let listing = Listing { list: Arc::clone(&file), number, directory: false };
                found.extend(sources.into_iter().map(|s| Source { list: Some(listing.clone()), ..s }));
            }
            None => whole = false,
        }
    }
    whole.then_some(found)
}

/// The words of a list's line; brackets are words of their own.
pub fn entry(file: &Arc<str>, number: u32, text: &str) -> Line {
    let mut words: Vec<Word> = Vec::new();
    let mut start = None;
    let mut end = |start: &mut Option<usize>, at: usize| {
        if let Some(from) = start.take() {
            words.push(word(text, from, at));
        }
    };
    for (at, c) in text.char_indices() {
        match c {
            '#' => {
                end(&mut start, at);
                break;
            }
            c if c.is_whitespace() => end(&mut start, at),
            '[' | ']' => {
                end(&mut start, at);
                start = Some(at);
                end(&mut start, at + 1);
            }
            _ => start = start.or(Some(at)),
        }
    }
    let cut = text.find('#').unwrap_or(text.len());
    end(&mut start, cut);
    Line { place: Place { file: Arc::clone(file), line: number }, source: text.into(), words }
}

fn word(text: &str, start: usize, end: usize) -> Word {
    let column = |n| u32::try_from(n).unwrap_or(u32::MAX);
    Word { text: text.get(start..end).unwrap_or_default().to_owned(), start: column(start), end: column(end) }
}

/// What stands behind the certificate in a list's line.
#[derive(Debug, Default)]
pub struct Extras {
    pub options: Option<TlsOptions>,
    /// The options as they stand there.
    pub written: Option<Arc<str>>,
    pub filters: Vec<String>,
}

/// `[options] filter...`; `None`: something was wrong, and reported.
pub fn extras(parser: &mut Parser, entry: &Line) -> Option<Extras> {
    let mut extras = Extras::default();
    let mut i = 1;
    if entry.word(1) == "[" {
        let Some(close) = entry.words.iter().position(|w| w.text == "]") else {
            parser.alert(entry, 1, "crt-list: a '[' without its ']'.");
            return None;
        };
        let part = entry.words.get(2..close).unwrap_or_default();
        let text: Vec<&str> = part.iter().map(|w| w.text.as_str()).collect();
        extras.written = Some(text.join(" ").into());
        let inner = Line { words: part.to_vec(), ..entry.clone() };
        extras.options = Some(bind_ssl::listed_options(parser, &inner)?);
        i = close + 1;
    }
    extras.filters = entry.words.iter().skip(i).map(|w| w.text.clone()).collect();
    Some(extras)
}

fn listed(parser: &mut Parser, bind: &Line, entry: &Line) -> Option<Vec<Source>> {
    let Extras { options, written, filters } = extras(parser, entry)?;
    match open(parser, bind, entry.word(0)) {
        Ok(sources) => {
            doubts(parser, entry, 0, &sources);
            claim(parser, entry, 0, &sources, options.as_ref().and_then(|o: &TlsOptions| o.fresh));
            let with = |s: Source| Source {
                filters: filters.clone(),
                options: options.clone(),
                written: written.clone(),
                ..s
            };
            Some(sources.into_iter().map(with).collect())
        }
        Err(message) => {
            parser.alert(entry, 0, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_list() {
        let check = |text: &str, expected: &[&str]| {
            let line = entry(&"list".into(), 1, text);
            let words: Vec<&str> = line.words.iter().map(|w| w.text.as_str()).collect();
            assert_eq!(words, expected, "{text}");
        };
        check("  # nothing", &[]);
        check("a.pem", &["a.pem"]);
        check("a.pem [alpn h2] *.x !y.x # z", &["a.pem", "[", "alpn", "h2", "]", "*.x", "!y.x"]);
    }
}
