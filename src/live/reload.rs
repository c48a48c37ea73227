//! Reloads as they are asked for and answered: whoever asks is told what came of it, and everybody can see the last one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use tokio::sync::{Notify, oneshot};

/// Generations whose beginning is remembered.
const BIRTHS: usize = 1024;

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub success: bool,
    /// What there was to say: of the configuration, and why it was refused.
    pub messages: String,
    pub at: SystemTime,
}

/// Where reloads are asked for.
#[derive(Debug, Default)]
pub struct Requests {
    waiting: Mutex<Vec<oneshot::Sender<Outcome>>>,
    asked: Notify,
    last: Mutex<Option<Outcome>>,
    counts: Mutex<(u64, u64)>,
    /// When each generation began, those without connections too: two numbers for each reload.
    births: Mutex<Vec<(u64, Instant)>>,
}

impl Requests {
    /// Asks for a reload; the answer comes when it is done or refused.
    pub fn ask(&self) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).push(tell);
        self.asked.notify_one();
        told
    }

    /// Ready when somebody has asked.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Tells all who have asked up to now.
    pub fn take(&self) -> Vec<oneshot::Sender<Outcome>> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    /// Keeps what came of the last one.
    pub fn note(&self, outcome: &Outcome) {
        let mut counts = lock(&self.counts);
        if outcome.success {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
        *lock(&self.last) = Some(outcome.clone());
    }

    /// A generation begins.
    pub fn begin(&self, number: u64, now: Instant) {
        let mut births = lock(&self.births);
        births.push((number, now));
        // Of what nobody is likely to ask for any more the oldest are forgotten.
        if births.len() > BIRTHS {
            births.remove(0);
        }
    }

    #[must_use]
    pub fn born(&self, number: u64) -> Option<Instant> {
        lock(&self.births).iter().find(|(n, _)| *n == number).map(|(_, at)| *at)
    }

    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        lock(&self.last).clone()
    }

    /// Reloads so far: (done, refused).
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        *lock(&self.counts)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
