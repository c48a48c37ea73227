//! What a client has set for its own connection.

use super::anon::Veil;
use super::command::Mode;
use crate::config::model::StatsSocket;
use crate::config::model::global::{Level, SeverityOutput};
use std::time::{Duration, Instant};

/// Does the connection stay open, and what invites the next command?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Closed after the answers to what was sent in one go.
    Closing,
    /// Stays open without a prompt.
    Interactive,
    Shown,
}

#[derive(Debug)]
pub struct Session {
    pub level: Level,
    pub expert: bool,
    pub experimental: bool,
    pub severity: SeverityOutput,
    pub prompt: Prompt,
    /// The prompt tells how long the process has been running.
    pub timed: bool,
    pub timeout: Option<Duration>,
    pub socket: usize,
    /// The client may take the listening sockets.
    pub takes_listeners: bool,
    /// What dumps hide.
    pub veil: Veil,
}

impl Session {
    pub(super) fn new(socket: &StatsSocket, index: usize, timeout: Option<Duration>) -> Self {
        Self {
            level: socket.level,
            expert: false,
            experimental: false,
            severity: socket.severity,
            prompt: Prompt::Closing,
            timed: false,
            timeout,
            socket: index,
            takes_listeners: socket.expose_fd_listeners,
            veil: Veil::default(),
        }
    }

    #[must_use]
    pub fn allows(&self, mode: Mode) -> bool {
        match mode {
            Mode::Any => true,
            Mode::Expert => self.expert,
            Mode::Experimental => self.experimental,
        }
    }

    /// What stands after an answer.
    pub(super) fn invitation(&self, started: Instant, now: Instant) -> String {
        if self.prompt == Prompt::Shown && self.timed {
            let up = now.saturating_duration_since(started).as_secs();
            return format!("\n[{}:{:02}:{:02}:{:02}]> ", up / 86_400, up / 3600 % 24, up / 60 % 60, up % 60);
        }
        match self.prompt {
            Prompt::Shown => "\n> ".to_owned(),
            Prompt::Closing | Prompt::Interactive => "\n".to_owned(),
        }
    }
}
