//! `reload --confirm <time>` inside the process: the configuration before is kept, to be gone back to unless the new one is
//! confirmed.

use super::reload::{self, Running};
use super::{Read, line, master};
use crate::config::model::Config;
use crate::live::Process;
use crate::live::reload::{Answer, Outcome, Wish};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A reload that waits to be confirmed.
pub struct Trial {
    back: Arc<Config>,
    limit: Duration,
    until: Instant,
}

impl Trial {
    /// Begins now; `outcome` says so.
    fn begin(back: Arc<Config>, limit: Duration, outcome: &mut Outcome) -> Self {
        let text = format!(
            "the configuration before comes back unless 'confirm' comes within {} s.",
            limit.as_secs_f32()
        );
        outcome.messages += &line("NOTICE", text);
        Self { back, limit, until: Instant::now() + limit }
    }

    /// Ready when the time to confirm is over, if there is anything to confirm.
    pub async fn expired(trial: Option<&Self>) {
        match trial {
            Some(trial) => tokio::time::sleep_until(trial.until).await,
            None => std::future::pending().await,
        }
    }
}

/// Does what is asked for. Answers who wants the files read again, with the time to confirm them.
pub async fn begin_what_is_asked(
    process: &Process,
    mut running: Running<'_>,
    trial: &mut Option<Trial>,
) -> Option<(Option<Duration>, Vec<Answer>)> {
    let (wish, askers) = process.reloads.take()?;
    if let Some(channel) = &running.options.channel {
        forward(channel, process, wish, askers);
        return None;
    }
    let outcome = match (wish, trial.take()) {
        (Wish::Reload(limit), None) => return Some((limit, askers)),
        (Wish::Reload(_), waits) => {
            *trial = waits;
            first()
        }
        (_, None) => nothing(),
        (Wish::Confirm, Some(_)) => reload::confirmed(running.services),
        (Wish::Rollback, Some(over)) => running.go_back(over.back, "asked for").await,
    };
    outcome.tell(askers);
    None
}

/// Goes over to what was read, for good or on trial.
pub async fn change(
    read: Read,
    limit: Option<Duration>,
    askers: Vec<Answer>,
    mut running: Running<'_>,
) -> Option<Trial> {
    let before = Arc::clone(&running.shared.generation.config);
    let mut outcome = running.change(read).await;
    let trial = limit.filter(|_| outcome.success).map(|limit| Trial::begin(before, limit, &mut outcome));
    outcome.tell(askers);
    trial
}

/// The time to confirm is over.
pub async fn end(trial: &mut Option<Trial>, mut running: Running<'_>) {
    if let Some(Trial { back, limit, .. }) = trial.take() {
        running.go_back(back, &format!("not confirmed within {} s", limit.as_secs_f32())).await;
    }
}

/// A worker's reloads are its master's to do.
fn forward(channel: &master::Channel, process: &Process, wish: Wish, askers: Vec<Answer>) {
    let number = process.reloads.forward(askers);
    if let Err(error) = channel.ask(number, wish) {
        let text = line("ALERT", format!("the master does not listen: {error}"));
        process.reloads.answered(number, &Outcome::new(false, text));
    }
}

/// What is said where nothing waits.
pub fn nothing() -> Outcome {
    Outcome::new(false, line("ALERT", "no reload waits to be confirmed."))
}

/// What is said where something does.
pub fn first() -> Outcome {
    let text =
        "a reload waits to be confirmed: 'confirm' it or take it back with 'rollback' before the next one.";
    Outcome::new(false, line("ALERT", text))
}
