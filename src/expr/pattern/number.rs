//! Integers and ranges.

use super::places::{Places, forget, note};
use std::collections::HashMap;

/// A relation before the patterns it applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Operator {
    #[default]
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Operator {
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "le" => Self::Le,
            "lt" => Self::Lt,
            _ => return None,
        })
    }

    /// The range this relation to `pattern` stands for, as HAProxy shows it: `gt 5` is `6:`.
    pub fn rewrite(self, pattern: &str) -> Result<String, String> {
        let (low, high) = range(pattern)?;
        Ok(match self {
            Self::Eq => pattern.to_owned(),
            Self::Ge => format!("{low}:"),
            Self::Gt => format!("{}:", high.saturating_add(1)),
            Self::Le => format!(":{high}"),
            Self::Lt => format!(":{}", low.saturating_sub(1)),
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct NumberList {
    single: HashMap<i64, Places>,
    ranges: Vec<(i64, i64, u32)>,
}

impl NumberList {
    /// `index` is greater than that of every entry already there.
    pub fn add(&mut self, (low, high): (i64, i64), index: u32) {
        if low == high {
            note(&mut self.single, low, index);
        } else {
            self.ranges.push((low, high, index));
        }
    }

    pub fn remove(&mut self, (low, high): (i64, i64), index: u32) {
        if low == high {
            forget(&mut self.single, &low, index);
        } else {
            self.ranges.retain(|(_, _, i)| *i != index);
        }
    }

    pub fn find(&self, value: i64) -> Option<u32> {
        let single = if self.single.is_empty() { None } else { self.single.get(&value).map(Places::first) };
        let ranged = self.ranges.iter().find(|(low, high, _)| (*low..=*high).contains(&value)).map(|r| r.2);
        match (single, ranged) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// `5`, `1:5`, `:5`, `5:`; a dotted version `1.2` counts as `0x10002`.
pub(super) fn range(text: &str) -> Result<(i64, i64), String> {
    let Some((low, high)) = text.split_once(':') else {
        let n = number(text).ok_or_else(|| format!("'{text}' is not a number"))?;
        return Ok((n, n));
    };
    let bound = |t: &str, open: i64| if t.is_empty() { Some(open) } else { number(t) };
    match (bound(low, i64::MIN), bound(high, i64::MAX)) {
        (Some(low), Some(high)) if low <= high && text != ":" => Ok((low, high)),
        _ => Err(format!("'{text}' is not a valid number range")),
    }
}

fn number(text: &str) -> Option<i64> {
    match text.split_once('.') {
        Some((major, minor)) => {
            let (major, minor) = (major.parse::<u16>().ok()?, minor.parse::<u16>().ok()?);
            Some((i64::from(major) << 16) + i64::from(minor))
        }
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[(Operator, &str)], value: i64, expected: bool) {
        let mut list = NumberList::default();
        for (i, (op, p)) in patterns.iter().enumerate() {
            list.add(range(&op.rewrite(p).unwrap()).unwrap(), i as u32);
        }
        assert_eq!(list.find(value).is_some(), expected, "{patterns:?} {value}");
        for (i, (op, p)) in patterns.iter().enumerate() {
            list.remove(range(&op.rewrite(p).unwrap()).unwrap(), i as u32);
        }
        assert!(list.find(value).is_none(), "{patterns:?} {value} removed");
    }

    #[test]
    fn compares() {
        check(&[(Operator::Eq, "80")], 80, true);
        check(&[(Operator::Eq, "1024:65535")], 1024, true);
        check(&[(Operator::Eq, ":5")], -1, true);
        check(&[(Operator::Eq, "5:")], 4, false);
        check(&[(Operator::Gt, "5")], 5, false);
        check(&[(Operator::Ge, "5")], 5, true);
        check(&[(Operator::Lt, "5")], 4, true);
        check(&[(Operator::Le, "5")], 6, false);
        check(&[(Operator::Eq, "3.1")], 0x30001, true);
    }

    #[test]
    fn refuses() {
        assert_eq!(range("1:x").unwrap_err(), "'1:x' is not a valid number range");
        assert_eq!(range("a").unwrap_err(), "'a' is not a number");
    }
}
