//! Reloads: asking for one, and what is left of the generations before.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, User};
use crate::live::reload::Wish;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Instant;

pub const TABLE: &[Command] = &[
    Command::new(
        "reload",
        Admin,
        "reload [--confirm <time>]",
        "read the configuration again and go over to it; a wrong one changes nothing; with a time: and back, unless confirmed",
        wish,
    ),
    Command::new("confirm", Admin, "confirm", "keep what 'reload --confirm' has loaded", wish),
    Command::new("rollback", Admin, "rollback", "take back what 'reload --confirm' has loaded", wish),
    Command::new(
        "show config",
        Admin,
        "show config",
        "the configuration that runs, as it was read (what weir diff compares with)",
        show_config,
    ),
    Command::new(
        "show generations",
        User,
        "show generations",
        "the configurations that serve connections: number, age, connections left, memory",
        show_generations,
    ),
];

fn wish(call: &mut Call<'_>) -> Answer {
    let words: Vec<&str> = (0..4).map(|i| call.word(i)).take_while(|word| !word.is_empty()).collect();
    let wish = match Wish::read(&words) {
        Ok(wish) => wish,
        Err(problem) => return Answer::error(problem),
    };
    let mut told = call.live().process.reloads.ask(wish);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let outcome = told.outcome().await;
            console.write(outcome.reply().as_bytes()).await
        })
    }))
}

fn show_config(call: &mut Call<'_>) -> Answer {
    Answer::Text(call.live().config.written.tell().into_bytes())
}

fn show_generations(call: &mut Call<'_>) -> Answer {
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let live = admin.live();
            let mut connections = live.process.sessions.by_generation().await;
            connections.entry(live.number).or_default();
            let (done, refused) = live.process.reloads.counts();
            let mut text = format!(
                "# reloads: {done} done, {refused} refused\n# number age(s) connections memory(kB)\n"
            );
            let now = Instant::now();
            for (number, left) in connections.iter().rev() {
                let born = live.process.reloads.born(*number);
                let age = born.map_or(0, |born| now.saturating_duration_since(born.at).as_secs());
                let memory = (born.map_or(0, |born| born.memory) + left.memory()).div_ceil(1024);
                let which = if *number == live.number { " (current)" } else { "" };
                let _ = writeln!(text, "{number} {age} {} {memory}{which}", left.connections);
            }
            console.write(text.as_bytes()).await
        })
    }))
}
