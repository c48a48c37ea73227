//! Which certificate a client gets: by the name it asks for, then by what it can verify.

use super::certificate::Kind;
use std::collections::HashMap;
use std::sync::Arc;

/// What the choice depends on beside the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ability {
    pub rsa: bool,
    pub ecdsa: bool,
}

/// Names to values of any kind; the first of equal ones wins.
#[derive(Debug)]
pub struct Table<T> {
    exact: HashMap<String, Vec<Place<T>>>,
    /// `.example.com` for `*.example.com`
    wild: HashMap<String, Vec<Place<T>>>,
    default: Vec<(Kind, Arc<T>)>,
    strict: bool,
}

#[derive(Debug)]
struct Place<T> {
    kind: Kind,
    /// `!name`: this one is not shown for the name.
    negated: bool,
    value: Arc<T>,
}

impl<T> Table<T> {
    #[must_use]
    pub fn new(strict: bool) -> Self {
        Self { exact: HashMap::new(), wild: HashMap::new(), default: Vec::new(), strict }
    }

    /// Shows `value` for a name, `*.domain`, `!name` or `*` (any).
    pub fn add(&mut self, filter: &str, kind: Kind, value: &Arc<T>) {
        let (name, negated) = filter.strip_prefix('!').map_or((filter, false), |name| (name, true));
        let (name, wild) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
        if negated && wild {
            return;
        }
        let name = name.to_ascii_lowercase();
        if name.is_empty() {
            if wild {
                self.add_default(kind, value);
            }
            return;
        }
        let names = if wild { &mut self.wild } else { &mut self.exact };
        names.entry(name).or_default().push(Place { kind, negated, value: Arc::clone(value) });
    }

    /// Shows `value` to those no name fits.
    pub fn add_default(&mut self, kind: Kind, value: &Arc<T>) {
        self.default.push((kind, Arc::clone(value)));
    }

    #[must_use]
    pub fn has_default(&self) -> bool {
        !self.default.is_empty()
    }

    /// `None`: nothing is to be shown (`strict-sni`).
    #[must_use]
    pub fn choose(&self, name: Option<&str>, ability: Ability) -> Option<&Arc<T>> {
        if let Some(name) = name {
            let name = name.to_ascii_lowercase();
            let exact = self.exact.get(&name);
            if let Some(found) = exact.and_then(|places| pick(places, &[], ability)) {
                return Some(found);
            }
            let refused = exact.map_or(&[][..], Vec::as_slice);
            let parent = name.find('.').and_then(|dot| self.wild.get(name.get(dot..)?));
            if let Some(found) = parent.and_then(|places| pick(places, refused, ability)) {
                return Some(found);
            }
        }
        if self.strict {
            return None;
        }
        best(self.default.iter().map(|(kind, value)| (*kind, value)), ability)
    }
}

/// The best of those that stand here and are not refused there.
fn pick<'a, T>(places: &'a [Place<T>], refused: &[Place<T>], ability: Ability) -> Option<&'a Arc<T>> {
    let refuses = |p: &Place<T>| refused.iter().any(|r| r.negated && Arc::ptr_eq(&r.value, &p.value));
    let open = places.iter().filter(|p| !p.negated && !refuses(p));
    best(open.map(|p| (p.kind, &p.value)), ability)
}

/// ECDSA before RSA as far as the client can; then whatever there is.
fn best<'a, T>(
    candidates: impl Iterator<Item = (Kind, &'a Arc<T>)> + Clone,
    ability: Ability,
) -> Option<&'a Arc<T>> {
    let first = |kind: Kind| candidates.clone().find(|(k, _)| *k == kind).map(|(_, value)| value);
    let (ecdsa, rsa, other) = (first(Kind::Ecdsa), first(Kind::Rsa), first(Kind::Other));
    ecdsa.filter(|_| ability.ecdsa).or(rsa.filter(|_| ability.rsa)).or(other).or(ecdsa).or(rsa)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BOTH: Ability = Ability { rsa: true, ecdsa: true };
    const RSA: Ability = Ability { rsa: true, ecdsa: false };

    fn table(strict: bool, rows: &[(&str, &'static str, Kind)]) -> Table<&'static str> {
        let mut table = Table::new(strict);
        let mut known: Vec<Arc<&'static str>> = Vec::new();
        for (filter, value, kind) in rows {
            let value = known.iter().find(|v| ***v == *value).cloned().unwrap_or_else(|| Arc::new(*value));
            known.push(Arc::clone(&value));
            if !table.has_default() {
                table.add_default(*kind, &value);
            }
            table.add(filter, *kind, &value);
        }
        table
    }

    fn check(table: &Table<&'static str>, name: &str, ability: Ability, expected: Option<&str>) {
        let name = Some(name).filter(|n| !n.is_empty());
        assert_eq!(table.choose(name, ability).map(|v| **v), expected, "{name:?} {ability:?}");
    }

    #[test]
    fn exact_then_wildcard_then_default() {
        let rows = [
            ("first.test", "default", Kind::Rsa),
            ("*.Example.com", "wild", Kind::Rsa),
            ("www.example.com", "exact", Kind::Rsa),
            ("www.example.com", "late", Kind::Rsa),
        ];
        for strict in [false, true] {
            let table = table(strict, &rows);
            check(&table, "www.example.com", BOTH, Some("exact"));
            check(&table, "WWW.example.COM", BOTH, Some("exact"));
            check(&table, "a.example.com", BOTH, Some("wild"));
            let otherwise = if strict { None } else { Some("default") };
            check(&table, "a.b.example.com", BOTH, otherwise);
            check(&table, "example.com", BOTH, otherwise);
            check(&table, "", BOTH, otherwise);
        }
    }

    #[test]
    fn the_client_s_ability_decides_between_kinds() {
        let rows =
            [("a.test", "rsa", Kind::Rsa), ("a.test", "ecdsa", Kind::Ecdsa), ("b.test", "only", Kind::Ecdsa)];
        let table = table(false, &rows);
        check(&table, "a.test", BOTH, Some("ecdsa"));
        check(&table, "a.test", RSA, Some("rsa"));
        check(&table, "b.test", RSA, Some("only"));
    }

    #[test]
    fn a_negated_name_is_left_to_others() {
        let rows = [
            ("first.test", "default", Kind::Rsa),
            ("*.example.com", "wild", Kind::Rsa),
            ("!no.example.com", "wild", Kind::Rsa),
            ("!*", "wild", Kind::Rsa),
        ];
        let table = table(false, &rows);
        check(&table, "yes.example.com", BOTH, Some("wild"));
        check(&table, "no.example.com", BOTH, Some("default"));
    }
}
