//! Maps of fields as the crates want them, made from heads. Most heads name the same fields in the same order as others
//! before, and most of their values are the same: a map that is copied need not have its names looked up and hashed again,
//! nor those values checked (two thirds of what a small response cost).

use crate::message::Head;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::cell::RefCell;

/// Maps as they were made last, those used more often in front.
#[derive(Default)]
pub struct Moulds(RefCell<Vec<Mould>>);

struct Mould {
    /// The names in their order, a colon behind each.
    names: Vec<u8>,
    map: HeaderMap,
}

/// A few servers with a few kinds of responses, and as many requests.
const KEPT: usize = 16;

impl Moulds {
    /// The fields that are not left out. `None`: one cannot be said.
    pub fn map(&self, head: &Head, is_left_out: impl Fn(&[u8], &[u8]) -> bool) -> Option<HeaderMap> {
        let fields = || head.fields().filter(|(name, value)| !is_left_out(name, value));
        let mut kept = self.0.borrow_mut();
        let Some(place) = kept.iter().position(|mould| mould.has(fields().map(|(name, _)| name))) else {
            let map = appended(fields())?;
            if let Some(mould) = Mould::of(&map, fields().map(|(name, _)| name)) {
                kept.truncate(KEPT - 1);
                kept.insert(0, mould);
            }
            return Some(map);
        };
        let before = place.saturating_sub(1);
        kept.swap(place, before);
        let mould = kept.get_mut(before)?;
        for (slot, (_, value)) in mould.map.values_mut().zip(fields()) {
            if slot.as_bytes() != value {
                *slot = HeaderValue::from_bytes(value).ok()?;
            }
        }
        Some(mould.map.clone())
    }
}

fn appended<'h>(fields: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(fields.size_hint().1.unwrap_or_default());
    for (name, value) in fields {
        map.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(map)
}

impl Mould {
    /// `None`: a name stands there twice, so that the map's order is not that of the names.
    fn of<'n>(map: &HeaderMap, names: impl Iterator<Item = &'n [u8]>) -> Option<Self> {
        let mut all = Vec::new();
        if map.len() != map.keys_len() {
            return None;
        }
        let mut keys = map.keys();
        for name in names {
            if keys.next()?.as_str().as_bytes() != name {
                return None;
            }
            all.extend_from_slice(name);
            all.push(b':');
        }
        Some(Self { names: all, map: map.clone() })
    }

    fn has<'n>(&self, mut names: impl Iterator<Item = &'n [u8]>) -> bool {
        let (mut rest, mut count) = (self.names.as_slice(), 0);
        let same = names.all(|name| {
            count += 1;
            let after = rest.strip_prefix(name).and_then(|rest| rest.strip_prefix(b":"));
            rest = after.unwrap_or_default();
            after.is_some()
        });
        // The count tells a name with a colon in it, which no map takes, from two.
        same && rest.is_empty() && count == self.map.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        fields.iter().for_each(|(name, value)| head.add(name.as_bytes(), value.as_bytes()));
        head
    }

    /// What comes of each head, one after the other through the same moulds, is what is in it.
    fn check(heads: &[&[(&str, &str)]]) {
        let moulds = Moulds::default();
        for fields in heads.iter().chain(heads) {
            let map = moulds.map(&head(fields), |name, _| name == b"connection").unwrap();
            let mut expected = HeaderMap::new();
            for (name, value) in fields.iter().filter(|(name, _)| *name != "connection") {
                expected.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            assert_eq!(map, expected, "{fields:?}");
            assert!(map.iter().eq(expected.iter()), "{map:?}: another order than {expected:?}");
        }
    }

    #[test]
    fn maps_hold_what_the_heads_do() {
        check(&[
            &[("date", "today"), ("x-a", "1"), ("content-length", "10")],
            &[("date", "tomorrow"), ("x-a", "2"), ("content-length", "11")],
            &[("date", "tomorrow"), ("x-a", "2")],
            &[("x-a", "3"), ("date", "never")],
            &[("set-cookie", "a"), ("x-b", "b"), ("set-cookie", "c"), ("set-cookie", "d")],
            &[("set-cookie", "e"), ("x-b", "f"), ("set-cookie", "g")],
            &[("x-b", "h"), ("set-cookie", "i"), ("set-cookie", "j")],
            &[("connection", "close"), ("x", "")],
            &[("x", "y"), ("connection", "keep-alive")],
            &[],
            &[("x-a", "1"), ("x-a", "2")],
            &[("x-a", "1")],
        ]);
    }

    #[test]
    fn there_are_never_many() {
        let moulds = Moulds::default();
        for round in 0..100 {
            let name = format!("x-{round}");
            assert!(moulds.map(&head(&[(&name, "v")]), |_, _| false).is_some());
        }
        assert_eq!(moulds.0.borrow().len(), KEPT);
    }

    #[test]
    fn what_cannot_be_said_makes_no_map() {
        let moulds = Moulds::default();
        for _ in 0..2 {
            assert!(moulds.map(&head(&[("x", "a\u{1}b")]), |_, _| false).is_none());
            assert!(moulds.map(&head(&[("x y", "a")]), |_, _| false).is_none());
            assert!(moulds.map(&head(&[("x", "a")]), |_, _| false).is_some());
        }
    }
}
