//! From the rules as they were written to those that run: what HAProxy adds where nothing was said.

use super::{Checks, exchanges};
use crate::config::model::CheckKind;
use crate::config::model::check::{Action, Connect, Expect, Flavour, Pattern, Request, RuleSet, Step};
use std::sync::Arc;

/// Fills a rule set that waited for its rules.
#[must_use]
pub fn settle(kind: CheckKind, checks: &Checks, disable_on_404: bool, send_state: bool) -> CheckKind {
    let CheckKind::Rules(rules) = &kind else { return kind };
    match rules.flavour {
        Flavour::Protocol => kind,
        Flavour::Tcp => CheckKind::Rules(Arc::new(connected(Flavour::Tcp, checks.tcp.steps.clone()))),
        Flavour::Http => {
            let (steps, numbers) = http(checks);
            let mut rules = connected(Flavour::Http, steps);
            rules.numbers = numbers;
            if rules.implicit_connect {
                rules.numbers.insert(0, 0);
            }
            rules.disable_on_404 = disable_on_404;
            rules.send_state = send_state;
            CheckKind::Rules(Arc::new(rules))
        }
    }
}

/// Puts a connect before rules that have none.
fn connected(flavour: Flavour, mut steps: Vec<Step>) -> RuleSet {
    let first = steps.iter().find(|s| exchanges(&s.action));
    let implicit = !first.is_some_and(|s| matches!(s.action, Action::Connect(_)));
    if implicit {
        steps.insert(0, Action::Connect(Box::new(Connect { default: true, ..Connect::default() })).into());
    }
    RuleSet { implicit_connect: implicit, ..RuleSet::new(flavour, steps) }
}

/// The first request is also what `option httpchk` says; after the last one, a status of 2xx or 3xx is expected.
fn http(checks: &Checks) -> (Vec<Step>, Vec<usize>) {
    let mut steps = checks.http.steps.clone();
    let mut numbers = numbers(&steps);
    let explicit = steps.iter().find(|s| exchanges(&s.action));
    let explicit = explicit.is_some_and(|s| matches!(s.action, Action::Connect(_)));
    let first_request = steps.iter_mut().find_map(|s| match &mut s.action {
        Action::Request(request) => Some(request),
        _ => None,
    });
    match first_request {
        // After a connect of its own, a request stands for itself.
        Some(_) if explicit => {}
        Some(request) => **request = std::mem::take(&mut **request).or(&checks.request),
        None => {
            let connect = steps.iter().position(|s| exchanges(&s.action)).filter(|_| explicit);
            let place = connect.map_or(0, |at| at + 1);
            steps.insert(place, Action::Request(Box::new(checks.request.clone())).into());
            let number = connect.and_then(|at| numbers.get(at)).map_or(1, |n| n + 1);
            numbers.insert(place, number);
        }
    }
    for step in &mut steps {
        if let Action::Request(request) = &mut step.action {
            **request = std::mem::take(&mut **request).or(&usual());
        }
    }
    let last = steps.iter().rev().find(|s| exchanges(&s.action));
    if last.is_some_and(|s| matches!(s.action, Action::Request(_))) {
        steps.push(Action::Expect(Box::new(Expect::new(Pattern::Status(vec![200..=399])))).into());
        numbers.push(numbers.last().map_or(1, |n| n + 1));
    }
    (steps, numbers)
}

/// HAProxy's numbers of the steps that were written: requests begin anew.
fn numbers(steps: &[Step]) -> Vec<usize> {
    let mut last = 0;
    let number = |step: &Step| {
        last = if matches!(step.action, Action::Request(_)) { 1 } else { last + 1 };
        last
    };
    steps.iter().map(number).collect()
}

/// What is asked where nothing is said.
fn usual() -> Request {
    Request {
        method: Some("OPTIONS".into()),
        uri: Some(crate::config::model::check::Text::Plain("/".into())),
        version: Some("HTTP/1.0".into()),
        ..Request::default()
    }
}
