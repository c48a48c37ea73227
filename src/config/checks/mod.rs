//! Check rules from words to the model: `tcp-check`, `http-check`, the protocol checks, `healthcheck` sections.

mod connect;
mod expect;
pub mod protocol;
mod reader;
mod send;
mod settle;

pub use connect::alpn;
pub use reader::from_hex;
pub use settle::settle;

use super::diagnostic::{Diagnostic, Severity};
use super::keyword::Section;
use super::model::CheckKind;
use super::model::check::{Action, Flavour, Request, RuleSet, Step};
use super::model::probes::ExternalCommand;
use super::parser::Parser;
use super::raw::Line;
use super::suggest;
use reader::Reader;
use std::sync::Arc;

/// What lines said of checks so far.
#[derive(Debug, Default)]
pub struct Checks {
    pub tcp: Rules,
    pub http: Rules,
    /// `option httpchk`'s own words.
    pub request: Request,
}

/// The rules of one ruleset. Those of a section take the place of those of the `defaults` it stands on.
#[derive(Debug, Default)]
pub struct Rules {
    pub steps: Vec<Step>,
    /// How far from the section itself, see [`Parser::depth`].
    depth: usize,
}

impl Rules {
    /// Are there any that stand in the section itself?
    #[must_use]
    pub fn are_own(&self) -> bool {
        self.depth == 0 && !self.steps.is_empty()
    }

    fn own(&mut self, depth: usize) -> &mut Vec<Step> {
        if self.depth != depth {
            self.depth = depth;
            self.steps.clear();
        }
        &mut self.steps
    }
}

/// A `healthcheck` section.
#[derive(Debug, Default)]
pub struct HealthCheck {
    pub name: String,
    pub kind: Option<CheckKind>,
    pub checks: Checks,
    /// The program of `type external-check`.
    pub external: ExternalCommand,
    pub disable_on_404: bool,
    pub send_state: bool,
}

impl Parser {
    /// Where the current section's check rules are kept.
    pub fn checks(&mut self) -> Option<&mut Checks> {
        if self.section == Section::HealthCheck {
            return Some(&mut self.healthcheck.checks);
        }
        self.draft().map(|d| &mut d.checks)
    }

    /// The last kind named is the one.
    pub fn check_kind(&mut self, kind: CheckKind) {
        if self.section == Section::HealthCheck {
            self.healthcheck.kind = Some(kind);
        } else if let Some(back) = self.draft().and_then(|d| d.proxy.back.as_mut()) {
            back.check = kind;
        }
    }
}

/// `option tcp-check` and `option httpchk` wait for their rules, which may come later.
#[must_use]
pub fn waiting(flavour: Flavour) -> CheckKind {
    CheckKind::Rules(Arc::new(RuleSet::new(flavour, Vec::new())))
}

/// A new `option httpchk` of the section: nothing of `defaults` holds any more.
pub fn start_http(parser: &mut Parser, request: Request) {
    let depth = parser.depth;
    if let Some(checks) = parser.checks() {
        let _own = checks.http.own(depth);
        checks.request = request;
    }
}

const TCP: &[&str] = &[
    "comment",
    "connect",
    "send",
    "send-lf",
    "send-binary",
    "send-binary-lf",
    "expect",
    "set-var(",
    "set-var-fmt(",
    "unset-var(",
];
const HTTP: &[&str] = &[
    "disable-on-404",
    "send-state",
    "comment",
    "connect",
    "send",
    "expect",
    "set-var(",
    "set-var-fmt(",
    "unset-var(",
];

/// One `tcp-check` or `http-check` line, but for what `http-check` says of the whole check.
pub fn rule(parser: &mut Parser, line: &Line, flavour: Flavour) {
    let keyword = line.word(0).to_owned();
    let word = line.word(1);
    let actions = if flavour == Flavour::Http { HTTP } else { TCP };
    let Some(name) = actions.iter().find(|a| word == **a || (a.ends_with('(') && word.starts_with(**a)))
    else {
        let list = actions.iter().map(|a| format!("'{}'", a.replace('(', "(*)"))).collect::<Vec<_>>();
        let message = format!("'{keyword}' only supports {}. but got '{word}'", list.join(", "));
        let mut diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
        let typed = word.split('(').next().unwrap_or_default();
        diagnostic.hint = suggest::hint(typed, actions.iter().map(|a| a.trim_end_matches('(')));
        return parser.report(diagnostic);
    };
    let rule = format!("{keyword} {}", name.trim_end_matches('('));
    let mut reader = Reader { parser, line, at: 2, rule };
    let Some(step) = step(&mut reader, name, flavour) else { return };
    add(parser, line, flavour, step);
}

fn step(reader: &mut Reader<'_>, name: &str, flavour: Flavour) -> Option<Step> {
    let mut comment = None;
    let action = match name {
        "comment" => {
            comment = Some(reader.word("a string")?.into());
            Action::Comment
        }
        "connect" => connect::parse(reader, &mut comment, flavour)?,
        "send" if flavour == Flavour::Http => send::request(reader, &mut comment)?,
        "expect" => expect::parse(reader, &mut comment, flavour)?,
        "set-var(" | "set-var-fmt(" | "unset-var(" => variable(reader, name)?,
        _ => send::parse(reader, &mut comment, name)?,
    };
    if !reader.at_end() {
        let message = format!("unexpected argument '{}'", reader.peek());
        return reader.fail(reader.at, &message);
    }
    Some(Step { action, comment })
}

fn variable(reader: &mut Reader<'_>, name: &str) -> Option<Action> {
    let word = reader.line.word(1).to_owned();
    let inside = word.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let Some(inside) = inside else {
        let message = "incomplete argument. Expects 'set-var(<var-name>)', 'set-var-fmt(<var-name>)' or 'unset-var(<var-name>)'.";
        return reader.fail(1, message);
    };
    if inside.contains(',') {
        reader.parser.unsupported(reader.line, 1, "conditions of a variable");
        return None;
    }
    let (scope, variable) = match crate::expr::variable(inside) {
        Ok(variable) => variable,
        Err(message) => return reader.fail(1, &message),
    };
    Some(match name {
        "unset-var(" => Action::UnsetVar { scope, name: variable },
        "set-var(" => Action::SetVar { scope, name: variable, expr: reader.expr("a sample expression")? },
        _ => Action::SetVarFormat { scope, name: variable, format: reader.format("a log-format string")? },
    })
}

/// Adds the step where the ones before it allow it.
fn add(parser: &mut Parser, line: &Line, flavour: Flavour, step: Step) {
    let depth = parser.depth;
    let Some(checks) = parser.checks() else { return };
    let rules = if flavour == Flavour::Http { &mut checks.http } else { &mut checks.tcp };
    let steps = rules.own(depth);
    if let Some(message) = misplaced(steps, &step.action, flavour, line.word(0)) {
        return parser.alert(line, 1, format!("'{} {}' : {message}", line.word(0), line.word(1)));
    }
    steps.push(step);
}

/// Is the action one that talks to the server?
fn exchanges(action: &Action) -> bool {
    matches!(action, Action::Connect(_) | Action::Send(_) | Action::Request(_) | Action::Expect(_))
}

fn misplaced(steps: &[Step], action: &Action, flavour: Flavour, keyword: &str) -> Option<String> {
    let talk: Vec<&Action> = steps.iter().map(|s| &s.action).filter(|a| exchanges(a)).collect();
    let last = talk.last().copied();
    if matches!(action, Action::Connect(_)) && talk.first().is_some_and(|a| !matches!(a, Action::Connect(_)))
    {
        return Some(
            "first step MUST also be a 'connect', optionally preceded by a 'set-var', an 'unset-var' or a 'comment', when there is a 'connect' step in the tcp-check ruleset.".to_owned(),
        );
    }
    if flavour != Flavour::Http {
        return None;
    }
    let (name, missing) = match (action, last) {
        (Action::Connect(_), Some(Action::Connect(_) | Action::Request(_))) => ("connect", "expect"),
        (Action::Request(_), Some(Action::Request(_) | Action::Expect(_))) => ("send", "connect"),
        (Action::Expect(_), Some(Action::Connect(_))) => ("expect", "send"),
        _ => return None,
    };
    let number = steps.len() + 1;
    Some(format!("unable to add {keyword} {name} rule at step {number} (missing {missing} rule)."))
}
