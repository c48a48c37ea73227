//! Compiled patterns. `regex` runs in linear time and is used wherever it accepts the pattern; look-around and
//! back-references, which HAProxy's PCRE accepts, run on `fancy-regex` with a bound on backtracking.

use std::sync::Arc;

/// More steps than this in one match is "no match": a request must not hold a thread.
const BACKTRACK_LIMIT: usize = 100_000;

/// HAProxy's replacements know `\0` to `\9`.
const GROUPS: usize = 10;

/// A compiled pattern: `regex` where it can, `fancy-regex` (bounded) where the pattern needs look-around or back-references.
#[derive(Debug, Clone)]
pub struct Regex {
    engine: Engine,
}

#[derive(Debug, Clone)]
enum Engine {
    Linear(regex::bytes::Regex),
    Backtracking(Arc<fancy_regex::Regex>),
}

impl Regex {
    /// # Errors
    /// The pattern is neither.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, String> {
        let translated = pcre_spellings(pattern);
        let linear =
            regex::bytes::RegexBuilder::new(&translated).case_insensitive(ignore_case).unicode(false).build();
        let first = match linear {
            Ok(regex) => return Ok(Self { engine: Engine::Linear(regex) }),
            Err(e) => e,
        };
        let bounded = fancy_regex::RegexBuilder::new(&translated)
            .case_insensitive(ignore_case)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build();
        match bounded {
            Ok(regex) => Ok(Self { engine: Engine::Backtracking(Arc::new(regex)) }),
            Err(_) => Err(format!("regex '{pattern}' is invalid ({})", last_line(&first.to_string()))),
        }
    }

    /// Does it run on the backtracking engine (slower, bounded)?
    #[must_use]
    pub fn backtracks(&self) -> bool {
        matches!(self.engine, Engine::Backtracking(_))
    }

    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(text),
            Engine::Backtracking(regex) => as_text(text, |t, _| regex.is_match(t).unwrap_or(false)),
        }
    }

    /// `text` with the first match, or every one, replaced; `\\1` in the replacement is a group. After an empty match
    /// one byte is copied and the search goes on behind it.
    #[must_use]
    pub fn substitute(&self, text: &[u8], replacement: &[u8], global: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + replacement.len());
        let mut from = 0;
        while let Some(groups) = self.captures_at(text, from) {
            let Some((start, end)) = groups.first().copied().flatten() else { break };
            out.extend_from_slice(text.get(from..start).unwrap_or_default());
            expand(replacement, text, &groups, &mut out);
            from = end;
            if start == end {
                out.extend(text.get(end));
                from += 1;
            }
            if !global || from > text.len() {
                break;
            }
        }
        out.extend_from_slice(text.get(from..).unwrap_or_default());
        out
    }

    /// Byte ranges of group 0..=9 of the first match at or after `from`; `None`: no match.
    #[must_use]
    pub fn captures_at(&self, text: &[u8], from: usize) -> Option<Vec<Option<(usize, usize)>>> {
        if from > text.len() {
            return None;
        }
        match &self.engine {
            Engine::Linear(regex) => {
                let found = regex.captures_at(text, from)?;
                let count = found.len().min(GROUPS);
                Some((0..count).map(|i| found.get(i).map(|m| (m.start(), m.end()))).collect())
            }
            Engine::Backtracking(regex) => as_text(text, |t, place| {
                let from = place.inner(from);
                let found = regex.captures_from_pos(t, from).ok()??;
                let count = found.len().min(GROUPS);
                let outer = |m: fancy_regex::Match<'_>| (place.outer(m.start()), place.outer(m.end()));
                Some((0..count).map(|i| found.get(i).map(outer)).collect())
            }),
        }
    }
}

/// Appends `template` with `\\0` to `\\9` replaced by groups of `text`; `\\xNN` is a byte, any other `\\c` is `c`.
pub fn expand(template: &[u8], text: &[u8], groups: &[Option<(usize, usize)>], out: &mut Vec<u8>) {
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match after.get(1..).unwrap_or_default() {
            [digit @ b'0'..=b'9', tail @ ..] => {
                if let Some((start, end)) = groups.get(usize::from(digit - b'0')).copied().flatten() {
                    out.extend_from_slice(text.get(start..end).unwrap_or_default());
                }
                tail
            }
            [b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |b: &u8| char::from(*b).to_digit(16).unwrap_or(0) as u8;
                out.push(digit(high) << 4 | digit(low));
                tail
            }
            [other, tail @ ..] => {
                out.push(*other);
                tail
            }
            [] => &[],
        };
    }
    out.extend_from_slice(rest);
}

/// fancy-regex reads `str` only. Bytes that are not UTF-8 are read as Latin-1 and offsets mapped back.
fn as_text<R>(text: &[u8], run: impl FnOnce(&str, &Place<'_>) -> R) -> R {
    match std::str::from_utf8(text) {
        Ok(t) => run(t, &Place { source: text, widened: false }),
        Err(_) => {
            let wide: String = text.iter().map(|b| char::from(*b)).collect();
            run(&wide, &Place { source: text, widened: true })
        }
    }
}

struct Place<'a> {
    source: &'a [u8],
    widened: bool,
}

impl Place<'_> {
    fn width(byte: u8) -> usize {
        if byte < 0x80 { 1 } else { 2 }
    }

    fn inner(&self, outer: usize) -> usize {
        if self.widened {
            return self.source.iter().take(outer).map(|b| Self::width(*b)).sum();
        }
        // A position inside a character is no position in a `str`: go on to the next boundary.
        let mut at = outer.min(self.source.len());
        while at < self.source.len() && self.source.get(at).is_some_and(|b| b & 0xC0 == 0x80) {
            at += 1;
        }
        at
    }

    fn outer(&self, inner: usize) -> usize {
        if !self.widened {
            return inner;
        }
        let mut passed = 0;
        for (i, b) in self.source.iter().enumerate() {
            if passed >= inner {
                return i;
            }
            passed += Self::width(*b);
        }
        self.source.len()
    }
}

/// PCRE takes a `\` before any character as that character; `regex` refuses those it may give a meaning later.
/// Also `{` that opens no repetition is a plain brace in PCRE.
fn pcre_spellings(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.char_indices().peekable();
    let mut in_class = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, next)) if needless_escape(next) => {
                    out.push(next);
                }
                Some((_, next)) => {
                    out.push('\\');
                    out.push(next);
                }
                None => out.push('\\'),
            },
            '[' if in_class && !pattern[at..].starts_with("[:") => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                if let Some((_, '^')) = chars.peek() {
                    out.push('^');
                    chars.next();
                }
                if let Some((_, ']')) = chars.peek() {
                    out.push_str("\\]");
                    chars.next();
                }
            }
            ']' if in_class => {
                // A POSIX class inside (`[[:alpha:]]`) closes with ":]".
                if !(out.ends_with(':') && out.rfind("[:").is_some_and(|p| p + 2 < out.len())) {
                    in_class = false;
                }
                out.push(']');
            }
            '{' if !in_class && !opens_repetition(&pattern[at..]) => out.push_str("\\{"),
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn needless_escape(c: char) -> bool {
    matches!(c, '/' | '_' | '"' | '\'' | '%' | ',' | ';' | ':' | '=' | '!' | '@' | '`' | ' ' | '<' | '>')
}

fn opens_repetition(rest: &str) -> bool {
    let Some(inner) = rest.strip_prefix('{').and_then(|r| r.split_once('}')).map(|(i, _)| i) else {
        return false;
    };
    let mut parts = inner.splitn(2, ',');
    let first = parts.next().unwrap_or_default();
    let second = parts.next().unwrap_or_default();
    !first.is_empty()
        && first.bytes().all(|b| b.is_ascii_digit())
        && second.bytes().all(|b| b.is_ascii_digit())
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, ignore_case: bool, text: &str, expected: Option<(usize, usize)>) {
        let regex = Regex::new(pattern, ignore_case).unwrap();
        let found = regex.captures_at(text.as_bytes(), 0).and_then(|g| g[0]);
        assert_eq!(found, expected, "{pattern} on {text}");
        assert_eq!(regex.is_match(text.as_bytes()), expected.is_some(), "{pattern} on {text}");
    }

    #[test]
    fn matches_as_pcre_does() {
        check(r"^/api/v\d+/", false, "/api/v12/x", Some((0, 9)));
        check(r"^\/static\/", false, "/static/a", Some((0, 8)));
        check(r"\.(JPG|png)$", true, "/a.jpg", Some((2, 6)));
        check(r"a(?=b)", false, "xab", Some((1, 2)));
        check(r"^(?!/admin).*$", false, "/admin", None);
        check(r"(.)\1", false, "abccd", Some((2, 4)));
        check(r"[[:alpha:]]+[0-9]", false, "--ab1", Some((2, 5)));
        check(r"[^]x]+", false, "]ab]", Some((1, 3)));
        check(r"a{x}", false, "a{x}", Some((0, 4)));
        check(r"a{2}", false, "baa", Some((1, 3)));
        check(r"[\w.-]+@", false, "me.x@h", Some((0, 5)));
        check(r"[a[]+", false, "x[a", Some((1, 3)));
        check(r"^((?!foo).)*$", false, "bar", Some((0, 3)));
    }

    #[test]
    fn latin1_bytes_keep_their_offsets() {
        let regex = Regex::new(r"b(?=c)", false).unwrap();
        assert_eq!(regex.captures_at(b"\xff\xfebc", 0).unwrap()[0], Some((2, 3)));
        assert_eq!(regex.captures_at(b"bc\xff\xfebc", 2).unwrap()[0], Some((4, 5)));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(Regex::new("([)", false).unwrap_err().starts_with("regex '([)' is invalid"));
    }
}
