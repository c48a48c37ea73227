//! The words of a check rule, read from left to right. A `None` means that the problem was reported.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::config::suggest;
use crate::expr::{Expr, LogFormat, Regex, Site};

pub struct Reader<'a> {
    pub parser: &'a mut Parser,
    pub line: &'a Line,
    /// The next word.
    pub at: usize,
    /// `tcp-check expect`, as messages name the rule.
    pub rule: String,
}

impl Reader<'_> {
    pub fn peek(&self) -> &str {
        self.line.word(self.at)
    }

    pub fn at_end(&self) -> bool {
        self.at >= self.line.words.len()
    }

    /// Takes a word that must be there and not be empty.
    pub fn word(&mut self, expected: &str) -> Option<String> {
        let text = self.peek().to_owned();
        if text.is_empty() {
            let keyword = match self.line.word(self.at.saturating_sub(1)) {
                _ if self.at <= 2 => String::new(),
                word => format!("'{word}' "),
            };
            let message = format!("{keyword}expects {expected} as argument.");
            return self.fail(self.at, &message);
        }
        self.at += 1;
        Some(text)
    }

    pub fn format(&mut self, expected: &str) -> Option<LogFormat> {
        let index = self.at;
        let text = self.word(expected)?;
        match LogFormat::parse(&text, Site::Check, self.parser.scope()) {
            Ok(format) => Some(format),
            Err(mut error) => {
                error.word = 0;
                let context = format!("'{}' : '{text}' invalid log-format string", self.rule);
                self.parser.expr_error(self.line, index, &context, error);
                None
            }
        }
    }

    pub fn expr(&mut self, expected: &str) -> Option<Expr> {
        let index = self.at;
        if self.peek().is_empty() {
            let message = format!("missing fetch method: expects {expected}.");
            return self.fail(index, &message);
        }
        let line = self.line;
        let words: Vec<&str> = line.words.iter().skip(index).map(|w| w.text.as_str()).collect();
        match Expr::parse(&words, Site::Check, self.parser.scope()) {
            Ok((expr, taken)) => {
                self.at += taken;
                Some(expr)
            }
            Err(error) => {
                let context = format!("'{}'", self.rule);
                self.parser.expr_error(line, index, &context, error);
                None
            }
        }
    }

    pub fn regex(&mut self, ignore_case: bool) -> Option<Regex> {
        let index = self.at;
        let text = self.word("a <pattern>")?;
        match Regex::new(&text, ignore_case) {
            Ok(regex) => Some(regex),
            Err(error) => self.fail(index, &error),
        }
    }

    /// Hexadecimal digits, two a byte.
    pub fn binary(&mut self) -> Option<Vec<u8>> {
        let index = self.at;
        let text = self.word("a <pattern>")?;
        match from_hex(text.as_bytes()) {
            Some(bytes) => Some(bytes),
            None => {
                let what = match text.chars().find(|c| !c.is_ascii_hexdigit()) {
                    Some(c) => format!("an hex digit is expected (found '{c}')"),
                    None => "an even number of hex digit is expected".to_owned(),
                };
                self.fail(index, &format!("'{text}' invalid binary string ({what})."))
            }
        }
    }

    pub fn fail<T>(&mut self, index: usize, message: &str) -> Option<T> {
        let message = format!("'{}' : {message}", self.rule);
        self.parser.alert(self.line, index, message);
        None
    }

    /// An unknown word where one of `known` was expected.
    pub fn unknown<T>(&mut self, index: usize, known: &[&str]) -> Option<T> {
        let word = self.line.word(index);
        let list = known.iter().map(|k| format!("'{k}'")).collect::<Vec<_>>().join(", ");
        let message = format!("'{}' : expects {list} but got '{word}' as argument.", self.rule);
        let mut diagnostic = Diagnostic::at(Severity::Alert, self.line, index, message);
        diagnostic.hint = suggest::hint(word, known.iter().copied());
        self.parser.report(diagnostic);
        None
    }
}

/// Pairs of hexadecimal digits as bytes.
pub fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}
