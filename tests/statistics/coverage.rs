//! No column of the table is one that nothing ever sets or counts.

use std::collections::BTreeSet;

use crate::course;
use crate::harness::process::Program;

/// Columns that stay empty or zero, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("comp_in", "there is no compression"),
    ("comp_out", "there is no compression"),
    ("comp_byp", "there is no compression"),
    ("comp_rsp", "there is no compression"),
    ("cache_lookups", "there is no cache"),
    ("cache_hits", "there is no cache"),
    ("h3sess", "HTTP/3 is not spoken"),
    ("h3req", "HTTP/3 is not spoken"),
    ("req_other", "all requests are HTTP/1's or HTTP/2's"),
    ("agg_server_status", "for Prometheus alone, as with haproxy"),
    ("agg_server_check_status", "for Prometheus alone"),
    ("agg_check_status", "for Prometheus alone"),
    ("agent_code", "an agent has no code but 0"),
];

/// A connection over loopback takes a millisecond or none.
const EITHER: &[&str] = &["ctime", "ctime_max", "check_duration", "agent_duration"];

#[test]
fn every_column_is_set_or_counted() {
    let mut rig = course::run(Program::Weir);
    rig.get_by_http2(8080, "/return");
    rig.until("HTTP/2 is counted", |table, _| {
        let cell = |column: &str| table.cell("web/FRONTEND", column);
        cell("h2sess") == "1" && cell("h2req") == "1" && cell("req_other") == "0"
    });
    let table = rig.table();
    let excepted: BTreeSet<&str> = EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    let silent: Vec<&str> = table
        .columns
        .iter()
        .map(String::as_str)
        // tests/h2.rs compares these with haproxy's.
        .filter(|name| !name.starts_with("h2_"))
        .filter(|name| !rig.filled.contains(*name) && !excepted.contains(name) && !EITHER.contains(name))
        .collect();
    assert!(silent.is_empty(), "never set or counted: {silent:?}");
    let gone: Vec<&&str> = excepted.iter().filter(|name| rig.filled.contains(**name)).collect();
    assert!(gone.is_empty(), "filled after all, take them off the list: {gone:?}");
}
