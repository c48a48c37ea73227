//! Dates, random numbers and ids.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::Facts;
use crate::expr::args::{self, Arg, Kind, NONE, Spec, Unit, in_unit};
use crate::expr::sample::{Sample, Type};
use std::time::{Duration, SystemTime};

const UNIT: Spec = Spec { required: 0, kinds: &[Kind::Unit] };

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    row("date", Spec { required: 0, kinds: &[Kind::Int, Kind::Unit] }, Type::Int, Needs::Nothing, Eval::One(date), "The date as a Unix time, plus the offset, in the unit given (seconds)."),
    row("date_us", NONE, Type::Int, Needs::Nothing, Eval::One(|c| Some(Sample::Int(since_epoch(c.facts.date()).subsec_micros().into()))), "Microseconds part of the date."),
    row("accept_date", UNIT, Type::Int, Needs::Client, Eval::One(|c| moment(c, Some(c.facts.conn().accepted))), "Date of the connection's accept."),
    row("request_date", UNIT, Type::Int, Needs::Client, Eval::One(|c| moment(c, c.facts.log().request_date.or(Some(c.facts.conn().accepted)))), "Date of the request's first byte."),
    row("rand", Spec { required: 0, kinds: &[Kind::Int] }, Type::Int, Needs::Nothing, Eval::Changing(rand), "A random number from 0 below the range given (2^32)."),
    row("uuid", Spec { required: 0, kinds: &[Kind::Int] }, Type::Str, Needs::Nothing, Eval::Changing(uuid), "A UUID of version 4 (random) or 7 (time, then random).").prepared(prepare_uuid),
    row("unique-id", NONE, Type::Str, Needs::Internal, Eval::Changing(|_, f| f.unique_id().map(Sample::owned)), "The request's unique id, made on first use."),
];

fn since_epoch(date: SystemTime) -> Duration {
    date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn unit(args: &[Arg], i: usize) -> Unit {
    match args.get(i) {
        Some(Arg::Unit(unit)) => *unit,
        _ => Unit::Seconds,
    }
}

fn date<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let now = in_unit(since_epoch(call.facts.date()), unit(call.args, 1));
    Some(Sample::Int(now.saturating_add(args::int(call.args, 0).unwrap_or(0))))
}

fn moment<'a>(call: &Call<'a>, date: Option<SystemTime>) -> Option<Sample<'a>> {
    Some(Sample::Int(in_unit(since_epoch(date?), unit(call.args, 0))))
}

fn rand(args: &[Arg], facts: &mut dyn Facts) -> Option<Sample<'static>> {
    let drawn = u64::from(facts.random());
    let value = match args::int(args, 0) {
        None | Some(0) => drawn,
        Some(range) => (drawn * (range.unsigned_abs() & 0xffff_ffff)) >> 32,
    };
    i64::try_from(value).ok().map(Sample::Int)
}

fn prepare_uuid(args: &mut Vec<Arg>) -> Result<(), String> {
    match args::int(args, 0) {
        None | Some(0 | 4 | 7) => Ok(()),
        Some(other) => Err(format!("Unsupported UUID version: '{other}'")),
    }
}

fn uuid(args: &[Arg], facts: &mut dyn Facts) -> Option<Sample<'static>> {
    let mut bits = (0..4).fold(0_u128, |bits, _| (bits << 32) | u128::from(facts.random()));
    let version = if args::int(args, 0) == Some(7) { 7 } else { 4 };
    if version == 7 {
        let millis = since_epoch(facts.date()).as_millis() & 0xffff_ffff_ffff;
        bits = (millis << 80) | (bits & ((1 << 80) - 1));
    }
    // RFC 9562: version in the high nibble of octet 6, variant 10 in the high bits of octet 8.
    bits = (bits & !(0xf << 76)) | (version << 76);
    bits = (bits & !(0x3 << 62)) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let text = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-");
    Some(Sample::owned(text.into_bytes()))
}
