//! The process: environment, threads.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::condition::VERSION;
use crate::config::model::global::Level::{Operator, User};
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

pub const TABLE: &[Command] = &[
    Command::new("show env", Operator, "show env [var]", "show the environment of the process", show_env),
    Command::new("show activity", User, "show activity", "what each thread does", show_activity),
    Command::new("show threads", User, "show threads", "the threads and their processor time", show_threads),
    Command::new(
        "show proc",
        User,
        "show proc [debug]",
        "the processes, as a master socket shows them",
        show_proc,
    ),
];

fn show_env(call: &mut Call<'_>) -> Answer {
    // HAProxy changes its own environment; a process with threads must not, so it is kept beside it.
    let config = &call.live().config;
    let known = config.environment.iter();
    let mut all: Vec<(Vec<u8>, Vec<u8>)> =
        known.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    let files: Vec<String> = config.files.iter().map(|f| f.display().to_string()).collect();
    let sockets: Vec<String> = call.admin.sockets.iter().map(|s| super::session::shown_address(s)).collect();
    let local = config.global.localpeer.as_deref().unwrap_or(&call.live().process.hostname);
    for (name, value) in [
        ("HAPROXY_STARTUP_VERSION", VERSION),
        ("HAPROXY_LOCALPEER", local),
        ("HAPROXY_CFGFILES", &files.join(";")),
        ("HAPROXY_CLI", &sockets.join(";")),
    ] {
        if !all.iter().any(|(known, _)| known == name.as_bytes()) {
            all.push((name.into(), value.into()));
        }
    }
    let only = call.word(2);
    let mut out = Vec::new();
    for (name, value) in all.iter().filter(|(name, _)| only.is_empty() || name == only.as_bytes()) {
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    if out.is_empty() && !only.is_empty() {
        return Answer::error("Variable not found");
    }
    Answer::Text(out)
}

/// One thread of this process as the kernel accounts for it.
#[derive(Debug, Default)]
struct Thread {
    name: String,
    id: u32,
    /// In nanoseconds; and times it gave the processor away, or had it taken.
    cpu: u64,
    voluntary: u64,
    involuntary: u64,
}

fn threads() -> Vec<Thread> {
    let mut all: Vec<Thread> = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let status = read("status");
            let number = |key: &str| {
                let line = status.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
                line.and_then(|l| l.trim().parse().ok()).unwrap_or(0)
            };
            Some(Thread {
                name: read("comm").trim().to_owned(),
                id: entry.file_name().to_str()?.parse().ok()?,
                cpu: read("schedstat").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0),
                voluntary: number("voluntary_ctxt_switches"),
                involuntary: number("nonvoluntary_ctxt_switches"),
            })
        })
        .collect();
    all.sort_by_key(|t| t.id);
    all
}

fn workers() -> Vec<Thread> {
    threads().into_iter().filter(|t| t.name.starts_with("worker-")).collect()
}

fn show_activity(call: &mut Call<'_>) -> Answer {
    let workers = workers();
    let mut out = String::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Commands run on a thread of their own.
    let _ = writeln!(out, "thread_id: 0 (1..{})", call.live().threads);
    let _ = writeln!(out, "date_now: {}.{:06}", now.as_secs(), now.subsec_micros());
    let mut line = |name: &str, of: fn(&Thread) -> u64| {
        let each: Vec<String> = workers.iter().map(|t| of(t).to_string()).collect();
        let total: u64 = workers.iter().map(of).sum();
        let _ = writeln!(out, "{name}: {total} [ {} ]", each.join(" "));
    };
    line("ctxsw", |t| t.voluntary + t.involuntary);
    line("ctxsw_forced", |t| t.involuntary);
    line("cpu_ms", |t| t.cpu / 1_000_000);
    Answer::text(out)
}

fn show_threads(_: &mut Call<'_>) -> Answer {
    let mut out = String::new();
    let own = threads();
    for (number, thread) in (1..).zip(own.iter().filter(|t| t.name.starts_with("worker-"))) {
        let _ =
            writeln!(out, "  Thread {number} : id={} name={} cpu_ns: {}", thread.id, thread.name, thread.cpu);
    }
    for thread in own.iter().filter(|t| !t.name.starts_with("worker-")) {
        let _ = writeln!(out, "  Other    : id={} name={} cpu_ns: {}", thread.id, thread.name, thread.cpu);
    }
    Answer::text(out)
}

/// One process is its own master and worker.
fn show_proc(call: &mut Call<'_>) -> Answer {
    let process = &call.live().process;
    let up = process.started.mono.elapsed().as_secs();
    let up = format!("{}d{:02}h{:02}m{:02}s", up / 86_400, up / 3600 % 24, up / 60 % 60, up % 60);
    let row = |kind: &str, reloads: &str| {
        format!("{:<15} {kind:<15} {reloads:<15} {up:<15} {VERSION:<15}\n", process.pid)
    };
    Answer::text(format!(
        "{:<15} {:<15} {:<15} {:<15} {:<15}\n{}# workers\n{}# programs\n",
        "#<PID>",
        "<type>",
        "<reloads>",
        "<uptime>",
        "<version>",
        row("master", "0 [failed: 0]"),
        row("worker", "0"),
    ))
}
