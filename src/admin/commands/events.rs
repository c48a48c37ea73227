//! `show events`: rings, what is in them, and what comes.

use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Operator, User};
use crate::live::rings::Ring;
use std::fmt::Write as _;
use std::sync::Arc;

pub const TABLE: &[Command] = &[Command::new(
    "show events",
    User,
    "show events [<sink>] [-w] [-n]",
    "list the event sinks, or show the events in one; -w waits for more, -n shows new ones only",
    events,
)];

fn events(call: &mut Call<'_>) -> Answer {
    // What this thread has to say is there before it is asked for.
    call.admin.log().flush();
    let rings = call.live().process.rings.all();
    let name = call.word(2);
    if name.is_empty() {
        return Answer::text(list(&rings));
    }
    if call.session.level < Operator {
        return Answer::denied();
    }
    let refuse = |text: &str| Answer::unended(severity::ERR, text);
    let Some(ring) = rings.into_iter().find(|r| r.conf.name == name) else {
        let known = matches!(name, "stdout" | "stderr");
        return refuse(if known { "Nothing to report for this sink" } else { "No such event sink" });
    };
    let (mut wait, mut only_new) = (false, false);
    for word in call.words.iter().skip(3) {
        let letters = word.strip_prefix('-').filter(|l| !l.is_empty());
        if letters.is_none_or(|letters| letters.chars().any(|c| !matches!(c, 'w' | 'n'))) {
            return refuse("unknown option");
        }
        wait |= word.contains('w');
        only_new |= word.contains('n');
    }
    let from = if only_new { ring.end() } else { 0 };
    if wait { follow(ring, from) } else { dump(ring, from) }
}

/// Two sinks are HAProxy's names of descriptors.
fn list(rings: &[Arc<Ring>]) -> String {
    let mut text = String::from(
        "Supported events sinks are listed below. Add -w(wait), -n(new). Any key to stop\n    \
         stdout     : type=fd, 0 dropped, standard output (fd#1)\n    \
         stderr     : type=fd, 0 dropped, standard output (fd#2)\n",
    );
    for ring in rings {
        let (name, description) = (&ring.conf.name, &ring.conf.description);
        let _ = writeln!(text, "    {name:<10} : type=buffer, {} dropped, {description}", ring.dropped());
    }
    text
}

fn portion(ring: &Ring, from: u64, out: &mut Vec<u8>) -> u64 {
    ring.read(from, |event| {
        out.extend_from_slice(event);
        out.push(b'\n');
    })
}

/// Up to the event that is the last one now.
fn dump(ring: Arc<Ring>, mut next: u64) -> Answer {
    let end = ring.end();
    Answer::Pieces(Box::new(move |out| {
        next = portion(&ring, next, out);
        next < end
    }))
}

fn follow(ring: Arc<Ring>, mut next: u64) -> Answer {
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            loop {
                let mut out = Vec::new();
                next = portion(&ring, next, &mut out);
                console.write(&out).await?;
                tokio::select! {
                    biased;
                    ended = console.any_key() => return ended,
                    () = ring.wait(next) => {}
                }
            }
        })
    }))
}
