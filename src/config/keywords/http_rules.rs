//! `http-request`, `http-response`, `http-after-response` and `redirect` lines.

use crate::config::actions::http::{self, Set};
use crate::config::actions::{Arguments, redirect};
use crate::config::keyword::{ANY_PROXY, Keyword, NO_DEFAULTS};
use crate::config::model::{Proxy, Rule};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::Site;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "http-request",
        ANY_PROXY,
        "<action> [options...] [ { if | unless } <condition> ]",
        "A rule that every request passes, in the order of the configuration.",
        |p, l| rule(p, l, Set::Request, Site::HttpRequest),
    ),
    Keyword::new(
        "http-response",
        ANY_PROXY,
        "<action> [options...] [ { if | unless } <condition> ]",
        "A rule that every response of a server passes, in the order of the configuration.",
        |p, l| rule(p, l, Set::Response, Site::HttpResponse),
    ),
    Keyword::new(
        "http-after-response",
        ANY_PROXY,
        "<action> [options...] [ { if | unless } <condition> ]",
        "A rule that every response passes last, those of the proxy itself included.",
        |p, l| rule(p, l, Set::AfterResponse, Site::HttpAfterResponse),
    ),
    Keyword::new(
        "redirect",
        NO_DEFAULTS,
        "{ location <loc> | prefix <pfx> | scheme <sch> } [ code <code> ] <option> [ { if | unless } <condition> ]",
        "Answers with a redirection. Runs after every 'http-request' rule of the same section.",
        redirection,
    ),
    Keyword::new(
        "block",
        NO_DEFAULTS,
        "{ if | unless } <condition>",
        "Gone since HAProxy 2.1; the error says the modern line.",
        |p, l| {
            let rest: Vec<&str> = l.words.iter().skip(1).map(|w| w.text.as_str()).collect();
            let message = "The 'block' directive is not supported anymore since HAProxy 2.1. Use 'http-request deny' which uses the exact same syntax.";
            let diagnostic = crate::config::diagnostic::Diagnostic::at(
                crate::config::diagnostic::Severity::Alert,
                l,
                0,
                message,
            );
            p.report(diagnostic.hint(format!("write 'http-request deny {}'", rest.join(" "))));
        },
    ),
];

fn rule(parser: &mut Parser, line: &Line, set: Set, site: Site) {
    let mut arguments = Arguments { parser, line, at: 1, site, rule: set.keyword().to_owned() };
    if line.words.len() < 2 {
        arguments.fail::<()>(0, "an action is expected.");
        return;
    }
    let Some(action) = http::parse(&mut arguments, set) else { return };
    let Ok(condition) = arguments.condition() else { return };
    let rule = Rule { place: Some(line.place.clone()), condition, action };
    let Some(draft) = parser.draft() else { return };
    let Proxy { http_request, http_response, http_after_response, .. } = &mut draft.proxy;
    match set {
        Set::Request => http_request.push(rule),
        Set::Response => http_response.push(rule),
        Set::AfterResponse => http_after_response.push(rule),
    }
}

fn redirection(parser: &mut Parser, line: &Line) {
    let site = Site::HttpRequest;
    let mut arguments = Arguments { parser, line, at: 1, site, rule: "redirect".to_owned() };
    let Some(action) = redirect::parse(&mut arguments, false) else { return };
    let Ok(condition) = arguments.condition() else { return };
    let rule = Rule { place: Some(line.place.clone()), condition, action };
    if let Some(draft) = parser.draft() {
        draft.proxy.redirects.push(rule);
    }
}
