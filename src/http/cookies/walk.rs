//! The cookies of a `cookie` or `set-cookie` value, found and edited in place.

use std::ops::Range;

/// One `name=value`, as ranges of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The delimiter before it, or the beginning of the text.
    pub from: usize,
    pub name: Range<usize>,
    pub value: Range<usize>,
    /// The delimiter after it, or the end of the text.
    pub next: usize,
}

/// A value being walked. White space around `=` is taken out on the way, as HAProxy does.
#[derive(Debug)]
pub struct Walker {
    pub text: Vec<u8>,
    original_len: usize,
    edited: bool,
    at: usize,
    started: bool,
}

impl Walker {
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        Self { text: text.to_vec(), original_len: text.len(), edited: false, at: 0, started: false }
    }

    /// The next pair that has a value; names that begin with `$` are attributes of the one before (RFC 2109).
    pub fn advance(&mut self) -> Option<Pair> {
        loop {
            let from = self.at;
            if from >= self.text.len() {
                return None;
            }
            let start = from + usize::from(self.started);
            self.started = true;
            let begin = self.skip_blanks(start);
            let name_end = self.name_end(begin);
            if self.text.get(name_end) != Some(&b'=') {
                self.at = name_end;
                if name_end >= self.text.len() {
                    return None;
                }
                continue;
            }
            let name = begin..self.back_over_blanks(begin, name_end);
            self.text.drain(name.end..name_end);
            let value_begin = name.end + 1;
            let blanks = self.skip_blanks(value_begin);
            self.text.drain(value_begin..blanks);
            let next = self.value_end(value_begin);
            let value = value_begin..self.back_over_blanks(value_begin, next);
            self.at = next;
            if self.text.get(begin) != Some(&b'$') {
                return Some(Pair { from, name, value, next });
            }
        }
    }

    /// Is the text another than it was?
    #[must_use]
    pub fn changed(&self) -> bool {
        self.edited || self.text.len() != self.original_len
    }

    /// Puts other bytes into the current value.
    pub fn replace(&mut self, range: Range<usize>, with: &[u8]) {
        self.at = self.at - range.len() + with.len();
        self.text.splice(range, with.iter().copied());
        self.edited = true;
    }

    /// Takes the pair out, with one of the delimiters at its sides.
    pub fn delete(&mut self, pair: &Pair) {
        let end = self.text.len();
        if pair.from == 0 {
            let next = self.skip_blanks((pair.next + 1).min(end));
            self.text.drain(..next);
            self.at = 0;
            self.started = false;
            return;
        }
        let from = self.back_over_blanks(0, pair.from);
        if pair.next >= end {
            self.text.truncate(from);
        } else {
            let next = self.skip_blanks(pair.next + 1);
            let delimiter = self.text.get(pair.next).copied().unwrap_or(b';');
            let spaced = next > pair.next + 1 || pair.from + 1 < self.text.len();
            let between: &[u8] = if spaced { &[delimiter, b' '] } else { &[delimiter] };
            self.text.splice(from..next, between.iter().copied());
        }
        self.at = from;
    }

    fn skip_blanks(&self, from: usize) -> usize {
        let blanks = self.text.get(from..).unwrap_or_default().iter().take_while(|b| is_blank(**b)).count();
        from + blanks
    }

    fn back_over_blanks(&self, from: usize, to: usize) -> usize {
        let text = self.text.get(from..to).unwrap_or_default();
        to - text.iter().rev().take_while(|b| is_blank(**b)).count()
    }

    fn name_end(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        from + rest.iter().position(|b| matches!(b, b'=' | b',' | b';')).unwrap_or(rest.len())
    }

    /// The delimiter that ends a value; quotes hide delimiters.
    fn value_end(&self, from: usize) -> usize {
        let mut quoted = false;
        let mut escaped = false;
        for (i, b) in self.text.iter().enumerate().skip(from) {
            match b {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b';' | b',' if !quoted => return i,
                _ => {}
            }
        }
        self.text.len()
    }
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deletes every cookie called `S`; expected values are what haproxy 2.6 forwards with `cookie S insert indirect`.
    fn check(text: &str, expected: &str) {
        let mut walker = Walker::new(text.as_bytes());
        while let Some(pair) = walker.advance() {
            if walker.text.get(pair.name.clone()) == Some(b"S") {
                walker.delete(&pair);
            }
        }
        assert_eq!(String::from_utf8_lossy(&walker.text), expected, "{text}");
    }

    #[test]
    fn deletes() {
        check("S=A", "");
        check("S=B; x=y", "x=y");
        check("x=y; S=B;  z=t", "x=y; z=t");
        check("a=b;S=A~foo", "a=b");
        check("S=A; S=B", "");
        check("x=y; S=B; S=C", "x=y");
        check("AB = 12 34 ; c=d", "AB=12 34 ; c=d");
        check("AB; c=d", "AB; c=d");
        check("", "");
        check("=", "=");
        check(";;S=1;;", ";; ;");
        check("x=y;S=B;z=t", "x=y; z=t");
        check("S=1;;b=c", ";b=c");
        check("S=1,b=c", "b=c");
        check("a=b , S=1 , c=d", "a=b, c=d");
        check("a;S=1;b", "a; b");
        check("S=1 ; S = 2 ;c", "c");
        check("x=\"S=1; y\"; S=2", "x=\"S=1; y\"");
    }
}
