//! Conditions of `.if` and `-cc`: integers, predicates, `!`, `&&`, `||`, parentheses (HAProxy manual 2.4). Answers are
//! those of HAProxy 3.4.0 built with what weir has.

use super::environment::Environment;
use nom::bytes::complete::take_while1;
use nom::{IResult, Parser};
use std::cmp::Ordering;

/// The version conditions answer for.
pub const VERSION: &str = "3.4.0";

/// HAProxy's build options, and whether weir does what each of them stands for: `feature(NAME)` and the list of `-vv`.
pub const FEATURES: &[(&str, bool)] = &[
    ("51DEGREES", false),
    ("ACCEPT4", true),
    ("BACKTRACE", false),
    ("CLOSEFROM", false),
    ("CPU_AFFINITY", true),
    ("CRYPT_H", true),
    ("DEVICEATLAS", false),
    ("DL", false),
    ("ECH", false),
    ("ENGINE", false),
    ("EPOLL", true),
    ("EVPORTS", false),
    ("GETADDRINFO", true),
    ("KQUEUE", false),
    ("KTLS", false),
    ("LIBATOMIC", false),
    ("LIBCRYPT", true),
    ("LINUX_CAP", true),
    ("LINUX_SPLICE", true),
    ("LINUX_TPROXY", true),
    ("LUA", false),
    ("MATH", true),
    ("MEMORY_PROFILING", false),
    ("NETFILTER", true),
    ("NS", false),
    ("OBSOLETE_LINKER", false),
    ("OPENSSL", true),
    ("OPENSSL_AWSLC", false),
    ("OPENSSL_WOLFSSL", false),
    ("OT", false),
    ("PCRE", false),
    ("PCRE2", false),
    ("PCRE2_JIT", false),
    ("PCRE_JIT", false),
    ("POLL", true),
    ("PRCTL", true),
    ("PROCCTL", false),
    ("PROMEX", true),
    ("PTHREAD_EMULATION", false),
    ("QUIC", false),
    ("QUIC_OPENSSL_COMPAT", false),
    ("RT", true),
    ("SHM_OPEN", false),
    ("SLZ", false),
    ("SSL", true),
    ("STATIC_PCRE", false),
    ("STATIC_PCRE2", false),
    ("SYSTEMD", true),
    ("TFO", true),
    ("THREAD", true),
    ("THREAD_DUMP", false),
    ("TPROXY", true),
    ("WURFL", false),
    ("ZLIB", false),
];

/// The version of OpenSSL whose features TLS has here (rustls on AWS-LC, which answers for OpenSSL 1.1.1 itself).
const OPENSSL: &str = "1.1.1g";

/// What the TLS library calls itself.
pub const SSL_LIBRARY: &str = "AWS-LC by rustls";

/// What `enabled(NAME)` finds.
const ENABLED: &[&str] = &["POLL", "EPOLL", "SPLICE", "GETADDRINFO", "REUSEPORT", "FAST-FORWARD"];

/// Deeper nesting is refused: the expression is read recursively.
const MAX_DEPTH: usize = 64;

/// The condition's value; an empty one is false.
///
/// # Errors
/// HAProxy's sentence without its place.
pub fn evaluate(text: &str, environment: &Environment) -> Result<bool, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(false);
    }
    let mut reader = Reader { whole: trimmed, rest: trimmed, environment };
    let value = reader.any(0)?;
    reader.blanks();
    if let Some(c) = reader.rest.chars().next() {
        return Err(format!("unexpected character '{c}' at the end of conditional expression '{trimmed}'"));
    }
    Ok(value)
}

struct Reader<'a> {
    whole: &'a str,
    rest: &'a str,
    environment: &'a Environment,
}

impl Reader<'_> {
    fn any(&mut self, depth: usize) -> Result<bool, String> {
        let mut value = self.all(depth)?;
        while self.take("||") {
            let right = self.all(depth)?;
            value = value || right;
        }
        Ok(value)
    }

    fn all(&mut self, depth: usize) -> Result<bool, String> {
        let mut value = self.term(depth)?;
        while self.take("&&") {
            let right = self.term(depth)?;
            value = value && right;
        }
        Ok(value)
    }

    fn term(&mut self, depth: usize) -> Result<bool, String> {
        if depth > MAX_DEPTH {
            return Err(format!("conditional expression '{}' is nested too deeply", self.whole));
        }
        if self.take("!") {
            self.blanks();
            if self.rest.starts_with('!') {
                return Err(self.unparsable());
            }
            return Ok(!self.term(depth + 1)?);
        }
        if self.take("(") {
            let value = self.any(depth + 1)?;
            if !self.take(")") {
                return Err(format!("expected ')' after conditional expression '{}'", self.whole));
            }
            return Ok(value);
        }
        self.blanks();
        if let Ok((rest, value)) = integer(self.rest) {
            self.rest = rest;
            return Ok(value != 0);
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<bool, String> {
        let Ok((after, name)) = name(self.rest) else { return Err(self.unparsable()) };
        let Some(row) = PREDICATES.iter().find(|p| p.name == name) else { return Err(self.unparsable()) };
        let mut arguments = Vec::new();
        self.rest = after;
        if let Some(inside) = after.strip_prefix('(') {
            let Some(end) = inside.find(')') else {
                return Err(format!(
                    "missing arguments or ')' for predicate '{}' used in conditional expression",
                    row.name
                ));
            };
            arguments = inside[..end].split(',').collect();
            self.rest = &inside[end + 1..];
        }
        if arguments.len() < row.arguments {
            return Err(format!(
                "missing arguments (got {}/{}), type 'string' expected in argument 1 of predicate '{}' used in conditional expression",
                arguments.len(),
                row.arguments,
                row.name
            ));
        }
        if let Some(extra) = arguments.get(row.arguments) {
            return Err(format!(
                "expected ')' before ',{extra})' in argument {} of predicate '{}' used in conditional expression",
                row.arguments, row.name
            ));
        }
        Ok((row.test)(&arguments, self.environment))
    }

    fn unparsable(&self) -> String {
        format!("unparsable conditional expression '{}'", self.rest)
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        let trimmed = self.rest.trim_start();
        let Some(after) = trimmed.strip_prefix(token) else { return false };
        self.rest = after;
        true
    }
}

fn integer(text: &str) -> IResult<&str, i64> {
    nom::character::complete::i64.parse(text)
}

fn name(text: &str) -> IResult<&str, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_').parse(text)
}

struct Predicate {
    name: &'static str,
    arguments: usize,
    test: fn(&[&str], &Environment) -> bool,
}

/// What may be asked.
pub fn names() -> impl Iterator<Item = &'static str> {
    PREDICATES.iter().map(|predicate| predicate.name)
}

const PREDICATES: &[Predicate] = &[
    Predicate { name: "defined", arguments: 1, test: |a, e| e.get(a[0]).is_some() },
    Predicate { name: "feature", arguments: 1, test: |a, _| FEATURES.contains(&(a[0], true)) },
    Predicate { name: "streq", arguments: 2, test: |a, _| a[0] == a[1] },
    Predicate { name: "strneq", arguments: 2, test: |a, _| a[0] != a[1] },
    Predicate { name: "strstr", arguments: 2, test: |a, _| a[0].contains(a[1]) },
    Predicate { name: "version_atleast", arguments: 1, test: |a, _| ours_against(a[0]) != Ordering::Less },
    Predicate { name: "version_before", arguments: 1, test: |a, _| ours_against(a[0]) == Ordering::Less },
    Predicate {
        name: "openssl_version_atleast",
        arguments: 1,
        test: |a, _| openssl(OPENSSL) >= openssl(a[0]),
    },
    Predicate { name: "openssl_version_before", arguments: 1, test: |a, _| openssl(OPENSSL) < openssl(a[0]) },
    Predicate { name: "ssllib_name_startswith", arguments: 1, test: |a, _| SSL_LIBRARY.starts_with(a[0]) },
    // HAProxy's builds without AWS-LC's own interface.
    Predicate { name: "awslc_api_atleast", arguments: 1, test: |_, _| false },
    Predicate { name: "awslc_api_before", arguments: 1, test: |_, _| false },
    Predicate { name: "enabled", arguments: 1, test: |a, _| ENABLED.contains(&a[0]) },
];

fn ours_against(other: &str) -> Ordering {
    version(VERSION).cmp(&version(other))
}

/// `2.4-dev19`, `3.0.1-12`: (major, minor, patch or i64 below zero for a development version, build). What is missing
/// or no number counts as zero.
fn version(text: &str) -> [i64; 5] {
    let mut parts = [0; 5];
    let (numbers, build) = text.split_once('-').map_or((text, None), |(n, b)| (n, Some(b)));
    for (slot, number) in parts.iter_mut().zip(numbers.splitn(3, '.')) {
        *slot = leading_number(number);
    }
    // A development version comes before the release it leads to.
    parts[3] = i64::MAX;
    match build {
        Some(b) if b.starts_with("dev") => parts[3] = leading_number(&b[3..]),
        Some(b) if b.starts_with("rc") => parts[3] = 100_000 + leading_number(&b[2..]),
        Some(b) => parts[4] = leading_number(b),
        None => {}
    }
    parts
}

/// `1.1.1g`, `0.9.8zh`: (major, minor, fix, patch by its letters).
fn openssl(text: &str) -> [i64; 4] {
    let letters = text.bytes().filter(u8::is_ascii_lowercase);
    let mut parts = [0, 0, 0, letters.map(|b| i64::from(b - b'a') + 1).sum()];
    for (slot, number) in parts.iter_mut().zip(text.splitn(3, '.')) {
        *slot = leading_number(number);
    }
    parts
}

fn leading_number(text: &str) -> i64 {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<bool, &str>) {
        let environment: Environment = [("ONE".to_owned(), "one".to_owned())].into_iter().collect();
        let value = evaluate(text, &environment);
        assert_eq!(value.as_ref().map(|b| *b).map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn integers_and_operators() {
        check("", Ok(false));
        check("0", Ok(false));
        check("5", Ok(true));
        check("-1", Ok(true));
        check("! 1", Ok(false));
        check("1||0&&0", Ok(true));
        check("(1||0)&&0", Ok(false));
        check("( defined(ONE) && 0 || 1 )", Ok(true));
    }

    #[test]
    fn predicates() {
        check("defined(ONE)", Ok(true));
        check("defined( ONE )", Ok(false));
        check("streq(a b,a b)", Ok(true));
        check("strneq(a,b)", Ok(true));
        check("strstr(abc,b)", Ok(true));
        check("feature(THREAD)", Ok(true));
        check("feature(QUIC)", Ok(false));
        check("feature(OPENSSL)", Ok(true));
        check("feature(LUA)", Ok(false));
        check("enabled(SPLICE)", Ok(true));
    }

    #[test]
    fn versions() {
        check("version_atleast(3.4)", Ok(true));
        check("version_atleast(3.4-dev3)", Ok(true));
        check("version_atleast(3.4.1)", Ok(false));
        check("version_before(3.4)", Ok(false));
        check("version_before(3.5-dev0)", Ok(true));
        check("version_atleast(2.x)", Ok(true));
        check("openssl_version_atleast(1.1.1)", Ok(true));
        check("openssl_version_atleast(0.9.8zh)", Ok(true));
        check("openssl_version_atleast(1.1.1h)", Ok(false));
        check("openssl_version_before(3.0.0)", Ok(true));
        check("ssllib_name_startswith(AWS-LC)", Ok(true));
    }

    #[test]
    fn errors() {
        check("foo", Err("unparsable conditional expression 'foo'"));
        check("true &&", Err("unparsable conditional expression 'true &&'"));
        check("1 1", Err("unexpected character '1' at the end of conditional expression '1 1'"));
        check("!!1", Err("unparsable conditional expression '!1'"));
        check(
            "streq(a)",
            Err(
                "missing arguments (got 1/2), type 'string' expected in argument 1 of predicate 'streq' used in conditional expression",
            ),
        );
        check(
            &"(".repeat(1000),
            Err(&format!("conditional expression '{}' is nested too deeply", "(".repeat(1000))),
        );
    }
}
