//! The lines of `show info`: HAProxy 3.4's names in its order, then our own.

use super::json;
use super::value::{Tags, Value};
use crate::config::condition::VERSION;
use crate::live::{Generation, Rates, Totals};
use crate::net::tls_counts::{self, TlsCounts};
use crate::net::{raw, relay};
use crate::{tasks, tls};
use rustix::process::{Resource, getrlimit};
use std::io::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// One line.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub words: &'static str,
    pub tags: Tags,
    value: ValueOf,
}

type ValueOf = for<'s, 'g> fn(&'s Facts<'g>) -> Option<Value<'s>>;

/// What the lines are computed from.
#[derive(Debug)]
pub struct Facts<'a> {
    generation: &'a Generation,
    now: Instant,
    totals: Totals,
    tls: TlsCounts,
    /// Bytes of memory in use; `None`: the system does not tell.
    resident: Option<u64>,
    /// Limit of descriptors.
    descriptors: u64,
    /// Times with their fraction.
    float: bool,
}

/// `show info [typed|json] [desc] [float]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InfoFormat {
    #[default]
    Plain,
    Typed,
    Json,
}

/// `show info` in one piece.
#[must_use]
pub fn dump(generation: &Generation, format: InfoFormat, desc: bool, float: bool) -> Vec<u8> {
    let facts = Facts::new(generation, float);
    let mut out = Vec::with_capacity(4096);
    let mut first = true;
    for (position, field) in FIELDS.iter().enumerate() {
        let Some(value) = field.value(&facts) else { continue };
        // Writing to memory does not fail.
        let _written = match format {
            InfoFormat::Plain => write!(out, "{}: ", field.name),
            InfoFormat::Typed => {
                write!(out, "{position}.{}.1:{}:{}:", field.name, field.tags.letters(), value.type_name())
            }
            InfoFormat::Json => {
                out.extend_from_slice(if std::mem::take(&mut first) { b"[{" } else { b",{" });
                json::field(position, field.name, field.tags, &value, &mut out);
                out.push(b'}');
                continue;
            }
        };
        value.write(&mut out);
        if desc {
            let _written = write!(out, ":\"{}\"", field.words);
        }
        out.push(b'\n');
    }
    if format == InfoFormat::Json {
        out.extend_from_slice(b"]\n");
    }
    out
}

impl<'a> Facts<'a> {
    #[must_use]
    pub fn new(generation: &'a Generation, float: bool) -> Self {
        Self {
            generation,
            now: Instant::now(),
            totals: generation.totals(),
            tls: TlsCounts::read(),
            resident: resident(),
            descriptors: raw::nofile_limit().map_or(0, |(soft, _)| soft),
            float,
        }
    }

    fn seconds<'s>(&self, span: Duration) -> Option<Value<'s>> {
        Some(if self.float { Value::Float(span.as_secs_f64()) } else { Value::u32(span.as_secs()) })
    }

    fn uptime(&self) -> Duration {
        self.now.saturating_duration_since(self.generation.process.started.mono)
    }
}

impl Field {
    /// `None`: the line is left out.
    #[must_use]
    pub fn value<'s>(&self, facts: &'s Facts<'_>) -> Option<Value<'s>> {
        (self.value)(facts)
    }
}

const fn field(name: &'static str, tags: &str, value: ValueOf, words: &'static str) -> Field {
    Field { name, words, tags: Tags::of(tags), value }
}

/// Not told yet: the cell stays empty.
fn none<'s>(_: &'s Facts<'_>) -> Option<Value<'s>> {
    None
}

/// The day of the last change to weir's sources a release was made from.
const RELEASE_DATE: &str = "2026/11/21";

pub static FIELDS: &[Field] = &[
    field("Name", "POS", |_| Some(Value::text("HAProxy")), "Product whose interfaces these are"),
    field(
        "Version",
        "POS",
        |_| Some(Value::text(VERSION)),
        "Version of HAProxy whose configuration and interfaces are understood",
    ),
    field(
        "Release_date",
        "POS",
        |_| Some(Value::text(RELEASE_DATE)),
        "Day of the last change to the sources",
    ),
    field("Nbthread", "CGS", |f| Some(Value::u32(f.generation.threads)), "Worker threads (nbthread)"),
    field("Nbproc", "CGS", |_| Some(Value::U32(1)), "Worker processes: 1"),
    field("Process_num", "KGP", |_| Some(Value::U32(1)), "Number of this process: 1"),
    field("Pid", "SGP", |f| Some(Value::U32(f.generation.process.pid)), "Process id"),
    field(
        "Uptime",
        "MDP",
        |f| Some(Value::text(uptime(f.uptime()))),
        "How long the process has been running",
    ),
    field("Uptime_sec", "MDP", |f| f.seconds(f.uptime()), "The same in seconds"),
    field(
        "Memmax_MB",
        "CLP",
        |_| Some(Value::u32(memory_limit() >> 20)),
        "Limit of memory in megabytes (-m), 0: none",
    ),
    field(
        "PoolAlloc_MB",
        "MGP",
        |f| f.resident.map(|n| Value::u32(n >> 20)),
        "Memory taken from the system, in megabytes",
    ),
    field("PoolUsed_MB", "MGP", |f| f.resident.map(|n| Value::u32(n >> 20)), "Memory in use, in megabytes"),
    field("PoolFailed", "MCP", zero, "Requests for memory that failed"),
    field("Ulimit-n", "CLP", |f| Some(Value::u32(f.descriptors)), "Limit of file descriptors"),
    field("Maxsock", "CLP", |f| Some(Value::u32(f.descriptors)), "Limit of sockets"),
    field(
        "Maxconn",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.maxconn())),
        "Limit of client connections (maxconn)",
    ),
    field(
        "Hard_maxconn",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.hard_maxconn())),
        "Limit of client connections that maxconn may be raised to",
    ),
    field(
        "CurrConns",
        "MGP",
        |f| Some(Value::u32(f.generation.process.connections.load(Relaxed))),
        "Client connections now",
    ),
    field(
        "CumConns",
        "MCP",
        |f| Some(Value::u32(f.totals.connections())),
        "Client connections so far, those to stats sockets included",
    ),
    field(
        "CumReq",
        "MCP",
        |f| Some(Value::u32(f.totals.requests())),
        "Requests so far, and connections without any",
    ),
    field(
        "MaxSslConns",
        "MMP",
        |_| Some(Value::u32(tls_counts::most())),
        "Limit of TLS connections (maxsslconn), 0: none",
    ),
    field(
        "CurrSslConns",
        "MGP",
        |f| Some(Value::u32(f.tls.open)),
        "TLS connections now, to clients and servers",
    ),
    field(
        "CumSslConns",
        "MCP",
        |f| Some(Value::u32(f.tls.all)),
        "TLS connections so far, to clients and servers",
    ),
    field("Maxpipes", "CLP", zero, "Limit of pipes for splicing, 0: none"),
    field("PipesUsed", "MGP", |_| Some(Value::u32(relay::pipes().0)), "Pipes in use"),
    field("PipesFree", "MGP", |_| Some(Value::u32(relay::pipes().1)), "Pipes kept for use"),
    field(
        "ConnRate",
        "MRP",
        |f| Some(Value::u32(f.rates().connections.read(f.totals.front.connections, f.now))),
        "Client connections in the last second",
    ),
    field(
        "ConnRateLimit",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.connections.load(Relaxed))),
        "Limit of client connections a second (maxconnrate), 0: none",
    ),
    field(
        "MaxConnRate",
        "MMP",
        |f| Some(Value::u32(f.rates().connections.max(f.totals.front.connections, f.now))),
        "Most client connections in one second",
    ),
    field(
        "SessRate",
        "MRP",
        |f| Some(Value::u32(f.rates().sessions.read(f.totals.front.sessions, f.now))),
        "Sessions in the last second",
    ),
    field(
        "SessRateLimit",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.sessions.load(Relaxed))),
        "Limit of sessions a second (maxsessrate), 0: none",
    ),
    field(
        "MaxSessRate",
        "MRP",
        |f| Some(Value::u32(f.rates().sessions.max(f.totals.front.sessions, f.now))),
        "Most sessions in one second",
    ),
    field(
        "SslRate",
        "MRP",
        |f| Some(Value::u32(f.rates().ssl.read(f.tls.clients, f.now))),
        "TLS connections of clients in the last second",
    ),
    field(
        "SslRateLimit",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.ssl.load(Relaxed))),
        "Limit of TLS connections a second (maxsslrate), 0: none",
    ),
    field(
        "MaxSslRate",
        "MMP",
        |f| Some(Value::u32(f.rates().ssl.max(f.tls.clients, f.now))),
        "Most TLS connections in one second",
    ),
    field(
        "SslFrontendKeyRate",
        "MGP",
        |f| Some(Value::u32(f.rates().ssl_client_keys.read(f.tls.client_keys, f.now))),
        "TLS keys computed for clients in the last second",
    ),
    field(
        "SslFrontendMaxKeyRate",
        "MMP",
        |f| Some(Value::u32(f.rates().ssl_client_keys.max(f.tls.client_keys, f.now))),
        "Most TLS keys computed for clients in one second",
    ),
    field(
        "SslFrontendSessionReuse_pct",
        "MGP",
        reuse,
        "Percent of clients' TLS connections that resumed a session",
    ),
    field(
        "SslBackendKeyRate",
        "MRP",
        |f| Some(Value::u32(f.rates().ssl_server_keys.read(f.tls.server_keys, f.now))),
        "TLS keys computed for servers in the last second",
    ),
    field(
        "SslBackendMaxKeyRate",
        "MMP",
        |f| Some(Value::u32(f.rates().ssl_server_keys.max(f.tls.server_keys, f.now))),
        "Most TLS keys computed for servers in one second",
    ),
    field(
        "SslCacheLookups",
        "MCP",
        |_| Some(Value::u32(tls::lookups().0)),
        "TLS sessions looked up in the cache",
    ),
    field(
        "SslCacheMisses",
        "MCP",
        |_| Some(Value::u32(tls::lookups().1)),
        "TLS sessions not found in the cache",
    ),
    field("CompressBpsIn", "MRP", zero, "Bytes given to compression in the last second"),
    field("CompressBpsOut", "MRP", zero, "Bytes that came out of compression in the last second"),
    field(
        "CompressBpsRateLim",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.compression.load(Relaxed))),
        "Limit of CompressBpsOut (set rate-limit http-compression), 0: none",
    ),
    field("ZlibMemUsage", "MGP", none, "Memory zlib uses"),
    field("MaxZlibMemUsage", "CLP", none, "Limit of the memory zlib uses"),
    field(
        "Tasks",
        "MGP",
        |f| Some(Value::u32(tasks::alive() + f.generation.process.connections.load(Relaxed))),
        "Tasks of the process, waiting ones included",
    ),
    field("Run_queue", "MGP", |_| Some(Value::u32(queue())), "Tasks that could run now"),
    field(
        "Idle_pct",
        "MaP",
        |f| Some(Value::U32(f.generation.process.idle_percent())),
        "Percent of the last second the threads waited for work",
    ),
    field("node", "COS", |f| Some(Value::text(f.node())), "Name of this node (node)"),
    field(
        "description",
        "COS",
        |f| f.generation.config.global.description.as_deref().map(Value::text),
        "What is said of this process (description)",
    ),
    field(
        "Stopping",
        "MGP",
        |f| Some(Value::U32(f.generation.process.stopping.load(Relaxed).into())),
        "1 while the process finishes what it has and stops, else 0",
    ),
    field(
        "Jobs",
        "MGP",
        |f| Some(Value::u32(f.jobs())),
        "What keeps the process alive: client connections and listeners",
    ),
    field("Unstoppable Jobs", "MGP", zero, "Those of them a stop does not wait for"),
    field("Listeners", "MGP", |f| Some(Value::u32(f.listeners())), "Listening sockets"),
    field("ActivePeers", "MGP", zero, "Peers that exchange tables with us"),
    field("ConnectedPeers", "MGP", zero, "Peers connected with us"),
    field(
        "DroppedLogs",
        "MGP",
        |f| Some(Value::u32(f.generation.process.log_drops.load(Relaxed))),
        "Log lines that could not be sent",
    ),
    field("BusyPolling", "MGP", zero, "1 with busy-polling, else 0"),
    field("FailedResolutions", "MGP", zero, "Names that could not be resolved"),
    field("TotalBytesOut", "MGP", |f| Some(Value::U64(f.totals.bytes_out())), "Bytes sent to clients"),
    field(
        "TotalSplicedBytesOut",
        "MGP",
        |_| Some(Value::U64(relay::spliced())),
        "Bytes moved without being copied (splice)",
    ),
    field(
        "BytesOutRate",
        "MRP",
        |f| Some(Value::U64(f.rates().bytes_out.read(f.totals.bytes_out(), f.now))),
        "Bytes sent to clients in the last second",
    ),
    field("DebugCommandsIssued", "MGP", zero, "Debugging commands given on the stats socket"),
    field("CumRecvLogs", "MCP", zero, "Log lines received for forwarding"),
    field(
        "Build info",
        "POS",
        |_| Some(Value::text(concat!("weir-", env!("CARGO_PKG_VERSION")))),
        "How the program was built",
    ),
    field(
        "Memmax_bytes",
        "CLP",
        |_| Some(Value::u32(memory_limit())),
        "Limit of memory in bytes (-m), 0: none",
    ),
    field("PoolAlloc_bytes", "MGP", |f| f.resident.map(Value::U64), "Memory taken from the system, in bytes"),
    field("PoolUsed_bytes", "MGP", |f| f.resident.map(Value::U64), "Memory in use, in bytes"),
    field(
        "Start_time_sec",
        "MDP",
        |f| f.seconds(f.start_time()),
        "When the process started, in seconds since 1970",
    ),
    field("Tainted", "SGP", |_| Some(Value::text("0")), "What makes this process an unusual one, 0: nothing"),
    field("TotalWarnings", "MCP", none, "Warnings about the configuration"),
    field(
        "MaxconnReached",
        "MCP",
        |f| Some(Value::u32(f.generation.process.maxconn_reached.load(Relaxed))),
        "Times a client had to wait because maxconn was reached",
    ),
    field("BootTime_ms", "MDP", none, "Milliseconds from the start until everything was ready"),
    field("Niced_tasks", "MGP", zero, "Tasks that could run now, but yield to others"),
    field("CurrStreams", "MGP", |f| Some(Value::U64(f.totals.streams)), "Streams in progress"),
    field("CumStreams", "MCP", |f| Some(Value::U64(f.totals.requests())), "Streams so far"),
    field("BlockedTrafficWarnings", "MCP", zero, "Warnings about a task that held up a thread"),
    field("PatternsAdded", "MCP", none, "Patterns added to ACLs and maps"),
    field("PatternsFreed", "MCP", none, "Patterns removed from ACLs and maps"),
    field("Weir_version", "POS", |_| Some(Value::text(env!("CARGO_PKG_VERSION"))), "Version of weir"),
];

/// What does not exist here is not counted: TLS caches, compression, peers, resolvers, log forwarding.
fn zero<'s>(_: &'s Facts<'_>) -> Option<Value<'s>> {
    Some(Value::U32(0))
}

/// The process's resident memory. HAProxy shows its pools here; weir has none, so this is all it uses.
/// Percent of the last second's TLS connections of clients that computed no keys.
fn reuse(facts: &Facts<'_>) -> Option<Value<'static>> {
    let rates = facts.rates();
    let all = rates.ssl.read(facts.tls.clients, facts.now);
    let keys = rates.ssl_client_keys.read(facts.tls.client_keys, facts.now);
    let resumed = (100 * all.saturating_sub(keys)).checked_div(all);
    Some(Value::u32(resumed.unwrap_or(0)))
}

fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim_end().parse().ok()?;
    Some(kilobytes * 1024)
}

/// `-m`; 0: none.
fn memory_limit() -> u64 {
    getrlimit(Resource::As).current.unwrap_or(0)
}

/// Tasks of the control thread that could run now.
fn queue() -> usize {
    tokio::runtime::Handle::try_current().map_or(0, |handle| handle.metrics().global_queue_depth())
}

impl Facts<'_> {
    fn rates(&self) -> &Rates {
        &self.generation.process.rates
    }

    fn jobs(&self) -> usize {
        let process = &self.generation.process;
        self.listeners() + process.connections.load(Relaxed) + process.admin_clients.load(Relaxed)
    }

    /// Addresses listened on, those for administration included.
    fn listeners(&self) -> usize {
        let config = &self.generation.config;
        let fronts = config.proxies.iter().filter(|p| !p.disabled).filter_map(|p| p.front.as_ref());
        fronts.map(|f| f.binds.len()).sum::<usize>() + config.global.stats_sockets.len()
    }

    fn node(&self) -> &str {
        self.generation.config.global.node.as_deref().unwrap_or(&self.generation.process.hostname)
    }

    fn start_time(&self) -> Duration {
        self.generation.process.started.wall.duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

/// `0d 0h01m35s`
fn uptime(up: Duration) -> String {
    let seconds = up.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    format!("{days}d {hours}h{:02}m{:02}s", seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes() {
        assert_eq!(uptime(Duration::from_secs(95)), "0d 0h01m35s");
        assert_eq!(uptime(Duration::from_secs(2 * 86_400 + 13 * 3600 + 7)), "2d 13h00m07s");
    }
}
