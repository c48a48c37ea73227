//! The value that flows through an expression: it borrows from the message where it can, so that matching a header
//! copies nothing.

use super::Value;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The static type of a fetch or converter, as HAProxy's tables name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Known only once evaluated (variables).
    Any,
    Bool,
    Int,
    Addr,
    Str,
    Bin,
    /// A request method: text that compares as a method.
    Method,
}

impl Type {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Bool => "bool",
            Self::Int => "sint",
            Self::Addr => "addr",
            Self::Str => "str",
            Self::Bin => "bin",
            Self::Method => "meth",
        }
    }

    /// May a value of this type ever become `to`? (Whether a given value does is seen when it is converted.)
    #[must_use]
    pub fn casts_to(self, to: Self) -> bool {
        match (self, to) {
            (a, b) if a == b => true,
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Bool, Self::Addr | Self::Method) => false,
            (Self::Int, Self::Method) => false,
            (Self::Addr, Self::Bool | Self::Method) => false,
            (Self::Method, Self::Bool | Self::Int | Self::Addr) => false,
            (Self::Bin, Self::Bool | Self::Int | Self::Addr) => false,
            _ => true,
        }
    }
}

/// One sample. `'a` is the message, the configuration or nothing at all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample<'a> {
    Bool(bool),
    Int(i64),
    Addr(IpAddr),
    Str(Cow<'a, [u8]>),
    Bin(Cow<'a, [u8]>),
}

impl<'a> Sample<'a> {
    pub fn text(bytes: &'a [u8]) -> Self {
        Self::Str(Cow::Borrowed(bytes))
    }

    pub fn owned(bytes: Vec<u8>) -> Self {
        Self::Str(Cow::Owned(bytes))
    }

    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Bool(b) => Self::Bool(b),
            Value::Int(i) => Self::Int(i),
            Value::Addr(a) => Self::Addr(a),
            Value::Str(s) => Self::Str(Cow::Owned(s)),
            Value::Bin(s) => Self::Bin(Cow::Owned(s)),
        }
    }

    pub fn into_value(self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(b),
            Self::Int(i) => Value::Int(i),
            Self::Addr(a) => Value::Addr(a),
            Self::Str(s) => Value::Str(s.into_owned()),
            Self::Bin(s) => Value::Bin(s.into_owned()),
        }
    }

    pub fn detach(self) -> Sample<'static> {
        match self {
            Self::Bool(b) => Sample::Bool(b),
            Self::Int(i) => Sample::Int(i),
            Self::Addr(a) => Sample::Addr(a),
            Self::Str(s) => Sample::Str(Cow::Owned(s.into_owned())),
            Self::Bin(s) => Sample::Bin(Cow::Owned(s.into_owned())),
        }
    }

    /// The same value as another type, or `None` where HAProxy's cast fails.
    pub fn cast(self, to: Type) -> Option<Self> {
        Some(match to {
            Type::Any => self,
            Type::Bool => Self::Bool(self.to_bool()?),
            Type::Int => Self::Int(self.to_int()?),
            Type::Addr => Self::Addr(self.to_addr()?),
            Type::Str | Type::Method => Self::Str(self.into_text()),
            Type::Bin => Self::Bin(self.into_bytes()),
        })
    }

    pub fn to_bool(&self) -> Option<bool> {
        Some(match self {
            Self::Bool(b) => *b,
            other => other.to_int()? != 0,
        })
    }

    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Bool(b) => Some(i64::from(*b)),
            Self::Int(i) => Some(*i),
            Self::Addr(IpAddr::V4(a)) => Some(i64::from(u32::from(*a))),
            Self::Addr(IpAddr::V6(_)) => None,
            // The empty string is no number.
            Self::Str(s) if s.is_empty() => None,
            Self::Str(s) => Some(leading_int(s)),
            Self::Bin(_) => None,
        }
    }

    pub fn to_addr(&self) -> Option<IpAddr> {
        match self {
            Self::Addr(a) => Some(*a),
            Self::Int(i) => Some(IpAddr::V4(Ipv4Addr::from(*i as u32))),
            Self::Str(s) => leading_v4(s).map(IpAddr::V4).or_else(|| parse_addr(s)),
            Self::Bool(_) | Self::Bin(_) => None,
        }
    }

    /// As text: numbers in decimal, addresses in their usual form, binary as it is, up to a NUL.
    pub fn into_text(self) -> Cow<'a, [u8]> {
        match self {
            Self::Str(s) => s,
            Self::Bool(b) => Cow::Borrowed(if b { b"1" } else { b"0" }),
            Self::Int(i) => Cow::Owned(i.to_string().into_bytes()),
            Self::Addr(a) => Cow::Owned(a.to_string().into_bytes()),
            // HAProxy's strings end at a NUL.
            Self::Bin(b) => match memchr::memchr(0, &b) {
                None => b,
                Some(end) => Cow::Owned(b.get(..end).unwrap_or_default().to_vec()),
            },
        }
    }

    /// As raw bytes: an integer is 8 bytes, big endian; an address 4 or 16.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Str(s) | Self::Bin(s) => s,
            Self::Bool(b) => Cow::Owned(i64::from(b).to_be_bytes().to_vec()),
            Self::Int(i) => Cow::Owned(i.to_be_bytes().to_vec()),
            Self::Addr(IpAddr::V4(a)) => Cow::Owned(a.octets().to_vec()),
            Self::Addr(IpAddr::V6(a)) => Cow::Owned(a.octets().to_vec()),
        }
    }

    /// Appends the text form; what a log or a header shows.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        use std::io::Write;
        match self {
            Self::Str(s) => out.extend_from_slice(s),
            Self::Bool(b) => out.push(if *b { b'1' } else { b'0' }),
            Self::Int(i) => write_int(*i, out),
            Self::Addr(a) => {
                let _ = write!(out, "{a}");
            }
            Self::Bin(b) => out.extend_from_slice(b.split(|c| *c == 0).next().unwrap_or_default()),
        }
    }
}

/// Decimal digits without going through `fmt`.
pub(crate) fn write_int(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn hex_upper(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(bytes.len() * 2);
    for b in bytes {
        out.push(DIGITS[usize::from(b >> 4)]);
        out.push(DIGITS[usize::from(b & 15)]);
    }
    out
}

/// The integer at the front of a text: optional sign, then digits; 0 where there is none, saturating where too long.
pub(crate) fn leading_int(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    for d in digits.iter().take_while(|b| b.is_ascii_digit()) {
        let digit = i64::from(d - b'0');
        value = value.saturating_mul(10);
        value = if negative { value.saturating_sub(digit) } else { value.saturating_add(digit) };
    }
    value
}

/// How HAProxy reads the integer of a header, cookie or parameter: 32 bits that wrap, up to the first character above `9`;
/// characters below `0` count with their (negative) distance from it.
pub(crate) fn wrapping_int(text: &[u8]) -> i64 {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let mut value: i32 = 0;
    for digit in digits.iter().map(|b| i32::from(*b) - i32::from(b'0')).take_while(|d| *d <= 9) {
        value = value.wrapping_mul(10);
        value = if negative { value.wrapping_sub(digit) } else { value.wrapping_add(digit) };
    }
    value.into()
}

/// An IPv4 or IPv6 address, without port or brackets.
/// The IPv4 address at the front of a text, as HAProxy's cast reads it: zeros may lead a number, and what follows the fourth one,
/// but for another dot, does not matter (`192.0.2.1:80`).
fn leading_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let end = text.iter().position(|b| !b.is_ascii_digit() && *b != b'.').unwrap_or(text.len());
    let mut octets = text.get(..end)?.split(|b| *b == b'.').map(|digits| match digits {
        [] => None,
        digits => digits.iter().try_fold(0_u8, |n, d| n.checked_mul(10)?.checked_add(d - b'0')),
    });
    let mut next = || octets.next().flatten();
    let address = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    octets.next().is_none().then_some(address)
}

pub(crate) fn parse_addr(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse::<Ipv4Addr>().map(IpAddr::V4).or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::V6)).ok()
}
