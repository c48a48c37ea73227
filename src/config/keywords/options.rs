//! `option` lines.

use crate::config::address;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{ANY_PROXY, BACK, FRONT, Keyword, Prefix, Sections};
use crate::config::model::{
    Cidr, ConnectionMode, ForwardFor, Forwarded, ForwardedNode, LogStyle, Options, RestrictNames,
};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::{Expr, LogFormat, Scope, Site};
use std::net::IpAddr;
use std::sync::Arc;

macro_rules! switch {
    ($name:literal, $sections:expr, $field:ident, $doc:literal) => {
        switch($name, $sections, $doc, |p, l| set(p, l, |o, on| o.$field = on))
    };
}

const fn switch(
    name: &'static str,
    sections: Sections,
    doc: &'static str,
    apply: fn(&mut Parser, &Line),
) -> Keyword {
    Keyword::new(name, sections, "", doc, apply).negatable()
}

pub const TABLE: &[Keyword] = &[
    switch!("option abortonclose", ANY_PROXY, abortonclose, "Drops queued requests whose client has gone."),
    switch!(
        "option accept-unsafe-violations-in-http-request",
        FRONT,
        accept_unsafe_request,
        "Tolerates some violations of HTTP in requests."
    ),
    switch!(
        "option accept-unsafe-violations-in-http-response",
        BACK,
        accept_unsafe_response,
        "Tolerates some violations of HTTP in responses."
    ),
    switch!("option accept-invalid-http-request", FRONT, accept_unsafe_request, "Old name of option accept-unsafe-violations-in-http-request."),
    switch!("option accept-invalid-http-response", BACK, accept_unsafe_response, "Old name of option accept-unsafe-violations-in-http-response."),
    switch!("option allbackups", BACK, allbackups, "Uses all backup servers at once instead of the first."),
    switch!("option checkcache", BACK, checkcache, "Refuses cacheable responses that set a cookie."),
    switch!("option clitcpka", FRONT, clitcpka, "TCP keep-alive towards clients."),
    switch("option contstats", FRONT, "Accepted: counters grow when a request or a connection ends, also with it.", |p, l| {
        set(p, l, |o, on| o.contstats = on);
        p.no_effect(l, 1, "counters grow when a request or a connection ends");
    }),
    switch!("option dontlog-normal", FRONT, dontlog_normal, "Logs errors only."),
    switch!("option dontlognull", FRONT, dontlognull, "Does not log connections without data."),
    switch!("option h1-case-adjust-bogus-client", FRONT, h1_case_adjust_client, "Sends 'h1-case-adjust' names to clients."),
    switch!("option h1-case-adjust-bogus-server", BACK, h1_case_adjust_server, "Sends 'h1-case-adjust' names to servers."),
    switch!("option http-buffer-request", ANY_PROXY, http_buffer_request, "Waits for the body (or a full buffer) before rules."),
    switch!("option disable-h2-upgrade", FRONT, disable_h2_upgrade, "A client that begins with HTTP/2's preface is not taken for one of HTTP/2, unless 'proto' or ALPN says so."),
    switch!("option http-ignore-probes", FRONT, http_ignore_probes, "No log and no answer for empty pre-connects."),
    switch("option http-no-delay", ANY_PROXY, "Sends every chunk at once, which is always done.", |p, l| {
        set(p, l, |o, on| o.http_no_delay = on);
        p.no_effect(l, 1, "what arrives is always passed on at once");
    }),
    switch!("option http-pretend-keepalive", BACK, http_pretend_keepalive, "Hides 'connection: close' from servers."),
    switch!("option http-use-proxy-header", FRONT, http_use_proxy_header, "Reads and writes Proxy-Connection."),
    switch("option independent-streams", ANY_PROXY, "Each direction has its own timeout.", |p, l| {
        // Off is what there is.
        if p.prefix == Prefix::None {
            p.unsupported(l, 1, "option independent-streams");
        }
    }),
    switch!("option log-health-checks", BACK, log_health_checks, "Logs every change of a check's result."),
    switch!("option log-separate-errors", FRONT, log_separate_errors, "Logs errors at level err."),
    switch!("option logasap", FRONT, logasap, "Logs when the response's head has been sent, not at the end."),
    switch!("option nolinger", ANY_PROXY, nolinger, "Closes with a reset, leaving no TIME_WAIT."),
    switch!("option persist", BACK, persist, "Keeps to a cookie's server even when it is down."),
    switch!("option prefer-last-server", BACK, prefer_last_server, "Keeps a connection's requests on one server."),
    switch!("option socket-stats", FRONT, socket_stats, "Counters per listener."),
    switch!("option splice-auto", ANY_PROXY, splice_auto, "Lets the kernel move bytes where it pays."),
    switch!("option splice-request", ANY_PROXY, splice_request, "The same for requests."),
    switch!("option splice-response", ANY_PROXY, splice_response, "The same for responses."),
    switch!("option srvtcpka", BACK, srvtcpka, "TCP keep-alive towards servers."),
    switch(
        "option tcp-smart-accept",
        FRONT,
        "A client's first bytes are acknowledged with the answer, not at once (in 'mode http' unless 'no' stands before it).",
        |p, l| {
            let said = p.prefix != Prefix::Default;
            set(p, l, |o, on| o.tcp_smart_accept = said.then_some(on));
        },
    ),
    switch!(
        "option tcp-smart-connect",
        BACK,
        tcp_smart_connect,
        "A server's handshake is acknowledged with the first bytes to it where those are there ('send-proxy'; in 'mode http' always so)."
    ),
    switch!("option transparent", BACK, transparent, "Connects to the client's destination address."),
    switch("option tcpka", ANY_PROXY, "Both 'option clitcpka' and 'option srvtcpka'.", |p, l| {
        let (front, back) = p.draft().map_or((false, false), |d| (d.section.has_front(), d.section.has_back()));
        set(p, l, |o, on| {
            o.clitcpka = if front { on } else { o.clitcpka };
            o.srvtcpka = if back { on } else { o.srvtcpka };
        });
    }),
    switch("option http-keep-alive", ANY_PROXY, "Keeps both connections between requests (the default).", |p, l| {
        mode(p, l, ConnectionMode::KeepAlive);
    }),
    switch("option http-server-close", ANY_PROXY, "Closes the server's connection after each response.", |p, l| {
        mode(p, l, ConnectionMode::ServerClose);
    }),
    switch("option httpclose", ANY_PROXY, "Closes both connections after each response.", |p, l| {
        mode(p, l, ConnectionMode::Close);
    }),
    switch("option forceclose", ANY_PROXY, "Old name of option httpclose.", |p, l| {
        let message = "option 'forceclose' is not supported any more since HAProxy 2.0; it is read as 'option httpclose'.";
        p.report(Diagnostic::at(Severity::Warning, l, 1, message).hint("write 'option httpclose'"));
        mode(p, l, ConnectionMode::Close);
    }),
    Keyword::new("option http-tunnel", ANY_PROXY, "", "Gone since HAProxy 2.1: remove the line.", |p, l| {
        let message = "option 'http-tunnel' is not supported any more since HAProxy 2.1, please just remove it, it shouldn't be needed.";
        p.report(Diagnostic::at(Severity::Alert, l, 1, message).hint("remove the line"));
    })
    .negatable(),
    Keyword::new("option http_proxy", ANY_PROXY, "", "Gone since HAProxy 2.5.", |p, l| {
        let message = "option 'http_proxy' is not supported any more since HAProxy 2.5.";
        p.report(Diagnostic::at(Severity::Alert, l, 1, message).hint("see 'http-request set-dst' and 'http-request set-uri'"));
    }),
    Keyword::new("option httplog", ANY_PROXY, "[clf]", "Logs HTTP requests in detail.", |p, l| log(p, l, "httplog")),
    Keyword::new("option tcplog", ANY_PROXY, "", "Logs TCP connections in detail.", |p, l| log(p, l, "tcplog")),
    Keyword::new("option httpslog", FRONT, "", "Logs HTTP requests with the details of TLS.", https_log),
    Keyword::new(
        "option redispatch",
        BACK,
        "[<interval>]",
        "Lets a retried request go to another server; with a number, at every so many retries (negative: before the last).",
        redispatch,
    )
    .negatable(),
    Keyword::new(
        "option forwardfor",
        ANY_PROXY,
        "[except <network>] [header <name>] [if-none]",
        "Adds the client's address in X-Forwarded-For.",
        |p, l| {
            if let Some(value) = forward(p, l, "x-forwarded-for", true)
                && let Some(draft) = p.draft()
            {
                draft.proxy.forward_for = Some(value);
            }
        },
    ),
    Keyword::new(
        "option originalto",
        ANY_PROXY,
        "[except <network>] [header <name>]",
        "Adds the destination address in X-Original-To.",
        |p, l| {
            if let Some(value) = forward(p, l, "x-original-to", false)
                && let Some(draft) = p.draft()
            {
                draft.proxy.original_to = Some(value);
            }
        },
    ),
    Keyword::new(
        "option forwarded",
        BACK,
        "[proto] [host | host-expr <expr>] [by | by-expr <expr>] [by_port | by_port-expr <expr>] [for | for-expr <expr>] [for_port | for_port-expr <expr>]",
        "Adds RFC 7239's Forwarded header.",
        forwarded,
    )
    .negatable(),
    Keyword::new(
        "option http-restrict-req-hdr-names",
        ANY_PROXY,
        "{ preserve | delete | reject }",
        "What happens to request headers with other characters than [a-zA-Z0-9-] in their names.",
        |p, l| {
            let value = match l.word(2) {
                "preserve" => RestrictNames::Preserve,
                "delete" => RestrictNames::Delete,
                "reject" => RestrictNames::Reject,
                _ => {
                    let message = "'option http-restrict-req-hdr-names' supports 'preserve', 'delete' or 'reject'.";
                    return p.alert(l, 2, message);
                }
            };
            if let Some(draft) = p.draft() {
                draft.proxy.options.http_restrict_req_hdr_names = Some(value);
            }
        },
    ),
    switch("option idle-close-on-response", FRONT, "A soft stop closes idle connections only after a response.", |p, l| {
        p.unsupported(l, 1, "option idle-close-on-response");
    }),
];

fn set(parser: &mut Parser, line: &Line, change: impl Fn(&mut Options, bool)) {
    if line.words.len() > 2 {
        let message =
            format!("'option {}' cannot handle unexpected argument '{}'.", line.word(1), line.word(2));
        parser.alert(line, 2, message);
        return;
    }
    let on = parser.prefix == Prefix::None;
    if let Some(draft) = parser.draft() {
        change(&mut draft.proxy.options, on);
    }
}

/// The three modes exclude each other: the last one named wins, `no` of another one changes nothing.
fn mode(parser: &mut Parser, line: &Line, mode: ConnectionMode) {
    set(parser, line, |options, on| {
        if on {
            options.connection_mode = mode;
        } else if options.connection_mode == mode {
            options.connection_mode = ConnectionMode::default();
        }
    });
}

fn log(parser: &mut Parser, line: &Line, name: &str) {
    let style = match (name, line.word(2)) {
        ("httplog", "") => LogStyle::Http,
        ("httplog", "clf") => LogStyle::Clf,
        ("httplog", _) => return parser.alert(line, 2, "keyword 'httplog' only supports option 'clf'."),
        (_, "") => LogStyle::Tcp,
        (_, extra) => {
            let message = format!("'option {name}' cannot handle unexpected argument '{extra}'.");
            return parser.alert(line, 2, message);
        }
    };
    let Some(draft) = parser.draft() else { return };
    if !draft.section.has_front() {
        let (kind, proxy) = (draft.section.name(), draft.proxy.name.clone());
        let message = format!("{kind} '{proxy}' : 'option {name}' directive is ignored in backends.");
        parser.warning(line, 1, message);
        return;
    }
    draft.proxy.log.format = None;
    draft.proxy.log.style = style;
}

/// What `option httpslog` logs, as HAProxy's manual gives it.
const HTTPS_FORMAT: &str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc";

fn https_log(parser: &mut Parser, line: &Line) {
    match LogFormat::parse(HTTPS_FORMAT, Site::Log, &Scope::default()) {
        Ok(format) => {
            if let Some(draft) = parser.draft() {
                draft.proxy.log.format = Some(Arc::new(format));
                draft.proxy.log.style = LogStyle::Custom;
            }
        }
        Err(_) => parser.unsupported(line, 1, "option httpslog"),
    }
}

fn redispatch(parser: &mut Parser, line: &Line) {
    let interval = match line.word(2) {
        "" => -1,
        text => match text.parse::<i32>() {
            Ok(interval) => interval,
            Err(_) => {
                // HAProxy reads what is no number as its default; a typing error deserves better.
                return parser.alert(line, 2, format!("'option redispatch' : '{text}' is not an integer."));
            }
        },
    };
    let on = parser.prefix == Prefix::None && interval != 0;
    if let Some(draft) = parser.draft() {
        draft.proxy.options.redispatch = on.then_some(interval);
    }
}

fn forward(parser: &mut Parser, line: &Line, header: &str, if_none: bool) -> Option<ForwardFor> {
    let option = line.word(1).to_owned();
    let mut value = ForwardFor { header: header.into(), except: None, if_none: false };
    let mut i = 2;
    while i < line.words.len() {
        match line.word(i) {
            "except" => {
                let Some(network) = cidr(line.word(i + 1)) else {
                    let message = format!("'option {option} except' expects <address>[/mask] as argument.");
                    parser.alert(line, i + 1, message);
                    return None;
                };
                value.except = Some(network);
                i += 2;
            }
            "header" => {
                value.header = parser.text(line, i + 1, "<header_name>")?.into();
                i += 2;
            }
            "if-none" if if_none => {
                value.if_none = true;
                i += 1;
            }
            _ => {
                let more = if if_none { "'except', 'header' and 'if-none'" } else { "'except' and 'header'" };
                parser.alert(line, i, format!("'option {option}' only supports optional values: {more}."));
                return None;
            }
        }
    }
    Some(value)
}

/// `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `::1`, `fe80::/10`
#[must_use]
pub fn cidr(text: &str) -> Option<Cidr> {
    let (addr, mask) = text.split_once('/').map_or((text, None), |(a, m)| (a, Some(m)));
    let addr: IpAddr = match addr.parse() {
        Ok(ip) => ip,
        Err(_) => address::socket(addr).ok()?.ip(),
    };
    let bits = if addr.is_ipv4() { 32 } else { 128 };
    let prefix = match mask {
        None => bits,
        Some(mask) => match mask.parse::<u8>() {
            Ok(prefix) => prefix,
            Err(_) => dotted(mask)?,
        },
    };
    (prefix <= bits).then_some(Cidr { addr, prefix })
}

/// The length of a contiguous dotted mask.
fn dotted(mask: &str) -> Option<u8> {
    let bits = u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?);
    let ones = bits.leading_ones();
    (bits.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
}

fn forwarded(parser: &mut Parser, line: &Line) {
    if parser.prefix != Prefix::None {
        if let Some(draft) = parser.draft() {
            draft.proxy.forwarded = None;
        }
        return;
    }
    let mut value = Forwarded::default();
    let mut i = 2;
    while i < line.words.len() {
        let word = line.word(i);
        let node = |value: &mut Forwarded, name: &str, node: ForwardedNode| match name {
            "host" => value.host = Some(node),
            "by" => value.by = Some(node),
            "by_port" => value.by_port = Some(node),
            "for" => value.for_ = Some(node),
            _ => value.for_port = Some(node),
        };
        match word {
            "proto" => value.proto = true,
            "host" | "by" | "by_port" | "for" | "for_port" => node(&mut value, word, ForwardedNode::Default),
            "host-expr" | "by-expr" | "by_port-expr" | "for-expr" | "for_port-expr" => {
                let name = word.trim_end_matches("-expr");
                let words: Vec<&str> = line.words.iter().skip(i + 1).map(|w| w.text.as_str()).collect();
                match Expr::parse(&words, Site::HttpRequest, parser.scope()) {
                    Ok((expr, taken)) => {
                        node(&mut value, name, ForwardedNode::Expr(expr));
                        i += taken;
                    }
                    Err(error) => return parser.expr_error(line, i + 1, "'option forwarded'", error),
                }
            }
            other => {
                let message = format!("'option forwarded' does not support '{other}'.");
                return parser.alert(line, i, message);
            }
        }
        i += 1;
    }
    if line.words.len() == 2 {
        value.proto = true;
        value.for_ = Some(ForwardedNode::Default);
    }
    if let Some(draft) = parser.draft() {
        draft.proxy.forwarded = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, u8)>) {
        let expected = expected.map(|(addr, prefix)| Cidr { addr: addr.parse().unwrap(), prefix });
        assert_eq!(cidr(text), expected, "{text}");
    }

    #[test]
    fn networks() {
        check("127.0.0.0/8", Some(("127.0.0.0", 8)));
        check("127.0.0.0/255.0.0.0", Some(("127.0.0.0", 8)));
        check("10.0.0.1", Some(("10.0.0.1", 32)));
        check("fe80::/10", Some(("fe80::", 10)));
        check("10.0.0.0/33", None);
        check("10.0.0.0/255.0.255.0", None);
        check("x y/3", None);
    }
}
