//! Reloads as they are asked for and answered: whoever asks is told what came of it, and everybody can see the last one.

use crate::config::units::{Unit, duration};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, oneshot};

/// Generations whose beginning is remembered.
const BIRTHS: usize = 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go over to the files as they are now; with a time: and back again, unless confirmed within it.
    Reload(Option<Duration>),
    Confirm,
    /// Go back now.
    Rollback,
}

impl Wish {
    /// As it is said on a socket: `reload [--confirm <time>]`, `confirm`, `rollback`.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    pub fn read(words: &[&str]) -> Result<Self, String> {
        match words {
            ["confirm", ..] => Ok(Self::Confirm),
            ["rollback", ..] => Ok(Self::Rollback),
            ["reload"] => Ok(Self::Reload(None)),
            ["reload", "--confirm", time] => Self::within(time),
            _ => Err("'reload' takes nothing, or '--confirm' and a time.".to_owned()),
        }
    }

    /// `reload --confirm <time>`
    ///
    /// # Errors
    /// No time, as a sentence.
    pub fn within(time: &str) -> Result<Self, String> {
        match duration(time, Unit::Seconds) {
            Ok(limit) if !limit.is_zero() => Ok(Self::Reload(Some(limit))),
            _ => Err(format!("'{time}' is no time to confirm within: write it as 30s or 5m.")),
        }
    }
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub success: bool,
    /// What there was to say: of the configuration, and why it was refused.
    pub messages: String,
    pub at: SystemTime,
}

impl Outcome {
    /// Of now.
    #[must_use]
    pub fn new(success: bool, messages: impl Into<String>) -> Self {
        Self { success, messages: messages.into(), at: SystemTime::now() }
    }

    /// To all who have asked; some may be gone.
    pub fn tell(&self, askers: impl IntoIterator<Item = Answer>) {
        for asker in askers {
            let _gone = asker.send(self.clone());
        }
    }

    /// As HAProxy's master answers `reload`.
    #[must_use]
    pub fn reply(&self) -> String {
        format!("Success={}\n--\n{}", u8::from(self.success), self.messages)
    }
}

/// How reloads have gone up to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub done: u64,
    pub refused: u64,
    pub last: Option<Outcome>,
    /// When the configuration that runs was gone over to.
    pub since: SystemTime,
}

impl History {
    #[must_use]
    pub fn begin(now: SystemTime) -> Self {
        Self { done: 0, refused: 0, last: None, since: now }
    }

    pub fn note(&mut self, outcome: &Outcome) {
        if outcome.success {
            self.done += 1;
            self.since = outcome.at;
        } else {
            self.refused += 1;
        }
        self.last = Some(outcome.clone());
    }

    /// The last reload, where the files are not what runs.
    #[must_use]
    pub fn refusal(&self) -> Option<&Outcome> {
        self.last.as_ref().filter(|last| !last.success)
    }
}

/// Of a generation.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    number: u64,
    pub at: Instant,
    /// Bytes: its configuration and its own state.
    pub memory: usize,
}

pub type Answer = oneshot::Sender<Outcome>;

/// Where reloads are asked for.
#[derive(Debug)]
pub struct Requests {
    waiting: Mutex<VecDeque<(Wish, Answer)>>,
    asked: Notify,
    history: Mutex<History>,
    /// Those that the master answers, by their numbers.
    elsewhere: Mutex<(u64, HashMap<u64, Vec<Answer>>)>,
    telling: Arc<Telling>,
    /// When each generation began, those without connections too, and with how much memory: three numbers for each reload.
    births: Mutex<Vec<Birth>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            asked: Notify::new(),
            history: Mutex::new(History::begin(SystemTime::now())),
            elsewhere: Mutex::default(),
            telling: Arc::default(),
            births: Mutex::default(),
        }
    }
}

impl Requests {
    /// The answer comes when it is done or refused.
    pub fn ask(&self, wish: Wish) -> Told {
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).push_back((wish, tell));
        self.asked.notify_one();
        self.telling.count.fetch_add(1, SeqCst);
        Told { told, _client: Client(Arc::clone(&self.telling)) }
    }

    /// Ready when somebody has asked.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// What is asked for first, and all who ask just that.
    pub fn take(&self) -> Option<(Wish, Vec<Answer>)> {
        let mut waiting = lock(&self.waiting);
        let (wish, first) = waiting.pop_front()?;
        let mut all = vec![first];
        while waiting.front().is_some_and(|(next, _)| *next == wish) {
            all.extend(waiting.pop_front().map(|(_, next)| next));
        }
        if !waiting.is_empty() {
            self.asked.notify_one();
        }
        Some((wish, all))
    }

    /// Another process answers them: the number it is to say.
    pub fn forward(&self, askers: Vec<Answer>) -> u64 {
        let mut elsewhere = lock(&self.elsewhere);
        elsewhere.0 += 1;
        let number = elsewhere.0;
        elsewhere.1.insert(number, askers);
        number
    }

    /// What it has answered.
    pub fn answered(&self, number: u64, outcome: &Outcome) {
        outcome.tell(lock(&self.elsewhere).1.remove(&number).into_iter().flatten());
    }

    /// Returns when every client that was told has its answer, or is gone.
    pub async fn all_told(&self) {
        while self.telling.count.load(SeqCst) > 0 {
            self.telling.less.notified().await;
        }
    }

    /// Keeps what came of the last one.
    pub fn note(&self, outcome: &Outcome) {
        lock(&self.history).note(outcome);
    }

    #[must_use]
    pub fn history(&self) -> History {
        lock(&self.history).clone()
    }

    /// What the master knows.
    pub fn set_history(&self, history: History) {
        *lock(&self.history) = history;
    }

    /// A generation begins.
    pub fn begin(&self, number: u64, at: Instant, memory: usize) {
        let mut births = lock(&self.births);
        births.push(Birth { number, at, memory });
        // Of what nobody is likely to ask for any more the oldest are forgotten.
        if births.len() > BIRTHS {
            births.remove(0);
        }
    }

    #[must_use]
    pub fn born(&self, number: u64) -> Option<Birth> {
        lock(&self.births).iter().find(|birth| birth.number == number).copied()
    }

    /// Reloads so far: (done, refused).
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let history = lock(&self.history);
        (history.done, history.refused)
    }
}

/// An answer that is to come. A process that ends waits until it has been passed on, that is, dropped.
#[derive(Debug)]
pub struct Told {
    told: oneshot::Receiver<Outcome>,
    _client: Client,
}

impl Told {
    /// What came of it.
    pub async fn outcome(&mut self) -> Outcome {
        let ending = || Outcome::new(false, "the process is ending\n");
        (&mut self.told).await.unwrap_or_else(|_| ending())
    }
}

#[derive(Debug, Default)]
struct Telling {
    count: AtomicUsize,
    less: Notify,
}

#[derive(Debug)]
struct Client(Arc<Telling>);

impl Drop for Client {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, SeqCst);
        self.0.less.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_taken_in_order_and_like_ones_at_once() {
        let requests = Requests::default();
        let trial = Wish::Reload(Some(Duration::from_secs(1)));
        let _told = [Wish::Reload(None), Wish::Reload(None), trial, Wish::Confirm].map(|w| requests.ask(w));
        let taken: Vec<(Wish, usize)> =
            std::iter::from_fn(|| requests.take()).map(|(wish, askers)| (wish, askers.len())).collect();
        assert_eq!(taken, [(Wish::Reload(None), 2), (trial, 1), (Wish::Confirm, 1)]);
    }

    #[test]
    fn words() {
        let check = |line: &str, expected: Result<Wish, &str>| {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(Wish::read(&words), expected.map_err(str::to_owned), "{line}");
        };
        check("reload", Ok(Wish::Reload(None)));
        check("reload --confirm 3s", Ok(Wish::Reload(Some(Duration::from_secs(3)))));
        check("confirm", Ok(Wish::Confirm));
        check("rollback", Ok(Wish::Rollback));
        check("reload now", Err("'reload' takes nothing, or '--confirm' and a time."));
        check("reload --confirm 3s x", Err("'reload' takes nothing, or '--confirm' and a time."));
        check("reload --confirm 0", Err("'0' is no time to confirm within: write it as 30s or 5m."));
    }

    #[test]
    fn replies() {
        let check = |success, messages: &str, expected: &str| {
            assert_eq!(Outcome::new(success, messages).reply(), expected);
        };
        check(true, "", "Success=1\n--\n");
        check(false, "[ALERT] x\n", "Success=0\n--\n[ALERT] x\n");
    }

    #[test]
    fn history() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut history = History::begin(at(1));
        let outcome = |success, seconds| Outcome { success, messages: String::new(), at: at(seconds) };
        history.note(&outcome(false, 2));
        assert_eq!((history.done, history.refused, history.since), (0, 1, at(1)));
        assert!(history.refusal().is_some());
        history.note(&outcome(true, 3));
        assert_eq!((history.done, history.refused, history.since), (1, 1, at(3)));
        assert!(history.refusal().is_none());
    }
}
