//! What a MySQL server says first, and how it answers a login.

use super::describe;
use super::expect::Look;
use super::machine::told;
use crate::health::{Finding, Status};

/// Length and number before each packet.
const HEADER: usize = 4;
/// What stands first in an error packet.
const ERROR: u8 = 0xff;

/// The greeting: its version is what success is told with.
pub fn greeting(bytes: &[u8], last: bool) -> Look {
    let packet = match packet(bytes, last) {
        Ok(packet) => packet,
        Err(look) => return look,
    };
    if let Some(finding) = error(packet) {
        return Look::Fail(finding);
    }
    Look::Pass(packet.get(1..).map(describe::kept))
}

/// The packet after the greeting.
pub fn answer(bytes: &[u8], last: bool) -> Look {
    let greeting = match packet(bytes, last) {
        Ok(packet) => packet,
        Err(look) => return look,
    };
    let rest = bytes.get(HEADER + greeting.len()..).unwrap_or_default();
    let answer = match packet(rest, last) {
        Ok(packet) => packet,
        Err(look) => return look,
    };
    if let Some(finding) = error(answer) {
        return Look::Fail(finding);
    }
    Look::Pass(greeting.get(1..).map(describe::kept))
}

/// The body of the first packet, once it is all there.
fn packet(bytes: &[u8], last: bool) -> Result<&[u8], Look> {
    let whole = match bytes {
        [a, b, c, _, ..] => {
            let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
            bytes.get(HEADER..HEADER + length).filter(|p| !p.is_empty())
        }
        _ => None,
    };
    match whole {
        Some(packet) => Ok(packet),
        None if last => Err(Look::Fail(Finding::new(Status::L7Response))),
        None => Err(Look::Wait),
    }
}

/// Code and text of an error packet.
fn error(packet: &[u8]) -> Option<Finding> {
    match packet {
        [ERROR, low, high, text @ ..] => {
            Some(told(Status::L7Status, text).code(u16::from_le_bytes([*low, *high])))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &[u8] = b"\x0f\x00\x00\x00\x0a8.0.30\x00AAAABBB";

    #[test]
    fn greetings() {
        let version = Look::Pass(Some("8.0.30".into()));
        assert_eq!(greeting(GREETING, false), version);
        assert_eq!(greeting(&GREETING[..9], false), Look::Wait);
        assert_eq!(greeting(&GREETING[..9], true), Look::Fail(Finding::new(Status::L7Response)));
        let full = b"\x17\x00\x00\x00\xff\x10\x04Too many connections";
        let refused = Finding::new(Status::L7Status).code(1040).info("Too many connections");
        assert_eq!(greeting(full, false), Look::Fail(refused));
        assert_eq!(greeting(b"garbage garbage", false), Look::Wait);
    }

    #[test]
    fn answers() {
        let with = |answer: &[u8]| [GREETING, answer].concat();
        let version = Look::Pass(Some("8.0.30".into()));
        assert_eq!(answer(&with(b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"), false), version);
        assert_eq!(answer(GREETING, false), Look::Wait);
        assert_eq!(answer(GREETING, true), Look::Fail(Finding::new(Status::L7Response)));
        let denied = Finding::new(Status::L7Status).code(1045).info("#28000Denied");
        assert_eq!(answer(&with(b"\x0f\x00\x00\x02\xff\x15\x04#28000Denied"), false), Look::Fail(denied));
    }
}
