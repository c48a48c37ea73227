//! The first packets of MQTT: CONNECT from the client, CONNACK from the server, in versions 3.1, 3.1.1 and 5.0.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::sample::{Sample, Type};

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("mqtt_is_valid", NONE, Type::Bin, Type::Bool, Step::Pure(is_valid), "Whether the bytes begin with a valid CONNECT or CONNACK packet of MQTT; nothing while it is not complete."),
    row("mqtt_field_value", Spec { required: 2, kinds: &[Kind::Text, Kind::Text] }, Type::Bin, Type::Str, Step::Pure(field_value), "A field of an MQTT packet of the type given (`connect`, `connack` or its number): `flags`, `protocol_name`, `protocol_version`, `client_identifier`, `will_topic`, `will_payload`, `username`, `password`, `keepalive`, `reason_code`, or a property of version 5.0 by its number.").prepared(prepare),
];

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;

/// Fields with a name; those with a number are properties.
const FLAGS: &str = "flags";
const PROTOCOL_NAME: &str = "protocol_name";
const PROTOCOL_VERSION: &str = "protocol_version";
const CLIENT: &str = "client_identifier";
const WILL_TOPIC: &str = "will_topic";
const WILL_PAYLOAD: &str = "will_payload";
const USER: &str = "username";
const PASSWORD: &str = "password";
const KEEPALIVE: &str = "keepalive";
const REASON: &str = "reason_code";

/// A packet type with what may be asked of it: names, then lists of properties.
type Packet = (&'static str, &'static [&'static str], &'static [&'static [u8]]);

/// By number, from 1. Only the first two are ever read: nothing is found in the others.
const PACKETS: &[Packet] = &[
    (
        "connect",
        &[
            FLAGS,
            PROTOCOL_NAME,
            PROTOCOL_VERSION,
            CLIENT,
            WILL_TOPIC,
            WILL_PAYLOAD,
            USER,
            PASSWORD,
            KEEPALIVE,
        ],
        &[OF_CONNECT, OF_WILL],
    ),
    ("connack", &[FLAGS, PROTOCOL_VERSION, REASON], &[OF_CONNACK]),
    ("publish", &[], &[&[1, 2, 3, 8, 9, 11, 35, 38]]),
    ("puback", &[REASON], &[&[31, 38]]),
    ("pubrec", &[REASON], &[&[31, 38]]),
    ("pubrel", &[REASON], &[&[31, 38]]),
    ("pubcomp", &[REASON], &[&[31, 38]]),
    ("subscribe", &[], &[&[11, 38]]),
    ("suback", &[], &[&[31, 38]]),
    ("unsubscribe", &[], &[&[38]]),
    ("unsuback", &[], &[&[31, 38]]),
    ("pingreq", &[], &[]),
    ("pingresp", &[], &[]),
    ("disconnect", &[REASON], &[&[17, 28, 31, 38]]),
    ("auth", &[], &[&[21, 22, 31, 38]]),
];

const OF_CONNECT: &[u8] = &[17, 33, 39, 34, 25, 23, 38, AUTH_METHOD, AUTH_DATA];
const OF_WILL: &[u8] = &[24, 1, 2, 3, 8, 9, 38];
const OF_CONNACK: &[u8] =
    &[17, 33, 36, 37, 39, 18, 34, 31, 38, 40, 41, 42, 19, 26, 28, AUTH_METHOD, AUTH_DATA];

const AUTH_METHOD: u8 = 21;
const AUTH_DATA: u8 = 22;

/// How a property's value is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// 0 or 1
    Flag,
    Two,
    Four,
    /// Two or four bytes that must not say 0.
    SomeTwo,
    SomeFour,
    Text,
    /// A text that must not be empty.
    SomeText,
    /// A name and a value, any number of times.
    Pair,
}

fn form(property: u8) -> Option<Form> {
    Some(match property {
        1 | 23 | 25 | 36 | 37 | 40..=42 => Form::Flag,
        19 | 34 => Form::Two,
        2 | 17 | 24 => Form::Four,
        33 => Form::SomeTwo,
        39 => Form::SomeFour,
        18 => Form::SomeText,
        3 | 8 | 9 | AUTH_METHOD | AUTH_DATA | 26 | 28 | 31 => Form::Text,
        38 => Form::Pair,
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Name(&'static str),
    Property(u8),
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u32),
    Text(&'a [u8]),
}

/// What the bytes begin with.
enum Seen<'a> {
    /// Perhaps a packet, once there are more.
    Incomplete,
    Invalid,
    Packet(u8, Vec<(Key, Field<'a>)>),
}

fn prepare(args: &mut Vec<Arg>) -> Result<(), String> {
    let text = |i: usize| String::from_utf8_lossy(args::text(args, i).unwrap_or_default()).into_owned();
    let (kind, field) = (text(0), text(1));
    let by_number = args::parse_number(&kind);
    let packet = (1_u32..)
        .zip(PACKETS)
        .find(|(n, packet)| by_number == Some((*n).into()) || packet.0.eq_ignore_ascii_case(&kind));
    let (number, packet) = packet.ok_or_else(|| format!("Unknown MQTT type '{kind}'"))?;
    let place = places(packet).position(|key| match key {
        Key::Name(name) => name.eq_ignore_ascii_case(&field),
        Key::Property(id) => id.to_string() == field,
    });
    let place = place.and_then(|p| u32::try_from(p).ok());
    let place = place.ok_or_else(|| format!("Unknown MQTT field name '{field}' for packet type '{kind}'"))?;
    *args = vec![Arg::Flags(number), Arg::Flags(place)];
    Ok(())
}

/// All that may be asked of a packet.
fn places(packet: &'static Packet) -> impl Iterator<Item = Key> {
    let names = packet.1.iter().map(|name| Key::Name(name));
    names.chain(packet.2.iter().flat_map(|list| list.iter().map(|id| Key::Property(*id))))
}

fn is_valid<'a>(_: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    match read(&sample.into_bytes()) {
        Seen::Incomplete => None,
        Seen::Invalid => Some(Sample::Bool(false)),
        Seen::Packet(..) => Some(Sample::Bool(true)),
    }
}

fn field_value<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    let [Arg::Flags(kind), Arg::Flags(place)] = args else { return None };
    let packet = PACKETS.get(usize::try_from(*kind).ok()?.checked_sub(1)?)?;
    let wanted = places(packet).nth(usize::try_from(*place).ok()?)?;
    let bytes = sample.into_bytes();
    let Seen::Packet(found, fields) = read(&bytes) else { return None };
    let (_, field) = fields.iter().find(|(key, _)| u32::from(found) == *kind && *key == wanted)?;
    Some(Sample::owned(match field {
        Field::Number(n) => n.to_string().into_bytes(),
        Field::Text(text) => text.split(|b| *b == 0).next().unwrap_or_default().to_vec(),
    }))
}

fn read(bytes: &[u8]) -> Seen<'_> {
    let mut rest = Reader(bytes);
    let Some((first, 1..)) = rest.byte().map(|first| (first, rest.0.len())) else { return Seen::Incomplete };
    // The lower half is reserved in both.
    let kind = match (first >> 4, first & 15) {
        (kind @ (CONNECT | CONNACK), 0) => kind,
        _ => return Seen::Invalid,
    };
    let length = match rest.varint() {
        Some(length) => length,
        None if rest.0.is_empty() && bytes.len() <= 4 => return Seen::Incomplete,
        None => return Seen::Invalid,
    };
    let Some(body) = rest.take(length) else { return Seen::Incomplete };
    let body = Reader(body);
    match if kind == CONNECT { connect(body) } else { connack(body) } {
        Some(fields) => Seen::Packet(kind, fields),
        None => Seen::Invalid,
    }
}

fn connect(mut rest: Reader<'_>) -> Option<Vec<(Key, Field<'_>)>> {
    let name = rest.counted().filter(|name| [&b"MQTT"[..], b"MQIsdp"].contains(name))?;
    let version = rest.byte().filter(|version| matches!(version, 3..=5))?;
    let flags = rest.byte().filter(|flags| flags & 1 == 0)?;
    let mut fields = vec![
        (Key::Name(PROTOCOL_NAME), Field::Text(name)),
        (Key::Name(PROTOCOL_VERSION), Field::Number(version.into())),
        (Key::Name(FLAGS), Field::Number(flags.into())),
        (Key::Name(KEEPALIVE), Field::Number(rest.number(2)?)),
    ];
    if version == 5 {
        properties(&mut rest, OF_CONNECT, &mut fields)?;
    }
    fields.push((Key::Name(CLIENT), Field::Text(rest.counted()?)));
    if flags & 0x04 != 0 && version == 5 {
        properties(&mut rest, OF_WILL, &mut fields)?;
    }
    for (bit, name) in [(0x04, WILL_TOPIC), (0x04, WILL_PAYLOAD), (0x80, USER), (0x40, PASSWORD)] {
        if flags & bit != 0 {
            fields.push((Key::Name(name), Field::Text(rest.counted()?)));
        }
    }
    rest.0.is_empty().then_some(fields)
}

/// Version 5.0 has properties behind the two bytes, the others have not.
fn connack(mut rest: Reader<'_>) -> Option<Vec<(Key, Field<'_>)>> {
    let flags = rest.byte().filter(|flags| flags & !1 == 0)?;
    let reason = rest.byte()?;
    let version = if rest.0.is_empty() { 4 } else { 5 };
    let mut fields = vec![
        (Key::Name(FLAGS), Field::Number(flags.into())),
        (Key::Name(REASON), Field::Number(reason.into())),
        (Key::Name(PROTOCOL_VERSION), Field::Number(version)),
    ];
    if version == 5 {
        properties(&mut rest, OF_CONNACK, &mut fields)?;
    }
    rest.0.is_empty().then_some(fields)
}

/// Reads a list of properties. Numbers that are not in it count as 0.
fn properties<'a>(rest: &mut Reader<'a>, allowed: &[u8], fields: &mut Vec<(Key, Field<'a>)>) -> Option<()> {
    let length = rest.varint()?;
    let mut list = Reader(rest.take(length)?);
    let mut found: Vec<u8> = Vec::new();
    while let Some(id) = list.byte() {
        let form =
            form(id).filter(|form| allowed.contains(&id) && (*form == Form::Pair || !found.contains(&id)))?;
        found.push(id);
        let value = match form {
            Form::Flag => Field::Number(list.number(1).filter(|n| *n <= 1)?),
            Form::Two => Field::Number(list.number(2)?),
            Form::Four => Field::Number(list.number(4)?),
            Form::SomeTwo => Field::Number(list.number(2).filter(|n| *n > 0)?),
            Form::SomeFour => Field::Number(list.number(4).filter(|n| *n > 0)?),
            Form::Text => Field::Text(list.counted()?),
            Form::SomeText => Field::Text(list.counted().filter(|text| !text.is_empty())?),
            Form::Pair => {
                list.counted()?;
                list.counted()?;
                continue;
            }
        };
        fields.push((Key::Property(id), value));
    }
    for id in allowed.iter().filter(|id| !found.contains(id)) {
        if form(*id).is_some_and(|form| !matches!(form, Form::Text | Form::SomeText | Form::Pair)) {
            fields.push((Key::Property(*id), Field::Number(0)));
        }
    }
    // A server may leave the method out, a client not.
    let named = found.contains(&AUTH_METHOD) || allowed == OF_CONNACK;
    (named || !found.contains(&AUTH_DATA)).then_some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// Big endian.
    fn number(&mut self, bytes: usize) -> Option<u32> {
        Some(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
    }

    /// A text or bytes behind two bytes with their length.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = self.number(2)?;
        self.take(length as usize)
    }

    /// Seven bits a byte, the lowest first; at most four bytes.
    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}
