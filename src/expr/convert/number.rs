//! Integers, booleans and addresses.

use super::{Converter, Step, row};
use crate::expr::Facts;
use crate::expr::args::{self, Arg, Kind, NONE, Operand, Spec};
use crate::expr::fetch::Call;
use crate::expr::sample::{Sample, Type};
use std::net::IpAddr;

const OPERAND: Spec = Spec { required: 1, kinds: &[Kind::Text] };

const fn arithmetic(name: &'static str, step: Step, doc: &'static str) -> Converter {
    row(name, OPERAND, Type::Int, Type::Int, step, doc).prepared(prepare)
}

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    arithmetic("add", Step::Reading(|a, s, c| apply(a, &s, c, i64::saturating_add)), "Plus a number or variable; results do not wrap."),
    arithmetic("sub", Step::Reading(|a, s, c| apply(a, &s, c, i64::saturating_sub)), "Minus a number or variable."),
    arithmetic("mul", Step::Reading(|a, s, c| apply(a, &s, c, i64::saturating_mul)), "Times a number or variable."),
    arithmetic("div", Step::Reading(|a, s, c| apply(a, &s, c, divide)), "Divided by a number or variable; by 0 it is 2^63-1."),
    arithmetic("mod", Step::Reading(|a, s, c| apply(a, &s, c, |a, b| a.checked_rem(b).unwrap_or(0))), "Remainder of the division; by 0 it is 0."),
    arithmetic("and", Step::Reading(|a, s, c| apply(a, &s, c, |a, b| a & b)), "Bits of both."),
    arithmetic("or", Step::Reading(|a, s, c| apply(a, &s, c, |a, b| a | b)), "Bits of either."),
    arithmetic("xor", Step::Reading(|a, s, c| apply(a, &s, c, |a, b| a ^ b)), "Bits of one only."),
    row("neg", NONE, Type::Int, Type::Int, Step::Pure(|_, s| Some(Sample::Int(s.to_int()?.saturating_neg()))), "With the other sign."),
    row("cpl", NONE, Type::Int, Type::Int, Step::Pure(|_, s| Some(Sample::Int(!s.to_int()?))), "All bits flipped."),
    row("not", NONE, Type::Int, Type::Bool, Step::Pure(|_, s| Some(Sample::Bool(s.to_int()? == 0))), "Whether it is 0."),
    row("bool", NONE, Type::Int, Type::Bool, Step::Pure(|_, s| Some(Sample::Bool(s.to_int()? != 0))), "Whether it is not 0."),
    row("even", NONE, Type::Int, Type::Bool, Step::Pure(|_, s| Some(Sample::Bool(s.to_int()? & 1 == 0))), "Whether it is even."),
    row("odd", NONE, Type::Int, Type::Bool, Step::Pure(|_, s| Some(Sample::Bool(s.to_int()? & 1 == 1))), "Whether it is odd."),
    row("ipmask", Spec { required: 1, kinds: &[Kind::Mask4, Kind::Mask6] }, Type::Addr, Type::Addr, Step::Pure(ipmask), "The address under an IPv4 and an IPv6 mask; IPv6 needs the second."),
];

/// A text argument as a number or a variable's name.
pub(super) fn operand(arg: &Arg) -> Result<Arg, String> {
    let text = String::from_utf8_lossy(arg.text().unwrap_or_default()).into_owned();
    if let Some(number) = args::parse_int(&text) {
        return Ok(Arg::Operand(Operand::Int(number)));
    }
    let (scope, name) =
        args::variable(&text).map_err(|_| format!("expects an integer or a variable name, got '{text}'"))?;
    Ok(Arg::Operand(Operand::Var(scope, name)))
}

pub(super) fn read_operand(arg: &Arg, facts: &dyn Facts) -> Option<i64> {
    match arg {
        Arg::Operand(Operand::Int(n)) => Some(*n),
        Arg::Operand(Operand::Var(scope, name)) => Sample::from_value(facts.var(*scope, name)?).to_int(),
        _ => None,
    }
}

fn prepare(args: &mut Vec<Arg>) -> Result<(), String> {
    let Some(first) = args.first_mut() else { return Ok(()) };
    *first = operand(first)?;
    Ok(())
}

fn apply(
    args: &[Arg],
    sample: &Sample<'_>,
    call: &Call<'_>,
    op: fn(i64, i64) -> i64,
) -> Option<Sample<'static>> {
    Some(Sample::Int(op(sample.to_int()?, read_operand(args.first()?, call.facts)?)))
}

fn divide(a: i64, b: i64) -> i64 {
    a.checked_div(b).unwrap_or(i64::MAX)
}

fn ipmask<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    // An IPv4 address in IPv6's clothes is masked as one.
    Some(Sample::Addr(match (sample.to_addr()?.to_canonical(), args.first(), args.get(1)) {
        (IpAddr::V4(a), Some(Arg::Addr(IpAddr::V4(m))), _) => IpAddr::V4(a & *m),
        (IpAddr::V6(a), _, Some(Arg::Addr(IpAddr::V6(m)))) => IpAddr::V6(a & *m),
        _ => return None,
    }))
}
