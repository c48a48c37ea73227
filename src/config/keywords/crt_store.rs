//! `crt-store` sections: certificates loaded by a name, from files that need not stand beside each other.

use super::bind_ssl;
use crate::config::keyword::{CRT_STORE, Keyword};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::tls::certificate::{Files, load_from};
use std::path::PathBuf;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "crt-base",
        CRT_STORE,
        "<dir>",
        "Where relative names of the section's certificates start, before any 'load'.",
        |p, l| base(p, l, |store| &mut store.crt_base),
    ),
    Keyword::new(
        "key-base",
        CRT_STORE,
        "<dir>",
        "Where relative names of the section's keys start, before any 'load'.",
        |p, l| base(p, l, |store| &mut store.key_base),
    ),
    Keyword::new(
        "load",
        CRT_STORE,
        "crt <file> [alias <name>] [key <file>] [ocsp <file>] [issuer <file>] [ocsp-update <on | off>]",
        "Loads a certificate. 'bind' lines call it '@<section>/<name>', where the name is the alias or else the file.",
        load,
    ),
];

/// The section that is being read.
#[derive(Clone, Debug, Default)]
pub struct CrtStore {
    pub name: String,
    crt_base: Option<String>,
    key_base: Option<String>,
    loaded: bool,
}

pub fn begin(parser: &mut Parser, header: &Line) {
    let name = header.word(1).to_owned();
    if let Some(bad) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.:".contains(*c)) {
        parser.alert(header, 1, format!("character '{bad}' is not permitted in 'crt-store' name '{name}'."));
    }
    if header.words.len() > 2 {
        parser.alert(header, 2, "'crt-store' takes one name.");
    }
    parser.tls.section = CrtStore { name, ..CrtStore::default() };
}

fn base(parser: &mut Parser, line: &Line, which: fn(&mut CrtStore) -> &mut Option<String>) {
    let Some(dir) = parser.text(line, 1, "a directory path") else { return };
    let store = &mut parser.tls.section;
    if store.loaded {
        return parser.alert(
            line,
            0,
            format!("'{}' must come before the section's 'load' lines.", line.word(0)),
        );
    }
    *which(store) = Some(dir);
}

fn load(parser: &mut Parser, line: &Line) {
    let (mut crt, mut alias) = (None, None);
    let mut files = Files::default();
    let mut fresh = None;
    let mut i = 1;
    while i < line.words.len() {
        let (word, value) = (line.word(i), line.word(i + 1));
        if value.is_empty() {
            return parser.alert(line, i, format!("'load' : '{word}' expects an argument."));
        }
        match word {
            "crt" => crt = Some(i + 1),
            "alias" => alias = Some(value),
            "key" => files.key = Some(path(parser, line, value, true)),
            "ocsp" => files.ocsp = Some(path(parser, line, value, false)),
            "issuer" => files.issuer = Some(path(parser, line, value, false)),
            "ocsp-update" => {
                let Some(on) = bind_ssl::on_or_off(parser, line, i) else { return };
                fresh = Some(on);
            }
            "sctl" => {
                parser.no_effect(line, i, "timestamps are shown only where they stand in a certificate")
            }
            "acme" | "domains" | "jwt" => {
                return parser.unsupported(line, i, &format!("load ... {word}"));
            }
            other => return parser.alert(line, i, format!("'load' : unknown keyword '{other}'.")),
        }
        i += 2;
    }
    let Some(at) = crt else {
        return parser.alert(line, 0, "'load' : mandatory 'crt' parameter not found.");
    };
    let file = line.word(at);
    let store = &mut parser.tls.section;
    store.loaded = true;
    let name = format!("@{}/{}", store.name, alias.unwrap_or(file));
    if parser.tls.store.get(&name).is_some() {
        return parser.alert(line, at, format!("'load' : certificate '{name}' already exists."));
    }
    let certificate = path(parser, line, file, false);
    match load_from(&certificate, &files, parser.tls.extra) {
        Ok(loaded) => {
            let slot = parser.tls.store.insert(&name, loaded);
            let fresh = fresh.map(|fresh| fresh && !parser.global.ocsp_updates.disabled);
            if let Some(Err(problem)) = fresh.map(|fresh| slot.keep_fresh(fresh)) {
                parser.alert(line, at, format!("'load' : {}", problem.sentence(file)));
            }
        }
        Err(problem) => parser.alert(line, at, format!("'load' : {}", problem.sentence(file))),
    }
}

/// Where a file of the section is: below its own base, else below the global one.
fn path(parser: &Parser, line: &Line, name: &str, is_key: bool) -> PathBuf {
    let tls = &parser.tls;
    let own = if is_key { &tls.section.key_base } else { &tls.section.crt_base };
    let base = own.as_ref().or(if is_key { tls.key_base.as_ref() } else { tls.crt_base.as_ref() });
    match base {
        Some(base) if !name.starts_with('/') => parser.path(line, &format!("{base}/{name}")),
        _ => parser.path(line, name),
    }
}
