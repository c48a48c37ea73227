//! Sample expressions, conditions and log formats: parsed once with the configuration, evaluated per request.
//!
//! An [`Expr`] is a fetch with arguments and a chain of converters; a [`Condition`] is an OR of ANDs of ACL terms; a
//! [`LogFormat`] is text with `%` variables and `%[expr]`. They see the world through [`facts::Facts`] and nothing else,
//! so this module knows neither sockets nor clocks. One table row per fetch, converter and log variable.

pub mod facts;
mod value;

pub use facts::Facts;
pub use value::Value;

/// Where an expression stands, which decides what it may fetch (the columns of HAProxy's fetch table).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    TcpConnection,
    TcpSession,
    TcpContent,
    HttpRequest,
    UseBackend,
    Balance,
    TcpResponse,
    HttpResponse,
    HttpAfterResponse,
    Log,
    Check,
}

/// Why an expression does not parse: the message is HAProxy's where it has one; `word` is the offending word's place
/// among the words given (for the caret), `hint` the nearest valid spelling.
#[derive(Clone, Debug)]
pub struct ExprError {
    pub word: usize,
    pub message: String,
    pub hint: Option<String>,
    /// It exists in HAProxy but not here yet.
    pub unsupported: bool,
}

/// Names an expression may use: ACLs and userlists declared before it, the directory of relative files.
#[derive(Debug, Default)]
pub struct Scope {
    pub acls: Vec<std::sync::Arc<Acl>>,
    pub userlists: Vec<std::sync::Arc<crate::config::model::Userlist>>,
}

/// One named ACL: every `acl NAME ...` line of that name, ORed.
#[derive(Debug)]
pub struct Acl {
    pub name: String,
}

/// A fetch and its converters.
#[derive(Debug, Clone)]
pub struct Expr {}

impl Expr {
    /// Parses one expression from the front of `words` (`src,ipmask(24)`); answers it and how many words it took.
    ///
    /// # Errors
    /// Unknown fetch or converter, bad argument, or one that does not exist at this `site`.
    pub fn parse(_words: &[&str], _site: Site, _scope: &Scope) -> Result<(Self, usize), ExprError> {
        Ok((Self {}, 1))
    }

    /// The sample, or `None` where there is nothing to fetch.
    pub fn eval(&self, _facts: &mut dyn Facts) -> Option<Value> {
        None
    }
}

/// `if` / `unless` and what follows.
#[derive(Debug)]
pub struct Condition {}

impl Condition {
    /// Parses `words`, which start with `if` or `unless` (anything else is the caller's error).
    ///
    /// # Errors
    /// Unknown ACL, malformed anonymous ACL, missing brace.
    pub fn parse(_words: &[&str], _site: Site, _scope: &Scope) -> Result<Self, ExprError> {
        Ok(Self {})
    }

    pub fn holds(&self, facts: &mut dyn Facts) -> bool {
        self.evaluate(facts, true) == Some(true)
    }

    /// Three-valued, for content rules: `None` means that more bytes must come before it can be said. With `last`, a
    /// miss is final.
    pub fn evaluate(&self, _facts: &mut dyn Facts, _last: bool) -> Option<bool> {
        Some(false)
    }
}

impl Acl {
    /// Parses what follows `acl NAME`: `path_beg -i /static /images`.
    ///
    /// # Errors
    /// As [`Expr::parse`], and bad flags or patterns.
    pub fn parse(name: &str, _words: &[&str], _site: Site, _scope: &Scope) -> Result<Self, ExprError> {
        Ok(Self { name: name.to_owned() })
    }

    /// Adds another line's alternatives to this ACL.
    #[must_use]
    pub fn or(self, _other: Self) -> Self {
        self
    }
}

/// A compiled `log-format` string.
#[derive(Debug, Clone)]
pub struct LogFormat {}

impl LogFormat {
    /// # Errors
    /// Unknown variable, bad flag, bad expression.
    pub fn parse(_text: &str, _site: Site, _scope: &Scope) -> Result<Self, ExprError> {
        Ok(Self {})
    }

    /// Appends the rendered text (header values, redirects, names: no log escaping).
    pub fn render(&self, _facts: &mut dyn Facts, _out: &mut Vec<u8>) {}

    /// Appends a log line: missing values as `-`, escaping as HAProxy's logs do.
    pub fn render_log(&self, _facts: &mut dyn Facts, _out: &mut Vec<u8>) {}
}

/// A compiled pattern: `regex` where it can, `fancy-regex` (bounded) where the pattern needs look-around or back-references.
#[derive(Debug, Clone)]
pub struct Regex {}

impl Regex {
    /// # Errors
    /// The pattern is neither.
    pub fn new(_pattern: &str, _ignore_case: bool) -> Result<Self, String> {
        Ok(Self {})
    }

    #[must_use]
    pub fn is_match(&self, _text: &[u8]) -> bool {
        false
    }

    /// Byte ranges of group 0..=9 of the first match at or after `from`; `None`: no match.
    #[must_use]
    pub fn captures_at(&self, _text: &[u8], _from: usize) -> Option<Vec<Option<(usize, usize)>>> {
        None
    }
}
