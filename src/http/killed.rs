//! Exchanges that are told to end: with their server's sessions, or one by one.

use super::error::{Cause, Failure, Phase};
use super::exchange::Exchange;
use std::task::{Context, Poll};

impl Exchange<'_> {
    /// Ready when `on-marked-down shutdown-sessions` and its like end the server's sessions, or someone ended this one.
    pub fn poll_killed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.client.card.is_killed() {
            return Poll::Ready(());
        }
        self.killed.as_mut().map_or(Poll::Pending, |killed| killed.as_mut().poll(cx))
    }

    /// How far it has come.
    fn phase(&self) -> Phase {
        match (self.answered, self.times.connected, self.times.assigned, &self.backend) {
            (true, ..) => Phase::Data,
            (_, Some(_), ..) if self.request.is_complete() => Phase::Header,
            (_, None, Some(_), _) => Phase::Connect,
            (_, None, None, Some(_)) if self.forwarding => Phase::Queue,
            _ => Phase::Request,
        }
    }

    /// What ends an exchange whose server's sessions, or which itself, was told to end.
    pub(super) fn killed_failure(&self, phase: Phase, status: u16) -> Failure {
        if !self.client.card.is_killed() {
            return Failure::new(Cause::ServerDown, phase, status);
        }
        match phase {
            Phase::Header if !self.request.is_complete() => Failure::new(Cause::Killed, Phase::Request, 0),
            Phase::Header => Failure::new(Cause::Killed, phase, 502),
            _ => Failure::new(Cause::Killed, phase, 0),
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if self.client.card.is_killed() && self.letters == *b"--" {
            self.letters = self.killed_failure(self.phase(), 0).letters();
        }
        self.finish();
    }
}
