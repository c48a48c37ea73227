//! Why an expression does not parse.

/// Why an expression does not parse: the message is HAProxy's where it has one; `word` is the offending word's place
/// among the words given (for the caret), `hint` the nearest valid spelling.
#[derive(Clone, Debug)]
pub struct ExprError {
    pub word: usize,
    pub message: String,
    pub hint: Option<String>,
    /// It exists in HAProxy but not here yet.
    pub unsupported: bool,
    /// Right in itself, wrong in the proxy it stands in (for `defaults`: in one that stands on them).
    pub misplaced: bool,
}

impl ExprError {
    pub(crate) fn new(word: usize, message: impl Into<String>) -> Self {
        Self { word, message: message.into(), hint: None, unsupported: false, misplaced: false }
    }

    pub(crate) fn unsupported(word: usize, what: &str) -> Self {
        let message = format!("{what} is not supported by weir yet");
        Self { unsupported: true, ..Self::new(word, message) }
    }

    pub(crate) fn hint(mut self, near: Option<&str>) -> Self {
        self.hint = near.map(|n| format!("did you mean '{n}'?"));
        self
    }

    pub(crate) fn misplaced(self) -> Self {
        Self { misplaced: true, ..self }
    }

    pub(crate) fn context(mut self, before: &str) -> Self {
        self.message = format!("{before}{}", self.message);
        self
    }

    pub(crate) fn at(mut self, word: usize) -> Self {
        self.word = word;
        self
    }
}

/// The nearest of `names` to `typed`, if near enough to be meant.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (typed.len() / 3).clamp(1, 3);
    names.map(|n| (distance(typed, n), n)).filter(|(d, _)| *d <= most).min_by_key(|(d, _)| *d).map(|(_, n)| n)
}

/// Edit distance where a swap of neighbours counts once.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, names: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(typed, names.iter().copied()), expected, "{typed}");
    }

    #[test]
    fn finds_the_nearest() {
        check("pth", &["path", "url", "base"], Some("path"));
        check("lowr", &["lower", "upper"], Some("lower"));
        check("zzzz", &["lower", "upper"], None);
        check("srcport", &["src_port", "dst_port"], Some("src_port"));
    }
}
