//! Text patterns: exact, prefix, suffix, substring and between delimiters.
//!
//! Short lists are scanned; long exact, prefix and suffix lists go through hash tables (a prefix list has one lookup
//! for each length in use).

use super::Method;
use super::places::{Places, forget, note};
use std::collections::{BTreeMap, HashMap};

/// Up to here a scan beats hashing.
const SCANNED: usize = 8;

#[derive(Debug)]
pub(crate) struct TextList {
    method: Method,
    /// By entry number.
    entries: BTreeMap<u32, Entry>,
    /// Kept only for exact, prefix and suffix lists longer than [`SCANNED`].
    sensitive: Index,
    folded: Index,
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    ignore_case: bool,
}

#[derive(Debug, Default)]
struct Index {
    table: HashMap<Box<[u8]>, Places>,
    /// Lengths in use, longest first, and by how many entries.
    lengths: Vec<(usize, usize)>,
}

impl TextList {
    pub fn new(method: Method) -> Self {
        Self { method, entries: BTreeMap::new(), sensitive: Index::default(), folded: Index::default() }
    }

    /// `index` is greater than that of every entry already there.
    pub fn add(&mut self, text: &[u8], ignore_case: bool, index: u32) {
        let text = self.trimmed(text);
        if self.is_indexed() {
            let into = if ignore_case { &mut self.folded } else { &mut self.sensitive };
            into.add(text, ignore_case, index);
        }
        self.entries.insert(index, Entry { text: text.into(), ignore_case });
    }

    pub fn remove(&mut self, index: u32) {
        let Some(entry) = self.entries.remove(&index) else { return };
        if self.is_indexed() {
            let from = if entry.ignore_case { &mut self.folded } else { &mut self.sensitive };
            from.remove(&entry.text, entry.ignore_case, index);
        }
    }

    fn trimmed<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        match self.method {
            Method::Dir => trim_delimiters(text, DIR),
            Method::Dom => trim_delimiters(text, DOM),
            _ => text,
        }
    }

    fn is_indexed(&self) -> bool {
        matches!(self.method, Method::Str | Method::Beg | Method::End | Method::Bin)
    }

    pub fn find(&self, text: &[u8]) -> Option<u32> {
        if self.entries.len() > SCANNED && self.is_indexed() {
            return self.find_indexed(text);
        }
        let hits = self.entries.iter().filter(|(_, e)| self.entry_matches(e, text));
        match self.method {
            // Equal lengths: the first given.
            Method::Beg => hits.min_by_key(|(i, e)| (usize::MAX - e.text.len(), **i)).map(|(i, _)| *i),
            _ => hits.map(|(i, _)| *i).next(),
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
        match self.lengths.binary_search_by(|(l, _)| text.len().cmp(l)) {
            Ok(at) => self.lengths[at].1 += 1,
            Err(at) => self.lengths.insert(at, (text.len(), 1)),
        }
        note(&mut self.table, key, index);
    }

    fn remove(&mut self, text: &[u8], fold: bool, index: u32) {
        if let Ok(at) = self.lengths.binary_search_by(|(l, _)| text.len().cmp(l)) {
            self.lengths[at].1 -= 1;
            if self.lengths[at].1 == 0 {
                self.lengths.remove(at);
            }
        }
        if fold {
            forget(&mut self.table, text.to_ascii_lowercase().as_slice(), index);
        } else {
            forget(&mut self.table, text, index);
        }
    }

    fn find(&self, method: Method, text: &[u8]) -> Option<u32> {
        let fitting = self.lengths.iter().map(|(l, _)| *l).filter(|l| *l <= text.len());
        let first = |t: &[u8]| self.table.get(t).map(Places::first);
        match method {
            Method::Beg => fitting.filter_map(|l| first(text.get(..l)?)).next(),
            Method::End => fitting.filter_map(|l| first(text.get(text.len() - l..)?)).min(),
            _ => first(text),
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
            for i in 0..patterns.len() {
                list.remove(i as u32);
            }
            assert_eq!(list.find(text.as_bytes()), None, "{method:?} {patterns:?} removed ({padding})");
        }
    }

    #[test]
    fn removing_one_of_two_leaves_the_other() {
        let mut list = TextList::new(Method::Str);
        for i in 0..20 {
            list.add(b"same", true, i);
        }
        list.remove(0);
        assert_eq!(list.find(b"SAME"), Some(1));
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
