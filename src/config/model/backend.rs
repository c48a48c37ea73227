//! The server side of a proxy.

use super::check::{RuleSet, Speaks};
use super::l4::ServerL4;
use super::probes::{ExternalCommand, UdpCheck};
use super::{Endpoint, Protocol, Rule, ServerTls, UseServer};
use crate::expr::{Condition, Expr};
use crate::wire::dns::Question;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Backend {
    pub balance: Balance,
    pub hash_type: HashType,
    /// percent, 0 = off (`hash-balance-factor`)
    pub hash_balance_factor: u32,
    pub hash_preserve_affinity: Affinity,
    pub servers: Vec<Arc<Server>>,
    pub cookie: Option<Cookie>,
    pub dynamic_cookie_key: Option<String>,
    pub retries: u32,
    pub retry_on: RetryOn,
    pub reuse: Reuse,
    pub fullconn: Option<u32>,
    pub max_keep_alive_queue: i32,
    pub use_server: Vec<Rule<UseServer>>,
    /// `force-persist` / `ignore-persist` in order
    pub persist_rules: Vec<PersistRule>,
    /// `be-unpublished`: rules pass it over until `publish backend`.
    pub unpublished: bool,
    pub source: Option<Source>,
    pub check: CheckKind,
    pub external: ExternalCommand,
    pub disable_on_404: bool,
    pub send_state: bool,
    pub http_send_name_header: Option<Arc<str>>,
    /// `load-server-state-from-file`
    pub load_state: LoadState,
    pub server_state_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadState {
    #[default]
    None,
    Global,
    Local,
}

impl Default for Backend {
    fn default() -> Self {
        Self {
            balance: Balance::Random { draws: 2 },
            hash_type: HashType::default(),
            hash_balance_factor: 0,
            hash_preserve_affinity: Affinity::Always,
            servers: Vec::new(),
            cookie: None,
            dynamic_cookie_key: None,
            retries: 3,
            retry_on: RetryOn::default(),
            reuse: Reuse::Safe,
            fullconn: None,
            max_keep_alive_queue: -1,
            use_server: Vec::new(),
            persist_rules: Vec::new(),
            unpublished: false,
            source: None,
            check: CheckKind::Tcp,
            external: ExternalCommand::default(),
            disable_on_404: false,
            send_state: false,
            http_send_name_header: None,
            load_state: LoadState::None,
            server_state_file: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    Always,
    MaxConn,
    MaxQueue,
}

/// `balance`. What HAProxy does without the line is `Random` since 3.0 and `roundrobin` before; see `config::resolve`.
#[derive(Debug)]
pub enum Balance {
    RoundRobin,
    StaticRr,
    LeastConn,
    First,
    Source,
    Uri { len: usize, depth: usize, path_only: bool, whole: bool },
    UrlParam { name: String, check_post: Option<usize> },
    Hdr { name: Arc<str>, use_domain_only: bool },
    Random { draws: u32 },
    RdpCookie { name: String },
    Hash(Expr),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashType {
    pub method: HashMethod,
    pub function: HashFunction,
    pub avalanche: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashMethod {
    #[default]
    MapBased,
    Consistent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    #[default]
    Sdbm,
    Djb2,
    Wt6,
    Crc32,
    None,
}

/// `http-reuse`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    Never,
    #[default]
    Safe,
    Aggressive,
    Always,
}

/// `retry-on`; the default is `conn-failure` alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct RetryOn {
    pub conn_failure: bool,
    pub empty_response: bool,
    pub junk_response: bool,
    pub response_timeout: bool,
    pub zero_rtt_rejected: bool,
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            conn_failure: true,
            empty_response: false,
            junk_response: false,
            response_timeout: false,
            zero_rtt_rejected: false,
            statuses: Vec::new(),
        }
    }
}

impl Backend {
    /// Who may use the server's connections again: those that say whose they are (PROXY protocol, the client's own
    /// address) their client alone.
    #[must_use]
    pub fn reuse_to(&self, server: &Server) -> Reuse {
        let source = server.source.as_ref().or(self.source.as_ref());
        let spoofs = source.is_some_and(|s| !matches!(s.use_src, UseSrc::None | UseSrc::Addr(_)));
        if spoofs || server.send_proxy.is_some() { Reuse::Never } else { self.reuse }
    }
}

/// The backend's `cookie` line.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Cookie {
    pub name: String,
    pub mode: CookieMode,
    pub indirect: bool,
    pub nocache: bool,
    pub postonly: bool,
    pub preserve: bool,
    pub httponly: bool,
    pub secure: bool,
    pub domains: Vec<String>,
    pub maxidle: Option<Duration>,
    pub maxlife: Option<Duration>,
    pub dynamic: bool,
    pub attrs: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieMode {
    /// A bare `cookie NAME`: the value is read, nothing is written.
    Passive,
    Rewrite,
    Insert,
    Prefix,
}

#[derive(Debug)]
pub enum PersistRule {
    Force(Condition),
    Ignore(Condition),
}

/// `source addr[:port[-port]] [usesrc ...] [interface ...]`
#[derive(Clone, Debug)]
pub struct Source {
    pub addr: Option<SocketAddr>,
    pub port_range: Option<(u16, u16)>,
    pub interface: Option<String>,
    pub use_src: UseSrc,
}

#[derive(Clone, Debug, Default)]
pub enum UseSrc {
    #[default]
    None,
    Client,
    ClientIp,
    Addr(SocketAddr),
    /// `hdr_ip(NAME[,occ])`
    Header(Arc<str>, i32),
}

/// One `server` (each of a `server-template` is one).
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Server {
    pub name: Arc<str>,
    /// HAProxy's `id`, from 1
    pub id: u32,
    /// Set by the user.
    pub id_is_forced: bool,
    /// `guid`
    pub guid: Option<Arc<str>>,
    /// The name the address was found by.
    pub fqdn: Option<Arc<str>>,
    pub place: Option<crate::config::raw::Place>,
    pub endpoint: Endpoint,
    /// `server s 1.2.3.4` without a port, or `:+N`/`:-N`: the client's destination port plus this.
    pub port_offset: Option<i32>,
    /// 0..=256
    pub weight: u32,
    pub maxconn: u32,
    pub minconn: u32,
    pub maxqueue: u32,
    pub backup: bool,
    pub disabled: bool,
    pub cookie: Option<String>,
    pub check: Option<Check>,
    pub agent: Option<Agent>,
    pub track: Option<String>,
    pub slowstart: Option<Duration>,
    pub on_marked_down: Option<Mark>,
    pub on_marked_up: Option<Mark>,
    pub observe: Option<Layer>,
    pub error_limit: u32,
    pub on_error: OnError,
    pub send_proxy: Option<SendProxy>,
    pub source: Option<Source>,
    /// The SOCKS 4 proxy that connections go through.
    pub socks4: Option<SocketAddr>,
    pub pool_max_conn: i32,
    pub pool_low_conn: u32,
    pub pool_purge_delay: Duration,
    pub max_reuse: i32,
    pub tcp_user_timeout: Option<Duration>,
    pub tfo: bool,
    pub non_stick: bool,
    pub redir: Option<String>,
    pub hash_key: HashKey,
    pub l4: ServerL4,
    /// Connections to it are TLS ones (`ssl`); a command may change that where `tls` is there.
    pub ssl: bool,
    pub tls: Option<Arc<ServerTls>>,
    /// `sni`
    pub sni: Option<Arc<Expr>>,
    /// `proto`: `None`: what ALPN agrees upon, else HTTP/1.
    pub protocol: Option<Protocol>,
    pub ws: Ws,
}

/// `ws`: what is spoken to relay websockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ws {
    /// As for everything else; where ALPN offers HTTP/1.1, that.
    #[default]
    Auto,
    H1,
    H2,
}

impl Server {
    /// May connections to it carry many streams?
    #[must_use]
    pub fn may_speak_h2(&self) -> bool {
        match self.protocol {
            Some(protocol) => protocol == Protocol::H2,
            None => self.tls.as_ref().is_some_and(|tls| tls.alpn.iter().any(|name| name == b"h2")),
        }
    }

    /// The port, or the number that is added to the client's, as HAProxy shows it; 0 where there is none.
    #[must_use]
    pub fn shown_port(&self) -> i32 {
        match &self.endpoint {
            Endpoint::Inet(address) => self.port_offset.unwrap_or_else(|| i32::from(address.port())),
            Endpoint::Unresolved { port, .. } => i32::from(*port),
            Endpoint::Unix(_) | Endpoint::Abstract(_) => 0,
        }
    }
}

impl Default for Server {
    /// What a `server` line without any option means.
    fn default() -> Self {
        Self {
            name: Arc::default(),
            id: 0,
            id_is_forced: false,
            guid: None,
            fqdn: None,
            place: None,
            endpoint: Endpoint::Inet(SocketAddr::from(([0, 0, 0, 0], 0))),
            port_offset: None,
            weight: 1,
            maxconn: 0,
            minconn: 0,
            maxqueue: 0,
            backup: false,
            disabled: false,
            cookie: None,
            check: None,
            agent: None,
            track: None,
            slowstart: None,
            on_marked_down: None,
            on_marked_up: None,
            observe: None,
            error_limit: 10,
            on_error: OnError::default(),
            send_proxy: None,
            source: None,
            socks4: None,
            pool_max_conn: -1,
            pool_low_conn: 0,
            pool_purge_delay: Duration::from_secs(5),
            max_reuse: -1,
            tcp_user_timeout: None,
            tfo: false,
            non_stick: false,
            redir: None,
            hash_key: HashKey::default(),
            l4: ServerL4::default(),
            ssl: false,
            tls: None,
            sni: None,
            protocol: None,
            ws: Ws::Auto,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    #[default]
    Id,
    Addr,
    AddrPort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    ShutdownSessions,
    ShutdownBackupSessions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    L4,
    L7,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    FastInter,
    #[default]
    FailCheck,
    SuddenDeath,
    MarkDown,
}

/// `send-proxy*`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct SendProxy {
    /// `send-proxy` was said, which holds where version 2 is taken back.
    pub v1: bool,
    pub v2: bool,
    pub ssl: bool,
    pub ssl_cn: bool,
    pub unique_id: bool,
    pub crc32c: bool,
    pub authority: bool,
    pub ssl_cipher: bool,
    pub cert_sig: bool,
    pub cert_key: bool,
}

/// `check` and its timing on a server.
#[derive(Clone, Debug)]
pub struct Check {
    pub inter: Duration,
    pub fastinter: Option<Duration>,
    pub downinter: Option<Duration>,
    pub rise: u32,
    pub fall: u32,
    pub port: Option<u16>,
    pub addr: Option<std::net::IpAddr>,
    pub send_proxy: bool,
    /// `check-via-socks4`
    pub via_socks4: bool,
    /// `init-state`: up, down, fully-up, fully-down
    pub init_state: InitState,
    /// `healthcheck`: in place of the backend's.
    pub kind: Option<CheckKind>,
    /// The program of a `healthcheck` section; `None`: the backend's.
    pub external: Option<Arc<ExternalCommand>>,
    /// `check-ssl`
    pub ssl: bool,
    /// `check-sni`
    pub sni: Option<String>,
    /// `check-alpn`
    pub alpn: Vec<Vec<u8>>,
    /// `check-proto`
    pub speaks: Option<Speaks>,
    /// Where a connection of the check is a TLS one.
    pub tls: Option<Arc<ServerTls>>,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            inter: Duration::from_secs(2),
            fastinter: None,
            downinter: None,
            rise: 2,
            fall: 3,
            port: None,
            addr: None,
            send_proxy: false,
            via_socks4: false,
            init_state: InitState::Up,
            kind: None,
            external: None,
            ssl: false,
            sni: None,
            alpn: Vec::new(),
            speaks: None,
            tls: None,
        }
    }
}

/// `agent-check` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub inter: Duration,
    pub port: u16,
    /// Without it, the server's own.
    pub addr: Option<std::net::IpAddr>,
    pub send: String,
}

impl Default for Agent {
    fn default() -> Self {
        Self { inter: Duration::from_secs(2), port: 0, addr: None, send: String::new() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitState {
    #[default]
    Up,
    FullyUp,
    Down,
    FullyDown,
}

/// What a check says to the server.
#[derive(Clone, Debug)]
pub enum CheckKind {
    /// Connecting is all.
    Tcp,
    /// `tcp-check` and `http-check` rules, and the protocol checks made of such.
    Rules(Arc<RuleSet>),
    /// `option external-check`; `dynamic_weight`: exit codes from 2 on are weights.
    External {
        dynamic_weight: bool,
    },
    /// `option ping-check`
    Ping,
    Udp(UdpCheck),
    Dns(Question),
}
