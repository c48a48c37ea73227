//! Text for the page: escaped, numbers and times as people read them.

use std::fmt::Write as _;
use std::time::Duration;

/// `text` as HTML text or attribute value.
pub fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in a document, whatever a server answered to its check.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(text, &mut out);
    out
}

/// `text` as a JSON string with its quotes. `<` is escaped too: what is read as a document by mistake stays text.
pub fn json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || c == '<' => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `7`, `1,234`, `12.3k`, `4.56M`.
#[must_use]
pub fn number(n: u64) -> String {
    match n {
        0..=999 => n.to_string(),
        1000..=9999 => format!("{},{:03}", n / 1000, n % 1000),
        _ => scaled(n, ""),
    }
}

/// `512 B`, `1.20 kB`, `3.40 GB`: powers of 1000.
#[must_use]
pub fn bytes(n: u64) -> String {
    if n < 1000 { format!("{n} B") } else { scaled(n, "B") }
}

/// Three digits and a power of 1000.
fn scaled(n: u64, unit: &str) -> String {
    #[allow(clippy::cast_precision_loss)]
    let mut value = n as f64 / 1000.0;
    let mut letters = ["k", "M", "G", "T", "P", "E"].into_iter();
    let mut letter = letters.next().unwrap_or_default();
    while value >= 999.5 {
        let Some(next) = letters.next() else { break };
        value /= 1000.0;
        letter = next;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    let gap = if unit.is_empty() { "" } else { " " };
    format!("{value:.digits$}{gap}{letter}{unit}")
}

/// `12s`, `3m 5s`, `4h 2m`, `6d 1h`.
#[must_use]
pub fn seconds(n: u64) -> String {
    match n {
        0..60 => format!("{n}s"),
        60..3600 => format!("{}m {}s", n / 60, n % 60),
        3600..86400 => format!("{}h {}m", n / 3600, n / 60 % 60),
        _ => format!("{}d {}h", n / 86400, n / 3600 % 24),
    }
}

#[must_use]
pub fn duration(span: Duration) -> String {
    seconds(span.as_secs())
}

/// `3 ms`, `1.25 s`.
#[must_use]
pub fn milliseconds(n: u64) -> String {
    if n < 1000 { format!("{n} ms") } else { format!("{}.{:02} s", n / 1000, n % 1000 / 10) }
}

/// `1 server`, `2 servers`.
#[must_use]
pub fn plural(n: usize, word: &str) -> String {
    format!("{} {word}{}", number(n as u64), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: &str, expected: &str) {
        assert_eq!(got, expected);
    }

    #[test]
    fn numbers_are_short() {
        for (n, text) in
            [(0, "0"), (999, "999"), (1234, "1,234"), (9999, "9,999"), (10_000, "10.0k"), (12_345, "12.3k")]
        {
            check(&number(n), text);
        }
        check(&number(999_950), "1.00M");
        check(&number(u64::MAX), "18.4E");
        check(&bytes(512), "512 B");
        check(&bytes(1200), "1.20 kB");
        check(&bytes(123_456_789), "123 MB");
    }

    #[test]
    fn times_are_short() {
        for (n, text) in [(59, "59s"), (185, "3m 5s"), (14_520, "4h 2m"), (522_000, "6d 1h")] {
            check(&seconds(n), text);
        }
        check(&milliseconds(999), "999 ms");
        check(&milliseconds(1250), "1.25 s");
    }

    #[test]
    fn nothing_breaks_out() {
        check(&escaped("<b a=\"x\" b='y'>&\u{7}"), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;\u{fffd}");
        let mut out = String::new();
        json("a\"\\</script>\n", &mut out);
        check(&out, "\"a\\\"\\\\\\u003c/script>\\u000a\"");
    }
}
