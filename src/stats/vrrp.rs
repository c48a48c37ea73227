//! The virtual routers as Prometheus metrics, `weir_vrrp_*`: HAProxy has none of that name.

use super::prometheus::{Wanted, escaped};
use crate::live::vrrp::{RouterView, STATES};
use std::fmt::Write as _;

/// A sample's own labels, with a leading comma where there are any, and its value.
type Samples = Vec<(String, f64)>;

/// Metric without its prefix, what it tells, whether it only grows, its samples of one router.
type Metric = (&'static str, &'static str, bool, fn(&RouterView) -> Samples);

const METRICS: &[Metric] = &[
    ("state", "1 for the state the router is in.", false, |r| {
        STATES.iter().map(|s| (format!(",state=\"{s}\""), f64::from(u8::from(*s == r.state)))).collect()
    }),
    ("priority", "The priority that counts, with the weights of the trackers.", false, |r| one(r.priority)),
    ("base_priority", "The priority before the weights of the trackers.", false, |r| one(r.base)),
    ("conflict", "1 while another router is master too.", false, |r| one(u8::from(r.is_split()))),
    ("last_change_seconds", "How long ago the state changed.", false, |r| {
        r.change.iter().map(|c| (String::new(), c.age.as_secs_f64())).collect()
    }),
    ("transitions_total", "Changes of state.", true, |r| count(r.transitions)),
    ("became_master_total", "How often the router became master.", true, |r| count(r.counts.became_master)),
    ("conflicts_total", "Adverts of another master heard while master.", true, |r| count(r.counts.conflicts)),
    ("adverts_sent_total", "Adverts sent.", true, |r| count(r.counts.sent)),
    ("adverts_received_total", "Adverts listened to.", true, |r| count(r.counts.received)),
    ("adverts_dropped_total", "Adverts not listened to, by reason.", true, |r| {
        let dropped = r.counts.dropped.iter();
        dropped.map(|(reason, n)| (format!(",reason=\"{reason}\""), *n as f64)).collect()
    }),
    ("tracker_up", "1 while what the router follows is well.", false, |r| {
        let up = |t: &crate::live::vrrp::TrackerView| f64::from(u8::from(t.well));
        r.trackers.iter().map(|t| (format!(",tracker=\"{}\"", escaped(&t.name)), up(t))).collect()
    }),
    ("tracker_weight", "What it adds to the priority now.", false, |r| {
        let part = |t: &crate::live::vrrp::TrackerView| f64::from(t.part);
        r.trackers.iter().map(|t| (format!(",tracker=\"{}\"", escaped(&t.name)), part(t))).collect()
    }),
];

fn one(value: u8) -> Samples {
    vec![(String::new(), f64::from(value))]
}

fn count(value: u64) -> Samples {
    vec![(String::new(), value as f64)]
}

/// All metrics of all routers.
#[must_use]
pub fn metrics(routers: &[RouterView], wanted: &Wanted) -> String {
    let mut out = String::new();
    if routers.is_empty() || !wanted.vrrp {
        return out;
    }
    for (metric, words, grows, samples) in METRICS {
        let full = format!("weir_vrrp_{metric}");
        if !wanted.wants(&full) {
            continue;
        }
        let kind = if *grows { "counter" } else { "gauge" };
        let _ = writeln!(out, "# HELP {full} {words}\n# TYPE {full} {kind}");
        for router in routers {
            let own = format!(
                "vrrp=\"{}\",interface=\"{}\",vrid=\"{}\"",
                escaped(&router.name),
                escaped(&router.interface),
                router.vrid
            );
            for (labels, value) in samples(router) {
                let _ = writeln!(out, "{full}{{{own}{labels}}} {value}");
            }
        }
    }
    out
}
