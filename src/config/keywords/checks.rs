//! What checks say: `option ...-check`, `tcp-check`, `http-check`, and the lines of a `healthcheck` section.

use crate::config::checks::{self, protocol};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{BACK, HEALTH_CHECK, Keyword, Section};
use crate::config::model::CheckKind;
use crate::config::model::check::{Flavour, Request, Text};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::expr::{LogFormat, Scope, Site};

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "option httpchk",
        BACK,
        "[<uri> | <method> <uri> [<version> [<host>]]]",
        "Checks servers with HTTP: what 'http-check' rules say, else one request whose status must be 2xx or 3xx.",
        httpchk,
    ),
    Keyword::new(
        "option tcp-check",
        BACK,
        "",
        "Checks servers by what 'tcp-check' rules say; without any, by connecting.",
        |p, l| plain(p, l, || Some(checks::waiting(Flavour::Tcp))),
    ),
    Keyword::new(
        "option smtpchk",
        BACK,
        "[{ HELO | EHLO } <domain>]",
        "Checks mail servers: greeting, hello and goodbye must be answered with 2xx.",
        smtp,
    ),
    Keyword::new(
        "option mysql-check",
        BACK,
        "[user <username> [{ post-41 | pre-41 }]]",
        "Checks MySQL servers: reads the greeting, and with a user (who needs no password) logs in and quits.",
        mysql,
    ),
    Keyword::new(
        "option pgsql-check",
        BACK,
        "user <username>",
        "Checks PostgreSQL servers: a startup message must not be answered with an error.",
        pgsql,
    ),
    Keyword::new(
        "option redis-check",
        BACK,
        "",
        "Checks Redis servers: a PING is to be answered with PONG.",
        |p, l| {
            plain(p, l, || Some(protocol::redis()));
        },
    ),
    Keyword::new(
        "option ldap-check",
        BACK,
        "",
        "Checks LDAP servers: an anonymous bind must succeed.",
        |p, l| plain(p, l, || Some(protocol::ldap())),
    ),
    Keyword::new(
        "option spop-check",
        BACK,
        "",
        "Checks stream processing agents: a HELLO must be answered by one.",
        |p, l| plain(p, l, || Some(protocol::spop())),
    ),
    Keyword::new(
        "option ssl-hello-chk",
        BACK,
        "",
        "Checks TLS servers by an SSL 3.0 hello, which any answer of the protocol is good for. 'check-ssl' says more.",
        |p, l| plain(p, l, protocol::ssl_hello),
    ),
    Keyword::new(
        "type",
        HEALTH_CHECK,
        "{ tcp-check | httpchk | smtpchk | mysql-check | pgsql-check | redis-check | ldap-check | spop-check | ssl-hello-chk | external-check | ping-check | udp-check | dns-check } [<args>*]",
        "The kind of the check, with the arguments that the option of that name takes. 'external-check' runs the program that the section names.",
        kind,
    ),
    Keyword::new(
        "tcp-check",
        BACK.or(HEALTH_CHECK),
        "connect ... | send ... | send-lf ... | send-binary ... | send-binary-lf ... | expect ... | comment <text> | \
         set-var(<name>) <expr> | set-var-fmt(<name>) <fmt> | unset-var(<name>)",
        "A step of the TCP check. connect: [default] [port <expr>] [addr <ip>] [send-proxy] [via-socks4] [ssl] [sni \
         <sni>] [alpn <alpn>] [linger] [proto none]. expect: [min-recv <n>] [ok-status <st>] [error-status <st>] \
         [tout-status <st>] [on-success <fmt>] [on-error <fmt>] [status-code <expr>] [!] { string | rstring | \
         string-lf | binary | rbinary | binary-lf } <pattern>. connect, send and expect take 'comment <text>'.",
        |p, l| checks::rule(p, l, Flavour::Tcp),
    ),
    Keyword::new(
        "http-check",
        BACK.or(HEALTH_CHECK),
        "connect ... | send ... | expect ... | comment <text> | set-var(<name>) <expr> | set-var-fmt(<name>) <fmt> | \
         unset-var(<name>) | disable-on-404 | send-state",
        "A step of the HTTP check. connect: as in 'tcp-check', with 'proto { h1 | h2 }'; without it, what 'alpn' agrees upon. send: [meth <method>] [{ uri <uri> | uri-lf <fmt> }] \
         [ver <version>] [hdr <name> <fmt>]* [{ body <text> | body-lf <fmt> }]. expect: the options of 'tcp-check \
         expect' and [!] { status <codes> | rstatus <regex> | hdr <pattern> | fhdr <pattern> | string | rstring | \
         string-lf | digest <md5> }, where <pattern> is { name | name-lf } [-m { str | beg | end | sub | reg }] <name> and the \
         same with value. digest (weir's own) is the MD5 of the whole body, of 4 MB at most: what md5sum and keepalived's genhash say of the page. disable-on-404: a 404 stops the server softly. send-state: tells the server its state in \
         X-Haproxy-Server-State.",
        http_check,
    ),
    Keyword::new(
        "http-send-name-header",
        BACK,
        "[<header>]",
        "Adds a header with the server's name to requests.",
        |p, l| {
            let Some(name) = p.text(l, 1, "a header string") else { return };
            if let Some(back) = p.draft().and_then(|d| d.proxy.back.as_mut()) {
                back.http_send_name_header = Some(name.into());
            }
        },
    ),
];

/// `type` of a `healthcheck` section: the same words as after `option`.
fn kind(parser: &mut Parser, line: &Line) {
    const PREFIX: &str = "option ";
    let name = line.word(1).to_owned();
    let all = || TABLE.iter().chain(super::check_kinds::TABLE);
    let rows = || all().filter_map(|k| k.name.strip_prefix(PREFIX).map(|n| (n, k)));
    match rows().find(|(n, _)| *n == name) {
        Some((_, row)) => (row.apply)(parser, line),
        None => {
            let message = format!("'type' : unknown type '{name}' of a health check.");
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
            diagnostic.hint = suggest::hint(&name, rows().map(|(n, _)| n));
            parser.report(diagnostic);
        }
    }
}

/// Reports what stands behind the arguments an option takes.
fn excess(parser: &mut Parser, line: &Line, words: usize) -> bool {
    if line.words.len() <= words {
        return false;
    }
    let message = format!(
        "'{} {}' cannot handle unexpected argument '{}'.",
        line.word(0),
        line.word(1),
        line.word(words)
    );
    parser.alert(line, words, message);
    true
}

fn plain(parser: &mut Parser, line: &Line, make: impl Fn() -> Option<CheckKind>) {
    if !excess(parser, line, 2) {
        set(parser, make());
    }
}

fn set(parser: &mut Parser, kind: Option<CheckKind>) {
    if let Some(kind) = kind {
        parser.check_kind(kind);
    }
}

fn smtp(parser: &mut Parser, line: &Line) {
    if excess(parser, line, 4) {
        return;
    }
    // Anything but a hello with a domain is the usual one.
    let hello = match (line.word(2), line.word(3)) {
        (hello @ ("HELO" | "EHLO"), domain) if !domain.is_empty() => format!("{hello} {domain}"),
        _ => "HELO localhost".to_owned(),
    };
    set(parser, protocol::smtp(&hello));
}

fn mysql(parser: &mut Parser, line: &Line) {
    if excess(parser, line, 5) {
        return;
    }
    let user = match (line.word(2), line.word(3)) {
        ("", _) => None,
        ("user", "") => {
            return parser.alert(line, 3, "'option mysql-check user' expects <username> as argument.");
        }
        ("user", user) => Some(user),
        (other, _) => {
            let message =
                format!("'option mysql-check' only supports optional values: 'user' (got '{other}').");
            return parser.alert(line, 2, message);
        }
    };
    let before_41 = match line.word(4) {
        "" | "post-41" => false,
        "pre-41" => true,
        other => {
            let message = format!("keyword 'user' only supports 'post-41' and 'pre-41' (got '{other}').");
            return parser.alert(line, 4, message);
        }
    };
    set(parser, protocol::mysql(user, before_41));
}

fn pgsql(parser: &mut Parser, line: &Line) {
    if excess(parser, line, 4) {
        return;
    }
    match (line.word(2), line.word(3)) {
        ("user", user) if !user.is_empty() => set(parser, protocol::pgsql(user)),
        ("user" | "", _) => {
            parser.alert(line, 2, "'option pgsql-check' expects 'user <username>' as argument.");
        }
        _ => parser.alert(line, 2, "'option pgsql-check' only supports optional values: 'user'."),
    }
}

fn httpchk(parser: &mut Parser, line: &Line) {
    if excess(parser, line, 6) {
        return;
    }
    let (method, uri, version) = match line.words.len() {
        0..=2 => ("", "", ""),
        3 => ("", line.word(2), ""),
        4 => (line.word(2), line.word(3), ""),
        _ => (line.word(2), line.word(3), line.word(4)),
    };
    // Headers used to be hidden behind the version, after an escaped line end, and a body behind them.
    let (version, hidden) = version.split_once("\r\n").unwrap_or((version, ""));
    if !version.is_empty() && !version.starts_with("HTTP/") {
        let message = format!("'option httpchk' : invalid HTTP version '{version}'.");
        return parser.alert(line, 4, message);
    }
    let given = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    let mut request = Request {
        method: given(method),
        uri: given(uri).map(Text::Plain),
        version: given(version),
        ..Request::default()
    };
    if !hidden.is_empty() {
        let message = "'option httpchk' : hiding headers or body at the end of the version string is deprecated. Please, consider to use 'http-check send' directive instead.";
        parser.warning(line, 4, message);
        let (headers, body) = hidden.split_once("\r\n\r\n").unwrap_or((hidden, ""));
        request.body = given(body).map(Text::Plain);
        for header in headers.split("\r\n").filter(|h| !h.is_empty()) {
            let Some((name, value)) = header.split_once(':') else {
                let message = format!("'option httpchk' : invalid header '{header}'.");
                return parser.alert(line, 4, message);
            };
            // The text is not a log-format.
            let value = value.trim().replace('%', "%%");
            let Some(value) = format(parser, line, 4, &value) else { return };
            request.headers.push((name.trim().to_ascii_lowercase(), value));
        }
    }
    if !line.word(5).is_empty() {
        let Some(host) = format(parser, line, 5, line.word(5)) else { return };
        request.headers.push(("host".to_owned(), host));
    }
    checks::start_http(parser, request);
    parser.check_kind(checks::waiting(Flavour::Http));
}

fn format(parser: &mut Parser, line: &Line, index: usize, text: &str) -> Option<LogFormat> {
    match LogFormat::parse(text, Site::Check, &Scope::default()) {
        Ok(format) => Some(format),
        Err(mut error) => {
            error.word = 0;
            parser.expr_error(line, index, "'option httpchk'", error);
            None
        }
    }
}

fn http_check(parser: &mut Parser, line: &Line) {
    let word = line.word(1);
    if !matches!(word, "disable-on-404" | "send-state") {
        return checks::rule(parser, line, Flavour::Http);
    }
    if !parser.at_most(line, 2) {
        return;
    }
    let switch = if parser.section == Section::HealthCheck {
        let check = &mut parser.healthcheck;
        Some(if word == "send-state" { &mut check.send_state } else { &mut check.disable_on_404 })
    } else {
        let back = parser.draft().and_then(|d| d.proxy.back.as_mut());
        back.map(|b| if word == "send-state" { &mut b.send_state } else { &mut b.disable_on_404 })
    };
    if let Some(switch) = switch {
        *switch = true;
    }
}
