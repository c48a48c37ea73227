//! The lines of `show info`: HAProxy 3.4's names in its order, then our own.

use super::json;
use super::value::{Tags, Value};
use crate::config::condition::VERSION;
use crate::live::Generation;
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
        Self { generation, now: Instant::now(), float }
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
    field(
        "Nbthread",
        "CGS",
        |f| Some(Value::u32(f.generation.process.nbthread)),
        "Worker threads (nbthread)",
    ),
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
    field("Memmax_MB", "CLP", none, "Limit of memory in megabytes (-m), 0: none"),
    field("PoolAlloc_MB", "MGP", none, "Memory taken from the system, in megabytes"),
    field("PoolUsed_MB", "MGP", none, "Memory in use, in megabytes"),
    field("PoolFailed", "MCP", none, "Requests for memory that failed"),
    field("Ulimit-n", "CLP", none, "Limit of file descriptors"),
    field("Maxsock", "CLP", none, "Limit of sockets"),
    field(
        "Maxconn",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.maxconn())),
        "Limit of client connections (maxconn)",
    ),
    field(
        "Hard_maxconn",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.hard_maxconn)),
        "Limit of client connections that maxconn may be raised to",
    ),
    field(
        "CurrConns",
        "MGP",
        |f| Some(Value::u32(f.generation.process.connections.load(Relaxed))),
        "Client connections now",
    ),
    field("CumConns", "MCP", none, "Client connections so far"),
    field("CumReq", "MCP", none, "Requests so far"),
    field("MaxSslConns", "MMP", none, "Limit of TLS connections, 0: none"),
    field("CurrSslConns", "MGP", none, "TLS connections now, to clients and servers"),
    field("CumSslConns", "MCP", none, "TLS connections so far, to clients and servers"),
    field("Maxpipes", "CLP", none, "Limit of pipes for splicing, 0: none"),
    field("PipesUsed", "MGP", none, "Pipes in use"),
    field("PipesFree", "MGP", none, "Pipes kept for use"),
    field("ConnRate", "MRP", none, "Client connections in the last second"),
    field(
        "ConnRateLimit",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.connections.load(Relaxed))),
        "Limit of client connections a second (maxconnrate), 0: none",
    ),
    field("MaxConnRate", "MMP", none, "Most client connections in one second"),
    field("SessRate", "MRP", none, "Sessions in the last second"),
    field(
        "SessRateLimit",
        "CLP",
        |f| Some(Value::u32(f.generation.process.limits.sessions.load(Relaxed))),
        "Limit of sessions a second (maxsessrate), 0: none",
    ),
    field("MaxSessRate", "MRP", none, "Most sessions in one second"),
    field("SslRate", "MRP", none, "TLS connections of clients in the last second"),
    field("SslRateLimit", "CLP", none, "Limit of TLS connections a second (maxsslrate), 0: none"),
    field("MaxSslRate", "MMP", none, "Most TLS connections in one second"),
    field("SslFrontendKeyRate", "MGP", none, "TLS keys computed for clients in the last second"),
    field("SslFrontendMaxKeyRate", "MMP", none, "Most TLS keys computed for clients in one second"),
    field(
        "SslFrontendSessionReuse_pct",
        "MGP",
        none,
        "Percent of clients' TLS connections that resumed a session",
    ),
    field("SslBackendKeyRate", "MRP", none, "TLS keys computed for servers in the last second"),
    field("SslBackendMaxKeyRate", "MMP", none, "Most TLS keys computed for servers in one second"),
    field("SslCacheLookups", "MCP", none, "TLS sessions looked up in the cache"),
    field("SslCacheMisses", "MCP", none, "TLS sessions not found in the cache"),
    field("CompressBpsIn", "MRP", none, "Bytes given to compression in the last second"),
    field("CompressBpsOut", "MRP", none, "Bytes that came out of compression in the last second"),
    field("CompressBpsRateLim", "CLP", none, "Limit of CompressBpsOut (maxcomprate), 0: none"),
    field("ZlibMemUsage", "MGP", none, "Memory zlib uses"),
    field("MaxZlibMemUsage", "CLP", none, "Limit of the memory zlib uses"),
    field("Tasks", "MGP", none, "Tasks of the process, waiting ones included"),
    field("Run_queue", "MGP", none, "Tasks that could run now"),
    field("Idle_pct", "MaP", none, "Percent of the last second the threads waited for work"),
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
    field("Jobs", "MGP", none, "What keeps the process alive: client connections and listeners"),
    field("Unstoppable Jobs", "MGP", none, "Those of them a stop does not wait for"),
    field("Listeners", "MGP", none, "Listening sockets"),
    field("ActivePeers", "MGP", none, "Peers that exchange tables with us"),
    field("ConnectedPeers", "MGP", none, "Peers connected with us"),
    field(
        "DroppedLogs",
        "MGP",
        |f| Some(Value::u32(f.generation.process.log_drops.load(Relaxed))),
        "Log lines that could not be sent",
    ),
    field("BusyPolling", "MGP", none, "1 with busy-polling, else 0"),
    field("FailedResolutions", "MGP", none, "Names that could not be resolved"),
    field("TotalBytesOut", "MGP", none, "Bytes sent to clients"),
    field("TotalSplicedBytesOut", "MGP", none, "Bytes moved without being copied (splice)"),
    field("BytesOutRate", "MRP", none, "Bytes sent to clients in the last second"),
    field("DebugCommandsIssued", "MGP", none, "Debugging commands given on the stats socket"),
    field("CumRecvLogs", "MCP", none, "Log lines received for forwarding"),
    field("Build info", "POS", none, "How the program was built"),
    field("Memmax_bytes", "CLP", none, "Limit of memory in bytes (-m), 0: none"),
    field("PoolAlloc_bytes", "MGP", none, "Memory taken from the system, in bytes"),
    field("PoolUsed_bytes", "MGP", none, "Memory in use, in bytes"),
    field(
        "Start_time_sec",
        "MDP",
        |f| f.seconds(f.start_time()),
        "When the process started, in seconds since 1970",
    ),
    field("Tainted", "SGP", none, "What makes this process an unusual one, 0: nothing"),
    field("TotalWarnings", "MCP", none, "Warnings about the configuration"),
    field("MaxconnReached", "MCP", none, "Times a client had to wait because maxconn was reached"),
    field("BootTime_ms", "MDP", none, "Milliseconds from the start until everything was ready"),
    field("Niced_tasks", "MGP", none, "Tasks that could run now, but yield to others"),
    field("CurrStreams", "MGP", none, "Streams in progress"),
    field("CumStreams", "MCP", none, "Streams so far"),
    field("BlockedTrafficWarnings", "MCP", none, "Warnings about a task that held up a thread"),
    field("PatternsAdded", "MCP", none, "Patterns added to ACLs and maps"),
    field("PatternsFreed", "MCP", none, "Patterns removed from ACLs and maps"),
    field("Weir_version", "POS", |_| Some(Value::text(env!("CARGO_PKG_VERSION"))), "Version of weir"),
];

impl Facts<'_> {
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
