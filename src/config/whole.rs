//! What can only be said about the whole configuration: HAProxy's warnings and errors after parsing.

use super::diagnostic::{Diagnostic, Severity};
use super::model::{Balance, LogStyle, Mode, Proxy};
use super::parser::Parser;
use super::resolve::kind;
use super::suggest;
use std::collections::HashMap;
use std::sync::Arc;

pub fn check(parser: &mut Parser, proxies: &mut [Proxy]) {
    for proxy in proxies.iter_mut().filter(|p| !p.disabled) {
        listening(parser, proxy);
        timeouts(parser, proxy);
        modes(parser, proxy);
    }
    tracks(parser, proxies);
}

fn report(parser: &mut Parser, severity: Severity, message: String) {
    parser.report(Diagnostic { severity, place: None, message, source: None, hint: None });
}

fn kind_of(proxy: &Proxy) -> &'static str {
    kind(proxy.front.is_some(), proxy.back.is_some())
}

fn listening(parser: &mut Parser, proxy: &Proxy) {
    let Some(front) = &proxy.front else { return };
    if front.binds.is_empty() {
        let message = format!(
            "{} '{}' has no 'bind' directive. Please declare it as a backend if this was intended.",
            kind_of(proxy),
            proxy.name
        );
        report(parser, Severity::Warning, message);
    }
    if proxy.log.targets.is_empty() && (proxy.log.style != LogStyle::Connect || proxy.log.format.is_some()) {
        let message = format!(
            "log format ignored for {} '{}' since it has no log address.",
            kind_of(proxy),
            proxy.name
        );
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
            kind_of(proxy),
            proxy.name
        );
        report(parser, Severity::Warning, message);
    }
}

/// What a proxy in `mode tcp` cannot do: said, and taken back where it would act.
fn modes(parser: &mut Parser, proxy: &mut Proxy) {
    if proxy.mode == Mode::Http {
        return;
    }
    let (kind, name) = (kind_of(proxy), proxy.name.clone());
    let mut warnings = Vec::new();
    if proxy.front.is_some() && matches!(proxy.log.style, LogStyle::Http | LogStyle::Clf) {
        proxy.log.style = LogStyle::Tcp;
        warnings.push(format!(
            "'option httplog' not usable with {kind} '{name}' (needs 'mode http'). Falling back to 'option tcplog'."
        ));
    }
    if let Some(back) = &mut proxy.back {
        if back.cookie.take().is_some() {
            warnings.push(format!("cookie will be ignored for {kind} '{name}' (needs 'mode http')."));
        }
        if matches!(back.balance, Balance::Uri { .. } | Balance::UrlParam { .. } | Balance::Hdr { .. }) {
            back.balance = Balance::RoundRobin;
            warnings.push(format!(
                "Layer 7 hash not possible for {kind} '{name}' (needs 'mode http'). Falling back to round robin."
            ));
        }
        for server in back.servers.iter().filter(|s| s.cookie.is_some()) {
            warnings.push(format!(
                "{kind} '{name}' : ignoring cookie for server '{}' as HTTP mode is disabled.",
                server.name
            ));
        }
    }
    if proxy.monitor_uri.take().is_some() {
        warnings.push(format!("monitor-uri will be ignored for {kind} '{name}' (needs 'mode http')."));
    }
    if proxy.stats.take().is_some() {
        warnings.push(format!("'stats' statement ignored for {kind} '{name}' as it requires HTTP mode."));
    }
    let rules = [
        ("http-request", !proxy.http_request.is_empty()),
        ("http-response", !proxy.http_response.is_empty()),
        ("http-after-response", !proxy.http_after_response.is_empty()),
        ("redirect", !proxy.redirects.is_empty()),
    ];
    for (rule, _) in rules.iter().filter(|(_, there)| *there) {
        warnings.push(format!("'{rule}' rules ignored for {kind} '{name}' as they require HTTP mode."));
    }
    let options = [
        ("option forwardfor", proxy.forward_for.take().is_some()),
        ("option originalto", proxy.original_to.take().is_some()),
    ];
    for (option, _) in options.iter().filter(|(_, there)| *there) {
        warnings.push(format!("'{option}' ignored for {kind} '{name}' as it requires HTTP mode."));
    }
    for warning in warnings {
        report(parser, Severity::Warning, warning);
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
