//! The services of `mode l4` as Prometheus metrics, `weir_l4_*`: what HAProxy has no name for.

use crate::l4::plan::ServerState;
use crate::l4::view::{ServerView, ServiceView};
use crate::stats::prometheus::{Wanted, escaped};
use std::fmt::Write as _;

/// Metric without its prefix, what it tells, whether it only grows, its value of one server.
type Metric = (&'static str, &'static str, bool, fn(&ServerView) -> u64);

const METRICS: &[Metric] = &[
    ("active_flows", "Flows that are open.", false, |s| u64::from(s.sum.active)),
    ("inactive_flows", "Flows that are ending, and all of UDP.", false, |s| u64::from(s.sum.inactive)),
    ("persistent_flows", "Flows that keep their client on the server.", false, |s| {
        u64::from(s.sum.persistent)
    }),
    ("weight", "The weight that counts: 0 when drained.", false, |s| {
        if s.state == ServerState::Up { u64::from(s.weight) } else { 0 }
    }),
    ("up", "1 while it may have flows.", false, |s| u64::from(s.state != ServerState::Down)),
    ("flows_total", "Flows that began.", true, |s| s.sum.flows),
    ("packets_in_total", "Packets of clients.", true, |s| s.sum.in_packets),
    ("packets_out_total", "Packets to clients that came through here.", true, |s| s.sum.out_packets),
    ("bytes_in_total", "Bytes of clients' packets.", true, |s| s.sum.in_bytes),
    ("bytes_out_total", "Bytes of the packets to clients that came through here.", true, |s| s.sum.out_bytes),
];

/// All metrics of all servers, and the packets that were not forwarded, by reason.
#[must_use]
pub fn metrics(services: &[ServiceView], refused: &[(&'static str, u64)], wanted: &Wanted) -> String {
    let mut out = String::new();
    if services.is_empty() || !wanted.l4 {
        return out;
    }
    for (metric, words, grows, value) in METRICS {
        let full = format!("weir_l4_server_{metric}");
        if !heading(&full, words, *grows, wanted, &mut out) {
            continue;
        }
        for service in services {
            for server in service.servers.iter().filter(|s| keeps(s, wanted)) {
                let _ = writeln!(
                    out,
                    "{full}{{service=\"{}\",server=\"{}\",address=\"{}\",forward=\"{}\"}} {}",
                    escaped(&service.name),
                    escaped(&server.name),
                    server.address,
                    server.forward,
                    value(server)
                );
            }
        }
    }
    let full = "weir_l4_service_servers_up";
    if heading(full, "Servers that may get new flows, without the backups.", false, wanted, &mut out) {
        for service in services {
            let _ = writeln!(out, "{full}{{service=\"{}\"}} {}", escaped(&service.name), service.up().0);
        }
    }
    let full = "weir_l4_events_total";
    if !refused.is_empty()
        && heading(full, "Packets that were not forwarded, and flows cut, by reason.", true, wanted, &mut out)
    {
        for (reason, n) in refused {
            let _ = writeln!(out, "{full}{{reason=\"{reason}\"}} {n}");
        }
    }
    out
}

fn keeps(server: &ServerView, wanted: &Wanted) -> bool {
    !wanted.no_maint || server.state != ServerState::Drained
}

/// False: the metric is not asked for.
fn heading(full: &str, words: &str, grows: bool, wanted: &Wanted, out: &mut String) -> bool {
    let asked = wanted.wants(full);
    if asked {
        let kind = if grows { "counter" } else { "gauge" };
        let _ = writeln!(out, "# HELP {full} {words}\n# TYPE {full} {kind}");
    }
    asked
}
