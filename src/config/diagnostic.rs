//! Problems found in a configuration, with their place, and how they are printed.

use super::raw::{Line, Place};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Only shown with `-dD`.
    Diag,
    Notice,
    Warning,
    Alert,
}

/// One problem. `message` is HAProxy's sentence without the `parsing [file:line] : ` that the printer adds.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub severity: Severity,
    pub place: Option<Place>,
    pub message: String,
    /// The source line and the byte columns under which the caret stands.
    pub source: Option<(Arc<str>, u32, u32)>,
    /// "did you mean" or the modern spelling.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error about word `index` of `line` (the last word when `index` is past the end).
    #[must_use]
    pub fn at(severity: Severity, line: &Line, index: usize, message: impl Into<String>) -> Self {
        let word = line.words.get(index).or(line.words.last());
        let (start, end) = word.map_or((0, 0), |w| (w.start, w.end));
        Self {
            severity,
            place: Some(line.place.clone()),
            message: message.into(),
            source: Some((line.source.clone(), start, end)),
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
