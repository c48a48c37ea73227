//! Sessions that go on: tickets under the keys of a file, shared by whoever has the file (`tls-ticket-keys`), and how long
//! sessions last (`tune.ssl.lifetime`).

use super::store::lock;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use rustls::pki_types::UnixTime;
use rustls::server::{ProducesTickets, StoresServerSessions};
use rustls::time_provider::TimeProvider;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keys there are at any time: the one before, the one in use, the one to come.
pub const KEYS: usize = 3;

/// The keys of one file, oldest first; the last but one makes tickets, all of them read tickets.
#[derive(Debug)]
pub struct TicketKeys {
    /// The file, as written.
    pub name: Arc<str>,
    keys: Mutex<Vec<Arc<[u8]>>>,
}

/// Bytes of a key: a name, and what AES and HMAC take of it. The shorter form was made for AES with 128 bits.
pub const SIZES: [usize; 2] = [48, 80];
const NAME: usize = 16;
const SALT: usize = 16;
const TAG: usize = 16;

impl TicketKeys {
    /// Of more than [`KEYS`] keys the last ones count.
    #[must_use]
    pub fn new(name: Arc<str>, keys: Vec<Vec<u8>>) -> Self {
        let spare = keys.len().saturating_sub(KEYS);
        Self { name, keys: Mutex::new(keys.into_iter().skip(spare).map(Into::into).collect()) }
    }

    #[must_use]
    pub fn keys(&self) -> Vec<Arc<[u8]>> {
        lock(&self.keys).clone()
    }

    /// Takes a key for the time to come and forgets the oldest. False: it has another size than the others.
    pub fn push(&self, key: &[u8]) -> bool {
        let mut keys = lock(&self.keys);
        let fits = keys.first().is_some_and(|first| first.len() == key.len());
        if fits {
            keys.remove(0);
            keys.push(key.into());
        }
        fits
    }
}

/// Tickets under a file's keys, for lines that let in the same clients.
#[derive(Debug)]
pub struct Tickets {
    pub keys: Arc<TicketKeys>,
    /// A digest of who is let in: a ticket from a line that asks for less is none here.
    pub context: [u8; 32],
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        0
    }

    /// The key's name, a salt, and the session, sealed under a key made of both for this ticket alone.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.keys();
        let secret = keys.get(keys.len().checked_sub(2)?)?;
        let mut salt = [0; SALT];
        rand::fill(&mut salt).ok()?;
        let mut ticket = [secret.get(..NAME)?, &salt].concat();
        let mut sealed = plain.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key(secret, &salt)?.seal_in_place_append_tag(nonce, Aad::from(self.context), &mut sealed).ok()?;
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (salt, sealed) = rest.split_at_checked(SALT)?;
        let keys = self.keys.keys();
        let secret = keys.iter().find(|key| key.get(..NAME) == Some(name))?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key(secret, salt)?.open_in_place(nonce, Aad::from(self.context), &mut plain).ok()?;
        plain.truncate(plain.len().checked_sub(TAG)?);
        Some(plain)
    }
}

fn key(secret: &[u8], salt: &[u8]) -> Option<LessSafeKey> {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.get(NAME..)?), salt);
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?))
}

/// Sessions that end: the time they began is kept with them.
#[derive(Debug)]
pub struct Aging<T: ?Sized> {
    pub inner: Arc<T>,
    pub lifetime: Duration,
    pub clock: Arc<dyn TimeProvider>,
}

impl<T: ?Sized> Aging<T> {
    fn begun(&self, session: &[u8]) -> Option<Vec<u8>> {
        Some([&self.clock.current_time()?.as_secs().to_be_bytes(), session].concat())
    }

    fn unless_over(&self, mut session: Vec<u8>) -> Option<Vec<u8>> {
        let (begin, _) = session.split_first_chunk::<8>()?;
        let begin = UnixTime::since_unix_epoch(Duration::from_secs(u64::from_be_bytes(*begin)));
        let age = self.clock.current_time()?.as_secs().checked_sub(begin.as_secs())?;
        (age <= self.lifetime.as_secs()).then(|| session.split_off(8))
    }
}

impl ProducesTickets for Aging<dyn ProducesTickets> {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.inner.encrypt(&self.begun(plain)?)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.unless_over(self.inner.decrypt(ticket)?)
    }
}

impl StoresServerSessions for Aging<dyn StoresServerSessions> {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.begun(&value).is_some_and(|value| self.inner.put(key, value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unless_over(self.inner.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.unless_over(self.inner.take(key)?)
    }

    fn can_cache(&self) -> bool {
        self.inner.can_cache()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustls::server::ServerSessionMemoryCache;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    fn file(keys: &[u8]) -> Arc<TicketKeys> {
        let keys = keys.iter().map(|n| vec![*n; 48]).collect();
        Arc::new(TicketKeys::new("keys".into(), keys))
    }

    fn tickets(keys: &Arc<TicketKeys>, context: u8) -> Tickets {
        Tickets { keys: Arc::clone(keys), context: [context; 32] }
    }

    #[test]
    fn keys_roll() {
        let keys = file(&[0, 1, 2, 3]);
        let ours = tickets(&keys, 0);
        let ticket = ours.encrypt(b"session").unwrap();
        assert_eq!(ticket[..16], [2; 16]);
        assert_ne!(ticket, ours.encrypt(b"session").unwrap());
        // Another process with the file.
        assert_eq!(tickets(&file(&[1, 2, 3]), 0).decrypt(&ticket).unwrap(), b"session");
        assert!(tickets(&keys, 1).decrypt(&ticket).is_none());
        assert!(!keys.push(&[4; 80]) && keys.push(&[4; 48]));
        assert_eq!(ours.decrypt(&ticket).unwrap(), b"session");
        assert!(keys.push(&[5; 48]));
        assert!(ours.decrypt(&ticket).is_none());
        assert!(ours.decrypt(b"short").is_none());
        let mut changed = ours.encrypt(b"session").unwrap();
        *changed.last_mut().unwrap() ^= 1;
        assert!(ours.decrypt(&changed).is_none());
    }

    #[derive(Debug)]
    struct Clock(AtomicU64);

    impl TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Relaxed))))
        }
    }

    #[test]
    fn sessions_end() {
        let clock = Arc::new(Clock(AtomicU64::new(1000)));
        let lifetime = Duration::from_secs(300);
        let inner: Arc<dyn ProducesTickets> = Arc::new(tickets(&file(&[0, 1, 2]), 0));
        let ours: Aging<dyn ProducesTickets> = Aging { inner, lifetime, clock: clock.clone() };
        let inner: Arc<dyn StoresServerSessions> = ServerSessionMemoryCache::new(32);
        let kept: Aging<dyn StoresServerSessions> = Aging { inner, lifetime, clock: clock.clone() };
        let ticket = ours.encrypt(b"session").unwrap();
        assert!(kept.put(b"id".to_vec(), b"session".to_vec()));
        for (now, lives) in [(1000, true), (1300, true), (1301, false), (999, false)] {
            clock.0.store(now, Relaxed);
            assert_eq!(ours.decrypt(&ticket).is_some_and(|s| s == b"session"), lives, "{now}");
            assert_eq!(kept.get(b"id").is_some_and(|s| s == b"session"), lives, "{now}");
        }
        assert_eq!(ours.lifetime(), 300);
    }
}
