//! `reload --confirm <time>`: the worker before stays, accepting nobody, until the new one is confirmed. Where it is not, the old
//! one accepts again from the same sockets, and the new one finishes.

use super::children::{Child, Children, Event, Stage, kill};
use super::link::Kept;
use crate::live::reload::Outcome;
use crate::runtime::trial::nothing;
use crate::runtime::{line, say};
use crate::tasks::{self, Task};
use std::rc::Rc;
use std::time::Duration;

/// A reload that waits to be confirmed.
pub struct Trial {
    /// The new worker.
    pid: u32,
    limit: Duration,
    /// What the one before it listens on.
    sockets: Vec<Kept>,
    _clock: Task,
}

impl Children {
    /// Answers what is said to whoever asked.
    pub(super) fn begin_trial(
        self: &Rc<Self>,
        pid: u32,
        before: &Child,
        sockets: Vec<Kept>,
        limit: Duration,
    ) -> String {
        let events = self.events.clone();
        let clock = tasks::start("confirmation", async move {
            tokio::time::sleep(limit).await;
            let _ended = events.send(Event::Unconfirmed(pid));
        });
        *self.trial.borrow_mut() = Some(Trial { pid, limit, sockets, _clock: clock });
        let text = format!(
            "worker {} takes over again unless 'confirm' comes within {} s.",
            before.pid,
            limit.as_secs_f32()
        );
        say("NOTICE", &text);
        line("NOTICE", text)
    }

    pub(super) fn confirm(&self) -> Outcome {
        if self.trial.take().is_none() {
            return nothing();
        }
        if let Some(held) = self.held() {
            self.set_stage(held.pid, Stage::Old);
            kill(held.pid, libc::SIGUSR1);
        }
        say("NOTICE", "Reload confirmed.");
        Outcome::new(true, line("NOTICE", "the reload is confirmed."))
    }

    pub(super) fn unconfirmed(self: &Rc<Self>, pid: u32) {
        let limit = self.trial.borrow().as_ref().filter(|trial| trial.pid == pid).map(|trial| trial.limit);
        if let Some(limit) = limit {
            drop(self.roll_back(&format!("not confirmed within {} s", limit.as_secs_f32())));
        }
    }

    pub(super) fn roll_back(&self, why: &str) -> Outcome {
        let (Some(trial), Some(held)) = (self.trial.take(), self.held()) else { return nothing() };
        *self.sockets.borrow_mut() = trial.sockets;
        self.let_accept_again(&held);
        self.set_stage(trial.pid, Stage::Old);
        self.set_stage(held.pid, Stage::Current);
        if self.child(trial.pid).is_some() {
            kill(trial.pid, libc::SIGUSR1);
        }
        let text = format!("Reload rolled back ({why}): worker {} serves again.", held.pid);
        say("ALERT", &text);
        let text = line("ALERT", text);
        self.said.borrow_mut().clone_from(&text);
        self.note(&Outcome::new(false, text.clone()));
        Outcome::new(true, text)
    }

    /// The worker to go back to is gone.
    pub(super) fn lose_way_back(&self, pid: u32, how: &str) {
        *self.trial.borrow_mut() = None;
        say(
            "ALERT",
            format!("Former worker ({pid}) is gone ({how}): the reload cannot be rolled back any more."),
        );
    }
}
