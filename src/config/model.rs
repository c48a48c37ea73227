//! The configuration as the runtime sees it: always valid, defaults filled in, names resolved to indices.
//!
//! Times are [`Duration`]s, sizes bytes. `None` in a timeout means infinite, as in HAProxy.

use super::raw::Place;
use crate::expr::{Condition, Expr, LogFormat, PatternStore};
use crate::ids::{ProxyIndex, ServerIndex};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub mod action;
pub mod backend;
pub mod bind;
pub mod check;
pub mod global;
pub mod l4;
pub mod log;
pub mod mail;
pub mod probes;
pub mod reply;
pub mod ring;
pub mod tls;
pub mod tune_h2;
pub mod vrrp;

pub use action::{
    HttpAction, HttpRule, Redirect, RedirectTarget, Rule, Service, TcpAction, TcpRule, VarScope,
};
pub use backend::{
    Backend, Balance, Check, CheckKind, Cookie, CookieMode, HashFunction, HashMethod, HashType, Mark,
    OnError, PersistRule, RetryOn, Reuse, SendProxy, Server, Source,
};
pub use bind::{Address, Bind, Protocol};
pub use global::{Global, StatsSocket, User, UserGroup, Userlist};
pub use log::{LogSource, LogTarget, LogTransport};
pub use reply::{ErrorReply, HttpErrors, Reply, ReplyBody};
pub use ring::{Ring, RingServer};
pub use tls::ServerTls;

/// A whole configuration. Indices (`ProxyIndex`) point into `proxies`.
#[derive(Debug, Default)]
pub struct Config {
    pub global: Global,
    pub proxies: Vec<Arc<Proxy>>,
    pub userlists: Vec<Arc<Userlist>>,
    pub vrrp: vrrp::VrrpConfig,
    /// What the proxies in `mode l4` come to; those that are `disabled` are not among them.
    pub l4_services: Vec<l4::Service>,
    pub http_errors: Vec<Arc<HttpErrors>>,
    pub mailers: Vec<mail::Mailers>,
    pub rings: Vec<Ring>,
    /// What servers go on from.
    pub states: super::states::States,
    /// Pattern files and maps, as rules and the administration socket change them.
    pub patterns: Arc<PatternStore>,
    /// Certificates, as `bind` lines show them and the administration socket changes them.
    pub tls: Arc<crate::tls::Store>,
    /// Files read, in order (for `show startup-logs` and reload).
    pub files: Vec<PathBuf>,
    /// The environment after `setenv` and its kin.
    pub environment: super::environment::Environment,
    /// As it was read, for who asks the process.
    pub written: super::written::Written,
    /// Bytes that reading it has left on the heap; 0 where nobody counts.
    pub memory: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Tcp,
    Http,
    /// Forwarded by the kernel: see [`Config::l4_services`].
    L4,
}

/// One `frontend`, `backend` or `listen` section. A `listen` has both sides and is its own default backend.
#[derive(Debug, Default)]
pub struct Proxy {
    pub index: Option<ProxyIndex>,
    /// HAProxy's `id` (set by the user, else given in order from 1).
    pub id: u32,
    /// Set by the user.
    pub id_is_forced: bool,
    pub name: Arc<str>,
    /// `guid`
    pub guid: Option<Arc<str>>,
    pub place: Option<Place>,
    pub mode: Mode,
    pub disabled: bool,
    pub description: Option<String>,
    pub timeouts: Timeouts,
    pub options: Options,
    pub log: ProxyLog,
    pub errors: Vec<(u16, ErrorReply)>,
    pub forward_for: Option<ForwardFor>,
    pub original_to: Option<ForwardFor>,
    /// `option forwarded` (RFC 7239), with its parameters.
    pub forwarded: Option<Forwarded>,
    /// `capture request|response header`: (name lower case, kept length).
    pub request_captures: Vec<(Arc<str>, usize)>,
    pub response_captures: Vec<(Arc<str>, usize)>,
    pub cookie_capture: Option<CookieCapture>,
    pub monitor_uri: Option<String>,
    pub monitor_fail: Vec<Condition>,
    pub unique_id_format: Option<Arc<LogFormat>>,
    pub unique_id_header: Option<Arc<str>>,
    pub tcp_request_connection: Vec<TcpRule>,
    pub tcp_request_session: Vec<TcpRule>,
    pub tcp_request_content: Vec<TcpRule>,
    pub tcp_response_content: Vec<TcpRule>,
    pub tcp_inspect_delay: Option<Duration>,
    pub tcp_response_inspect_delay: Option<Duration>,
    pub http_request: Vec<HttpRule>,
    pub http_response: Vec<HttpRule>,
    pub http_after_response: Vec<HttpRule>,
    pub redirects: Vec<Rule<Redirect>>,
    pub stats: Option<Stats>,
    /// `clitcpka-*` and `srvtcpka-*`
    pub client_probes: KeepAliveProbes,
    pub server_probes: KeepAliveProbes,
    pub email_alert: mail::EmailAlert,
    pub front: Option<Front>,
    pub back: Option<Backend>,
}

/// How TCP probes a silent connection; `None` leaves it to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAliveProbes {
    pub count: Option<u32>,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
}

impl Proxy {
    /// What `option clitcpka` asks for of clients' connections.
    #[must_use]
    pub fn client_keep_alive(&self) -> Option<KeepAliveProbes> {
        self.options.clitcpka.then_some(self.client_probes)
    }

    /// What `option srvtcpka` asks for of servers' connections.
    #[must_use]
    pub fn server_keep_alive(&self) -> Option<KeepAliveProbes> {
        self.options.srvtcpka.then_some(self.server_probes)
    }

    /// Is the acknowledgment of a client's first bytes to go out with the answer? (`option tcp-smart-accept`)
    #[must_use]
    pub fn answers_at_once(&self) -> bool {
        self.options.tcp_smart_accept.unwrap_or(self.mode == Mode::Http)
    }

    /// HAProxy's word for the section: `frontend`, `backend` or `listen` ("proxy" in messages about a listen).
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match (&self.front, &self.back) {
            (Some(_), Some(_)) => "listen",
            (Some(_), None) => "frontend",
            _ => "backend",
        }
    }
}

/// What only a proxy that accepts connections has.
#[derive(Debug, Default)]
pub struct Front {
    pub binds: Vec<Arc<Bind>>,
    /// 0: the process's limit alone.
    pub maxconn: usize,
    pub backlog: Option<u32>,
    pub rate_limit_sessions: Option<u32>,
    pub use_backend: Vec<Rule<UseBackend>>,
    /// `force-be-switch`: where one of these holds, rules reach unpublished backends too.
    pub force_switch: Vec<Condition>,
    pub default_backend: Option<ProxyIndex>,
}

#[derive(Debug)]
pub enum UseBackend {
    Static(ProxyIndex),
    /// `use_backend %[...]`: the name is computed; an unknown name falls through to the next rule.
    Dynamic(LogFormat),
}

#[derive(Clone, Debug, Default)]
pub struct Timeouts {
    pub client: Option<Duration>,
    pub server: Option<Duration>,
    pub connect: Option<Duration>,
    pub queue: Option<Duration>,
    pub check: Option<Duration>,
    pub http_request: Option<Duration>,
    pub http_keep_alive: Option<Duration>,
    pub tunnel: Option<Duration>,
    pub tarpit: Option<Duration>,
    pub client_fin: Option<Duration>,
    pub server_fin: Option<Duration>,
    pub client_hs: Option<Duration>,
}

/// How HTTP connections are kept (`option http-*`). The stricter of frontend and backend wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionMode {
    #[default]
    KeepAlive,
    ServerClose,
    Close,
}

/// The `option` lines that are plain switches.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    pub connection_mode: ConnectionMode,
    pub prefer_last_server: bool,
    pub redispatch: Option<i32>,
    pub abortonclose: bool,
    pub allbackups: bool,
    pub checkcache: bool,
    pub clitcpka: bool,
    pub srvtcpka: bool,
    pub contstats: bool,
    pub dontlog_normal: bool,
    pub dontlognull: bool,
    pub http_buffer_request: bool,
    pub http_ignore_probes: bool,
    pub disable_h2_upgrade: bool,
    pub http_no_delay: bool,
    pub http_pretend_keepalive: bool,
    pub http_restrict_req_hdr_names: Option<RestrictNames>,
    pub http_use_proxy_header: bool,
    pub accept_unsafe_request: bool,
    pub accept_unsafe_response: bool,
    pub h1_case_adjust_client: bool,
    pub h1_case_adjust_server: bool,
    pub independent_streams: bool,
    pub log_health_checks: bool,
    pub log_separate_errors: bool,
    pub logasap: bool,
    pub nolinger: bool,
    pub persist: bool,
    pub socket_stats: bool,
    pub splice_auto: bool,
    pub splice_request: bool,
    pub splice_response: bool,
    /// Nothing said: in `mode http`.
    pub tcp_smart_accept: Option<bool>,
    pub tcp_smart_connect: bool,
    pub transparent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestrictNames {
    Preserve,
    Delete,
    Reject,
}

#[derive(Clone, Debug, Default)]
pub struct ProxyLog {
    /// Empty: nothing is logged.
    pub targets: Vec<Arc<LogTarget>>,
    pub format: Option<Arc<LogFormat>>,
    /// What `format` is in words, for the engine's fast path.
    pub style: LogStyle,
    pub error_format: Option<Arc<LogFormat>>,
    pub sd_format: Option<Arc<LogFormat>>,
    pub tag: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStyle {
    /// The one-line "Connect from" format of a proxy without `option httplog|tcplog`.
    #[default]
    Connect,
    Tcp,
    Http,
    Clf,
    Custom,
}

/// `option forwardfor [except NET] [header NAME] [if-none]`, and `option originalto`.
#[derive(Clone, Debug)]
pub struct ForwardFor {
    pub header: Arc<str>,
    pub except: Option<Cidr>,
    pub if_none: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub addr: std::net::IpAddr,
    pub prefix: u8,
}

/// `option forwarded` parameters; without any, HAProxy sends `proto` and `for`.
#[derive(Clone, Debug, Default)]
pub struct Forwarded {
    pub proto: bool,
    pub host: Option<ForwardedNode>,
    pub by: Option<ForwardedNode>,
    pub by_port: Option<ForwardedNode>,
    pub for_: Option<ForwardedNode>,
    pub for_port: Option<ForwardedNode>,
}

#[derive(Clone, Debug)]
pub enum ForwardedNode {
    Default,
    Expr(Expr),
}

/// `capture cookie NAME len N`; `prefix` when the name ends in `*`.
#[derive(Clone, Debug)]
pub struct CookieCapture {
    pub name: String,
    pub prefix: bool,
    pub len: usize,
}

/// The `stats` directives of one proxy; the page itself is drawn by `admin`.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Stats {
    pub enabled: bool,
    pub uri: String,
    pub realm: Option<String>,
    /// (user, password)
    pub auth: Vec<(String, String)>,
    pub refresh: Option<Duration>,
    pub hide_version: bool,
    pub show_legends: bool,
    pub show_modules: bool,
    pub show_node: Option<String>,
    pub show_desc: Option<String>,
    pub scope: Vec<String>,
    pub admin: Vec<Condition>,
    pub http_request: Vec<HttpRule>,
}

/// `use-server NAME if ...`
#[derive(Debug)]
pub enum UseServer {
    Static(ServerIndex),
    Dynamic(LogFormat),
}

/// An address a check or a server is reached at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Inet(SocketAddr),
    Unix(PathBuf),
    Abstract(Vec<u8>),
    /// A name that could not be resolved at start under `init-addr none`: the server starts down.
    Unresolved {
        host: String,
        port: u16,
    },
}
