//! Pattern matching: what an ACL or a map compares a sample with. One list per ACL line or map; [`Patterns::find`]
//! answers which entry matched, so that maps and ACLs share it.

mod address;
pub mod edit;
mod live;
mod number;
mod places;
pub mod reference;
pub mod store;
#[cfg(test)]
mod tests;
mod text;
mod view;

use super::regex::Regex;
use super::sample::{Sample, Type};
use address::{AddressList, Net};
use number::NumberList;
use text::TextList;

pub(crate) use number::Operator;
pub(crate) use view::{Output, View, ViewKey};

/// `-m` methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Found,
    Bool,
    Int,
    Ip,
    Bin,
    Len,
    Str,
    Beg,
    Sub,
    Dir,
    Dom,
    End,
    Reg,
    /// The `method` fetch's own comparison.
    Verb,
}

/// Names after `-m`, and as suffix of a fetch name.
pub(crate) const METHODS: &[(&str, Method, &str)] = &[
    ("found", Method::Found, "the sample exists; takes no pattern"),
    ("bool", Method::Bool, "the integer or boolean is not zero; takes no pattern"),
    ("int", Method::Int, "integer equal to, or in the range or relation given (`80`, `1024:`, `ge 5`)"),
    ("ip", Method::Ip, "address inside a network (`10.0.0.0/8`, `2001:db8::/32`, a host name)"),
    ("bin", Method::Bin, "exactly these bytes, given in hexadecimal"),
    ("len", Method::Len, "length of the sample as an integer"),
    ("str", Method::Str, "exactly this string"),
    ("beg", Method::Beg, "begins with"),
    ("sub", Method::Sub, "contains"),
    ("dir", Method::Dir, "contains between slashes"),
    ("dom", Method::Dom, "contains between dots, slashes, colons or question marks"),
    ("end", Method::End, "ends with"),
    ("reg", Method::Reg, "matches the regular expression"),
];

impl Method {
    pub fn by_name(name: &str) -> Option<Self> {
        METHODS.iter().find(|(n, _, _)| *n == name).map(|(_, m, _)| *m)
    }

    pub fn name(self) -> &'static str {
        METHODS.iter().find(|(_, m, _)| *m == self).map_or("meth", |(n, _, _)| n)
    }

    /// What the sample is converted to before comparing; `None`: nothing is compared.
    pub fn expects(self) -> Option<Type> {
        match self {
            Self::Found => None,
            Self::Bool | Self::Int => Some(Type::Int),
            Self::Ip => Some(Type::Addr),
            Self::Bin => Some(Type::Bin),
            Self::Verb => Some(Type::Method),
            _ => Some(Type::Str),
        }
    }

    /// The method implied by a sample's type when `-m` does not say.
    pub fn implied(of: Type) -> Option<Self> {
        match of {
            Type::Bool => Some(Self::Bool),
            Type::Int => Some(Self::Int),
            Type::Addr => Some(Self::Ip),
            Type::Str => Some(Self::Str),
            Type::Method => Some(Self::Verb),
            Type::Any | Type::Bin => None,
        }
    }
}

/// A list of patterns of one method.
#[derive(Debug)]
pub(crate) struct Patterns {
    method: Method,
    list: List,
}

/// One pattern, read.
#[derive(Debug)]
pub(crate) enum Parsed {
    Nothing,
    Range((i64, i64)),
    Net(Net),
    Text { text: Box<[u8]>, ignore_case: bool },
    Regex(Box<Regex>),
}

impl Parsed {
    pub fn new(method: Method, pattern: &str, flags: Flags) -> Result<Self, String> {
        let text = |text: &[u8], ignore_case| Self::Text { text: text.into(), ignore_case };
        Ok(match method {
            Method::Found | Method::Bool => Self::Nothing,
            Method::Int | Method::Len => Self::Range(number::range(pattern)?),
            Method::Ip => Self::Net(Net::parse(pattern, flags.no_dns)?),
            Method::Reg => Self::Regex(Box::new(Regex::new(pattern, flags.ignore_case)?)),
            Method::Bin => {
                let bytes = unhex(pattern).ok_or_else(|| format!("'{pattern}' is not hexadecimal"))?;
                text(&bytes, false)
            }
            _ => text(pattern.as_bytes(), flags.ignore_case),
        })
    }
}

#[derive(Debug)]
enum List {
    Nothing,
    Numbers(NumberList),
    Addresses(AddressList),
    Texts(TextList),
    /// By entry number, ascending.
    Regexes(Vec<(u32, Regex)>),
}

impl Patterns {
    pub fn new(method: Method) -> Self {
        let list = match method {
            Method::Found | Method::Bool => List::Nothing,
            Method::Int | Method::Len => List::Numbers(NumberList::default()),
            Method::Ip => List::Addresses(AddressList::default()),
            Method::Reg => List::Regexes(Vec::new()),
            _ => List::Texts(TextList::new(method)),
        };
        Self { method, list }
    }

    /// Adds a pattern as entry `index`, which is greater than that of every entry already there.
    pub fn insert(&mut self, parsed: Parsed, index: u32) {
        match (&mut self.list, parsed) {
            (List::Numbers(list), Parsed::Range(range)) => list.add(range, index),
            (List::Addresses(list), Parsed::Net(net)) => list.add(net, index),
            (List::Texts(list), Parsed::Text { text, ignore_case }) => list.add(&text, ignore_case, index),
            (List::Regexes(list), Parsed::Regex(regex)) => list.push((index, *regex)),
            _ => {}
        }
    }

    /// Removes entry `index`, which was made of `pattern`.
    pub fn remove(&mut self, pattern: &str, index: u32) {
        match &mut self.list {
            List::Nothing => {}
            List::Numbers(list) => {
                if let Ok(range) = number::range(pattern) {
                    list.remove(range, index);
                }
            }
            List::Addresses(list) => match Net::parse(pattern, true) {
                Ok(net) => list.remove(net, index),
                // A host name may mean another address by now.
                Err(_) => list.remove_anywhere(index),
            },
            List::Texts(list) => list.remove(index),
            List::Regexes(list) => list.retain(|(i, _)| *i != index),
        }
    }

    /// Entry `index` of a list of regular expressions.
    pub fn regex(&self, index: u32) -> Option<&Regex> {
        match &self.list {
            List::Regexes(list) => list
                .binary_search_by_key(&index, |(i, _)| *i)
                .ok()
                .and_then(|at| list.get(at))
                .map(|(_, r)| r),
            _ => None,
        }
    }

    pub fn matches(&self, sample: &Sample<'_>) -> bool {
        match self.method {
            Method::Found => true,
            Method::Bool => sample.to_bool().unwrap_or(false),
            _ => self.find(sample).is_some(),
        }
    }

    /// The entry that matches: the longest for `beg` and `ip`, else the first.
    pub fn find(&self, sample: &Sample<'_>) -> Option<u32> {
        match &self.list {
            List::Nothing => None,
            List::Numbers(list) if self.method == Method::Len => {
                list.find(with_text(sample, |t| i64::try_from(t.len()).unwrap_or(i64::MAX)))
            }
            List::Numbers(list) => list.find(sample.to_int()?),
            List::Addresses(list) => list.find(sample.to_addr()?),
            List::Regexes(list) => {
                with_text(sample, |t| list.iter().find(|(_, r)| r.is_match(t)).map(|(i, _)| *i))
            }
            List::Texts(list) if self.method == Method::Bin => list.find(&sample.clone().into_bytes()),
            List::Texts(list) => with_text(sample, |t| list.find(t)),
        }
    }
}

/// Flags standing before a pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub ignore_case: bool,
    pub no_dns: bool,
}

/// Runs `see` on the sample's text without copying it when it already is text.
fn with_text<R>(sample: &Sample<'_>, see: impl FnOnce(&[u8]) -> R) -> R {
    match sample {
        Sample::Str(s) => see(s),
        other => {
            let mut text = Vec::new();
            other.write_text(&mut text);
            see(&text)
        }
    }
}

/// Hexadecimal digits, two a byte.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |b: u8| char::from(b).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| {
            let (high, low) = (nibble(*pair.first()?)?, nibble(*pair.get(1)?)?);
            u8::try_from(high * 16 + low).ok()
        })
        .collect()
}
