//! Rules are run kind by kind, whatever their order in the section: who writes them in another order is told.

use super::raw::Line;

/// The kinds of rules in the order they are run: the words they begin with, and their name in the warning.
const KINDS: &[(&[&str], &str)] = &[
    (&["tcp-request", "connection"], "tcp-request connection"),
    (&["tcp-request", "session"], "tcp-request session"),
    (&["tcp-request", "content"], "tcp-request content"),
    (&["monitor", "fail"], "monitor fail"),
    (&["http-request"], "http-request"),
    (&["redirect"], "redirect"),
    (&["use_backend"], "use_backend"),
    (&["use-server"], "use-server"),
];

/// The kinds a section has had so far.
#[derive(Debug, Default)]
pub struct Order {
    seen: [bool; KINDS.len()],
}

impl Order {
    /// Notes the line; answers HAProxy's warning when a kind that is run later stands before it.
    pub fn note(&mut self, line: &Line) -> Option<String> {
        let kind = KINDS
            .iter()
            .position(|(words, _)| words.iter().enumerate().all(|(i, word)| line.word(i) == *word))?;
        if let Some(seen) = self.seen.get_mut(kind) {
            *seen = true;
        }
        let later = (kind + 1..KINDS.len()).find(|i| self.seen.get(*i) == Some(&true))?;
        let article = |name: &str| if name.starts_with('h') { "an" } else { "a" };
        let name = line.word(0);
        let (_, after) = KINDS.get(later)?;
        Some(format!(
            "a '{name}' rule placed after {} '{after}' rule will still be processed before.",
            article(after)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::{Place, Word};

    /// The warning of the last of the lines.
    fn check(lines: &[&str], expected: Option<&str>) {
        let mut order = Order::default();
        let mut last = None;
        for text in lines {
            let words = text.split(' ').map(|w| Word { text: w.into(), start: 0, end: 0 }).collect();
            let place = Place { file: "t".into(), line: 1 };
            last = order.note(&Line { place, source: (*text).into(), words });
        }
        assert_eq!(last.as_deref(), expected, "{lines:?}");
    }

    #[test]
    fn later_kinds_before() {
        check(&["http-request deny", "use_backend b"], None);
        check(
            &["use_backend b", "redirect location /", "http-request deny"],
            Some("a 'http-request' rule placed after a 'redirect' rule will still be processed before."),
        );
        check(
            &["http-request deny", "tcp-request content accept"],
            Some("a 'tcp-request' rule placed after an 'http-request' rule will still be processed before."),
        );
        check(
            &["tcp-request content accept", "tcp-request connection accept"],
            Some(
                "a 'tcp-request' rule placed after a 'tcp-request content' rule will still be processed before.",
            ),
        );
        check(&["use-server s", "tcp-request inspect-delay 3s"], None);
    }
}
