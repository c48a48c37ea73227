//! What a request, a connection and the process can tell an expression. The engines implement it over their own state.

use super::Value;
use crate::config::model::{Proxy, VarScope};
use crate::config::raw::Place;
use crate::ids::ProxyIndex;
use crate::message::Head;
use crate::tls::ServerHandshake;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The client's connection, as accepted (and as changed by PROXY protocol or `set-src`).
#[derive(Clone, Debug)]
pub struct ConnFacts {
    /// `None` on a unix socket.
    pub src: Option<SocketAddr>,
    pub dst: Option<SocketAddr>,
    pub accepted: SystemTime,
    /// Listener `id` and `name` (HAProxy's `so_id`, `so_name`).
    pub listener_id: u32,
    pub listener_name: Option<Arc<str>>,
    /// Both ends as rules left them that ran before any PROXY header was read.
    pub own: Ends,
    /// It began with a PROXY header.
    pub proxied: bool,
    /// TLVs of a PROXY v2 header.
    pub proxy_tlvs: Vec<(u8, Vec<u8>)>,
    /// What the handshake said, if the client speaks TLS.
    pub tls: Option<Arc<crate::tls::Handshake>>,
    /// The socket's number while the connection lasts, for those who may ask the kernel about it.
    pub descriptor: Option<i32>,
}

/// What the kernel knows of a TCP connection (tcp(7), `TCP_INFO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Round trip time and its variance, in microseconds.
    pub rtt: u32,
    pub rttvar: u32,
    /// Segments.
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retrans: u32,
    pub fackets: u32,
    pub reordering: u32,
}

/// Where a connection comes from and where it goes; `None` on a unix socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    pub src: Option<SocketAddr>,
    pub dst: Option<SocketAddr>,
}

impl ConnFacts {
    /// The addresses are the connection's own: what changes them from now on changes only what the session calls them.
    pub fn keep_ends(&mut self) {
        self.own = Ends { src: self.src, dst: self.dst };
    }

    /// Of a connection that came to no listener: a check's own, a command's.
    #[must_use]
    pub fn of_nobody(accepted: SystemTime) -> Self {
        Self {
            src: None,
            dst: None,
            accepted,
            listener_id: 0,
            listener_name: None,
            own: Ends::default(),
            proxied: false,
            proxy_tlvs: Vec::new(),
            tls: None,
            descriptor: None,
        }
    }
}

/// Everything a log line says that is not in the heads: filled by the engine as the request goes on.
#[derive(Clone, Debug, Default)]
pub struct LogRecord {
    /// Milliseconds; -1 where the step was not reached (`Th`/`Ti` etc. are derived). HAProxy manual 8.4.
    pub handshake: i64,
    pub idle: i64,
    /// `%TR`: from the first byte of the request to its end
    pub request: i64,
    pub queue: i64,
    pub connect: i64,
    pub response: i64,
    /// `%Ta`/`%Tt` counted from accept (`total`) and from the request (`active`)
    pub active: i64,
    pub total: i64,
    pub user: i64,
    /// Wall clock of the accept and of the request's first byte.
    pub accept_date: Option<SystemTime>,
    pub request_date: Option<SystemTime>,
    pub bytes_to_client: u64,
    pub bytes_from_client: u64,
    pub status: i32,
    /// `PR--`: cause, state, and the two persistence letters.
    pub termination: [u8; 4],
    pub retries: u32,
    pub redispatched: bool,
    pub process_conns: u32,
    pub frontend_conns: u32,
    pub backend_conns: u32,
    pub server_conns: u32,
    pub server_queue: u32,
    pub backend_queue: u32,
    /// `<NOSRV>`, `<STATS>` or the server's name
    pub server_name: Option<Arc<str>>,
    pub backend_src: Option<SocketAddr>,
    pub backend_dst: Option<SocketAddr>,
    /// The start line before rules changed it: `GET /x HTTP/1.1`
    pub request_line: Vec<u8>,
    pub request_captures: Vec<Option<Vec<u8>>>,
    pub response_captures: Vec<Option<Vec<u8>>>,
    pub request_cookie: Option<Vec<u8>>,
    pub response_cookie: Option<Vec<u8>>,
    pub unique_id: Option<Vec<u8>>,
    /// `logasap`: the `+` before counts that are not final
    pub early: bool,
    /// `%rt`: requests on this frontend so far; `%lc` ...
    pub request_counter: u64,
    /// `%lc`: log lines of this frontend so far
    pub log_counter: u64,
    /// The last connection to a server failed in its handshake.
    pub server_refused_tls: bool,
    /// The rule that ended its list.
    pub last_rule: Option<Place>,
}

impl LogRecord {
    /// Of a request that nothing is known of yet. In place, and keeping what is allocated: every request begins with it.
    pub fn reset(&mut self) {
        let Self {
            handshake,
            idle,
            request,
            queue,
            connect,
            response,
            active,
            total,
            user,
            accept_date,
            request_date,
            bytes_to_client,
            bytes_from_client,
            status,
            termination,
            retries,
            redispatched,
            process_conns,
            frontend_conns,
            backend_conns,
            server_conns,
            server_queue,
            backend_queue,
            server_name,
            backend_src,
            backend_dst,
            request_line,
            request_captures,
            response_captures,
            request_cookie,
            response_cookie,
            unique_id,
            early,
            request_counter,
            log_counter,
            server_refused_tls,
            last_rule,
        } = self;
        *handshake = 0;
        *idle = -1;
        *request = -1;
        *queue = -1;
        *connect = -1;
        *response = -1;
        *active = 0;
        *total = 0;
        *user = 0;
        *accept_date = None;
        *request_date = None;
        *bytes_to_client = 0;
        *bytes_from_client = 0;
        *status = -1;
        *termination = *b"----";
        *retries = 0;
        *redispatched = false;
        *process_conns = 0;
        *frontend_conns = 0;
        *backend_conns = 0;
        *server_conns = 0;
        *server_queue = 0;
        *backend_queue = 0;
        *server_name = None;
        *backend_src = None;
        *backend_dst = None;
        request_line.clear();
        request_captures.clear();
        response_captures.clear();
        *request_cookie = None;
        *response_cookie = None;
        *unique_id = None;
        *early = false;
        *request_counter = 0;
        *log_counter = 0;
        *server_refused_tls = false;
        *last_rule = None;
    }
}

/// Bytes seen so far in one direction, for content fetches.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    pub bytes: &'a [u8],
    /// No more will come (end of message, shutdown or full buffer).
    pub complete: bool,
}

/// State of the process's proxies and servers, by name as expressions give them.
pub trait LiveFacts {
    /// A frontend and a backend may have the same name.
    fn frontend_by_name(&self, name: &str) -> Option<ProxyIndex>;
    fn backend_by_name(&self, name: &str) -> Option<ProxyIndex>;
    /// Usable servers of a backend.
    fn nbsrv(&self, backend: ProxyIndex) -> i64;
    fn server_is_up(&self, backend: ProxyIndex, server: &str) -> bool;
    /// `None`: the backend has no such server.
    fn server_number(&self, backend: ProxyIndex, server: &str, what: ServerNumber) -> Option<i64>;
    fn connslots(&self, backend: ProxyIndex) -> i64;
    fn avg_queue(&self, backend: ProxyIndex) -> i64;
    fn queue(&self, backend: ProxyIndex) -> i64;
    fn be_conn(&self, backend: ProxyIndex) -> i64;
    fn fe_conn(&self, frontend: ProxyIndex) -> i64;
    /// Sessions in the last second.
    fn fe_sess_rate(&self, frontend: ProxyIndex) -> i64;
    fn be_sess_rate(&self, backend: ProxyIndex) -> i64;
    /// Connections the usable servers have room for; -1: one has no limit.
    fn be_conn_free(&self, backend: ProxyIndex) -> i64;
    /// HTTP requests in the last second.
    fn fe_req_rate(&self, frontend: ProxyIndex) -> i64;
    fn proxy_name(&self, proxy: ProxyIndex) -> Option<&str>;
    /// Client connections of the whole process.
    fn connections(&self) -> i64;
    /// Whole seconds since the process started.
    fn uptime(&self) -> i64;
    /// The process ends once its connections have.
    fn is_stopping(&self) -> bool;
    /// Adds a line to the ring of that name.
    fn event(&self, _ring: &str, _line: &[u8]) {}
    /// Is it an address of this host?
    fn is_local(&self, address: IpAddr) -> bool;
}

/// What rules may set for a session or a request. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    PriorityClass,
    PriorityOffset,
    ClientTimeout,
    ConnectTimeout,
    QueueTimeout,
    ServerTimeout,
    TarpitTimeout,
    TunnelTimeout,
}

/// What may be asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerNumber {
    Id,
    Connections,
    /// Connections it has room for; -1: no limit.
    ConnectionsFree,
    Queued,
    SessionRate,
    /// As the configuration says.
    InitialWeight,
    /// As set by configuration or command.
    Weight,
    /// What balancing reckons with.
    EffectiveWeight,
}

/// What expressions may ask for. `None` means "not available here".
pub trait Facts {
    fn conn(&self) -> &ConnFacts;
    fn live(&self) -> &dyn LiveFacts;
    fn frontend(&self) -> Option<&Proxy> {
        None
    }
    fn backend(&self) -> Option<&Proxy> {
        None
    }
    fn server_name(&self) -> Option<&str> {
        None
    }
    /// What the server said in the handshake of the connection to it; `None`: that is not TLS.
    fn server_tls(&self) -> Option<&ServerHandshake> {
        None
    }
    fn request(&self) -> Option<&Head> {
        None
    }
    fn response(&self) -> Option<&Head> {
        None
    }
    /// In TCP content rules: bytes received and not yet forwarded. In HTTP: the body seen so far.
    fn request_payload(&self) -> Option<Payload<'_>> {
        None
    }
    fn response_payload(&self) -> Option<Payload<'_>> {
        None
    }
    fn log(&self) -> &LogRecord;
    /// The current date and a per-thread random number: clocks and randomness are the engine's.
    fn date(&self) -> SystemTime;
    fn random(&mut self) -> u32;
    fn var(&self, scope: VarScope, name: &str) -> Option<Value>;
    fn set_var(&mut self, scope: VarScope, name: &str, value: Value);
    fn unset_var(&mut self, scope: VarScope, name: &str);
    /// The unique id, generated on first use.
    fn unique_id(&mut self) -> Option<Vec<u8>> {
        None
    }
    /// Process-wide facts for `%pid`, `%H`, `%Ts`…
    fn process(&self) -> ProcessFacts<'_>;
    /// What rules have set; `None`: nothing.
    fn setting(&self, _: Setting) -> Option<i64> {
        None
    }
    /// `None`: the client's connection is no TCP one.
    fn client_tcp(&self) -> Option<TcpInfo> {
        None
    }
    /// Keeps a text in the frontend's capture slot of that number, if it has one, for requests or for responses.
    fn capture(&mut self, _response: bool, _slot: usize, _text: Vec<u8>) {}
    /// Is this the first request of its connection (`http_first_req`)?
    fn is_first_request(&self) -> bool {
        true
    }
    /// Time since the connection's accept.
    fn elapsed(&self) -> Duration;
}

#[derive(Clone, Copy, Debug)]
pub struct ProcessFacts<'a> {
    pub pid: u32,
    pub hostname: &'a str,
    pub nbthread: usize,
    pub thread: usize,
}
