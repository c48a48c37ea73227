//! `use_backend`, `use-server`, `monitor`, `capture`, `force-persist`, `ignore-persist`.

use crate::config::actions::Arguments;
use crate::config::draft::{Reference, Target};
use crate::config::keyword::{BACK_ONLY, FRONT, FRONT_ONLY, Keyword};
use crate::config::model::{CookieCapture, PersistRule, Rule};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::Site;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "use_backend",
        FRONT_ONLY,
        "<backend> [{ if | unless } <condition>]",
        "Sends what matches to this backend. The name may be a log-format string.",
        use_backend,
    ),
    Keyword::new(
        "use-server",
        BACK_ONLY,
        "<server> { if | unless } <condition>",
        "Sends what matches to this server.",
        use_server,
    ),
    Keyword::new(
        "monitor-uri",
        FRONT,
        "<uri>",
        "Answers 200 to this URI without asking a server.",
        |p, l| {
            if let Some(uri) = p.text(l, 1, "an URI")
                && let Some(draft) = p.draft()
            {
                draft.proxy.monitor_uri = Some(uri);
            }
        },
    ),
    Keyword::new(
        "monitor fail",
        FRONT_ONLY,
        "{ if | unless } <condition>",
        "Answers 503 to the monitor URI when this holds.",
        |p, l| {
            if let Some(condition) = required_condition(p, l, 2, "monitor fail", Site::HttpRequest)
                && let Some(draft) = p.draft()
            {
                draft.proxy.monitor_fail.push(condition);
            }
        },
    ),
    Keyword::new(
        "capture request header",
        FRONT_ONLY,
        "<name> len <length>",
        "Logs the last value of this header.",
        |p, l| header_capture(p, l, true),
    ),
    Keyword::new(
        "capture response header",
        FRONT_ONLY,
        "<name> len <length>",
        "Logs the last value of this header.",
        |p, l| header_capture(p, l, false),
    ),
    Keyword::new(
        "capture cookie",
        FRONT_ONLY,
        "<name> len <length>",
        "Logs this cookie in requests and responses; the name is a beginning: 'name=' means exactly it.",
        cookie_capture,
    ),
    Keyword::new(
        "declare capture",
        FRONT_ONLY,
        "{ request | response } len <length>",
        "A slot for 'capture ... id'.",
        declare,
    ),
    Keyword::new(
        "force-persist",
        BACK_ONLY,
        "{ if | unless } <condition>",
        "Follows the persistence cookie even to a server that is down.",
        |p, l| persist(p, l, PersistRule::Force),
    ),
    Keyword::new(
        "ignore-persist",
        BACK_ONLY,
        "{ if | unless } <condition>",
        "Balances the request as if it had no persistence cookie.",
        |p, l| persist(p, l, PersistRule::Ignore),
    ),
    Keyword::new(
        "be-unpublished",
        BACK_ONLY,
        "",
        "Rules of frontends pass the backend over until 'publish backend' says otherwise; its checks go on.",
        |p, l| {
            if p.at_most(l, 1)
                && let Some(back) = p.draft().and_then(|d| d.proxy.back.as_mut())
            {
                back.unpublished = true;
            }
        },
    ),
    Keyword::new(
        "force-be-switch",
        FRONT_ONLY,
        "{ if | unless } <condition>",
        "Requests that meet the condition reach unpublished backends, so that they can be tried before others get there.",
        |p, l| {
            if let Some(condition) = required_condition(p, l, 1, l.word(0), Site::UseBackend)
                && let Some(front) = p.draft().and_then(|d| d.proxy.front.as_mut())
            {
                front.force_switch.push(condition);
            }
        },
    ),
];

fn use_backend(parser: &mut Parser, line: &Line) {
    let mut arguments =
        Arguments { parser, line, at: 1, site: Site::UseBackend, rule: "use_backend".to_owned() };
    if line.word(1).is_empty() {
        return arguments.parser.alert(line, 0, "'use_backend' expects a backend name.");
    }
    let Some(action) = target(&mut arguments) else { return };
    let Ok(condition) = arguments.condition() else { return };
    if let Some(draft) = parser.draft() {
        draft.use_backend.push(Rule { place: Some(line.place.clone()), condition, action });
    }
}

fn use_server(parser: &mut Parser, line: &Line) {
    let mut arguments =
        Arguments { parser, line, at: 1, site: Site::UseBackend, rule: "use-server".to_owned() };
    if line.word(1).is_empty() {
        return arguments.parser.alert(line, 0, "'use-server' expects a server name.");
    }
    let Some(action) = target(&mut arguments) else { return };
    let Some(condition) = required_condition(parser, line, 2, "use-server", Site::UseBackend) else { return };
    if let Some(draft) = parser.draft() {
        draft.use_server.push(Rule { place: Some(line.place.clone()), condition: Some(condition), action });
    }
}

/// A name, or a log-format string that makes one.
fn target(arguments: &mut Arguments<'_>) -> Option<Target> {
    let name = arguments.peek().to_owned();
    if name.contains('%') {
        return Some(Target::Format(arguments.format("a name")?));
    }
    let word = arguments.at;
    arguments.at += 1;
    Some(Target::Name(Reference { name, line: arguments.line.clone(), word }))
}

fn required_condition(
    parser: &mut Parser,
    line: &Line,
    index: usize,
    keyword: &str,
    site: Site,
) -> Option<crate::expr::Condition> {
    if !matches!(line.word(index), "if" | "unless") {
        let message = format!("'{keyword}' requires either 'if' or 'unless' followed by a condition.");
        parser.alert(line, index, message);
        return None;
    }
    let context = format!("error detected while parsing a '{keyword}' condition");
    parser.condition(line, index, &context, site).ok().flatten()
}

fn header_capture(parser: &mut Parser, line: &Line, request: bool) {
    let rule = format!("{} {} {}", line.word(0), line.word(1), line.word(2));
    if line.word(3).is_empty() || line.word(4) != "len" || line.word(5).is_empty() {
        let message = format!("'{rule}' expects 'header' <header_name> 'len' <len>.");
        return parser.alert(line, line.words.len().min(4), message);
    }
    let Some(len) = parser.integer(line, 5, 1_usize, 65_535) else { return };
    if !parser.at_most(line, 6) {
        return;
    }
    let name = line.word(3).to_ascii_lowercase().into();
    let Some(draft) = parser.draft() else { return };
    let captures =
        if request { &mut draft.proxy.request_captures } else { &mut draft.proxy.response_captures };
    captures.push((name, len));
}

fn cookie_capture(parser: &mut Parser, line: &Line) {
    let name = line.word(2);
    if name.is_empty() || line.word(3) != "len" {
        return parser.alert(line, 2, "'capture cookie' expects 'cookie' <cookie_name> 'len' <len>.");
    }
    let Some(len) = parser.integer(line, 4, 1_usize, 65_535) else { return };
    // Every name is the beginning of one; `name=` stands for exactly that name.
    let capture = CookieCapture { name: name.to_owned(), prefix: true, len };
    if let Some(draft) = parser.draft() {
        draft.proxy.cookie_capture = Some(capture);
    }
}

fn declare(parser: &mut Parser, line: &Line) {
    let request = match line.word(2) {
        "request" => true,
        "response" => false,
        other => {
            let message =
                format!("'declare capture' requires a direction: 'request' or 'response' (got '{other}').");
            return parser.alert(line, 2, message);
        }
    };
    if line.word(3) != "len" {
        return parser.alert(line, 3, "'declare capture' expects 'len' <length>.");
    }
    let Some(len) = parser.integer(line, 4, 1_usize, 65_535) else { return };
    let Some(draft) = parser.draft() else { return };
    let captures =
        if request { &mut draft.proxy.request_captures } else { &mut draft.proxy.response_captures };
    captures.push(("".into(), len));
}

fn persist(parser: &mut Parser, line: &Line, make: fn(crate::expr::Condition) -> PersistRule) {
    let Some(condition) = required_condition(parser, line, 1, line.word(0), Site::UseBackend) else { return };
    if let Some(back) = parser.draft().and_then(|d| d.proxy.back.as_mut()) {
        back.persist_rules.push(make(condition));
    }
}
