//! `tcp-request connection|session|content` and `tcp-response content` actions.

use super::http::{self, is_named};
use super::{Arguments, variable};
use crate::config::model::TcpAction;
use crate::config::model::action::Peer;
use crate::config::suggest;

/// The rule sets an action may stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Connection = 1,
    Session = 2,
    Content = 4,
    Response = 8,
}

impl Set {
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Connection => "tcp-request connection",
            Self::Session => "tcp-request session",
            Self::Content => "tcp-request content",
            Self::Response => "tcp-response content",
        }
    }
}

/// One action.
pub struct Row {
    pub name: &'static str,
    sets: u8,
    /// For the manual.
    pub args: &'static str,
    parse: fn(&mut Arguments<'_>) -> Option<TcpAction>,
}

const CONN: u8 = Set::Connection as u8;
const SESS: u8 = Set::Session as u8;
const CONT: u8 = Set::Content as u8;
const RESP: u8 = Set::Response as u8;
const REQUEST: u8 = CONN | SESS | CONT;
const ALL: u8 = REQUEST | RESP;
const SAMPLE: &str = "a sample expression";

const fn row(
    name: &'static str,
    sets: u8,
    args: &'static str,
    parse: fn(&mut Arguments<'_>) -> Option<TcpAction>,
) -> Row {
    Row { name, sets, args, parse }
}

pub const TABLE: &[Row] = &[
    row("accept", ALL, "", |_| Some(TcpAction::Accept)),
    row("capture", CONT, "<sample> { len <length> | id <id> }", capture),
    row("close", RESP, "", |_| Some(TcpAction::Close)),
    row("expect-proxy", CONN, "layer4", |a| {
        let index = a.at;
        if a.accept("layer4") {
            Some(TcpAction::ExpectProxy)
        } else {
            a.fail(index, "'expect-proxy' only supports 'layer4'")
        }
    }),
    row("reject", ALL, "", |_| Some(TcpAction::Reject)),
    row("set-bc-mark", CONT, "{ <value> | <expr> }", |a| {
        Some(TcpAction::SetMark(Peer::Server, a.number_or_expr()?))
    }),
    row("set-bc-tos", CONT, "{ <value> | <expr> }", |a| {
        Some(TcpAction::SetTos(Peer::Server, a.number_or_expr()?))
    }),
    row("set-dst", REQUEST, "<expr>", |a| Some(TcpAction::SetDst(a.expr(SAMPLE)?))),
    row("set-dst-port", REQUEST, "<expr>", |a| Some(TcpAction::SetDstPort(a.expr(SAMPLE)?))),
    row("set-fc-mark", ALL, "{ <value> | <expr> }", |a| {
        Some(TcpAction::SetMark(Peer::Client, a.number_or_expr()?))
    }),
    row("set-fc-tos", ALL, "{ <value> | <expr> }", |a| {
        Some(TcpAction::SetTos(Peer::Client, a.number_or_expr()?))
    }),
    row("set-log-level", CONT | RESP, "<level>", |a| Some(TcpAction::SetLogLevel(http::log_level(a)?))),
    row("set-mark", ALL, "{ <value> | <expr> }", |a| {
        Some(TcpAction::SetMark(Peer::Client, a.number_or_expr()?))
    }),
    row("set-nice", CONT | RESP, "<nice>", |a| Some(TcpAction::SetNice(http::nice(a)?))),
    row("set-priority-class", CONT, "<expr>", |a| Some(TcpAction::SetPriorityClass(a.expr(SAMPLE)?))),
    row("set-priority-offset", CONT, "<expr>", |a| Some(TcpAction::SetPriorityOffset(a.expr(SAMPLE)?))),
    row("set-src", REQUEST, "<expr>", |a| Some(TcpAction::SetSrc(a.expr(SAMPLE)?))),
    row("set-src-port", REQUEST, "<expr>", |a| Some(TcpAction::SetSrcPort(a.expr(SAMPLE)?))),
    row("set-tos", ALL, "{ <value> | <expr> }", |a| {
        Some(TcpAction::SetTos(Peer::Client, a.number_or_expr()?))
    }),
    row("set-var(", ALL, "<scope>.<name>) <expr>", |a| {
        let (scope, name, when) = in_parentheses(a)?;
        Some(TcpAction::SetVar { scope, name, when, expr: a.expr(SAMPLE)? })
    }),
    row("set-var-fmt(", ALL, "<scope>.<name>) <fmt>", |a| {
        let (scope, name, when) = in_parentheses(a)?;
        Some(TcpAction::SetVarFormat { scope, name, when, format: a.format("a log-format string")? })
    }),
    row("silent-drop", ALL, "", |a| {
        if a.peek() == "rst-ttl" {
            return a.unsupported(a.at, "silent-drop rst-ttl");
        }
        Some(TcpAction::SilentDrop)
    }),
    row("switch-mode", CONT, "http [ proto <name> ]", |a| {
        let index = a.at;
        if !a.accept("http") {
            return a.fail(index, "'switch-mode' only supports 'http'");
        }
        if a.accept("proto") && !a.accept("h1") {
            let what = format!("switch-mode http proto {}", a.peek());
            return a.unsupported(a.at, &what);
        }
        Some(TcpAction::SwitchModeHttp)
    }),
    row("unset-var(", ALL, "<scope>.<name>)", |a| {
        let (scope, name, _) = in_parentheses(a)?;
        Some(TcpAction::UnsetVar { scope, name })
    }),
];

/// HAProxy's other actions.
const UNSUPPORTED: &[&str] = &[
    "attach-srv",
    "do-log",
    "do-resolve(",
    "expect-netscaler-cip",
    "lua.",
    "sc-add-gpc(",
    "sc-inc-gpc(",
    "sc-inc-gpc0(",
    "sc-inc-gpc1(",
    "sc-set-gpt(",
    "sc-set-gpt0(",
    "send-spoe-group",
    "set-bandwidth-limit",
    "set-retries",
    "track-sc",
    "use-service",
];

/// Reads word `arguments.at` as an action's name, and its arguments up to the condition.
pub fn parse(arguments: &mut Arguments<'_>, set: Set) -> Option<TcpAction> {
    let index = arguments.at;
    let word = arguments.peek().to_owned();
    let valid = |row: &&Row| row.sets & set as u8 != 0;
    if let Some(row) = TABLE.iter().filter(valid).find(|row| is_named(row.name, &word)) {
        arguments.at += 1;
        return (row.parse)(arguments);
    }
    if UNSUPPORTED.iter().any(|name| is_named(name, &word)) {
        let what = format!("{} {word}", set.keyword());
        return arguments.unsupported(index, &what);
    }
    let names: Vec<&str> = TABLE.iter().filter(valid).map(|row| row.name.trim_end_matches('(')).collect();
    let list = names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
    let message = format!("'{}' expects {list} (got '{word}').", set.keyword());
    let hint = suggest::hint(word.split('(').next().unwrap_or(""), names);
    arguments.fail_hint(index, &message, hint)
}

fn in_parentheses(
    arguments: &mut Arguments<'_>,
) -> Option<(crate::config::model::VarScope, String, crate::expr::StoreIf)> {
    let word = arguments.line.word(arguments.at - 1).to_owned();
    variable::parse(arguments, &word)
}

fn capture(arguments: &mut Arguments<'_>) -> Option<TcpAction> {
    let expr = arguments.expr(SAMPLE)?;
    let index = arguments.at;
    if arguments.accept("id") {
        let slot = arguments.integer("a capture id", 0, 1023)? as usize;
        return Some(TcpAction::Capture { expr, slot });
    }
    if arguments.accept("len") {
        let len = arguments.integer("a length", 1, 65_535)? as usize;
        let slot = http::new_request_slot(arguments, index, len)?;
        return Some(TcpAction::Capture { expr, slot });
    }
    arguments.fail(index, "expects 'len' or 'id'")
}
