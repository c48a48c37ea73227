//! Frames as they pass, by their heads.

/// Follows the frames of one direction.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    head: [u8; CODED],
    have: usize,
    /// Bytes still to pass before the next head.
    skip: usize,
    /// Are the codes of errors wanted?
    coded: bool,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: u8,
    pub flags: u8,
    pub len: usize,
    pub stream: u32,
    /// What RST_STREAM and GOAWAY say, where it is wanted.
    pub code: u32,
}

const HEAD: usize = 9;
/// The head of a GOAWAY, and of its payload all up to the code.
const CODED: usize = HEAD + 8;

/// Frame types and flags of RFC 9113 6.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const ACK: u8 = 1;
}

impl Seen {
    /// The head that `bytes` begin with, if all of it is there.
    pub fn at(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            kind,
            flags,
            len: usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c),
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            code: 0,
        })
    }
}

impl Frames {
    /// `before`: bytes that are no frames come first.
    pub fn new(before: usize, coded: bool) -> Self {
        Self { skip: before, coded, ..Self::default() }
    }

    /// The next head whose last byte is in `bytes` from `at` on. `at` moves behind it, or to the end.
    pub fn next(&mut self, bytes: &[u8], at: &mut usize) -> Option<Seen> {
        loop {
            let passed = self.skip.min(bytes.len() - *at);
            self.skip -= passed;
            *at += passed;
            if let Some(seen) = self.whole(bytes, at) {
                return Some(seen);
            }
            let wanted = self.wanted();
            if self.have == wanted {
                return Some(self.seen());
            }
            if *at == bytes.len() {
                return None;
            }
            let part = bytes.get(*at..bytes.len().min(*at + wanted - self.have)).unwrap_or_default();
            if let Some(slot) = self.head.get_mut(self.have..self.have + part.len()) {
                slot.copy_from_slice(part);
            }
            self.have += part.len();
            *at += part.len();
        }
    }

    /// The head that stands at `at` in one piece, as nearly all do.
    fn whole(&mut self, bytes: &[u8], at: &mut usize) -> Option<Seen> {
        let seen = Seen::at(bytes.get(*at..)?)?;
        if self.have > 0 || self.coded && matches!(seen.kind, kind::RST_STREAM | kind::GOAWAY) {
            return None;
        }
        *at += HEAD;
        self.skip = seen.len;
        Some(seen)
    }

    /// How much of the frame's front is to be looked at.
    fn wanted(&self) -> usize {
        if !self.coded || self.have < HEAD {
            return HEAD;
        }
        match self.head {
            [0, 0, 4, kind::RST_STREAM, ..] => HEAD + 4,
            [a, b, c, kind::GOAWAY, ..] if a | b > 0 || c >= 8 => CODED,
            _ => HEAD,
        }
    }

    fn seen(&mut self) -> Seen {
        let [a, b, c, kind, flags, s @ ..] = self.head;
        let [s0, s1, s2, s3, p0, p1, p2, p3, q0, q1, q2, q3] = s;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let code = match self.have - HEAD {
            0 => 0,
            4 => u32::from_be_bytes([p0, p1, p2, p3]),
            _ => u32::from_be_bytes([q0, q1, q2, q3]),
        };
        self.skip = (len + HEAD).saturating_sub(self.have);
        self.have = 0;
        Seen { kind, flags, len, stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]), code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let [.., a, b, c] = payload.len().to_be_bytes();
        [&[a, b, c, kind, 1, 0, 0, 0, stream][..], payload].concat()
    }

    #[test]
    fn heads_and_codes_are_seen_however_they_arrive() {
        let bytes = [
            b"before".to_vec(),
            frame(kind::HEADERS, 1, &[7; 300]),
            frame(kind::RST_STREAM, 3, &[0, 0, 0, 8]),
            frame(kind::SETTINGS, 0, &[]),
            frame(kind::GOAWAY, 0, b"\0\0\0\x05\0\0\0\x0bdebug"),
            frame(kind::RST_STREAM, 3, &[1; 3]),
            frame(kind::GOAWAY, 0, &[1; 7]),
            frame(kind::PING, 0, &[9; 8]),
        ]
        .concat();
        for (coded, rst, goaway) in [(true, 8, 11), (false, 0, 0)] {
            let expected = [
                (kind::HEADERS, 300, 1, 0),
                (kind::RST_STREAM, 4, 3, rst),
                (kind::SETTINGS, 0, 0, 0),
                (kind::GOAWAY, 13, 0, goaway),
                (kind::RST_STREAM, 3, 3, 0),
                (kind::GOAWAY, 7, 0, 0),
                (kind::PING, 8, 0, 0),
            ];
            for step in [1, 2, 5, 9, 13, 100, bytes.len()] {
                let mut frames = Frames::new(6, coded);
                let mut seen = Vec::new();
                for part in bytes.chunks(step) {
                    let mut at = 0;
                    while let Some(s) = frames.next(part, &mut at) {
                        seen.push((s.kind, s.len, s.stream, s.code));
                    }
                    assert_eq!(at, part.len());
                }
                assert_eq!(seen, expected, "coded {coded} by {step}");
            }
        }
    }
}
