//! `http-check send-state`: what a server is told of itself.

use crate::config::model::Endpoint;
use crate::live::{Generation, LiveProxy, LiveServer, OperState};

/// The header's value; `None` where it is not wanted.
#[must_use]
pub fn describe(generation: &Generation, proxy: &LiveProxy, server: &LiveServer) -> Option<String> {
    let backend = proxy.back.as_ref()?;
    if !proxy.conf.back.as_ref()?.send_state {
        return None;
    }
    let health = server.check.health();
    let (steps, of) = health.progress();
    let state = match (health.is_up(), server.oper()) {
        (true, OperState::Stopping) => "NOLB",
        (true, _) => "UP",
        _ => "DOWN",
    };
    let progress = if steps == of || steps == 0 { String::new() } else { format!(" {steps}/{of}") };
    let address = match &server.reached().endpoint {
        Endpoint::Inet(a) => format!(" address={}; port={};", a.ip(), a.port()),
        _ => String::new(),
    };
    let global = &generation.config.global;
    let node = global.node.as_deref().unwrap_or(&generation.process.hostname);
    let total: u32 = backend.servers.iter().filter(|s| s.is_usable()).map(|s| s.weight()).sum();
    Some(format!(
        "{state}{progress};{address} name={}/{}; node={node}; weight={}/{total}; scur={}/{}; qcur={}",
        proxy.conf.name,
        server.name(),
        if server.is_usable() { server.weight() } else { 0 },
        server.current(),
        backend.current(),
        server.queued(),
    ))
}
