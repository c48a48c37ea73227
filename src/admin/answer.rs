//! What a command answers.

use super::console::Console;
use std::future::Future;
use std::io;
use std::pin::Pin;

/// Severities of messages: syslog's numbers.
pub mod severity {
    pub const ALERT: u8 = 1;
    pub const ERR: u8 = 3;
    pub const WARNING: u8 = 4;
    pub const NOTICE: u8 = 5;
    pub const INFO: u8 = 6;
    pub const NAMES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
}

/// Writes the next piece of a long answer; `false`: that was the last one.
pub type Pieces = Box<dyn FnMut(&mut Vec<u8>) -> bool>;

/// Something that takes its time: waits, follows events, reads what the client sends.
pub type Job = Box<dyn for<'a> FnOnce(&'a mut Console) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>>;

/// The answer to one command. Texts end in a newline; the empty line or the prompt after them is the client's.
pub enum Answer {
    /// Nothing to say: done.
    Done,
    /// A message, which `severity-output` may mark.
    Message(u8, String),
    /// A dump, never marked.
    Text(Vec<u8>),
    /// A long dump, made while it is read.
    Pieces(Pieces),
    Job(Job),
    /// Ends the connection.
    Quit,
}

impl Answer {
    #[must_use]
    pub fn info(text: impl Into<String>) -> Self {
        Self::message(severity::INFO, text)
    }

    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self::message(severity::ERR, text)
    }

    #[must_use]
    pub fn message(severity: u8, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Self::Message(severity, text)
    }

    /// A message that HAProxy leaves without its newline.
    #[must_use]
    pub fn unended(severity: u8, text: impl Into<String>) -> Self {
        Self::Message(severity, text.into())
    }

    #[must_use]
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(text.into())
    }

    #[must_use]
    pub fn denied() -> Self {
        Self::error("Permission denied")
    }
}
