//! The process: binds everything first, limits itself, goes to the background, drops privileges, starts one thread per
//! worker, and stays on the main thread to listen to signals and run the checks.
//!
//! The order is the contract: nothing that can fail for a reason the administrator must hear comes after the fork, and no
//! thread is started before it.

mod accept;
pub mod back_door;
mod control;
mod duty;
mod gate;
mod limits;
mod listen;
pub mod master;
mod predecessor;
mod process;
mod reload;
mod services;
mod session;
mod states;
mod tracing;
mod trial;
mod worker;

use crate::config::Loaded;
use crate::config::model::Config;
use crate::config::model::global::Global;
use crate::live::{Generation, Process, startup, variables};
use crate::net::{raw, tls_counts};
use crate::{l4, logging, probe, stats, tasks, vrrp};
use gate::Room;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the command line says beside the configuration.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct Options {
    /// `-db`, `-d`: stay in the foreground whatever the configuration says.
    pub foreground: bool,
    /// `-D`
    pub daemon: bool,
    /// `-Ws`: tell systemd when ready.
    pub notify: bool,
    pub quiet: bool,
    /// `-n`
    pub maxconn: Option<usize>,
    /// `-N`
    pub proxy_maxconn: Option<usize>,
    /// `-m`, megabytes
    pub memory: Option<u64>,
    /// `-p`
    pub pidfile: Option<PathBuf>,
    /// `-sf` and `-st`: old processes to finish or to end once the new one listens.
    pub finish: Vec<i32>,
    pub terminate: Vec<i32>,
    /// `-x`: the administration socket of a process to take the listening sockets from.
    pub take_from: Option<PathBuf>,
    /// This is a worker, and there it talks to its master.
    pub channel: Option<Arc<master::Channel>>,
    /// `-dR`
    pub one_listener: bool,
    /// Reads the configuration again, for reloads.
    pub source: Option<Source>,
}

/// What a configuration was read to, with the messages that belong to it; or the messages alone.
pub type Read = Result<(Box<Loaded>, String), String>;

/// How the configuration is read.
#[derive(Clone)]
pub struct Source(pub Arc<dyn Fn() -> Read + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// What all threads share that serve a generation.
pub struct Shared {
    pub generation: Arc<Generation>,
    pub hub: Arc<logging::Hub>,
    /// The same for all generations.
    pub room: Arc<Room>,
    /// `-N`; 0: none.
    pub proxy_maxconn: usize,
}

/// The text of `stats-file`, read while it can still be reached. Without it the process starts all the same.
fn read_stats(global: &Global) -> Option<String> {
    let path = global.stats_file.as_deref()?;
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            say("WARNING", format!("config : Can't load stats file '{}': {error}.", path.display()));
            None
        }
    }
}

/// Prints a line in HAProxy's form.
pub fn say(level: &str, text: impl fmt::Display) {
    let line = line(level, text);
    eprint!("{line}");
    startup::keep_early(&line);
}

/// A line in HAProxy's form.
#[must_use]
pub fn line(level: &str, text: impl fmt::Display) -> String {
    let bracket = format!("[{level}]");
    format!("{bracket:<10} ({}) : {text}\n", std::process::id())
}

/// Runs the configuration until the process is told to stop.
#[must_use]
pub fn run(options: &Options, loaded: Loaded) -> ExitCode {
    match start(options, loaded.config) {
        Ok(code) => code,
        Err(problem) => {
            say("ALERT", problem);
            if let Some(master) = &options.channel {
                master.failed(&startup::said());
            }
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options, config: Config) -> Result<ExitCode, String> {
    logging::read_time_zone();
    let global = &config.global;
    let threads = process::thread_count(global);
    let startup = probe::Startup::take(&config);
    if let Some(error) = startup.ping_error() {
        say(
            "WARNING",
            format!(
                "'option ping-check' : cannot open an ICMP socket ({error}); see net.ipv4.ping_group_range."
            ),
        );
    }
    // Once a listener answers, whoever waits for that may send signals.
    raw::hold_signals();
    let mut old: Vec<i32> = options.finish.iter().chain(&options.terminate).copied().collect();
    let mut taken = match &options.take_from {
        Some(path) => listen::take(path)?,
        None => predecessor::sockets(&options.finish, &options.terminate, options.quiet),
    };
    if let Some(master) = &options.channel {
        let held = master.take();
        taken.extend(held.map_err(|e| format!("Failed to get the sockets from the master: {e}"))?);
    }
    let on_trial = options.channel.is_some() && master::Channel::is_on_trial();
    let succeeds = !old.is_empty() || (options.channel.is_some() && !on_trial);
    let mut there = listen::There { taken, old: &old, succeeds, ..listen::There::default() };
    let listeners = listen::open_all(&config, options, threads, &mut there)?;
    let mut taken = there.taken;
    // HAProxy goes on when it has an administration socket to listen on: servers are checked all the same. So does a node
    // that has virtual addresses to hold, or packets to forward.
    let idle = config.vrrp.routers.is_empty() && config.l4_services.is_empty();
    if !idle && on_trial {
        return Err("'reload --confirm' : the worker before keeps its virtual addresses and the forwarding of mode l4 until it is confirmed: reload a configuration with vrrp or mode l4 sections without it.".to_owned());
    }
    if listeners.count() == 0 && global.stats_sockets.is_empty() && idle {
        return Err(
            "[haproxy.main()] No enabled listener found (check for 'bind' directives) ! Exiting.".to_owned()
        );
    }
    let admin_sockets = listen::open_admin(&config, &[], &mut taken)?;
    let beside = listeners.count() + admin_sockets.len() + global.stats_maxconn;
    let maxconn = limits::apply(&config, options, beside, threads)?;
    // The master tells it to finish, once this one is ready.
    old.extend(options.channel.as_ref().and_then(|_| master::Channel::predecessor()));
    // What fails is to fail before the old process is told.
    let identity = process::Identity::find(global)?;
    let open_files = startup.open_files();
    let vrrp = vrrp::io::Prepared::open(&config, open_files, &old)?;
    let mut l4 = l4::io::Prepared::open(&config, &old)?;
    listeners.begin(&admin_sockets, &config, |_| false)?;
    listen::leave(taken, succeeds);
    process::signal_old(options);
    let pidfile = process::open_pidfile(options.pidfile.as_deref().or(global.pidfile.as_deref()))?;
    if process::goes_to_background(options, global) {
        if let Some(code) = process::split(pidfile)? {
            l4.into_iter().for_each(l4::io::Prepared::leave_to_child);
            return Ok(code);
        }
    } else {
        process::write_pid(pidfile, std::process::id());
    }
    if let Some(l4) = &mut l4 {
        l4.give_to(identity.uid());
    }
    let saved_stats = read_stats(global);
    process::confine(global, &identity, vrrp.is_some(), l4.is_some())?;
    let config = Arc::new(config);
    let process = Arc::new(Process::new(std::process::id(), process::hostname(), threads, maxconn));
    process.limits.connections.store(config.global.maxconnrate, Relaxed);
    process.limits.sessions.store(config.global.maxsessrate, Relaxed);
    process.limits.ssl.store(config.global.maxsslrate, Relaxed);
    tls_counts::limit(config.global.maxsslconn);
    variables::limit(&config.global.tune.vars);
    process.rings.open(&config.rings);
    tasks::profile::switch(config.global.profiling_tasks);
    let hub = logging::Hub::new(Arc::clone(&process), &config.global);
    let generation = Arc::new(Generation::build(Arc::clone(&config), process, threads, None));
    generation.process.current.set(&generation);
    variables::adopt(&[], &generation.config.global.variables, &generation);
    for line in states::apply(&generation.config.states, &generation) {
        say("WARNING", format!("config : {line}"));
    }
    for line in saved_stats.iter().flat_map(|text| stats::file::preload(&generation, text)) {
        say("WARNING", format!("config : {line}"));
    }
    let shared = Arc::new(Shared {
        generation,
        hub,
        room: Arc::default(),
        proxy_maxconn: options.proxy_maxconn.unwrap_or(0),
    });
    reload::adopt(&shared.generation, &listeners);
    let kept = options.channel.as_ref().map(|_| listen::keep(&listeners, &admin_sockets));
    let workers = worker::Workers::start(&shared, listeners)?;
    match (&options.channel, kept) {
        (Some(master), Some(kept)) => {
            let told = master.ready(&kept, &startup::said(), shared.generation.config.global.most_reloads);
            told.map_err(|e| format!("the master does not listen: {e}"))?;
        }
        _ if options.notify => process::notify_ready(),
        _ => {}
    }
    control::run(shared, workers, admin_sockets, options, startup, duty::Networks { vrrp, l4, open_files })
}
