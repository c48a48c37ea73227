//! How one ACL line or map converter looks at a reference: a match method and an index of the entries.
//!
//! As long as nobody has changed the reference, a lookup reads what the configuration made, without a lock and without
//! a copy. The first change builds the [`super::live::Live`] list, and lookups go there from then on.

use super::reference::{Entry, Reference};
use super::{Flags, Method, Parsed, Patterns};
use crate::expr::args;
use crate::expr::regex::Regex;
use crate::expr::sample::{Sample, parse_addr};
use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

/// What the values of a reference are to a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// An ACL: the entries have no values, or they do not matter.
    None,
    Text,
    Int,
    Addr,
}

impl Output {
    pub fn fits(self, value: &str) -> bool {
        match self {
            Self::None | Self::Text => true,
            Self::Int => args::parse_int(value).is_some(),
            Self::Addr => parse_addr(value.as_bytes()).is_some(),
        }
    }
}

/// Views with equal keys are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ViewKey {
    pub method: Method,
    pub flags: Flags,
    pub output: Output,
}

impl ViewKey {
    /// While the process runs, names are not looked up: nobody may wait for a name server.
    pub fn parse(&self, pattern: &str, running: bool) -> Result<Parsed, String> {
        let no_dns = self.flags.no_dns || running;
        Parsed::new(self.method, pattern, Flags { no_dns, ..self.flags })
    }
}

#[derive(Debug)]
pub(crate) struct View {
    pub(super) key: ViewKey,
    /// Place among the views of the reference.
    pub(super) number: usize,
    /// Of the entries the configuration gave.
    pub(super) initial: Patterns,
    pub(super) reference: Arc<Reference>,
}

impl View {
    /// Nothing to compare with, nor ever anything else than what the socket may add.
    pub fn is_empty(&self) -> bool {
        self.reference.initial.is_empty()
    }

    pub fn matches(&self, sample: &Sample<'_>) -> bool {
        match self.reference.live.get() {
            None => self.initial.matches(sample),
            Some(live) => {
                let live = live.read().unwrap_or_else(PoisonError::into_inner);
                live.views.get(self.number).is_some_and(|v| v.matches(sample))
            }
        }
    }

    /// The value of the entry that matches.
    pub fn value<'a>(&'a self, sample: &Sample<'_>) -> Option<Cow<'a, [u8]>> {
        self.see(
            sample,
            |entry, _| Cow::Borrowed(entry.value_bytes()),
            |entry, _| Cow::Owned(entry.value_bytes().to_vec()),
        )
    }

    /// The key of the entry that matches.
    pub fn key_of<'a>(&'a self, sample: &Sample<'_>) -> Option<Cow<'a, [u8]>> {
        self.see(
            sample,
            |entry, _| Cow::Borrowed(entry.key.as_bytes()),
            |entry, _| Cow::Owned(entry.key.as_bytes().to_vec()),
        )
    }

    /// Shows the value and the regular expression that matches.
    pub fn with_regex<R>(&self, sample: &Sample<'_>, show: impl Fn(&[u8], &Regex) -> R) -> Option<R> {
        let show = |entry: &Entry, regex: Option<&Regex>| Some(show(entry.value_bytes(), regex?));
        self.see(sample, show, show).flatten()
    }

    pub(super) fn see<'a, R>(
        &'a self,
        sample: &Sample<'_>,
        fixed: impl FnOnce(&'a Entry, Option<&'a Regex>) -> R,
        live: impl FnOnce(&Entry, Option<&Regex>) -> R,
    ) -> Option<R> {
        let Some(lock) = self.reference.live.get() else {
            let number = self.initial.find(sample)?;
            let entry = self.reference.initial.get(number as usize)?;
            return Some(fixed(entry, self.initial.regex(number)));
        };
        let list = lock.read().unwrap_or_else(PoisonError::into_inner);
        let view = list.views.get(self.number)?;
        let number = view.find(sample)?;
        Some(live(list.entries.get(&number)?, view.regex(number)))
    }
}
