//! Text patterns: exact, prefix, suffix, substring and between delimiters.
//!
//! Short lists are scanned; long exact, prefix and suffix lists go through hash tables (a prefix list has one lookup
//! for each length in use).

use super::Method;
use std::collections::HashMap;

/// Up to here a scan beats hashing.
const SCANNED: usize = 8;

#[derive(Debug)]
pub(crate) struct TextList {
    method: Method,
    entries: Vec<Entry>,
    /// Kept only for exact, prefix and suffix lists longer than [`SCANNED`].
    sensitive: Index,
    folded: Index,
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    ignore_case: bool,
    index: u32,
}

#[derive(Debug, Default)]
struct Index {
    table: HashMap<Box<[u8]>, u32>,
    /// Lengths in use, longest first.
    lengths: Vec<usize>,
}

impl TextList {
    pub fn new(method: Method) -> Self {
        Self { method, entries: Vec::new(), sensitive: Index::default(), folded: Index::default() }
    }

    pub fn add(&mut self, text: &[u8], ignore_case: bool, index: u32) {
        let text = match self.method {
            Method::Dir => trim_delimiters(text, DIR),
            Method::Dom => trim_delimiters(text, DOM),
            _ => text,
        };
        if matches!(self.method, Method::Str | Method::Beg | Method::End | Method::Bin) {
            let into = if ignore_case { &mut self.folded } else { &mut self.sensitive };
            into.add(text, ignore_case, index);
        }
        self.entries.push(Entry { text: text.into(), ignore_case, index });
    }

    pub fn find(&self, text: &[u8]) -> Option<u32> {
        if self.entries.len() > SCANNED && !self.sensitive.is_empty_with(&self.folded) {
            return self.find_indexed(text);
        }
        let hits = self.entries.iter().filter(|e| self.entry_matches(e, text));
        match self.method {
            // Equal lengths: the first given.
            Method::Beg => hits.min_by_key(|e| (usize::MAX - e.text.len(), e.index)).map(|e| e.index),
            _ => hits.map(|e| e.index).next(),
        }
    }

    fn find_indexed(&self, text: &[u8]) -> Option<u32> {
        let exact = self.sensitive.find(self.method, text);
        if self.folded.table.is_empty() {
            return exact;
        }
        let folded = with_folded(text, |t| self.folded.find(self.method, t));
        match (exact, folded) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn entry_matches(&self, entry: &Entry, text: &[u8]) -> bool {
        let pattern = &*entry.text;
        let same = |a: &[u8]| if entry.ignore_case { a.eq_ignore_ascii_case(pattern) } else { a == pattern };
        let len = pattern.len();
        match self.method {
            Method::Beg => text.get(..len).is_some_and(same),
            Method::End => text.len().checked_sub(len).and_then(|at| text.get(at..)).is_some_and(same),
            Method::Sub => contains(text, pattern, entry.ignore_case),
            // Delimiters alone name no directory.
            Method::Dir => len > 0 && between(text, pattern, entry.ignore_case, DIR),
            Method::Dom => len > 0 && between(text, pattern, entry.ignore_case, DOM),
            // Known methods are case-sensitive even under -i.
            Method::Verb if is_known_method(text) => text == pattern,
            _ => same(text),
        }
    }
}

impl Index {
    fn add(&mut self, text: &[u8], fold: bool, index: u32) {
        let key: Box<[u8]> = if fold { text.to_ascii_lowercase().into() } else { text.into() };
        if let Err(at) = self.lengths.binary_search_by(|l| text.len().cmp(l)) {
            self.lengths.insert(at, text.len());
        }
        self.table.entry(key).or_insert(index);
    }

    fn is_empty_with(&self, other: &Self) -> bool {
        self.table.is_empty() && other.table.is_empty()
    }

    fn find(&self, method: Method, text: &[u8]) -> Option<u32> {
        let fitting = self.lengths.iter().filter(|l| **l <= text.len());
        match method {
            Method::Beg => fitting.filter_map(|l| self.table.get(text.get(..*l)?)).copied().next(),
            Method::End => fitting.filter_map(|l| self.table.get(text.get(text.len() - l..)?)).copied().min(),
            _ => self.table.get(text).copied(),
        }
    }
}

/// Lower-cases into a buffer on the stack where it fits.
fn with_folded<R>(text: &[u8], see: impl FnOnce(&[u8]) -> R) -> R {
    let mut room = [0_u8; 256];
    match room.get_mut(..text.len()) {
        Some(buffer) => {
            buffer.copy_from_slice(text);
            buffer.make_ascii_lowercase();
            see(buffer)
        }
        None => see(&text.to_ascii_lowercase()),
    }
}

const DIR: &[u8] = b"/?";
const DOM: &[u8] = b"/?.:";

fn trim_delimiters<'a>(text: &'a [u8], delimiters: &[u8]) -> &'a [u8] {
    let start = text.iter().position(|b| !delimiters.contains(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !delimiters.contains(b)).map_or(start, |p| p + 1);
    text.get(start..end).unwrap_or_default()
}

fn contains(text: &[u8], pattern: &[u8], ignore_case: bool) -> bool {
    if !ignore_case {
        return memchr::memmem::find(text, pattern).is_some();
    }
    places(text, pattern)
        .any(|at| text.get(at..at + pattern.len()).is_some_and(|t| t.eq_ignore_ascii_case(pattern)))
}

fn is_known_method(text: &[u8]) -> bool {
    crate::message::Method::from_bytes(text) != crate::message::Method::Other
}

/// Where `pattern` could start in `text`.
fn places(text: &[u8], pattern: &[u8]) -> std::ops::Range<usize> {
    0..(text.len() + 1).saturating_sub(pattern.len())
}

fn between(text: &[u8], pattern: &[u8], ignore_case: bool, delimiters: &[u8]) -> bool {
    let is_edge = |b: Option<&u8>| b.is_none_or(|b| delimiters.contains(b));
    places(text, pattern).any(|at| {
        let end = at + pattern.len();
        let same = text
            .get(at..end)
            .is_some_and(|t| if ignore_case { t.eq_ignore_ascii_case(pattern) } else { t == pattern });
        same && is_edge(at.checked_sub(1).and_then(|p| text.get(p))) && is_edge(text.get(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, patterns: &[&str], ignore_case: bool, text: &str, expected: Option<u32>) {
        // Padding entries bring the list over the size at which it is indexed; the answer must not change.
        for padding in [0, 20] {
            let mut list = TextList::new(method);
            for (i, p) in patterns.iter().enumerate() {
                list.add(p.as_bytes(), ignore_case, i as u32);
            }
            for i in 0..padding {
                list.add(format!("\u{1}never{i}").as_bytes(), ignore_case, 1000 + i);
            }
            assert_eq!(list.find(text.as_bytes()), expected, "{method:?} {patterns:?} on {text} ({padding})");
        }
    }

    #[test]
    fn finds_text() {
        check(Method::Str, &["a", "b"], false, "b", Some(1));
        check(Method::Str, &["Ab"], true, "aB", Some(0));
        check(Method::Str, &["Ab"], false, "aB", None);
        check(Method::Beg, &["/", "/static"], false, "/static/x", Some(1));
        check(Method::Beg, &["/STATIC"], true, "/static/x", Some(0));
        check(Method::End, &[".jpg", ".png"], false, "/x.png", Some(1));
        check(Method::End, &[".JPG"], true, "/x.jpg", Some(0));
        check(Method::Sub, &["bc"], false, "abcd", Some(0));
        check(Method::Sub, &["BC"], true, "abcd", Some(0));
        check(Method::Dir, &["b"], false, "/a/b/c", Some(0));
        check(Method::Dir, &["b"], false, "/a/bc", None);
        check(Method::Dir, &["/a/b"], false, "/a/b?x", Some(0));
        check(Method::Dom, &["example.com"], false, "www.example.com:80", Some(0));
        check(Method::Dom, &["example.com"], false, "myexample.com", None);
        check(Method::Sub, &["longer"], false, "long", None);
    }
}
