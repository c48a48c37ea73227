//! The process's insides: descriptors, memory, tasks, libraries, event sinks, what was said at the start.
//!
//! HAProxy's answers tell of its own structures; where weir has no such thing it says what it has instead, or that there
//! is none.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, Operator, User};
use crate::live::startup;
use crate::tasks::{self, profile};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("set profiling", Admin, "set profiling <what> {auto|on|off}", "measure what the tasks cost, or no longer; memory is never measured", set_profiling),
    Command::new("show dev", Operator, "show dev", "show what a report about a problem should tell", dev),
    Command::new("show fd", Operator, "show fd [num]", "list the open descriptors", descriptors),
    Command::new("show libs", Operator, "show libs", "list the loaded objects", libs),
    Command::new("show pools", User, "show pools", "show the memory in use", pools),
    Command::new("show profiling", Operator, "show profiling [<what>|<#lines>|byaddr]*", "what the tasks have cost since profiling was switched on", profiling),
    Command::new("show startup-logs", Operator, "show startup-logs", "show what was said while the process started", |_| Answer::text(startup::said())),
    Command::new("show tasks", Operator, "show tasks", "count the tasks of each thread", show_tasks),
];

const EXPECTED: &str =
    "Expects either 'all', 'status', 'tasks', 'memory', 'byaddr' or a max number of output lines.";

fn profiling(call: &mut Call<'_>) -> Answer {
    let (mut status, mut tasks, mut lines) = (true, true, usize::MAX);
    for word in call.words.iter().skip(2) {
        match word.as_str() {
            "all" => (status, tasks) = (true, true),
            "status" => (status, tasks) = (true, false),
            "tasks" => (status, tasks) = (false, true),
            "memory" => (status, tasks) = (false, false),
            // Sorted by address: tasks have names here.
            "byaddr" => {}
            number => match number.parse() {
                Ok(most) => lines = most,
                Err(_) => return Answer::error(EXPECTED),
            },
        }
    }
    let mut text = String::new();
    if status {
        let now = if profile::is_on() { "on" } else { "off" };
        let _ = write!(
            text,
            "Per-task CPU profiling              : {now:<14}# set profiling tasks {{on|auto|off}}\n\
             Memory usage profiling              : off           # set profiling memory {{on|off}}\n"
        );
    }
    if tasks {
        text.push_str("Tasks activity:\n  function                      calls   cpu_tot   cpu_avg   lat_tot   lat_avg\n");
        for (name, cost) in profile::read().into_iter().take(lines) {
            let average = cost.time / u32::try_from(cost.calls).unwrap_or(u32::MAX).max(1);
            // How long a task waited for its turn is not known.
            let (name, all, each) = (name.replace(' ', "_"), short(cost.time), short(average));
            let _ = writeln!(text, "  {name:<28} {:>6}{all:>10}{each:>10}{:>10}{:>10}", cost.calls, "-", "-");
        }
    }
    Answer::text(text)
}

/// Four digits and a unit, as HAProxy shortens times.
fn short(time: Duration) -> String {
    let ns = time.as_nanos() as f64;
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "us"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns if ns < 60e9 => (ns / 1e9, "s"),
        ns => (ns / 60e9, "m"),
    };
    let decimals = if value < 10.0 {
        3
    } else if value < 100.0 {
        2
    } else {
        1
    };
    format!("{value:.decimals$}{unit}")
}

fn set_profiling(call: &mut Call<'_>) -> Answer {
    match (call.word(2), call.word(3)) {
        ("tasks", to @ ("on" | "off")) => {
            profile::switch(to == "on");
            Answer::Done
        }
        ("tasks", "auto") => Answer::error("weir does not switch profiling on by itself: say 'on' or 'off'."),
        ("tasks", _) => Answer::error("Expects 'on', 'auto', or 'off'."),
        ("memory", "off") => Answer::Done,
        // HAProxy's words where it was built without.
        ("memory", _) => Answer::error("Memory profiling not compiled in."),
        _ => Answer::error("Expects either 'tasks' or 'memory'."),
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

fn show_tasks(call: &mut Call<'_>) -> Answer {
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let mut counts = admin.live().process.sessions.task_counts().await;
            // There is room for more threads than there are; those of an earlier configuration may be at work still.
            let busy = counts.iter().rposition(|n| *n > 0).map_or(0, |last| last + 1);
            counts.truncate(admin.live().threads.max(busy));
            let threads = counts.len();
            counts.push(tasks::here());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_four_digits() {
        let times = [850, 5_858, 119_800, 33_640_000, 1_500_000_000, 600_000_000_000]
            .map(|ns| short(Duration::from_nanos(ns)));
        assert_eq!(times, ["850.0ns", "5.858us", "119.8us", "33.64ms", "1.500s", "10.00m"]);
    }
}
