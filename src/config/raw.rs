//! What was typed: words with spans, grouped into lines. Environment, quoting and conditionals are already resolved.

use std::sync::Arc;

/// Where a line stands. Shown as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    pub line: u32,
}

/// One word after unquoting and expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    /// Byte columns in the source line, for the caret.
    pub start: u32,
    pub end: u32,
}

/// One logical line: at least one word, never a comment.
#[derive(Clone, Debug)]
pub struct Line {
    pub place: Place,
    /// The source line as typed (for the diagnostic's second line).
    pub source: Arc<str>,
    pub words: Vec<Word>,
}

impl Line {
    /// Word `i`, or the empty string.
    #[must_use]
    pub fn word(&self, i: usize) -> &str {
        self.words.get(i).map_or("", |w| w.text.as_str())
    }
}
