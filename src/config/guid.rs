//! `guid`: names that proxies, listeners and servers keep while everything else about them changes.

use super::diagnostic::{Diagnostic, Severity};
use super::model::Proxy;
use super::parser::Parser;
use super::raw::{Line, Place};
use std::collections::HashMap;
use std::sync::Arc;

/// The longest one.
const LONGEST: usize = 127;

/// The word at `index`, if it can be one; else that is reported.
pub fn word(parser: &mut Parser, line: &Line, index: usize, what: &str) -> Option<Arc<str>> {
    let text = line.word(index);
    let wrong = text.chars().find(|c| !c.is_ascii_alphanumeric() && !".:-_".contains(*c));
    let problem = match wrong {
        _ if text.is_empty() => "expects an identifier as argument".to_owned(),
        Some(c) => format!("'{c}' is not allowed: letters, digits, '.', ':', '-' and '_' are"),
        None if text.len() > LONGEST => format!("is longer than {LONGEST} characters"),
        None => return Some(text.into()),
    };
    parser.alert(line, index, format!("{what} : {problem}."));
    None
}

/// What has a name already, in words.
type Taken = HashMap<Arc<str>, String>;

/// Reports names that are given twice.
pub fn check(parser: &mut Parser, proxies: &[Proxy]) {
    let mut taken = Taken::new();
    for proxy in proxies {
        let mut take = |guid: &Option<Arc<str>>, place: &Option<Place>, what: String| {
            let Some(guid) = guid else { return };
            if let Some(first) = taken.get(guid) {
                parser.report(Diagnostic {
                    severity: Severity::Alert,
                    place: place.clone(),
                    message: format!("{what} : 'guid' : '{guid}' is the name of {first} already."),
                    source: None,
                    hint: None,
                });
            } else {
                taken.insert(Arc::clone(guid), what);
            }
        };
        take(&proxy.guid, &proxy.place, format!("proxy '{}'", proxy.name));
        for bind in proxy.front.iter().flat_map(|f| &f.binds) {
            take(&bind.guid, &bind.place, format!("a listener of proxy '{}'", proxy.name));
        }
        for server in proxy.back.iter().flat_map(|b| &b.servers) {
            take(&server.guid, &server.place, format!("server '{}/{}'", proxy.name, server.name));
        }
    }
}
