//! One command: a row of a table, and what it is called with.

use super::answer::Answer;
use super::session::Session;
use super::{Admin, commands};
use crate::config::model::global::Level;
use crate::live::Generation;
use std::rc::Rc;

/// Which mode of the session a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Any,
    Expert,
    Experimental,
}

/// A row of a family's table.
pub struct Command {
    /// The words it is called by.
    pub name: &'static str,
    /// The least level that may use it: others are answered `Permission denied`.
    pub level: Level,
    pub mode: Mode,
    /// How it is written, for help; empty: not listed there.
    pub usage: &'static str,
    /// What it does, in a few words.
    pub doc: &'static str,
    pub run: Handler,
}

pub type Handler = fn(&mut Call<'_>) -> Answer;

impl Command {
    #[must_use]
    pub const fn new(
        name: &'static str,
        level: Level,
        usage: &'static str,
        doc: &'static str,
        run: Handler,
    ) -> Self {
        Self { name, level, mode: Mode::Any, usage, doc, run }
    }

    /// The same, but only in this mode of the session.
    #[must_use]
    pub const fn only(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.name.split(' ')
    }

    pub(super) fn is_shown(&self, session: &Session) -> bool {
        session.allows(self.mode)
    }
}

/// The command that the words begin with.
pub(super) fn find(words: &[String]) -> Option<&'static Command> {
    let called = |c: &&Command| c.words().enumerate().all(|(i, w)| words.get(i).is_some_and(|g| g == w));
    commands::all().find(called)
}

/// What a command is called with.
pub struct Call<'a> {
    pub admin: &'a Rc<Admin>,
    pub session: &'a mut Session,
    /// All words, those of the name first.
    pub words: &'a [String],
    pub payload: Option<&'a str>,
}

impl Call<'_> {
    /// The word at that place (0: the first of the name), empty if there is none.
    #[must_use]
    pub fn word(&self, i: usize) -> &str {
        self.words.get(i).map_or("", String::as_str)
    }

    #[must_use]
    pub fn has(&self, i: usize) -> bool {
        !self.word(i).is_empty()
    }

    #[must_use]
    pub fn live(&self) -> &Generation {
        self.admin.live()
    }
}
