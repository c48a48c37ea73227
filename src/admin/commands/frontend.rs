//! Frontends, and the limits of the process.

use super::target;
use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::Admin;
use crate::ids::ProxyIndex;
use crate::live::LiveProxy;
use crate::live::doors::Phase;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub const TABLE: &[Command] = &[
    Command::new(
        "disable frontend",
        Admin,
        "disable frontend <frontend>",
        "stop accepting, until it is enabled again",
        |c| with_frontend(c, 2, disable),
    ),
    Command::new(
        "enable frontend",
        Admin,
        "enable frontend <frontend>",
        "accept again on a disabled frontend",
        |c| with_frontend(c, 2, enable),
    ),
    Command::new(
        "shutdown frontend",
        Admin,
        "shutdown frontend <frontend>",
        "stop a frontend for good and release its addresses",
        |c| with_frontend(c, 2, shutdown),
    ),
    Command::new(
        "set maxconn frontend",
        Admin,
        "set maxconn frontend <frontend> <value>",
        "change a frontend's maxconn",
        |c| with_frontend(c, 3, set_maxconn),
    ),
    Command::new(
        "set maxconn global",
        Admin,
        "set maxconn global <value>",
        "change the process's maxconn",
        set_global_maxconn,
    ),
    Command::new(
        "set rate-limit",
        Admin,
        "set rate-limit <setting> <value>",
        "change a limit of events a second",
        set_rate_limit,
    ),
];

fn with_frontend(
    call: &mut Call<'_>,
    i: usize,
    run: impl FnOnce(&mut Call<'_>, ProxyIndex, Arc<LiveProxy>) -> Answer,
) -> Answer {
    match target::frontend(call, i) {
        Ok((index, proxy)) => run(call, index, proxy),
        Err(answer) => answer,
    }
}

fn disable(call: &mut Call<'_>, index: ProxyIndex, proxy: Arc<LiveProxy>) -> Answer {
    match proxy.front.doors.phase() {
        Phase::Closed => {
            Answer::message(severity::NOTICE, "Frontend was previously shut down, cannot disable.")
        }
        Phase::Paused => Answer::message(severity::NOTICE, "All sockets are already disabled."),
        Phase::Open => match call.live().pause_frontend(index) {
            Ok(notices) => {
                call.admin.report(&notices);
                Answer::Done
            }
            Err(_) => Answer::error("Failed to pause frontend, check logs for precise cause."),
        },
    }
}

fn enable(call: &mut Call<'_>, index: ProxyIndex, proxy: Arc<LiveProxy>) -> Answer {
    match proxy.front.doors.phase() {
        Phase::Closed => Answer::error("Frontend was previously shut down, cannot enable."),
        Phase::Open => Answer::message(severity::NOTICE, "All sockets are already enabled."),
        Phase::Paused => match call.live().resume_frontend(index) {
            Ok(notices) => {
                call.admin.report(&notices);
                Answer::Done
            }
            Err(_) => {
                Answer::error("Failed to resume frontend, check logs for precise cause (port conflict?).")
            }
        },
    }
}

fn shutdown(call: &mut Call<'_>, index: ProxyIndex, proxy: Arc<LiveProxy>) -> Answer {
    if proxy.front.doors.phase() == Phase::Closed {
        return Answer::error("Frontend was already shut down.");
    }
    call.admin.report(&call.live().close_frontend(index));
    Answer::Done
}

fn set_maxconn(call: &mut Call<'_>, _: ProxyIndex, proxy: Arc<LiveProxy>) -> Answer {
    if !call.has(4) {
        return Answer::error("Integer value expected.");
    }
    let Ok(most) = usize::try_from(number(call.word(4))) else { return Answer::error("Value out of range.") };
    proxy.front.maxconn.store(most, Relaxed);
    call.live().process.limits.changed();
    Answer::Done
}

fn set_global_maxconn(call: &mut Call<'_>) -> Answer {
    if !call.has(3) {
        return Answer::error("Expects an integer value.");
    }
    let limits = &call.live().process.limits;
    match usize::try_from(number(call.word(3))) {
        Ok(most) if most <= limits.hard_maxconn() => {
            limits.set_maxconn(most);
            Answer::Done
        }
        _ => Answer::error("Value out of range."),
    }
}

const RATE_LIMITS: &str = "'set rate-limit' only supports :
   - 'connections global' to set the per-process maximum connection rate
   - 'sessions global' to set the per-process maximum session rate
   - 'ssl-sessions global' to set the per-process maximum SSL session rate
   - 'http-compression global' to set the per-process maximum compression speed in kB/s
";

fn set_rate_limit(call: &mut Call<'_>) -> Answer {
    let limits = &call.live().process.limits;
    let limit = match (call.word(2), call.word(3)) {
        ("connections", "global") => &limits.connections,
        ("sessions", "global") => &limits.sessions,
        ("http-compression", "global") => &limits.compression,
        ("ssl-sessions", "global") => &limits.ssl,
        _ => return Answer::error(RATE_LIMITS),
    };
    if !call.has(4) {
        return Answer::error("Expects an integer value.");
    }
    let Ok(most) = u32::try_from(number(call.word(4))) else { return Answer::error("Value out of range.") };
    // Kilobytes here, bytes everywhere else.
    let unit = if call.word(2) == "http-compression" { 1024 } else { 1 };
    limit.store(most.saturating_mul(unit), Relaxed);
    limits.changed();
    Answer::Done
}

/// The number that a word begins with, 0 if with none: what C makes of it, and HAProxy takes.
fn number(word: &str) -> i64 {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let end = word.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    word.get(..end).and_then(|n| n.parse().ok()).unwrap_or(0)
}
