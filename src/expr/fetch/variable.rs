//! Variables.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{Arg, Kind, Spec};
use crate::expr::sample::{Sample, Type};

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    row("var", Spec { required: 1, kinds: &[Kind::Var, Kind::Text] }, Type::Any, Needs::Nothing, Eval::One(var), "The variable `scope.name`, or the default given."),
];

fn var<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let Some(Arg::Var(scope, name)) = call.args.first() else { return None };
    match call.facts.var(*scope, name) {
        Some(value) => Some(Sample::from_value(value)),
        None => match call.args.get(1)? {
            Arg::Text(default) => Some(Sample::text(default)),
            // `var(txn.x,)`: the empty string is a default like any other.
            Arg::Absent => Some(Sample::text(b"")),
            _ => None,
        },
    }
}
