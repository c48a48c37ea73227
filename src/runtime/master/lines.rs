//! The bytes of a client of the master socket, taken apart into commands, each as it was written: workers read it again.

/// A command ends with a newline or an unescaped `;`. With `<<` at its end, or `<<` and a pattern, the lines after it belong to it,
/// up to an empty one or to one that is the pattern.
#[derive(Debug, Default)]
pub struct Lines(String);

impl Lines {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }

    /// Bytes that are no command yet.
    pub fn waiting(&self) -> usize {
        self.0.len()
    }

    /// The next command, with its payload.
    pub fn take(&mut self) -> Option<String> {
        let end = end_of_command(&self.0)?;
        let (command, rest) = self.0.split_at(end);
        let Some(pattern) = payload(command) else {
            let command = command.trim_end_matches('\r').to_owned();
            self.0.drain(..=end);
            return Some(command);
        };
        let mut length = 1;
        for line in rest.get(1..)?.split_inclusive('\n') {
            length += line.len();
            let is_last = line.strip_suffix('\n').map(|l| l.trim_end_matches('\r') == pattern);
            if is_last == Some(true) {
                return Some(self.0.drain(..end + length).collect());
            }
        }
        None
    }
}

fn end_of_command(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\n' => return Some(at),
            ';' if !escaped => return Some(at),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// What ends the payload, where the command has one.
fn payload(command: &str) -> Option<String> {
    let last = command.trim_end_matches('\r').rsplit([' ', '\t']).next()?;
    last.strip_prefix("<<").filter(|pattern| pattern.len() <= 7).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: &[&str]) {
        for step in [1, 5, input.len()] {
            let mut lines = Lines::default();
            let mut all = Vec::new();
            for piece in input.as_bytes().chunks(step) {
                lines.push(piece);
                all.extend(std::iter::from_fn(|| lines.take()));
            }
            assert_eq!(all, expected, "{input:?} by {step}");
        }
    }

    #[test]
    fn commands() {
        check("show proc\n@1 show info;reload\r\n", &["show proc", "@1 show info", "reload"]);
        check("@1 set x a\\;b;quit\n", &["@1 set x a\\;b", "quit"]);
        check("unfinished", &[]);
        check("\n", &[""]);
    }

    #[test]
    fn payloads() {
        check("@1 add map #0 <<\na b;c\nd e\n\nquit\n", &["@1 add map #0 <<\na b;c\nd e\n\n", "quit"]);
        check("@1 set x <<EOF\na\n\nEOF\nquit\n", &["@1 set x <<EOF\na\n\nEOF\n", "quit"]);
        check("@1 set x <<\na\n", &[]);
    }
}
