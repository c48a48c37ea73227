//! What checks need and the process cannot get once it has raised its limits and dropped its privileges.

use super::ping::{Pinger, Sockets};
use crate::config::model::probes::ExternalChecks;
use crate::config::model::{CheckKind, Config};
use crate::net::raw;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Taken at the process's start, before anything changes.
#[derive(Debug)]
pub struct Startup {
    /// `None`: nobody pings.
    sockets: Option<Sockets>,
    /// Soft and hard limit of open files.
    open_files: Option<(u64, u64)>,
}

impl Startup {
    #[must_use]
    pub fn take(config: &Config) -> Self {
        // What this process inherited is not for the programs it starts. An older kernel leaves that to its parent.
        let _old_kernel = raw::close_on_exec();
        Self { sockets: pings(config).then(Sockets::open), open_files: raw::nofile_limit().ok() }
    }

    /// Soft and hard limit of open files, for programs that are started.
    #[must_use]
    pub fn open_files(&self) -> Option<(u64, u64)> {
        self.open_files
    }

    /// Why `option ping-check` cannot work.
    #[must_use]
    pub fn ping_error(&self) -> Option<&io::Error> {
        self.sockets.as_ref().and_then(Sockets::error)
    }
}

fn pings(config: &Config) -> bool {
    let mut backends = config.proxies.iter().filter_map(|p| p.back.as_ref());
    backends.any(|b| {
        let own = b.servers.iter().filter_map(|s| s.check.as_ref()?.kind.as_ref());
        own.chain([&b.check]).any(|k| matches!(k, CheckKind::Ping))
    })
}

/// The same in the control thread, as the checks use it.
#[derive(Debug)]
pub struct Means {
    pub pinger: Option<Rc<Pinger>>,
    pub open_files: Option<(u64, u64)>,
    /// What programs see of our environment; `None`: nothing.
    pub environment: Option<Arc<[(String, String)]>>,
    /// `insecure-fork-wanted`, or root, whom no such rule binds.
    pub may_fork: bool,
}

impl Means {
    /// Inside the control thread's runtime.
    #[must_use]
    pub fn new(startup: Startup, config: &Config) -> Self {
        let pinger = startup.sockets.map(|s| Rc::new(Pinger::new(s)));
        Self::of(pinger, startup.open_files, config)
    }

    /// For a configuration that takes the place of the first.
    #[must_use]
    pub fn again(&self, config: &Config) -> Self {
        let opened = || pings(config).then(|| Rc::new(Pinger::new(Sockets::open())));
        Self::of(self.pinger.clone().or_else(opened), self.open_files, config)
    }

    fn of(pinger: Option<Rc<Pinger>>, open_files: Option<(u64, u64)>, config: &Config) -> Self {
        let environment = match &config.global.external_check {
            ExternalChecks::WithEnvironment(kept) => Some(Arc::clone(kept)),
            _ => None,
        };
        let may_fork = config.global.insecure_fork_wanted || raw::effective_uid() == 0;
        Self { pinger, open_files, environment, may_fork }
    }
}
