//! Versions of TLS, as `ssl-min-ver`, `ssl-max-ver`, `no-tlsv1x` and `force-tlsv1x` choose them.

use crate::tls::settings::Version;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

/// From the oldest on; the last two are there.
const NAMES: &[&str] = &["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
/// The same, as the words that leave them out or force them end.
const SUFFIXES: &[&str] = &["sslv3", "tlsv10", "tlsv11", "tlsv12", "tlsv13"];

/// What was said; places in [`NAMES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    min: Option<usize>,
    max: Option<usize>,
    /// A bit for each that is left out.
    without: u8,
}

impl Versions {
    /// Notes an option; `false`: its argument is no version.
    pub fn note(&mut self, option: &str, argument: &str) -> bool {
        let named = || NAMES.iter().position(|n| *n == argument);
        if let Some(at) = option.strip_prefix("no-").and_then(place) {
            self.without |= 1 << at;
        } else if let Some(at) = option.strip_prefix("force-").and_then(place) {
            (self.min, self.max) = (Some(at), Some(at));
        } else if option == "ssl-min-ver" {
            self.min = named();
            return self.min.is_some();
        } else if option == "ssl-max-ver" {
            self.max = named();
            return self.max.is_some();
        }
        true
    }

    /// Is it the name of a version that is too old to be there?
    #[must_use]
    pub fn is_old(name: &str) -> bool {
        NAMES.iter().position(|n| *n == name).is_some_and(|at| at < 3)
    }

    /// Is it an option without an argument?
    #[must_use]
    pub fn knows(option: &str) -> bool {
        option.strip_prefix("no-").or_else(|| option.strip_prefix("force-")).and_then(place).is_some()
    }

    /// With what is said further out (for all of the process, for the whole line) where this says nothing.
    #[must_use]
    pub fn or(self, global: Self) -> Self {
        Self {
            min: self.min.or(global.min),
            max: self.max.or(global.max),
            without: self.without | global.without,
        }
    }

    /// As bounds that were settled: the widest say nothing.
    #[must_use]
    pub fn between(min: Option<Version>, max: Option<Version>) -> Self {
        let at = |version| if version == Version::Tls13 { 4 } else { 3 };
        Self {
            min: min.filter(|v| *v == Version::Tls13).map(at),
            max: max.filter(|v| *v == Version::Tls12).map(at),
            without: 0,
        }
    }

    /// Are versions left out and bounded? HAProxy goes by the bounds then.
    #[must_use]
    pub fn contradict(self) -> bool {
        self.without != 0 && (self.min.is_some() || self.max.is_some())
    }

    /// What to say of it.
    #[must_use]
    pub fn contradiction(whom: &str) -> String {
        format!("no-sslv3/no-tlsv1x are ignored for {whom}. Use only 'ssl-min-ver' and 'ssl-max-ver' to fix.")
    }

    /// Those that are allowed and there, the newest first.
    #[must_use]
    pub fn allowed(self) -> Vec<&'static SupportedProtocolVersion> {
        let (min, max) = (self.min.unwrap_or(0), self.max.unwrap_or(NAMES.len()));
        let without = if self.contradict() { 0 } else { self.without };
        let allows = |at: usize| min <= at && at <= max && without & (1 << at) == 0;
        [(4, &TLS13), (3, &TLS12)].into_iter().filter(|(at, _)| allows(*at)).map(|(_, v)| v).collect()
    }
}

fn place(suffix: &str) -> Option<usize> {
    SUFFIXES.iter().position(|s| *s == suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(words: &str) -> Vec<&'static SupportedProtocolVersion> {
        let mut versions = Versions::default();
        let words: Vec<&str> = words.split_whitespace().collect();
        for (i, word) in words.iter().enumerate().filter(|(_, w)| w.contains('-')) {
            assert!(versions.note(word, words.get(i + 1).unwrap_or(&"")), "{word}");
        }
        versions.allowed()
    }

    #[test]
    fn as_haproxy_reads_them() {
        let both: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        assert_eq!(allowed(""), both);
        assert_eq!(allowed("ssl-min-ver TLSv1.0 no-sslv3 no-tlsv11"), both);
        assert_eq!(allowed("ssl-min-ver TLSv1.2 no-tlsv13"), both);
        assert_eq!(allowed("force-tlsv12"), [&TLS12]);
        assert_eq!(allowed("no-tlsv12"), [&TLS13]);
        assert_eq!(allowed("ssl-min-ver TLSv1.3"), [&TLS13]);
        assert_eq!(allowed("ssl-max-ver TLSv1.2"), [&TLS12]);
        assert!(allowed("ssl-max-ver TLSv1.1").is_empty());
        assert!(allowed("force-tlsv10").is_empty());
        assert!(!Versions::default().note("ssl-min-ver", "TLSv1.4"));
    }

    #[test]
    fn a_line_goes_before_the_global_section() {
        let (mut line, mut global) = (Versions::default(), Versions::default());
        assert!(line.note("ssl-min-ver", "TLSv1.2") && global.note("ssl-min-ver", "TLSv1.3"));
        assert_eq!(line.or(global), line);
        assert_eq!(Versions::default().or(global).allowed(), [&TLS13]);
        let mut without = Versions::default();
        assert!(without.note("no-tlsv13", ""));
        assert_eq!(without.allowed(), [&TLS12]);
        assert!(line.or(without).contradict() && !without.contradict());
        assert_eq!(line.or(without).allowed(), [&TLS13, &TLS12]);
    }
}
