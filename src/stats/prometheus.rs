//! The Prometheus text format (0.0.4), under the names HAProxy's exporter gives its columns.
//!
//! A table row says which column becomes which metric; what a value is comes from the column itself. Written scope by scope,
//! in pieces.

use super::columns::Column;
use super::info::{FIELDS, Facts};
use super::snapshot::{Rows, Selection, Subject};
use super::value::{Kind, Kinds, Value};
use crate::live::Generation;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub process: bool,
    pub vrrp: bool,
    pub l4: bool,
    pub kinds: Kinds,
    /// Leave out servers in maintenance.
    pub no_maint: bool,
    /// Metrics by name, with a `-` before those that are not wanted; none: all.
    pub metrics: Vec<String>,
}

impl Wanted {
    /// Reads `scope=frontend&no-maint&metrics=a,-b`. None: an unknown scope.
    #[must_use]
    pub fn parse(query: &str) -> Option<Self> {
        let mut wanted = Self {
            process: false,
            vrrp: false,
            l4: false,
            kinds: Kinds(0),
            no_maint: false,
            metrics: Vec::new(),
        };
        let mut scoped = false;
        for pair in query.split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("scope", scope) => {
                    scoped = true;
                    match scope {
                        "" => {}
                        "*" => wanted.everything(),
                        "global" => wanted.process = true,
                        "vrrp" => wanted.vrrp = true,
                        "l4" => wanted.l4 = true,
                        "frontend" => wanted.kinds.0 |= 1,
                        "backend" => wanted.kinds.0 |= 2,
                        "server" => wanted.kinds.0 |= 4,
                        "listener" => wanted.kinds.0 |= 8,
                        // Nothing to say of these yet, as a process without them.
                        "sticktable" | "resolver" => {}
                        _ => return None,
                    }
                }
                ("no-maint", _) => wanted.no_maint = true,
                ("metrics", list) => wanted.metrics.extend(list.split(',').map(str::to_owned)),
                _ => {}
            }
        }
        if !scoped {
            wanted.everything();
        }
        Some(wanted)
    }

    fn everything(&mut self) {
        (self.process, self.vrrp, self.l4, self.kinds) = (true, true, true, Kinds::ALL);
    }

    /// Is the metric asked for?
    #[must_use]
    pub fn wants(&self, metric: &str) -> bool {
        let named = |sign: &str| self.metrics.iter().any(|m| m.strip_prefix(sign) == Some(metric));
        let positive = self.metrics.iter().any(|m| !m.starts_with('-'));
        !named("-") && (!positive || self.metrics.iter().any(|m| m == metric))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Gauge,
    Counter,
    /// A counter of checks: NaN where there are none.
    Checked,
    /// Milliseconds, told in seconds.
    Milliseconds,
    /// A limit: where there is none, NaN.
    Limit,
    /// One sample a state, 1 for the one it is in.
    State,
    /// How many servers are in each state.
    ServerStates,
    CheckStates,
}

use Shape::{CheckStates, Checked, Counter, Gauge, Limit, Milliseconds, ServerStates, State};

/// Column, metric without its prefix, shape. Several columns may make one metric, with a label of their own.
const METRICS: &[(&str, &str, Shape)] = &[
    ("qcur", "current_queue", Gauge),
    ("qmax", "max_queue", Gauge),
    ("scur", "current_sessions", Gauge),
    ("smax", "max_sessions", Gauge),
    ("slim", "limit_sessions", Limit),
    ("stot", "sessions_total", Counter),
    ("bin", "bytes_in_total", Counter),
    ("bout", "bytes_out_total", Counter),
    ("dreq", "requests_denied_total", Counter),
    ("dresp", "responses_denied_total", Counter),
    ("ereq", "request_errors_total", Counter),
    ("econ", "connection_errors_total", Counter),
    ("eresp", "response_errors_total", Counter),
    ("wretr", "retry_warnings_total", Counter),
    ("wredis", "redispatch_warnings_total", Counter),
    ("status", "status", State),
    ("weight", "weight", Gauge),
    ("act", "active_servers", Gauge),
    ("bck", "backup_servers", Gauge),
    ("chkfail", "check_failures_total", Checked),
    ("chkdown", "check_up_down_total", Checked),
    ("lastchg", "check_last_change_seconds", Gauge),
    ("downtime", "downtime_seconds_total", Checked),
    ("qlimit", "queue_limit", Limit),
    ("throttle", "current_throttle", Limit),
    ("lbtot", "loadbalanced_total", Counter),
    ("rate_lim", "limit_session_rate", Gauge),
    ("rate_max", "max_session_rate", Gauge),
    ("check_status", "check_status", State),
    ("check_code", "check_code", Gauge),
    ("check_duration", "check_duration_seconds", Milliseconds),
    ("hrsp_1xx", "http_responses_total", Counter),
    ("hrsp_2xx", "http_responses_total", Counter),
    ("hrsp_3xx", "http_responses_total", Counter),
    ("hrsp_4xx", "http_responses_total", Counter),
    ("hrsp_5xx", "http_responses_total", Counter),
    ("hrsp_other", "http_responses_total", Counter),
    ("req_rate_max", "http_requests_rate_max", Gauge),
    ("req_tot", "http_requests_total", Counter),
    ("cli_abrt", "client_aborts_total", Counter),
    ("srv_abrt", "server_aborts_total", Counter),
    ("comp_in", "http_comp_bytes_in_total", Counter),
    ("comp_out", "http_comp_bytes_out_total", Counter),
    ("comp_byp", "http_comp_bytes_bypassed_total", Counter),
    ("comp_rsp", "http_comp_responses_total", Counter),
    ("lastsess", "last_session_seconds", Gauge),
    ("qtime", "queue_time_average_seconds", Milliseconds),
    ("ctime", "connect_time_average_seconds", Milliseconds),
    ("rtime", "response_time_average_seconds", Milliseconds),
    ("ttime", "total_time_average_seconds", Milliseconds),
    ("conn_rate_max", "connections_rate_max", Gauge),
    ("conn_tot", "connections_total", Counter),
    ("intercepted", "intercepted_requests_total", Counter),
    ("dcon", "denied_connections_total", Counter),
    ("dses", "denied_sessions_total", Counter),
    ("wrew", "failed_header_rewriting_total", Counter),
    ("connect", "connection_attempts_total", Counter),
    ("reuse", "connection_reuses_total", Counter),
    ("cache_lookups", "http_cache_lookups_total", Counter),
    ("cache_hits", "http_cache_hits_total", Counter),
    ("srv_icur", "idle_connections_current", Gauge),
    ("src_ilim", "idle_connections_limit", Limit),
    ("qtime_max", "max_queue_time_seconds", Milliseconds),
    ("ctime_max", "max_connect_time_seconds", Milliseconds),
    ("rtime_max", "max_response_time_seconds", Milliseconds),
    ("ttime_max", "max_total_time_seconds", Milliseconds),
    ("eint", "internal_errors_total", Counter),
    ("idle_conn_cur", "unsafe_idle_connections_current", Gauge),
    ("safe_conn_cur", "safe_idle_connections_current", Gauge),
    ("used_conn_cur", "used_connections_current", Gauge),
    ("need_conn_est", "need_connections_current", Gauge),
    ("uweight", "uweight", Gauge),
    ("agg_server_status", "agg_server_status", ServerStates),
    ("agg_server_check_status", "agg_server_check_status", ServerStates),
    ("agg_check_status", "agg_check_status", CheckStates),
];

/// Columns of servers that HAProxy's exporter leaves to their backend.
const NOT_OF_SERVERS: &[&str] = &["act", "bck", "req_tot"];

/// Field of `show info`, metric, shape.
const PROCESS: &[(&str, &str, Shape)] = &[
    ("Nbthread", "nbthread", Gauge),
    ("Nbproc", "nbproc", Gauge),
    ("Process_num", "relative_process_id", Gauge),
    ("Uptime_sec", "uptime_seconds", Gauge),
    ("PoolFailed", "pool_failures_total", Counter),
    ("Ulimit-n", "max_fds", Gauge),
    ("Maxsock", "max_sockets", Gauge),
    ("Maxconn", "max_connections", Gauge),
    ("Hard_maxconn", "hard_max_connections", Gauge),
    ("CurrConns", "current_connections", Gauge),
    ("CumConns", "connections_total", Counter),
    ("CumReq", "requests_total", Counter),
    ("MaxSslConns", "max_ssl_connections", Gauge),
    ("CurrSslConns", "current_ssl_connections", Gauge),
    ("CumSslConns", "ssl_connections_total", Counter),
    ("Maxpipes", "max_pipes", Gauge),
    ("PipesUsed", "pipes_used_total", Counter),
    ("PipesFree", "pipes_free_total", Counter),
    ("ConnRate", "current_connection_rate", Gauge),
    ("ConnRateLimit", "limit_connection_rate", Gauge),
    ("MaxConnRate", "max_connection_rate", Gauge),
    ("SessRate", "current_session_rate", Gauge),
    ("SessRateLimit", "limit_session_rate", Gauge),
    ("MaxSessRate", "max_session_rate", Gauge),
    ("SslRate", "current_ssl_rate", Gauge),
    ("SslRateLimit", "limit_ssl_rate", Gauge),
    ("MaxSslRate", "max_ssl_rate", Gauge),
    ("SslFrontendKeyRate", "current_frontend_ssl_key_rate", Gauge),
    ("SslFrontendMaxKeyRate", "max_frontend_ssl_key_rate", Gauge),
    ("SslFrontendSessionReuse_pct", "frontend_ssl_reuse", Gauge),
    ("SslBackendKeyRate", "current_backend_ssl_key_rate", Gauge),
    ("SslBackendMaxKeyRate", "max_backend_ssl_key_rate", Gauge),
    ("SslCacheLookups", "ssl_cache_lookups_total", Counter),
    ("SslCacheMisses", "ssl_cache_misses_total", Counter),
    ("CompressBpsIn", "http_comp_bytes_in_total", Counter),
    ("CompressBpsOut", "http_comp_bytes_out_total", Counter),
    ("CompressBpsRateLim", "limit_http_comp", Gauge),
    ("ZlibMemUsage", "current_zlib_memory", Gauge),
    ("MaxZlibMemUsage", "max_zlib_memory", Gauge),
    ("Tasks", "current_tasks", Gauge),
    ("Run_queue", "current_run_queue", Gauge),
    ("Idle_pct", "idle_time_percent", Gauge),
    ("Stopping", "stopping", Gauge),
    ("Jobs", "jobs", Gauge),
    ("Unstoppable Jobs", "unstoppable_jobs", Gauge),
    ("Listeners", "listeners", Gauge),
    ("ActivePeers", "active_peers", Gauge),
    ("ConnectedPeers", "connected_peers", Gauge),
    ("DroppedLogs", "dropped_logs_total", Counter),
    ("BusyPolling", "busy_polling_enabled", Gauge),
    ("FailedResolutions", "failed_resolutions", Counter),
    ("TotalBytesOut", "bytes_out_total", Counter),
    ("TotalSplicedBytesOut", "spliced_bytes_out_total", Counter),
    ("BytesOutRate", "bytes_out_rate", Gauge),
    ("CumRecvLogs", "recv_logs_total", Counter),
    ("Memmax_bytes", "max_memory_bytes", Gauge),
    ("PoolAlloc_bytes", "pool_allocated_bytes", Gauge),
    ("PoolUsed_bytes", "pool_used_bytes", Gauge),
    ("Start_time_sec", "start_time_seconds", Gauge),
];

/// Results of checks, but for those that say there is none.
const CHECK_STATES: &[&str] = &[
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP", "L7OK",
    "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];
const SERVER_STATES: &[&str] = &["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];

fn states(column: &str, kind: Kind) -> &'static [&'static str] {
    match (column, kind) {
        ("check_status", _) => CHECK_STATES,
        (_, Kind::Listener) => &["WAITING", "OPEN", "FULL"],
        (_, Kind::Server) => SERVER_STATES,
        (_, Kind::Frontend | Kind::Backend) => &["DOWN", "UP"],
    }
}

/// The words of a status column as one of [`states`].
fn state(text: &str, kind: Kind) -> &str {
    let word = text.trim_start_matches("* ").split(' ').next().unwrap_or("");
    match (word, kind) {
        ("no", Kind::Server) => "UP",
        ("OPEN" | "FULL", Kind::Frontend) => "UP",
        ("STOP" | "PAUSED", Kind::Frontend | Kind::Backend) => "DOWN",
        (word, _) => word,
    }
}

/// The process's own metrics.
pub fn process(generation: &Generation, wanted: &Wanted, out: &mut String) {
    if !wanted.process {
        return;
    }
    let facts = Facts::new(generation, false);
    for (name, metric, shape) in PROCESS {
        let Some(field) = FIELDS.iter().find(|f| f.name == *name) else { continue };
        let full = format!("haproxy_process_{metric}");
        if let Some(value) = field.value(&facts)
            && wanted.wants(&full)
        {
            heading(&full, field.words, *shape, out);
            let _ = writeln!(out, "{full} {}", number(&value, *shape));
        }
    }
    reloads(generation, wanted, out);
    let version = crate::config::condition::VERSION;
    heading("haproxy_process_build_info", "The version HAProxy's tools are to expect.", Gauge, out);
    let _ = writeln!(out, "haproxy_process_build_info{{version=\"{version}\"}} 1");
    heading("weir_build_info", "The version of weir.", Gauge, out);
    let _ = writeln!(out, "weir_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
}

/// Whether what runs is what the files say.
fn reloads(generation: &Generation, wanted: &Wanted, out: &mut String) {
    let history = generation.process.reloads.history();
    let unix = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let successful = if history.refusal().is_some() { 0.0 } else { 1.0 };
    let last = history.last.as_ref().map_or(history.since, |last| last.at);
    #[allow(clippy::cast_precision_loss)]
    let rows = [
        (
            "last_reload_successful",
            "Whether the last reload was (1), or was refused or rolled back (0).",
            Gauge,
            successful,
        ),
        (
            "last_reload_timestamp_seconds",
            "When the last reload was tried, or the process started.",
            Gauge,
            unix(last),
        ),
        (
            "last_reload_success_timestamp_seconds",
            "When the last reload succeeded, or the process started.",
            Gauge,
            unix(history.since),
        ),
        ("reloads_total", "Reloads that succeeded.", Counter, history.done as f64),
        (
            "reload_failures_total",
            "Reloads that were refused or rolled back.",
            Counter,
            history.refused as f64,
        ),
    ];
    for (name, words, shape, value) in rows {
        let full = format!("weir_config_{name}");
        if wanted.wants(&full) {
            heading(&full, words, shape, out);
            let _ = writeln!(out, "{full} {value}");
        }
    }
}

/// All objects of one kind, gathered row by row. Metrics come one after the other, objects inside them.
pub struct Gathering {
    rows: Rows,
    kind: Kind,
    /// Of each of [`METRICS`].
    columns: Vec<Option<&'static Column>>,
    samples: Vec<String>,
}

impl Gathering {
    #[must_use]
    pub fn new(generation: &Arc<Generation>, kind: Kind, wanted: &Wanted) -> Self {
        let column = |name: &str, metric: &str| {
            if kind == Kind::Server && NOT_OF_SERVERS.contains(&name) {
                return None;
            }
            let full = format!("haproxy_{}_{metric}", prefix(kind));
            Column::named(name).filter(|c| c.kinds.has(kind) && wanted.wants(&full))
        };
        let selection = Selection {
            kinds: Kinds(1 << kind as u8),
            no_maint: wanted.no_maint,
            modules: false,
            ..Selection::default()
        };
        Self {
            rows: Rows::new(Arc::clone(generation), selection),
            kind,
            columns: METRICS.iter().map(|(name, metric, _)| column(name, metric)).collect(),
            samples: vec![String::new(); METRICS.len()],
        }
    }

    /// Takes some rows; false: there are no more.
    pub fn more(&mut self, count: usize) -> bool {
        let now = Instant::now();
        for _ in 0..count {
            let Some(subject) = self.rows.next(now) else { return false };
            row(&subject, self.kind, &self.columns, &mut self.samples);
        }
        true
    }

    /// What was gathered, one piece a metric.
    pub fn pieces(self) -> impl Iterator<Item = String> {
        let mut last = "";
        METRICS.iter().zip(self.columns).zip(self.samples).filter_map(
            move |(((_, metric, shape), column), samples)| {
                let column = column.filter(|_| !samples.is_empty())?;
                let mut out = String::new();
                if *metric != last {
                    heading(
                        &format!("haproxy_{}_{metric}", prefix(self.kind)),
                        column.words,
                        *shape,
                        &mut out,
                    );
                }
                last = metric;
                out.push_str(&samples);
                Some(out)
            },
        )
    }
}

fn prefix(kind: Kind) -> &'static str {
    match kind {
        Kind::Frontend => "frontend",
        Kind::Backend => "backend",
        Kind::Server => "server",
        Kind::Listener => "listener",
    }
}

fn row(subject: &Subject<'_>, kind: Kind, columns: &[Option<&'static Column>], samples: &mut [String]) {
    let labels = labels(subject, kind);
    for (((name, metric, shape), column), out) in METRICS.iter().zip(columns).zip(samples) {
        let Some(column) = column else { continue };
        let full = format!("haproxy_{}_{metric}", prefix(kind));
        let value = column.value(subject);
        match (shape, value) {
            (State, Some(value)) => {
                let text = text(&value);
                for known in states(name, kind) {
                    let here = u8::from(state(&text, kind) == *known);
                    let _ = writeln!(out, "{full}{{{labels},state=\"{known}\"}} {here}");
                }
            }
            (ServerStates, _) => counted(subject, "status", SERVER_STATES, &full, &labels, out),
            (CheckStates, _) => counted(subject, "check_status", CHECK_STATES, &full, &labels, out),
            (_, Some(value)) => {
                let code = name.strip_prefix("hrsp_").map_or_else(String::new, |c| format!(",code=\"{c}\""));
                let _ = writeln!(out, "{full}{{{labels}{code}}} {}", number(&value, *shape));
            }
            (Limit | Checked, None) => {
                let _ = writeln!(out, "{full}{{{labels}}} NaN");
            }
            (_, None) => {}
        }
    }
}

/// How many servers of the backend are in each state of a column.
fn counted(subject: &Subject<'_>, column: &str, states: &[&str], full: &str, labels: &str, out: &mut String) {
    let Some(column) = Column::named(column) else { return };
    let mut counts: HashMap<String, u64> = HashMap::new();
    for server in subject.servers() {
        if let Some(value) = column.value(&server) {
            let text = text(&value);
            *counts.entry(state(&text, Kind::Server).to_owned()).or_default() += 1;
        }
    }
    for known in states {
        let count = counts.get(*known).copied().unwrap_or(0);
        let _ = writeln!(out, "{full}{{{labels},state=\"{known}\"}} {count}");
    }
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        _ => String::new(),
    }
}

fn number(value: &Value<'_>, shape: Shape) -> String {
    match (shape, value.number()) {
        (_, None) => "NaN".to_owned(),
        (Milliseconds, Some(n)) => format!("{:.6}", n / 1000.0),
        (_, Some(n)) => format!("{n}"),
    }
}

fn labels(subject: &Subject<'_>, kind: Kind) -> String {
    let proxy = escaped(&subject.proxy.conf.name);
    let own = || {
        Column::named("svname").and_then(|c| c.value(subject).map(|v| escaped(&text(&v)))).unwrap_or_default()
    };
    match kind {
        Kind::Frontend | Kind::Backend => format!("proxy=\"{proxy}\""),
        Kind::Server => format!("proxy=\"{proxy}\",server=\"{}\"", own()),
        Kind::Listener => format!("proxy=\"{proxy}\",listener=\"{}\"", own()),
    }
}

/// As the value of a label.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn heading(metric: &str, words: &str, shape: Shape, out: &mut String) {
    let kind = if matches!(shape, Counter | Checked) { "counter" } else { "gauge" };
    let _ = writeln!(out, "# HELP {metric} {words}\n# TYPE {metric} {kind}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_and_field_is_there() {
        for (name, _, _) in METRICS {
            assert!(Column::named(name).is_some(), "{name}");
        }
        // HAProxy has two more, of a library weir does not use.
        let missing: Vec<&str> = PROCESS
            .iter()
            .map(|(name, _, _)| *name)
            .filter(|name| !FIELDS.iter().any(|f| f.name == *name))
            .collect();
        assert!(missing.iter().all(|name| name.contains("Zlib")), "{missing:?}");
    }

    #[test]
    fn queries() {
        let all = Wanted::parse("").unwrap();
        assert!(all.process && all.kinds == Kinds::ALL && all.wants("x"));
        let some = Wanted::parse("scope=server&scope=global&no-maint&metrics=a,-b").unwrap();
        assert!(some.process && some.no_maint && some.kinds == Kinds(4));
        assert!(some.wants("a") && !some.wants("b") && !some.wants("c"));
        assert!(Wanted::parse("scope=nope").is_none());
        let none = Wanted::parse("scope=").unwrap();
        assert!(!none.process && none.kinds == Kinds(0));
        assert!(
            !Wanted::parse("metrics=-b").unwrap().wants("b")
                && Wanted::parse("metrics=-b").unwrap().wants("c")
        );
    }

    #[test]
    fn states_of_a_status() {
        assert_eq!(state("UP 1/3", Kind::Server), "UP");
        assert_eq!(state("no check", Kind::Server), "UP");
        assert_eq!(state("MAINT (via b/s)", Kind::Server), "MAINT");
        assert_eq!(state("* L7OK", Kind::Server), "L7OK");
        assert_eq!(state("OPEN", Kind::Frontend), "UP");
    }
}
