//! Programs that are told of changes, with keepalived's arguments: `INSTANCE|GROUP name STATE priority`.
//!
//! They are started in the order of the changes, one after the other, and nobody waits for their end.

use super::command;
use super::security::{Identity, look_again};
use crate::config::model::vrrp::Notify;
use crate::program::{self, Failure, Program};
use crate::tasks::{self, Task};
use crate::vrrp::State;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Programs that may wait to be started.
const WAITING: usize = 256;
/// A program that has not started by then (its file system hangs) is given up for the next one.
const START: Duration = Duration::from_secs(10);

/// Starts the programs.
pub struct Teller {
    queue: mpsc::Sender<Program>,
    starter: Task,
    open_files: Option<(u64, u64)>,
}

impl Teller {
    /// `lament` is told of programs that do not start.
    pub fn start(open_files: Option<(u64, u64)>, lament: impl Fn(&str) + 'static) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        Self { queue, starter: tasks::start("vrrp notify", start_all(waiting, lament)), open_files }
    }

    /// `who`: `INSTANCE` or `GROUP`, and its name.
    pub fn tell(&self, notify: &Notify, identity: Identity, who: [&str; 2], state: State, priority: u8) {
        let (own, word) = match state {
            State::Master => (&notify.master, "MASTER"),
            State::Backup => (&notify.backup, "BACKUP"),
            State::Fault => (&notify.fault, "FAULT"),
            State::Stopped => (&notify.stop, "STOP"),
        };
        if let Some(words) = own {
            self.post(words, identity);
        }
        if let Some(words) = &notify.any {
            let mut words = words.clone();
            words.extend(who.map(str::to_owned));
            words.extend([word.to_owned(), priority.to_string()]);
            self.post(&words, identity);
        }
    }

    fn post(&self, words: &[String], identity: Identity) {
        // So many waiting means that none starts: one more would not either.
        let _full = self.queue.try_send(command::program(words, identity, self.open_files));
    }

    /// Waits until all have been started.
    pub async fn finish(self) {
        drop(self.queue);
        self.starter.await;
    }
}

async fn start_all(mut waiting: mpsc::Receiver<Program>, lament: impl Fn(&str)) {
    while let Some(program) = waiting.recv().await {
        let name = program.command.clone();
        let deadline = Instant::now() + START;
        let started = match timeout_at(deadline, look_again(&program)).await {
            Ok(Ok(())) => program::start(program, None, deadline).await,
            Ok(Err(why)) => {
                lament(&format!("notify : {why}"));
                continue;
            }
            Err(_) => Ok(None),
        };
        match started {
            Ok(Some(group)) => group.let_go(),
            Ok(None) => lament(&format!("notify : {name} does not start: it takes too long")),
            Err(Failure::Execute(error) | Failure::Start(error)) => {
                lament(&format!("notify : {name} does not start: {error}"));
            }
        }
    }
}
