//! Paths with a `#` in them. The library hands out paths without what begins there, and does not tell; HAProxy refuses such
//! a request, or lets it pass as it is (`option accept-invalid-http-request`). So the heads are walked here as they
//! arrive, past everything but the literals that may be a path. Of the dynamic table it is enough to know which entries
//! are paths: what is not there any more, the library takes as an error of the connection.

use super::frames::{Seen, kind};
use super::huffman;
use std::collections::VecDeque;

/// Follows the heads that one side sends.
#[derive(Debug, Default)]
pub struct Paths {
    /// The frame that is arriving in pieces, and how much of it is to come.
    frame: Vec<u8>,
    missing: usize,
    flags: u8,
    stream: u32,
    /// A head that is continued.
    block: Vec<u8>,
    /// How many entries the dynamic table was given.
    inserted: u32,
    /// Those that are paths, by their number, the oldest first; with the path if it is one of these.
    entries: VecDeque<(u32, Option<Vec<u8>>)>,
    /// What `entries` take at least in the table.
    size: usize,
}

/// No dynamic table is larger (`tune.h2.header-table-size`).
const TABLE: usize = 65535;
/// What an entry counts for, and its name (RFC 7541 4.1).
const ENTRY: usize = 32 + PATH.len();
/// The static table ends here; its fourth and fifth names are `:path`.
const STATIC: usize = 61;
const PATH: &[u8] = b":path";
const CODED_PATH: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];

const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

impl Paths {
    /// A frame of which `bytes` have come begins. The stream and its path, if a head ends here that has such a path.
    pub fn begin(&mut self, seen: &Seen, bytes: &[u8]) -> Option<(u32, Vec<u8>)> {
        if !matches!(seen.kind, kind::HEADERS | kind::CONTINUATION) {
            return None;
        }
        self.flags = if seen.kind == kind::HEADERS { seen.flags } else { seen.flags & kind::END_HEADERS };
        self.stream = seen.stream;
        if let Some(whole) = bytes.get(..seen.len) {
            return self.end(whole);
        }
        self.missing = seen.len;
        self.go_on(bytes)
    }

    /// More of a frame that has begun.
    pub fn go_on(&mut self, bytes: &[u8]) -> Option<(u32, Vec<u8>)> {
        if self.missing == 0 {
            return None;
        }
        let part = bytes.get(..self.missing).unwrap_or(bytes);
        self.frame.extend_from_slice(part);
        self.missing -= part.len();
        if self.missing > 0 {
            return None;
        }
        let mut frame = std::mem::take(&mut self.frame);
        let found = self.end(&frame);
        frame.clear();
        self.frame = frame;
        found
    }

    fn end(&mut self, frame: &[u8]) -> Option<(u32, Vec<u8>)> {
        let part = unpadded(frame, self.flags).unwrap_or_default();
        let path = if self.flags & kind::END_HEADERS == 0 {
            self.block.extend_from_slice(part);
            None
        } else if self.block.is_empty() {
            self.walk(part)
        } else {
            let mut block = std::mem::take(&mut self.block);
            block.extend_from_slice(part);
            self.walk(&block)
        };
        path.map(|path| (self.stream, path))
    }

    /// The fields of a head (RFC 7541 6).
    fn walk(&mut self, mut rest: &[u8]) -> Option<Vec<u8>> {
        let mut found = None;
        while let Some(first) = rest.first() {
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 0x7f)?;
                if index > STATIC
                    && let Some(path) = self.entry(index)
                {
                    found = found.or_else(|| path.clone());
                }
            } else if first & 0xe0 == 0x20 {
                integer(&mut rest, 0x1f)?;
            } else {
                let kept = first & 0x40 != 0;
                let is_path = self.name(&mut rest, if kept { 0x3f } else { 0x0f })?;
                let (coded, value) = string(&mut rest)?;
                let path = if is_path { huffman::with_fragment(coded, value) } else { None };
                if kept {
                    self.insert(is_path, path.as_ref());
                }
                found = found.or(path);
            }
        }
        found
    }

    /// Is the name of a literal `:path`?
    fn name(&self, rest: &mut &[u8], prefix: u8) -> Option<bool> {
        let index = integer(rest, prefix)?;
        if index == 0 {
            let (coded, name) = string(rest)?;
            return Some(name == if coded { CODED_PATH } else { PATH });
        }
        Some(matches!(index, 4 | 5) || index > STATIC && self.entry(index).is_some())
    }

    fn entry(&self, index: usize) -> Option<&Option<Vec<u8>>> {
        let back = u32::try_from(index - STATIC - 1).ok()?;
        let number = self.inserted.checked_sub(back)?;
        let at = self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.entries.get(at).map(|(_, path)| path)
    }

    fn insert(&mut self, is_path: bool, path: Option<&Vec<u8>>) {
        self.inserted = self.inserted.saturating_add(1);
        if !is_path {
            return;
        }
        self.entries.push_back((self.inserted, path.cloned()));
        self.size += ENTRY + path.map_or(0, Vec::len);
        // What the table has no room for is not there.
        while self.size > TABLE
            && let Some((_, path)) = self.entries.pop_front()
        {
            self.size -= ENTRY + path.map_or(0, |path| path.len());
        }
    }
}

/// A frame without padding and priority.
fn unpadded(frame: &[u8], flags: u8) -> Option<&[u8]> {
    let (padding, rest) = if flags & PADDED == 0 { (0, frame) } else { split(frame)? };
    let rest = rest.get(..rest.len().checked_sub(padding)?)?;
    if flags & PRIORITY == 0 { Some(rest) } else { rest.get(5..) }
}

fn split(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes.split_first().map(|(first, rest)| (usize::from(*first), rest))
}

/// RFC 7541 5.1
fn integer(rest: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    let mut n = usize::from(first & prefix);
    if n < usize::from(prefix) {
        return Some(n);
    }
    for shift in [0, 7, 14, 21, 28] {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        n += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// Whether it is coded, and its bytes.
fn string<'r>(rest: &mut &'r [u8]) -> Option<(bool, &'r [u8])> {
    let coded = rest.first()? & 0x80 != 0;
    let len = integer(rest, 0x7f)?;
    let (text, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some((coded, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h2::frames::Frames;

    /// The frames of a connection in pieces of every size: what is found.
    fn check(frames: &[Vec<u8>], expected: &[(u32, &str)]) {
        let bytes = frames.concat();
        for step in [1, 2, 3, 7, 10, 50, bytes.len()] {
            let (mut heads, mut paths) = (Frames::new(0, false), Paths::default());
            let mut found = Vec::new();
            for piece in bytes.chunks(step) {
                found.extend(paths.go_on(piece));
                let mut at = 0;
                while let Some(seen) = heads.next(piece, &mut at) {
                    found.extend(paths.begin(&seen, &piece[at..]));
                }
            }
            let found: Vec<_> = found
                .into_iter()
                .map(|(id, path)| (id, String::from_utf8_lossy(&path).into_owned()))
                .collect();
            let found: Vec<_> = found.iter().map(|(id, path)| (*id, path.as_str())).collect();
            assert_eq!(found, expected, "by {step}");
        }
    }

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let [.., a, b, c] = payload.len().to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, stream][..], payload].concat()
    }

    fn head(stream: u8, block: &[u8]) -> Vec<u8> {
        frame(kind::HEADERS, kind::END_HEADERS, stream, block)
    }

    #[test]
    fn literals_of_each_form_are_read() {
        check(&[head(1, b"\x82\x04\x04/a#b"), head(3, b"\x82\x14\x04/c#d\x86")], &[(1, "/a#b"), (3, "/c#d")]);
        check(
            &[head(1, b"\x00\x05:path\x02/#"), head(3, b"\x00\x84\xb9\x58\xd3\x3f\x02/#")],
            &[(1, "/#"), (3, "/#")],
        );
        check(&[head(1, b"\x00\x05:patH\x02/#"), head(3, b"\x82\x84\x0f\x00\x02/#\x01\x02/#")], &[]);
        // Huffman codes of `/a#` and of `/a`.
        check(&[head(1, b"\x04\x83\x60\x7f\xf5"), head(3, b"\x04\x82\x60\x7f")], &[(1, "/a#")]);
    }

    #[test]
    fn entries_of_the_table_are_known_again() {
        // A path with, one without, another field; then each by its index, and their name with other paths.
        let first = head(1, b"\x44\x03/a#\x44\x02/b\x40\x01x\x01y");
        let frames = [first, head(3, b"\x40\xc0"), head(5, b"\xc0"), head(7, b"\xbf\xbe")];
        check(&frames[..1], &[(1, "/a#")]);
        check(&[frames[0].clone(), frames[2].clone(), frames[3].clone()], &[(1, "/a#"), (5, "/a#")]);
        check(
            &[frames[0].clone(), head(3, b"\x0f\x30\x02/#"), head(5, b"\x0f\x2f\x02/#")],
            &[(1, "/a#"), (3, "/#")],
        );
    }

    #[test]
    fn padding_priority_and_continuations_are_passed() {
        let padded =
            frame(kind::HEADERS, kind::END_HEADERS | PADDED | PRIORITY, 1, b"\x02\0\0\0\0\x01\x04\x02/#\0\0");
        check(&[padded], &[(1, "/#")]);
        let cut = [frame(kind::HEADERS, 0, 1, b"\x82\x04\x04/a"), frame(kind::CONTINUATION, 0, 1, b"#")];
        let last = frame(kind::CONTINUATION, kind::END_HEADERS | PADDED, 1, b"b\x86");
        check(
            &[cut.concat(), frame(kind::DATA, 0, 1, b"\x04\x02/#"), last, head(3, b"\x04\x02/#")],
            &[(1, "/a#b"), (3, "/#")],
        );
    }

    #[test]
    fn what_is_no_head_is_passed() {
        for block in
            [&b"\x7f\xff\xff\xff\xff\xff\xff"[..], b"\x04\x7f\xff\xff\x7f/#", b"\x04", b"\xff", b"\x04\x05/#"]
        {
            check(&[head(1, block), head(3, b"\x04\x02/#")], &[(3, "/#")]);
        }
        check(&[frame(kind::HEADERS, kind::END_HEADERS | PADDED, 1, b"\x09\x04\x02/#")], &[]);
        check(&[frame(kind::HEADERS, kind::END_HEADERS | PADDED, 1, b"")], &[]);
    }

    #[test]
    fn no_more_is_kept_than_a_table_holds() {
        let mut paths = Paths::default();
        let long = [b"\x44\x7f\x81\x0f/#".as_slice(), &[b'x'; 2046]].concat();
        for _ in 0..200 {
            assert!(paths.walk(&long).is_some());
            paths.walk(b"\x44\x01/\x44\x01/");
        }
        let kept: usize = paths.entries.iter().map(|(_, path)| path.as_ref().map_or(0, Vec::len)).sum();
        assert!(kept <= TABLE && paths.size <= TABLE && !paths.entries.is_empty());
        // The newest path is 64, the one before it 63, and both have no `#`; that with one is the third.
        assert!(paths.walk(b"\xbe\xbf").is_none() && paths.walk(b"\xc0").is_some());
    }
}
