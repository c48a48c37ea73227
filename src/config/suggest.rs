//! "did you mean": the nearest of the spellings valid at a place.

use std::cell::Cell;

/// Words compared for one configuration. Thousands of wrong names among thousands of right ones are another kind of
/// mistake than a typing error: comparing all with all took minutes, and the first of them have their hints by then.
const COMPARISONS: u32 = 200_000;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(COMPARISONS) };
}

/// Another configuration begins.
pub fn begin() {
    LEFT.set(COMPARISONS);
}

/// The candidate nearest to `typed`, if it is near enough to be worth saying: about a third of the letters may differ.
#[must_use]
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = typed.chars().take(64).collect();
    let allowed = match typed.len() {
        0 => return None,
        1..=3 => 1,
        4..=7 => 2,
        n => n / 3,
    };
    candidates
        .into_iter()
        // Each letter too many is an edit: most candidates need no table.
        .filter(|candidate| candidate.chars().count().abs_diff(typed.len()) <= allowed)
        .map_while(|candidate| {
            LEFT.set(LEFT.get().checked_sub(1)?);
            Some((distance(&typed, candidate), candidate))
        })
        .filter(|(d, candidate)| *d <= allowed && *d < candidate.len())
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

/// As [`nearest`], as a hint.
#[must_use]
pub fn hint<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(typed, candidates).map(|near| format!("did you mean '{near}' maybe ?"))
}

/// Edits to get from one to the other: insert, delete, replace, swap neighbours (optimal string alignment).
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, cb) in b.iter().enumerate() {
            let replace = previous[j] + usize::from(ca != cb);
            row[j + 1] = replace.min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: Option<&str>) {
        let words = ["maxconn", "check", "default_backend", "httplog", "ssl", "mode"];
        assert_eq!(nearest(typed, words), expected, "{typed}");
    }

    #[test]
    fn near_and_far() {
        check("maxcon", Some("maxconn"));
        check("chek", Some("check"));
        check("defualt_backend", Some("default_backend"));
        check("sll", Some("ssl"));
        check("httplogs", Some("httplog"));
        check("xyz", None);
        check("", None);
        check("é", None);
    }

    #[test]
    fn comparisons_are_bounded() {
        let names: Vec<String> = (0..3000).map(|i| format!("name{i}")).collect();
        begin();
        let found =
            (0..3000).filter(|i| nearest(&format!("nane{i}"), names.iter().map(String::as_str)).is_some());
        let found = found.count();
        assert!((50..300).contains(&found), "{found}");
        begin();
        check("chek", Some("check"));
    }
}
