//! What a check says to a server and expects of it: a list of steps, whichever protocol it speaks.

use super::VarScope;
use crate::expr::{Expr, LogFormat, Regex};
use crate::health::Status;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The steps of one kind of check.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub flavour: Flavour,
    /// The first connects.
    pub steps: Vec<Step>,
    /// The first step was not written: numbers in messages do not count it.
    pub implicit_connect: bool,
    /// The steps' numbers in messages where they are not their places: those of `http-check`.
    pub numbers: Vec<usize>,
    /// `http-check disable-on-404`
    pub disable_on_404: bool,
    /// `http-check send-state`
    pub send_state: bool,
}

impl RuleSet {
    #[must_use]
    pub fn new(flavour: Flavour, steps: Vec<Step>) -> Self {
        let numbers = Vec::new();
        Self { flavour, steps, implicit_connect: false, numbers, disable_on_404: false, send_state: false }
    }

    /// Nothing was written: connecting is all.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.implicit_connect && self.steps.len() == 1
    }
}

/// Whose words a rule set's findings are told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `tcp-check` rules: findings name the step.
    Tcp,
    /// `http-check` rules: responses are HTTP messages.
    Http,
    /// A built-in protocol check.
    Protocol,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub action: Action,
    pub comment: Option<Arc<str>>,
}

impl From<Action> for Step {
    fn from(action: Action) -> Self {
        Self { action, comment: None }
    }
}

#[derive(Clone, Debug)]
pub enum Action {
    Connect(Box<Connect>),
    Send(Send),
    Request(Box<Request>),
    Expect(Box<Expect>),
    SetVar {
        scope: VarScope,
        name: String,
        expr: Expr,
    },
    SetVarFormat {
        scope: VarScope,
        name: String,
        format: LogFormat,
    },
    UnsetVar {
        scope: VarScope,
        name: String,
    },
    /// Belongs to what follows.
    Comment,
}

/// What the exchange of a check is spoken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Not HTTP.
    Bytes,
    Http1,
    Http2,
}

/// `connect`
#[derive(Clone, Debug, Default)]
pub struct Connect {
    /// What the server line says about checks holds where nothing is said here.
    pub default: bool,
    pub port: Option<Port>,
    pub addr: Option<IpAddr>,
    pub send_proxy: bool,
    pub via_socks4: bool,
    pub ssl: bool,
    pub sni: Option<String>,
    pub alpn: Vec<Vec<u8>>,
    /// `proto`; `None`: what ALPN agreed upon, else HTTP/1.
    pub speaks: Option<Speaks>,
    /// Closes in order; without it the connection is reset, which leaves no TIME_WAIT.
    pub linger: bool,
}

#[derive(Clone, Debug)]
pub enum Port {
    /// Stands in messages about the step.
    Fixed(u16),
    /// After an address: does not.
    OfAddress(u16),
    Computed(Expr),
}

/// `send`, `send-binary` and their log-format kin.
#[derive(Clone, Debug)]
pub enum Send {
    Bytes(Vec<u8>),
    Format(LogFormat),
    /// Renders hexadecimal digits.
    HexFormat(LogFormat),
}

/// `http-check send`
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: Option<String>,
    pub uri: Option<Text>,
    pub version: Option<String>,
    pub headers: Vec<(String, LogFormat)>,
    pub body: Option<Text>,
}

impl Request {
    /// What stands here, and what `other` says beyond that.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        Self {
            method: self.method.or_else(|| other.method.clone()),
            uri: self.uri.or_else(|| other.uri.clone()),
            version: self.version.or_else(|| other.version.clone()),
            headers: other.headers.iter().cloned().chain(self.headers).collect(),
            body: self.body.or_else(|| other.body.clone()),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Text {
    Plain(String),
    Format(LogFormat),
}

/// `expect`
#[derive(Clone, Debug)]
pub struct Expect {
    pub pattern: Pattern,
    /// `!`
    pub inverse: bool,
    /// With a number, what does not match is final once so many bytes are there.
    pub min_recv: Option<usize>,
    pub ok: Option<Status>,
    pub error: Option<Status>,
    pub timeout: Option<Status>,
    pub on_success: Option<LogFormat>,
    pub on_error: Option<LogFormat>,
    pub status_code: Option<Expr>,
}

impl Expect {
    #[must_use]
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            inverse: false,
            min_recv: None,
            ok: None,
            error: None,
            timeout: None,
            on_success: None,
            on_error: None,
            status_code: None,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Pattern {
    /// Of the bytes received; in `http-check`, of the body.
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Regex(Regex),
    /// Of the bytes in upper-case hexadecimal.
    BinaryRegex(Regex),
    Format(LogFormat),
    HexFormat(LogFormat),
    Status(Vec<RangeInclusive<u16>>),
    StatusRegex(Regex),
    Header(Header),
    /// MD5 of the whole body: weir's own.
    Digest([u8; 16]),
    /// The server's first MySQL packet.
    MysqlGreeting,
    /// Its answer to the login.
    MysqlAnswer,
    LdapBind,
    SpopHello,
}

/// `hdr` and `fhdr`
#[derive(Clone, Debug)]
pub struct Header {
    pub name: Match,
    pub value: Option<Match>,
    /// `fhdr`: commas do not part values.
    pub full: bool,
}

#[derive(Clone, Debug)]
pub enum Match {
    Exact(Text),
    Begins(Text),
    Ends(Text),
    Contains(Text),
    Regex(Regex),
}
