//! A reload inside the process: another generation takes over from the one that runs.
//!
//! Everything that can fail comes first: the whole configuration is read, and new addresses are bound. Only then threads
//! and services change over, one after another, while the listening sockets that stay are never closed.

use super::duty::{self, Duty};
use super::services::Services;
use super::worker::Workers;
use super::{Options, Read, Shared, limits, line, listen, process, say};
use crate::config::model::{Config, Global, Proxy};
use crate::live::doors::Phase;
use crate::live::reload::Outcome;
use crate::live::{Generation, MAX_THREADS, Stage, startup, variables};
use crate::logging::{self, level};
use crate::net::{Listener, tls_counts};
use crate::tasks;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Reads the configuration again, away from this thread: names may have to be resolved.
pub async fn read(options: &Options) -> Read {
    let Some(source) = options.source.clone() else {
        return Err("this process was not started from files: there is nothing to read again\n".to_owned());
    };
    let ended = || Err("the process is ending\n".to_owned());
    tasks::blocking(move || (source.0)()).await.unwrap_or_else(ended)
}

/// The process as a reload changes it.
pub struct Running<'a> {
    pub shared: &'a mut Arc<Shared>,
    pub workers: &'a mut Workers,
    pub services: &'a mut Services,
    pub duty: &'a mut Duty,
    pub options: &'a Options,
}

/// All that a configuration needs and that may fail.
struct Prepared {
    listeners: listen::Listeners,
    sockets: Vec<crate::admin::listen::Bound>,
    /// The listeners of now.
    before: Vec<Arc<Listener>>,
    maxconn: usize,
    network: duty::Change,
}

impl Running<'_> {
    /// Goes over to what was read, or stays.
    pub async fn change(&mut self, read: Read) -> Outcome {
        let done = match read {
            Ok((loaded, messages)) => {
                self.take_over(Arc::new(loaded.config)).await.map(|more| messages + &more)
            }
            Err(messages) => Err(messages),
        };
        let outcome = match done {
            Ok(messages) => Outcome::new(true, messages),
            Err(messages) => Outcome::new(false, messages),
        };
        self.tell(&outcome);
        outcome
    }

    /// Goes back to a configuration that has run before.
    pub async fn go_back(&mut self, config: Arc<Config>, why: &str) -> Outcome {
        let back = self.take_over(config).await;
        let generation = Arc::clone(&self.shared.generation);
        let number = generation.number;
        let (success, said, end) = match back {
            Ok(said) => (
                true,
                said,
                format!("Reload rolled back ({why}): generation {number} has the configuration of before."),
            ),
            Err(problem) => (
                false,
                problem,
                format!("The reload cannot be rolled back ({why}): generation {number} goes on."),
            ),
        };
        let text = said + &line("ALERT", end);
        // Either way the files are not what was wanted.
        generation.process.reloads.note(&Outcome::new(false, text.clone()));
        startup::replace(&text);
        eprint!("{text}");
        log(self.services, level::ALERT, text.lines());
        Outcome::new(success, text)
    }

    async fn take_over(&mut self, config: Arc<Config>) -> Result<String, String> {
        let old = Arc::clone(&self.shared.generation);
        refuse(&old.config, &config)?;
        let threads = process::thread_count(&config.global).min(MAX_THREADS);
        let prepared = self.prepare(&old, &config, threads).await;
        let Prepared { listeners, sockets, before, maxconn, network } =
            prepared.map_err(|problem| line("ALERT", problem))?;
        if let Err(problem) = listeners.begin(&sockets, &config, |proxy| is_paused(&old, proxy)) {
            network.undo();
            return Err(line("ALERT", problem));
        }
        let mut said = later(&old.config.global, &config.global);

        // Nothing fails from here on but for want of memory or threads.
        let process = Arc::clone(&old.process);
        change_limits(&old.config.global, &config.global, &old, maxconn);
        process.rings.open(&config.rings);
        if old.config.global.profiling_tasks != config.global.profiling_tasks {
            tasks::profile::switch(config.global.profiling_tasks);
        }
        process.heartbeats.set_workers(threads);
        let hub = logging::Hub::new(Arc::clone(&process), &config.global);
        let generation = Arc::new(Generation::build(config, process, threads, Some(&old)));
        adopt(&generation, &listeners);
        variables::adopt(&old.config.global.variables, &generation.config.global.variables, &generation);
        let shared = Arc::new(Shared {
            generation: Arc::clone(&generation),
            hub,
            room: Arc::clone(&self.shared.room),
            proxy_maxconn: self.shared.proxy_maxconn,
        });
        let begun = match self.workers.assign(&shared, listeners) {
            Ok(begun) => begun,
            Err(problem) => {
                network.undo();
                return Err(problem);
            }
        };
        for told in begun {
            let _ = told.await;
        }
        Listener::hide(&before);
        drop(before);
        old.enter_stage(Stage::Replaced);
        generation.process.current.set(&generation);
        forget(&old, &generation);
        if let Err(error) = self.services.replace(&shared, sockets) {
            let _ = writeln!(said, "administration sockets: {error}");
        }
        *self.shared = shared;
        generation.process.l4.changed.notify_one();
        self.duty.change(network, &generation).await;
        Ok(said)
    }

    /// Binds what is not bound yet.
    async fn prepare(
        &self,
        old: &Generation,
        config: &Arc<Config>,
        threads: usize,
    ) -> Result<Prepared, String> {
        let before: Vec<_> = old.proxies.iter().flat_map(|p| p.front.doors.listeners()).collect();
        let mut there = listen::There { before: before.clone(), ..listen::There::default() };
        let listeners = listen::open_all(config, self.options, threads, &mut there)?;
        let sockets = listen::open_admin(config, &self.services.sockets, &mut Vec::new())?;
        let beside = listeners.count() + sockets.len() + config.global.stats_maxconn;
        let maxconn = limits::apply(config, self.options, beside, threads)?;
        // Last: what has begun is not to be undone.
        let network = self.duty.prepare(&old.config, config).await?;
        Ok(Prepared { listeners, sockets, before, maxconn, network })
    }

    /// On standard error, in the log, and for whoever looks later.
    fn tell(&self, outcome: &Outcome) {
        let generation = &self.shared.generation;
        generation.process.reloads.note(outcome);
        startup::replace(&outcome.messages);
        eprint!("{}", outcome.messages);
        let (word, level, text) = match outcome.success {
            true => ("NOTICE", level::NOTICE, format!("Reloaded: this is generation {}.", generation.number)),
            false => (
                "ALERT",
                level::ALERT,
                "Reload failed: the configuration was refused; the one before it goes on.".to_owned(),
            ),
        };
        if !self.options.quiet || !outcome.success {
            say(word, &text);
        }
        log(self.services, level, [text.as_str()]);
        if !outcome.success {
            log(self.services, level, outcome.messages.lines().filter(|l| l.starts_with('[')));
        }
    }
}

/// Nothing will be rolled back any more.
pub fn confirmed(services: &Services) -> Outcome {
    let text = line("NOTICE", "the reload is confirmed.");
    eprint!("{text}");
    log(services, level::NOTICE, text.lines());
    Outcome::new(true, text)
}

fn log<'l>(services: &Services, level: u8, lines: impl IntoIterator<Item = &'l str>) {
    let admin = services.admin();
    for line in lines {
        services.log.emit(&admin.live().config.global.log, level, None, b"", line.as_bytes());
    }
}

/// What only a new process can do.
fn refuse(old: &Config, new: &Config) -> Result<(), String> {
    let line = |text: String| Err(format!("[ALERT]    ({}) : reload : {text}\n", std::process::id()));
    if let Some(root) = &old.global.chroot {
        return line(format!(
            "this process has its root in {} and cannot read its configuration any more: reload by its master (-W), or start a new process with -sf {}",
            root.display(),
            std::process::id()
        ));
    }
    let listens =
        new.proxies.iter().any(|p| !p.disabled && p.front.as_ref().is_some_and(|f| !f.binds.is_empty()));
    if !listens
        && new.global.stats_sockets.is_empty()
        && new.vrrp.routers.is_empty()
        && new.l4_services.is_empty()
    {
        return line("no enabled listener found (check for 'bind' directives)".to_owned());
    }
    Ok(())
}

/// Says what has changed and waits for a new process.
fn later(old: &Global, new: &Global) -> String {
    let mut said = String::new();
    let mut look = |name: &str, changed: bool| {
        if changed {
            let _ = writeln!(
                said,
                "[WARNING]  ({}) : reload : '{name}' has changed: it takes effect with a new process.",
                std::process::id()
            );
        }
    };
    look("user", old.user != new.user || old.uid != new.uid);
    look("group", old.group != new.group || old.gid != new.gid);
    look("chroot", old.chroot != new.chroot);
    look("daemon", old.daemon != new.daemon);
    look("pidfile", old.pidfile != new.pidfile);
    look("master-worker", old.master_worker != new.master_worker);
    look("localpeer", old.localpeer != new.localpeer);
    look("setcap", old.capabilities != new.capabilities);
    look("l4-sync", old.l4.sync != new.l4.sync);
    // Servers and counters have states of their own by now.
    look("server-state-file", old.server_state_file != new.server_state_file);
    look("server-state-base", old.server_state_base != new.server_state_base);
    look("stats-file", old.stats_file != new.stats_file);
    said
}

/// What commands have set stays as long as the configuration says what it said before.
fn change_limits(old: &Global, new: &Global, generation: &Generation, maxconn: usize) {
    let limits = &generation.process.limits;
    if limits.hard_maxconn() != maxconn {
        limits.set_hard_maxconn(maxconn);
    }
    for (old, new, limit) in [
        (old.maxconnrate, new.maxconnrate, &limits.connections),
        (old.maxsessrate, new.maxsessrate, &limits.sessions),
        (old.maxsslrate, new.maxsslrate, &limits.ssl),
    ] {
        if old != new {
            limit.store(new, Relaxed);
        }
    }
    tls_counts::limit(new.maxsslconn);
    variables::limit(&new.tune.vars);
    limits.changed();
}

fn is_paused(old: &Generation, proxy: &Proxy) -> bool {
    let front = old.proxies.iter().find(|p| p.conf.front.is_some() && p.conf.name == proxy.name);
    front.is_some_and(|p| p.front.doors.phase() == Phase::Paused)
}

/// Tells the frontends their listeners.
pub fn adopt(generation: &Generation, listeners: &listen::Listeners) {
    for proxy in &generation.proxies {
        let of_it = listeners.lasting().filter(|b| b.proxy == proxy.index);
        proxy.front.doors.replace(of_it.map(|b| Arc::clone(&b.listener)).collect());
    }
}

/// Frontends that are gone lose their listeners, and unix sockets that nobody serves any more their names.
fn forget(old: &Generation, new: &Generation) {
    for proxy in &old.proxies {
        if !new.proxies.iter().any(|p| Arc::ptr_eq(&p.front, &proxy.front)) {
            proxy.front.doors.replace(Vec::new());
        }
    }
    let kept = listen::unix_paths(&new.config);
    for path in listen::unix_paths(&old.config).iter().filter(|p| !kept.contains(p)) {
        let _ = std::fs::remove_file(path);
    }
}
