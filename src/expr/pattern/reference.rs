//! A pattern file, or the patterns written on one ACL line: the entries that views look at, and their versions.
//!
//! Every use of one file shares one reference, so that a change reaches all of them. A change is made to the current
//! version at once; other versions are prepared aside and become current as a whole.

use super::live::Live;
use super::store::Origin;
use super::view::{Output, View, ViewKey};
use super::{Parsed, Patterns};
use crossbeam_utils::sync::ShardedLock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// One line of a pattern file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Names the entry as long as it lives.
    pub id: u64,
    pub key: Box<str>,
    /// Files of one column have none.
    pub value: Option<Box<str>>,
}

impl Entry {
    pub(crate) fn new(key: &str, value: Option<&str>) -> Self {
        Self { id: next_id(), key: key.into(), value: value.map(Into::into) }
    }

    pub(super) fn value_bytes(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default().as_bytes()
    }
}

/// Entry ids look like the addresses HAProxy shows, and step as they would.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0x5600_0000_0000);
    NEXT.fetch_add(0x40, Relaxed)
}

#[derive(Debug)]
pub struct Reference {
    /// Given when the whole configuration is read, unless `-u` said one.
    pub(super) id: OnceLock<u32>,
    /// As written; empty for patterns on an ACL line.
    pub(super) name: String,
    pub(super) origin: Mutex<Origin>,
    /// Lines have a second column: the value.
    pub(super) two_columns: bool,
    pub(super) initial: Vec<Entry>,
    pub(super) views: Mutex<Vec<(ViewKey, Weak<View>)>>,
    /// Built by the first change.
    pub(super) live: OnceLock<ShardedLock<Live>>,
    pub(super) versions: Mutex<Versions>,
}

#[derive(Debug, Default)]
pub(super) struct Versions {
    pub current: u32,
    pub newest: u32,
    /// Entries of versions that are not current.
    pub aside: BTreeMap<u32, Vec<Entry>>,
}

impl Reference {
    pub(super) fn new(name: &str, origin: Origin, two_columns: bool, initial: Vec<Entry>) -> Self {
        Self {
            id: OnceLock::new(),
            name: name.to_owned(),
            origin: Mutex::new(origin),
            two_columns,
            initial,
            views: Mutex::default(),
            live: OnceLock::new(),
            versions: Mutex::default(),
        }
    }

    /// The view of that kind: an index of the entries, shared by whoever asks for the same.
    ///
    /// # Errors
    /// The number of the entry a view of this kind can't read, and why.
    pub(crate) fn view(self: &Arc<Self>, key: ViewKey) -> Result<Arc<View>, (usize, String)> {
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = views.iter().find(|(k, _)| *k == key).and_then(|(_, v)| v.upgrade()) {
            return Ok(known);
        }
        let mut initial = Patterns::new(key.method);
        for ((at, entry), number) in self.initial.iter().enumerate().zip(0..) {
            let parsed = key.parse(&entry.key, false).map_err(|e| (at, e))?;
            if let Some(value) = entry.value.as_deref().filter(|v| !key.output.fits(v)) {
                return Err((at, format!("unable to parse '{value}'")));
            }
            initial.insert(parsed, number);
        }
        let view = View { key, number: views.len(), initial, reference: Arc::clone(self) };
        let view = Arc::new(view);
        views.push((key, Arc::downgrade(&view)));
        Ok(view)
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.id.get().copied().unwrap_or(u32::MAX)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it comes from and who uses it, in HAProxy's words.
    #[must_use]
    pub fn description(&self) -> String {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner).describe(&self.name)
    }

    #[must_use]
    pub fn is_acl(&self) -> bool {
        self.origin.lock().unwrap_or_else(PoisonError::into_inner).by_acl
    }

    #[must_use]
    pub fn is_map(&self) -> bool {
        self.two_columns
    }

    pub(super) fn keys(&self) -> Vec<ViewKey> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(k, _)| *k).collect()
    }

    pub(super) fn versions(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list that can be changed, built of what the configuration gave when it is first needed. The caller holds
    /// the versions' lock.
    pub(super) fn live(&self) -> &ShardedLock<Live> {
        self.live.get_or_init(|| ShardedLock::new(Live::new(&self.keys(), self.initial.iter().cloned())))
    }

    /// What each view makes of a key and a value.
    pub(super) fn parse(&self, key: &str, value: Option<&str>) -> Result<Vec<Option<Parsed>>, String> {
        let keys = self.keys();
        if let Some(value) = value {
            self.check_value(&keys, value)?;
        }
        keys.iter().map(|k| k.parse(key, true).map(Some)).collect()
    }

    pub(super) fn check_value(&self, keys: &[ViewKey], value: &str) -> Result<(), String> {
        match keys.iter().all(|k| k.output.fits(value)) {
            true => Ok(()),
            false => Err(format!("unable to parse '{value}'")),
        }
    }

    /// Views alive, for the counts of `show map`.
    pub(super) fn view_count(&self) -> usize {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.iter().filter(|(_, v)| v.strong_count() > 0).count()
    }

    pub(super) fn live_views(&self) -> Vec<Arc<View>> {
        let views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.iter().filter_map(|(_, v)| v.upgrade()).collect()
    }
}

impl Output {
    /// HAProxy's name of the type of a map's values.
    pub(super) fn type_name(self, value: &str) -> &'static str {
        match self {
            Self::None | Self::Text => "str",
            Self::Int => "sint",
            Self::Addr if value.contains(':') => "ipv6",
            Self::Addr => "ipv4",
        }
    }
}
