//! Reloads: asking for one, and what is left of the generations before.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, User};
use crate::live::reload::Outcome;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Instant;

pub const TABLE: &[Command] = &[
    Command::new(
        "reload",
        Admin,
        "reload",
        "read the configuration again and go over to it; a wrong one changes nothing",
        reload,
    ),
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
        "the configurations that serve connections: number, age, connections",
        show_generations,
    ),
];

fn reload(call: &mut Call<'_>) -> Answer {
    let told = call.live().process.reloads.ask();
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let text = match told.await {
                Ok(outcome) => answer(&outcome),
                Err(_) => "Success=0\n--\nthe process is ending\n".to_owned(),
            };
            console.write(text.as_bytes()).await
        })
    }))
}

/// As HAProxy's master answers.
fn answer(outcome: &Outcome) -> String {
    format!("Success={}\n--\n{}", u8::from(outcome.success), outcome.messages)
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
            let mut text =
                format!("# reloads: {done} done, {refused} refused\n# number age(s) connections\n");
            let now = Instant::now();
            for (number, connections) in connections.iter().rev() {
                let born = live.process.reloads.born(*number);
                let age = born.map_or(0, |born| now.saturating_duration_since(born).as_secs());
                let which = if *number == live.number { " (current)" } else { "" };
                let _ = writeln!(text, "{number} {age} {connections}{which}");
            }
            console.write(text.as_bytes()).await
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn answers() {
        let check = |success, messages: &str, expected: &str| {
            let outcome = Outcome { success, messages: messages.to_owned(), at: SystemTime::UNIX_EPOCH };
            assert_eq!(answer(&outcome), expected);
        };
        check(true, "", "Success=1\n--\n");
        check(false, "[ALERT] x\n", "Success=0\n--\n[ALERT] x\n");
    }
}
