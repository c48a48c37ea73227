//! Typed arguments of a line, with HAProxy's sentences where they are wrong.

use super::diagnostic::{Diagnostic, Severity};
use super::parser::Parser;
use super::raw::Line;
use super::units::{self, Unit};
use std::str::FromStr;
use std::time::Duration;

impl Parser {
    /// Word `index` as a number within `min..=max`.
    pub fn integer<T>(&mut self, line: &Line, index: usize, min: T, max: T) -> Option<T>
    where
        T: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let keyword = before(line, index);
        let text = line.word(index);
        if text.is_empty() {
            self.alert(line, index, format!("'{keyword}' expects an integer argument."));
            return None;
        }
        match text.parse::<T>() {
            Ok(value) if value >= min && value <= max => Some(value),
            Ok(_) => {
                let message = format!("'{keyword}' value '{text}' is out of range ({min}..{max}).");
                self.alert(line, index, message);
                None
            }
            Err(_) => {
                let message = format!(
                    "'{keyword}' expects an integer argument between {min} and {max} (got '{text}')."
                );
                self.alert(line, index, message);
                None
            }
        }
    }

    /// Word `index` as a time.
    pub fn duration(&mut self, line: &Line, index: usize, unit: Unit) -> Option<Duration> {
        let text = line.word(index);
        match units::duration(text, unit) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let message = error.message(text, &before(line, index));
                let diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
                self.report(Diagnostic { hint: error.hint(), ..diagnostic });
                None
            }
        }
    }

    /// Word `index` as a size in bytes.
    pub fn size(&mut self, line: &Line, index: usize) -> Option<usize> {
        let text = line.word(index);
        let keyword = before(line, index);
        match units::size(text).map(usize::try_from) {
            Ok(Ok(size)) => Some(size),
            _ => {
                self.alert(line, index, format!("'{keyword}' expects a size, got '{text}'."));
                None
            }
        }
    }

    /// Word `index`, which must be there and not empty.
    pub fn text(&mut self, line: &Line, index: usize, what: &str) -> Option<String> {
        let text = line.word(index);
        if text.is_empty() {
            self.alert(line, index, format!("'{}' expects {what} as argument.", before(line, index)));
            return None;
        }
        Some(text.to_owned())
    }

    /// Answers true when the line has no more than `words` words; else reports the first that is too many.
    pub fn at_most(&mut self, line: &Line, words: usize) -> bool {
        if line.words.len() <= words {
            return true;
        }
        let keyword = line.words.iter().take(words.min(2)).map(|w| w.text.as_str()).next().unwrap_or("");
        let message = format!("'{keyword}' cannot handle unexpected argument '{}'.", line.word(words));
        self.alert(line, words, message);
        false
    }

    /// `on` / `off` at word `index`.
    pub fn on_off(&mut self, line: &Line, index: usize) -> Option<bool> {
        match line.word(index) {
            "on" => Some(true),
            "off" => Some(false),
            other => {
                let message =
                    format!("'{}' expects either 'on' or 'off' (got '{other}').", before(line, index));
                self.alert(line, index, message);
                None
            }
        }
    }
}

/// The keyword an argument belongs to: the word before it, with its family's name where it is one of several words.
fn before(line: &Line, index: usize) -> String {
    let last = index.min(line.words.len()).saturating_sub(1);
    let families = ["timeout", "stats", "option", "tune"];
    if last == 1 && families.contains(&line.word(0)) {
        format!("{} {}", line.word(0), line.word(1))
    } else {
        line.word(last).to_owned()
    }
}
