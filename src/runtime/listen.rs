//! Every listening socket of the configuration, bound before anything else is done.

use super::master::Kept;
use super::{Options, say};
use crate::admin;
use crate::config::identity;
use crate::config::model::{Address, Bind, Config, Proxy};
use crate::ids::ProxyIndex;
use crate::live::Generation;
use crate::net::Listener;
use crate::net::handoff::{self, Taken};
use crate::net::listener::{BindError, Setting};
use crate::net::raw;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A listener and the proxy it belongs to; `group` is the same for the sockets of one `bind` line.
pub struct Bound {
    pub listener: Arc<Listener>,
    pub proxy: ProxyIndex,
    pub group: usize,
}

/// Per thread, what it accepts on.
pub struct Listeners {
    pub threads: Vec<Vec<Bound>>,
}

impl Listeners {
    pub fn count(&self) -> usize {
        self.threads.iter().map(Vec::len).sum()
    }

    /// Those that clients find, once all have begun.
    pub fn lasting(&self) -> impl Iterator<Item = &Bound> {
        self.threads.iter().flatten().filter(|b| !b.listener.is_leaving())
    }

    /// All of them, and the administration sockets, begin; or none of them does. Those of proxies that are paused wait.
    pub fn begin(
        &self,
        admin: &[admin::listen::Bound],
        config: &Config,
        paused: impl Fn(&Proxy) -> bool,
    ) -> Result<(), String> {
        let proxies = self.threads.iter().flatten().map(|b| (config.proxies.get(b.proxy.get()), &b.listener));
        for (proxy, listener) in proxies.chain(admin.iter().map(|b| (None, &b.listener))) {
            let Err(error) = listener.begin(proxy.is_some_and(|p| paused(p))) else { continue };
            say("ALERT", sentence(proxy, listener.bind.place.as_ref(), &error));
            self.undo(admin);
            return Err(FAILED.to_owned());
        }
        let leaving = self.threads.iter().flatten().filter(|b| b.listener.is_leaving());
        Listener::hide(leaving.map(|b| &b.listener));
        Ok(())
    }

    /// It does not come to it.
    pub fn undo(&self, admin: &[admin::listen::Bound]) {
        let all = self.threads.iter().flatten().map(|b| &b.listener);
        all.chain(admin.iter().map(|b| &b.listener)).for_each(|l| l.undo());
    }
}

const FAILED: &str = "[haproxy.main()] Some protocols failed to start their listeners! Exiting.";

/// What is there already.
#[derive(Default)]
pub struct There<'a> {
    /// What this process listens on goes on: the same socket, with all who wait in it.
    pub before: Vec<Arc<Listener>>,
    /// So does what another process listened on.
    pub taken: Vec<Taken>,
    /// Processes to ask for an address that is in use.
    pub old: &'a [i32],
    /// The process whose sockets they are ends once this one is ready.
    pub succeeds: bool,
}

/// Binds everything, for [`Listeners::begin`]; all failures are printed before the one that ends the start.
/// Sockets of other processes that this configuration has no use for are left in `there`.
pub fn open_all(
    config: &Config,
    options: &Options,
    threads: usize,
    there: &mut There<'_>,
) -> Result<Listeners, String> {
    let mut before = by_socket(std::mem::take(&mut there.before));
    // A process whose sockets go on here must not close them, not even for a while.
    let old = if there.taken.is_empty() { there.old } else { &[] };
    let mut all = Listeners { threads: (0..threads).map(|_| Vec::new()).collect() };
    let mut failed = false;
    let mut lines = Vec::new();
    let virtuals = config.vrrp.addresses();
    for (index, proxy) in (0..).map(ProxyIndex).zip(&config.proxies) {
        let Some(front) = proxy.front.as_ref().filter(|_| !proxy.disabled) else { continue };
        let backlog = front.backlog.unwrap_or_else(|| backlog(config, options, front.maxconn));
        let setting = Setting {
            backlog,
            keepalive: proxy.client_keep_alive(),
            answers_at_once: proxy.answers_at_once(),
            tune: &config.global.tune,
            shared: options.one_listener,
            virtuals: &virtuals,
        };
        for bind in &front.binds {
            let group = lines.len();
            lines.push((index, bind, setting));
            let wanted: Vec<usize> =
                (0..threads).filter(|t| bind.threads.is_empty() || bind.threads.contains(&(t + 1))).collect();
            let wanted = if wanted.is_empty() { (0..threads).collect() } else { wanted };
            let mut same = before.remove(&identity::socket(bind)).unwrap_or_default();
            let mine = there.taken.extract_if(.., |t| t.is_for(bind));
            same.extend(mine.map(|t| Arc::new(Listener::take_over(t.socket, bind, setting))));
            match open_line(bind, setting, wanted.len(), &same, old) {
                Ok(listeners) => {
                    // After a reload to fewer threads some accept from several.
                    for (listener, thread) in listeners.into_iter().zip(wanted.into_iter().cycle()) {
                        if let Some(place) = all.threads.get_mut(thread) {
                            place.push(Bound { listener: Arc::new(listener), proxy: index, group });
                        }
                    }
                }
                Err(error) => {
                    failed = true;
                    say("ALERT", sentence(Some(proxy), bind.place.as_ref(), &error));
                }
            }
        }
    }
    for (group, (proxy, bind, setting)) in lines.into_iter().enumerate().filter(|_| there.succeeds) {
        let left = there.taken.extract_if(.., |t| t.is_at(bind) && t.can_be_left());
        let leaving = left.map(|t| Arc::new(Listener::take_leaving(t.socket, bind, setting)));
        if let Some(thread) = all.threads.first_mut() {
            thread.extend(leaving.map(|listener| Bound { listener, proxy, group }));
        }
    }
    if failed { Err(FAILED.to_owned()) } else { Ok(all) }
}

/// Listeners by what their sockets are made of.
fn by_socket(listeners: Vec<Arc<Listener>>) -> HashMap<String, Vec<Arc<Listener>>> {
    let mut all: HashMap<String, Vec<Arc<Listener>>> = HashMap::new();
    for listener in listeners {
        all.entry(identity::socket(&listener.bind)).or_default().push(listener);
    }
    all
}

/// `-x`: asks an old process for its sockets.
pub fn take(path: &Path) -> Result<Vec<Taken>, String> {
    handoff::take(path).map_err(|error| {
        say(
            "WARNING",
            format!("Failed to get the sockets of the old process at '{}': {error}", path.display()),
        );
        "Failed to get the sockets from the old process!".to_owned()
    })
}

/// The sockets of one line for `count` threads, going on with those there are. None of them is closed: it would take with it
/// who waits in it.
fn open_line(
    bind: &Arc<Bind>,
    setting: Setting<'_>,
    count: usize,
    before: &[Arc<Listener>],
    old: &[i32],
) -> Result<Vec<Listener>, BindError> {
    let Some(first) = before.first() else {
        return open(|| Listener::open(bind, setting, count), old);
    };
    let again = |listener: &Listener| {
        let failed =
            |error| BindError { step: "cannot go on with the socket", error, address: Listener::name(bind) };
        listener.again(bind, setting).map_err(failed)
    };
    let mut all: Vec<Listener> = before.iter().map(|l| again(l)).collect::<Result<_, _>>()?;
    let missing = count.saturating_sub(all.len());
    let separate = matches!(bind.address, Address::Inet(_)) && !setting.shared;
    // Without the privileges of the start a further socket may be out of reach: then threads share one.
    match Some(missing).filter(|n| *n > 0 && separate).map(|n| Listener::open(bind, setting, n)) {
        Some(Ok(more)) => all.extend(more),
        _ => {
            for _ in 0..missing {
                all.push(again(first)?);
            }
        }
    }
    Ok(all)
}

/// Binds the administration sockets; all failures are printed before the one that ends the start.
pub fn open_admin(
    config: &Config,
    before: &[admin::listen::Bound],
    taken: &mut Vec<Taken>,
) -> Result<Vec<admin::listen::Bound>, String> {
    let mut bound = Vec::new();
    let mut failed = false;
    for socket in &config.global.stats_sockets {
        match admin::listen::open(config, socket, before, taken) {
            Ok(one) => bound.extend(one),
            Err(error) => {
                failed = true;
                say("ALERT", sentence(None, socket.bind.place.as_ref(), &error));
            }
        }
    }
    if failed {
        return Err(FAILED.to_owned());
    }
    Ok(bound)
}

/// What the kernel may keep waiting when nobody says: as many as the frontend may serve, as HAProxy asks for.
fn backlog(config: &Config, options: &Options, maxconn: usize) -> u32 {
    let most = options.maxconn.or(config.global.maxconn).unwrap_or(4096);
    u32::try_from(if maxconn == 0 { most } else { maxconn }).unwrap_or(u32::MAX).max(128)
}

/// Of a proxy, or of an administration socket.
fn sentence(
    proxy: Option<&Arc<Proxy>>,
    place: Option<&crate::config::raw::Place>,
    error: &BindError,
) -> String {
    let (kind, name) = proxy.map_or(("frontend", "GLOBAL"), |p| (p.kind_name(), &p.name));
    let place = place.map_or_else(String::new, |p| format!(" (bind at {}:{})", p.file, p.line));
    format!("Starting {kind} {name}: {error}{place}")
}

/// With old processes to replace, an address in use is worth waiting for: they are asked to let go of it.
fn open<T>(mut bind: impl FnMut() -> Result<T, BindError>, old: &[i32]) -> Result<T, BindError> {
    let mut result = bind();
    if old.is_empty() {
        return result;
    }
    for attempt in 0..100 {
        match &result {
            Err(e) if e.error.raw_os_error() == Some(libc::EADDRINUSE) => {}
            _ => return result,
        }
        if attempt == 0 {
            for &pid in old {
                let _gone_already = raw::kill(pid, libc::SIGTTOU);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
        result = bind();
    }
    for &pid in old {
        let _gone_already = raw::kill(pid, libc::SIGTTIN);
    }
    result
}

/// What this configuration does not listen on. Where the process before ends it takes in who has begun to connect.
pub fn leave(rest: Vec<Taken>, succeeds: bool) {
    if succeeds {
        handoff::hide(&rest);
    }
    drop(rest);
}

/// A copy of every socket, for the master to hold.
pub fn keep(listeners: &Listeners, admin: &[admin::listen::Bound]) -> Vec<Kept> {
    let all = listeners.lasting().map(|b| &b.listener);
    let all = all.chain(admin.iter().map(|b| &b.listener)).map(Arc::clone).collect();
    let copy = |l: Arc<Listener>| {
        let socket = l.as_fd().try_clone_to_owned().ok()?;
        l.give_away();
        Some(Kept { description: handoff::describe(&l.bind), socket })
    };
    handoff::distinct(all).into_iter().filter_map(copy).collect()
}

/// The process ends at once: clients are not to find unix sockets that nobody listens on.
pub fn remove_files(generation: &Generation, admin: &[admin::listen::Bound]) {
    generation.proxies.iter().flat_map(|p| p.front.doors.listeners()).for_each(|l| l.remove_file());
    admin.iter().for_each(|b| b.listener.remove_file());
}

/// The paths of unix sockets.
pub fn unix_paths(config: &Config) -> Vec<std::path::PathBuf> {
    let binds = config.proxies.iter().filter_map(|p| p.front.as_ref()).flat_map(|f| &f.binds);
    let admin = config.global.stats_sockets.iter().map(|s| &s.bind);
    binds
        .chain(admin)
        .filter_map(|b| match &b.address {
            Address::Unix(path) => Some(path.clone()),
            _ => None,
        })
        .collect()
}
