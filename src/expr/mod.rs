//! Sample expressions, conditions and log formats: parsed once with the configuration, evaluated per request.
//!
//! An [`Expr`] is a fetch with arguments and a chain of converters; a [`Condition`] is an OR of ANDs of ACL terms; a
//! [`LogFormat`] is text with `%` variables and `%[expr]`. They see the world through [`facts::Facts`] and nothing else,
//! so this module knows neither sockets nor clocks. One table row per fetch, converter and log variable.

mod acl;
mod acls;
mod args;
mod condition;
mod convert;
pub(crate) use convert::encoding::{base64_decode, base64_encode};
pub(crate) use sample::hex_upper;
pub mod credentials;
pub mod crypt;
mod error;
mod expression;
pub mod facts;
mod fetch;
mod log;
mod manual;
mod map;
#[cfg(test)]
mod mock;
pub mod password;
mod pattern;
mod regex;
mod sample;
mod store;
mod syntax;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod truth;
mod value;

pub use acl::Acl;
pub use acls::Acls;
pub(crate) use args::variable;
pub use condition::Condition;
pub use error::ExprError;
pub use expression::Expr;
pub use facts::Facts;
pub use fetch::payload::{Incomplete, rdp_cookie};
pub use log::{LogFormat, builtin};
pub use manual::manual;
pub use map::split as split_entry;
pub use pattern::edit::{Answer, EditError, Found};
pub use pattern::reference::{Entry, Reference};
pub use pattern::store::{PatternFile, Store as PatternStore};
pub use regex::{Regex, expand};
pub use store::StoreIf;
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
    /// `http-error`: an error page may be sent at any stage of a request.
    ErrorReply,
    Log,
    Check,
    /// `set-var` of the `global` section: there is no traffic and nothing runs yet.
    Global,
}

/// Names an expression may use: ACLs and userlists declared before it, the directory of relative files.
#[derive(Debug, Default)]
pub struct Scope {
    pub acls: Acls,
    pub userlists: Vec<std::sync::Arc<crate::config::model::Userlist>>,
    /// Pattern files and maps read so far.
    pub patterns: std::sync::Arc<PatternStore>,
    /// What `setenv` and its kin have left; `None`: the process's own.
    pub environment: Option<std::sync::Arc<crate::config::environment::Environment>>,
    /// Predefined ACLs used so far: each is declared once.
    pub(crate) predefined: std::sync::Mutex<Vec<std::sync::Arc<Acl>>>,
    /// Every proxy and server of the configuration, where known: names in arguments are checked against it.
    pub directory: Option<std::sync::Arc<Directory>>,
    /// The proxy whose lines are read; none outside proxies, and in `defaults`, which stand for several.
    pub own: Option<Own>,
}

/// The proxy an expression stands in, and which sides it has.
#[derive(Clone, Debug)]
pub struct Own {
    pub name: String,
    pub front: bool,
    pub back: bool,
}

/// Names of a configuration's proxies and servers.
#[derive(Debug, Default)]
pub struct Directory {
    pub frontends: std::collections::BTreeSet<String>,
    pub rings: std::collections::BTreeSet<String>,
    /// Backends and their servers.
    pub backends: std::collections::BTreeMap<String, std::collections::BTreeSet<String>>,
}
