//! `add server` and `add ssl crt-list` on the administration socket: the words of a `server` line and of a line of a certificate
//! list, read while the process runs.

use super::certificates::{self, Extras, Tls};
use super::diagnostic::Severity;
use super::door::TlsOptions;
use super::draft::Draft;
use super::environment::Environment;
use super::keyword::Section;
use super::keywords::server;
use super::model::{Mode, Proxy, Server};
use super::parser::Parser;
use super::raw::{Line, Place, Word};
use super::servers;
use crate::expr::Scope;
use crate::tls::Store;
use crate::tls::settings::Settings;
use std::sync::Arc;

/// A server that was read.
#[derive(Debug)]
pub struct Added {
    pub conf: Server,
    /// `enabled`: takes requests at once.
    pub in_service: bool,
}

/// Options such a server may have: HAProxy's list, of which weir builds a part.
const ACCEPTED: &[&str] = &[
    "addr",
    "agent-addr",
    "agent-check",
    "agent-inter",
    "agent-port",
    "agent-send",
    "allow-0rtt",
    "alpn",
    "backup",
    "ca-file",
    "check",
    "check-alpn",
    "check-proto",
    "check-send-proxy",
    "check-sni",
    "check-ssl",
    "check-via-socks4",
    "ciphers",
    "ciphersuites",
    "crl-file",
    "crt",
    "disabled",
    "downinter",
    "enabled",
    "error-limit",
    "fall",
    "fastinter",
    "guid",
    "id",
    "inter",
    "maxconn",
    "maxqueue",
    "minconn",
    "no-ssl-reuse",
    "no-tls-tickets",
    "npn",
    "observe",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "pool-low-conn",
    "pool-max-conn",
    "pool-purge-delay",
    "port",
    "proto",
    "proxy-v2-options",
    "rise",
    "send-proxy",
    "send-proxy-v2",
    "send-proxy-v2-ssl",
    "send-proxy-v2-ssl-cn",
    "slowstart",
    "sni",
    "source",
    "ssl",
    "ssl-max-ver",
    "ssl-min-ver",
    "tfo",
    "tls-tickets",
    "track",
    "usesrc",
    "verify",
    "verifyhost",
    "weight",
    "ws",
];

/// Reads `words`, the address first. Host names are not looked up, as with `init-addr none`, and `default-server` does
/// not apply. The server's `id` stays 0 where none is given.
///
/// # Errors
/// What is wrong, as HAProxy says it on the socket.
pub fn server(proxy: &Proxy, name: &str, words: &[&str], tls: &Arc<Store>) -> Result<Added, String> {
    let line = line(name, words);
    if let Some(c) = super::sections::invalid_character(name) {
        return Err(format!("character '{c}' is not permitted in server name '{name}'."));
    }
    if words.is_empty() {
        return Err("'server' expects <name> and <addr>[:<port>] as arguments.\n".to_owned());
    }
    let mut parser = Parser::new(Environment::default());
    parser.section = Section::Backend;
    parser.tls.store = Arc::clone(tls);
    let own = Proxy { name: Arc::clone(&proxy.name), mode: proxy.mode, ..Proxy::default() };
    parser.drafts.push(Draft::new(Section::Backend, line.clone(), own, Scope::default()));
    let context = format!("'server {}/{name}' : ", proxy.name);
    let refused = |parser: &Parser| {
        let alert = parser.diagnostics.iter().find(|d| d.severity == Severity::Alert)?;
        let text = alert.message.replace(&context, "");
        Some(match &alert.hint {
            Some(hint) => format!("{text} ({hint})"),
            None => text,
        })
    };
    let draft = server::running(&mut parser, &line, ACCEPTED);
    if let Some(why) = refused(&parser) {
        return Err(why);
    }
    let Some(draft) = draft else { return Err("The server cannot be read.".to_owned()) };
    let (given_id, in_service) = (draft.server.id, words.contains(&"enabled") && !draft.server.disabled);
    let conf = servers::settle(&mut parser, proxy, false, vec![draft], None).pop();
    if let Some(why) = refused(&parser) {
        return Err(why);
    }
    let conf = conf.ok_or("The server cannot be read.")?;
    Ok(Added { conf: Server { id: given_id, place: None, ..conf }, in_service })
}

/// A line of a certificate list that was written while the process runs.
#[derive(Debug)]
pub struct Listed {
    pub certificate: String,
    pub extras: Extras,
}

/// Reads `file [options] filter...`.
///
/// # Errors
/// What is wrong with it.
pub fn listed(text: &str, tls: &Arc<Store>) -> Result<Listed, String> {
    let entry = certificates::entry(&"cli".into(), 1, text);
    let mut parser = Parser::new(Environment::default());
    parser.tls.store = Arc::clone(tls);
    let extras = certificates::extras(&mut parser, &entry);
    let alert = parser.diagnostics.iter().find(|d| d.severity == Severity::Alert);
    match (extras, alert) {
        (Some(extras), None) => Ok(Listed { certificate: entry.word(0).to_owned(), extras }),
        (_, alert) => Err(alert.map_or_else(String::new, |d| d.message.trim_end_matches('.').to_owned())),
    }
}

/// The options of such a line over what a `bind` line says. `early_data`: how much of it `allow-0rtt` lets come.
///
/// # Errors
/// They do not go together.
pub fn listed_settings(
    own: &TlsOptions,
    common: &Settings,
    early_data: u32,
    store: &Arc<Store>,
) -> Result<Settings, String> {
    let tls = Tls {
        store: Arc::clone(store),
        max_record: common.max_record,
        session_lifetime: common.keeping.lifetime,
        cached_sessions: common.keeping.capacity,
        early_data,
        ..Tls::default()
    };
    // Protocols are settled: mode and `proto` say no more.
    own.over(&TlsOptions::of(common)).settings(Mode::Tcp, None, &tls)
}

/// The words as they would stand in a file.
fn line(name: &str, words: &[&str]) -> Line {
    let all: Vec<&str> = ["server", name].into_iter().chain(words.iter().copied()).collect();
    let mut at = 0;
    let words = all
        .iter()
        .map(|text| {
            let start = at;
            at += u32::try_from(text.len()).unwrap_or(0) + 1;
            Word { text: (*text).to_owned(), start, end: at - 1 }
        })
        .collect();
    Line { place: Place { file: "cli".into(), line: 0 }, source: all.join(" ").into(), words }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Endpoint;

    fn read(words: &str) -> Result<Added, String> {
        let proxy = Proxy { name: "b".into(), ..Proxy::default() };
        server(&proxy, "s", &words.split_whitespace().collect::<Vec<_>>(), &Arc::default())
    }

    #[test]
    fn reads_a_line() {
        let added = read("127.0.0.1:80 check inter 1s weight 5 maxconn 10 id 77 backup enabled").unwrap();
        assert!(added.in_service && added.conf.backup && added.conf.check.is_some());
        assert_eq!((added.conf.id, added.conf.weight, added.conf.maxconn), (77, 5, 10));
        let unnamed = read("foo.example:80").unwrap();
        assert!(!unnamed.in_service && unnamed.conf.id == 0);
        assert!(matches!(unnamed.conf.endpoint, Endpoint::Unresolved { .. }));
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |words: &str, expected: &str| assert_eq!(read(words).unwrap_err(), expected, "{words}");
        check("", "'server' expects <name> and <addr>[:<port>] as arguments.\n");
        check("1.1.1.1:80 cookie a", "'cookie' option is not accepted for dynamic server");
        check("1.1.1.1:80 resolvers x", "'resolvers' option is not accepted for dynamic server");
        assert!(read("1.1.1.1:80 foo").unwrap_err().starts_with("unknown keyword 'foo'"));
    }
}
