//! `-sf` and `-st` without `-x`: the listening sockets of a process that is replaced, with all who wait in them.
//!
//! A weir is asked at its back door. Of HAProxy, or of weir's master, the descriptors are copied with pidfd_getfd(2), which
//! wants the rights of a debugger. Unix sockets among them go along where their files stay: HAProxy never removes them, weir's master does
//! when it is ended at once (`-st`).

use super::{back_door, say};
use crate::net::handoff::{self, Taken};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::HashSet;
use std::fs;
use std::io;

/// What the old processes listen on, those that `finish` and those that are told to `terminate`. Where that is out of reach,
/// sockets are opened beside theirs.
pub fn sockets(finish: &[i32], terminate: &[i32], quiet: bool) -> Vec<Taken> {
    let mut all = Vec::new();
    let old = finish.iter().map(|pid| (*pid, true)).chain(terminate.iter().map(|pid| (*pid, false)));
    for (pid, finishes) in old {
        match of(pid, finishes) {
            Ok(some) => all.extend(some),
            // Scripts name processes that have ended long ago.
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
            Err(_) if quiet => {}
            Err(e) => say(
                "NOTICE",
                format!(
                    "the listening sockets of process {pid} cannot be taken ({e}): new ones are opened beside them, and clients that wait in the old ones as it ends are cut off. '-x' with its stats socket ('expose-fd listeners') hands them over."
                ),
            ),
        }
    }
    all
}

fn of(pid: i32, finishes: bool) -> io::Result<Vec<Taken>> {
    let asked = u32::try_from(pid).map_err(io::Error::other).and_then(back_door::connect);
    let keeps_files = finishes || asked.is_err();
    match asked.and_then(|stream| handoff::take_by(&stream)) {
        Ok(all) => Ok(all),
        Err(_) => copies(pid, keeps_files),
    }
}

/// Copies of the sockets that a process and its children listen on: those of HAProxy's master have them.
fn copies(pid: i32, keeps_files: bool) -> io::Result<Vec<Taken>> {
    let mut all = Vec::new();
    let mut seen = HashSet::new();
    copy(pid, keeps_files, &mut seen, &mut all)?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|word| word.parse().ok()) {
        // A check's script may be among them.
        let _without = copy(child, keeps_files, &mut seen, &mut all);
    }
    Ok(all)
}

fn copy(pid: i32, keeps_files: bool, seen: &mut HashSet<String>, all: &mut Vec<Taken>) -> io::Result<()> {
    let process = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(process, PidfdFlags::empty())?;
    let network = |whose: &str| fs::read_link(format!("/proc/{whose}/ns/net"));
    if network(&pid.to_string())? != network("self")? {
        return Err(io::Error::other("it is in another network namespace"));
    }
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Ok(number) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        // Threads may have several descriptors of one socket.
        if !target.starts_with("socket:") || !seen.insert(target) {
            continue;
        }
        match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            Ok(socket) => all.extend(handoff::copied(socket, keeps_files)),
            // It was closed meanwhile.
            Err(rustix::io::Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
