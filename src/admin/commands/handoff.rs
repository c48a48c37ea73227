//! `_getsocks`: the listening sockets go to the process that takes this one's place (`expose-fd listeners`, and
//! always for root and the process's own user at its back door).

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::User;
use crate::live::doors::Phase;
use crate::net::Listener;
use crate::net::handoff::{self, AT_ONCE};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

// Not listed in help, as in HAProxy: programs say it, people do not.
pub const TABLE: &[Command] = &[Command::new(
    handoff::COMMAND,
    User,
    "",
    "hand the listening sockets over (expose-fd listeners)",
    give,
)];

fn give(call: &mut Call<'_>) -> Answer {
    if !call.session.takes_listeners {
        return Answer::denied();
    }
    let open = call.live().proxies.iter().filter(|p| p.front.doors.phase() == Phase::Open);
    let all: Vec<Arc<Listener>> = open.flat_map(|p| p.front.doors.listeners()).collect();
    let distinct = handoff::distinct(all.clone());
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let count = i32::try_from(distinct.len()).unwrap_or(0);
            console.write(&count.to_ne_bytes()).await?;
            let mut chunks = distinct.chunks(AT_ONCE).peekable();
            while let Some(chunk) = chunks.next() {
                let words: Vec<u8> = chunk.iter().flat_map(|l| handoff::describe(&l.bind)).collect();
                let sockets: Vec<_> = chunk.iter().map(|l| l.as_fd()).collect();
                console.give(&words, &sockets).await?;
                if chunks.peek().is_some() {
                    console.any_key().await?;
                }
            }
            all.iter().for_each(|l| l.give_away());
            // There is no more to say on this connection.
            Err(io::ErrorKind::ConnectionAborted.into())
        })
    }))
}
