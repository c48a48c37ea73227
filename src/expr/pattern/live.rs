//! The entries of a reference once something has changed them: every view's index and the entries themselves, under
//! one lock, each change proportional to what is changed and not to the list.

use super::places::{Places, forget, note};
use super::reference::Entry;
use super::view::ViewKey;
use super::{Parsed, Patterns};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Default)]
pub(crate) struct Live {
    /// By entry number, which only grows: the order of the list.
    pub entries: BTreeMap<u32, Entry>,
    /// One for each view, by its number.
    pub views: Vec<Patterns>,
    by_key: HashMap<Box<str>, Places>,
    next: u32,
}

impl Live {
    /// A list of `entries`, in order. What a view can't read it leaves out.
    pub fn new(keys: &[ViewKey], entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut live =
            Self { views: keys.iter().map(|k| Patterns::new(k.method)).collect(), ..Self::default() };
        for entry in entries {
            let parsed = keys.iter().map(|k| k.parse(&entry.key, true).ok()).collect();
            live.add(entry, parsed);
        }
        live
    }

    /// Appends an entry; `parsed` is what each view made of its key.
    pub fn add(&mut self, entry: Entry, parsed: Vec<Option<Parsed>>) {
        let index = self.next;
        self.next += 1;
        for (view, parsed) in self.views.iter_mut().zip(parsed) {
            if let Some(parsed) = parsed {
                view.insert(parsed, index);
            }
        }
        note(&mut self.by_key, entry.key.clone(), index);
        self.entries.insert(index, entry);
    }

    /// True when no number is left for another entry: the list must be built anew.
    pub fn is_worn(&self) -> bool {
        self.next == u32::MAX
    }

    pub fn numbers_of(&self, key: &str) -> Vec<u32> {
        self.by_key.get(key).map_or_else(Vec::new, |places| places.all().to_vec())
    }

    pub fn contains(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    pub fn number_of(&self, id: u64) -> Option<u32> {
        self.entries.iter().find(|(_, e)| e.id == id).map(|(number, _)| *number)
    }

    pub fn remove(&mut self, number: u32) {
        let Some(entry) = self.entries.remove(&number) else { return };
        for view in &mut self.views {
            view.remove(&entry.key, number);
        }
        forget(&mut self.by_key, &*entry.key, number);
    }
}
