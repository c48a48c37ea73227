//! The fields of a head as they come, coded by HPACK (RFC 7541), before the library has them: it ends a connection with
//! PROTOCOL_ERROR for whatever it cannot read, be it the coding (COMPRESSION_ERROR, RFC 9113 4.3) or one field of one
//! request (the stream's error alone, 8.1.1), and it cuts paths off at a `#`. Of the dynamic table only sizes are kept.

use super::huffman;
use http::{HeaderName, Method, StatusCode};
use std::collections::VecDeque;
use std::ops::Range;

/// One side's heads: what of them is needed to understand the next.
#[derive(Debug)]
pub struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
    /// As far as the other side may raise `most`.
    limit: usize,
    /// The string that was read last.
    text: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Name,
    len: usize,
    /// A path that the library would cut.
    path: Option<Vec<u8>>,
    is_bad: bool,
}

/// What a field is, and how long its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Plain(usize),
    Text(usize),
    Path,
    Method,
    Status,
    /// The library would end the connection for it.
    Bad(usize),
}

/// What stands in a head.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The path, if there is a `#` in it.
    pub path: Option<Vec<u8>>,
    /// There are pseudo-header fields.
    pub has_pseudo: bool,
    /// Fields that are no fields.
    pub is_bad: bool,
    /// What to put where so that the library can read it.
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

/// The lengths of the static table's names (RFC 7541 appendix A).
const STATIC: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13,
    12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3,
    16,
];
/// The last pseudo-header field there.
const PSEUDO: usize = 14;
/// What an entry counts for besides its bytes (RFC 7541 4.1).
const ENTRY: usize = 32;
/// RFC 9113 6.5.2
const DEFAULT_TABLE: usize = 4096;
/// A field that makes a request malformed, which the library resets a stream for.
const MALFORMED: &[u8] = b"\x00\x0aconnection\x01x";

impl Table {
    /// `told`: the size of `SETTINGS_HEADER_TABLE_SIZE` that the other side is told.
    pub fn new(told: usize) -> Self {
        let (entries, text) = (VecDeque::new(), Vec::new());
        Self { entries, size: 0, most: DEFAULT_TABLE, limit: told.max(DEFAULT_TABLE), text }
    }

    /// Walks a whole head. `None`: it cannot be read, nor can what follows.
    pub fn read(&mut self, block: &[u8]) -> Option<Found> {
        let mut found = Found::default();
        let mut rest = block;
        let mut may_resize = true;
        while let Some(first) = rest.first().copied() {
            if first & 0xe0 == 0x20 {
                let most = integer(&mut rest, 0x1f)?;
                if !may_resize || most > self.limit {
                    return None;
                }
                self.most = most;
                self.evict();
                continue;
            }
            may_resize = false;
            if first & 0x80 != 0 {
                self.indexed(integer(&mut rest, 0x7f)?, &mut found)?;
                continue;
            }
            let begin = block.len() - rest.len();
            let entry = self.literal(&mut rest, if first & 0x40 != 0 { 0x3f } else { 0x0f })?;
            if entry.is_bad {
                let range = begin..block.len() - rest.len();
                found.edits.push((range, entry.in_plain(first & 0x40)));
            }
            found.add(&entry);
            if first & 0x40 != 0 {
                self.insert(entry);
            }
        }
        Some(found)
    }

    fn indexed(&self, index: usize, found: &mut Found) -> Option<()> {
        match index.checked_sub(STATIC.len() + 1) {
            Some(place) => found.add(self.entries.get(place)?),
            None if index == 0 => return None,
            None => found.has_pseudo |= index <= PSEUDO,
        }
        Some(())
    }

    /// A field that is said here, with its name or that of another.
    fn literal(&mut self, rest: &mut &[u8], prefix: u8) -> Option<Entry> {
        let index = integer(rest, prefix)?;
        let name = match index.checked_sub(STATIC.len() + 1) {
            Some(place) => self.entries.get(place)?.name,
            None if index > 0 => Name::of_static(index),
            None => {
                self.string(rest)?;
                Name::of(&self.text)?
            }
        };
        self.string(rest)?;
        let is_bad = !name.may_be(&self.text);
        let path =
            (name == Name::Path && memchr::memchr(b'#', &self.text).is_some()).then(|| self.text.clone());
        Some(Entry { name, len: self.text.len(), path, is_bad })
    }

    /// Reads a string into `text`.
    fn string(&mut self, rest: &mut &[u8]) -> Option<()> {
        let is_coded = rest.first()? & 0x80 != 0;
        let len = integer(rest, 0x7f)?;
        let (string, tail) = rest.split_at_checked(len)?;
        *rest = tail;
        self.text.clear();
        if is_coded {
            return huffman::decode(string, &mut self.text);
        }
        self.text.extend_from_slice(string);
        Some(())
    }

    fn insert(&mut self, entry: Entry) {
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    fn evict(&mut self) {
        while self.size > self.most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }
}

impl Entry {
    fn size(&self) -> usize {
        ENTRY + self.name.len() + self.len
    }

    /// A field of the same size that the library can read; `kept`: the bit that puts it into the table.
    fn in_plain(&self, kept: u8) -> Vec<u8> {
        let mut field = vec![kept];
        for len in [self.name.len(), self.len] {
            put_len(len, &mut field);
            field.resize(field.len() + len, b'x');
        }
        field
    }
}

impl Name {
    fn of_static(index: usize) -> Self {
        let len = STATIC.get(index - 1).copied().map_or(0, usize::from);
        match index {
            1 | 6 | 7 => Self::Text(len),
            2 | 3 => Self::Method,
            4 | 5 => Self::Path,
            8..=PSEUDO => Self::Status,
            _ => Self::Plain(len),
        }
    }

    /// `None`: there is no name, and nothing of its size that could stand for it.
    fn of(text: &[u8]) -> Option<Self> {
        let len = text.len();
        Some(match text {
            b"" => return None,
            b":path" => Self::Path,
            b":method" => Self::Method,
            b":status" => Self::Status,
            b":authority" | b":scheme" | b":protocol" => Self::Text(len),
            name if HeaderName::from_lowercase(name).is_ok() => Self::Plain(len),
            _ => Self::Bad(len),
        })
    }

    fn len(self) -> usize {
        match self {
            Self::Plain(len) | Self::Text(len) | Self::Bad(len) => len,
            Self::Path => b":path".len(),
            Self::Method | Self::Status => b":method".len(),
        }
    }

    fn may_be(self, value: &[u8]) -> bool {
        match self {
            Self::Plain(_) => value.iter().all(|b| *b >= b' ' && *b != 0x7f || *b == b'\t'),
            Self::Text(_) | Self::Path => std::str::from_utf8(value).is_ok(),
            Self::Method => Method::from_bytes(value).is_ok(),
            Self::Status => StatusCode::from_bytes(value).is_ok(),
            Self::Bad(_) => false,
        }
    }
}

impl Found {
    fn add(&mut self, entry: &Entry) {
        self.has_pseudo |= !matches!(entry.name, Name::Plain(_) | Name::Bad(_));
        self.is_bad |= entry.is_bad;
        if self.path.is_none() {
            self.path.clone_from(&entry.path);
        }
    }

    /// The head as the library can read it, and refuses it.
    pub fn refusable(&self, block: &[u8]) -> Vec<u8> {
        let (mut new, mut from) = (Vec::with_capacity(block.len() + MALFORMED.len()), 0);
        for (range, edit) in &self.edits {
            new.extend_from_slice(block.get(from..range.start).unwrap_or_default());
            new.extend_from_slice(edit);
            from = range.end;
        }
        new.extend_from_slice(block.get(from..).unwrap_or_default());
        new.extend_from_slice(MALFORMED);
        new
    }
}

/// RFC 7541 5.1
fn integer(rest: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    let mut n = usize::from(first & prefix);
    if n < usize::from(prefix) {
        return Some(n);
    }
    for shift in [0, 7, 14, 21] {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        n += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(n);
        }
    }
    None
}

/// The length of a string as it is.
fn put_len(len: usize, out: &mut Vec<u8>) {
    let Some(mut rest) = len.checked_sub(0x7f) else {
        return out.extend(u8::try_from(len));
    };
    out.push(0x7f);
    while let Some(more) = (rest >> 7 > 0).then_some(rest >> 7) {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest = more;
    }
    out.extend(u8::try_from(rest));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(blocks: &[&[u8]]) -> Vec<Option<String>> {
        let mut table = Table::new(DEFAULT_TABLE);
        let read =
            |block: &&[u8]| table.read(block)?.path.map(|path| String::from_utf8_lossy(&path).into_owned());
        blocks.iter().map(read).collect()
    }

    fn check(blocks: &[&[u8]], expected: &[Option<&str>]) {
        assert_eq!(paths(blocks), expected.iter().map(|p| p.map(str::to_owned)).collect::<Vec<_>>());
    }

    #[test]
    fn paths_with_a_fragment_are_found_in_literals_of_each_form() {
        check(&[b"\x82\x04\x04/a#b", b"\x82\x14\x04/c#d\x86"], &[Some("/a#b"), Some("/c#d")]);
        check(&[b"\x00\x05:path\x02/#", b"\x00\x84\xb9\x58\xd3\x3f\x02/#"], &[Some("/#"), Some("/#")]);
        check(&[b"\x00\x05:patH\x02/#", b"\x82\x84\x0f\x00\x02/#"], &[None, None]);
        // Huffman codes of `/a#` and of `/a`.
        check(&[b"\x04\x83\x60\x7f\xf5", b"\x04\x82\x60\x7f"], &[Some("/a#"), None]);
    }

    #[test]
    fn entries_of_the_table_are_known_again() {
        // A path with, one without, another field; then each by its index, and their name with other paths.
        let first: &[u8] = b"\x44\x03/a#\x44\x02/b\x40\x01x\x01y";
        check(&[first, b"\xc0", b"\xbf\xbe"], &[Some("/a#"), Some("/a#"), None]);
        check(
            &[first, b"\x0f\x30\x02/#", b"\x0f\x2f\x02/#", b"\xc1"],
            &[Some("/a#"), Some("/#"), None, None],
        );
        // A table that is made smaller forgets the oldest; one of no size holds nothing.
        check(&[first, b"\x3f\x29\xbe", b"\xbf"], &[Some("/a#"), None, None]);
        let mut table = Table::new(DEFAULT_TABLE);
        assert!(table.read(first).is_some() && table.size == 40 + 39 + 34 && table.entries.len() == 3);
        assert!(table.read(b"\x20\x40\x01x\x01y").is_some() && table.size == 0 && table.entries.is_empty());
    }

    #[test]
    fn what_hpack_does_not_allow_is_told() {
        let bad: [&[u8]; 12] = [
            b"\x80",
            b"\xbe",
            b"\xff\xff\xff\xff\xff\xff",
            b"\x00\x84\xff\xff\xff\xff\x00",
            b"\x3f\xe1\xff\x7f",
            b"\x82\x20",
            b"\x40\x05a",
            b"\x04\x7f\xff\xff\x7f/#",
            b"\x04",
            b"\x7f",
            b"\x00\x00\x01a",
            b"\x0f\x2f\x01a",
        ];
        for block in bad {
            assert_eq!(Table::new(DEFAULT_TABLE).read(block), None, "{block:x?}");
        }
        assert!(Table::new(10_000).read(b"\x3f\xf1\x4d\x82").is_some());
    }

    /// What is bad is replaced by what takes as much room in the table, and stays bad there.
    #[test]
    fn bad_fields_are_made_readable() {
        for (block, edited) in [
            (&b"\x82\x00\x01X\x01y"[..], &b"\x82\x00\x01x\x01x"[..]),
            (b"\x40\x03a b\x01y\x84", b"\x40\x03xxx\x01x\x84"),
            (b"\x00\x04:foo\x00", b"\x00\x04xxxx\x00"),
            (b"\x42\x03G T", b"\x40\x07xxxxxxx\x03xxx"),
            (b"\x0f\x01\x02a\x00", b"\x00\x0fxxxxxxxxxxxxxxx\x02xx"),
            (b"\x04\x02/\xff", b"\x00\x05xxxxx\x02xx"),
        ] {
            let mut table = Table::new(DEFAULT_TABLE);
            let found = table.read(block).unwrap_or_default();
            assert!(found.is_bad, "{block:x?}");
            assert_eq!(found.refusable(block), [edited, MALFORMED].concat(), "{block:x?}");
            let (mut other, size) = (Table::new(DEFAULT_TABLE), table.size);
            assert!(other.read(edited).is_some_and(|found| !found.is_bad) && other.size == size);
            if !table.entries.is_empty() {
                assert!(table.read(b"\xbe").is_some_and(|found| found.is_bad), "{block:x?} again");
            }
        }
        let mut table = Table::new(DEFAULT_TABLE);
        let long = [b"\x40\x01X\x7f\x81\x0f".as_slice(), &[b'y'; 2048]].concat();
        let found = table.read(&long).unwrap_or_default();
        assert_eq!(Table::new(DEFAULT_TABLE).read(&found.refusable(&long)), Some(Found::default()));
    }
}
