//! The first frame of a stream processing agent (SPOE.txt, section 3.2: AGENT-HELLO and AGENT-DISCONNECT).

use super::expect::Look;
use super::machine::told;
use crate::health::Status;

const AGENT_HELLO: u8 = 101;
const AGENT_DISCONNECT: u8 = 102;
const FIN: u32 = 1;
const SMALLEST_FRAME: u64 = 256;
const LARGEST_FRAME: u64 = 16384 - 4;

/// What an agent gives as the reason of a disconnection, by number.
const REASONS: &[&str] = &[
    "normal",
    "I/O error",
    "a timeout occurred",
    "frame is too big",
    "invalid frame received",
    "version value not found",
    "max-frame-size value not found",
    "capabilities value not found",
    "unsupported version",
    "max-frame-size too big or too small",
    "fragmentation not supported",
    "invalid interlaced frames",
    "frame-id not found (it does not match any referenced frame)",
    "resource allocation error",
];
const UNKNOWN: &str = "an unknown error occurred";
const INVALID: usize = 4;

pub fn hello(bytes: &[u8], last: bool) -> Look {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return refused_or_wait(last) };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let frame = match rest.get(..length) {
        Some(frame) => frame,
        None if last => rest,
        None => return Look::Wait,
    };
    match read(frame) {
        Ok(()) => Look::Pass(Some("SPOA server is ok".to_owned())),
        Err(reason) => refused(reason),
    }
}

fn refused_or_wait(last: bool) -> Look {
    if last { refused(INVALID) } else { Look::Wait }
}

fn refused(reason: usize) -> Look {
    let text = REASONS.get(reason).copied().unwrap_or(UNKNOWN);
    Look::Fail(told(Status::L7Response, text))
}

/// # Errors
/// The number of the reason.
fn read(frame: &[u8]) -> Result<(), usize> {
    let Some((kind, rest)) = frame.split_first() else { return Err(INVALID) };
    if !matches!(*kind, AGENT_HELLO | AGENT_DISCONNECT) {
        return Err(INVALID);
    }
    // A frame cut short lacks the flag as well.
    let Some((flags, rest)) = rest.split_first_chunk::<4>() else { return Err(10) };
    if u32::from_be_bytes(*flags) & FIN == 0 {
        return Err(10);
    }
    // Stream and frame: both 0.
    let Some(items) = rest.strip_prefix(&[0, 0]) else { return Err(INVALID) };
    if *kind == AGENT_DISCONNECT { disconnected(items) } else { agreed(items) }
}

fn disconnected(items: &[u8]) -> Result<(), usize> {
    let mut reason = INVALID;
    for item in Items(items) {
        if let ("status-code", Data::Number(code)) = item? {
            reason = usize::try_from(code).unwrap_or(usize::MAX);
        }
    }
    Err(reason)
}

fn agreed(items: &[u8]) -> Result<(), usize> {
    let (mut version, mut size, mut capabilities) = (None, None, false);
    for item in Items(items) {
        match item? {
            ("version", Data::Text(text)) => version = Some(text.trim_ascii().to_vec()),
            ("max-frame-size", Data::Number(number)) => size = Some(number),
            ("capabilities", Data::Text(_)) => capabilities = true,
            _ => {}
        }
    }
    match version.as_deref() {
        None => return Err(5),
        Some(b"1.0" | b"2.0") => {}
        Some(_) => return Err(8),
    }
    match size {
        None => return Err(6),
        Some(size) if !(SMALLEST_FRAME..=LARGEST_FRAME).contains(&size) => return Err(9),
        Some(_) => {}
    }
    if capabilities { Ok(()) } else { Err(7) }
}

enum Data<'a> {
    Text(&'a [u8]),
    Number(u64),
    Other,
}

/// Names and typed values, one after another.
struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = Result<(&'a str, Data<'a>), usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = self.item();
        if item.is_none() {
            self.0 = &[];
        }
        Some(item.ok_or(INVALID))
    }
}

impl<'a> Items<'a> {
    fn item(&mut self) -> Option<(&'a str, Data<'a>)> {
        let name = self.text()?;
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        let data = match kind & 0x0f {
            0 | 1 => Data::Other,
            2..=5 => Data::Number(self.number()?),
            6 => self.skip(4)?,
            7 => self.skip(16)?,
            8 | 9 => Data::Text(self.text()?),
            _ => return None,
        };
        Some((std::str::from_utf8(name).unwrap_or_default(), data))
    }

    fn skip(&mut self, count: usize) -> Option<Data<'a>> {
        self.0 = self.0.get(count..)?;
        Some(Data::Other)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    /// SPOE.txt 3.1: up to 239 in one byte, then 4 bits and groups of 7.
    fn number(&mut self) -> Option<u64> {
        let (first, mut rest) = self.0.split_first()?;
        let mut value = u64::from(*first);
        if *first >= 240 {
            let mut shift = 4;
            loop {
                let (byte, after) = rest.split_first()?;
                rest = after;
                value = value.checked_add(u64::from(*byte).checked_shl(shift)?)?;
                shift += 7;
                if *byte < 128 {
                    break;
                }
            }
        }
        self.0 = rest;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: u8, flags: u8, items: &[u8], expected: &str) {
        let frame = [&[kind, 0, 0, 0, flags, 0, 0], items].concat();
        let bytes = [u32::try_from(frame.len()).unwrap().to_be_bytes().as_slice(), &frame].concat();
        let text = match hello(&bytes, false) {
            Look::Pass(said) => said.unwrap_or_default(),
            Look::Fail(finding) => finding.info.unwrap_or_default(),
            Look::Wait => "...".to_owned(),
        };
        assert_eq!(text, expected);
    }

    const REST: &[u8] = b"\x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\x00";

    /// The words are those Debian's haproxy wrote about the same frames.
    #[test]
    fn frames() {
        let version = |v: &[u8]| [b"\x07version\x08\x03", v, REST].concat();
        check(AGENT_HELLO, 1, &version(b"2.0"), "SPOA server is ok");
        check(AGENT_HELLO, 1, &version(b"9.0"), "unsupported version");
        check(AGENT_HELLO, 0, &version(b"2.0"), "fragmentation not supported");
        check(AGENT_HELLO, 1, REST, "version value not found");
        check(AGENT_HELLO, 1, b"", "version value not found");
        check(99, 1, b"", "invalid frame received");
        check(AGENT_DISCONNECT, 1, b"\x0bstatus-code\x03\x00\x07message\x08\x03bad", "normal");
        check(
            AGENT_DISCONNECT,
            1,
            b"\x0bstatus-code\x03\x00\x07message\x08\x09bad",
            "invalid frame received",
        );
        check(AGENT_DISCONNECT, 1, b"\x0bstatus-code\x03\x63", UNKNOWN);
        let big = b"\x07version\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\xff\x06\x0ccapabilities\x08\x00";
        check(AGENT_HELLO, 1, big, "max-frame-size too big or too small");
        assert_eq!(hello(b"garbage garbage", false), Look::Wait);
    }
}
