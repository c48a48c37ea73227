//! Identity of the process: user, directory, background, pid file.

use super::{Options, say};
use crate::config::model::Global;
use crate::config::model::global::Capability;
use crate::net::raw::{self, Forked};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// `nbthread`, else one per CPU this process may use.
pub fn thread_count(global: &Global) -> usize {
    match global.nbthread {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(64),
        n => n,
    }
}

pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |h| h.trim().to_owned())
}

/// Who the process is to become; looked up before the chroot hides the system's database.
#[derive(Debug, Default)]
pub struct Identity {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Identity {
    /// Who the process becomes, if it changes.
    pub fn uid(&self) -> Option<u32> {
        self.uid
    }

    pub fn find(global: &Global) -> Result<Self, String> {
        let mut identity = Self { uid: global.uid.filter(|u| *u != 0), gid: global.gid.filter(|g| *g != 0) };
        if let Some(user) = &global.user {
            let (uid, _) =
                raw::user_ids(user).ok_or_else(|| format!("config : cannot find user id for '{user}'"))?;
            identity.uid = Some(uid);
        }
        if let Some(group) = &global.group {
            let gid =
                raw::group_id(group).ok_or_else(|| format!("config : cannot find group id for '{group}'"))?;
            identity.gid = Some(gid);
        }
        Ok(identity)
    }
}

/// chroot, then group before user: the other way round the right to change the group would be gone.
/// `keeps_network`: what holds virtual addresses keeps the capabilities for it, and no other.
pub fn confine(global: &Global, identity: &Identity, routes: bool, forwards: bool) -> Result<(), String> {
    if global.dumpable {
        lift_dump_limits().unwrap_or_else(without_dumps);
    }
    if let Some(root) = &global.chroot {
        raw::chroot(root).map_err(|_| format!("[haproxy.main()] Cannot chroot({}).", root.display()))?;
    }
    let is_root = raw::effective_uid() == 0;
    if let Some(gid) = identity.gid {
        if is_root && raw::set_groups(&[]).is_err() {
            say(
                "WARNING",
                "[haproxy.main()] Failed to drop supplementary groups. Using 'gid'/'group' without 'uid'/'user' is generally useless.",
            );
        }
        raw::set_gid(gid).map_err(|_| format!("[haproxy.main()] Cannot set gid {gid}."))?;
    }
    let kept = kept_capabilities(global, routes, forwards);
    if let Some(uid) = identity.uid {
        let lost = |_| {
            "[haproxy.main()] Cannot keep CAP_NET_ADMIN and CAP_NET_RAW (vrrp), CAP_BPF (mode l4) or what 'setcap' names."
                .to_owned()
        };
        if !kept.is_empty() {
            rustix::thread::set_keep_capabilities(true).map_err(lost)?;
        }
        raw::set_uid(uid).map_err(|_| format!("[haproxy.main()] Cannot set uid {uid}."))?;
        if !kept.is_empty() {
            hold_exactly(kept).map_err(lost)?;
        }
    } else if !is_root {
        raise(global);
    }
    if global.dumpable {
        // The change of user has forbidden it.
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
            .unwrap_or_else(without_dumps);
    }
    Ok(())
}

fn without_dumps(error: impl std::fmt::Display) {
    say("WARNING", format!("[haproxy.main()] 'set-dumpable' : core dumps may be missing ({error})."));
}

/// Core dumps of any size, as far as whoever started the process lets it.
fn lift_dump_limits() -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    for (resource, what) in [(Resource::Core, "core dumps"), (Resource::Fsize, "files")] {
        if setrlimit(resource, Rlimit { current: None, maximum: None }).is_ok() {
            continue;
        }
        let maximum = getrlimit(resource).maximum;
        setrlimit(resource, Rlimit { current: maximum, maximum })?;
        if let Some(bytes) = maximum {
            without_dumps(format!("the hard limit for {what} stays at {bytes} bytes"));
        }
    }
    Ok(())
}

/// What virtual addresses and the forwarding of packets need, and `setcap` names.
fn kept_capabilities(global: &Global, routes: bool, forwards: bool) -> CapabilitySet {
    let mut kept = asked_for(global);
    kept.set(CapabilitySet::NET_ADMIN, routes || forwards || kept.contains(CapabilitySet::NET_ADMIN));
    kept.set(CapabilitySet::NET_RAW, routes || kept.contains(CapabilitySet::NET_RAW));
    kept.set(CapabilitySet::BPF, forwards);
    kept
}

fn asked_for(global: &Global) -> CapabilitySet {
    let each = global.capabilities.iter().map(|capability| match capability {
        Capability::BindService => CapabilitySet::NET_BIND_SERVICE,
        Capability::Raw => CapabilitySet::NET_RAW,
        Capability::NetAdmin => CapabilitySet::NET_ADMIN,
        Capability::SysAdmin => CapabilitySet::SYS_ADMIN,
    });
    each.fold(CapabilitySet::empty(), CapabilitySet::union)
}

fn hold_exactly(kept: CapabilitySet) -> rustix::io::Result<()> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)
}

/// A process that was not started by root: what `setcap` names is used as far as it may be (file capabilities, systemd).
fn raise(global: &Global) {
    let asked = asked_for(global);
    let Ok(mut sets) = capabilities(None) else { return };
    let missing = asked.difference(sets.permitted);
    if !missing.is_empty() {
        let names: Vec<String> = missing.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
        say(
            "WARNING",
            format!(
                "[haproxy.main()] 'setcap' : the process may not have {} : start it as root, or let systemd (AmbientCapabilities) or setcap(8) give it.",
                names.join(", ")
            ),
        );
    }
    sets.effective = sets.effective.union(asked.intersection(sets.permitted));
    if set_capabilities(None, sets).is_err() {
        say("WARNING", "[haproxy.main()] 'setcap' : the capabilities cannot be used.");
    }
}

pub fn goes_to_background(options: &Options, global: &Global) -> bool {
    !options.foreground && !options.notify && (options.daemon || global.daemon)
}

/// Opened before privileges are dropped.
pub fn open_pidfile(path: Option<&Path>) -> Result<Option<File>, String> {
    let Some(path) = path else { return Ok(None) };
    let _ = std::fs::remove_file(path);
    File::create(path)
        .map(Some)
        .map_err(|_| format!("[haproxy.main()] Cannot create pidfile {}", path.display()))
}

pub fn write_pid(file: Option<File>, pid: u32) {
    if let Some(mut file) = file {
        let _ = writeln!(file, "{pid}");
    }
}

/// Forks. The parent answers how it ends, once the pid file is written; the child goes on.
pub fn split(pidfile: Option<File>) -> Result<Option<ExitCode>, String> {
    match raw::fork().map_err(|_| "[haproxy.main()] Cannot fork.".to_owned())? {
        Forked::Parent(pid) => {
            write_pid(pidfile, pid.unsigned_abs());
            Ok(Some(ExitCode::SUCCESS))
        }
        Forked::Child => {
            raw::new_session();
            let _ = raw::detach_standard_streams();
            Ok(None)
        }
    }
}

/// `-sf`: stop accepting and finish (USR1); `-st`: end now (TERM).
pub fn signal_old(options: &Options) {
    for &pid in &options.finish {
        let _gone_already = raw::kill(pid, libc::SIGUSR1);
    }
    for &pid in &options.terminate {
        let _gone_already = raw::kill(pid, libc::SIGTERM);
    }
}

/// sd_notify(3): the service can do its work.
pub fn notify_ready() {
    notify(&format!("READY=1\nMAINPID={}\n", std::process::id()));
}

/// How often systemd wants a sign of life: twice within `WatchdogSec`, where it was asked for of this process.
pub fn watchdog() -> Option<Duration> {
    let read = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let ours =
        std::env::var_os("WATCHDOG_PID").is_none() || read("WATCHDOG_PID") == Some(std::process::id().into());
    read("WATCHDOG_USEC").filter(|micros| ours && *micros > 1).map(|micros| Duration::from_micros(micros / 2))
}

/// sd_notify(3): one datagram to the socket systemd names.
pub fn notify(text: &str) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let path = path.to_string_lossy();
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&*path),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(text.as_bytes(), &address);
    }
}
