//! Messages of FIX, the exchange of financial information: fields `tag=value`, each ended by a byte 1.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::sample::{Sample, Type};

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("fix_is_valid", NONE, Type::Bin, Type::Bool, Step::Pure(|_, s| is_valid(&s.into_bytes()).map(Sample::Bool)), "Whether the bytes begin with a valid FIX message; nothing while it is not complete."),
    row("fix_tag_value", Spec { required: 1, kinds: &[Kind::Text] }, Type::Bin, Type::Bin, Step::Pure(tag_value), "Value of a tag of a FIX message, by its number or as `BeginString`, `BodyLength`, `MsgType`, `SenderCompID`, `TargetCompID` or `CheckSum`.").prepared(prepare),
];

const BEGIN: u32 = 8;
const LENGTH: u32 = 9;
const CHECKSUM: u32 = 10;
const KIND: u32 = 35;
const NAMES: &[(&str, u32)] = &[
    ("BeginString", BEGIN),
    ("BodyLength", LENGTH),
    ("MsgType", KIND),
    ("SenderCompID", 49),
    ("TargetCompID", 56),
    ("CheckSum", CHECKSUM),
];
const VERSIONS: &[&[u8]] = &[b"FIX.4.0", b"FIX.4.1", b"FIX.4.2", b"FIX.4.3", b"FIX.4.4", b"FIXT.1.1"];
/// The shortest message: version, length, type and checksum.
const SHORTEST: usize = 26;

fn prepare(args: &mut Vec<Arg>) -> Result<(), String> {
    let text = String::from_utf8_lossy(args::text(args, 0).unwrap_or_default()).into_owned();
    let by_name = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text)).map(|(_, tag)| *tag);
    let tag = by_name.or_else(|| number(text.as_bytes())).filter(|tag| *tag > 0);
    *args = vec![Arg::Flags(tag.ok_or_else(|| format!("Unknown FIX tag name '{text}'"))?)];
    Ok(())
}

fn number(digits: &[u8]) -> Option<u32> {
    args::parse_number(std::str::from_utf8(digits).ok()?)?.try_into().ok()
}

/// Takes a field off the front: its tag's text and its value. `None`: it is not complete.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let equals = memchr::memchr(b'=', rest)?;
    let (tag, value) = (rest.get(..equals)?, rest.get(equals + 1..)?);
    let end = memchr::memchr(1, value)?;
    *rest = value.get(end + 1..)?;
    Some((tag, value.get(..end)?))
}

/// `None`: more bytes may tell.
fn is_valid(bytes: &[u8]) -> Option<bool> {
    if bytes.len() < SHORTEST {
        return None;
    }
    let mut rest = bytes;
    let (mut length, mut body) = (None, 0);
    for place in 0.. {
        let start = bytes.len() - rest.len();
        let (tag, value) = field(&mut rest)?;
        let tag = number(tag).filter(|tag| *tag > 0);
        let in_place = match place {
            0 => tag == Some(BEGIN) && VERSIONS.contains(&value),
            1 => {
                length = number(value);
                body = bytes.len() - rest.len();
                tag == Some(LENGTH) && length.is_some()
            }
            2 => tag == Some(KIND),
            _ => tag.is_some(),
        };
        if !in_place {
            return Some(false);
        }
        if tag == Some(CHECKSUM) {
            let sum = bytes.iter().take(start).fold(0_u8, |sum, b| sum.wrapping_add(*b));
            let whole = length.is_some_and(|l| l as usize == start - body);
            return Some(whole && value == format!("{sum:03}").as_bytes());
        }
    }
    None
}

fn tag_value<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let Some(Arg::Flags(wanted)) = args.first() else { return None };
    let bytes = sample.into_bytes();
    let mut rest = &*bytes;
    loop {
        let (tag, value) = field(&mut rest)?;
        match number(tag)? {
            tag if tag == *wanted => return Some(Sample::Bin(value.to_vec().into())),
            0 | CHECKSUM => return None,
            _ => {}
        }
    }
}
