//! A proxy process in a directory of its own, ended by its pid when dropped.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Weir,
    HaProxy,
}

impl Program {
    /// `WEIR_TEST_PROGRAM` puts another binary in weir's place: haproxy against itself shows whether a test is sound.
    pub fn path(self) -> PathBuf {
        match self {
            Self::HaProxy => "/usr/sbin/haproxy".into(),
            Self::Weir => std::env::var_os("WEIR_TEST_PROGRAM")
                .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_weir")), PathBuf::from),
        }
    }

    pub fn command(self) -> Command {
        Command::new(self.path())
    }

    /// Runs to its end with these arguments.
    pub fn run(self, arguments: &[&str]) -> Output {
        self.command().args(arguments).stdin(Stdio::null()).output().expect("the program starts")
    }

    /// `-c` on this text: exit code and all output.
    pub fn check(self, config: &str) -> (Option<i32>, String) {
        let dir = TempDir::new().expect("a temporary directory");
        let file = dir.path().join("check.cfg");
        std::fs::write(&file, config).expect("the configuration is written");
        let output = self.run(&["-c", "-f", &file.to_string_lossy()]);
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code(), text)
    }
}

#[derive(Debug)]
pub struct Proxy {
    child: Child,
    dir: TempDir,
}

impl Proxy {
    /// Starts on this configuration in the foreground and waits until every port listens.
    ///
    /// # Errors
    /// What the process wrote, where it ended or did not listen in time.
    pub fn start(program: Program, config: &str, address: Ipv4Addr, ports: &[u16]) -> Result<Self, String> {
        let dir = TempDir::new().map_err(|error| error.to_string())?;
        Self::start_in(program, dir, config, &["-db"], address, ports)
    }

    pub fn start_in(
        program: Program,
        dir: TempDir,
        config: &str,
        arguments: &[&str],
        address: Ipv4Addr,
        ports: &[u16],
    ) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let file = dir.path().join("proxy.cfg");
        std::fs::write(&file, config).map_err(text)?;
        let child = program
            .command()
            .args(arguments)
            .arg("-f")
            .arg(&file)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("stdout")).map_err(text)?)
            .stderr(File::create(dir.path().join("stderr")).map_err(text)?)
            .spawn()
            .map_err(text)?;
        let mut proxy = Self { child, dir };
        proxy.wait_until_listening(IpAddr::V4(address), ports)?;
        Ok(proxy)
    }

    fn wait_until_listening(&mut self, address: IpAddr, ports: &[u16]) -> Result<(), String> {
        let started = Instant::now();
        while !ports.iter().all(|port| super::listens(address, *port)) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended with {status}:\n{}", self.stderr()));
            }
            if started.elapsed() > START {
                return Err(format!("does not listen on {address} {ports:?}:\n{}", self.stderr()));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stdout")).unwrap_or_default()
    }

    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, at most so long.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(POLL);
        }
        None
    }

    /// Asks for a graceful stop and waits for it, so that everything it had to log is logged.
    pub fn finish(mut self) -> Option<ExitStatus> {
        self.signal("USR1");
        let gracefully = self.wait(Duration::from_secs(10));
        gracefully.or_else(|| {
            self.signal("TERM");
            self.wait(Duration::from_secs(10))
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by name (`TERM`) to one pid; through the shell's `kill`, which needs no unsafe code here.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
}

/// Whether a process with that pid exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
