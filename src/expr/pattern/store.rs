//! All pattern references of one configuration: shared by file name while it is read, numbered when it is whole.

use super::reference::{Entry, Reference};
use crate::config::raw::Place;
use crate::expr::map;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// How the one who asks for a file will use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Acl,
    /// `-M -f`: an ACL on the first column.
    AclOfMap,
    Map,
}

/// Who uses a reference, for its description.
#[derive(Debug, Default)]
pub(super) struct Origin {
    pub by_acl: bool,
    /// Patterns on an ACL line: its criterion.
    pub criterion: Option<String>,
    pub uses: Vec<(Use, Place)>,
}

impl Origin {
    pub fn describe(&self, name: &str) -> String {
        let at = |p: &Place| format!("file '{}' line {}", p.file, p.line);
        if let Some(criterion) = &self.criterion {
            let place = self.uses.first().map_or_else(String::new, |(_, p)| at(p));
            return format!("acl '{criterion}' {place}");
        }
        let uses: Vec<String> = self
            .uses
            .iter()
            .map(|(how, place)| {
                let kind = if *how == Use::Acl { "acl" } else { "map" };
                format!("by {kind} at {}", at(place))
            })
            .collect();
        format!("pattern loaded from file '{name}' used {}", uses.join(", "))
    }
}

/// The references of one configuration.
#[derive(Debug, Default)]
pub struct Store {
    reading: Mutex<Reading>,
    whole: OnceLock<Vec<Arc<Reference>>>,
}

#[derive(Debug, Default)]
struct Reading {
    place: Option<Place>,
    /// What was parsed twice (`defaults`) leaves references nobody holds.
    found: Vec<Weak<Reference>>,
    files: HashMap<String, Weak<Reference>>,
    ids: HashMap<u32, Weak<Reference>>,
}

impl Store {
    /// The line that is read now.
    pub fn enter(&self, place: &Place) {
        self.reading().place = Some(place.clone());
    }

    /// The reference of a pattern file, read unless it is known already.
    ///
    /// # Errors
    /// A file that can't be read, or that is used with another number of columns.
    pub(crate) fn file(&self, name: &str, how: Use) -> Result<Arc<Reference>, String> {
        let mut reading = self.reading();
        let place = reading.place.clone().unwrap_or_else(nowhere);
        let two_columns = how != Use::Acl;
        if let Some(known) = reading.files.get(name).and_then(Weak::upgrade) {
            if known.two_columns != two_columns {
                let (is, wanted) = if two_columns { ("one", "two") } else { ("two", "one") };
                return Err(format!(
                    "The file \"{name}\" is already used as {is} column file and cannot be used by as {wanted} column file"
                ));
            }
            let mut origin = known.origin.lock().unwrap_or_else(PoisonError::into_inner);
            origin.by_acl |= how != Use::Map;
            origin.uses.push((how, place));
            drop(origin);
            return Ok(known);
        }
        let entries = map::read_entries(name, two_columns)?;
        let origin = Origin { by_acl: how != Use::Map, criterion: None, uses: vec![(how, place)] };
        let reference = Arc::new(Reference::new(name, origin, two_columns, entries));
        reading.found.push(Arc::downgrade(&reference));
        reading.files.insert(name.to_owned(), Arc::downgrade(&reference));
        Ok(reference)
    }

    /// The reference of the patterns written on an ACL line.
    ///
    /// # Errors
    /// An id that another one has.
    pub(crate) fn inline(
        &self,
        criterion: &str,
        id: Option<u32>,
        patterns: &[String],
    ) -> Result<Arc<Reference>, String> {
        let mut reading = self.reading();
        if id.is_some_and(|id| reading.ids.get(&id).and_then(Weak::upgrade).is_some()) {
            return Err("the id is already used".to_owned());
        }
        let place = reading.place.clone().unwrap_or_else(nowhere);
        let entries = patterns.iter().map(|key| Entry::new(key, None)).collect();
        let origin =
            Origin { by_acl: true, criterion: Some(criterion.to_owned()), uses: vec![(Use::Acl, place)] };
        let reference = Arc::new(Reference::new("", origin, false, entries));
        if let Some(id) = id {
            let _ = reference.id.set(id);
            reading.ids.insert(id, Arc::downgrade(&reference));
        }
        reading.found.push(Arc::downgrade(&reference));
        Ok(reference)
    }

    /// Everything is read: numbers what has no number, in the order it was met.
    pub fn finish(&self) {
        let mut found: Vec<Arc<Reference>> =
            self.reading().found.drain(..).filter_map(|r| r.upgrade()).collect();
        let taken: HashSet<u32> = found.iter().filter_map(|r| r.id.get().copied()).collect();
        let mut free = (0..).filter(|id| !taken.contains(id));
        for reference in &found {
            reference.id.get_or_init(|| free.next().unwrap_or(u32::MAX));
        }
        found.sort_by_key(|r| r.id());
        let _ = self.whole.set(found);
    }

    /// All references by their numbers; none before [`Self::finish`].
    #[must_use]
    pub fn references(&self) -> &[Arc<Reference>] {
        self.whole.get().map_or(&[], Vec::as_slice)
    }

    /// By `#<id>` or file name.
    #[must_use]
    pub fn find(&self, which: &str) -> Option<&Arc<Reference>> {
        match which.strip_prefix('#') {
            Some(id) => {
                let id = id.parse().ok()?;
                self.references().iter().find(|r| r.id() == id)
            }
            None => self.references().iter().find(|r| !r.name.is_empty() && r.name == which),
        }
    }

    /// By the file name a rule gives.
    fn by_name(&self, name: &str) -> Option<Arc<Reference>> {
        self.references().iter().find(|r| !r.name.is_empty() && r.name == name).cloned()
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `set-map(FILE)` and its kin change: a reference that may be declared after the rule.
#[derive(Debug)]
pub struct PatternFile {
    pub name: String,
    store: Arc<Store>,
    found: OnceLock<Option<Arc<Reference>>>,
}

impl PatternFile {
    #[must_use]
    pub fn new(name: &str, store: &Arc<Store>) -> Self {
        Self { name: name.to_owned(), store: Arc::clone(store), found: OnceLock::new() }
    }

    /// None where no ACL and no map uses the file.
    pub fn reference(&self) -> Option<&Arc<Reference>> {
        self.found.get_or_init(|| self.store.by_name(&self.name)).as_ref()
    }
}

fn nowhere() -> Place {
    Place { file: "".into(), line: 0 }
}
