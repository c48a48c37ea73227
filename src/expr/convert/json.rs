//! `json_query`: one value out of a JSON text, found without building a tree.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, Spec};
use crate::expr::sample::{Sample, Type};

pub(super) const ROWS: &[Converter] = &[row(
    "json_query",
    Spec { required: 1, kinds: &[Kind::Text, Kind::Text] },
    Type::Str,
    Type::Any,
    Step::Pure(query),
    "The string, boolean or number at a path (`$.a.b[0]`) of a JSON text; with `int` as an integer.",
)
.prepared(prepare)];

/// Deeper documents are not read: the parser recurses.
const DEEPEST: usize = 64;

pub(super) fn prepare(args: &mut Vec<Arg>) -> Result<(), String> {
    let path = args::text(args, 0).unwrap_or_default();
    if path.first() != Some(&b'$') {
        return Err("failed to parse the JSON path: it starts with '$'".to_owned());
    }
    match args::text(args, 1) {
        None | Some(b"int") => Ok(()),
        Some(other) => Err(format!(
            "output_type only supports \"int\" as argument, not '{}'",
            String::from_utf8_lossy(other)
        )),
    }
}

fn query<'a>(args: &'a [Arg], sample: Sample<'a>) -> Option<Sample<'a>> {
    find(&sample.into_bytes(), args::text(args, 0)?, args::text(args, 1).is_some())
}

/// The value at a path, numbers with a fraction as integers or as text.
pub(super) fn find(text: &[u8], path: &[u8], as_int: bool) -> Option<Sample<'static>> {
    let mut reader = Reader { rest: text };
    for step in steps(path) {
        reader.enter(&step?)?;
    }
    reader.space();
    match reader.rest.first()? {
        b'"' => Some(Sample::owned(reader.string()?)),
        b't' => reader.rest.starts_with(b"true").then_some(Sample::Bool(true)),
        b'f' => reader.rest.starts_with(b"false").then_some(Sample::Bool(false)),
        b'-' | b'0'..=b'9' => number(reader.number()?, as_int),
        _ => None,
    }
}

/// Whole numbers are integers, others text as HAProxy prints them.
fn number(text: &[u8], as_int: bool) -> Option<Sample<'static>> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(n) = text.parse::<i64>() {
        return Some(Sample::Int(n));
    }
    let value: f64 = text.parse().ok()?;
    if as_int {
        return Some(Sample::Int(value as i64));
    }
    Some(Sample::owned(value.to_string().into_bytes()))
}

#[derive(Debug, PartialEq, Eq)]
enum Key {
    Name(Vec<u8>),
    Index(usize),
}

/// The keys of `$.a['b'][0]`; `\.` is a dot inside a name.
fn steps(path: &[u8]) -> impl Iterator<Item = Option<Key>> {
    let mut rest = path.get(1..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        match first {
            b'.' => {
                let mut name = Vec::new();
                rest = after;
                while let Some((c, after)) = rest.split_first() {
                    match (c, after.split_first()) {
                        (b'\\', Some((escaped, further))) => {
                            name.push(*escaped);
                            rest = further;
                        }
                        (b'.' | b'[', _) => break,
                        _ => {
                            name.push(*c);
                            rest = after;
                        }
                    }
                }
                Some((!name.is_empty()).then_some(Key::Name(name)))
            }
            b'[' => {
                let end = memchr::memchr(b']', after);
                let inside = end.and_then(|e| after.get(..e)).unwrap_or_default();
                rest = end.and_then(|e| after.get(e + 1..)).unwrap_or_default();
                let quoted =
                    |q: &[u8]| inside.strip_prefix(q).and_then(|i| i.strip_suffix(q)).map(<[u8]>::to_vec);
                let name = quoted(b"'").or_else(|| quoted(b"\"")).map(Key::Name);
                let index = || std::str::from_utf8(inside).ok()?.parse().ok().map(Key::Index);
                Some(name.or_else(index))
            }
            _ => {
                rest = &[];
                Some(None)
            }
        }
    })
}

/// Reads JSON from the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(&[wanted])?;
        Some(())
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.rest.first().copied()
    }

    /// Goes to the value under `key`.
    fn enter(&mut self, key: &Key) -> Option<()> {
        match key {
            Key::Name(name) => {
                self.take(b'{')?;
                loop {
                    self.space();
                    let found = self.string()? == *name;
                    self.take(b':')?;
                    if found {
                        return Some(());
                    }
                    self.skip(0)?;
                    self.take(b',')?;
                }
            }
            Key::Index(index) => {
                self.take(b'[')?;
                for _ in 0..*index {
                    self.skip(0)?;
                    self.take(b',')?;
                }
                self.peek().filter(|b| *b != b']').map(|_| ())
            }
        }
    }

    fn skip(&mut self, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            open @ (b'{' | b'[') => {
                let close = if open == b'{' { b'}' } else { b']' };
                self.take(open)?;
                if self.peek()? == close {
                    return self.take(close);
                }
                loop {
                    if open == b'{' {
                        self.space();
                        self.string()?;
                        self.take(b':')?;
                    }
                    self.skip(depth + 1)?;
                    if self.peek()? == close {
                        return self.take(close);
                    }
                    self.take(b',')?;
                }
            }
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(|_| ()),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn number(&mut self) -> Option<&'a [u8]> {
        let part = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
        let len = self.rest.iter().take_while(|b| part(b)).count();
        let (number, rest) = self.rest.split_at(len);
        self.rest = rest;
        (!number.is_empty()).then_some(number)
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        self.rest = self.rest.strip_prefix(b"\"")?;
        let mut out = Vec::new();
        loop {
            let (c, rest) = self.rest.split_first()?;
            self.rest = rest;
            match c {
                b'"' => return Some(out),
                b'\\' => self.escape(&mut out)?,
                other => out.push(*other),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let (c, rest) = self.rest.split_first()?;
        self.rest = rest;
        out.push(match c {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = self.unit()?;
                if (0xd800..0xdc00).contains(&unit) {
                    self.word(b"\\u")?;
                    unit = 0x10000 + ((unit - 0xd800) << 10) + self.unit()?.checked_sub(0xdc00)?;
                }
                let c = char::from_u32(unit)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            other => *other,
        });
        Some(())
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    }
}
