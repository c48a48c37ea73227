//! What may be done to a reference while the process runs. All of it is in effect when the call returns.

use super::live::Live;
use super::reference::{Entry, Reference, Versions};
use super::view::Output;
use super::{Method, Parsed};
use crate::expr::sample::Sample;
use std::sync::PoisonError;

/// Why a change was refused; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// No entry has that key.
    NoKey,
    /// No entry has that id.
    NoEntry,
    /// The version was not prepared.
    Future,
    /// Only versions after the current one and not after the newest may become current.
    OutOfRange,
    /// A view can't read the key or the value.
    Unreadable(String),
}

/// What one view of a reference answers for a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub method: &'static str,
    pub ignore_case: bool,
    /// Looked up in a tree rather than in a list, as HAProxy would.
    pub tree: bool,
    pub found: Option<Found>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub key: String,
    /// Value and its type; `None` where the view is an ACL's.
    pub value: Option<(String, &'static str)>,
}

impl Reference {
    /// The current and the newest version.
    #[must_use]
    pub fn version_numbers(&self) -> (u32, u32) {
        let versions = self.versions();
        (versions.current, versions.newest)
    }

    /// Entries of all versions, once for each view, as HAProxy counts them.
    #[must_use]
    pub fn count(&self) -> usize {
        let versions = self.versions();
        let current = match self.live.get() {
            None => self.initial.len(),
            Some(live) => live.read().unwrap_or_else(PoisonError::into_inner).entries.len(),
        };
        (current + versions.aside.values().map(Vec::len).sum::<usize>()) * self.view_count()
    }

    /// The entries of a version (the current one unless said), in order.
    #[must_use]
    pub fn entries(&self, version: Option<u32>) -> Vec<Entry> {
        let versions = self.versions();
        match version.filter(|v| *v != versions.current) {
            Some(version) => versions.aside.get(&version).cloned().unwrap_or_default(),
            None => match self.live.get() {
                None => self.initial.clone(),
                Some(live) => {
                    live.read().unwrap_or_else(PoisonError::into_inner).entries.values().cloned().collect()
                }
            },
        }
    }

    /// Appends an entry to a version, the current one unless said.
    ///
    /// # Errors
    /// A version that was not prepared, or what a view can't read.
    pub fn add(&self, version: Option<u32>, key: &str, value: Option<&str>) -> Result<(), EditError> {
        let parsed = self.parse(key, value).map_err(EditError::Unreadable)?;
        let mut versions = self.versions();
        match version.filter(|v| *v != versions.current) {
            None => self.append(Entry::new(key, value), parsed),
            Some(version) if version > versions.newest => return Err(EditError::Future),
            Some(version) => versions.aside.entry(version).or_default().push(Entry::new(key, value)),
        }
        Ok(())
    }

    /// Appends an entry to the current version unless its key is there already (`add-acl`).
    pub fn add_if_absent(&self, key: &str) {
        let Ok(parsed) = self.parse(key, None) else { return };
        let _versions = self.versions();
        if !self.live().read().unwrap_or_else(PoisonError::into_inner).contains(key) {
            self.append(Entry::new(key, None), parsed);
        }
    }

    /// Gives all entries of that key the value, or appends one (`set-map`).
    pub fn set_or_add(&self, key: &str, value: &str) {
        let Ok(parsed) = self.parse(key, Some(value)) else { return };
        let _versions = self.versions();
        if self.change(key, value) == 0 {
            self.append(Entry::new(key, Some(value)), parsed);
        }
    }

    /// Gives entries of the current version another value: those of the key, or the one a `#0x…` names.
    ///
    /// # Errors
    /// No such entry, or a value that is not of a view's type.
    pub fn set(&self, which: &str, value: &str) -> Result<(), EditError> {
        self.check_value(&self.keys(), value).map_err(EditError::Unreadable)?;
        let _versions = self.versions();
        let Some(id) = entry_id(which) else {
            return if self.change(which, value) > 0 { Ok(()) } else { Err(EditError::NoKey) };
        };
        let mut live = self.live().write().unwrap_or_else(PoisonError::into_inner);
        let number = live.number_of(id).ok_or(EditError::NoEntry)?;
        if let Some(entry) = live.entries.get_mut(&number) {
            entry.value = Some(value.into());
        }
        Ok(())
    }

    /// Removes from the current version all entries of the key, or the one a `#0x…` names.
    ///
    /// # Errors
    /// No such entry.
    pub fn delete(&self, which: &str) -> Result<(), EditError> {
        let _versions = self.versions();
        let numbers = {
            let live = self.live().read().unwrap_or_else(PoisonError::into_inner);
            match entry_id(which) {
                Some(id) => live.number_of(id).into_iter().collect(),
                None => live.numbers_of(which),
            }
        };
        if numbers.is_empty() {
            return Err(EditError::NoKey);
        }
        let mut live = self.live().write().unwrap_or_else(PoisonError::into_inner);
        numbers.into_iter().for_each(|number| live.remove(number));
        Ok(())
    }

    /// Removes all entries of a version, the current one unless said.
    pub fn clear(&self, version: Option<u32>) {
        let mut versions = self.versions();
        match version.filter(|v| *v != versions.current) {
            Some(version) => drop(versions.aside.remove(&version)),
            None => self.replace(Live::new(&self.keys(), [])),
        }
    }

    /// Begins a new version; answers its number.
    pub fn prepare(&self) -> u32 {
        let mut versions = self.versions();
        versions.newest += 1;
        versions.newest
    }

    /// Makes a version the current one; those before it are gone.
    ///
    /// # Errors
    /// A version that is not between the current and the newest.
    pub fn commit(&self, version: u32) -> Result<(), EditError> {
        let in_range = |v: &Versions| version > v.current && version <= v.newest;
        let entries = {
            let mut versions = self.versions();
            if !in_range(&versions) {
                return Err(EditError::OutOfRange);
            }
            versions.aside.remove(&version).unwrap_or_default()
        };
        // Rules that add entries meanwhile need not wait for the index.
        let live = Live::new(&self.keys(), entries);
        let mut versions = self.versions();
        if !in_range(&versions) {
            return Err(EditError::OutOfRange);
        }
        versions.current = version;
        versions.aside.retain(|v, _| *v > version);
        self.replace(live);
        Ok(())
    }

    /// What each view answers for a text.
    #[must_use]
    pub fn answers(&self, text: &str) -> Vec<Answer> {
        let sample = Sample::text(text.as_bytes());
        self.live_views()
            .iter()
            .map(|view| {
                let found = |entry: &Entry| Found {
                    key: entry.key.to_string(),
                    value: (view.key.output != Output::None).then(|| {
                        let value = entry.value.as_deref().unwrap_or_default();
                        (value.to_owned(), view.key.output.type_name(value))
                    }),
                };
                Answer {
                    method: view.key.method.name(),
                    ignore_case: view.key.flags.ignore_case,
                    tree: in_tree(view.key.method, view.key.flags.ignore_case),
                    found: match view.key.method {
                        Method::Ip if sample.to_addr().is_none() => None,
                        _ => view.see(&sample, |e, _| found(e), |e, _| found(e)),
                    },
                }
            })
            .collect()
    }

    /// The caller holds the versions' lock, which keeps changes one after another.
    fn append(&self, entry: Entry, parsed: Vec<Option<Parsed>>) {
        let worn = {
            let mut live = self.live().write().unwrap_or_else(PoisonError::into_inner);
            live.add(entry, parsed);
            live.is_worn()
        };
        if worn {
            let entries: Vec<Entry> = {
                let live = self.live().read().unwrap_or_else(PoisonError::into_inner);
                live.entries.values().cloned().collect()
            };
            self.replace(Live::new(&self.keys(), entries));
        }
    }

    /// Answers how many entries have the key.
    fn change(&self, key: &str, value: &str) -> usize {
        let numbers = self.live().read().unwrap_or_else(PoisonError::into_inner).numbers_of(key);
        if !numbers.is_empty() {
            let mut live = self.live().write().unwrap_or_else(PoisonError::into_inner);
            for number in &numbers {
                if let Some(entry) = live.entries.get_mut(number) {
                    entry.value = Some(value.into());
                }
            }
        }
        numbers.len()
    }

    /// Swaps the whole list; the old one is dropped when nobody waits for the lock any more.
    fn replace(&self, new: Live) {
        let old = {
            let mut live = self.live().write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *live, new)
        };
        drop(old);
    }
}

/// `#0x5600…` names an entry as `show map` lists it.
fn entry_id(which: &str) -> Option<u64> {
    let number = which.strip_prefix('#')?;
    u64::from_str_radix(number.trim_start_matches("0x"), 16).ok().or(Some(0))
}

fn in_tree(method: Method, ignore_case: bool) -> bool {
    match method {
        Method::Str | Method::Beg => !ignore_case,
        Method::Ip => true,
        _ => false,
    }
}
