//! Names of the operating system that configurations use: users, groups, permissions, sets of threads and CPUs.

use super::parser::Parser;
use super::raw::Line;

/// Thread numbers go up to this, as in HAProxy.
pub const MAX_THREADS: usize = 64;

impl Parser {
    /// The number of the user that word `index` names.
    pub fn user_id(&mut self, line: &Line, index: usize, context: &str) -> Option<u32> {
        let name = line.word(index);
        let id = lookup("/etc/passwd", name);
        if id.is_none() {
            self.alert(line, index, format!("'{context}' : 'user' : unknown user name '{name}'"));
        }
        id
    }

    pub fn group_id(&mut self, line: &Line, index: usize, context: &str) -> Option<u32> {
        let name = line.word(index);
        let id = lookup("/etc/group", name);
        if id.is_none() {
            self.alert(line, index, format!("'{context}' : 'group' : unknown group name '{name}'"));
        }
        id
    }

    /// Permissions as an octal number.
    pub fn octal(&mut self, line: &Line, index: usize, context: &str) -> Option<u32> {
        let text = line.word(index);
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
        if mode.is_none() {
            let message =
                format!("'{context}' : 'mode' : missing or invalid mode '{text}' (octal integer expected)");
            self.alert(line, index, message);
        }
        mode
    }

    /// `all`, `odd`, `even`, `3`, `1-4`, each optionally after a thread group (`1/1-4`: there is one group). Answers
    /// the threads from 1; `all` is the empty set.
    pub fn thread_set(&mut self, line: &Line, index: usize) -> Option<Vec<usize>> {
        let text = line.word(index);
        let set = text.strip_prefix("1/").unwrap_or(text);
        let threads = number_set(set, MAX_THREADS);
        if threads.is_none() {
            self.alert(line, index, format!("'thread' : '{text}' is not a valid number/range."));
        }
        threads
    }
}

/// `all`, `odd`, `even` or comma-separated numbers and ranges from 1 to `max`; `all` is the empty set.
#[must_use]
pub fn number_set(text: &str, max: usize) -> Option<Vec<usize>> {
    match text {
        "all" => return Some(Vec::new()),
        "odd" => return Some((1..=max).step_by(2).collect()),
        "even" => return Some((2..=max).step_by(2).collect()),
        _ => {}
    }
    let mut set = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let low: usize = low.parse().ok()?;
        let high: usize = if high.is_empty() { max } else { high.parse().ok()? };
        if low == 0 || low > high || high > max {
            return None;
        }
        set.extend(low..=high);
    }
    Some(set)
}

/// The third field of the line that begins with `name:`.
#[must_use]
pub fn lookup(file: &str, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut entries = text.lines().map(|l| l.split(':'));
    entries
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        assert_eq!(number_set("1-3,7", 64), Some(vec![1, 2, 3, 7]));
        assert_eq!(number_set("all", 64), Some(vec![]));
        assert_eq!(number_set("odd", 4), Some(vec![1, 3]));
        assert_eq!(number_set("0", 64), None);
        assert_eq!(number_set("65", 64), None);
        assert_eq!(number_set("3-1", 64), None);
        assert_eq!(number_set("x", 64), None);
    }

    #[test]
    fn users() {
        assert_eq!(lookup("/etc/passwd", "root"), Some(0));
        assert_eq!(lookup("/etc/passwd", "no such user"), None);
    }
}
