//! DNS messages as far as a health check needs them (RFC 1035): a query's bytes, and a checked view of the answer.
//!
//! Names in answers are stepped over, not followed: a compression pointer ends a name, so a loop of them cannot be walked.

use std::fmt;

/// A question that can be sent: the name's labels are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    name: String,
    /// Labels with their lengths and the root's 0.
    encoded: Vec<u8>,
    pub kind: RecordType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordType(u16);

const TYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("DS", 43),
    ("DNSKEY", 48),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("ANY", 255),
    ("CAA", 257),
];
const ANY: u16 = 255;
const CLASS_IN: u16 = 1;
const HEADER: usize = 12;
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

impl RecordType {
    pub const NAMES: [&'static str; TYPES.len()] = {
        let mut names = [""; TYPES.len()];
        let mut i = 0;
        while i < TYPES.len() {
            names[i] = TYPES[i].0;
            i += 1;
        }
        names
    };

    /// By name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, code)| Self(*code))
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TYPES.iter().find(|(_, code)| *code == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl Question {
    /// `None`: not a name; labels have 1 to 63 bytes, all of it 255 at most. `.` is the root.
    #[must_use]
    pub fn new(kind: RecordType, name: &str) -> Option<Self> {
        let mut encoded = Vec::new();
        let bare = name.strip_suffix('.').unwrap_or(name);
        if bare.is_empty() && name != "." {
            return None;
        }
        for label in bare.split('.').filter(|_| !bare.is_empty()) {
            let length =
                u8::try_from(label.len()).ok().filter(|l| (1..=LABEL_MAX).contains(&usize::from(*l)))?;
            encoded.push(length);
            encoded.extend_from_slice(label.as_bytes());
        }
        encoded.push(0);
        (encoded.len() <= NAME_MAX).then(|| Self { name: name.to_owned(), encoded, kind })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The query, recursion desired.
    #[must_use]
    pub fn query(&self, id: u16) -> Vec<u8> {
        let mut out = id.to_be_bytes().to_vec();
        // flags: RD; one question, nothing else
        out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&self.encoded);
        out.extend(self.kind.0.to_be_bytes());
        out.extend(CLASS_IN.to_be_bytes());
        out
    }

    /// Whether `bytes` begin with this question, whatever the case of its letters.
    fn is_at(&self, bytes: &[u8]) -> bool {
        let Some((name, rest)) = bytes.split_at_checked(self.encoded.len()) else { return false };
        name.eq_ignore_ascii_case(&self.encoded)
            && rest.starts_with(&self.kind.0.to_be_bytes())
            && rest.get(2..4) == Some(&CLASS_IN.to_be_bytes())
    }
}

/// A response's code (RFC 1035 4.1.1, RFC 6895).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCode(pub u8);

impl ResponseCode {
    pub const NO_ERROR: Self = Self(0);
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 11] = [
            "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
            "NXRRSET", "NOTAUTH", "NOTZONE",
        ];
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}

/// What a datagram is to someone who waits for the answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Of another query, or none: wait on.
    Foreign,
    /// The answer's id and not its form.
    Malformed(&'static str),
    Answer(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: ResponseCode,
    /// Did not fit: more would come over TCP.
    pub truncated: bool,
    /// Records of the type asked for.
    pub records: u16,
}

/// Reads the answer to `question`, asked with `id`.
#[must_use]
pub fn read(bytes: &[u8], id: u16, question: &Question) -> Reading {
    if bytes.get(..2) != Some(&id.to_be_bytes()) {
        return Reading::Foreign;
    }
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Reading::Malformed("short header");
    };
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (flags, questions, answers) = (field(2), field(4), field(6));
    if flags & 0x8000 == 0 {
        return Reading::Malformed("a query");
    }
    if flags & 0x7800 != 0 {
        return Reading::Malformed("another operation");
    }
    let code = ResponseCode((flags & 0x000f) as u8);
    // Servers that cannot make sense of a query may leave the question out.
    if questions == 0 && code != ResponseCode::NO_ERROR {
        return Reading::Answer(Answer { code, truncated: false, records: 0 });
    }
    if questions != 1 || !question.is_at(body) {
        return Reading::Malformed("another question");
    }
    let truncated = flags & 0x0200 != 0;
    let records = count(body.get(question.encoded.len() + 4..).unwrap_or_default(), answers, question.kind);
    match records {
        Some(records) => Reading::Answer(Answer { code, truncated, records }),
        // A cut message may end anywhere.
        None if truncated => Reading::Answer(Answer { code, truncated, records: 0 }),
        None => Reading::Malformed("a cut record"),
    }
}

/// How many of the `answers` records at the start of `bytes` are of that type. `None`: they are not all there.
fn count(mut bytes: &[u8], answers: u16, kind: RecordType) -> Option<u16> {
    let mut found = 0;
    for _ in 0..answers {
        bytes = after_name(bytes)?;
        let (fixed, rest) = bytes.split_at_checked(10)?;
        let of_type = u16::from_be_bytes([fixed[0], fixed[1]]);
        let length = u16::from_be_bytes([fixed[8], fixed[9]]);
        if of_type == kind.0 || kind.0 == ANY {
            found += 1;
        }
        bytes = rest.get(usize::from(length)..)?;
    }
    Some(found)
}

/// What follows the name at the start of `bytes`.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    let mut length = 0;
    loop {
        let (first, rest) = bytes.split_first()?;
        let label = usize::from(*first);
        match first >> 6 {
            // A pointer is two bytes and the name's end.
            0b11 => return rest.get(1..),
            0b00 if label == 0 => return Some(rest),
            0b00 => bytes = rest.get(label..)?,
            _ => return None,
        }
        length += label + 1;
        if length > NAME_MAX {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question::new(RecordType::parse("a").unwrap(), "www.Example").unwrap()
    }

    #[test]
    fn names() {
        let check = |name: &str, expected: Option<&[u8]>| {
            let got = Question::new(RecordType(1), name).map(|q| q.encoded);
            assert_eq!(got.as_deref(), expected, "{name}");
        };
        check("a.bc", Some(b"\x01a\x02bc\0"));
        check("a.bc.", Some(b"\x01a\x02bc\0"));
        check(".", Some(b"\0"));
        check("", None);
        check("..", None);
        check("a..b", None);
        check(".a", None);
        check(&"x".repeat(64), None);
        check(&vec!["x".repeat(63); 4].join("."), None);
    }

    #[test]
    fn queries() {
        assert_eq!(
            question().query(0x1234),
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07Example\0\0\x01\0\x01"
        );
    }

    /// An answer: flags, how many answers it claims, and the bytes after the question.
    fn answer(flags: u16, answers: u16, records: &[u8]) -> Vec<u8> {
        let mut out = question().query(0x1234);
        out[2..4].copy_from_slice(&flags.to_be_bytes());
        out[6..8].copy_from_slice(&answers.to_be_bytes());
        out.extend_from_slice(records);
        out
    }

    const RECORD: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01";
    const CNAME: &[u8] = b"\x03www\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c";

    fn check(bytes: &[u8], expected: Reading) {
        assert_eq!(read(bytes, 0x1234, &question()), expected, "{bytes:x?}");
    }

    fn good(code: u8, truncated: bool, records: u16) -> Reading {
        Reading::Answer(Answer { code: ResponseCode(code), truncated, records })
    }

    #[test]
    fn answers() {
        check(&answer(0x8180, 1, RECORD), good(0, false, 1));
        check(&answer(0x8180, 2, &[CNAME, RECORD].concat()), good(0, false, 1));
        check(&answer(0x8180, 1, CNAME), good(0, false, 0));
        check(&answer(0x8180, 0, b""), good(0, false, 0));
        check(&answer(0x8183, 0, b""), good(3, false, 0));
        let mut shouted = answer(0x8180, 1, RECORD);
        shouted[12..25].make_ascii_uppercase();
        check(&shouted, good(0, false, 1));
        // FORMERR without the question.
        check(b"\x12\x34\x80\x01\0\0\0\0\0\0\0\0", good(1, false, 0));
    }

    #[test]
    fn hostile_answers() {
        check(b"", Reading::Foreign);
        check(b"\x12", Reading::Foreign);
        check(b"\x12\x35\x81\x80", Reading::Foreign);
        check(b"\x12\x34\x81\x80", Reading::Malformed("short header"));
        check(&answer(0x0100, 0, b""), Reading::Malformed("a query"));
        check(&answer(0xa180, 0, b""), Reading::Malformed("another operation"));
        check(b"\x12\x34\x81\x80\0\0\0\0\0\0\0\0", Reading::Malformed("another question"));
        let mut other = answer(0x8180, 1, RECORD);
        other[14] = b'x';
        check(&other, Reading::Malformed("another question"));
        // The question's name as a pointer to itself.
        check(
            b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\xc0\x0c\0\x01\0\x01",
            Reading::Malformed("another question"),
        );
        check(&answer(0x8180, 65535, RECORD), Reading::Malformed("a cut record"));
        check(&answer(0x8180, 1, &RECORD[..RECORD.len() - 1]), Reading::Malformed("a cut record"));
        check(&answer(0x8180, 1, b"\xc0"), Reading::Malformed("a cut record"));
        // Reserved label types, and a name that never ends.
        check(&answer(0x8180, 1, b"\x40\0\x01\0\x01\0\0\0\0\0\0"), Reading::Malformed("a cut record"));
        check(&answer(0x8180, 1, &[1; 600]), Reading::Malformed("a cut record"));
        // Truncated by the server: that it answers is enough to read on.
        check(&answer(0x8380, 9, RECORD), good(0, true, 0));
    }

    /// Every prefix and every single changed byte of a good answer ends in one of the three readings.
    #[test]
    fn no_byte_panics() {
        let whole = answer(0x8180, 2, &[CNAME, RECORD].concat());
        for end in 0..whole.len() {
            let _ = read(&whole[..end], 0x1234, &question());
        }
        for at in 0..whole.len() {
            for value in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = read(&changed, 0x1234, &question());
            }
        }
    }

    #[test]
    fn types() {
        assert_eq!(RecordType::parse("aaaa").map(|t| t.to_string()).as_deref(), Some("AAAA"));
        assert_eq!(RecordType::parse("bogus"), None);
        assert_eq!(RecordType(999).to_string(), "TYPE999");
        assert_eq!(ResponseCode(3).to_string(), "NXDOMAIN");
        assert_eq!(ResponseCode(15).to_string(), "RCODE15");
    }
}
