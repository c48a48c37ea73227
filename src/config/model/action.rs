//! Rules: an action with an optional condition.

use super::reply::Reply;
use crate::config::raw::Place;
use crate::expr::{Condition, Expr, LogFormat, PatternFile, Regex, StoreIf};
use std::time::Duration;

#[derive(Debug)]
pub struct Rule<A> {
    pub place: Option<Place>,
    pub condition: Option<Condition>,
    pub action: A,
}

pub type TcpRule = Rule<TcpAction>;
pub type HttpRule = Rule<HttpAction>;

/// `tcp-request connection|session|content` and `tcp-response content` actions; the parser admits each only where it is valid.
#[derive(Debug)]
pub enum TcpAction {
    Accept,
    Reject,
    /// `tcp-response content close`
    Close,
    ExpectProxy,
    SilentDrop,
    /// `capture EXPR len N`: into slot `slot` of the frontend's request captures.
    Capture {
        expr: Expr,
        slot: usize,
    },
    SetVar {
        scope: VarScope,
        name: String,
        when: StoreIf,
        expr: Expr,
    },
    SetVarFormat {
        scope: VarScope,
        name: String,
        when: StoreIf,
        format: LogFormat,
    },
    UnsetVar {
        scope: VarScope,
        name: String,
    },
    SetSrc(Expr),
    SetSrcPort(Expr),
    SetDst(Expr),
    SetDstPort(Expr),
    SetPriorityClass(Expr),
    SetPriorityOffset(Expr),
    SetLogLevel(Option<u8>),
    SetNice(i32),
    SetMark(Peer, Expr),
    SetTos(Peer, Expr),
    SwitchModeHttp,
    /// `use-service`, `do-resolve`…: refused by the parser until built.
    SetBandwidth,
}

/// Whose packets `set-fc-mark`, `set-bc-mark` and their like mark: those to the client, those to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarScope {
    Process,
    Session,
    Transaction,
    Request,
    Response,
    Check,
}

/// A service of our own that answers requests in a server's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The page at `stats uri`.
    Stats,
    /// `http-request use-service prometheus-exporter`
    Prometheus,
}

impl Service {
    /// What stands in a server's place in the log.
    #[must_use]
    pub fn log_name(self) -> &'static str {
        match self {
            Self::Stats => "<STATS>",
            Self::Prometheus => "<PROMEX>",
        }
    }
}

/// The realm of the statistics page where `stats realm` does not say.
pub const STATS_REALM: &str = "HAProxy Statistics";

/// `http-request`, `http-response` and `http-after-response` actions.
#[derive(Debug)]
pub enum HttpAction {
    Allow,
    /// `deny` / `tarpit` / `return`: what is answered.
    Deny(Reply),
    Tarpit(Reply),
    Return(Reply),
    Reject,
    SilentDrop,
    UseService(Service),
    Auth {
        realm: Option<String>,
    },
    Redirect(Redirect),
    AddHeader {
        name: String,
        value: LogFormat,
    },
    SetHeader {
        name: String,
        value: LogFormat,
    },
    DelHeader(NameMatch),
    ReplaceHeader {
        name: String,
        pattern: Regex,
        value: LogFormat,
    },
    ReplaceValue {
        name: String,
        pattern: Regex,
        value: LogFormat,
    },
    ReplacePath {
        pattern: Regex,
        value: LogFormat,
    },
    ReplacePathQuery {
        pattern: Regex,
        value: LogFormat,
    },
    ReplaceUri {
        pattern: Regex,
        value: LogFormat,
    },
    SetMethod(LogFormat),
    SetPath(LogFormat),
    SetPathQuery(LogFormat),
    SetQuery(LogFormat),
    SetUri(LogFormat),
    SetStatus {
        status: u16,
        reason: Option<String>,
    },
    SetLogLevel(Option<u8>),
    SetNice(i32),
    SetMark(Peer, Expr),
    SetTos(Peer, Expr),
    SetSrc(Expr),
    SetSrcPort(Expr),
    SetDst(Expr),
    SetDstPort(Expr),
    SetPriorityClass(Expr),
    SetPriorityOffset(Expr),
    SetTimeout {
        which: SettableTimeout,
        value: TimeoutValue,
    },
    SetVar {
        scope: VarScope,
        name: String,
        when: StoreIf,
        expr: Expr,
    },
    SetVarFormat {
        scope: VarScope,
        name: String,
        when: StoreIf,
        format: LogFormat,
    },
    UnsetVar {
        scope: VarScope,
        name: String,
    },
    Capture {
        expr: Expr,
        slot: usize,
    },
    EarlyHint {
        name: String,
        value: LogFormat,
    },
    WaitForBody {
        time: Duration,
        at_least: usize,
    },
    WaitForHandshake,
    /// `add-acl`, `del-acl`, `set-map`, `del-map`
    EditPatterns {
        file: PatternFile,
        edit: PatternEdit,
        key: LogFormat,
    },
    DisableL7Retry,
    StrictMode(bool),
    NormalizeUri(Normalizer),
}

#[derive(Debug)]
pub enum PatternEdit {
    /// Unless the key is there.
    Add,
    Delete,
    /// All entries of the key get the value, or a new one has it.
    Set(LogFormat),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettableTimeout {
    Client,
    Server,
    Tunnel,
    Connect,
    Queue,
    Tarpit,
}

#[derive(Debug)]
pub enum TimeoutValue {
    Fixed(Duration),
    /// milliseconds
    Expr(Expr),
}

/// `normalize-uri` (HAProxy manual, http-request normalize-uri).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalizer {
    FragmentEncode,
    FragmentStrip,
    PathMergeSlashes,
    PathStripDot,
    PathStripDotDot { full: bool },
    PercentDecodeUnreserved { strict: bool },
    PercentToUppercase { strict: bool },
    QuerySortByName,
}

/// `del-header NAME [-m METHOD]`; text is lower case.
#[derive(Debug)]
pub enum NameMatch {
    Exact(String),
    Begins(String),
    Ends(String),
    Contains(String),
    Regex(Regex),
}

#[derive(Debug)]
pub struct Redirect {
    pub code: u16,
    pub target: RedirectTarget,
    pub drop_query: bool,
    pub append_slash: bool,
    pub keep_query: bool,
    pub ignore_empty: bool,
    /// `set-cookie NAME[=value]` / `clear-cookie NAME[=]`: the whole Set-Cookie value.
    pub cookie: Option<String>,
}

#[derive(Debug)]
pub enum RedirectTarget {
    Location(LogFormat),
    Prefix(LogFormat),
    Scheme(LogFormat),
}
