//! Processes that have to run. Their end is an event (a pidfd); that one has started is seen at the next look.

use super::Event;
use crate::net::raw;
use crate::tasks;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::task::Poll;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// Between two looks through all processes.
const LOOK: Duration = Duration::from_secs(1);
/// The kernel keeps so many bytes of a name.
const NAME_MAX: usize = 15;

/// A program, how many processes of it are wanted, and the routers and places of the tracks that follow it.
#[derive(Clone)]
pub struct Followed {
    pub name: String,
    pub min_up: usize,
    pub followers: Vec<(usize, usize)>,
}

/// Tells when there are too few of one, and when there are enough.
pub async fn watch(wanted: Vec<Followed>, tell: mpsc::Sender<Event>) {
    let names: Vec<String> = wanted.iter().map(|w| w.name.clone()).collect();
    let mut last = vec![None; wanted.len()];
    let mut ends: HashMap<i32, AsyncFd<OwnedFd>> = HashMap::new();
    loop {
        let asked = names.clone();
        // A process that hangs in the system may hang whoever reads about it.
        let Some(found) = tasks::blocking(move || look(&asked)).await else { return };
        for ((wanted, pids), last) in wanted.iter().zip(&found).zip(&mut last) {
            let well = pids.len() >= wanted.min_up;
            if last.replace(well) == Some(well) {
                continue;
            }
            let why =
                format!("process {} runs {} times, {} are wanted", wanted.name, pids.len(), wanted.min_up);
            for &(router, track) in &wanted.followers {
                let event = Event::Tracked { router, track, well, why: why.clone() };
                if tell.send(event).await.is_err() {
                    return;
                }
            }
        }
        ends.retain(|pid, _| found.iter().any(|pids| pids.contains(pid)));
        for &pid in found.iter().flatten() {
            if let Some(end) = (!ends.contains_key(&pid)).then(|| open(pid)).flatten() {
                ends.insert(pid, end);
            }
        }
        let _later = tokio::time::timeout(LOOK, one_ends(&ends)).await;
        ends.retain(|pid, _| Path::new(&format!("/proc/{pid}")).exists());
    }
}

fn open(pid: i32) -> Option<AsyncFd<OwnedFd>> {
    raw::watch(pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?).ok()
}

/// One of the processes has ended.
async fn one_ends(ends: &HashMap<i32, AsyncFd<OwnedFd>>) {
    std::future::poll_fn(|cx| {
        let ended = ends.values().any(|end| matches!(end.poll_read_ready(cx), Poll::Ready(Ok(_))));
        if ended { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The processes of each name.
fn look(names: &[String]) -> Vec<Vec<i32>> {
    let mut found = vec![Vec::new(); names.len()];
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(comm) = living(&stat) else { continue };
        for (name, pids) in names.iter().zip(&mut found) {
            if is_called(name, comm, &entry.path()) {
                pids.push(pid);
            }
        }
    }
    found
}

/// The name in `/proc/PID/stat`, unless the process has ended and only waits to be asked for how.
fn living(stat: &str) -> Option<&str> {
    let (_, rest) = stat.split_once('(')?;
    let (comm, rest) = rest.rsplit_once(") ")?;
    (!rest.starts_with(['Z', 'X'])).then_some(comm)
}

/// A path is compared with the program's, anything else with the kernel's name of the process.
fn is_called(name: &str, comm: &str, process: &Path) -> bool {
    if !name.starts_with('/') {
        return name.as_bytes().get(..NAME_MAX).unwrap_or(name.as_bytes()) == comm.as_bytes();
    }
    match fs::read_link(process.join("exe")) {
        Ok(program) => program == Path::new(name),
        // Another user's: how it was called is for everybody to see.
        Err(_) => {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            line.split(|b| *b == 0).next() == Some(name.as_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(living("12 (a) b) S 1 2"), Some("a) b"));
        assert_eq!(living("12 (gone) Z 1 2"), None);
        let nowhere = Path::new("/nonexistent");
        assert!(is_called("nginx", "nginx", nowhere));
        assert!(!is_called("ssh", "sshd", nowhere));
        assert!(is_called("a-name-of-twenty-abc", "a-name-of-twent", nowhere));
        assert!(!is_called("/usr/sbin/nginx", "nginx", nowhere));
    }
}
