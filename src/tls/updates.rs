//! OCSP responses that are kept fresh (`ocsp-update on`): when each is asked for again, and how that went.
//!
//! Input: the certificates shown ([`Store::follow_updates`]), an order of the administrator's ([`Store::update_soon`]),
//! the end of a request ([`Store::updated`]). Output: the next request, or how long there is none ([`Store::next_update`]).
//! A response is asked for an hour after the last one at the latest and a minute before it ends, but not within five
//! minutes; after a failure in two minutes, four, eight...

use super::certificate::{Certificate, Parts, Staple};
use super::changes::Refusal;
use super::ocsp;
use super::store::{Slot, Store, lock};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Before a response ends.
const MARGIN: u64 = 60;
/// After a failure; doubled with each that follows another.
const AGAIN: u64 = 60;

/// What the global section says of it.
#[derive(Clone, Debug)]
pub struct Manner {
    /// `ocsp-update.mode`
    pub on: bool,
    /// `ocsp-update.disable`
    pub disabled: bool,
    /// `ocsp-update.mindelay`, `ocsp-update.maxdelay`
    pub min: Duration,
    pub max: Duration,
    /// `ocsp-update.httpproxy`
    pub via: Option<SocketAddr>,
}

impl Default for Manner {
    fn default() -> Self {
        let (min, max) = (Duration::from_secs(300), Duration::from_secs(3600));
        Self { on: false, disabled: false, min, max, via: None }
    }
}

/// How a request ended, by HAProxy's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Unknown,
    Done,
    /// Nobody there, or no 200.
    Http,
    /// 200, and something else than an OCSP response.
    Header,
    /// Not signed by whom it should be.
    Check,
    /// About another certificate, or of no use any more.
    Insertion,
}

impl Status {
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Done => "Update successful",
            Self::Http => "HTTP error",
            Self::Header => "Missing \"ocsp-response\" header",
            Self::Check => "OCSP response check failure",
            Self::Insertion => "Error during insertion",
        }
    }
}

/// Why there is no response.
#[derive(Clone, Debug)]
pub struct Failure {
    pub status: Status,
    pub reason: String,
}

/// The state of one certificate's response.
#[derive(Clone, Debug)]
pub struct Update {
    /// The certificate it is about.
    pub path: Arc<str>,
    /// In seconds since the epoch; 0: as soon as may be.
    pub next: u64,
    pub last: Option<u64>,
    pub successes: u32,
    pub failures: u32,
    pub status: Status,
    pub reason: Option<String>,
    pub running: bool,
    /// Failures since the last success.
    in_a_row: u32,
    /// Ordered by the administrator, of a certificate without `ocsp-update`.
    once: bool,
}

impl Update {
    fn new(path: &Arc<str>, next: u64, once: bool) -> Self {
        Self {
            path: Arc::clone(path),
            next,
            last: None,
            successes: 0,
            failures: 0,
            status: Status::Unknown,
            reason: None,
            running: false,
            in_a_row: 0,
            once,
        }
    }

    /// `"Update successful"`, with the reason where there is one.
    #[must_use]
    pub fn words(&self) -> String {
        let words = self.status.words();
        self.reason.as_ref().map_or_else(|| words.to_owned(), |reason| format!("{words} ({reason})"))
    }
}

/// A request to be made.
#[derive(Clone, Debug)]
pub struct Order {
    pub key: Vec<u8>,
    pub responder: String,
    pub request: Vec<u8>,
    issuer: CertificateDer<'static>,
    id: ocsp::Id,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next {
    Ask(Order),
    Wait(Duration),
    Nothing,
}

/// By the CertID in DER.
#[derive(Debug, Default)]
pub struct Updates {
    all: Mutex<BTreeMap<Vec<u8>, Update>>,
    on: AtomicBool,
}

impl Updates {
    /// `ocsp-update.mode`, for certificates that come later.
    pub fn set_default(&self, on: bool) {
        self.on.store(on, Relaxed);
    }

    #[must_use]
    pub fn by_default(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// What is under way, then the others by the time of their next request.
    #[must_use]
    pub fn list(&self) -> Vec<(Vec<u8>, Update)> {
        let mut all: Vec<_> = lock(&self.all).iter().map(|(key, one)| (key.clone(), one.clone())).collect();
        all.sort_by_key(|(_, update)| (!update.running, update.next));
        all
    }
}

impl Store {
    /// Goes over to the certificates shown now.
    pub fn follow_updates(&self, manner: &Manner, now: u64) {
        let shown: BTreeSet<Arc<str>> = self
            .doors()
            .iter()
            .flat_map(|door| door.lines())
            .map(|line| Arc::clone(&line.slot.name))
            .collect();
        let slots = self.all();
        let wanted = slots.iter().filter(|slot| !manner.disabled && shown.contains(&slot.name));
        let wanted: BTreeMap<Vec<u8>, (&Arc<Slot>, Staple)> = wanted
            .filter_map(|slot| {
                let certificate = slot.certificate();
                let staple = certificate.ocsp.clone().filter(|s| s.responder.is_some())?;
                certificate.parts.updates.then(|| (staple.id.der(), (slot, staple)))
            })
            .collect();
        let mut all = lock(&self.updates.all);
        all.retain(|key, update| update.once || wanted.contains_key(key));
        for (key, (slot, staple)) in wanted {
            all.entry(key).or_insert_with(|| {
                Update::new(&slot.name, next(staple.response.as_ref(), manner, now), false)
            });
        }
    }

    /// The next request, which is under way then.
    pub fn next_update(&self, now: u64) -> Next {
        let mut all = lock(&self.updates.all);
        loop {
            let first =
                all.iter().filter(|(_, update)| !update.running).min_by_key(|(_, update)| update.next);
            let Some((key, update)) = first.map(|(key, update)| (key.clone(), update)) else {
                return Next::Nothing;
            };
            if update.next > now {
                return Next::Wait(Duration::from_secs(update.next - now));
            }
            let Some(order) = self.order(&key) else {
                all.remove(&key);
                continue;
            };
            if let Some(update) = all.get_mut(&key) {
                update.running = true;
                update.status = Status::Unknown;
            }
            return Next::Ask(order);
        }
    }

    fn order(&self, key: &[u8]) -> Option<Order> {
        let staples = self.all().into_iter().filter_map(|slot| slot.certificate().ocsp.clone());
        let staple = { staples }.find(|staple| staple.id.der() == key)?;
        let request = staple.id.request();
        Some(Order {
            key: key.to_vec(),
            responder: staple.responder?,
            request,
            issuer: staple.issuer,
            id: staple.id,
        })
    }

    /// A request's end: what the responder sent is looked at and stapled. Answers what became of it.
    pub fn updated(
        &self,
        order: &Order,
        answer: Result<Vec<u8>, Failure>,
        manner: &Manner,
        now: u64,
    ) -> Option<Update> {
        let taken = answer.and_then(|response| self.take(order, &response, now));
        let mut all = lock(&self.updates.all);
        let update = all.get_mut(&order.key)?;
        update.running = false;
        match taken {
            Ok(response) => {
                update.next = next(Some(&response), manner, now);
                update.last = Some(now);
                update.successes += 1;
                update.in_a_row = 0;
                (update.status, update.reason) = (Status::Done, None);
            }
            Err(failure) => {
                update.failures += 1;
                update.in_a_row = update.in_a_row.saturating_add(1);
                (update.status, update.reason) = (failure.status, Some(failure.reason));
                let delay = AGAIN.checked_shl(update.in_a_row).unwrap_or(u64::MAX).min(manner.max.as_secs());
                update.next = now.saturating_add(delay.max(1));
            }
        }
        let update = update.clone();
        if update.once {
            all.remove(&order.key);
        }
        Some(update)
    }

    fn take(&self, order: &Order, response: &[u8], now: u64) -> Result<ocsp::Response, Failure> {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        let failure = |status: Status| move |reason: String| Failure { status, reason };
        ocsp::verify(response, &order.issuer, now).map_err(failure(Status::Check))?;
        let unusable = failure(Status::Insertion);
        let said = ocsp::about(response, &order.id).map_err(|why| unusable(why.to_owned()))?;
        if !said.is_current(now) {
            return Err(unusable("OCSP single response: no longer valid".to_owned()));
        }
        if said.status == "unknown" {
            return Err(unusable("OCSP single response: certificate status is unknown".to_owned()));
        }
        self.staple(response).map_err(unusable)?;
        Ok(said)
    }

    /// `update ssl ocsp-response`: asks for a certificate's response now, kept fresh or not.
    ///
    /// # Errors
    /// There is no such certificate ([`Refusal::Unknown`]), or nobody to ask about it ([`Refusal::Incomplete`]).
    pub fn update_soon(&self, name: &str) -> Result<(), Refusal> {
        let slot = self.get(name).ok_or(Refusal::Unknown)?;
        let certificate = slot.certificate();
        let staple = certificate.ocsp.as_ref().filter(|staple| staple.responder.is_some());
        let key = staple.ok_or(Refusal::Incomplete)?.id.der();
        lock(&self.updates.all).entry(key).or_insert_with(|| Update::new(&slot.name, 0, true)).next = 0;
        Ok(())
    }

    /// Takes over the responses that the store before this one has fetched, and when each is due.
    pub fn inherit_updates(&self, before: &Self) {
        for slot in self.all() {
            let certificate = slot.certificate();
            let Some(staple) = certificate.ocsp.as_ref().filter(|_| certificate.parts.updates) else {
                continue;
            };
            let newer = newest(&before.all(), staple);
            if let Some(parts) = newer.map(|ocsp| Parts { ocsp: Some(ocsp), ..certificate.parts.clone() })
                && let Ok(certificate) = parts.build()
            {
                // What cannot be shown was shown before: its own response stays.
                let _shown = self.replace(&slot.name, certificate);
            }
            let key = staple.id.der();
            if let Some(update) = lock(&before.updates.all).get(&key).filter(|update| !update.once) {
                let update = Update { path: Arc::clone(&slot.name), running: false, ..update.clone() };
                lock(&self.updates.all).insert(key, update);
            }
        }
    }

    /// A change that was begun before the last response came does not bring the one before it back.
    pub(super) fn with_newer_response(&self, name: &str, parts: Parts) -> Parts {
        if !parts.updates {
            return parts;
        }
        let fresh = parts.clone().build().ok();
        let staple = fresh.as_ref().and_then(|certificate: &Certificate| certificate.ocsp.as_ref());
        let slots: Vec<_> = self.get(name).into_iter().collect();
        match staple.and_then(|staple| newest(&slots, staple)) {
            Some(ocsp) => Parts { ocsp: Some(ocsp), ..parts },
            None => parts,
        }
    }
}

/// The newest response about the same certificate, if newer than this one.
fn newest(slots: &[Arc<Slot>], than: &Staple) -> Option<Vec<u8>> {
    let when = |staple: &Staple| staple.response.as_ref().map(|r| r.this_update.as_secs());
    let certificates = slots.iter().map(|slot| slot.certificate());
    let newer = certificates.filter_map(|c| {
        let staple = c.ocsp.as_ref().filter(|staple| staple.id == than.id && when(staple) > when(than))?;
        Some((when(staple), c.parts.ocsp.clone()?))
    });
    newer.max_by_key(|(when, _)| *when).map(|(_, response)| response)
}

fn next(response: Option<&ocsp::Response>, manner: &Manner, now: u64) -> u64 {
    let Some(response) = response else { return 0 };
    let end = response.next_update.as_secs().saturating_sub(MARGIN);
    end.min(now + manner.max.as_secs()).max(now + manner.min.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn response(next_update: u64) -> ocsp::Response {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let id = ocsp::Id { issuer_name: vec![], issuer_key: vec![], serial: vec![] };
        let now = at(NOW);
        ocsp::Response {
            id,
            status: "good",
            produced_at: now,
            this_update: now,
            next_update: at(next_update),
        }
    }

    #[test]
    fn when_a_response_is_asked_for_again() {
        let manner = Manner::default();
        let check = |ends: Option<u64>, expected: u64| {
            let response = ends.map(|ends| response(NOW + ends));
            assert_eq!(next(response.as_ref(), &manner, NOW), expected, "{ends:?}");
        };
        check(None, 0);
        check(Some(86_400), NOW + 3600);
        check(Some(1800), NOW + 1740);
        check(Some(100), NOW + 300);
    }

    #[test]
    fn failures_are_tried_again_less_and_less_often() {
        let (store, manner, path) = (Store::default(), Manner::default(), Arc::from("a.pem"));
        let id = response(NOW).id;
        let order = Order {
            key: vec![1],
            responder: String::new(),
            request: vec![],
            issuer: CertificateDer::from(vec![]),
            id,
        };
        lock(&store.updates.all).insert(order.key.clone(), Update::new(&path, 0, false));
        let delays: Vec<u64> = (0..8)
            .filter_map(|_| {
                let failure = Failure { status: Status::Http, reason: "x".to_owned() };
                Some(store.updated(&order, Err(failure), &manner, NOW)?.next - NOW)
            })
            .collect();
        assert_eq!(delays, [120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        let list = store.updates.list();
        assert_eq!((list[0].1.failures, list[0].1.words()), (8, "HTTP error (x)".to_owned()));
    }
}
