//! Dates as text.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, Spec, Unit};
use crate::expr::log::date::{Zone, strftime};
use crate::expr::sample::{Sample, Type};

const FORMAT: Spec = Spec { required: 1, kinds: &[Kind::Text, Kind::Int] };

const fn format(name: &'static str, step: Step, doc: &'static str) -> Converter {
    row(name, FORMAT, Type::Int, Type::Str, step, doc)
}

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("http_date", Spec { required: 0, kinds: &[Kind::Int, Kind::Unit] }, Type::Int, Type::Str, Step::Pure(http_date), "A Unix time, plus an offset, as HTTP headers write dates; the unit of both may be `s`, `ms` or `us`."),
    format("ltime", Step::Pure(|a, s| render(a, &s, Zone::Local, 1)), "A Unix time as local time, by strftime(3); plus an offset."),
    format("utime", Step::Pure(|a, s| render(a, &s, Zone::Utc, 1)), "A Unix time as UTC, by strftime(3); plus an offset."),
    format("ms_ltime", Step::Pure(|a, s| render(a, &s, Zone::Local, 1_000)), "As `ltime`, from milliseconds; `%N` is the fraction."),
    format("ms_utime", Step::Pure(|a, s| render(a, &s, Zone::Utc, 1_000)), "As `utime`, from milliseconds; `%N` is the fraction."),
    format("us_ltime", Step::Pure(|a, s| render(a, &s, Zone::Local, 1_000_000)), "As `ltime`, from microseconds; `%N` is the fraction."),
    format("us_utime", Step::Pure(|a, s| render(a, &s, Zone::Utc, 1_000_000)), "As `utime`, from microseconds; `%N` is the fraction."),
];

/// The part of a second in as many digits as the unit has.
fn fraction(rest: i64, per_second: i64) -> String {
    match per_second {
        1_000 => format!("{rest:03}"),
        1_000_000 => format!("{rest:06}"),
        _ => String::new(),
    }
}

fn http_date<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let per_second = match args.get(1) {
        Some(Arg::Unit(Unit::Millis)) => 1_000,
        Some(Arg::Unit(Unit::Micros)) => 1_000_000,
        _ => 1,
    };
    let value = sample.to_int()?.saturating_add(args::int(args, 0).unwrap_or(0));
    let (second, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let mut text = strftime("%a, %d %b %Y %H:%M:%S", second, Zone::Utc)?;
    if per_second > 1 {
        text.push('.');
        text.push_str(&fraction(rest, per_second));
    }
    text.push_str(" GMT");
    Some(Sample::owned(text.into_bytes()))
}

fn render(args: &[Arg], sample: &Sample<'_>, zone: Zone, per_second: i64) -> Option<Sample<'static>> {
    let value = sample.to_int()?.saturating_add(args::int(args, 1).unwrap_or(0));
    let (second, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let mut format = String::from_utf8_lossy(args::text(args, 0)?).into_owned();
    if per_second > 1 {
        format = format.replace("%N", &fraction(rest, per_second));
    }
    // C calls UTC "GMT" here.
    if zone == Zone::Utc {
        format = format.replace("%Z", "GMT");
    }
    Some(Sample::owned(strftime(&format, second, zone)?.into_bytes()))
}
