//! `option external-check`: a program says whether the server is well.
//!
//! It gets HAProxy's four arguments and its environment. It runs in a process group of its own, which is ended as a
//! whole when the time is over. Starting it happens off the control thread: a program on a file system that hangs stops
//! no other check.

mod script;

use super::job::{Job, words};
use super::startup::Means;
use crate::config::model::{Proxy, Server};
use crate::health::{Finding, Status};
use script::{Ended, Moment, Run, Script};
use std::io::{self, Write as _};

/// HAProxy's exit status of a child that cannot execute the program.
const NOT_EXECUTED: i32 = 255;
/// HAProxy's code of a program that a signal ended.
const SIGNALLED: i32 = -1;

/// One server's check.
#[derive(Debug)]
pub struct ExternalCheck {
    script: Script,
    dynamic_weight: bool,
    may_fork: bool,
}

impl ExternalCheck {
    #[must_use]
    pub fn new(proxy: &Proxy, server: &Server, means: &Means, dynamic_weight: bool) -> Self {
        Self { script: Script::new(proxy, server, means), dynamic_weight, may_fork: means.may_fork }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        let reached = job.server.reached();
        let moment = Moment {
            // Not the check's `addr` and `port`: the program is told where traffic goes.
            endpoint: &reached.endpoint,
            connections: job.server.current(),
            maxconn: job.server.conf.maxconn,
        };
        let run = if self.may_fork {
            // Not `timeout check`: HAProxy takes the connect's limit for the whole.
            self.script.run(moment, job.target.connect_limit).await
        } else {
            Run::failed(Ended::NotStarted(io::Error::from_raw_os_error(libc::EAGAIN)))
        };
        self.judge(run, job)
    }

    fn judge(&self, run: Run, job: &Job<'_>) -> Finding {
        let mut finding = match run.ended {
            Ended::Exited(0) => Finding::new(Status::ProcessOk),
            Ended::Exited(code @ 2..) if self.dynamic_weight => {
                weigh(job, u32::from(code) - 2);
                Finding::new(Status::ProcessOk).code(code)
            }
            Ended::Exited(code) => Finding::new(Status::ProcessError).code(code),
            Ended::Signalled => Finding::new(Status::ProcessError).code(SIGNALLED),
            Ended::TimedOut => Finding::new(Status::ProcessTimeout),
            Ended::NotExecuted(error) => {
                let words = words(&error);
                alert(job, &format!("Failed to exec process for external health check: {words}. Aborting."));
                Finding::new(Status::ProcessError).code(NOT_EXECUTED).info(words)
            }
            Ended::NotStarted(error) => {
                let words = words(&error);
                let cause =
                    if self.may_fork { "" } else { " (likely caused by missing 'insecure-fork-wanted')" };
                alert(
                    job,
                    &format!("Failed to fork process for external health check{cause}: {words}. Aborting."),
                );
                Finding::new(Status::SocketError).info(words)
            }
        };
        finding.info = run.text.or(finding.info);
        finding
    }
}

fn weigh(job: &Job<'_>, weight: u32) {
    if let Some(backend) = &job.proxy.back {
        // Algorithms whose weights are fixed say no: docs/external-checks.md.
        let _changed = backend.set_weight(job.server.index.get(), weight, std::time::Instant::now());
    }
}

/// On standard error alone, as HAProxy.
fn alert(job: &Job<'_>, text: &str) {
    if !job.generation.config.global.quiet {
        let line = format!("[ALERT]    ({}) : {text}\n", job.generation.process.pid);
        // A closed standard error is no reason to stop checking.
        let _written = io::stderr().write_all(line.as_bytes());
    }
}
