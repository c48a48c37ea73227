//! Every certificate of the configuration by the name of its file, each replaceable while it is in use.

use super::Door;
use super::certificate::{Certificate, Extra, Parts, Problem, load};
use super::changes::Changes;
use super::tickets::TicketKeys;
use super::trust::Trust;
use super::updates::Updates;
use arc_swap::ArcSwap;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What the configuration calls a certificate, and what it is now.
#[derive(Debug)]
pub struct Slot {
    /// As written, with `crt-base` before it: the name the administrator uses.
    pub name: Arc<str>,
    current: ArcSwap<Certificate>,
    /// Server lines that show it.
    kept: AtomicU32,
    /// Whether its OCSP responses are kept fresh, once the first `bind` line or `crt-store` has said so.
    updates: OnceLock<bool>,
}

impl Slot {
    /// A server line shows it.
    pub fn keep(&self) {
        self.kept.fetch_add(1, Ordering::Relaxed);
    }

    /// How many server lines show it.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.kept.load(Ordering::Relaxed) as usize
    }

    #[must_use]
    pub fn certificate(&self) -> Arc<Certificate> {
        self.current.load_full()
    }

    /// Are its OCSP responses kept fresh (`ocsp-update`)? `None`: nobody has said so.
    #[must_use]
    pub fn updates(&self) -> Option<bool> {
        self.updates.get().copied()
    }

    /// Says whether its OCSP responses are kept fresh, before it is shown to anybody. `false`: it was said otherwise.
    ///
    /// # Errors
    /// Nobody can be asked for them.
    pub fn keep_fresh(&self, on: bool) -> Result<bool, Problem> {
        let begins = self.updates.get().is_none();
        let same = *self.updates.get_or_init(|| on) == on;
        if on && begins {
            let parts = Parts { updates: true, ..self.certificate().parts.clone() };
            self.current.store(Arc::new(parts.build()?));
        }
        Ok(same)
    }
}

/// The certificates of one generation, and the `bind` lines that show them.
#[derive(Debug, Default)]
pub struct Store {
    slots: Mutex<BTreeMap<Arc<str>, Arc<Slot>>>,
    doors: Mutex<Vec<Arc<Door>>>,
    /// One change at a time: table and slot are changed together.
    changing: Mutex<()>,
    pub(super) changes: Mutex<Changes>,
    pub(super) trust: Trust,
    tickets: Mutex<Vec<Arc<TicketKeys>>>,
    sessions: OnceLock<Arc<ServerSessionMemoryCache>>,
    pub updates: Updates,
    /// For certificates that come later, see [`Parts::skip_roots`].
    pub skips_roots: AtomicBool,
    apart: AtomicU32,
}

impl Store {
    /// The certificate of that name, read from its file on first use.
    ///
    /// # Errors
    /// See [`Problem`].
    pub fn open(&self, name: &str, path: &Path, extra: Extra) -> Result<Arc<Slot>, Problem> {
        if let Some(slot) = self.get(name) {
            return Ok(slot);
        }
        Ok(self.insert(name, load(path, extra)?))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Slot>> {
        lock(&self.slots).get(name).cloned()
    }

    /// Every certificate, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Slot>> {
        lock(&self.slots).values().cloned().collect()
    }

    /// Takes a certificate in under a new name, for lines to refer to; an old one of that name goes.
    pub fn insert(&self, name: &str, certificate: Certificate) -> Arc<Slot> {
        let name: Arc<str> = name.into();
        let slot = Arc::new(Slot {
            name: Arc::clone(&name),
            current: ArcSwap::from_pointee(certificate),
            kept: AtomicU32::new(0),
            updates: OnceLock::new(),
        });
        lock(&self.slots).insert(name, Arc::clone(&slot));
        slot
    }

    pub(super) fn one_change(&self) -> MutexGuard<'_, ()> {
        lock(&self.changing)
    }

    /// Forgets a certificate that no line shows. False: one does, or there is none.
    pub fn remove(&self, name: &str) -> bool {
        let _one = self.one_change();
        let used = lock(&self.doors).iter().any(|door| door.shows(name))
            || self.get(name).is_some_and(|slot| slot.servers() > 0);
        !used && lock(&self.slots).remove(name).is_some()
    }

    /// Replaces a certificate everywhere at once: handshakes that begin later get the new one. Answers the lines that
    /// show it.
    ///
    /// # Errors
    /// The name is unknown, or a line cannot show the new one; nothing has changed then.
    pub fn replace(&self, name: &str, certificate: Certificate) -> Result<Vec<Arc<Door>>, String> {
        let _one = self.one_change();
        let slot = self.get(name).ok_or_else(|| format!("no certificate '{name}'"))?;
        let certificate = Arc::new(certificate);
        let doors: Vec<_> = lock(&self.doors).iter().filter(|door| door.shows(name)).cloned().collect();
        let tables: Result<Vec<_>, String> =
            doors.iter().map(|door| door.table_with(Some((&slot, &certificate)))).collect();
        for (door, table) in doors.iter().zip(tables?) {
            door.swap(table);
        }
        slot.current.store(certificate);
        Ok(doors)
    }

    /// Where sessions without tickets are kept, `capacity` of the whole process, for settings that share them with no
    /// others.
    #[must_use]
    pub fn sessions(&self, capacity: usize) -> Arc<dyn StoresServerSessions> {
        if capacity == 0 {
            return Arc::new(NoServerSessionStorage {});
        }
        let cache = self.sessions.get_or_init(|| ServerSessionMemoryCache::new(capacity));
        Arc::new(Apart { number: self.apart.fetch_add(1, Ordering::Relaxed), cache: Arc::clone(cache) })
    }

    /// The keys of a file that was read before.
    #[must_use]
    pub fn ticket_keys(&self, name: &str) -> Option<Arc<TicketKeys>> {
        lock(&self.tickets).iter().find(|keys| *keys.name == *name).cloned()
    }

    /// All files of ticket keys: their place is their number, the last one read comes first.
    #[must_use]
    pub fn all_ticket_keys(&self) -> Vec<Arc<TicketKeys>> {
        lock(&self.tickets).iter().rev().cloned().collect()
    }

    pub fn add_ticket_keys(&self, keys: Arc<TicketKeys>) {
        lock(&self.tickets).push(keys);
    }

    /// A `bind` line with TLS.
    pub fn add_door(&self, door: Arc<Door>) {
        lock(&self.doors).push(door);
    }

    #[must_use]
    pub fn doors(&self) -> Vec<Arc<Door>> {
        lock(&self.doors).clone()
    }
}

/// A share of the sessions: keys begin with its number.
#[derive(Debug)]
struct Apart {
    number: u32,
    cache: Arc<ServerSessionMemoryCache>,
}

impl Apart {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.number.to_be_bytes(), key].concat()
    }
}

impl StoresServerSessions for Apart {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.cache.put(self.key(&key), value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        counted(self.cache.get(&self.key(key)))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        counted(self.cache.take(&self.key(key)))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// A session that was asked for, whether or not it was there.
fn counted(found: Option<Vec<u8>>) -> Option<Vec<u8>> {
    LOOKUPS.fetch_add(1, Ordering::Relaxed);
    if found.is_none() {
        MISSES.fetch_add(1, Ordering::Relaxed);
    }
    found
}

static LOOKUPS: AtomicU64 = AtomicU64::new(0);
static MISSES: AtomicU64 = AtomicU64::new(0);

/// How often sessions were looked up since the process began, and how often they were not there.
#[must_use]
pub fn lookups() -> (u64, u64) {
    (LOOKUPS.load(Ordering::Relaxed), MISSES.load(Ordering::Relaxed))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
