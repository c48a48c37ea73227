//! How values are written in a log format: quoting, escaping, hexadecimal, and what stands for a missing value.

use crate::expr::sample::write_int;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// `%{+Q,+X,+E}`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub quote: bool,
    pub hex: bool,
    pub escape: bool,
}

/// Where the text goes: a log line shows `-` for what is missing; a header value shows nothing and keeps control
/// characters out by percent-encoding them; bytes that are no message of ours go as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Log,
    Header,
    Raw,
}

/// Appends values to a line under one piece's flags.
pub(crate) struct Writer<'a> {
    pub out: &'a mut Vec<u8>,
    pub flags: Flags,
    pub target: Target,
}

/// Bytes written as `#XX` in request lines and captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encode {
    Nothing,
    /// `"`, `#` and what does not print
    Uri,
    /// also `{`, `|`, `}`
    Header,
}

impl Encode {
    fn applies(self, byte: u8) -> bool {
        match self {
            Self::Nothing => false,
            Self::Uri => !(32..127).contains(&byte) || matches!(byte, b'"' | b'#'),
            Self::Header => !(32..127).contains(&byte) || matches!(byte, b'"' | b'#' | b'{' | b'|' | b'}'),
        }
    }
}

impl Writer<'_> {
    /// Text, quoted under `+Q`; nothing at all is `-`.
    pub fn text(&mut self, text: &[u8]) {
        self.encoded(text, Encode::Nothing);
    }

    pub fn encoded(&mut self, text: &[u8], encode: Encode) {
        if self.flags.quote {
            self.out.push(b'"');
            self.raw(text, encode);
            self.out.push(b'"');
        } else if text.is_empty() {
            self.missing();
        } else {
            self.raw(text, encode);
        }
    }

    /// As [`Writer::encoded`], but an empty text stays empty.
    pub fn encoded_or_nothing(&mut self, text: &[u8], encode: Encode) {
        if !text.is_empty() || self.flags.quote {
            self.encoded(text, encode);
        }
    }

    /// What stands for a value that is not there.
    pub fn missing(&mut self) {
        match (self.flags.quote, self.target) {
            (true, _) => self.out.extend_from_slice(b"\"\""),
            (false, Target::Log) => self.out.push(b'-'),
            (false, Target::Header | Target::Raw) => {}
        }
    }

    /// Bytes without quotes around them.
    pub fn raw(&mut self, text: &[u8], encode: Encode) {
        let escape = self.flags.escape;
        let special = |b: &u8| encode.applies(*b) || (escape && matches!(b, b'"' | b'\\' | b']'));
        let mut rest = text;
        while let Some(at) = rest.iter().position(special) {
            let (before, after) = rest.split_at(at);
            self.out.extend_from_slice(before);
            let byte = after.first().copied().unwrap_or_default();
            if encode.applies(byte) {
                push_hex(self.out, b'#', byte);
            } else {
                self.out.extend_from_slice(&[b'\\', byte]);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.out.extend_from_slice(rest);
    }

    pub fn int(&mut self, value: i64) {
        write_int(value, self.out);
    }

    /// A number that `+X` shows in (at least four) hexadecimal digits.
    pub fn int_or_hex(&mut self, value: i64) {
        if self.flags.hex {
            let _ = write!(self.out, "{value:04X}");
        } else {
            self.int(value);
        }
    }

    /// A duration; `early`: it was still running when logged.
    pub fn running(&mut self, value: i64, early: bool) {
        if early {
            self.out.push(b'+');
        }
        self.int(value);
    }

    pub fn address(&mut self, socket: Option<SocketAddr>) {
        match socket.map(|s| s.ip()) {
            None => self.missing(),
            Some(ip) if self.flags.hex => match ip {
                IpAddr::V4(a) => {
                    let _ = write!(self.out, "{:08X}", u32::from(a));
                }
                IpAddr::V6(a) => {
                    let _ = write!(self.out, "{:032X}", u128::from(a));
                }
            },
            Some(IpAddr::V4(a)) => {
                let mut text = [0_u8; 15];
                let len = ipv4_text(a.octets(), &mut text);
                self.text(text.get(..len).unwrap_or_default());
            }
            Some(IpAddr::V6(a)) => self.text(a.to_string().as_bytes()),
        }
    }

    pub fn port(&mut self, socket: Option<SocketAddr>) {
        match socket {
            None => self.missing(),
            Some(s) => self.int_or_hex(s.port().into()),
        }
    }

    /// The value of `%[expr]`. Quotes only stand in logs.
    pub fn expression(&mut self, text: &[u8]) {
        match self.target {
            Target::Log => self.text(text),
            Target::Header => self.header_bytes(text),
            Target::Raw => self.raw(text, Encode::Nothing),
        }
    }

    fn header_bytes(&mut self, text: &[u8]) {
        let control = |b: &u8| (*b < 32 && *b != b'\t') || *b == 127;
        let escape = self.flags.escape;
        let special = |b: &u8| control(b) || (escape && matches!(b, b'"' | b'\\' | b']'));
        let mut rest = text;
        while let Some(at) = rest.iter().position(special) {
            let (before, after) = rest.split_at(at);
            self.out.extend_from_slice(before);
            let byte = after.first().copied().unwrap_or_default();
            if control(&byte) {
                push_hex(self.out, b'%', byte);
            } else {
                self.out.extend_from_slice(&[b'\\', byte]);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.out.extend_from_slice(rest);
    }
}

fn push_hex(out: &mut Vec<u8>, mark: u8, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[mark, DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Dotted decimal without `fmt`; answers the length.
fn ipv4_text(octets: [u8; 4], text: &mut [u8; 15]) -> usize {
    let mut at = 0;
    let mut push = |b: u8| {
        if let Some(slot) = text.get_mut(at) {
            *slot = b;
            at += 1;
        }
    };
    for (i, octet) in octets.into_iter().enumerate() {
        if i > 0 {
            push(b'.');
        }
        if octet >= 100 {
            push(b'0' + octet / 100);
        }
        if octet >= 10 {
            push(b'0' + octet / 10 % 10);
        }
        push(b'0' + octet % 10);
    }
    at
}
