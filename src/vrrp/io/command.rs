//! Runs a program without a shell, with an end to its time.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal,
    TimedOut,
    NotStarted(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(0) => f.write_str("passed"),
            Self::Code(code) => write!(f, "failed with code {code}"),
            Self::Signal => f.write_str("ended by a signal"),
            Self::TimedOut => f.write_str("took too long"),
            Self::NotStarted(why) => write!(f, "does not start: {why}"),
        }
    }
}

pub fn prepare(words: &[String]) -> Command {
    let mut command = Command::new(words.first().map_or("", String::as_str));
    command
        .args(words.get(1..).unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Runs `words` for `limit` at the most; then its whole process group is killed.
pub async fn run(words: &[String], limit: Duration) -> Ended {
    let mut child = match prepare(words).spawn() {
        Ok(child) => child,
        Err(error) => return Ended::NotStarted(error.to_string()),
    };
    let group = child.id().and_then(|pid| i32::try_from(pid).ok());
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(Ok(status)) => status.code().map_or(Ended::Signal, Ended::Code),
        Ok(Err(error)) => Ended::NotStarted(error.to_string()),
        Err(_) => {
            if let Some(group) = group {
                let _gone_already = crate::net::raw::kill(-group, libc::SIGKILL);
            }
            let _ = child.wait().await;
            Ended::TimedOut
        }
    }
}
