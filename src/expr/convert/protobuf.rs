//! Fields of protocol buffers messages, bare or framed as gRPC frames them.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, Spec};
use crate::expr::sample::{Sample, Type};

const FIELD: Spec = Spec { required: 1, kinds: &[Kind::Fields, Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("protobuf", FIELD, Type::Bin, Type::Bin, Step::Pure(|a, s| first(a, &s.into_bytes())), "Field of a protocol buffers message, by its number or by a path of numbers (`48.59.1`): its bytes, or an integer where its type is given.").prepared(prepare),
    row("ungrpc", FIELD, Type::Bin, Type::Bin, Step::Pure(|a, s| of_grpc(a, &s.into_bytes())), "As `protobuf`, of the first gRPC message of a body that has the field.").prepared(prepare),
];

/// How a field is written, as its key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Varint,
    Eight,
    Counted,
    Four,
}

/// A type by its name in a `.proto` file, how it is written, and its value as an integer.
type Scalar = (&'static str, Wire, fn(&[u8]) -> Option<i64>);

const SCALARS: &[Scalar] = &[
    ("int32", Wire::Varint, plain),
    ("uint32", Wire::Varint, plain),
    ("sint32", Wire::Varint, zigzag),
    ("int64", Wire::Varint, plain),
    ("uint64", Wire::Varint, plain),
    ("sint64", Wire::Varint, zigzag),
    ("bool", Wire::Varint, plain),
    ("enum", Wire::Varint, plain),
    ("fixed64", Wire::Eight, |b| Some(i64::from_le_bytes(b.try_into().ok()?))),
    ("sfixed64", Wire::Eight, |b| Some(i64::from_le_bytes(b.try_into().ok()?))),
    ("double", Wire::Eight, |b| Some(f64::from_le_bytes(b.try_into().ok()?) as i64)),
    ("fixed32", Wire::Four, |b| Some(u32::from_le_bytes(b.try_into().ok()?).into())),
    ("sfixed32", Wire::Four, |b| Some(i32::from_le_bytes(b.try_into().ok()?).into())),
    ("float", Wire::Four, |b| Some(f32::from_le_bytes(b.try_into().ok()?) as i64)),
];

fn plain(bytes: &[u8]) -> Option<i64> {
    varint(&mut &*bytes).map(u64::cast_signed)
}

fn zigzag(bytes: &[u8]) -> Option<i64> {
    varint(&mut &*bytes).map(|n| (n >> 1).cast_signed() ^ -((n & 1).cast_signed()))
}

/// The type's name becomes its place in the table.
fn prepare(args: &mut Vec<Arg>) -> Result<(), String> {
    let Some(name) = args::text(args, 1) else { return Ok(()) };
    let place = (0_u32..).zip(SCALARS).find(|(_, scalar)| scalar.0.as_bytes() == name).map(|(i, _)| i);
    let place =
        place.ok_or_else(|| format!("Wrong protocol buffer type '{}'", String::from_utf8_lossy(name)))?;
    args.truncate(1);
    args.push(Arg::Flags(place));
    Ok(())
}

fn first(args: &[Arg], message: &[u8]) -> Option<Sample<'static>> {
    let Some(Arg::Fields(path)) = args.first() else { return None };
    let (wire, bytes) = find(path, message).ok().flatten()?;
    match args.get(1) {
        Some(Arg::Flags(place)) => {
            let (_, written, read) = SCALARS.get(usize::try_from(*place).ok()?)?;
            (*written == wire).then(|| read(bytes)).flatten().map(Sample::Int)
        }
        _ => Some(Sample::Bin(bytes.to_vec().into())),
    }
}

/// Each message follows a byte that says whether it is compressed and four with its length.
fn of_grpc(args: &[Arg], body: &[u8]) -> Option<Sample<'static>> {
    let mut rest = body;
    loop {
        let (_, after) = rest.split_first()?;
        let (length, after) = after.split_first_chunk()?;
        let (message, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if let found @ Some(_) = first(args, message) {
            return found;
        }
        rest = after;
    }
}

/// The bytes are no message.
struct Malformed;

/// The first field at the path. Where a message in the path lacks the rest of it, the next of the same number is tried.
fn find<'a>(path: &[u64], message: &'a [u8]) -> Result<Option<(Wire, &'a [u8])>, Malformed> {
    let Some((number, inner)) = path.split_first() else { return Ok(None) };
    let mut rest = message;
    while !rest.is_empty() {
        let (found, wire, bytes) = field(&mut rest).ok_or(Malformed)?;
        if found != *number {
            continue;
        }
        if inner.is_empty() {
            return Ok(Some((wire, bytes)));
        }
        if wire != Wire::Counted {
            return Ok(None);
        }
        if let field @ Some(_) = find(inner, bytes)? {
            return Ok(field);
        }
    }
    Ok(None)
}

/// Takes one field off the front: its number, how it is written, its bytes. Groups are not read.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire, &'a [u8])> {
    let key = varint(rest)?;
    let before = *rest;
    let (wire, length) = match key & 7 {
        0 => {
            varint(rest)?;
            let length = before.len() - rest.len();
            *rest = before;
            (Wire::Varint, length)
        }
        1 => (Wire::Eight, 8),
        2 => (Wire::Counted, usize::try_from(varint(rest)?).ok()?),
        5 => (Wire::Four, 4),
        _ => return None,
    };
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((key >> 3, wire, bytes))
}

/// Seven bits a byte, the lowest first; at most ten bytes.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
