//! What can only be said about the whole configuration: HAProxy's warnings and errors after parsing.

use super::diagnostic::{Diagnostic, Severity};
use super::model::{Balance, LogStyle, Mode, Proxy};
use super::parser::Parser;
use super::suggest;
use std::collections::HashMap;
use std::sync::Arc;

pub fn check(parser: &mut Parser, proxies: &[Proxy]) {
    for proxy in proxies.iter().filter(|p| !p.disabled) {
        listening(parser, proxy);
        timeouts(parser, proxy);
        modes(parser, proxy);
    }
    tracks(parser, proxies);
}

fn report(parser: &mut Parser, severity: Severity, message: String) {
    parser.report(Diagnostic { severity, place: None, message, source: None, hint: None });
}

fn listening(parser: &mut Parser, proxy: &Proxy) {
    if let Some(front) = &proxy.front
        && front.binds.is_empty()
    {
        let kind = if proxy.back.is_some() { "proxy" } else { "frontend" };
        let place = proxy.place.as_ref().map_or(String::new(), |p| format!("{}:{}", p.file, p.line));
        let message = format!(
            "{kind} '{}' has no 'bind' directive. Please declare it as a backend if this was intended.",
            proxy.name
        );
        let _ = place;
        report(parser, Severity::Warning, message);
    }
}

fn timeouts(parser: &mut Parser, proxy: &Proxy) {
    let timeouts = &proxy.timeouts;
    let front = proxy.front.is_some();
    let with_servers = proxy.back.as_ref().is_some_and(|b| !b.servers.is_empty());
    let missing = front && timeouts.client.is_none()
        || with_servers && (timeouts.connect.is_none() || timeouts.server.is_none());
    if missing {
        let message = format!(
            "missing timeouts for {} '{}'.\n   | While not properly invalid, you will certainly encounter various problems\n   | with such a configuration. To fix this, please ensure that all following\n   | timeouts are set to a non-zero value: 'client', 'connect', 'server'.",
            if front && proxy.back.is_some() { "proxy" } else { proxy.kind_name() },
            proxy.name
        );
        report(parser, Severity::Warning, message);
    }
}

/// What a proxy in `mode tcp` cannot do.
fn modes(parser: &mut Parser, proxy: &Proxy) {
    if proxy.mode == Mode::Http {
        return;
    }
    let kind = if proxy.front.is_some() && proxy.back.is_some() { "proxy" } else { proxy.kind_name() };
    let name = &proxy.name;
    let mut ignored: Vec<String> = Vec::new();
    if proxy.front.is_some() && matches!(proxy.log.style, LogStyle::Http | LogStyle::Clf) {
        let message = format!(
            "'option httplog' not usable with {kind} '{name}' (needs 'mode http'). Falling back to 'option tcplog'."
        );
        report(parser, Severity::Warning, message);
    }
    if let Some(back) = &proxy.back {
        if back.cookie.is_some() {
            ignored.push("cookie".into());
        }
        let algorithm = match back.balance {
            Balance::Uri { .. } => Some("uri"),
            Balance::UrlParam { .. } => Some("url_param"),
            Balance::Hdr { .. } => Some("hdr"),
            _ => None,
        };
        if let Some(algorithm) = algorithm {
            let message = format!(
                "'balance {algorithm}' in {kind} '{name}' needs 'mode http'. Falling back to round robin."
            );
            report(parser, Severity::Warning, message);
        }
    }
    if proxy.stats.is_some() {
        ignored.push("stats".into());
    }
    if proxy.forward_for.is_some() {
        ignored.push("option forwardfor".into());
    }
    if proxy.original_to.is_some() {
        ignored.push("option originalto".into());
    }
    for rules in [
        ("http-request", proxy.http_request.is_empty()),
        ("http-response", proxy.http_response.is_empty()),
        ("redirect", proxy.redirects.is_empty()),
        ("monitor-uri", proxy.monitor_uri.is_none()),
    ] {
        if !rules.1 {
            ignored.push(rules.0.into());
        }
    }
    for keyword in ignored {
        let message = format!("'{keyword}' will be ignored for {kind} '{name}' (needs 'mode http').");
        report(parser, Severity::Warning, message);
    }
}

/// `track [backend/]server` must name a server that is checked or tracks one, without a loop.
fn tracks(parser: &mut Parser, proxies: &[Proxy]) {
    let mut servers: HashMap<(&str, &str), &Arc<super::model::Server>> = HashMap::new();
    for proxy in proxies {
        for server in proxy.back.iter().flat_map(|b| &b.servers) {
            servers.insert((&proxy.name, &server.name), server);
        }
    }
    for proxy in proxies {
        for server in proxy.back.iter().flat_map(|b| &b.servers) {
            let Some(track) = &server.track else { continue };
            let mut at: (&str, &str) = split(track, &proxy.name);
            let mut steps = 0;
            let problem = loop {
                let Some(target) = servers.get(&at) else {
                    break Some(format!(
                        "unable to find required proxy or server '{}/{}' for tracking",
                        at.0, at.1
                    ));
                };
                if target.check.is_some() {
                    break None;
                }
                let Some(further) = &target.track else {
                    break Some(format!(
                        "unable to use {}/{} for tracking as it does not have any check nor agent enabled",
                        at.0, at.1
                    ));
                };
                at = split(further, at.0);
                steps += 1;
                if steps > servers.len() {
                    break Some("the tracked servers form a loop".to_owned());
                }
            };
            if let Some(problem) = problem {
                let names = servers.keys().filter(|(b, _)| *b == &*proxy.name).map(|(_, s)| *s);
                let hint = suggest::hint(at.1, names);
                parser.report(Diagnostic {
                    severity: Severity::Alert,
                    place: server.place.clone(),
                    message: format!("'server {}/{}' : {problem}.", proxy.name, server.name),
                    source: None,
                    hint,
                });
            }
        }
    }
}

fn split<'a>(track: &'a str, proxy: &'a str) -> (&'a str, &'a str) {
    track.split_once('/').unwrap_or((proxy, track))
}
