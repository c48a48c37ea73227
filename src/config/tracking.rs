//! `track [backend/]server` must name a server that is checked or tracks one, without a loop.

use super::diagnostic::{Diagnostic, Severity};
use super::model::{Proxy, Server};
use super::parser::Parser;
use super::suggest;
use std::collections::HashMap;
use std::sync::Arc;

/// Backend and server.
type Name<'a> = (&'a str, &'a str);

pub fn check(parser: &mut Parser, proxies: &[Proxy]) {
    let tracking = Tracking::of(proxies);
    let all = proxies.iter().flat_map(|p| p.back.iter().flat_map(|b| &b.servers).map(move |s| (p, s)));
    for (proxy, server) in all {
        let name = (&*proxy.name, &*server.name);
        let Some((message, hint)) = tracking.problem(name, server) else { continue };
        parser.report(Diagnostic {
            severity: Severity::Alert,
            place: server.place.clone(),
            message: format!("'server {}/{}' : {message}.", name.0, name.1),
            source: None,
            hint,
        });
    }
}

struct Tracking<'a> {
    servers: HashMap<Name<'a>, (&'a Proxy, &'a Arc<Server>)>,
}

impl<'a> Tracking<'a> {
    fn of(proxies: &'a [Proxy]) -> Self {
        let mut servers = HashMap::new();
        for proxy in proxies {
            for server in proxy.back.iter().flat_map(|b| &b.servers) {
                servers.insert((&*proxy.name, &*server.name), (proxy, server));
            }
        }
        Self { servers }
    }

    /// What is wrong with what a server tracks, and what may have been meant.
    fn problem(&self, name: Name<'a>, server: &'a Server) -> Option<(String, Option<String>)> {
        let track = split(server.track.as_ref()?, name.0);
        let Some((proxy, target)) = self.servers.get(&track) else {
            return Some(self.unknown(track));
        };
        let path = format!("{}/{}", track.0, track.1);
        if target.check.is_none() && target.agent.is_none() && target.track.is_none() {
            let message =
                format!("unable to use {path} for tracking as it does not have any check nor agent enabled");
            return Some((message, None));
        }
        if self.leads_back(track, name) {
            let message = format!(
                "unable to track {path} as it belongs to a tracking chain looping back to {}/{}",
                name.0, name.1
            );
            return Some((message, None));
        }
        let own = self.servers.get(&name).is_some_and(|(p, _)| disables(p));
        (disables(proxy) != own).then(|| {
            let message = format!(
                "unable to use {path} for tracking: disable-on-404 option inconsistency ('http-check disable-on-404' has to be in both backends, or in none)"
            );
            (message, None)
        })
    }

    fn unknown(&self, (backend, server): Name<'_>) -> (String, Option<String>) {
        if self.servers.keys().any(|(b, _)| *b == backend) {
            let names = self.servers.keys().filter(|(b, _)| *b == backend).map(|(_, s)| *s);
            let message = format!("unable to find required server '{server}' for tracking");
            (message, suggest::hint(server, names))
        } else {
            let message = format!("unable to find required proxy '{backend}' for tracking");
            (message, suggest::hint(backend, self.servers.keys().map(|(b, _)| *b)))
        }
    }

    /// Whether the chain that begins at `at` comes to `name`.
    fn leads_back(&self, mut at: Name<'a>, name: Name<'_>) -> bool {
        for _ in 0..=self.servers.len() {
            if at == name {
                return true;
            }
            let Some(further) = self.servers.get(&at).and_then(|(_, s)| s.track.as_ref()) else {
                return false;
            };
            at = split(further, at.0);
        }
        // A loop among others, which is told of them.
        false
    }
}

fn disables(proxy: &Proxy) -> bool {
    proxy.back.as_ref().is_some_and(|b| b.disable_on_404)
}

fn split<'a>(track: &'a str, proxy: &'a str) -> Name<'a> {
    track.split_once('/').unwrap_or((proxy, track))
}

#[cfg(test)]
mod tests {
    use crate::config::environment::Environment;
    use crate::config::{Source, load};

    fn check(servers: &str, expected: &str) {
        let text = format!(
            "defaults\n timeout connect 1s\n timeout server 1s\nbackend a\n option httpchk\n server s 127.0.0.1:1 check\n server n 127.0.0.1:1\nbackend b\n{servers}\n"
        );
        let loaded =
            load(&[Source { name: "t.cfg".into(), bytes: text.into_bytes() }], &Environment::default());
        let diagnostics = loaded.map_or_else(|all| all, |l| l.diagnostics);
        let messages: Vec<String> = diagnostics.into_iter().map(|d| d.message).collect();
        let found = messages.iter().any(|m| m.starts_with(expected));
        assert!(if expected.is_empty() { messages.is_empty() } else { found }, "{servers}: {messages:?}");
    }

    /// HAProxy's words.
    #[test]
    fn what_cannot_be_tracked() {
        let t = |track: &str| format!(" server t 127.0.0.1:1 track {track}");
        check(&t("a/s"), "");
        check(&t("c/s"), "'server b/t' : unable to find required proxy 'c' for tracking.");
        check(&t("a/x"), "'server b/t' : unable to find required server 'x' for tracking.");
        let idle =
            "'server b/t' : unable to use a/n for tracking as it does not have any check nor agent enabled.";
        check(&t("a/n"), idle);
        let back =
            "'server b/t' : unable to track b/t as it belongs to a tracking chain looping back to b/t.";
        check(&t("t"), back);
        let pair = " server t 127.0.0.1:1 track u\n server u 127.0.0.1:1 track b/t";
        check(
            pair,
            "'server b/u' : unable to track b/t as it belongs to a tracking chain looping back to b/u.",
        );
        let other = "'server b/t' : unable to use a/s for tracking: disable-on-404 option inconsistency";
        check(&format!(" http-check disable-on-404\n option httpchk\n{}", t("a/s")), other);
    }
}
