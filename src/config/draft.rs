//! What the keyword tables fill: proxies whose names are not resolved yet. [`super::resolve`] turns them into the model.

use super::address::Family;
use super::certificates::Source;
use super::checks::Checks;
use super::door::DoorDraft;
use super::keyword::Section;
use super::l4;
use super::model::backend::Agent;
use super::model::{Bind, Check, Proxy, Rule, Server};
use super::raw::Line;
use super::tls::{Preferences, Versions};
use crate::expr::{Expr, LogFormat, Scope};
use crate::tls::TrustFile;
use std::net::IpAddr;
use std::sync::Arc;

/// A proxy (or a `defaults` section) being read. `proxy.front`/`proxy.back` are `Some` where the section has that side;
/// in `defaults` both are. Settings of the `defaults` in force are replayed into each new draft before its own lines.
#[derive(Debug)]
pub struct Draft {
    pub section: Section,
    pub header: Line,
    /// The model's value, filled in place. What needs names resolved stands in the fields below instead.
    pub proxy: Proxy,
    /// ACLs declared so far and every userlist of the configuration.
    pub scope: Scope,
    /// Names of `acl` lines that did not parse: using them is no further error.
    pub broken_acls: Vec<String>,
    /// Something of the section is not built yet; what depends on it is not said again.
    pub incomplete: bool,
    pub binds: Vec<Bind>,
    /// `bind` lines with `ssl`.
    pub doors: Vec<DoorDraft>,
    /// `ssl-f-use`: certificates of `bind` lines that name none.
    pub uses: Vec<Source>,
    pub servers: Vec<ServerDraft>,
    /// The `default-server` settings so far.
    pub default_server: ServerDraft,
    pub default_backend: Option<Reference>,
    pub use_backend: Vec<Rule<Target>>,
    pub use_server: Vec<Rule<Target>>,
    /// `log global`: the global section's targets come before the proxy's own.
    pub log_global: bool,
    /// `tcp-check` and `http-check` rules, whichever option makes use of them.
    pub checks: Checks,
    /// `errorfiles NAME [codes]`, in order: taken from the `http-errors` section when all are read.
    pub errorfiles: Vec<ErrorFiles>,
    pub l4: l4::Draft,
}

impl Draft {
    #[must_use]
    pub fn new(section: Section, header: Line, proxy: Proxy, scope: Scope) -> Self {
        Self {
            section,
            default_server: ServerDraft::new(header.clone()),
            header,
            proxy,
            scope,
            broken_acls: Vec::new(),
            incomplete: false,
            binds: Vec::new(),
            doors: Vec::new(),
            uses: Vec::new(),
            servers: Vec::new(),
            default_backend: None,
            use_backend: Vec::new(),
            use_server: Vec::new(),
            log_global: false,
            checks: Checks::default(),
            errorfiles: Vec::new(),
            l4: l4::Draft::default(),
        }
    }
}

/// A name to be resolved, and where it was said (for the diagnostic).
#[derive(Clone, Debug)]
pub struct Reference {
    pub name: String,
    pub line: Line,
    /// The word of `line` that says the name.
    pub word: usize,
}

/// What `use_backend` and `use-server` point at.
#[derive(Debug)]
pub enum Target {
    Name(Reference),
    Format(LogFormat),
}

#[derive(Clone, Debug)]
pub struct ErrorFiles {
    pub section: Reference,
    /// Empty: every status of the section.
    pub codes: Vec<u16>,
}

/// A `server` (or `default-server`) line before its names are settled.
#[derive(Clone, Debug)]
pub struct ServerDraft {
    pub line: Line,
    pub server: Server,
    /// `inter`, `rise`, `port`…: kept whether or not `check` enables them.
    pub timing: Check,
    pub checked: bool,
    /// What the line says of TLS, whether or not something uses it.
    pub tls: TlsDraft,
    /// The `healthcheck` section named.
    pub healthcheck: Option<Reference>,
    /// `agent-*`: kept whether or not `agent-check` enables them.
    pub agent: Agent,
    pub agent_checked: bool,
    /// `init-addr`; empty: `last,libc`, then fail.
    pub init_addr: Vec<InitAddr>,
    /// A host name to be resolved, with the port as written.
    pub host: Option<String>,
    pub family: Family,
    /// `proto none`
    pub raw: bool,
}

/// `ssl` and the options that qualify it.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct TlsDraft {
    /// Traffic goes over TLS.
    pub on: bool,
    /// `ssl` was said, even if `no-ssl` followed: a command may switch it on.
    pub asked: bool,
    /// `no-check-ssl`: checks are plain although traffic is not.
    pub plain_checks: bool,
    pub required: Option<bool>,
    pub authorities: Option<Arc<TrustFile>>,
    pub host: Option<String>,
    /// `crt` and `crl-file`: read where they are used.
    pub crt: Option<Reference>,
    pub crl: Option<Reference>,
    pub sni: Option<Arc<Expr>>,
    pub alpn: Vec<Vec<u8>>,
    pub versions: Versions,
    pub ciphers: Option<Reference>,
    pub ciphersuites: Option<Reference>,
    pub preferences: Preferences,
    pub no_reuse: bool,
    pub no_tickets: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitAddr {
    Last,
    Libc,
    None,
    Ip(IpAddr),
}

impl ServerDraft {
    #[must_use]
    pub fn new(line: Line) -> Self {
        Self {
            line,
            server: Server::default(),
            timing: Check::default(),
            checked: false,
            tls: TlsDraft::default(),
            healthcheck: None,
            agent: Agent::default(),
            agent_checked: false,
            init_addr: Vec::new(),
            host: None,
            family: Family::Any,
            raw: false,
        }
    }
}
