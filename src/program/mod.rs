//! Programs of the administrator's: checks, trackers, those that are told of changes. Each runs in a process group of its own, started
//! off this thread (one on a file system that hangs stops nobody), read without blocking, ended as a whole.

mod first_line;

pub use first_line::FirstLine;

use crate::net::raw;
use crate::tasks;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};

/// What is read at once.
const CHUNK: usize = 65536;
/// After the first line, one chunk is read and thrown away per pause: a program that never stops printing waits, not us.
const PAUSE: Duration = Duration::from_millis(10);
const SHELL: &str = "/bin/sh";

#[derive(Clone, Debug)]
pub struct Program {
    pub command: String,
    /// Where `command` is looked for when it has no slash.
    pub path: String,
    pub arguments: Vec<OsString>,
    /// `None`: ours.
    pub environment: Option<Vec<(OsString, OsString)>>,
    /// Soft and hard limit.
    pub open_files: Option<(u64, u64)>,
    /// User and group, if not ours.
    pub identity: Option<(u32, u32)>,
    pub prints: Prints,
}

/// What becomes of what it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prints {
    /// Its first line is read; what it says to standard error goes where ours goes.
    FirstLine,
    Nothing,
}

#[derive(Debug)]
pub enum Failure {
    /// The program is missing, not executable, or not a program.
    Execute(io::Error),
    /// The system makes no process.
    Start(io::Error),
}

/// A started program. Dropping it kills the group.
#[derive(Debug)]
pub struct Group {
    child: Child,
    stdout: Option<ChildStdout>,
    /// Its leader's process id. It stays ours until the leader has been waited for.
    id: Option<i32>,
    _place: Option<SemaphorePermit<'static>>,
}

/// Starts `program`; `None`: it had not started when `deadline` came (it is killed when it does). The group keeps its
/// `place` among the running, if their number is limited, until it is gone; so does a program that hangs in being started.
///
/// # Errors
/// See [`Failure`].
pub async fn start(
    program: Program,
    place: Option<SemaphorePermit<'static>>,
    deadline: Instant,
) -> Result<Option<Group>, Failure> {
    let starting = tasks::blocking(move || {
        let (child, stdout, id) = spawn(&program)?;
        Ok(Group { child, stdout, id, _place: place })
    });
    match timeout_at(deadline, starting).await {
        Err(_) => Ok(None),
        Ok(None) => Err(Failure::Start(io::Error::other("the starting thread ended"))),
        Ok(Some(Err(error))) => Err(failure(error)),
        Ok(Some(Ok(group))) => Ok(Some(group)),
    }
}

fn failure(error: io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => Failure::Start(error),
        _ => Failure::Execute(error),
    }
}

type Spawned = (Child, Option<ChildStdout>, Option<i32>);

/// As execvp(3) looks for programs, and like it hands a script without `#!` to the shell.
fn spawn(program: &Program) -> io::Result<Spawned> {
    let mut refused = None;
    for file in program.candidates() {
        match program.spawn_file(&file, None) {
            Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
                return program.spawn_file(SHELL.as_ref(), Some(&file));
            }
            // Another directory may have it; if none has, being forbidden says more than being absent.
            Err(error) => match (error.kind(), &refused) {
                (io::ErrorKind::PermissionDenied, _) | (_, None) => refused = Some(error),
                _ => {}
            },
            started => return started,
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::from_raw_os_error(libc::ENOENT)))
}

impl Program {
    fn candidates(&self) -> Vec<PathBuf> {
        if self.command.contains('/') {
            return vec![self.command.clone().into()];
        }
        // An empty entry is the current directory.
        let directory = |d: &str| PathBuf::from(if d.is_empty() { "." } else { d });
        self.path.split(':').map(|d| directory(d).join(&self.command)).collect()
    }

    fn spawn_file(&self, file: &std::path::Path, script: Option<&PathBuf>) -> io::Result<Spawned> {
        let mut command = Command::new(file);
        if let Some(script) = script {
            command.arg(script);
        }
        command.args(&self.arguments).stdin(Stdio::null()).process_group(0);
        if let Some(environment) = &self.environment {
            command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        }
        if let Some((uid, gid)) = self.identity {
            command.uid(uid).gid(gid);
        }
        match self.prints {
            Prints::FirstLine => command.stdout(Stdio::piped()),
            Prints::Nothing => command.stdout(Stdio::null()).stderr(Stdio::null()),
        };
        let mut child = command.spawn()?;
        let stdout = child.stdout.take();
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        if let (Some(id), Some((soft, hard))) = (id.and_then(Pid::from_raw), self.open_files) {
            let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
            // Lowering a limit is always allowed; a program that has ended meanwhile needs none.
            let _ended_already = prlimit(Some(id), Resource::Nofile, limit);
        }
        Ok((child, stdout, id))
    }
}

impl Group {
    /// Waits for the program's own end, and takes its first line where that is read. Whatever it has left running may keep the pipe open: nobody waits for that.
    pub async fn end(&mut self, line: &mut FirstLine) -> io::Result<ExitStatus> {
        let mut buffer = vec![0; CHUNK];
        let status = loop {
            let ended = self.child.wait();
            let Some(stdout) = &mut self.stdout else { break ended.await? };
            tokio::select! {
                biased;
                status = ended => break status?,
                read = next(stdout, line.is_complete(), &mut buffer) => match read {
                    Ok(n) if n > 0 => line.push(buffer.get(..n).unwrap_or_default()),
                    _ => self.stdout = None,
                },
            }
        };
        // Waited for: the number may be another's now.
        self.id = None;
        self.read_the_rest(line, &mut buffer);
        Ok(status)
    }

    /// What the program printed just before its end.
    fn read_the_rest(&mut self, line: &mut FirstLine, buffer: &mut [u8]) {
        let Some(stdout) = &self.stdout else { return };
        while !line.is_complete() {
            match rustix::io::read(stdout, &mut *buffer) {
                Ok(n) if n > 0 => line.push(buffer.get(..n).unwrap_or_default()),
                _ => return,
            }
        }
    }

    /// Asks the whole group to end, and makes it after `grace`.
    pub fn end_later(self, grace: Duration) {
        self.signal(libc::SIGTERM);
        tasks::detached("a program's end", async move {
            let mut group = self;
            // The leader is not waited for before: its number names the group only as long as it is there.
            sleep(grace).await;
            group.signal(libc::SIGKILL);
            let _status = group.child.wait().await;
            group.id = None;
        });
    }

    /// Lets it run to its own end, whatever becomes of us.
    pub fn let_go(mut self) {
        self.id = None;
        tasks::detached("a program let go", async move {
            let _status = self.child.wait().await;
        });
    }

    fn signal(&self, signal: i32) {
        if let Some(id) = self.id {
            let _gone_already = raw::kill(-id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

async fn next(stdout: &mut ChildStdout, wanted_no_more: bool, buffer: &mut [u8]) -> io::Result<usize> {
    if wanted_no_more {
        sleep(PAUSE).await;
    }
    stdout.read(buffer).await
}
