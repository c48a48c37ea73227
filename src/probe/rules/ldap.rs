//! The answer to an anonymous LDAP bind (RFC 4511 4.1.1, 4.2.2; X.690 for the lengths).

use super::expect::Look;
use super::machine::told;
use crate::health::{Finding, Status};

/// The shortest whole answer.
const SHORTEST: usize = 14;
const FOREIGN: &str = "Not LDAPv3 protocol";

pub fn bind(bytes: &[u8], last: bool) -> Look {
    if bytes.len() < SHORTEST {
        return match bytes.first() {
            _ if !last => Look::Wait,
            None | Some(0x30) => Look::Fail(Finding::new(Status::L7Response)),
            Some(_) => Look::Fail(told(Status::L7Response, FOREIGN)),
        };
    }
    match result_code(bytes) {
        None => Look::Fail(told(Status::L7Response, FOREIGN)),
        Some(0) => Look::Pass(Some("Success".to_owned())),
        Some(code) => {
            let text = "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9";
            Look::Fail(told(Status::L7Status, text).code(u16::from(code)))
        }
    }
}

/// `LDAPMessage { messageID 1, bindResponse { resultCode, ... } }`
fn result_code(bytes: &[u8]) -> Option<u8> {
    let message = contents(bytes, 0x30)?;
    let response = message.strip_prefix(&[0x02, 0x01, 0x01])?;
    match contents(response, 0x61)? {
        [0x0a, 0x01, code, ..] => Some(*code),
        _ => None,
    }
}

/// What stands after the tag and its length; whether all of it is there is not asked.
fn contents(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    match bytes {
        [t, 0, ..] if *t == tag => None,
        [t, length, rest @ ..] if *t == tag => {
            let more = if *length & 0x80 == 0 { 0 } else { usize::from(*length & 0x7f) };
            rest.get(more..)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], last: bool, expected: Result<&str, Finding>) {
        let expected = match expected {
            Ok(said) => Look::Pass(Some(said.to_owned())),
            Err(finding) => Look::Fail(finding),
        };
        assert_eq!(bind(bytes, last), expected, "{bytes:?}");
    }

    #[test]
    fn answers() {
        check(b"0\x0c\x02\x01\x01a\x07\x0a\x01\x00\x04\x00\x04\x00", false, Ok("Success"));
        let active_directory =
            b"0\x84\x00\x00\x00\x10\x02\x01\x01a\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00";
        check(active_directory, false, Ok("Success"));
        let refused = Finding::new(Status::L7Status).code(49);
        let refused = refused.info("See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9");
        check(b"0\x0c\x02\x01\x01a\x07\x0a\x01\x31\x04\x00\x04\x00", false, Err(refused));
        let foreign = || Finding::new(Status::L7Response).info("Not LDAPv3 protocol");
        check(b"0\x0c\x02\x01\x02a\x07\x0a\x01\x00\x04\x00\x04\x00", false, Err(foreign()));
        check(b"0\x0c\x02\x01\x01x\x07\x0a\x01\x00\x04\x00\x04\x00", false, Err(foreign()));
        check(b"garbage garbage", false, Err(foreign()));
        check(b"0\x0c\x02", true, Err(Finding::new(Status::L7Response)));
        check(b"garbage", true, Err(foreign()));
        check(b"", true, Err(Finding::new(Status::L7Response)));
        assert_eq!(bind(b"0\x0c\x02", false), Look::Wait);
    }
}
