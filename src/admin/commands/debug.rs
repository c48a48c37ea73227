//! Commands that break things on purpose, to see what happens then. In expert mode only.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command, Mode};
use crate::config::model::global::Level::Admin;
use std::time::Duration;

pub const TABLE: &[Command] = &[Command::new(
    "debug dev hang-worker",
    Admin,
    "debug dev hang-worker <thread> [<ms>]",
    "stop a worker thread for so long, or for ever: its connections hang, and vrrp gives the addresses up",
    hang,
)
.only(Mode::Expert)];

fn hang(call: &mut Call<'_>) -> Answer {
    let threads = call.live().threads;
    let Some(thread) = call.word(3).parse().ok().filter(|n| (1..=threads).contains(n)) else {
        return Answer::error(format!("Expects a thread's number, 1 to {threads}."));
    };
    let limit = match call.word(4) {
        "" => None,
        ms => match ms.parse() {
            Ok(ms) => Some(Duration::from_millis(ms)),
            Err(_) => return Answer::error("Expects a number of milliseconds."),
        },
    };
    call.live().process.sessions.hang(thread - 1, limit);
    Answer::Done
}
