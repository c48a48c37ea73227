//! Text in, text out.

use super::{Converter, Step, row};
use crate::expr::args::{Arg, NONE};
use crate::expr::sample::{Sample, Type};

pub(super) const ROWS: &[Converter] = &[
    row(
        "lower",
        NONE,
        Type::Str,
        Type::Str,
        Step::Pure(|_, s| fold(s, u8::is_ascii_uppercase, <[u8]>::make_ascii_lowercase)),
        "ASCII letters in lower case.",
    ),
    row(
        "upper",
        NONE,
        Type::Str,
        Type::Str,
        Step::Pure(|_, s| fold(s, u8::is_ascii_lowercase, <[u8]>::make_ascii_uppercase)),
        "ASCII letters in upper case.",
    ),
    row("length", NONE, Type::Str, Type::Int, Step::Pure(length), "Length in bytes.").also(&["len"]),
];

fn fold<'a>(sample: Sample<'a>, changes: fn(&u8) -> bool, change: fn(&mut [u8])) -> Option<Sample<'a>> {
    let mut text = sample.into_bytes();
    // Most text is in the right case already: then nothing is copied.
    if text.iter().any(changes) {
        change(text.to_mut());
    }
    Some(Sample::Str(text))
}

fn length<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    i64::try_from(sample.into_bytes().len()).ok().map(Sample::Int)
}
