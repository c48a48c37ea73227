//! The chunked coding put around data and taken off again. What is taken off was checked where it came from: here it is
//! only followed.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::io::Write as _;
use std::ops::Range;

/// Puts chunks around data that is read.
#[derive(Default)]
pub(super) struct Chunks {
    bytes: Vec<u8>,
    read: usize,
}

impl Chunks {
    pub fn has_bytes(&self) -> bool {
        self.read < self.bytes.len()
    }

    /// A chunk of `len` bytes follows.
    pub fn begin(&mut self, len: usize) {
        // Writing to a vector does not fail.
        let _ = write!(self.bytes, "{len:x}\r\n");
    }

    /// The chunk's data are through.
    pub fn finish(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
    }

    pub fn end(&mut self, trailers: Option<&HeaderMap>) {
        self.bytes.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            self.bytes.extend_from_slice(name.as_str().as_bytes());
            self.bytes.extend_from_slice(b": ");
            self.bytes.extend_from_slice(value.as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// `None`: it is the data's turn.
    pub fn read(&mut self, buf: &mut [u8]) -> Option<usize> {
        let rest = self.bytes.get(self.read..).filter(|rest| !rest.is_empty())?;
        let n = rest.len().min(buf.len());
        if let (Some(slot), Some(rest)) = (buf.get_mut(..n), rest.get(..n)) {
            slot.copy_from_slice(rest);
        }
        self.read += n;
        if !self.has_bytes() {
            self.bytes.clear();
            self.read = 0;
        }
        Some(n)
    }
}

/// What stands next in a body in chunks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Nothing to be sent.
    Framing,
    /// Data; `last`: nothing but the end follows them, and all of that is there.
    Data {
        range: Range<usize>,
        last: bool,
    },
    End(Option<HeaderMap>),
}

#[derive(Debug, Default)]
enum State {
    /// In the line with the size.
    #[default]
    Size,
    Data,
    /// In the line end behind the data.
    DataEnd,
    /// In the trailers, after the last chunk.
    Trailers,
}

/// Follows a body in chunks.
#[derive(Debug, Default)]
pub(super) struct Unchunked {
    state: State,
    /// Of the chunk's data.
    left: u64,
    /// Digits of the size were seen: what follows them is not.
    line: Vec<u8>,
    trailers: Vec<u8>,
}

/// What follows the last data of a body without trailers.
const END: &[u8] = b"\r\n0\r\n\r\n";

impl Unchunked {
    /// The next piece of `bytes` and, for [`Piece::Framing`], how many bytes it takes. `None`: nothing is left.
    pub fn next(&mut self, bytes: &[u8]) -> Option<(Piece, usize)> {
        if bytes.is_empty() {
            return None;
        }
        if let State::Data = self.state {
            let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let last = bytes.get(n..) == Some(END) && n as u64 == self.left;
            return Some((Piece::Data { range: 0..n, last }, 0));
        }
        let end = memchr::memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |at| at + 1);
        let part = bytes.get(..taken).unwrap_or_default();
        match self.state {
            State::Data => {}
            State::Size => {
                self.line.extend_from_slice(part);
                if end.is_some() {
                    self.left = size(&self.line);
                    self.line.clear();
                    self.state = if self.left == 0 { State::Trailers } else { State::Data };
                }
            }
            State::DataEnd if end.is_some() => self.state = State::Size,
            State::DataEnd => {}
            State::Trailers => {
                self.line.extend_from_slice(part);
                if end.is_some() {
                    if self.line == b"\r\n" {
                        return Some((Piece::End(parse(&self.trailers)), taken));
                    }
                    self.trailers.append(&mut self.line);
                }
            }
        }
        Some((Piece::Framing, taken))
    }

    /// `n` bytes of the data are through.
    pub fn sent(&mut self, n: usize) {
        self.left = self.left.saturating_sub(n as u64);
        if self.left == 0 {
            self.state = State::DataEnd;
        }
    }
}

fn size(line: &[u8]) -> u64 {
    let digits = line.iter().map_while(|b| char::from(*b).to_digit(16));
    digits.fold(0u64, |n, d| n.wrapping_mul(16).wrapping_add(u64::from(d)))
}

/// Fields that speak of one hop are left out (RFC 9113 8.2.2).
fn parse(lines: &[u8]) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
            && !matches!(name.as_str(), "connection" | "transfer-encoding" | "keep-alive" | "upgrade" | "te")
        {
            map.append(name, value);
        }
    }
    (!map.is_empty()).then_some(map)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Takes the chunks off `input`, given in pieces of `step` bytes.
    fn check(input: &str, step: usize, expected: &str, trailers: &[(&str, &str)]) {
        let mut unchunked = Unchunked::default();
        let mut got = Vec::new();
        let mut ended = None;
        for part in input.as_bytes().chunks(step) {
            let mut at = 0;
            while let Some((piece, taken)) = unchunked.next(&part[at..]) {
                match piece {
                    Piece::Framing => at += taken,
                    Piece::Data { range, last } => {
                        got.extend_from_slice(&part[at..][range.clone()]);
                        unchunked.sent(range.len());
                        at += range.len();
                        if last {
                            ended = Some(None);
                            break;
                        }
                    }
                    Piece::End(map) => {
                        ended = Some(map);
                        break;
                    }
                }
            }
        }
        assert_eq!(String::from_utf8(got).unwrap(), expected, "{input:?} by {step}");
        let map = ended.unwrap().unwrap_or_default();
        let map: Vec<_> = map.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
        assert_eq!(map, trailers, "{input:?} by {step}");
    }

    #[test]
    fn chunks_come_off_however_they_arrive() {
        for step in [1, 2, 3, 7, 1000] {
            check("5\r\nhello\r\n0\r\n\r\n", step, "hello", &[]);
            check("5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n", step, "hello0123456789", &[]);
            check("0\r\n\r\n", step, "", &[]);
            check(
                "2\r\nok\r\n0\r\nx-a: 1\r\nconnection: x\r\nx-b:2 \r\n\r\n",
                step,
                "ok",
                &[("x-a", "1"), ("x-b", "2")],
            );
        }
    }

    #[test]
    fn chunks_are_put_around_data() {
        let mut chunks = Chunks::default();
        let mut out = Vec::new();
        let mut take = |chunks: &mut Chunks| {
            let mut buf = [0; 3];
            while let Some(n) = chunks.read(&mut buf) {
                out.extend_from_slice(&buf[..n]);
            }
        };
        chunks.begin(17);
        take(&mut chunks);
        chunks.finish();
        let mut map = HeaderMap::new();
        map.append("x-a", HeaderValue::from_static("1"));
        chunks.end(Some(&map));
        take(&mut chunks);
        assert_eq!(String::from_utf8(out).unwrap(), "11\r\n\r\n0\r\nx-a: 1\r\n\r\n");
    }
}
