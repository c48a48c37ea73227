//! The columns of `show stat`: HAProxy 3.4's names in its order. A new column goes to the end of [`COLUMNS`]; counters of
//! protocols go to [`MODULES`], whose order nobody may count on.

use super::modules::MODULES;
use super::snapshot::{Part, Subject};
use super::value::{Kind, Kinds, Tags, Value};
use super::{checks, server};
use crate::config::model::{Address, Balance, Mode};
use crate::live::Which;
use crate::live::counters::{ServerConnectionTotals, average};
use crate::live::rate::Rate;
use std::sync::atomic::Ordering::Relaxed;

/// One column.
#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    /// What the value says, for people.
    pub words: &'static str,
    /// The rows that may have a value.
    pub kinds: Kinds,
    tags: Tags,
    /// Backends' tags where they differ.
    back_tags: Option<Tags>,
    value: ValueOf,
}

type ValueOf = for<'s, 'g> fn(&'s Subject<'g>) -> Option<Value<'s>>;

impl Column {
    #[must_use]
    pub fn tags(&self, kind: Kind) -> Tags {
        self.back_tags.filter(|_| kind == Kind::Backend).unwrap_or(self.tags)
    }

    /// `None`: the column says nothing about this object.
    #[must_use]
    pub fn value<'s>(&self, subject: &'s Subject<'_>) -> Option<Value<'s>> {
        (self.value)(subject)
    }

    /// The column of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        COLUMNS.iter().chain(MODULES).find(|c| c.name == name)
    }

    const fn back(self, tags: &str) -> Self {
        Self { back_tags: Some(Tags::of(tags)), ..self }
    }
}

pub(super) const fn column(
    name: &'static str,
    tags: &str,
    kinds: &str,
    value: ValueOf,
    words: &'static str,
) -> Column {
    Column { name, words, kinds: Kinds::of(kinds), tags: Tags::of(tags), back_tags: None, value }
}

/// A counter of the frontend, the backend and the servers.
macro_rules! all {
    ($f:ident) => {
        |s| match &s.part {
            Part::Front(t) | Part::Listener(_, t) => Some(Value::U64(t.$f)),
            Part::Server(_, t) => Some(Value::U64(t.$f)),
            Part::Back(_, t, _) => Some(Value::U64(t.$f)),
        }
    };
}

/// The same in mode http alone.
macro_rules! http {
    ($f:ident) => {
        |s| match &s.part {
            _ if !is_http(s) => None,
            Part::Listener(..) => None,
            Part::Front(t) => Some(Value::U64(t.$f)),
            Part::Server(_, t) => Some(Value::U64(t.$f)),
            Part::Back(_, t, _) => Some(Value::U64(t.$f)),
        }
    };
}

/// A counter of the frontend and its listeners.
macro_rules! front {
    ($f:ident) => {
        |s| match &s.part {
            Part::Front(t) | Part::Listener(_, t) => Some(Value::U64(t.$f)),
            _ => None,
        }
    };
}

/// The same in mode http alone.
macro_rules! front_http {
    ($f:ident) => {
        |s| match &s.part {
            Part::Front(t) | Part::Listener(_, t) if is_http(s) => Some(Value::U64(t.$f)),
            _ => None,
        }
    };
}

/// A counter of the frontend as a whole.
macro_rules! front_alone {
    ($f:ident) => {
        |s| match &s.part {
            Part::Front(t) => Some(Value::U64(t.$f)),
            _ => None,
        }
    };
}

/// A counter of all but the servers.
macro_rules! ends {
    ($f:ident) => {
        |s| match &s.part {
            Part::Front(t) | Part::Listener(_, t) => Some(Value::U64(t.$f)),
            Part::Back(_, t, _) => Some(Value::U64(t.$f)),
            Part::Server(..) => None,
        }
    };
}

/// A counter of the backend and the servers.
macro_rules! serving {
    ($f:ident) => {
        |s| match &s.part {
            Part::Server(_, t) => Some(Value::U64(t.$f)),
            Part::Back(_, t, _) => Some(Value::U64(t.$f)),
            Part::Front(_) | Part::Listener(..) => None,
        }
    };
}

/// 32-bit values of the backend and the servers, from their totals.
macro_rules! times {
    (|$t:ident| $value:expr) => {
        |s| match &s.part {
            Part::Server(_, $t) => Some(Value::u32($value)),
            Part::Back(_, $t, _) => Some(Value::u32($value)),
            Part::Front(_) | Part::Listener(..) => None,
        }
    };
}

/// 32-bit values of the frontend as a whole, from its state and totals.
macro_rules! rate {
    (|$s:ident, $front:ident, $t:ident| $value:expr) => {
        |$s| match &$s.part {
            Part::Front($t) => {
                let $front = &$s.proxy.front;
                Some(Value::u32($value))
            }
            _ => None,
        }
    };
}

/// Compression does not exist here, so nothing is counted.
fn no_compression<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    matches!(s.part, Part::Front(_) | Part::Back(..)).then_some(Value::U64(0))
}

/// Nor do caches.
fn zero_in_http<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Front(_) | Part::Back(..) if is_http(s) => Some(Value::U64(0)),
        _ => None,
    }
}

/// Nobody speaks HTTP/3 with us.
fn no_session<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Front(_) | Part::Listener(..) => Some(Value::U64(0)),
        _ => None,
    }
}

fn no_request<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    if is_http(s) { no_session(s) } else { None }
}

/// The columns of all proxies, up to the `-`.
pub static COLUMNS: &[Column] = &[
    column("pxname", "KNS", "LFBS", |s| Some(Value::text(&*s.proxy.conf.name)), "Name of the proxy"),
    column("svname", "KNS", "LFBS", svname, "FRONTEND, BACKEND, or the name of the server or listener"),
    column(
        "qcur",
        "MGP",
        "BS",
        |s| match s.part {
            Part::Server(server, _) => Some(Value::U32(server.queued())),
            Part::Back(back, ..) => Some(Value::U32(back.queued())),
            Part::Front(_) | Part::Listener(..) => None,
        },
        "Requests waiting in the queue now; for a backend, those without a server yet",
    ),
    column(
        "qmax",
        "MMP",
        "BS",
        |s| match s.part {
            Part::Server(server, _) => Some(Value::U32(server.queued_max())),
            Part::Back(back, ..) => Some(Value::U32(back.queued_max())),
            Part::Front(_) | Part::Listener(..) => None,
        },
        "Most requests that ever waited at once",
    ),
    column(
        "scur",
        "MGP",
        "LFBS",
        |s| match s.part {
            Part::Front(_) => Some(Value::u32(s.proxy.front.current.load(Relaxed))),
            Part::Listener(listener, _) => Some(Value::u32(listener.current.load(Relaxed))),
            Part::Server(server, _) => Some(Value::U32(server.current())),
            Part::Back(back, ..) => Some(Value::U32(back.current())),
        },
        "Sessions in progress",
    ),
    column(
        "smax",
        "MMP",
        "LFBS",
        |s| match s.part {
            Part::Front(_) => Some(Value::u32(s.proxy.front.max.load(Relaxed))),
            Part::Listener(listener, _) => Some(Value::u32(listener.max.load(Relaxed))),
            Part::Server(server, _) => Some(Value::U32(server.max())),
            Part::Back(back, ..) => Some(Value::U32(back.max())),
        },
        "Most sessions ever in progress at once",
    ),
    column(
        "slim",
        "CLP",
        "LFBS",
        slim,
        "Limit of sessions: maxconn of a frontend, listener or server, fullconn of a backend",
    ),
    column(
        "stot",
        "MCP",
        "LFBS",
        |s| match &s.part {
            Part::Front(t) | Part::Listener(_, t) => Some(Value::U64(t.sessions)),
            Part::Server(server, _) => Some(Value::U64(server.total())),
            Part::Back(back, ..) => Some(Value::U64(back.total())),
        },
        "Sessions so far",
    ),
    column("bin", "MCP", "LFBS", all!(bytes_in), "Bytes of requests received from clients"),
    column("bout", "MCP", "LFBS", all!(bytes_out), "Bytes of responses sent to clients"),
    column("dreq", "MCP", "LFB", ends!(denied_requests), "Requests refused by a rule"),
    column("dresp", "MCP", "LFBS", all!(denied_responses), "Responses refused by a rule"),
    column("ereq", "MCP", "LF", front!(failed_requests), "Requests that were invalid, or never became whole"),
    column(
        "econ",
        "MCP",
        "BS",
        serving!(failed_connections),
        "Requests for which no connection to a server was had",
    ),
    column("eresp", "MCP", "BS", serving!(failed_responses), "Responses that were invalid, or broke off"),
    column("wretr", "MCP", "BS", serving!(retries), "Connections to a server tried again"),
    column(
        "wredis",
        "MCP",
        "BS",
        serving!(redispatches),
        "Requests sent to another server than the one first chosen",
    ),
    column(
        "status",
        "SGP",
        "LFBS",
        server::status,
        "State: OPEN, FULL or STOP; UP or DOWN; for a server with its progress, MAINT, DRAIN, NOLB, no check",
    ),
    column(
        "weight",
        "MaP",
        "BS",
        server::weight,
        "Weight in effect; for a backend, the sum of its servers in use",
    ),
    column(
        "act",
        "SGP",
        "BS",
        |s| match s.part {
            Part::Server(server, _) => Some(Value::u32(u32::from(!server.conf.backup))),
            Part::Back(_, _, in_use) => Some(Value::u32(in_use.active)),
            Part::Front(_) | Part::Listener(..) => None,
        },
        "Active servers that balancing may use; for a server, 1 if it is none of the backups",
    )
    .back("MGP"),
    column(
        "bck",
        "SGP",
        "BS",
        |s| match s.part {
            Part::Server(server, _) => Some(Value::u32(u32::from(server.conf.backup))),
            Part::Back(_, _, in_use) => Some(Value::u32(in_use.backups)),
            Part::Front(_) | Part::Listener(..) => None,
        },
        "Backup servers that balancing may use; for a server, 1 if it is one",
    )
    .back("MGP"),
    column("chkfail", "MCP", "S", checks::failed, "Checks that failed while the server was up"),
    column("chkdown", "MCP", "BS", server::down_transitions, "Times it went from up to down"),
    column("lastchg", "MAP", "BS", server::last_change, "Seconds since it last went up or down"),
    column("downtime", "MCP", "BS", server::downtime, "Seconds it was down altogether"),
    column(
        "qlimit",
        "CGS",
        "S",
        |s| match s.part {
            Part::Server(server, _) if server.conf.maxqueue > 0 => Some(Value::U32(server.conf.maxqueue)),
            _ => None,
        },
        "Limit of requests waiting for the server (maxqueue)",
    ),
    column("pid", "KGP", "LFBS", |_| Some(Value::U32(1)), "Number of the worker process: 1"),
    column("iid", "KGS", "LFBS", |s| Some(Value::U32(s.proxy.conf.id)), "Number of the proxy"),
    column(
        "sid",
        "KGS",
        "LFBS",
        |s| Some(Value::U32(s.sid())),
        "Number of the server or listener within its proxy",
    ),
    column(
        "throttle",
        "MaP",
        "S",
        server::throttle,
        "Percent of its weight a server in slow start has reached",
    ),
    column(
        "lbtot",
        "MCP",
        "BS",
        |s| match &s.part {
            Part::Server(_, t) => Some(Value::U64(t.balanced)),
            Part::Back(_, _, in_use) => Some(Value::U64(in_use.balanced)),
            Part::Front(_) | Part::Listener(..) => None,
        },
        "Times balancing chose it (not counting persistence and the queue)",
    ),
    column("tracked", "CNS", "S", server::tracked, "The server whose state it follows"),
    column(
        "type",
        "CGS",
        "LFBS",
        |s| Some(Value::U32(s.kind() as u32)),
        "0 frontend, 1 backend, 2 server, 3 listener",
    ),
    column("rate", "MRP", "FBS", rate, "Sessions in the last second").back("MGP"),
    column(
        "rate_lim",
        "CLP",
        "F",
        |s| match s.part {
            Part::Front(_) => Some(Value::U32(s.proxy.conf.front.as_ref()?.rate_limit_sessions.unwrap_or(0))),
            _ => None,
        },
        "Limit of sessions a second (rate-limit sessions)",
    ),
    column("rate_max", "MMP", "FBS", rate_max, "Most sessions in one second").back("MGP"),
    column(
        "check_status",
        "MOP",
        "S",
        |s| checks::status(s, Which::Health),
        "Result of the last check; `* ` before it while the next one runs",
    ),
    column(
        "check_code",
        "MOP",
        "S",
        |s| checks::code(s, Which::Health),
        "Code the last check received, for HTTP the status",
    ),
    column(
        "check_duration",
        "MDP",
        "S",
        |s| checks::duration(s, Which::Health),
        "Milliseconds the last check took",
    ),
    column("hrsp_1xx", "MCP", "FBS", http!(responses_1xx), "Responses with a status of 100 to 199"),
    column("hrsp_2xx", "MCP", "FBS", http!(responses_2xx), "Responses with a status of 200 to 299"),
    column("hrsp_3xx", "MCP", "FBS", http!(responses_3xx), "Responses with a status of 300 to 399"),
    column("hrsp_4xx", "MCP", "FBS", http!(responses_4xx), "Responses with a status of 400 to 499"),
    column("hrsp_5xx", "MCP", "FBS", http!(responses_5xx), "Responses with a status of 500 to 599"),
    column("hrsp_other", "MCP", "FBS", http!(responses_other), "Responses with another status, or none"),
    column("hanafail", "MCP", "S", checks::hanafail, "Failures that traffic showed (observe)"),
    column(
        "req_rate",
        "MRP",
        "F",
        rate!(|s, front, t| front.request_rate.read(t.requests, s.now)),
        "HTTP requests in the last second",
    ),
    column(
        "req_rate_max",
        "MMP",
        "F",
        rate!(|s, front, t| front.request_rate.max(t.requests, s.now)),
        "Most HTTP requests in one second",
    ),
    column("req_tot", "MCP", "FBS", requests, "HTTP requests so far"),
    column("cli_abrt", "MCP", "BS", serving!(client_aborts), "Requests or connections the client broke off"),
    column("srv_abrt", "MCP", "BS", serving!(server_aborts), "Requests or connections the server broke off"),
    column("comp_in", "MCP", "FB", no_compression, "Bytes given to compression"),
    column("comp_out", "MCP", "FB", no_compression, "Bytes that came out of compression"),
    column("comp_byp", "MCP", "FB", no_compression, "Bytes left uncompressed for want of time or bandwidth"),
    column("comp_rsp", "MCP", "FB", no_compression, "Responses compressed"),
    column("lastsess", "MAP", "BS", server::last_session, "Seconds since the last session; -1: none yet"),
    column(
        "last_chk",
        "MOP",
        "S",
        |s| checks::text(s, Which::Health),
        "What the last check received, or its error",
    ),
    column(
        "last_agt",
        "MOP",
        "S",
        |s| checks::text(s, Which::Agent),
        "What the agent last said, or the error",
    ),
    column(
        "qtime",
        "MaP",
        "BS",
        times!(|t| average(t.queue_ms, t.timed)),
        "Milliseconds in the queue, averaged over the last 1024 requests",
    ),
    column(
        "ctime",
        "MaP",
        "BS",
        times!(|t| average(t.connect_ms, t.timed)),
        "Milliseconds to connect, averaged over the last 1024 requests",
    ),
    column(
        "rtime",
        "MaP",
        "BS",
        times!(|t| average(t.response_ms, t.timed)),
        "Milliseconds until the response began, averaged over the last 1024 requests",
    ),
    column(
        "ttime",
        "MaP",
        "BS",
        times!(|t| average(t.total_ms, t.timed)),
        "Milliseconds of the whole session, averaged over the last 1024 requests",
    ),
    column("agent_status", "MOP", "S", |s| checks::status(s, Which::Agent), "Result of the last agent check"),
    column("agent_code", "MOP", "S", |s| checks::code(s, Which::Agent), "Code of the last agent check"),
    column(
        "agent_duration",
        "MDP",
        "S",
        |s| checks::duration(s, Which::Agent),
        "Milliseconds the last agent check took",
    ),
    column("check_desc", "MOP", "S", |s| checks::description(s, Which::Health), "check_status in words"),
    column("agent_desc", "MOP", "S", |s| checks::description(s, Which::Agent), "agent_status in words"),
    column(
        "check_rise",
        "CGS",
        "S",
        |s| checks::rise(s, Which::Health),
        "Checks that must pass before the server is up",
    ),
    column(
        "check_fall",
        "CGS",
        "S",
        |s| checks::fall(s, Which::Health),
        "Checks that must fail before the server is down",
    ),
    column(
        "check_health",
        "CGS",
        "S",
        |s| checks::health(s, Which::Health),
        "Health: below rise it is down, from rise to rise+fall-1 up",
    ),
    column("agent_rise", "CGS", "S", |s| checks::rise(s, Which::Agent), "rise of the agent check"),
    column("agent_fall", "CGS", "S", |s| checks::fall(s, Which::Agent), "fall of the agent check"),
    column(
        "agent_health",
        "CGS",
        "S",
        |s| checks::health(s, Which::Agent),
        "Health by the agent check, as check_health",
    ),
    column("addr", "CGS", "LS", server::address, "Address and port, shown to operators"),
    column(
        "cookie",
        "CNS",
        "BS",
        server::cookie,
        "The server's cookie value, the backend's cookie name; shown to operators",
    ),
    column("mode", "CGS", "LFBS", |s| Some(Value::text(mode(s))), "http, tcp or l4"),
    column(
        "algo",
        "CGS",
        "B",
        |s| match s.part {
            Part::Back(..) if s.legends => Some(Value::text(scheduler(s)?)),
            _ => None,
        },
        "Balancing algorithm, shown to operators",
    ),
    column(
        "conn_rate",
        "MRP",
        "F",
        rate!(|s, front, t| front.connection_rate.read(t.connections, s.now)),
        "Connections in the last second",
    ),
    column(
        "conn_rate_max",
        "MMP",
        "F",
        rate!(|s, front, t| front.connection_rate.max(t.connections, s.now)),
        "Most connections in one second",
    ),
    column("conn_tot", "MCP", "F", front_alone!(connections), "Connections so far"),
    column(
        "intercepted",
        "MCP",
        "F",
        |s| match &s.part {
            Part::Front(t) if is_http(s) => Some(Value::U64(t.intercepted)),
            _ => None,
        },
        "Requests answered here: redirects, statistics, services",
    ),
    column(
        "dcon",
        "MCP",
        "LF",
        front!(denied_connections),
        "Connections refused by a tcp-request connection rule",
    ),
    column("dses", "MCP", "LF", front!(denied_sessions), "Sessions refused by a tcp-request session rule"),
    column("wrew", "MCP", "LFBS", all!(rewrites_failed), "Headers that could not be rewritten"),
    column("connect", "MCP", "BS", serving!(connects), "Connections to servers tried"),
    column("reuse", "MCP", "BS", serving!(reuses), "Requests sent over a connection that was there"),
    column("cache_lookups", "MCP", "FB", zero_in_http, "Requests looked up in the cache"),
    column("cache_hits", "MCP", "FB", zero_in_http, "Requests answered from the cache"),
    column(
        "srv_icur",
        "MGP",
        "S",
        |s| connections(s, |c| c.unproven + c.proven + c.private),
        "Idle connections to the server",
    ),
    column(
        "src_ilim",
        "CLP",
        "S",
        |s| match s.part {
            Part::Server(server, _) if server.conf.pool_max_conn >= 0 => {
                Some(Value::u32(server.conf.pool_max_conn))
            }
            _ => None,
        },
        "Limit of idle connections to the server (pool-max-conn)",
    ),
    column("qtime_max", "MMP", "BS", times!(|t| t.queue_max), "Longest time in the queue, in milliseconds"),
    column("ctime_max", "MMP", "BS", times!(|t| t.connect_max), "Longest time to connect, in milliseconds"),
    column(
        "rtime_max",
        "MMP",
        "BS",
        times!(|t| t.response_max),
        "Longest time until a response began, in milliseconds",
    ),
    column("ttime_max", "MMP", "BS", times!(|t| t.total_max), "Longest session, in milliseconds"),
    column("eint", "MCP", "LFBS", all!(internal_errors), "Errors of our own"),
    column(
        "idle_conn_cur",
        "MGP",
        "S",
        |s| connections(s, |c| c.unproven),
        "Idle connections that may only be reused with care",
    ),
    column(
        "safe_conn_cur",
        "MGP",
        "S",
        |s| connections(s, |c| c.proven),
        "Idle connections that proved reusable",
    ),
    column("used_conn_cur", "MGP", "S", |s| connections(s, |c| c.used), "Connections in use"),
    column(
        "need_conn_est",
        "MGP",
        "S",
        |s| connections(s, |c| c.needed),
        "Connections the server is thought to need",
    ),
    column(
        "uweight",
        "MaP",
        "BS",
        server::user_weight,
        "Weight as set by people; for a backend, the sum of its servers in use",
    ),
    column("agg_server_status", "MGP", "B", server::aggregate, "Servers by status (Prometheus)"),
    column(
        "agg_server_check_status",
        "MGP",
        "B",
        server::aggregate,
        "Servers by status (Prometheus, old name)",
    ),
    column(
        "agg_check_status",
        "MGP",
        "B",
        server::aggregate,
        "Servers by the result of their last check (Prometheus)",
    ),
    column(
        "srid",
        "KGP",
        "S",
        |s| match s.part {
            Part::Server(server, _) => Some(Value::U32(server.revision)),
            _ => None,
        },
        "Tells a server from one removed earlier whose name or number it has: grows with each addition after a removal",
    ),
    column(
        "sess_other",
        "MCP",
        "LF",
        |s| match &s.part {
            Part::Front(t) | Part::Listener(_, t) => {
                Some(Value::U64(t.sessions.saturating_sub(t.h1_sessions + t.h2_sessions)))
            }
            _ => None,
        },
        "Sessions that spoke none of the protocols below",
    ),
    column("h1sess", "MCP", "LF", front!(h1_sessions), "HTTP/1 sessions"),
    column("h2sess", "MCP", "LF", front!(h2_sessions), "HTTP/2 sessions"),
    column("h3sess", "MCP", "LF", no_session, "HTTP/3 sessions"),
    column(
        "req_other",
        "MCP",
        "LF",
        |s| match &s.part {
            Part::Front(t) | Part::Listener(_, t) if is_http(s) => {
                Some(Value::U64(t.requests.saturating_sub(t.h1_requests + t.h2_requests)))
            }
            _ => None,
        },
        "Requests in none of the protocols below",
    ),
    column("h1req", "MCP", "LF", front_http!(h1_requests), "HTTP/1 requests"),
    column("h2req", "MCP", "LF", front_http!(h2_requests), "HTTP/2 requests"),
    column("h3req", "MCP", "LF", no_request, "HTTP/3 requests"),
    column("proto", "CGS", "L", listener_protocol, "What the listener listens to"),
    column(
        "priv_idle_cur",
        "MGP",
        "S",
        |s| connections(s, |c| c.private),
        "Idle connections that belong to one client",
    ),
    column("reqbin", "MCP", "LFBS", all!(bytes_in), "Bytes of requests received from clients"),
    column("reqbout", "MCP", "LFBS", all!(requests_out), "Bytes of requests sent to servers"),
    column("resbin", "MCP", "LFBS", all!(responses_in), "Bytes of responses received from servers"),
    column("resbout", "MCP", "LFBS", all!(bytes_out), "Bytes of responses sent to clients"),
];

fn svname<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    Some(match s.part {
        Part::Front(_) => Value::text("FRONTEND"),
        Part::Listener(listener, _) => match &listener.bind.name {
            Some(name) => Value::text(&**name),
            None => Value::text(format!("sock-{}", listener.bind.id)),
        },
        Part::Server(server, _) => Value::text(server.name()),
        Part::Back(..) => Value::text("BACKEND"),
    })
}

fn slim<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    let limit = match s.part {
        Part::Server(server, _) => match server.maxconn().max(server.conf.l4.upper_threshold) {
            0 => return None,
            n => n as usize,
        },
        // Flows in the kernel are limited by their servers' thresholds alone.
        _ if s.proxy.conf.mode == Mode::L4 => return None,
        Part::Front(_) => match s.proxy.front.maxconn.load(Relaxed) {
            0 => s.generation.process.limits.maxconn(),
            n => n,
        },
        Part::Listener(listener, _) => listener.bind.maxconn.unwrap_or(0),
        Part::Back(back, ..) => back.fullconn as usize,
    };
    Some(Value::u32(limit))
}

/// `req_tot`: a frontend in mode tcp may come to speak HTTP.
fn requests<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match &s.part {
        Part::Front(t) => Some(Value::U64(t.requests)),
        Part::Server(_, t) if is_http(s) => Some(Value::U64(t.requests)),
        Part::Back(_, t, _) if is_http(s) => Some(Value::U64(t.requests)),
        _ => None,
    }
}

fn rate<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    s.session_rate().map(|(rate, total)| Value::u32(rate.read(total, s.now)))
}

fn rate_max<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    s.session_rate().map(|(rate, total)| Value::u32(rate.max(total, s.now)))
}

impl<'a> Subject<'a> {
    /// The rate of its sessions, and what it is read off.
    fn session_rate(&self) -> Option<(&'a Rate, u64)> {
        match &self.part {
            Part::Front(t) => Some((&self.proxy.front.session_rate, t.sessions)),
            Part::Server(server, _) => Some((&server.session_rate, server.total())),
            Part::Back(back, ..) => Some((&back.session_rate, back.total())),
            Part::Listener(..) => None,
        }
    }
}

fn connections<'s>(s: &'s Subject<'_>, of: fn(ServerConnectionTotals) -> u64) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) => Some(Value::u32(of(server.connections.total()))),
        _ => None,
    }
}

fn listener_protocol<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    let Part::Listener(listener, _) = s.part else { return None };
    Some(Value::text(match &listener.bind.address {
        Address::Inet(a) if a.is_ipv4() => "tcpv4",
        Address::Inet(_) => "tcpv6",
        Address::Unix(_) | Address::Abstract(_) => "unix_stream",
        Address::Fd(_) => "fd",
    }))
}

fn is_http(s: &Subject<'_>) -> bool {
    s.proxy.conf.mode == Mode::Http
}

fn mode(s: &Subject<'_>) -> &'static str {
    match s.proxy.conf.mode {
        Mode::Tcp => "tcp",
        Mode::L4 => "l4",
        Mode::Http => "http",
    }
}

/// Of a backend; in mode l4 by IPVS's names.
fn scheduler(s: &Subject<'_>) -> Option<&'static str> {
    let of = |service: &&crate::config::model::l4::Service| service.back == s.proxy.index;
    match s.generation.config.l4_services.iter().find(of) {
        Some(service) => Some(service.settings.scheduler.name()),
        None => Some(algorithm(&s.proxy.conf.back.as_ref()?.balance)),
    }
}

fn algorithm(balance: &Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "roundrobin",
        Balance::StaticRr => "static-rr",
        Balance::LeastConn => "leastconn",
        Balance::First => "first",
        Balance::Source => "source",
        Balance::Uri { .. } => "uri",
        Balance::UrlParam { .. } => "url_param",
        Balance::Hdr { .. } => "hdr",
        Balance::Random { .. } => "random",
        Balance::RdpCookie { .. } => "rdp-cookie",
        Balance::Hash(_) => "hash",
    }
}
