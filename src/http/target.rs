//! The parts of a request target, whatever its form (RFC 9112 3.2), and how they are replaced.

use std::ops::Range;

/// Where the path and query stand. `None` for `*`, and for an authority without a path.
#[must_use]
pub fn path_range(target: &[u8]) -> Option<Range<usize>> {
    let start = match target.first()? {
        b'/' => 0,
        b'*' if target.len() == 1 => return None,
        _ => {
            let authority = after_scheme(target).unwrap_or(0);
            authority + target.get(authority..)?.iter().position(|b| *b == b'/')?
        }
    };
    Some(start..target.len())
}

/// The path with its query.
#[must_use]
pub fn path_and_query(target: &[u8]) -> Option<&[u8]> {
    path_range(target).and_then(|range| target.get(range))
}

/// What stands before the first `?`.
#[must_use]
pub fn before_query(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|b| *b == b'?').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// What follows the first `?`.
#[must_use]
pub fn query(target: &[u8]) -> Option<&[u8]> {
    let mark = target.iter().position(|b| *b == b'?')?;
    target.get(mark + 1..)
}

/// Where the authority stands in an absolute or authority-form target (user information included); `None` otherwise.
#[must_use]
pub fn authority_range(target: &[u8]) -> Option<Range<usize>> {
    if matches!(target.first(), None | Some(b'/')) || target == b"*" {
        return None;
    }
    let start = after_scheme(target).unwrap_or(0);
    let rest = target.get(start..)?;
    let end = start + rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
    (end > start).then_some(start..end)
}

/// The authority without user information, as it belongs into `host`.
#[must_use]
pub fn host(target: &[u8]) -> Option<&[u8]> {
    let authority = target.get(authority_range(target)?)?;
    let at = authority.iter().rposition(|b| *b == b'@').map_or(0, |i| i + 1);
    authority.get(at..).filter(|host| !host.is_empty())
}

/// Past `scheme://`.
#[must_use]
pub fn after_scheme(target: &[u8]) -> Option<usize> {
    let colon = target.iter().position(|b| *b == b':')?;
    let scheme = target.get(..colon)?;
    let valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    (valid && target.get(colon..)?.starts_with(b"://")).then_some(colon + 3)
}

/// Scheme, authority and the rest of an absolute target; the rest may be empty, or begin with `?`.
#[must_use]
pub fn parts(target: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let start = after_scheme(target)?;
    let (scheme, rest) = target.split_at_checked(start)?;
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    Some((scheme.strip_suffix(b"://")?, authority, rest))
}

/// `set-path`: the path is replaced and the query kept; a target without a path is replaced whole.
#[must_use]
pub fn with_path(target: &[u8], path: &[u8]) -> Vec<u8> {
    let range = path_range(target).unwrap_or(0..target.len());
    let old = target.get(range.clone()).unwrap_or_default();
    let end = range.start + before_query(old).len();
    splice(target, range.start..end, path)
}

/// `set-pathq`: path and query are replaced together.
#[must_use]
pub fn with_path_and_query(target: &[u8], path: &[u8]) -> Vec<u8> {
    splice(target, path_range(target).unwrap_or(0..target.len()), path)
}

/// `set-query`: an empty query leaves a `?` that was there and adds none.
#[must_use]
pub fn with_query(target: &[u8], query: &[u8]) -> Vec<u8> {
    let mut new = before_query(target).to_vec();
    if new.len() < target.len() || !query.is_empty() {
        new.push(b'?');
    }
    new.extend_from_slice(query);
    new
}

/// `text` with `range` replaced.
#[must_use]
pub fn splice(text: &[u8], range: Range<usize>, with: &[u8]) -> Vec<u8> {
    let mut new = Vec::with_capacity(text.len() + with.len());
    new.extend_from_slice(text.get(..range.start).unwrap_or_default());
    new.extend_from_slice(with);
    new.extend_from_slice(text.get(range.end..).unwrap_or_default());
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    type Edit = fn(&[u8], &[u8]) -> Vec<u8>;

    /// Expected values are what haproxy 2.6 sends to the server.
    fn check(edit: Edit, target: &str, value: &str, expected: &str) {
        let got = edit(target.as_bytes(), value.as_bytes());
        assert_eq!(String::from_utf8_lossy(&got), expected, "{target} {value}");
    }

    #[test]
    fn set_path() {
        check(with_path, "/x?a=b", "/new", "/new?a=b");
        check(with_path, "http://h.com/x?a=b", "/new", "http://h.com/new?a=b");
        check(with_path, "http://h.com", "/new", "/new");
        check(with_path, "*", "/new", "/new");
        check(with_path, "http://h.com/x?a=b", "new", "http://h.comnew?a=b");
        check(with_path, "/x?a=b", "", "?a=b");
        check(with_path, "h.com:80", "/n", "/n");
    }

    #[test]
    fn set_pathq() {
        check(with_path_and_query, "/x?a=b", "/p?q", "/p?q");
        check(with_path_and_query, "http://h.com/x?a", "/p?q", "http://h.com/p?q");
        check(with_path_and_query, "http://h.com", "/p?q", "/p?q");
    }

    #[test]
    fn set_query() {
        check(with_query, "/x?a=b", "z=1", "/x?z=1");
        check(with_query, "/x", "z=1", "/x?z=1");
        check(with_query, "http://h.com", "z=1", "http://h.com?z=1");
        check(with_query, "*", "z=1", "*?z=1");
        check(with_query, "/x?a=b", "", "/x?");
        check(with_query, "/x", "", "/x");
    }

    #[test]
    fn hosts() {
        fn check(target: &str, expected: Option<&str>) {
            assert_eq!(host(target.as_bytes()), expected.map(str::as_bytes), "{target}");
        }
        check("http://u:p@zz.com:80/u", Some("zz.com:80"));
        check("zz.com:80", Some("zz.com:80"));
        check("y", Some("y"));
        check("/u", None);
        check("*", None);
        check("", None);
    }
}
