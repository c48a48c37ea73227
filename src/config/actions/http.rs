//! `http-request`, `http-response` and `http-after-response` actions.

use super::reply::{self, Kind};
use super::{Arguments, redirect, variable};
use crate::config::model::action::{NameMatch, Normalizer, PatternEdit, Peer, SettableTimeout, TimeoutValue};
use crate::config::model::{HttpAction, Service};
use crate::config::suggest;
use crate::expr::{LogFormat, PatternFile, Regex};
use std::time::Duration;

/// The rule sets an action may stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Request = 1,
    Response = 2,
    AfterResponse = 4,
}

impl Set {
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Request => "http-request",
            Self::Response => "http-response",
            Self::AfterResponse => "http-after-response",
        }
    }
}

/// One action.
pub struct Row {
    pub name: &'static str,
    sets: u8,
    /// For the manual.
    pub args: &'static str,
    parse: fn(&mut Arguments<'_>, Set) -> Option<HttpAction>,
}

const REQ: u8 = Set::Request as u8;
const RES: u8 = Set::Response as u8;
const BOTH: u8 = REQ | RES;
const ALL: u8 = BOTH | Set::AfterResponse as u8;

const fn row(
    name: &'static str,
    sets: u8,
    args: &'static str,
    parse: fn(&mut Arguments<'_>, Set) -> Option<HttpAction>,
) -> Row {
    Row { name, sets, args, parse }
}

/// The argument of `set-nice`: a matter of order among HAProxy's tasks, which are served in turn here.
pub fn nice(a: &mut Arguments<'_>) -> Option<i32> {
    let (line, index) = (a.line, a.at);
    let nice = a.integer("an integer argument", -1024, 1024)?;
    let message = "'set-nice' is accepted and has no effect in weir: connections are served in turn.";
    a.parser.diag(line, index, message);
    i32::try_from(nice).ok()
}

/// Names that end in `(` take the rest of their word as an argument.
pub const TABLE: &[Row] = &[
    row("add-acl(", BOTH, "<file-name>) <key fmt>", |a, _| patterns(a, |_| Some(PatternEdit::Add))),
    row("add-header", ALL, "<name> <fmt>", |a, _| {
        let (name, value) = name_and_format(a)?;
        Some(HttpAction::AddHeader { name, value })
    }),
    row("allow", ALL, "", |_, _| Some(HttpAction::Allow)),
    row("auth", REQ, "[realm <realm>]", |a, _| {
        let realm = if a.accept("realm") { Some(a.word("a realm")?) } else { None };
        Some(HttpAction::Auth { realm })
    }),
    row("capture", ALL, "<sample> [ len <length> | id <id> ]", capture),
    row("del-header", ALL, "<name> [ -m <meth> ]", del_header),
    row("deny", BOTH, REPLY, |a, set| {
        let usual = if set == Set::Request { 403 } else { 502 };
        Some(HttpAction::Deny(reply::parse(a, Kind::Deny(usual))?))
    }),
    row("disable-l7-retry", REQ, "", |_, _| Some(HttpAction::DisableL7Retry)),
    row("early-hint", REQ, "<name> <fmt>", |a, _| {
        let (name, value) = name_and_format(a)?;
        Some(HttpAction::EarlyHint { name, value })
    }),
    row("normalize-uri", REQ, "<normalizer>", normalizer),
    row("redirect", BOTH, "<rule>", |a, set| {
        Some(HttpAction::Redirect(redirect::parse(a, set == Set::Response)?))
    }),
    row("reject", REQ, "", |_, _| Some(HttpAction::Reject)),
    row("replace-header", ALL, "<name> <match-regex> <replace-fmt>", |a, _| {
        let (name, pattern, value) = name_and_replacement(a)?;
        Some(HttpAction::ReplaceHeader { name, pattern, value })
    }),
    row("replace-path", REQ, "<match-regex> <replace-fmt>", |a, _| {
        let (pattern, value) = replacement(a)?;
        Some(HttpAction::ReplacePath { pattern, value })
    }),
    row("replace-pathq", REQ, "<match-regex> <replace-fmt>", |a, _| {
        let (pattern, value) = replacement(a)?;
        Some(HttpAction::ReplacePathQuery { pattern, value })
    }),
    row("replace-uri", REQ, "<match-regex> <replace-fmt>", |a, _| {
        let (pattern, value) = replacement(a)?;
        Some(HttpAction::ReplaceUri { pattern, value })
    }),
    row("replace-value", ALL, "<name> <match-regex> <replace-fmt>", |a, _| {
        let (name, pattern, value) = name_and_replacement(a)?;
        Some(HttpAction::ReplaceValue { name, pattern, value })
    }),
    row("return", BOTH, REPLY, |a, _| Some(HttpAction::Return(reply::parse(a, Kind::Return)?))),
    row("set-bc-mark", REQ, "{ <value> | <expr> }", |a, _| {
        Some(HttpAction::SetMark(Peer::Server, a.number_or_expr()?))
    }),
    row("set-bc-tos", REQ, "{ <value> | <expr> }", |a, _| {
        Some(HttpAction::SetTos(Peer::Server, a.number_or_expr()?))
    }),
    row("set-dst", REQ, "<expr>", |a, _| Some(HttpAction::SetDst(a.expr(SAMPLE)?))),
    row("set-dst-port", REQ, "<expr>", |a, _| Some(HttpAction::SetDstPort(a.expr(SAMPLE)?))),
    row("set-fc-mark", BOTH, "{ <value> | <expr> }", |a, _| {
        Some(HttpAction::SetMark(Peer::Client, a.number_or_expr()?))
    }),
    row("set-fc-tos", BOTH, "{ <value> | <expr> }", |a, _| {
        Some(HttpAction::SetTos(Peer::Client, a.number_or_expr()?))
    }),
    row("set-header", ALL, "<name> <fmt>", |a, _| {
        let (name, value) = name_and_format(a)?;
        Some(HttpAction::SetHeader { name, value })
    }),
    row("set-log-level", ALL, "<level>", |a, _| Some(HttpAction::SetLogLevel(log_level(a)?))),
    row("set-mark", BOTH, "{ <value> | <expr> }", |a, _| {
        Some(HttpAction::SetMark(Peer::Client, a.number_or_expr()?))
    }),
    row("set-method", REQ, "<fmt>", |a, _| Some(HttpAction::SetMethod(only_format(a)?))),
    row("set-nice", BOTH, "<nice>", |a, _| Some(HttpAction::SetNice(nice(a)?))),
    row("set-path", REQ, "<fmt>", |a, _| Some(HttpAction::SetPath(only_format(a)?))),
    row("set-pathq", REQ, "<fmt>", |a, _| Some(HttpAction::SetPathQuery(only_format(a)?))),
    row("set-priority-class", REQ, "<expr>", |a, _| Some(HttpAction::SetPriorityClass(a.expr(SAMPLE)?))),
    row("set-priority-offset", REQ, "<expr>", |a, _| Some(HttpAction::SetPriorityOffset(a.expr(SAMPLE)?))),
    row("set-query", REQ, "<fmt>", |a, _| Some(HttpAction::SetQuery(only_format(a)?))),
    row("set-src", REQ, "<expr>", |a, _| Some(HttpAction::SetSrc(a.expr(SAMPLE)?))),
    row("set-src-port", REQ, "<expr>", |a, _| Some(HttpAction::SetSrcPort(a.expr(SAMPLE)?))),
    row("set-status", RES | Set::AfterResponse as u8, "<status> [reason <str>]", |a, _| {
        let status = a.integer("an integer status code", 100, 999)? as u16;
        let reason = if a.accept("reason") { Some(a.word("a reason")?) } else { None };
        Some(HttpAction::SetStatus { status, reason })
    }),
    row(
        "set-timeout",
        BOTH,
        "{ client | connect | queue | server | tarpit | tunnel } { <timeout> | <expr> }",
        set_timeout,
    ),
    row("set-tos", BOTH, "{ <value> | <expr> }", |a, _| {
        Some(HttpAction::SetTos(Peer::Client, a.number_or_expr()?))
    }),
    row("set-uri", REQ, "<fmt>", |a, _| Some(HttpAction::SetUri(only_format(a)?))),
    row("set-var(", ALL, "<scope>.<name>) <expr>", |a, _| {
        let (scope, name, when) = in_parentheses(a)?;
        Some(HttpAction::SetVar { scope, name, when, expr: a.expr(SAMPLE)? })
    }),
    row("set-var-fmt(", ALL, "<scope>.<name>) <fmt>", |a, _| {
        let (scope, name, when) = in_parentheses(a)?;
        Some(HttpAction::SetVarFormat { scope, name, when, format: a.format("a log-format string")? })
    }),
    row("silent-drop", BOTH, "", |a, _| {
        if a.peek() == "rst-ttl" {
            return a.unsupported(a.at, "silent-drop rst-ttl");
        }
        Some(HttpAction::SilentDrop)
    }),
    row("strict-mode", ALL, "{ on | off }", |a, _| {
        let index = a.at;
        match a.word("exactly 1 argument: 'on' or 'off'")?.as_str() {
            "on" => Some(HttpAction::StrictMode(true)),
            "off" => Some(HttpAction::StrictMode(false)),
            other => {
                let message = format!("Unexpected value '{other}'. Only 'on' and 'off' are supported.");
                a.fail(index, &message)
            }
        }
    }),
    row("tarpit", REQ, REPLY, |a, _| Some(HttpAction::Tarpit(reply::parse(a, Kind::Deny(500))?))),
    row("unset-var(", ALL, "<scope>.<name>)", |a, _| {
        let (scope, name, _) = in_parentheses(a)?;
        Some(HttpAction::UnsetVar { scope, name })
    }),
    row("use-service", REQ, "<service-name>", use_service),
    row("del-acl(", BOTH, "<file-name>) <key fmt>", |a, _| patterns(a, |_| Some(PatternEdit::Delete))),
    row("del-map(", BOTH, "<file-name>) <key fmt>", |a, _| patterns(a, |_| Some(PatternEdit::Delete))),
    row("set-map(", BOTH, "<file-name>) <key fmt> <value fmt>", |a, _| {
        patterns(a, |a| Some(PatternEdit::Set(a.format("exactly 2 arguments")?)))
    }),
    row("wait-for-handshake", REQ, "", |_, _| Some(HttpAction::WaitForHandshake)),
    row("wait-for-body", BOTH, "time <time> [ at-least <bytes> ]", wait_for_body),
];

/// A change of a pattern file's entries: `set-map(FILE) KEY VALUE`.
fn patterns(
    a: &mut Arguments<'_>,
    edit: fn(&mut Arguments<'_>) -> Option<PatternEdit>,
) -> Option<HttpAction> {
    let index = a.at - 1;
    let inside = a.line.word(index).split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let Some(name) = inside.map(str::to_owned) else {
        return a.fail(index, "expects the file's name in parentheses: 'set-map(<file-name>)'.");
    };
    let key = a.format("exactly 1 arguments")?;
    let edit = edit(a)?;
    let file = PatternFile::new(&name, &a.parser.patterns);
    a.parser.pattern_edits.push((a.line.clone(), index, name));
    Some(HttpAction::EditPatterns { file, edit, key })
}

const REPLY: &str = "[status <code>] [content-type <type>] [ { default-errorfiles | errorfile <file> | errorfiles <name> | \
                     file <file> | lf-file <file> | string <str> | lf-string <fmt> } ] [ hdr <name> <fmt> ]*";
/// Services of `use-service`.
const SERVICES: &[(&str, Service)] = &[("prometheus-exporter", Service::Prometheus)];
const SAMPLE: &str = "a sample expression";

/// HAProxy's other actions, by name or, where they take parentheses, by the beginning of it.
pub const UNSUPPORTED: &[&str] = &[
    "add-headers-bin",
    "cache-store",
    "cache-use",
    "del-headers-bin",
    "do-log",
    "do-resolve(",
    "lua.",
    "pause",
    "sc-add-gpc(",
    "sc-inc-gpc(",
    "sc-inc-gpc0(",
    "sc-inc-gpc1(",
    "sc-set-gpt(",
    "sc-set-gpt0(",
    "send-spoe-group",
    "set-bandwidth-limit",
    "set-headers-bin",
    "set-retries",
    "track-sc",
];

/// Reads word `arguments.at` as an action's name, and its arguments up to the condition.
pub fn parse(arguments: &mut Arguments<'_>, set: Set) -> Option<HttpAction> {
    let index = arguments.at;
    let word = arguments.peek().to_owned();
    let valid = |row: &&Row| row.sets & set as u8 != 0;
    if let Some(row) = TABLE.iter().filter(valid).find(|row| is_named(row.name, &word)) {
        arguments.at += 1;
        arguments.rule = format!("{} {}", set.keyword(), row.name.trim_end_matches('('));
        return (row.parse)(arguments, set);
    }
    if UNSUPPORTED.iter().any(|name| is_named(name, &word)) {
        let what = format!("{} {word}", set.keyword());
        return arguments.unsupported(index, &what);
    }
    let names: Vec<&str> = TABLE.iter().filter(valid).map(|row| row.name.trim_end_matches('(')).collect();
    let list = names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
    let message = format!("'{}' expects {list} but got '{word}'.", set.keyword());
    let hint = suggest::hint(word.split('(').next().unwrap_or(""), names);
    arguments.rule = set.keyword().to_owned();
    arguments.fail_hint(index, &message, hint)
}

/// Does `word` name the action? `set-var(` is the beginning of a word, and so is `track-sc`.
pub(super) fn is_named(name: &str, word: &str) -> bool {
    word == name || (name.ends_with(['(', '.']) || name == "track-sc") && word.starts_with(name)
}

fn in_parentheses(
    arguments: &mut Arguments<'_>,
) -> Option<(crate::config::model::VarScope, String, crate::expr::StoreIf)> {
    let word = arguments.line.word(arguments.at - 1).to_owned();
    variable::parse(arguments, &word)
}

fn only_format(arguments: &mut Arguments<'_>) -> Option<LogFormat> {
    arguments.format("exactly 1 argument <format>")
}

fn name_and_format(arguments: &mut Arguments<'_>) -> Option<(String, LogFormat)> {
    let name = arguments.word("exactly 2 arguments")?;
    Some((name, format_or_empty(arguments, "exactly 2 arguments")?))
}

/// A header's value may be empty, but it must be written.
fn format_or_empty(arguments: &mut Arguments<'_>, expected: &str) -> Option<LogFormat> {
    if arguments.at < arguments.line.words.len() && arguments.peek().is_empty() {
        arguments.at += 1;
        let empty = LogFormat::parse("", arguments.site, arguments.scope());
        return empty.ok();
    }
    arguments.format(expected)
}

fn name_and_replacement(arguments: &mut Arguments<'_>) -> Option<(String, Regex, LogFormat)> {
    let name = arguments.word("exactly 3 arguments")?;
    let pattern = arguments.regex("exactly 3 arguments")?;
    Some((name, pattern, format_or_empty(arguments, "exactly 3 arguments")?))
}

fn replacement(arguments: &mut Arguments<'_>) -> Option<(Regex, LogFormat)> {
    let pattern = arguments.regex("exactly 2 arguments <match-regex> and <replace-format>")?;
    Some((pattern, arguments.format("exactly 2 arguments <match-regex> and <replace-format>")?))
}

fn capture(arguments: &mut Arguments<'_>, set: Set) -> Option<HttpAction> {
    let expr = arguments.expr(SAMPLE)?;
    let index = arguments.at;
    if arguments.accept("id") {
        let slot = arguments.integer("a capture id", 0, 1023)? as usize;
        return Some(HttpAction::Capture { expr, slot });
    }
    if set == Set::Request && arguments.accept("len") {
        let len = arguments.integer("a length", 1, 65_535)? as usize;
        let slot = new_request_slot(arguments, index, len)?;
        return Some(HttpAction::Capture { expr, slot });
    }
    arguments.fail(index, if set == Set::Request { "expects 'len' or 'id'" } else { "expects 'id'" })
}

/// A slot without a header's name, filled by the rule alone.
pub(super) fn new_request_slot(arguments: &mut Arguments<'_>, index: usize, len: usize) -> Option<usize> {
    let draft = arguments.parser.draft()?;
    if !draft.section.has_front() {
        return arguments.fail(index, "'len' needs a frontend; declare the capture there and use 'id'.");
    }
    draft.proxy.request_captures.push(("".into(), len));
    Some(draft.proxy.request_captures.len() - 1)
}

fn del_header(arguments: &mut Arguments<'_>, _: Set) -> Option<HttpAction> {
    let index = arguments.at;
    let name = arguments.word("at least 1 argument")?;
    let lower = name.to_ascii_lowercase();
    if !arguments.accept("-m") {
        return Some(HttpAction::DelHeader(NameMatch::Exact(lower)));
    }
    let method_index = arguments.at;
    let method = arguments.word("a matching method: 'str', 'beg', 'end', 'sub' or 'reg'")?;
    let name = match method.as_str() {
        "str" => NameMatch::Exact(lower),
        "beg" => NameMatch::Begins(lower),
        "end" => NameMatch::Ends(lower),
        "sub" => NameMatch::Contains(lower),
        "reg" => match Regex::new(&name, false) {
            Ok(regex) => NameMatch::Regex(regex),
            Err(error) => return arguments.fail(index, &error),
        },
        other => {
            let message = format!("unknown matching method '{other}'");
            let hint = suggest::hint(other, ["str", "beg", "end", "sub", "reg"]);
            return arguments.fail_hint(method_index, &message, hint);
        }
    };
    Some(HttpAction::DelHeader(name))
}

/// `Some(None)` is `silent`.
#[allow(clippy::option_option)]
pub(super) fn log_level(arguments: &mut Arguments<'_>) -> Option<Option<u8>> {
    const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    let index = arguments.at;
    let level = arguments.word("exactly 1 argument (log level name or 'silent')")?;
    if level == "silent" {
        return Some(None);
    }
    match LEVELS.iter().position(|name| *name == level) {
        Some(number) => Some(Some(number as u8)),
        None => {
            let hint = suggest::hint(&level, LEVELS.into_iter().chain(["silent"]));
            arguments.fail_hint(index, "expects exactly 1 argument (log level name or 'silent').", hint)
        }
    }
}

fn set_timeout(arguments: &mut Arguments<'_>, _: Set) -> Option<HttpAction> {
    let index = arguments.at;
    let name = arguments.word("2 arguments")?;
    let which = match name.as_str() {
        "client" => SettableTimeout::Client,
        "connect" => SettableTimeout::Connect,
        "queue" => SettableTimeout::Queue,
        "server" => SettableTimeout::Server,
        "tarpit" => SettableTimeout::Tarpit,
        "tunnel" => SettableTimeout::Tunnel,
        other => {
            let message = format!(
                "'set-timeout' rule supports 'client', 'connect', 'queue', 'server', 'tarpit' and 'tunnel' (got '{other}')"
            );
            let hint = suggest::hint(other, ["client", "connect", "queue", "server", "tarpit", "tunnel"]);
            return arguments.fail_hint(index, &message, hint);
        }
    };
    let fixed = arguments.peek().starts_with(|c: char| c.is_ascii_digit());
    let value = if fixed {
        let index = arguments.at;
        let time = arguments.duration("a timeout")?;
        if time == Duration::ZERO {
            return arguments.fail(index, "null value is not valid for a 'set-timeout' rule");
        }
        TimeoutValue::Fixed(time)
    } else {
        TimeoutValue::Expr(arguments.expr("a timeout or a sample expression")?)
    };
    Some(HttpAction::SetTimeout { which, value })
}

fn use_service(arguments: &mut Arguments<'_>, _: Set) -> Option<HttpAction> {
    let index = arguments.at;
    let name = arguments.word("a service name")?;
    match SERVICES.iter().find(|(known, _)| *known == name) {
        Some((_, service)) => Some(HttpAction::UseService(*service)),
        None => {
            let message = format!("'{name}' unknown service name.");
            let hint = suggest::hint(&name, SERVICES.iter().map(|(known, _)| *known));
            arguments.fail_hint(index, &message, hint)
        }
    }
}

fn wait_for_body(arguments: &mut Arguments<'_>, _: Set) -> Option<HttpAction> {
    let (mut time, mut at_least) = (None, 0);
    while !arguments.at_end() {
        let index = arguments.at;
        let word = arguments.word("time <time> [ at-least <bytes> ]")?;
        match word.as_str() {
            "time" => time = Some(arguments.duration("time")?),
            "at-least" => {
                let index = arguments.at;
                let text = arguments.word("a size")?;
                match crate::config::units::size(&text).map(usize::try_from) {
                    Ok(Ok(size)) => at_least = size,
                    _ => {
                        let message = format!("expects a size, got '{text}'.");
                        return arguments.fail(index, &message);
                    }
                }
            }
            other => {
                let message = format!("expects 'time <time> [ at-least <bytes> ]' (got '{other}')");
                return arguments.fail(index, &message);
            }
        }
    }
    let Some(time) = time else { return arguments.fail(arguments.at - 1, "missing 'time' argument") };
    Some(HttpAction::WaitForBody { time, at_least })
}

fn normalizer(arguments: &mut Arguments<'_>, _: Set) -> Option<HttpAction> {
    const NAMES: [&str; 8] = [
        "fragment-encode",
        "fragment-strip",
        "path-merge-slashes",
        "path-strip-dot",
        "path-strip-dotdot",
        "percent-decode-unreserved",
        "percent-to-uppercase",
        "query-sort-by-name",
    ];
    let index = arguments.at;
    let name = arguments.word("an argument")?;
    let normalizer = match name.as_str() {
        "fragment-encode" => Normalizer::FragmentEncode,
        "fragment-strip" => Normalizer::FragmentStrip,
        "path-merge-slashes" => Normalizer::PathMergeSlashes,
        "path-strip-dot" => Normalizer::PathStripDot,
        "path-strip-dotdot" => Normalizer::PathStripDotDot { full: arguments.accept("full") },
        "percent-decode-unreserved" => {
            Normalizer::PercentDecodeUnreserved { strict: arguments.accept("strict") }
        }
        "percent-to-uppercase" => Normalizer::PercentToUppercase { strict: arguments.accept("strict") },
        "query-sort-by-name" => Normalizer::QuerySortByName,
        other => {
            let message = format!("unknown normalizer '{other}'");
            return arguments.fail_hint(index, &message, suggest::hint(other, NAMES));
        }
    };
    Some(HttpAction::NormalizeUri(normalizer))
}
