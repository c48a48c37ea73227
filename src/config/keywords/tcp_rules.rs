//! `tcp-request` and `tcp-response` lines.

use crate::config::actions::Arguments;
use crate::config::actions::tcp::{self, Set};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{ANY_PROXY, BACK, FRONT, Keyword};
use crate::config::model::Rule;
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::config::units::Unit;
use crate::expr::Site;

const ARGS: &str = "<action> [ { if | unless } <condition> ]";

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "tcp-request connection",
        FRONT,
        ARGS,
        "A rule for each connection as it is accepted.",
        |p, l| {
            rule(p, l, Set::Connection, Site::TcpConnection);
        },
    ),
    Keyword::new(
        "tcp-request session",
        FRONT,
        ARGS,
        "A rule for each connection whose handshakes are over.",
        |p, l| {
            rule(p, l, Set::Session, Site::TcpSession);
        },
    ),
    Keyword::new(
        "tcp-request content",
        ANY_PROXY,
        ARGS,
        "A rule on what the client has sent so far.",
        |p, l| {
            rule(p, l, Set::Content, Site::TcpContent);
        },
    ),
    Keyword::new("tcp-response content", BACK, ARGS, "A rule on what the server has sent so far.", |p, l| {
        rule(p, l, Set::Response, Site::TcpResponse);
    }),
    Keyword::new(
        "tcp-request inspect-delay",
        ANY_PROXY,
        "<timeout>",
        "How long 'tcp-request content' rules may wait for bytes they need.",
        |p, l| {
            if let Some(delay) = p.duration(l, 2, Unit::Milliseconds)
                && let Some(draft) = p.draft()
            {
                draft.proxy.tcp_inspect_delay = Some(delay);
            }
        },
    ),
    Keyword::new(
        "tcp-response inspect-delay",
        BACK,
        "<timeout>",
        "How long 'tcp-response content' rules may wait for bytes they need.",
        |p, l| {
            if let Some(delay) = p.duration(l, 2, Unit::Milliseconds)
                && let Some(draft) = p.draft()
            {
                draft.proxy.tcp_response_inspect_delay = Some(delay);
            }
        },
    ),
    Keyword::new(
        "tcp-request",
        ANY_PROXY,
        "{ connection | session | content | inspect-delay }",
        "See each.",
        |p, l| {
            unknown(p, l, &["inspect-delay", "connection", "session", "content"]);
        },
    ),
    Keyword::new("tcp-response", ANY_PROXY, "{ content | inspect-delay }", "See each.", |p, l| {
        unknown(p, l, &["inspect-delay", "content"]);
    }),
];

fn unknown(parser: &mut Parser, line: &Line, words: &[&'static str]) {
    let list = words.iter().map(|w| format!("'{w}'")).collect::<Vec<_>>().join(", ");
    let message = format!("'{}' expects {list} (got '{}').", line.word(0), line.word(1));
    let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
    diagnostic.hint = suggest::hint(line.word(1), words.iter().copied());
    parser.report(diagnostic);
}

fn rule(parser: &mut Parser, line: &Line, set: Set, site: Site) {
    let mut arguments = Arguments { parser, line, at: 2, site, rule: set.keyword().to_owned() };
    let Some(action) = tcp::parse(&mut arguments, set) else { return };
    let Ok(condition) = arguments.condition() else { return };
    let rule = Rule { place: Some(line.place.clone()), condition, action };
    let Some(draft) = parser.draft() else { return };
    let proxy = &mut draft.proxy;
    match set {
        Set::Connection => proxy.tcp_request_connection.push(rule),
        Set::Session => proxy.tcp_request_session.push(rule),
        Set::Content => proxy.tcp_request_content.push(rule),
        Set::Response => proxy.tcp_response_content.push(rule),
    }
}
