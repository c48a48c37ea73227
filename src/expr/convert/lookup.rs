//! Maps: files of keys and values, looked up by any match method.

use super::{Converter, Step, row};
use crate::expr::Scope;
use crate::expr::args::{self, Arg, Kind, Spec};
use crate::expr::map;
use crate::expr::pattern::store::Use;
use crate::expr::pattern::{Flags, Method, Output, ViewKey};
use crate::expr::sample::{Sample, Type, parse_addr};
use std::borrow::Cow;

const FILE: Spec = Spec { required: 1, kinds: &[Kind::Text, Kind::Text] };

macro_rules! family {
    ($method:ident, $input:ident, $str:literal, $int:literal, $ip:literal, $key:literal, $how:literal) => {
        [
            row(
                $str,
                FILE,
                Type::$input,
                Type::Str,
                Step::Pure(text),
                concat!("Value of the map's entry that ", $how, "; the second argument is the default."),
            )
            .prepared_in(|a, scope| load(a, scope, Method::$method, Output::Text)),
            row(
                $int,
                FILE,
                Type::$input,
                Type::Int,
                Step::Pure(int),
                concat!("As `", $str, "`, as an integer."),
            )
            .prepared_in(|a, scope| load(a, scope, Method::$method, Output::Int)),
            row(
                $ip,
                FILE,
                Type::$input,
                Type::Addr,
                Step::Pure(addr),
                concat!("As `", $str, "`, as an address."),
            )
            .prepared_in(|a, scope| load(a, scope, Method::$method, Output::Addr)),
            row(
                $key,
                Spec { required: 1, kinds: &[Kind::Text] },
                Type::$input,
                Type::Str,
                Step::Pure(key),
                concat!("The key itself of the map's entry that ", $how, "."),
            )
            .prepared_in(|a, scope| load(a, scope, Method::$method, Output::Text)),
        ]
    };
}

const PLAIN: [Converter; 1] = [row("map", FILE, Type::Str, Type::Str, Step::Pure(text), "As `map_str`.")
    .prepared_in(|a, scope| load(a, scope, Method::Str, Output::Text))];
const STR: [Converter; 4] =
    family!(Str, Str, "map_str", "map_str_int", "map_str_ip", "map_str_key", "equals the text");
const BEG: [Converter; 4] = family!(
    Beg,
    Str,
    "map_beg",
    "map_beg_int",
    "map_beg_ip",
    "map_beg_key",
    "the text begins with (the longest)"
);
const END: [Converter; 4] =
    family!(End, Str, "map_end", "map_end_int", "map_end_ip", "map_end_key", "the text ends with");
const SUB: [Converter; 4] =
    family!(Sub, Str, "map_sub", "map_sub_int", "map_sub_ip", "map_sub_key", "the text contains");
const DIR: [Converter; 4] = family!(
    Dir,
    Str,
    "map_dir",
    "map_dir_int",
    "map_dir_ip",
    "map_dir_key",
    "the text contains between slashes"
);
const DOM: [Converter; 4] = family!(
    Dom,
    Str,
    "map_dom",
    "map_dom_int",
    "map_dom_ip",
    "map_dom_key",
    "the text contains between dots"
);
const REG: [Converter; 4] = family!(
    Reg,
    Str,
    "map_reg",
    "map_reg_int",
    "map_reg_ip",
    "map_reg_key",
    "is a regular expression matching the text"
);
const INT: [Converter; 4] =
    family!(Int, Int, "map_int", "map_int_int", "map_int_ip", "map_int_key", "is the integer or its range");
const IP: [Converter; 4] = family!(
    Ip,
    Addr,
    "map_ip",
    "map_ip_int",
    "map_ip_ip",
    "map_ip_key",
    "is the narrowest network of the address"
);

pub(super) const FAMILIES: [&[Converter]; 11] =
    [&PLAIN, &STR, &BEG, &END, &SUB, &DIR, &DOM, &REG, &INT, &IP, &REGM];

const REGM: [Converter; 1] = [row(
    "map_regm",
    FILE,
    Type::Str,
    Type::Str,
    Step::Pure(substituted),
    "As `map_reg`, with `\\1` in the value replaced by the match's group.",
)
.prepared_in(|a, scope| load(a, scope, Method::Reg, Output::Text))];

/// Reads the file, and refuses values that are not of the type the map gives.
fn load(args: &mut Vec<Arg>, scope: &Scope, method: Method, output: Output) -> Result<(), String> {
    let file = String::from_utf8_lossy(args::text(args, 0).unwrap_or_default()).into_owned();
    let reference = scope.patterns.file(&file, Use::Map)?;
    let key = ViewKey { method, flags: Flags::default(), output };
    let view = reference.view(key).map_err(|(entry, error)| match error.starts_with("unable") {
        true => format!("{error} at line {} of file '{file}'", map::line_of(&file, entry)),
        false => format!("{error} at line {} of file <{file}>", map::line_of(&file, entry)),
    })?;
    if let Some(default) = args::text(args, 1)
        && !std::str::from_utf8(default).map_or(output == Output::Text, |d| output.fits(d))
    {
        return Err(format!("'{}' is not of the map's output type", String::from_utf8_lossy(default)));
    }
    if let Some(first) = args.first_mut() {
        *first = Arg::Map(view);
    }
    Ok(())
}

/// The value for the sample, else the default.
fn value<'a>(args: &'a [Arg], sample: &Sample<'_>) -> Option<Cow<'a, [u8]>> {
    let Some(Arg::Map(map)) = args.first() else { return None };
    map.value(sample).or_else(|| args::text(args, 1).map(Cow::Borrowed))
}

fn text<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    value(args, &sample).map(Sample::Str)
}

fn int<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let value = value(args, &sample)?;
    args::parse_int(std::str::from_utf8(&value).ok()?).map(Sample::Int)
}

fn addr<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    parse_addr(&value(args, &sample)?).map(Sample::Addr)
}

fn key<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let Some(Arg::Map(map)) = args.first() else { return None };
    map.key_of(&sample).map(Sample::Str)
}

fn substituted<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let Some(Arg::Map(map)) = args.first() else { return None };
    let text = sample.clone().into_text();
    let filled = map.with_regex(&sample, |value, regex| {
        let groups = regex.captures_at(&text, 0)?;
        let mut out = Vec::new();
        crate::expr::regex::expand(value, &text, &groups, &mut out);
        Some(Sample::owned(out))
    });
    match filled {
        Some(filled) => filled,
        None => args::text(args, 1).map(Sample::text),
    }
}
