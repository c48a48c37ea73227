//! The `global` section and userlists.

use super::l4::L4Global;
use super::probes::ExternalChecks;
use super::{Bind, LogTarget};
use crate::expr::{Expr, LogFormat, StoreIf};
use crate::tls::updates::Manner;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Global {
    pub daemon: bool,
    pub master_worker: bool,
    pub quiet: bool,
    pub zero_warning: bool,
    pub maxconn: Option<usize>,
    pub maxconnrate: u32,
    pub maxsessrate: u32,
    pub maxsslrate: u32,
    /// 0: one per CPU.
    pub nbthread: usize,
    /// CPU list per thread (`cpu-map`), index 0 = thread 1; empty: not bound.
    pub cpu_map: Vec<Vec<usize>>,
    pub chroot: Option<PathBuf>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub pidfile: Option<PathBuf>,
    pub ulimit_n: Option<u64>,
    pub fd_hard_limit: Option<u64>,
    pub log: Vec<Arc<LogTarget>>,
    pub log_tag: Option<String>,
    /// `log-send-hostname [name]`: `Some("")` means the system's host name.
    pub log_send_hostname: Option<String>,
    pub node: Option<String>,
    pub description: Option<String>,
    pub hard_stop_after: Option<Duration>,
    pub grace: Option<Duration>,
    /// `close-spread-time infinite`: a graceful stop closes no connection, it waits for them.
    pub close_never: bool,
    /// `close-spread-time`
    pub close_spread: Option<Duration>,
    pub stats_sockets: Vec<Arc<StatsSocket>>,
    pub stats_timeout: Option<Duration>,
    pub stats_maxconn: usize,
    pub spread_checks: u32,
    pub max_spread_checks: Option<Duration>,
    pub external_check: ExternalChecks,
    pub insecure_fork_wanted: bool,
    pub strict_limits: bool,
    /// Some expression may ask for the body of a response, which is kept for it then.
    pub shows_responses: bool,
    /// `set-dumpable`: a core dump is written when the process dies, whatever the limits and the user are.
    pub dumpable: bool,
    /// `mworker-max-reloads`: a worker that has outlived more is ended.
    pub most_reloads: Option<u32>,
    pub server_state_base: Option<PathBuf>,
    pub server_state_file: Option<PathBuf>,
    /// `stats-file`: counters go on from there.
    pub stats_file: Option<PathBuf>,
    /// `profiling.tasks on`
    pub profiling_tasks: bool,
    pub localpeer: Option<String>,
    /// `anonkey`; 0: none.
    pub anon_key: u32,
    /// (lower-case name, name as it is to be sent)
    pub h1_case_adjust: Vec<(Arc<str>, Arc<str>)>,
    pub ocsp_updates: Manner,
    pub tune: Tune,
    /// In the order of their lines.
    pub variables: Vec<SetVariable>,
    /// `maxsslconn`; 0: none.
    pub maxsslconn: u64,
    /// `setcap`: what stays when the user changes.
    pub capabilities: Vec<Capability>,
    pub l4: L4Global,
}

/// What a process may be allowed beside its user's rights (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    BindService,
    Raw,
    NetAdmin,
    SysAdmin,
}

impl Capability {
    pub const NAMES: [(&str, Self); 4] = [
        ("cap_net_bind_service", Self::BindService),
        ("cap_net_raw", Self::Raw),
        ("cap_net_admin", Self::NetAdmin),
        ("cap_sys_admin", Self::SysAdmin),
    ];
}

/// `tune.*` that have a meaning here. Sizes in bytes.
#[derive(Debug, Clone)]
pub struct Tune {
    pub bufsize: usize,
    pub maxrewrite: usize,
    pub http_maxhdr: usize,
    pub http_logurilen: usize,
    pub http_cookielen: usize,
    pub maxaccept: i32,
    pub idle_timer: Duration,
    pub rcvbuf_client: usize,
    pub rcvbuf_server: usize,
    pub sndbuf_client: usize,
    pub sndbuf_server: usize,
    pub pipesize: usize,
    pub idle_pool_shared: bool,
    /// `nosplice` makes this false: bytes are never moved by splice(2).
    pub splice: bool,
    /// `tune.h2.*`
    pub h2: super::tune_h2::TuneH2,
    /// `tune.vars.*`
    pub vars: VariableLimits,
}

/// Bytes that variables may take, by scope; 0: any number.
#[derive(Clone, Copy, Debug, Default)]
pub struct VariableLimits {
    pub all: usize,
    pub process: usize,
    pub session: usize,
    pub transaction: usize,
    /// Each of a request's and its response's.
    pub exchange: usize,
    pub check: usize,
}

/// `set-var` and `set-var-fmt`: a variable of scope `proc` that is set when the process starts.
#[derive(Debug)]
pub struct SetVariable {
    /// Without its scope.
    pub name: String,
    /// The line: what a reload compares.
    pub text: String,
    pub when: StoreIf,
    pub value: Initial,
}

#[derive(Debug)]
pub enum Initial {
    Expr(Expr),
    Format(LogFormat),
}

impl Tune {
    /// Bytes that `allow-0rtt` lets come: as many as a request's head may have.
    #[must_use]
    pub fn early_data(&self) -> u32 {
        u32::try_from(self.bufsize.saturating_sub(self.maxrewrite)).unwrap_or(u32::MAX)
    }
}

impl Default for Tune {
    fn default() -> Self {
        Self {
            bufsize: 16384,
            maxrewrite: 1024,
            http_maxhdr: 101,
            http_logurilen: 1023,
            http_cookielen: 63,
            maxaccept: 0,
            idle_timer: Duration::from_secs(1),
            rcvbuf_client: 0,
            rcvbuf_server: 0,
            sndbuf_client: 0,
            sndbuf_server: 0,
            pipesize: 0,
            idle_pool_shared: true,
            splice: true,
            h2: super::tune_h2::TuneH2::default(),
            vars: VariableLimits::default(),
        }
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            daemon: false,
            master_worker: false,
            quiet: false,
            zero_warning: false,
            maxconn: None,
            maxconnrate: 0,
            maxsessrate: 0,
            maxsslrate: 0,
            nbthread: 0,
            cpu_map: Vec::new(),
            chroot: None,
            user: None,
            group: None,
            uid: None,
            gid: None,
            pidfile: None,
            ulimit_n: None,
            fd_hard_limit: None,
            log: Vec::new(),
            log_tag: None,
            log_send_hostname: None,
            node: None,
            description: None,
            hard_stop_after: None,
            grace: None,
            close_never: false,
            close_spread: None,
            stats_sockets: Vec::new(),
            stats_timeout: Some(Duration::from_secs(10)),
            stats_maxconn: 10,
            spread_checks: 0,
            max_spread_checks: None,
            external_check: ExternalChecks::Refused,
            insecure_fork_wanted: false,
            shows_responses: false,
            strict_limits: true,
            dumpable: false,
            most_reloads: None,
            server_state_base: None,
            server_state_file: None,
            stats_file: None,
            profiling_tasks: false,
            localpeer: None,
            anon_key: 0,
            h1_case_adjust: Vec::new(),
            ocsp_updates: Manner::default(),
            tune: Tune::default(),
            variables: Vec::new(),
            maxsslconn: 0,
            capabilities: Vec::new(),
            l4: L4Global::default(),
        }
    }
}

/// `stats socket`: the address and its options as on a `bind` line, and what only this socket has.
#[derive(Debug)]
pub struct StatsSocket {
    pub bind: Arc<Bind>,
    pub level: Level,
    pub severity: SeverityOutput,
    pub expose_fd_listeners: bool,
}

impl StatsSocket {
    /// What a master's clients see of a worker: everything.
    #[must_use]
    pub fn of_master() -> Self {
        let bind = Arc::new(Bind::bare(super::Address::Abstract(Vec::new())));
        Self { bind, level: Level::Admin, severity: SeverityOutput::None, expose_fd_listeners: false }
    }
}

/// `severity-output`: what stands before each message of the socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeverityOutput {
    #[default]
    None,
    Number,
    String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    User,
    #[default]
    Operator,
    Admin,
}

impl Level {
    /// As configurations, commands and pages call them.
    pub const NAMES: [(&str, Self); 3] =
        [("user", Self::User), ("operator", Self::Operator), ("admin", Self::Admin)];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }
}

#[derive(Debug, Default)]
pub struct Userlist {
    pub name: Arc<str>,
    pub users: Vec<User>,
    pub groups: Vec<UserGroup>,
}

#[derive(Debug)]
pub struct User {
    pub name: String,
    pub password: String,
    /// `insecure-password`: compared as text; else a crypt(3) hash.
    pub plain: bool,
    /// Names of the groups it is in, from either side of the declaration.
    pub groups: Vec<String>,
}

#[derive(Debug)]
pub struct UserGroup {
    pub name: String,
    pub users: Vec<String>,
}
