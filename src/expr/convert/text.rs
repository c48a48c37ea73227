//! Text in, text out.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::fetch::Call;
use crate::expr::sample::{Sample, Type};
use std::borrow::Cow;

const CUT: Spec = Spec { required: 2, kinds: &[Kind::Int, Kind::Text, Kind::Int] };
const TEXT: Spec = Spec { required: 1, kinds: &[Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("lower", NONE, Type::Str, Type::Str, Step::Pure(|_, s| fold(s, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase)), "ASCII letters in lower case."),
    row("upper", NONE, Type::Str, Type::Str, Step::Pure(|_, s| fold(s, u8::is_ascii_lowercase, <[u8]>::make_ascii_uppercase)), "ASCII letters in upper case."),
    row("length", NONE, Type::Str, Type::Int, Step::Pure(length), "Length in bytes."),
    row("field", CUT, Type::Str, Type::Str, Step::Pure(field), "The field of that number (from 1; negative from the end) between the delimiters; the third argument takes several, 0 all that remain.").prepared(prepare_cut),
    row("word", CUT, Type::Str, Type::Str, Step::Pure(word), "As `field`, but delimiters in a row count once, and those at the ends not at all.").prepared(prepare_cut),
    row("bytes", Spec { required: 1, kinds: &[Kind::Text, Kind::Text] }, Type::Bin, Type::Bin, Step::Reading(bytes), "From an offset, at most the length given; either may be a variable.").prepared(prepare_bytes),
    row("regsub", Spec { required: 2, kinds: &[Kind::Text, Kind::Text, Kind::Text] }, Type::Str, Type::Str, Step::Pure(regsub), "Replaces the first match of the regular expression (flag `g`: all, `i`: ignoring case); `\\1` is a group.").prepared(prepare_regsub),
    row("ltrim", TEXT, Type::Str, Type::Str, Step::Pure(ltrim), "Without these characters at the front."),
    row("rtrim", TEXT, Type::Str, Type::Str, Step::Pure(rtrim), "Without these characters at the end."),
    row("cut_crlf", NONE, Type::Str, Type::Str, Step::Pure(|_, s| keep(s, |t| t.get(..memchr::memchr2(b'\r', b'\n', t)?))), "Up to the first CR or LF."),
    row("reverse", NONE, Type::Str, Type::Str, Step::Pure(|_, s| Some(Sample::owned(s.into_text().iter().rev().copied().collect()))), "Bytes in reverse order."),
    row("reverse_dom", NONE, Type::Str, Type::Str, Step::Pure(reverse_dom), "Labels of a domain name in reverse order."),
    row("iif", Spec { required: 2, kinds: &[Kind::Text, Kind::Text] }, Type::Bool, Type::Str, Step::Pure(iif), "The first text when true, else the second."),
    row("concat", Spec { required: 0, kinds: &[Kind::Text, Kind::Text, Kind::Text] }, Type::Str, Type::Str, Step::Reading(concat), "Followed by a text, a variable and a text.").prepared(prepare_concat),
    row("add_item", Spec { required: 2, kinds: &[Kind::Text, Kind::Text, Kind::Text] }, Type::Str, Type::Str, Step::Reading(add_item), "Followed by a delimiter (unless empty), a variable and a text.").prepared(prepare_concat),
    row("strcmp", TEXT, Type::Str, Type::Int, Step::Reading(strcmp), "Compared with a variable: 0 when equal, negative when before it.").prepared(prepare_variable),
    row("secure_memcmp", TEXT, Type::Bin, Type::Bool, Step::Reading(secure_memcmp), "Whether equal to a variable, in a time that does not tell where they differ.").prepared(prepare_variable),
    row("language", Spec { required: 1, kinds: &[Kind::Text, Kind::Text] }, Type::Str, Type::Str, Step::Pure(language), "The language of the list `a;b` that an Accept-Language value likes best, else the default."),
    row("param", Spec { required: 1, kinds: &[Kind::Text, Kind::Text] }, Type::Str, Type::Str, Step::Pure(param), "Value of a parameter `name=value` between delimiters (`&`)."),
    row("has_ctl", NONE, Type::Bin, Type::Bool, Step::Pure(|_, s| Some(Sample::Bool(s.into_bytes().iter().any(|b| *b < 32)))), "Whether it holds a control character."),
];

fn fold<'a>(sample: Sample<'a>, changes: fn(&u8) -> bool, change: fn(&mut [u8])) -> Option<Sample<'a>> {
    let mut text = sample.into_text();
    // Most text is in the right case already: then nothing is copied.
    if text.iter().any(changes) {
        change(text.to_mut());
    }
    Some(Sample::Str(text))
}

fn length<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    i64::try_from(sample.into_text().len()).ok().map(Sample::Int)
}

/// A part of the text, borrowed where the text is; `part` answering `None` keeps it whole.
fn keep<'a>(sample: Sample<'a>, part: impl FnOnce(&[u8]) -> Option<&[u8]>) -> Option<Sample<'a>> {
    let text = sample.into_text();
    let (start, len) = match part(&text) {
        Some(kept) => (kept.as_ptr() as usize - text.as_ptr() as usize, kept.len()),
        None => (0, text.len()),
    };
    Some(Sample::Str(slice(text, start, len)))
}

fn slice(text: Cow<'_, [u8]>, start: usize, len: usize) -> Cow<'_, [u8]> {
    let end = start.saturating_add(len).min(text.len());
    match text {
        Cow::Borrowed(t) => Cow::Borrowed(t.get(start..end).unwrap_or_default()),
        Cow::Owned(mut t) => {
            t.truncate(end);
            t.drain(..start.min(t.len()));
            Cow::Owned(t)
        }
    }
}

fn prepare_cut(args: &mut Vec<Arg>) -> Result<(), String> {
    match (args::int(args, 0), args::int(args, 2)) {
        (Some(0), _) => Err("Unexpected value 0 for index".to_owned()),
        (_, Some(n)) if n < 0 => Err(format!("Unexpected value {n} for count")),
        _ => Ok(()),
    }
}

fn field<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let text = sample.into_text();
    let delimiters = args::text(args, 1).unwrap_or_default();
    let ranges = cut(&text, |b| delimiters.contains(b));
    let (start, end) = choose(args, &ranges)?;
    Some(Sample::Str(slice(text, start, end - start)))
}

fn word<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let text = sample.into_text();
    let delimiters = args::text(args, 1).unwrap_or_default();
    let mut ranges = cut(&text, |b| delimiters.contains(b));
    ranges.retain(|(start, end)| start < end);
    // Where fewer are left than were asked for, all that remains reaches to the text's very end.
    let (index, count) = (args::int(args, 0).unwrap_or(1), args::int(args, 2).unwrap_or(1).unsigned_abs());
    let left = (ranges.len() as u64 + 1).saturating_sub(index.unsigned_abs());
    let all = count == 0 || count > left;
    let (start, end) = match choose(args, &ranges) {
        Some((start, _)) if all && index > 0 => (start, text.len()),
        Some((_, end)) if all => (0, end),
        Some(range) => range,
        None => (0, 0),
    };
    Some(Sample::Str(slice(text, start, end - start)))
}

/// Where the pieces between delimiters lie.
fn cut(text: &[u8], is_delimiter: impl Fn(&u8) -> bool) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut start = 0;
    for (i, b) in text.iter().enumerate() {
        if is_delimiter(b) {
            out.push((start, i));
            start = i + 1;
        }
    }
    out.push((start, text.len()));
    out
}

/// From the piece chosen, as many as the count says, towards the end or, counting from the end, towards the front.
fn choose(args: &[Arg], ranges: &[(usize, usize)]) -> Option<(usize, usize)> {
    let index = args::int(args, 0)?;
    let count = usize::try_from(args::int(args, 2).unwrap_or(1)).ok()?;
    let steps = usize::try_from(index.unsigned_abs()).ok()?.checked_sub(1)?;
    let far = |at: usize, room: usize| if count == 0 { at + room } else { at + (count - 1).min(room) };
    let (first, last) = if index > 0 {
        let room = ranges.len().checked_sub(steps + 1)?;
        (steps, far(steps, room))
    } else {
        let last = ranges.len().checked_sub(steps + 1)?;
        (last.saturating_sub(if count == 0 { last } else { count - 1 }), last)
    };
    Some((ranges.get(first)?.0, ranges.get(last)?.1))
}

fn prepare_bytes(args: &mut Vec<Arg>) -> Result<(), String> {
    for arg in args.iter_mut().filter(|a| !matches!(a, Arg::Absent)) {
        *arg = super::number::operand(arg)?;
    }
    Ok(())
}

fn bytes<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let bytes = sample.into_bytes();
    let number = |i: usize| super::number::read_operand(args.get(i)?, call.facts);
    let start = usize::try_from(number(0)?).ok()?.min(bytes.len());
    let len = match args.get(1) {
        None | Some(Arg::Absent) => bytes.len(),
        Some(_) => usize::try_from(number(1)?).ok()?,
    };
    Some(Sample::Bin(slice(bytes, start, len)))
}

fn prepare_regsub(args: &mut Vec<Arg>) -> Result<(), String> {
    let flags = args::text(args, 2).unwrap_or_default();
    if let Some(bad) = flags.iter().find(|f| !matches!(f, b'i' | b'g')) {
        return Err(format!("invalid regex flag '{}'. Expected 'i' or 'g'", char::from(*bad)));
    }
    let (ignore_case, global) = (flags.contains(&b'i'), flags.contains(&b'g'));
    let pattern = String::from_utf8_lossy(args::text(args, 0).unwrap_or_default()).into_owned();
    let regex = crate::expr::Regex::new(&pattern, ignore_case)?;
    let replacement = args.get(1).cloned().filter(|a| !matches!(a, Arg::Absent));
    let replacement = replacement.unwrap_or_else(|| Arg::Text(Vec::new()));
    *args = vec![Arg::Regex(regex.into()), replacement, Arg::Int(global.into())];
    Ok(())
}

fn regsub<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let [Arg::Regex(regex), Arg::Text(replacement), global] = args else { return None };
    let text = sample.into_text();
    if !regex.is_match(&text) {
        return Some(Sample::Str(text));
    }
    Some(Sample::owned(regex.substitute(&text, replacement, global.int() == Some(1))))
}

fn ltrim<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let unwanted = args::text(args, 0).unwrap_or_default();
    keep(sample, |t| t.get(t.iter().position(|b| !unwanted.contains(b)).unwrap_or(t.len())..))
}

fn rtrim<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let unwanted = args::text(args, 0).unwrap_or_default();
    keep(sample, |t| t.get(..t.iter().rposition(|b| !unwanted.contains(b)).map_or(0, |p| p + 1)))
}

fn reverse_dom<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let text = sample.into_text();
    let labels: Vec<&[u8]> = text.split(|b| *b == b'.').rev().collect();
    Some(Sample::owned(labels.join(&b'.')))
}

fn iif<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let choice = if sample.to_bool()? { args.first() } else { args.get(1) };
    Some(Sample::text(choice.and_then(Arg::text).unwrap_or_default()))
}

/// Makes the second argument a variable.
fn prepare_concat(args: &mut Vec<Arg>) -> Result<(), String> {
    if let Some(Arg::Text(name)) = args.get(1).filter(|a| a.text() != Some(b"")) {
        let (scope, name) = args::variable(&String::from_utf8_lossy(name))?;
        if let Some(arg) = args.get_mut(1) {
            *arg = Arg::Var(scope, name);
        }
    }
    Ok(())
}

fn prepare_variable(args: &mut Vec<Arg>) -> Result<(), String> {
    let (scope, name) = args::variable(&String::from_utf8_lossy(args::text(args, 0).unwrap_or_default()))?;
    *args = vec![Arg::Var(scope, name)];
    Ok(())
}

fn variable<'a>(arg: Option<&Arg>, call: &Call<'_>) -> Option<Sample<'a>> {
    match arg {
        Some(Arg::Var(scope, name)) => call.facts.var(*scope, name).map(Sample::from_value),
        _ => None,
    }
}

fn concat<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let mut text = sample.into_text().into_owned();
    text.extend_from_slice(args::text(args, 0).unwrap_or_default());
    if let Some(value) = variable(args.get(1), call) {
        value.write_text(&mut text);
    }
    text.extend_from_slice(args::text(args, 2).unwrap_or_default());
    Some(Sample::owned(text))
}

fn add_item<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let mut text = sample.into_text().into_owned();
    let value = variable(args.get(1), call).map(Sample::into_text);
    let suffix = args::text(args, 2).unwrap_or_default();
    if value.is_none() && suffix.is_empty() {
        return Some(Sample::owned(text));
    }
    if !text.is_empty() {
        text.extend_from_slice(args::text(args, 0).unwrap_or_default());
    }
    text.extend_from_slice(&value.unwrap_or_default());
    text.extend_from_slice(suffix);
    Some(Sample::owned(text))
}

fn strcmp<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let other = variable(args.first(), call)?.into_text();
    let text = sample.into_text();
    let differing =
        text.iter().zip(other.iter()).map(|(a, b)| i64::from(*a) - i64::from(*b)).find(|d| *d != 0);
    let by_length = || text.len().cmp(&other.len()) as i64;
    Some(Sample::Int(differing.unwrap_or_else(by_length)))
}

fn secure_memcmp<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let other = variable(args.first(), call)?.into_bytes();
    Some(Sample::Bool(crate::expr::credentials::equal(&sample.into_bytes(), &other)))
}

/// RFC 9110 12.5.4, as far as HAProxy goes: the first of the best q-factors wins; a variant falls back to its language.
fn language<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let known = args::text(args, 0).unwrap_or_default();
    let text = sample.into_text();
    let mut best: Option<(u32, &'a [u8])> = None;
    for item in text.split(|b| *b == b',') {
        let mut parts = item.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|p| p.strip_prefix(b"q=")).map_or(1000, thousandths);
        let base = name.split(|b| *b == b'-').next().unwrap_or_default();
        let listed = |wanted: &[u8]| known.split(|b| *b == b';').find(|k| *k == wanted);
        if let Some(found) = listed(name).or_else(|| listed(base))
            && quality > best.map_or(0, |(q, _)| q)
        {
            best = Some((quality, found));
        }
    }
    best.map(|(_, name)| name).or_else(|| args::text(args, 1)).map(Sample::text)
}

/// `0.8` as 800.
fn thousandths(text: &[u8]) -> u32 {
    let digit = |i: usize| text.get(i).filter(|b| b.is_ascii_digit()).map_or(0, |b| u32::from(b - b'0'));
    (digit(0) * 1000 + digit(2) * 100 + digit(3) * 10 + digit(4)).min(1000)
}

fn param<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let name = args::text(args, 0)?;
    let delimiters = args::text(args, 1).unwrap_or(b"&");
    let text = sample.into_text();
    let (start, end) = cut(&text, |b| delimiters.contains(b)).into_iter().find_map(|(start, end)| {
        let value = text.get(start..end)?.strip_prefix(name)?;
        match value.split_first() {
            None => Some((end, end)),
            Some((b'=', value)) => Some((end - value.len(), end)),
            Some(_) => None,
        }
    })?;
    Some(Sample::Str(slice(text, start, end - start)))
}
