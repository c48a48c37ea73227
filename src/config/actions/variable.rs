//! `set-var(scope.name)` and its kin: the part in parentheses.

use super::Arguments;
use crate::config::model::VarScope;
use crate::expr::StoreIf;

/// What stands in the parentheses of `word`.
pub fn parse(arguments: &mut Arguments<'_>, word: &str) -> Option<(VarScope, String, StoreIf)> {
    let index = arguments.at - 1;
    let inside = word.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let Some(inside) = inside else {
        return arguments.fail(index, "invalid or incomplete action. Expects 'set-var(<var-name>)', 'set-var-fmt(<var-name>)' or 'unset-var(<var-name>)'.");
    };
    let (inside, conditions) = match inside.split_once(',') {
        Some((name, conditions)) => {
            (name, StoreIf::parse(conditions.split(',').map(|c| c.trim().as_bytes())))
        }
        None => (inside, Ok(StoreIf::default())),
    };
    let when = match conditions {
        Ok(when) => when,
        Err(message) => return arguments.fail(index, &message),
    };
    let (scope, name) = inside.split_once('.').unwrap_or((inside, ""));
    let scope = match scope {
        "proc" => VarScope::Process,
        "sess" => VarScope::Session,
        "txn" => VarScope::Transaction,
        "req" => VarScope::Request,
        "res" => VarScope::Response,
        "check" => VarScope::Check,
        _ => {
            let message = format!(
                "invalid variable name '{inside}'. A variable name must be start by its scope. The scope can be 'proc', 'sess', 'txn', 'req', 'res' or 'check'"
            );
            return arguments.fail(index, &message);
        }
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) {
        let message = format!("invalid syntax at '{inside}'");
        return arguments.fail(index, &message);
    }
    Some((scope, name.to_owned(), when))
}
