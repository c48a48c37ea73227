//! Variables of scope `proc`: what rules on all threads share.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command, Mode};
use crate::config::model::global::Level::Operator;
use crate::expr::{Expr, LogFormat, Scope, Site, Value};
use crate::live::scene::Scene;
use crate::live::{Generation, variables};
use std::net::IpAddr;

pub const TABLE: &[Command] = &[
    Command::new("get var", Operator, "get var <name>", "show a variable of the process", get),
    Command::new(
        "set var",
        Operator,
        "set var <name> [fmt|expr] {<fmt>|<expr>}",
        "set a variable of the process",
        set,
    )
    .only(Mode::Experimental),
];

fn get(call: &mut Call<'_>) -> Answer {
    let name = call.word(2);
    if name.is_empty() {
        return Answer::error(NO_NAME);
    }
    let Some(value) = name.strip_prefix("proc.").and_then(variables::get) else {
        return Answer::error("Variable not found.");
    };
    let kind = match &value {
        Value::Bool(_) => "bool",
        Value::Int(_) => "sint",
        Value::Addr(IpAddr::V4(_)) => "ipv4",
        Value::Addr(IpAddr::V6(_)) => "ipv6",
        Value::Str(_) => "str",
        Value::Bin(_) => "bin",
    };
    let text = match value {
        Value::Bin(bytes) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
        other => String::from_utf8_lossy(&other.into_text()).into_owned(),
    };
    // One newline less than others, as HAProxy has it.
    Answer::unended(severity::INFO, format!("{name}: type={kind} value=<{text}>"))
}

const NO_NAME: &str = "Missing process-wide variable identifier.";
const SCOPES: &[&str] = &["proc", "sess", "txn", "req", "res", "check"];

fn set(call: &mut Call<'_>) -> Answer {
    let full = call.word(2);
    if full.is_empty() {
        return Answer::error(NO_NAME);
    }
    if !call.has(3) {
        return Answer::error("Missing either 'expr', 'fmt' or expression.");
    }
    let mistake = |text: String| Answer::unended(severity::ERR, text);
    let (scope, name) = full.split_once('.').unwrap_or((full, ""));
    if !SCOPES.contains(&scope) {
        return mistake(format!(
            "invalid variable name '{full}'. A variable name must be start by its scope. The scope can be 'proc', \
             'sess', 'txn', 'req', 'res' or 'check'"
        ));
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) {
        return mistake(format!("invalid syntax at '{full}'"));
    }
    if scope != "proc" {
        return mistake(format!(
            "'set var': cannot set variable '{full}', only scope 'proc' is permitted here."
        ));
    }
    let words: Vec<&str> = call.words.iter().skip(3).map(String::as_str).collect();
    match evaluate(call.live(), &words) {
        Ok(Some(value)) => variables::set(name, value),
        Ok(None) => variables::unset(name),
        Err(text) => return mistake(text),
    }
    Answer::Done
}

/// `fmt <format>`, `expr <expression>` or an expression.
fn evaluate(live: &Generation, words: &[&str]) -> Result<Option<Value>, String> {
    let scope = Scope::default();
    let mut scene = Scene::new(live);
    match words {
        ["fmt", format, ..] => {
            let format = LogFormat::parse(format, Site::Check, &scope).map_err(|e| e.message)?;
            let mut text = Vec::new();
            format.render(&mut scene, &mut text);
            Ok(Some(Value::Str(text)))
        }
        words => {
            let words = match words {
                ["expr", rest @ ..] if !rest.is_empty() => rest,
                words => words,
            };
            let (expr, _) = Expr::parse(words, Site::Check, &scope).map_err(|e| e.message)?;
            Ok(expr.eval(&mut scene))
        }
    }
}
