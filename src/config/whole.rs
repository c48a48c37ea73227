//! What can only be said about the whole configuration: HAProxy's warnings and errors after parsing.

use super::checks::HealthCheck;
use super::diagnostic::{Diagnostic, Severity};
use super::dynamic_cookie;
use super::model::probes::{ExternalChecks, ExternalCommand};
use super::model::{Backend, Balance, CheckKind, HashMethod, LogStyle, Mode, Proxy};
use super::parser::Parser;
use super::resolve::kind;
use super::tracking;

pub fn check(parser: &mut Parser, proxies: &mut [Proxy]) {
    for proxy in proxies.iter_mut().filter(|p| !p.disabled && p.mode == Mode::L4) {
        external_checks(parser, proxy);
    }
    for proxy in proxies.iter_mut().filter(|p| !p.disabled && p.mode != Mode::L4) {
        listening(parser, proxy);
        timeouts(parser, proxy);
        modes(parser, proxy);
        limits(parser, proxy);
        destinations(parser, proxy);
        page_access(parser, proxy);
        external_checks(parser, proxy);
        dynamic_cookies(parser, proxy);
    }
    program_sections(parser);
    tracking::check(parser, proxies);
    super::keywords::mail::settle(parser, proxies);
}

fn report(parser: &mut Parser, severity: Severity, message: String) {
    parser.report(Diagnostic { severity, place: None, message, source: None, hint: None });
}

/// `tune.http.cookielen` bounds what `capture cookie` asks for.
fn limits(parser: &mut Parser, proxy: &mut Proxy) {
    let longest = parser.global.tune.http_cookielen;
    let (kind, name) = (kind_of(proxy), proxy.name.clone());
    if let Some(capture) = proxy.cookie_capture.as_mut().filter(|c| c.len > longest) {
        capture.len = longest;
        let message = format!("truncating capture length to {longest} bytes for {kind} '{name}'.");
        report(parser, Severity::Warning, message);
    }
    let hashes_rdp = proxy.back.as_ref().is_some_and(|b| matches!(b.balance, Balance::RdpCookie { .. }));
    if hashes_rdp && proxy.mode == Mode::Http {
        let message = format!(
            "'balance rdp-cookie' finds no cookie in 'mode http' : {kind} '{name}' uses round robin."
        );
        report(parser, Severity::Notice, message);
    }
}

/// HAProxy connects a backend without servers to where its clients wanted to go.
fn destinations(parser: &mut Parser, proxy: &Proxy) {
    let Some(back) = &proxy.back else { return };
    if proxy.options.transparent && back.servers.is_empty() && proxy.stats.is_none() {
        let message = format!(
            "{} '{}' : 'option transparent' without a server is not supported by weir yet.",
            kind_of(proxy),
            proxy.name
        );
        let hint = Some("add a line 'server any 0.0.0.0', which means the same".to_owned());
        parser.report(Diagnostic { severity: Severity::Alert, place: None, message, source: None, hint });
    }
}

fn has_fixed_weights(back: &Backend) -> bool {
    match back.balance {
        Balance::RoundRobin | Balance::LeastConn | Balance::First | Balance::Random { .. } => false,
        Balance::StaticRr => true,
        _ => back.hash_type.method == HashMethod::MapBased,
    }
}

/// Servers whose made cookie values are equal share their clients.
fn dynamic_cookies(parser: &mut Parser, proxy: &Proxy) {
    let clashes = proxy.back.as_ref().map_or(0, dynamic_cookie::clashes);
    for _ in 0..clashes {
        report(parser, Severity::Warning, dynamic_cookie::equal_values(&proxy.name));
    }
}

/// What `option external-check` needs, and what is of no use without it.
fn external_checks(parser: &mut Parser, proxy: &Proxy) {
    let Some(back) = &proxy.back else { return };
    let (kind, name, said) = (kind_of(proxy), &proxy.name, &back.external);
    let own = back.servers.iter().filter_map(|s| s.check.as_ref()?.kind.as_ref());
    let mut kinds = own.chain([&back.check]);
    let weighs = kinds.any(|k| matches!(k, CheckKind::External { dynamic_weight: true }));
    if weighs && has_fixed_weights(back) {
        let message = format!(
            "{kind} '{name}' : 'dynamic-weight' changes nothing with a balancing algorithm whose weights are fixed ('static-rr', and 'hash-type map-based')."
        );
        report(parser, Severity::Warning, message);
    }
    if !matches!(back.check, CheckKind::External { .. }) {
        for (what, _) in
            [("command", &said.command), ("path", &said.path)].iter().filter(|(_, v)| v.is_some())
        {
            let message = format!(
                "'external-check {what}' will be ignored for {kind} '{name}' (requires 'option external-check')."
            );
            report(parser, Severity::Warning, message);
        }
        return;
    }
    program(parser, &format!("Proxy '{name}'"), "option external-check", said);
}

/// The same of a `healthcheck` section.
fn program_sections(parser: &mut Parser) {
    let external = |c: &&HealthCheck| matches!(c.kind, Some(CheckKind::External { .. }));
    let sections = parser.healthchecks.iter().filter(external);
    let sections: Vec<_> = sections.map(|c| (c.name.clone(), c.external.clone())).collect();
    for (name, said) in sections {
        program(parser, &format!("healthcheck '{name}'"), "type external-check", &said);
    }
}

fn program(parser: &mut Parser, who: &str, line: &str, said: &ExternalCommand) {
    let missing = |what| format!("{who} : '{line}' unable to find required '{what}'.");
    if parser.global.external_check == ExternalChecks::Refused {
        report(parser, Severity::Alert, missing("global.external-check"));
    }
    match &said.command {
        None => report(parser, Severity::Alert, missing("external-check command")),
        Some(command) if !command.starts_with('/') && said.path.is_none() => {
            let message = format!(
                "{who}: 'external-check command' does not have a leading '/' and 'external-check path' is not set."
            );
            report(parser, Severity::Alert, message);
        }
        Some(_) => {}
    }
    if !parser.global.insecure_fork_wanted {
        let message = format!(
            "{who} : 'insecure-fork-wanted' not enabled in the global section, '{line}' will likely fail."
        );
        report(parser, Severity::Warning, message);
    }
}

/// HAProxy takes one way of access control or the other.
fn page_access(parser: &mut Parser, proxy: &Proxy) {
    let Some(stats) = &proxy.stats else { return };
    if !stats.http_request.is_empty() && (!stats.auth.is_empty() || stats.realm.is_some()) {
        let message = format!(
            "proxy '{}': stats 'auth'/'realm' and 'http-request' can't be used at the same time.",
            proxy.name
        );
        report(parser, Severity::Alert, message);
    }
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
    for option in http_options(proxy) {
        warnings.push(format!("'option {option}' ignored for {kind} '{name}' as it requires HTTP mode."));
    }
    if proxy.cookie_capture.take().is_some() {
        warnings.push(format!("'capture' statement ignored for {kind} '{name}' as it requires HTTP mode."));
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

/// Switches off the options of a proxy in `mode tcp` that act on HTTP only; their names.
fn http_options(proxy: &mut Proxy) -> Vec<&'static str> {
    let (front, back) = (proxy.front.is_some(), proxy.back.is_some());
    let o = &mut proxy.options;
    let switches = [
        ("accept-unsafe-violations-in-http-request", front, &mut o.accept_unsafe_request),
        ("accept-unsafe-violations-in-http-response", back, &mut o.accept_unsafe_response),
        ("checkcache", back, &mut o.checkcache),
        ("http-buffer-request", true, &mut o.http_buffer_request),
        ("http-ignore-probes", front, &mut o.http_ignore_probes),
        ("http-no-delay", true, &mut o.http_no_delay),
        ("http-pretend-keepalive", back, &mut o.http_pretend_keepalive),
        ("http-use-proxy-header", front, &mut o.http_use_proxy_header),
        ("prefer-last-server", back, &mut o.prefer_last_server),
    ];
    let set = switches.into_iter().filter(|(_, side, on)| *side && **on);
    set.map(|(name, _, on)| {
        *on = false;
        name
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use crate::config::environment::Environment;
    use crate::config::{Loaded, Source, load};

    fn read(text: &str) -> Loaded {
        load(&[Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() }], &Environment::default())
            .unwrap()
    }

    /// Is `expected` among what is said about the configuration?
    fn check(text: &str, expected: &str) {
        let said: Vec<String> = read(text).diagnostics.into_iter().map(|d| d.message).collect();
        assert!(said.iter().any(|m| m.contains(expected)), "{text}: {said:?}");
    }

    #[test]
    fn captured_cookies_are_bounded() {
        let text =
            "global\n tune.http.cookielen 10\nfrontend f\n mode http\n bind :80\n capture cookie a len 20\n";
        let loaded = read(text);
        assert_eq!(loaded.config.proxies[0].cookie_capture.as_ref().unwrap().len, 10);
        check(text, "truncating capture length to 10 bytes for frontend 'f'.");
    }

    #[test]
    fn what_is_not_served_is_said() {
        check("backend b\n mode http\n balance rdp-cookie\n", "finds no cookie in 'mode http'");
    }

    #[test]
    fn one_way_of_access_to_the_page() {
        let text = "frontend a\n mode http\n bind :80\n stats http-request allow\n stats auth u:p\n";
        let source = Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() };
        let said = load(&[source], &Environment::default()).unwrap_err();
        let expected = "proxy 'a': stats 'auth'/'realm' and 'http-request' can't be used at the same time.";
        assert!(said.iter().any(|d| d.message == expected), "{said:?}");
    }

    #[test]
    fn http_options_in_mode_tcp_are_said() {
        for option in ["checkcache", "http-buffer-request", "http-use-proxy-header", "prefer-last-server"] {
            let expected = format!("'option {option}' ignored for proxy 'l' as it requires HTTP mode.");
            check(&format!("listen l\n bind :80\n option {option}\n"), &expected);
        }
        check("listen l\n bind :80\n capture cookie a len 3\n", "'capture' statement ignored for proxy 'l'");
        let frontend = read("frontend f\n bind :80\ndefaults\n option checkcache\nfrontend g\n bind :81\n");
        assert!(!frontend.diagnostics.iter().any(|d| d.message.contains("checkcache")));
    }

    #[test]
    fn what_has_no_effect_is_said() {
        for line in [
            "global\n tune.idletimer 1s",
            "global\n tune.idle-pool.shared off",
            "backend b\n mode http\n retry-on 0rtt-rejected",
            "backend b\n server s 127.0.0.1:1 non-stick",
            "frontend f\n option http-no-delay",
            "frontend f\n option contstats",
            "frontend f\n bind :80 nice 3",
            "frontend f\n mode http\n http-request set-nice 3",
            "frontend f\n tcp-request content set-nice 3",
        ] {
            check(&format!("{line}\n"), "no effect in weir");
        }
    }

    #[test]
    fn where_clients_wanted_to_go_takes_a_server() {
        let without = "backend b\n option transparent\n";
        let source = |text: &str| Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() };
        let said = load(&[source(without)], &Environment::default()).unwrap_err();
        assert!(said[0].message.contains("'option transparent' without a server"), "{said:?}");
        read(&format!("{without} server any 0.0.0.0\n"));
    }

    #[test]
    fn acls_that_never_match_are_said() {
        check("frontend f\n acl x path_beg\n", "this ACL will never match");
        check("frontend f\n mode http\n http-request deny if { path_beg }\n", "this ACL will never match");
        check(
            "frontend f\n mode http\n tcp-request connection reject if { path /x }\n",
            "will never match because",
        );
        let quiet = read("frontend f\n acl x path_beg --\n acl y path -m found\n");
        assert!(!quiet.diagnostics.iter().any(|d| d.message.contains("never match")));
    }
}
