//! Runs a program without a shell, with an end to its time.

use super::security::{Identity, look_again};
use crate::program::{self, Failure, FirstLine, Prints, Program};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Programs that are still there this long after SIGTERM get SIGKILL.
const GRACE: Duration = Duration::from_millis(500);

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

/// What is to be run: the program with its whole path, and its arguments.
pub fn program(words: &[String], identity: Identity, open_files: Option<(u64, u64)>) -> Program {
    Program {
        command: words.first().cloned().unwrap_or_default(),
        path: String::new(),
        arguments: words.iter().skip(1).map(Into::into).collect(),
        environment: None,
        open_files,
        identity,
        prints: Prints::Nothing,
    }
}

/// Runs it for `limit` at the most; then its whole process group is ended.
pub async fn run(program: Program, limit: Duration) -> Ended {
    let deadline = Instant::now() + limit;
    match timeout_at(deadline, look_again(&program)).await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return Ended::NotStarted(why),
        Err(_) => return Ended::TimedOut,
    }
    let mut group = match program::start(program, None, deadline).await {
        Ok(Some(group)) => group,
        Ok(None) => return Ended::TimedOut,
        Err(Failure::Execute(error) | Failure::Start(error)) => return Ended::NotStarted(error.to_string()),
    };
    match timeout_at(deadline, group.end(&mut FirstLine::default())).await {
        Ok(Ok(status)) => status.code().map_or(Ended::Signal, Ended::Code),
        Ok(Err(error)) => Ended::NotStarted(error.to_string()),
        Err(_) => {
            group.end_later(GRACE);
            Ended::TimedOut
        }
    }
}
