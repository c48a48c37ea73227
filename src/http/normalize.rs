//! `http-request normalize-uri`: one normalizer at a time over the path and query of a target.

use super::target;
use crate::config::model::action::Normalizer;

/// A percent sign without two hexadecimal digits, under `strict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The new target, or `None` when nothing is there to normalize.
///
/// # Errors
/// [`Malformed`], only from the strict percent normalizers.
pub fn apply(normalizer: Normalizer, uri: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(range) = target::path_range(uri) else { return Ok(None) };
    let whole = uri.get(range).unwrap_or_default();
    let path = target::before_query(whole);
    let new_path = |new: Vec<u8>| Ok(Some(target::with_path(uri, &new)));
    let new_whole = |new: Vec<u8>| Ok(Some(target::with_path_and_query(uri, &new)));
    match normalizer {
        Normalizer::FragmentEncode => new_whole(replace_all(whole, b'#', b"%23")),
        Normalizer::FragmentStrip => {
            let end = whole.iter().position(|b| *b == b'#').unwrap_or(whole.len());
            new_whole(whole.get(..end).unwrap_or_default().to_vec())
        }
        Normalizer::PathMergeSlashes => new_path(merge_slashes(path)),
        Normalizer::PathStripDot => new_path(strip_dot(path)),
        Normalizer::PathStripDotDot { full } => new_path(strip_dot_dot(path, full)),
        Normalizer::PercentDecodeUnreserved { strict } => {
            new_whole(percent(whole, strict, decode_unreserved)?)
        }
        Normalizer::PercentToUppercase { strict } => new_whole(percent(whole, strict, |_| None)?),
        Normalizer::QuerySortByName => match target::query(uri) {
            Some(query) => Ok(Some(target::with_query(uri, &sort_query(query)))),
            None => Ok(None),
        },
    }
}

fn replace_all(text: &[u8], byte: u8, with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for b in text {
        if *b == byte {
            out.extend_from_slice(with);
        } else {
            out.push(*b);
        }
    }
    out
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|a, b| *a == b'/' && *b == b'/');
    out
}

/// Segments `.` go; one at the end leaves the slash before it.
fn strip_dot(path: &[u8]) -> Vec<u8> {
    let segments: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    let last = segments.len() - 1;
    let kept = segments.iter().enumerate().filter(|(i, s)| **s != b"." || *i == last);
    let kept: Vec<&[u8]> = kept.map(|(_, s)| if *s == b"." { &b""[..] } else { *s }).collect();
    kept.join(&b'/')
}

/// Each `..` takes the segment before it along. With `full`, those at the root go too.
fn strip_dot_dot(path: &[u8], full: bool) -> Vec<u8> {
    let body = path.strip_prefix(b"/").unwrap_or(path);
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in body.split(|b| *b == b'/') {
        ends_open = false;
        if segment != b".." {
            kept.push(segment);
        } else if kept.last().is_some_and(|s| *s != b"..") {
            kept.pop();
            ends_open = true;
        } else if full {
            ends_open = true;
        } else {
            kept.push(segment);
        }
    }
    if ends_open {
        kept.push(b"");
    }
    let mut out = vec![b'/'];
    out.extend(kept.join(&b'/'));
    out
}

/// Walks the percent encodings: `decoded` may give the byte that replaces one, else its digits are raised where the
/// normalizer is the upper-casing one.
fn percent(text: &[u8], strict: bool, decoded: fn(u8) -> Option<Percent>) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let digit = |i: usize| tail.get(i).and_then(|b| (*b as char).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            if strict {
                return Err(Malformed);
            }
            out.push(b'%');
            continue;
        };
        let (digits, after) = tail.split_at(2);
        rest = after;
        match decoded((high * 16 + low) as u8) {
            Some(Percent::Byte(b)) => out.push(b),
            Some(Percent::Keep) => {
                out.push(b'%');
                out.extend_from_slice(digits);
            }
            None => {
                out.push(b'%');
                out.extend(digits.iter().map(u8::to_ascii_uppercase));
            }
        }
    }
    Ok(out)
}

enum Percent {
    Byte(u8),
    Keep,
}

/// RFC 3986 2.3
fn decode_unreserved(byte: u8) -> Option<Percent> {
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    Some(if unreserved { Percent::Byte(byte) } else { Percent::Keep })
}

/// By the name before `=`; equal names keep their order. An empty parameter at the end is lost.
fn sort_query(query: &[u8]) -> Vec<u8> {
    let mut parameters: Vec<&[u8]> = query.split(|b| *b == b'&').collect();
    if parameters.last().is_some_and(|p| p.is_empty()) {
        parameters.pop();
    }
    parameters.sort_by_key(|p| p.split(|b| *b == b'=').next().unwrap_or_default());
    parameters.join(&b'&')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are haproxy 2.6's; those of `path-strip-dotdot` without `full` and of the lenient percent
    /// normalizers are the manual's.
    fn check(normalizer: Normalizer, uri: &str, expected: Result<&str, Malformed>) {
        let got = apply(normalizer, uri.as_bytes()).map(|new| new.unwrap_or_else(|| uri.as_bytes().to_vec()));
        assert_eq!(
            got.map(|u| String::from_utf8_lossy(&u).into_owned()),
            expected.map(str::to_owned),
            "{uri}"
        );
    }

    #[test]
    fn slashes_and_dots() {
        let merge = Normalizer::PathMergeSlashes;
        check(merge, "/a//b///c?d//e", Ok("/a/b/c?d//e"));
        check(merge, "http://h.com//a//b", Ok("http://h.com/a/b"));
        check(merge, "*", Ok("*"));
        check(merge, "http://h.com", Ok("http://h.com"));
        let dot = Normalizer::PathStripDot;
        check(dot, "/./a/./b/.", Ok("/a/b/"));
        check(dot, "/.", Ok("/"));
        check(dot, "/a/.?x/./", Ok("/a/?x/./"));
        check(dot, "/a./.b", Ok("/a./.b"));
        check(dot, "/././x", Ok("/x"));
    }

    #[test]
    fn dot_dot() {
        let plain = Normalizer::PathStripDotDot { full: false };
        check(plain, "/foo/../", Ok("/"));
        check(plain, "/foo/../bar/", Ok("/bar/"));
        check(plain, "/foo/bar/../", Ok("/foo/"));
        check(plain, "/../bar/", Ok("/../bar/"));
        check(plain, "/bar/../../", Ok("/../"));
        check(plain, "/foo//../", Ok("/foo/"));
        let full = Normalizer::PathStripDotDot { full: true };
        check(full, "/../a", Ok("/a"));
        check(full, "/a/../../b", Ok("/b"));
        check(full, "/..", Ok("/"));
        check(full, "/../../x/..", Ok("/"));
        check(full, "/../..", Ok("/"));
    }

    #[test]
    fn percents() {
        let decode = |strict| Normalizer::PercentDecodeUnreserved { strict };
        check(decode(true), "/%41", Ok("/A"));
        check(decode(true), "/%zz%41", Err(Malformed));
        check(decode(true), "/%4", Err(Malformed));
        check(decode(false), "/%zz%41%2f", Ok("/%zzA%2f"));
        let upper = |strict| Normalizer::PercentToUppercase { strict };
        check(upper(true), "/%2f", Ok("/%2F"));
        check(upper(true), "/%zz", Err(Malformed));
        check(upper(false), "/%zz%3d", Ok("/%zz%3D"));
    }

    #[test]
    fn query() {
        let sort = Normalizer::QuerySortByName;
        check(sort, "/x?c=1&a=2&b&a=1", Ok("/x?a=2&a=1&b&c=1"));
        check(sort, "/x?&", Ok("/x?"));
        check(sort, "/x?aa=1&a=2&a", Ok("/x?a=2&a&aa=1"));
        check(sort, "/x", Ok("/x"));
        check(sort, "/?", Ok("/?"));
        check(sort, "/?b&&a", Ok("/?&a&b"));
        check(sort, "/?a=z&a-b=1&a%3d", Ok("/?a=z&a%3d&a-b=1"));
        check(sort, "/?c=1&a=2&b=3&a=1&", Ok("/?a=2&a=1&b=3&c=1"));
    }
}
