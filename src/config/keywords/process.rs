//! What the process begins with: its variables and its rights.

use crate::config::actions::{Arguments, variable};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::keyword::{GLOBAL, Keyword};
use crate::config::model::VarScope;
use crate::config::model::global::{Capability, Initial, SetVariable};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::expr::Site;

pub const TABLE: &[Keyword] = &[
    Keyword::new(
        "set-var",
        GLOBAL,
        "proc.<name>[,<condition>...] <expr>",
        "Sets a variable of the process at start, in the order of these lines. After a reload, those whose line is new or has changed.",
        |p, l| {
            set_variable(p, l, "a sample expression", |a| a.expr("a sample expression").map(Initial::Expr))
        },
    ),
    Keyword::new(
        "set-var-fmt",
        GLOBAL,
        "proc.<name>[,<condition>...] <format>",
        "The same with a log format.",
        |p, l| set_variable(p, l, "a format string", |a| a.format("a format string").map(Initial::Format)),
    ),
    Keyword::new(
        "setcap",
        GLOBAL,
        "<name>[,<name>...]",
        "Capabilities that are kept when 'user' or 'uid' change the user: 'cap_net_bind_service' (a reload may bind ports below 1024), 'cap_net_raw' and 'cap_net_admin' (foreign source addresses), 'cap_sys_admin' (network namespaces).",
        set_capabilities,
    ),
];

fn set_variable(
    parser: &mut Parser,
    line: &Line,
    what: &str,
    read: fn(&mut Arguments<'_>) -> Option<Initial>,
) {
    let keyword = line.word(0);
    if line.words.len() < 3 {
        let message =
            format!("'{keyword}' requires a process-wide variable name ('proc.<name>') and {what}.");
        return parser.alert(line, line.words.len(), message);
    }
    let mut words = Arguments { parser, line, at: 2, site: Site::Global, rule: keyword.to_owned() };
    let Some((scope, name, when)) = variable::parse(&mut words, &format!("set-var({})", line.word(1))) else {
        return;
    };
    if scope != VarScope::Process {
        let message = format!(
            "'{keyword}': cannot set variable '{}', only scope 'proc' is permitted in the global section.",
            line.word(1)
        );
        return parser.alert(line, 1, message);
    }
    let Some(value) = read(&mut words) else { return };
    let end = words.at;
    if end < line.words.len() {
        let message = format!("'{keyword}' : '{}' and what follows is ignored.", line.word(end));
        let hint = "put quotes around a text with blanks";
        parser.report(Diagnostic::at(Severity::Warning, line, end, message).hint(hint));
    }
    let text = line.words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
    parser.global.variables.push(SetVariable { name, text, when, value });
}

fn set_capabilities(parser: &mut Parser, line: &Line) {
    let list = line.word(1);
    if list.is_empty() {
        return parser.alert(line, 0, "'setcap' : missing capability name(s).");
    }
    for name in list.split(',').filter(|name| !name.is_empty()) {
        let Some((_, capability)) = Capability::NAMES.iter().find(|(known, _)| *known == name) else {
            let known = Capability::NAMES.map(|(known, _)| known);
            let message =
                format!("'setcap' : unsupported capability '{name}' (expects {}).", known.join(", "));
            let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
            diagnostic.hint = crate::config::suggest::hint(name, known);
            return parser.report(diagnostic);
        };
        if !parser.global.capabilities.contains(capability) {
            parser.global.capabilities.push(*capability);
        }
    }
    parser.at_most(line, 2);
}
