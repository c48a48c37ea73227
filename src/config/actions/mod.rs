//! Rule actions from words to the model: one table row per action and rule set.

pub mod http;
pub mod redirect;
pub mod reply;
pub mod tcp;
pub mod variable;

use super::diagnostic::{Diagnostic, Severity};
use super::parser::Parser;
use super::raw::Line;
use super::units::{self, Unit};
use crate::expr::{Condition, Expr, ExprError, LogFormat, Regex, Scope, Site};
use std::time::Duration;

/// The words of a rule's action, read from left to right. A `None` means that the problem was reported.
pub struct Arguments<'a> {
    pub parser: &'a mut Parser,
    pub line: &'a Line,
    /// The next word.
    pub at: usize,
    pub site: Site,
    /// `http-request deny`, as messages name the rule.
    pub rule: String,
}

impl Arguments<'_> {
    /// The next word, without taking it.
    pub fn peek(&self) -> &str {
        self.line.word(self.at)
    }

    /// No word is left, or a condition begins.
    pub fn at_end(&self) -> bool {
        self.at >= self.line.words.len() || matches!(self.peek(), "if" | "unless")
    }

    /// Takes the next word when it is `word`.
    pub fn accept(&mut self, word: &str) -> bool {
        let found = self.at < self.line.words.len() && self.peek() == word;
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes a word that must be there and not be empty.
    pub fn word(&mut self, expected: &str) -> Option<String> {
        let text = self.peek().to_owned();
        if text.is_empty() {
            let message = format!("expects {expected}.");
            return self.fail(self.at, &message);
        }
        self.at += 1;
        Some(text)
    }

    /// Takes a log-format string.
    pub fn format(&mut self, expected: &str) -> Option<LogFormat> {
        let index = self.at;
        let text = self.word(expected)?;
        let parsed = LogFormat::parse(&text, self.site, self.scope());
        match parsed {
            Ok(format) => Some(format),
            Err(mut error) => {
                error.word = 0;
                self.expr_error(index, error)
            }
        }
    }

    /// Takes a sample expression, which ends at a word that is neither a converter nor part of one.
    pub fn expr(&mut self, expected: &str) -> Option<Expr> {
        let index = self.at;
        if self.peek().is_empty() {
            let message = format!("expects {expected}.");
            return self.fail(index, &message);
        }
        let line = self.line;
        let words: Vec<&str> = line.words.iter().skip(index).map(|w| w.text.as_str()).collect();
        match Expr::parse(&words, self.site, self.scope()) {
            Ok((expr, taken)) => {
                self.at += taken;
                Some(expr)
            }
            Err(error) => self.expr_error(index, error),
        }
    }

    /// Takes a number (decimal, or hexadecimal after `0x`) as the expression that it is, or an expression.
    pub fn number_or_expr(&mut self) -> Option<Expr> {
        let (index, word) = (self.at, self.peek().to_owned());
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            return self.expr("a number or a sample expression");
        }
        let number = match word.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        };
        let Some(number) = number else {
            let message = format!("expects a number of 32 bits or a sample expression (got '{word}').");
            return self.fail(index, &message);
        };
        self.at += 1;
        match Expr::parse(&[&format!("int({number})")], self.site, self.scope()) {
            Ok((expr, _)) => Some(expr),
            Err(error) => self.expr_error(index, error),
        }
    }

    /// Takes a regular expression.
    pub fn regex(&mut self, expected: &str) -> Option<Regex> {
        let index = self.at;
        let text = self.word(expected)?;
        match Regex::new(&text, false) {
            Ok(regex) => Some(regex),
            Err(error) => self.fail(index, &error),
        }
    }

    pub fn integer(&mut self, expected: &str, min: i64, max: i64) -> Option<i64> {
        let index = self.at;
        let text = self.word(expected)?;
        match text.parse::<i64>() {
            Ok(value) if (min..=max).contains(&value) => Some(value),
            _ => {
                let message = format!("expects {expected} between {min} and {max} (got '{text}').");
                self.fail(index, &message)
            }
        }
    }

    pub fn duration(&mut self, expected: &str) -> Option<Duration> {
        let index = self.at;
        let text = self.word(expected)?;
        match units::duration(&text, Unit::Milliseconds) {
            Ok(time) => Some(time),
            Err(error) => {
                let message = error.message(&text, expected);
                self.fail(index, &message)
            }
        }
    }

    /// The optional condition that ends the rule. `Err(())` when it was reported as wrong.
    #[allow(clippy::result_unit_err)]
    pub fn condition(&mut self) -> Result<Option<Condition>, ()> {
        let index = self.at;
        if !self.at_end() {
            let message = format!(
                "'{}' expects either 'if' or 'unless' followed by a condition but found '{}'.",
                self.rule,
                self.line.word(index)
            );
            self.parser.alert(self.line, index, message);
            return Err(());
        }
        let context = format!("error detected while parsing an '{}' condition", self.rule);
        self.parser.condition(self.line, index, &context, self.site)
    }

    /// Reports an error in HAProxy's frame.
    pub fn fail<T>(&mut self, index: usize, message: &str) -> Option<T> {
        let message = format!("{} : {message}", self.frame());
        self.parser.alert(self.line, index, message);
        None
    }

    /// As [`Self::fail`], with "did you mean".
    pub fn fail_hint<T>(&mut self, index: usize, message: &str, hint: Option<String>) -> Option<T> {
        let message = format!("{} : {message}", self.frame());
        let mut diagnostic = Diagnostic::at(Severity::Alert, self.line, index, message);
        diagnostic.hint = hint;
        self.parser.report(diagnostic);
        None
    }

    pub fn unsupported<T>(&mut self, index: usize, what: &str) -> Option<T> {
        self.parser.unsupported(self.line, index, what);
        None
    }

    fn expr_error<T>(&mut self, index: usize, error: ExprError) -> Option<T> {
        let frame = self.frame();
        self.parser.expr_error(self.line, index, &frame, error);
        None
    }

    fn frame(&self) -> String {
        let Some(draft) = self.parser.drafts.last() else { return format!("'{}'", self.rule) };
        let (kind, name) = (draft.section.name(), &*draft.proxy.name);
        format!("error detected in {kind} '{name}' while parsing '{}' rule", self.rule)
    }

    fn scope(&self) -> &Scope {
        self.parser.scope()
    }
}
