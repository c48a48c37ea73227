//! Values of columns, and what the typed format says of them.

use std::borrow::Cow;
use std::io::Write as _;

/// What a column holds for one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    S32(i32),
    U32(u32),
    U64(u64),
    /// Seconds with their fraction (`show info float`).
    Float(f64),
    Text(Cow<'a, str>),
}

impl<'a> Value<'a> {
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A 32-bit value of whatever is counted; what does not fit is shown as the largest that does.
    pub fn u32(n: impl TryInto<u32>) -> Self {
        Self::U32(n.try_into().unwrap_or(u32::MAX))
    }

    /// `u32`, `str`: the type's name in typed output and JSON.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::S32(_) => "s32",
            Self::U32(_) => "u32",
            Self::U64(_) => "u64",
            Self::Float(_) => "flt",
            Self::Text(_) => "str",
        }
    }

    /// The value as a number; text has none.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::S32(n) => Some(f64::from(*n)),
            Self::U32(n) => Some(f64::from(*n)),
            #[allow(clippy::cast_precision_loss)]
            Self::U64(n) => Some(*n as f64),
            Self::Float(n) => Some(*n),
            Self::Text(_) => None,
        }
    }

    /// The value as it is, without quotes.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let _written = match self {
            Self::S32(n) => write!(out, "{n}"),
            Self::U32(n) => write!(out, "{n}"),
            Self::U64(n) => write!(out, "{n}"),
            Self::Float(n) => write!(out, "{n:.6}"),
            Self::Text(text) => out.write_all(text.as_bytes()),
        };
    }
}

/// Where a value comes from, what it is and how far it reaches: three letters in typed output, words in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags([u8; 3]);

pub(super) const ORIGINS: &[(u8, &str)] =
    &[(b'M', "Metric"), (b'S', "Status"), (b'K', "Key"), (b'C', "Config"), (b'P', "Product")];
pub(super) const NATURES: &[(u8, &str)] = &[
    (b'A', "Age"),
    (b'a', "Avg"),
    (b'C', "Counter"),
    (b'D', "Duration"),
    (b'G', "Gauge"),
    (b'L', "Limit"),
    (b'M', "Max"),
    (b'm', "Min"),
    (b'N', "Name"),
    (b'O', "Output"),
    (b'R', "Rate"),
    (b'T', "Time"),
];
pub(super) const SCOPES: &[(u8, &str)] =
    &[(b'C', "Cluster"), (b'P', "Process"), (b'S', "Service"), (b's', "System")];

impl Tags {
    /// From the three letters of the typed format.
    #[must_use]
    pub const fn of(letters: &str) -> Self {
        let b = letters.as_bytes();
        assert!(b.len() == 3, "origin, nature, scope");
        Self([b[0], b[1], b[2]])
    }

    #[must_use]
    pub fn letters(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    #[must_use]
    pub fn origin(&self) -> &'static str {
        word(ORIGINS, self.0[0])
    }

    #[must_use]
    pub fn nature(&self) -> &'static str {
        word(NATURES, self.0[1])
    }

    #[must_use]
    pub fn scope(&self) -> &'static str {
        word(SCOPES, self.0[2])
    }
}

fn word(words: &[(u8, &'static str)], letter: u8) -> &'static str {
    words.iter().find(|(l, _)| *l == letter).map_or("Unknown", |(_, w)| w)
}

/// What a row is about. The number is the one of the `type` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Frontend,
    Backend,
    Server,
    Listener,
}

impl Kind {
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Frontend => 'F',
            Self::Backend => 'B',
            Self::Server => 'S',
            Self::Listener => 'L',
        }
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Frontend => "Frontend",
            Self::Backend => "Backend",
            Self::Server => "Server",
            Self::Listener => "Listener",
        }
    }
}

/// A set of kinds, as the mask of `show stat`: frontends 1, backends 2, servers 4, listeners 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(pub u8);

impl Kinds {
    pub const ALL: Self = Self(15);

    /// From the number in a command: 1 frontends, 2 backends, 4 servers, 8 listeners; -1 all.
    #[must_use]
    pub fn mask(number: i64) -> Self {
        Self((number & 15) as u8)
    }

    /// From letters: `LFBS`.
    #[must_use]
    pub const fn of(letters: &str) -> Self {
        let b = letters.as_bytes();
        let (mut mask, mut i) = (0, 0);
        while i < b.len() {
            mask |= match b[i] {
                b'F' => 1,
                b'B' => 2,
                b'S' => 4,
                letter => {
                    assert!(letter == b'L', "one of L, F, B, S");
                    8
                }
            };
            i += 1;
        }
        Self(mask)
    }

    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_words() {
        let tags = Tags::of("MaP");
        assert_eq!(
            (tags.letters(), tags.origin(), tags.nature(), tags.scope()),
            ("MaP", "Metric", "Avg", "Process")
        );
    }

    #[test]
    fn kinds_are_the_mask_of_show_stat() {
        assert_eq!(Kinds::of("LFBS"), Kinds::ALL);
        assert!(Kinds(4).has(Kind::Server) && !Kinds(4).has(Kind::Backend));
    }
}
