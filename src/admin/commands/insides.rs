//! The process's insides: descriptors, memory, tasks, libraries, event sinks, what was said at the start.
//!
//! HAProxy's answers tell of its own structures; where weir has no such thing it says what it has instead, or that there
//! is none.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, Operator, User};
use crate::live::startup;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::rc::Rc;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("set profiling", Admin, "set profiling <what> {auto|on|off}", "switch profiling, which weir does not have", set_profiling),
    Command::new("show anon", Operator, "show anon", "tell whether answers are anonymized (never yet)", |_| Answer::info("Anonymized mode disabled")),
    Command::new("show dev", Operator, "show dev", "show what a report about a problem should tell", dev),
    Command::new("show fd", Operator, "show fd [num]", "list the open descriptors", descriptors),
    Command::new("show libs", Operator, "show libs", "list the loaded objects", libs),
    Command::new("show pools", User, "show pools", "show the memory in use", pools),
    Command::new("show profiling", Operator, "show profiling [<what>|<#lines>|byaddr]*", "tell that there is no profiling", profiling),
    Command::new("show startup-logs", Operator, "show startup-logs", "show what was said while the process started", |_| Answer::text(startup::said())),
    Command::new("show tasks", Operator, "show tasks", "count the tasks of each thread", tasks),
    Command::new("show trace", Operator, "show trace [<module>]", "list the sources of traces (weir has none yet)", show_trace),
    Command::new("trace", Admin, "trace [<module>|0] [cmd [args...]]", "manage traces (weir has no source of any yet)", trace),
];

fn profiling(_: &mut Call<'_>) -> Answer {
    Answer::text(
        "Per-task CPU profiling              : off           # not supported by weir\n\
         Memory usage profiling              : off           # not supported by weir\n",
    )
}

fn set_profiling(call: &mut Call<'_>) -> Answer {
    let (what, to) = (call.word(2), call.word(3));
    if !matches!(what, "tasks" | "memory") {
        return Answer::error("Expects either 'tasks' or 'memory'.");
    }
    match to {
        "off" => Answer::Done,
        "on" | "auto" => Answer::error(format!("Profiling of {what} is not supported by weir.")),
        _ if what == "tasks" => Answer::error("Expects 'on', 'auto', or 'off'."),
        _ => Answer::error("Expects either 'on' or 'off'."),
    }
}

fn show_trace(call: &mut Call<'_>) -> Answer {
    match call.has(2) {
        true => Answer::Message(severity::ERR, "No such trace source".to_owned()),
        false => Answer::text("Supported trace sources and states (.=stopped, w=waiting, R=running) :\n"),
    }
}

fn trace(call: &mut Call<'_>) -> Answer {
    match call.word(1) {
        "" => Answer::text(
            "Supported trace sources and states (.=stopped, w=waiting, R=running) :\n \
             [.] 0          : not a source, will immediately stop all traces\n",
        ),
        "0" => Answer::Message(severity::INFO, "All traces now stopped".to_owned()),
        _ => Answer::Message(severity::ERR, "No such trace source".to_owned()),
    }
}

/// One line a descriptor: its number and what it is.
fn descriptors(call: &mut Call<'_>) -> Answer {
    let wanted: Option<u32> = call.word(2).parse().ok();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").into_iter().flatten().flatten() {
        let number: Option<u32> = entry.file_name().to_str().and_then(|n| n.parse().ok());
        let (Some(number), Ok(target)) = (number, fs::read_link(entry.path())) else { continue };
        if wanted.is_none_or(|w| w == number) {
            found.insert(number, target);
        }
    }
    let mut text = String::new();
    for (number, target) in found {
        let _ = writeln!(text, "{number:>7} : {}", target.display());
    }
    Answer::text(text)
}

/// The objects mapped into the process and where.
fn libs(_: &mut Call<'_>) -> Answer {
    let mut objects: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in fs::read_to_string("/proc/self/maps").unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(path)) = (words.next(), words.nth(4).filter(|p| p.starts_with('/'))) else {
            continue;
        };
        let bounds = range.split_once('-').and_then(|(from, to)| {
            Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
        });
        if let Some((from, to)) = bounds {
            let object = objects.entry(path.to_owned()).or_insert((from, to));
            *object = (object.0.min(from), object.1.max(to));
        }
    }
    let mut text = String::new();
    for (path, (from, to)) in objects {
        let _ = writeln!(text, "{from:#014x}-{to:#014x} ({:#09x}) {path}", to - from);
    }
    Answer::text(text)
}

/// Buffers are each thread's own and not counted together: what the kernel counts is told.
fn pools(_: &mut Call<'_>) -> Answer {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    let (resident, data) = (bytes("VmRSS:"), bytes("VmData:"));
    Answer::text(format!(
        "Dumping pools usage: weir has no pools; this is the memory of the whole process.\n\
         Total: 0 pools, {data} bytes allocated, {resident} used.\n"
    ))
}

fn tasks(call: &mut Call<'_>) -> Answer {
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let mut counts = admin.live().process.sessions.task_counts().await;
            let threads = counts.len();
            counts.push(tokio::runtime::Handle::current().metrics().num_alive_tasks());
            let all: usize = counts.iter().sum();
            let mut text = format!("Running tasks: {all} ({threads} threads)\n");
            text.push_str("  function                     places     %    lat_tot   lat_avg\n");
            for (i, count) in counts.iter().enumerate() {
                let name = if i < threads { format!("worker-{}", i + 1) } else { "control".to_owned() };
                let percent = *count as f64 * 100.0 / all.max(1) as f64;
                let _ = writeln!(text, "  {name:<28} {count:>6} {percent:>5.1}          -         -");
            }
            console.write(text.as_bytes()).await
        })
    }))
}

fn dev(call: &mut Call<'_>) -> Answer {
    let live = call.live();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let command = fs::read("/proc/self/cmdline").unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    Answer::text(format!(
        "weir {}\n\nPlatform info\n  arch: {}\n  os: {} {}\n  threads: {}\n\nProcess info\n  pid: {}\n  cmdline: {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        kernel.trim(),
        live.threads,
        live.process.pid,
        command.trim(),
    ))
}
