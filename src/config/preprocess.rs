//! Files to lines: `.if` blocks, `.notice` and its kin, and the `setenv` family, which all act while reading.

use super::Source;
use super::condition;
use super::diagnostic::{Diagnostic, Severity};
use super::environment::Environment;
use super::lex;
use super::raw::{Line, Place, Word};
use std::sync::Arc;

/// What reading the sources yields, in order.
#[derive(Debug, Default)]
pub struct Read {
    pub lines: Vec<Line>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads every source; lines in blocks that conditions leave out are dropped (but still cut into words, as HAProxy does).
pub fn read(sources: &[Source], environment: &mut Environment) -> Read {
    let mut reader = Reader { environment, read: Read::default(), blocks: Vec::new(), section: Vec::new() };
    for source in sources {
        reader.file(source);
    }
    reader.read
}

/// One open `.if`.
#[derive(Debug)]
struct Block {
    place: Place,
    state: State,
    seen_else: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The branch being read is the one taken.
    Taken,
    /// No branch was taken so far.
    Waiting,
    /// A branch was taken before, or the whole `.if` stands in a branch that is left out.
    Done,
}

struct Reader<'a> {
    environment: &'a mut Environment,
    read: Read,
    blocks: Vec<Block>,
    /// The words of the current section's header, for `${.SECTION}`.
    section: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, source: &Source) {
        self.section.clear();
        let mut number = 0;
        let mut rest = source.bytes.as_slice();
        while !rest.is_empty() {
            number += 1;
            let (bytes, ended, after) = match memchr::memchr(b'\n', rest) {
                Some(at) => (&rest[..at], true, &rest[at + 1..]),
                None => (rest, false, &rest[rest.len()..]),
            };
            rest = after;
            self.line(bytes, Place { file: source.name.clone(), line: number });
            if !ended {
                self.missing_line_feed(bytes, Place { file: source.name.clone(), line: number });
            }
        }
        while let Some(block) = self.blocks.pop() {
            let message = "non-terminated '.if' block.";
            self.read.diagnostics.push(Diagnostic {
                severity: Severity::Alert,
                place: Some(block.place),
                message: message.into(),
                source: None,
                hint: Some("add '.endif' after the block".into()),
            });
        }
    }

    fn line(&mut self, bytes: &[u8], place: Place) {
        let source: Arc<str> = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into();
        let cut = {
            let environment = &*self.environment;
            let section = self.section.get(1).or(self.section.first());
            let lookup = |name: &str| match name {
                ".FILE" => Some(place.file.to_string()),
                ".LINE" => Some(place.line.to_string()),
                ".SECTION" => Some(section.cloned().unwrap_or_default()),
                _ => environment.get(name).map(str::to_owned),
            };
            lex::words(bytes, &lookup)
        };
        let words = match cut {
            Ok(words) => words,
            Err(error) => {
                let start = u32::try_from(error.position).unwrap_or(0);
                self.read.diagnostics.push(Diagnostic {
                    severity: Severity::Alert,
                    place: Some(place),
                    message: error.message,
                    source: Some((source, start, start + 1)),
                    hint: None,
                });
                return;
            }
        };
        if words.is_empty() {
            return;
        }
        let line = Line { place, source, words };
        if line.word(0).starts_with('.') && self.directive(&line) {
            return;
        }
        if self.reading() {
            self.environment_line(&line);
            if super::section_names::is_header(line.word(0)) {
                self.section = line.words.iter().take(2).map(|w| w.text.clone()).collect();
            }
            self.read.lines.push(line);
        }
    }

    fn reading(&self) -> bool {
        self.blocks.last().is_none_or(|b| b.state == State::Taken)
    }

    /// Answers whether the line was a directive of the preprocessor.
    fn directive(&mut self, line: &Line) -> bool {
        match line.word(0) {
            ".if" => {
                let state = if !self.reading() {
                    State::Done
                } else if self.condition(line) {
                    State::Taken
                } else {
                    State::Waiting
                };
                self.blocks.push(Block { place: line.place.clone(), state, seen_else: false });
            }
            ".elif" => self.branch(line, true),
            ".else" => {
                self.no_argument(line);
                self.branch(line, false);
            }
            ".endif" => {
                self.no_argument(line);
                if self.blocks.pop().is_none() {
                    self.alert(line, 0, "lone '.endif' with no matching '.if'.");
                }
            }
            ".diag" => self.message(line, Severity::Diag),
            ".notice" => self.message(line, Severity::Notice),
            ".warning" => self.message(line, Severity::Warning),
            ".alert" => self.message(line, Severity::Alert),
            _ => return false,
        }
        true
    }

    fn branch(&mut self, line: &Line, elif: bool) {
        let word = line.word(0).to_owned();
        let Some(block) = self.blocks.last_mut() else {
            self.alert(line, 0, format!("lone '{word}' with no matching '.if'."));
            return;
        };
        if block.seen_else {
            self.alert(line, 0, format!("'{word}' after '.else' is not permitted."));
            return;
        }
        block.seen_else = !elif;
        let taken = block.state;
        let next = match taken {
            State::Taken | State::Done => State::Done,
            State::Waiting if !elif || self.condition(line) => State::Taken,
            State::Waiting => State::Waiting,
        };
        if let Some(block) = self.blocks.last_mut() {
            block.state = next;
        }
    }

    fn condition(&mut self, line: &Line) -> bool {
        let text = line.words.iter().skip(1).map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
        match condition::evaluate(&text, self.environment) {
            Ok(value) => value,
            Err(message) => {
                let message = format!("{message} in '{}'", line.word(0));
                let names = condition::names().map(|name| format!("{name}()")).collect::<Vec<_>>().join(", ");
                let hint = format!("conditions are {names}, 0 and 1, with '!', '&&', '||' and parentheses");
                self.read.diagnostics.push(Diagnostic::at(Severity::Alert, line, 1, message).hint(hint));
                false
            }
        }
    }

    fn message(&mut self, line: &Line, severity: Severity) {
        if !self.reading() {
            return;
        }
        if line.words.len() > 2 {
            let message = format!(
                "Unexpected argument '{}' for '{}'. Use quotes if the message should contain spaces.",
                line.word(2),
                line.word(0)
            );
            self.alert(line, 2, message);
            return;
        }
        let mut diagnostic = Diagnostic::at(severity, line, 1, format!("'{}'.", line.word(1)));
        diagnostic.source = None;
        self.read.diagnostics.push(diagnostic);
    }

    fn no_argument(&mut self, line: &Line) {
        if line.words.len() > 1 {
            self.alert(line, 1, format!("Unexpected argument '{}' for '{}'.", line.word(1), line.word(0)));
        }
    }

    fn alert(&mut self, line: &Line, index: usize, message: impl Into<String>) {
        self.read.diagnostics.push(Diagnostic::at(Severity::Alert, line, index, message));
    }

    /// `setenv`, `presetenv`, `unsetenv`, `resetenv` in `global`: later lines see the change. The keyword rows check
    /// the arguments; a wrong line changes nothing here.
    fn environment_line(&mut self, line: &Line) {
        if self.section.first().is_none_or(|s| s != "global") {
            return;
        }
        let (first, second) = (line.word(1), line.word(2));
        match line.word(0) {
            "setenv" if line.words.len() == 3 => self.environment.set(first, second),
            "presetenv" if line.words.len() == 3 && self.environment.get(first).is_none() => {
                self.environment.set(first, second);
            }
            "localpeer" if line.words.len() == 2 => self.environment.set("HAPROXY_LOCALPEER", first),
            "unsetenv" => line.words.iter().skip(1).for_each(|w| self.environment.unset(&w.text)),
            "resetenv" => {
                let kept: Vec<&str> = line.words.iter().skip(1).map(|w| w.text.as_str()).collect();
                self.environment.keep_only(&kept);
            }
            _ => {}
        }
    }

    /// HAProxy takes this for a truncated file; a last line that reads as a whole is accepted here with a warning.
    fn missing_line_feed(&mut self, bytes: &[u8], place: Place) {
        let message = format!(
            "Missing LF on last line, file might have been truncated at position {}.",
            bytes.len() + 1
        );
        let source: Arc<str> = String::from_utf8_lossy(bytes).into();
        let end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let words = vec![Word { text: String::new(), start: end, end }];
        let line = Line { place, source, words };
        let diagnostic = Diagnostic::at(Severity::Warning, &line, 0, message);
        self.read.diagnostics.push(diagnostic.hint("end the last line with a line feed"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines read, `;` between them, then the diagnostics' messages after `!`.
    fn check(text: &str, expected: &str) {
        let mut environment: Environment = [("ONE".to_owned(), "one".to_owned())].into_iter().collect();
        let source = Source { name: "t.cfg".into(), bytes: text.as_bytes().to_vec() };
        let read = read(&[source], &mut environment);
        let mut out = read
            .lines
            .iter()
            .map(|l| l.words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join(";");
        for diagnostic in read.diagnostics {
            out.push('!');
            out.push_str(&diagnostic.message);
        }
        assert_eq!(out, expected, "{text}");
    }

    #[test]
    fn branches() {
        check(".if 1\na\n.elif 1\nb\n.else\nc\n.endif\nd\n", "a;d");
        check(".if 0\na\n.elif 1\nb\n.else\nc\n.endif\nd\n", "b;d");
        check(".if 0\na\n.if 1\nx\n.endif\n.else\nc\n.endif\n", "c");
        check(".if defined(ONE) && streq(\"$ONE\",one)\na\n.endif\n", "a");
    }

    #[test]
    fn broken_blocks() {
        check(".endif\n", "!lone '.endif' with no matching '.if'.");
        check(".if 1\n.else\n.else\n.endif\n", "!'.else' after '.else' is not permitted.");
        check(".if 1\na\n", "a!non-terminated '.if' block.");
        check(".if 1\n.endif x\n", "!Unexpected argument 'x' for '.endif'.");
    }

    #[test]
    fn messages() {
        check(".notice \"a b\"\n.if 0\n.alert x\n.endif\n", "!'a b'.");
    }

    #[test]
    fn environment_changes_act_on_the_following_lines() {
        check("global\nsetenv A x\nb \"$A\"\n", "global;setenv A x;b x");
        check("global\npresetenv ONE x\nunsetenv B\nb \"$ONE\"\n", "global;presetenv ONE x;unsetenv B;b one");
        check("global\nresetenv\nb \"$ONE\" \"${.SECTION}\" \"${.LINE}\"\n", "global;resetenv;b  global 3");
    }

    #[test]
    fn localpeer_names_this_instance() {
        check("global\nlocalpeer me\nb \"$HAPROXY_LOCALPEER\"\n", "global;localpeer me;b me");
    }

    #[test]
    fn last_line_without_line_feed() {
        check(
            "global\nfoo",
            "global;foo!Missing LF on last line, file might have been truncated at position 4.",
        );
    }
}
