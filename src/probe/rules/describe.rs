//! HAProxy's words about steps.

use crate::config::model::check::{Action, Pattern, Port, RuleSet};
use std::sync::Arc;

/// Longer texts are cut (HAProxy's buffer, less the zero at its end).
const KEPT: usize = 127;

/// A text up to a zero byte or the most that is kept.
pub fn kept(text: &[u8]) -> String {
    let text = until_zero(text);
    String::from_utf8_lossy(text.get(..KEPT).unwrap_or(text)).into_owned()
}

/// HAProxy's texts end at a zero byte.
pub fn until_zero(text: &[u8]) -> &[u8] {
    text.get(..memchr::memchr(0, text).unwrap_or(text.len())).unwrap_or_default()
}

/// ` (connect port 80)`
pub fn action(action: &Action) -> String {
    match action {
        Action::Connect(connect) => match connect.port {
            Some(Port::Fixed(port)) => format!(" (connect port {port})"),
            _ => " (connect)".to_owned(),
        },
        Action::Send(_) | Action::Request(_) => " (send)".to_owned(),
        Action::Expect(expect) => format!(" (expect {})", awaited(&expect.pattern)),
        _ => String::new(),
    }
}

fn awaited(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Text(text) => format!("string '{}'", kept(text)),
        Pattern::Binary(bytes) => format!("binary '{}'", kept(bytes)),
        other => class(other).to_owned(),
    }
}

/// How a response that is wrong names what was looked for.
pub fn wanted(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Text(text) => format!("'{}'", kept(text)),
        other => format!("({})", class(other)),
    }
}

fn class(pattern: &Pattern) -> &'static str {
    match pattern {
        Pattern::Text(_) => "string",
        Pattern::Binary(_) => "binary",
        Pattern::Regex(_) => "regex",
        Pattern::BinaryRegex(_) => "binary regex",
        Pattern::Format(_) => "log-format string",
        Pattern::HexFormat(_) => "log-format binary",
        Pattern::Status(_) => "HTTP status codes",
        Pattern::StatusRegex(_) => "HTTP status regex",
        Pattern::Header(_) => "HTTP header pattern",
        Pattern::Digest(_) => "HTTP body digest",
        Pattern::MysqlGreeting | Pattern::MysqlAnswer | Pattern::LdapBind | Pattern::SpopHello => {
            "custom function"
        }
    }
}

/// A step's comment: its own, else that of a `comment` before it with nothing but steps of its kind between.
pub fn comment(rules: &RuleSet, at: usize) -> Option<&Arc<str>> {
    let step = rules.steps.get(at)?;
    if step.comment.is_some() {
        return step.comment.as_ref();
    }
    let kind = std::mem::discriminant(&step.action);
    for before in rules.steps.get(..at)?.iter().rev() {
        if matches!(before.action, Action::Comment) {
            return before.comment.as_ref();
        }
        if std::mem::discriminant(&before.action) != kind {
            return None;
        }
    }
    None
}

/// Does the step talk to the server?
pub fn is_exchange(action: &Action) -> bool {
    matches!(action, Action::Connect(_) | Action::Send(_) | Action::Request(_) | Action::Expect(_))
}
