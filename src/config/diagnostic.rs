//! Problems found in a configuration, with their place, and how they are printed.

use super::raw::{Line, Place};
use std::fmt::Write;
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

impl Severity {
    /// The bracket HAProxy's lines begin with, and the blanks that align what follows.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Diag => "[DIAG]     ",
            Self::Notice => "[NOTICE]   ",
            Self::Warning => "[WARNING]  ",
            Self::Alert => "[ALERT]    ",
        }
    }
}

/// Writes diagnostics as the process prints them: HAProxy's line, then the source line, a caret and a hint.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], pid: u32, with_diag: bool) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        if diagnostic.severity == Severity::Diag && !with_diag {
            continue;
        }
        line(&mut out, diagnostic, pid);
    }
    out
}

/// [`render`], and the lines HAProxy ends with when it refuses a configuration.
#[must_use]
pub fn render_refusal(diagnostics: &[Diagnostic], pid: u32, with_diag: bool) -> String {
    let mut out = render(diagnostics, pid, with_diag);
    let mut files: Vec<&str> = Vec::new();
    for diagnostic in diagnostics.iter().filter(|d| d.severity == Severity::Alert) {
        if let Some(place) = &diagnostic.place
            && !files.contains(&&*place.file)
        {
            files.push(&place.file);
        }
    }
    let tag = Severity::Alert.tag();
    for file in files {
        let _ = writeln!(out, "{tag}({pid}) : config : Error(s) found in configuration file : {file}");
    }
    let _ = writeln!(out, "{tag}({pid}) : config : Fatal errors found in configuration.");
    out
}

fn line(out: &mut String, diagnostic: &Diagnostic, pid: u32) {
    let prefix = format!("{}({pid}) : config : ", diagnostic.severity.tag());
    out.push_str(&prefix);
    if let Some(place) = &diagnostic.place {
        let _ = write!(out, "parsing [{}:{}] : ", place.file, place.line);
    }
    out.push_str(diagnostic.message.trim_end_matches(':'));
    out.push('\n');
    if let Some((source, start, end)) = &diagnostic.source {
        caret(out, source, *start as usize, *end as usize);
    }
    if let Some(hint) = &diagnostic.hint {
        let _ = writeln!(out, "   | {hint}");
    }
}

/// The source line, cut to a screen's width around the word, and the caret line under it. Columns are bytes; the
/// carets count characters, and tabs stay tabs so that both lines align.
fn caret(out: &mut String, source: &str, start: usize, end: usize) {
    const WIDTH: usize = 150;
    let start = floor(source, start.min(source.len()));
    let end = floor(source, end.min(source.len())).max(start);
    let from = if start > WIDTH / 2 { floor(source, start - WIDTH / 2) } else { 0 };
    let to = floor(source, source.len().min(from + WIDTH)).max(end.min(floor(source, from + WIDTH)));
    let visible = |c: char| if c.is_control() && c != '\t' { '?' } else { c };
    let shown: String = source[from..to].chars().map(visible).collect();
    let lead: String = source[from..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let width = source[start..end.min(to).max(start)].chars().count().max(1);
    let _ = writeln!(out, "   | {}", shown.trim_end());
    let column = source[..start].chars().count() + 1;
    let _ = writeln!(out, "   | {lead}{} column {column}", "^".repeat(width));
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, start: u32, end: u32, expected: &str) {
        let diagnostic = Diagnostic {
            severity: Severity::Alert,
            place: Some(Place { file: "a.cfg".into(), line: 3 }),
            message: "wrong".into(),
            source: Some((source.into(), start, end)),
            hint: Some("did you mean 'x' maybe ?".into()),
        };
        let expected = format!(
            "[ALERT]    (7) : config : parsing [a.cfg:3] : wrong\n{expected}   | did you mean 'x' maybe ?\n"
        );
        assert_eq!(render(&[diagnostic], 7, false), expected);
    }

    #[test]
    fn carets() {
        check("  bind :80 sll", 11, 14, "   |   bind :80 sll\n   |            ^^^ column 12\n");
        check("\tbind :80", 1, 5, "   | \tbind :80\n   | \t^^^^ column 2\n");
        check("网 foo", 4, 7, "   | 网 foo\n   |   ^^^ column 3\n");
        check("short", 90, 95, "   | short\n   |      ^ column 6\n");
        check("网网", 1, 2, "   | 网网\n   | ^ column 1\n");
    }

    #[test]
    fn diag_is_shown_on_request_only() {
        let diagnostic = Diagnostic {
            severity: Severity::Diag,
            place: None,
            message: "x".into(),
            source: None,
            hint: None,
        };
        assert_eq!(render(std::slice::from_ref(&diagnostic), 1, false), "");
        assert_eq!(render(&[diagnostic], 1, true), "[DIAG]     (1) : config : x\n");
    }
}
