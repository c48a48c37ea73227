//! How many connections, and the descriptors they need.

use super::{Options, say};
use crate::config::model::Config;
use crate::net::raw;

/// Descriptors beside connections and listeners: reactors, wake-ups and log sockets of each thread, standard streams.
const PER_THREAD: u64 = 8;
const BASE: u64 = 32;
/// HAProxy's default of `fd-hard-limit`.
const HARD_LIMIT: u64 = 1_048_576;

/// Sets the limits and answers the process's maxconn: the command line's, else the configuration's, else what the
/// descriptor limit allows with two descriptors a connection.
pub fn apply(config: &Config, options: &Options, listeners: usize, threads: usize) -> Result<usize, String> {
    let global = &config.global;
    if let Some(megabytes) = options.memory {
        raw::set_memory_limit(megabytes.saturating_mul(1 << 20))
            .map_err(|_| format!("[haproxy.main()] Cannot fix MEM limit to {megabytes} megs."))?;
    }
    let (soft, hard) =
        raw::nofile_limit().map_err(|e| format!("[haproxy.main()] Cannot read the FD limit: {e}."))?;
    let reserved = BASE + PER_THREAD * threads as u64 + listeners as u64 + checks(config);
    let allowed = global.ulimit_n.unwrap_or(hard.min(global.fd_hard_limit.unwrap_or(HARD_LIMIT)));
    let maxconn = match options.maxconn.or(global.maxconn) {
        Some(n) if n > 0 => n,
        _ => usize::try_from(allowed.saturating_sub(reserved) / 2).unwrap_or(usize::MAX).max(100),
    };
    let needed = global.ulimit_n.unwrap_or(reserved + 2 * maxconn as u64);
    if needed > soft && raw::set_nofile_limit(needed, needed.max(hard)).is_err() {
        let _ = raw::set_nofile_limit(hard, hard);
        let text = format!("[haproxy.main()] Cannot raise FD limit to {needed}, limit is {hard}.");
        if global.strict_limits {
            return Err(text);
        }
        say("WARNING", format!("{text} This will fail in >= v2.3"));
    }
    Ok(maxconn)
}

/// One descriptor for each check and each agent.
fn checks(config: &Config) -> u64 {
    let servers = config.proxies.iter().filter_map(|p| p.back.as_ref()).flat_map(|b| &b.servers);
    servers.map(|s| u64::from(s.check.is_some()) + u64::from(s.agent.is_some())).sum()
}
