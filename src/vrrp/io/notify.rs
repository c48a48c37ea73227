//! Programs that are told of changes, with keepalived's arguments: `INSTANCE|GROUP name STATE priority`.

use super::command;
use crate::config::model::vrrp::Notify;
use crate::tasks;
use crate::vrrp::State;

pub fn run(notify: &Notify, kind: &str, name: &str, state: State, priority: u8) {
    let (own, word) = match state {
        State::Master => (&notify.master, "MASTER"),
        State::Backup => (&notify.backup, "BACKUP"),
        State::Fault => (&notify.fault, "FAULT"),
        State::Stopped => (&notify.stop, "STOP"),
    };
    if let Some(words) = own {
        start(words);
    }
    if let Some(words) = &notify.any {
        let mut words = words.clone();
        words.extend([kind.to_owned(), name.to_owned(), word.to_owned(), priority.to_string()]);
        start(&words);
    }
}

/// Nobody waits for it; what it ends with is its own affair.
fn start(words: &[String]) {
    // Not killed with the task that started it.
    let mut command = command::prepare(words);
    command.kill_on_drop(false);
    if let Ok(mut child) = command.spawn() {
        tasks::detached("vrrp notify", async move {
            let _ = child.wait().await;
        });
    }
}
