//! The sessions in progress, as the administration sees them.
//!
//! Each worker keeps a [`Card`] for every client connection it has, in cells only that thread touches: what a session
//! does is noted by plain stores. Others ask a question, which the worker answers between two events ([`Roster`]).

use super::{LiveProxy, LiveServer};
use crate::expr::facts::ConnFacts;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, oneshot};

/// One client connection, and the session (a request, or the connection's bytes) it is in. There are many idle ones: what
/// only a session has is on the heap as long as there is one.
#[derive(Debug)]
pub struct Card {
    session: RefCell<Option<Box<Record>>>,
    waker: OnceCell<Waker>,
    calls: Cell<u32>,
    place: u32,
    /// Number of the generation it began with. The highest bit, [`KILLED`], stands here so that a card is no larger.
    generation: Cell<u32>,
    /// Bytes on the heap that came while it was served, and have not gone so.
    memory: Cell<i32>,
}

/// The session was told to end.
const KILLED: u32 = 1 << 31;

const _: () = assert!(size_of::<Card>() <= 48);

/// What a session knows of its client's connection.
#[derive(Clone, Debug)]
pub struct Conn {
    pub frontend: Arc<LiveProxy>,
    pub src: Option<SocketAddr>,
    pub dst: Option<SocketAddr>,
    pub listener: (u32, Option<Arc<str>>),
    pub fd: i32,
    pub accepted: SystemTime,
    pub at: Instant,
}

impl Conn {
    /// Of a connection accepted `at` on the monotonic clock.
    #[must_use]
    pub fn new(frontend: &Arc<LiveProxy>, facts: &ConnFacts, fd: i32, at: Instant) -> Self {
        Self {
            frontend: Arc::clone(frontend),
            src: facts.src,
            dst: facts.dst,
            listener: (facts.listener_id, facts.listener_name.clone()),
            fd,
            accepted: facts.accepted,
            at,
        }
    }
}

/// A session at one moment.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: u64,
    pub thread: usize,
    pub conn: Conn,
    pub began: Instant,
    pub backend: Option<u32>,
    pub server: Option<u32>,
    /// -1: none.
    pub server_fd: i32,
    /// Our own address and the server's, where they are known.
    pub ends: [Option<SocketAddr>; 2],
    pub retries: u32,
    pub calls: u32,
}

/// The cards of one thread.
#[derive(Debug, Default)]
pub struct Registry {
    cards: RefCell<Vec<Option<Rc<Card>>>>,
    free: RefCell<Vec<u32>>,
    next: Cell<u64>,
    thread: Cell<usize>,
}

thread_local! {
    static HERE: Registry = Registry::default();
}

/// Ids look like HAProxy's, which are addresses: threads are far apart, sessions close together.
const THREAD_STEP: u64 = 1 << 40;
const SESSION_STEP: u64 = 0x240;

impl Card {
    /// A card on this thread's list; it leaves the list with the [`Entry`]. `generation`: the number of the connection's.
    #[must_use]
    pub fn register(generation: u64) -> Entry {
        HERE.with(|here| {
            let mut cards = here.cards.borrow_mut();
            let place = here.free.borrow_mut().pop().unwrap_or_else(|| {
                cards.push(None);
                u32::try_from(cards.len() - 1).unwrap_or(u32::MAX)
            });
            let card = Rc::new(Self {
                session: RefCell::new(None),
                waker: OnceCell::new(),
                calls: Cell::new(0),
                place,
                generation: Cell::new(u32::try_from(generation).unwrap_or(u32::MAX) & !KILLED),
                memory: Cell::new(0),
            });
            if let Some(slot) = cards.get_mut(place as usize) {
                *slot = Some(Rc::clone(&card));
            }
            Entry(card)
        })
    }

    /// A session begins on the connection.
    pub fn begin(&self, now: Instant, conn: Conn) {
        let (id, thread) = HERE.with(|here| {
            let number = here.next.get() + 1;
            here.next.set(number);
            let thread = here.thread.get();
            ((thread as u64 + 0x55) * THREAD_STEP + number * SESSION_STEP, thread)
        });
        let record = Record {
            id,
            thread,
            conn,
            began: now,
            backend: None,
            server: None,
            server_fd: -1,
            ends: [None; 2],
            retries: 0,
            calls: 0,
        };
        *self.session.borrow_mut() = Some(Box::new(record));
    }

    /// It is over; the connection may stay.
    pub fn end(&self) {
        *self.session.borrow_mut() = None;
        self.calls.set(0);
        self.generation.set(self.generation.get() & !KILLED);
    }

    /// The session's id; `None` between two.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.session.borrow().as_deref().map(|r| r.id)
    }

    fn note(&self, what: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut *self.session.borrow_mut() {
            what(record);
        }
    }

    pub fn routed(&self, backend: &LiveProxy) {
        self.note(|r| r.backend = Some(backend.index.0));
    }

    pub fn assigned(&self, server: &LiveServer) {
        self.note(|r| r.server = Some(server.index.0));
    }

    /// `ends`: our own address and the server's, where they are known.
    pub fn connected(&self, fd: i32, retries: u32, ends: [Option<SocketAddr>; 2]) {
        self.note(|r| (r.ends, r.server_fd, r.retries) = (ends, fd, retries));
    }

    /// The connection's task runs.
    pub fn called(&self, cx: &Context<'_>) {
        self.calls.set(self.calls.get().wrapping_add(1));
        self.waker.get_or_init(|| cx.waker().clone());
    }

    /// Was the session told to end?
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.generation.get() & KILLED != 0
    }

    fn generation(&self) -> u64 {
        u64::from(self.generation.get() & !KILLED)
    }

    /// So many bytes more, or less, are on the heap since its turn began.
    pub fn holds(&self, more: isize) {
        let more = i32::try_from(more).unwrap_or(if more < 0 { i32::MIN } else { i32::MAX });
        self.memory.set(self.memory.get().saturating_add(more));
    }

    fn kill(&self) {
        self.generation.set(self.generation.get() | KILLED);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// The session as it stands; `None` between two.
    fn record(&self) -> Option<Record> {
        let record = self.session.borrow();
        record.as_deref().map(|r| Record { calls: self.calls.get(), ..r.clone() })
    }

    fn is(&self, which: impl Fn(&Record) -> bool) -> bool {
        self.session.borrow().as_deref().is_some_and(which)
    }
}

/// A card's place on its thread's list.
#[derive(Debug)]
pub struct Entry(Rc<Card>);

impl Entry {
    #[must_use]
    pub fn card(&self) -> &Rc<Card> {
        &self.0
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The list may be gone before the last connections when the thread ends.
        let _ = HERE.try_with(|here| {
            let place = self.0.place;
            if let Some(slot) = here.cards.borrow_mut().get_mut(place as usize) {
                *slot = None;
                here.free.borrow_mut().push(place);
            }
        });
    }
}

/// Makes every connection of this thread look up: what it waits for may be over, as the process is stopping.
pub fn wake_all() {
    let wakers: Vec<Waker> = HERE.with(|here| {
        let cards = here.cards.borrow();
        cards.iter().flatten().filter_map(|c| c.waker.get().cloned()).collect()
    });
    wakers.into_iter().for_each(Waker::wake);
}

/// Makes the connections of this thread look up one after another, evenly over `time`.
pub async fn wake_slowly(time: Duration) {
    let cards: Vec<_> = HERE.with(|here| here.cards.borrow().iter().flatten().map(Rc::downgrade).collect());
    let pause = time / u32::try_from(cards.len()).unwrap_or(u32::MAX).max(1);
    let began = tokio::time::Instant::now();
    for (card, turn) in cards.into_iter().zip(1..) {
        if let Some(waker) = card.upgrade().and_then(|c| c.waker.get().cloned()) {
            waker.wake();
        }
        tokio::time::sleep_until(began + pause * turn).await;
    }
}

/// Ends the connections of this thread that began with that generation.
pub fn end_generation(number: u64) {
    HERE.with(|here| {
        let cards = here.cards.borrow();
        cards.iter().flatten().filter(|c| c.generation() == number).for_each(|c| c.kill());
    });
}

impl Registry {
    /// Connections that began with each generation.
    fn by_generation(&self) -> Vec<(u64, Left)> {
        let mut counts = BTreeMap::<u64, Left>::new();
        for card in self.cards.borrow().iter().flatten() {
            let one = Left { connections: 1, memory: i64::from(card.memory.get()) };
            counts.entry(card.generation()).or_default().add(one);
        }
        counts.into_iter().collect()
    }

    /// Sessions among the cards from `from` on, looking at `most` of them; and where to go on.
    #[must_use]
    pub fn records(&self, from: usize, most: usize) -> (Vec<Record>, Option<usize>) {
        let cards = self.cards.borrow();
        let to = from.saturating_add(most).min(cards.len());
        let part = cards.get(from..to).unwrap_or_default().iter().flatten();
        (part.filter_map(|c| c.record()).collect(), (to < cards.len()).then_some(to))
    }

    fn kill(&self, which: impl Fn(&Record) -> bool) -> usize {
        let cards = self.cards.borrow();
        let chosen = cards.iter().flatten().filter(|c| c.is(&which));
        chosen.map(|c| c.kill()).count()
    }
}

/// What is left of a generation: connections, and the bytes on the heap that came with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub connections: usize,
    memory: i64,
}

impl Left {
    fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.memory += other.memory;
    }

    /// What was taken by one and given back by another counts for the first: a sum may be below zero.
    #[must_use]
    pub fn memory(&self) -> usize {
        usize::try_from(self.memory).unwrap_or(0)
    }
}

type Question = Box<dyn FnOnce(&Registry) + Send>;

/// Where questions to the workers are left.
#[derive(Debug, Default)]
pub struct Roster(Box<[Mailbox]>);

#[derive(Default)]
struct Mailbox {
    questions: Mutex<Vec<Question>>,
    bell: Notify,
    attended: AtomicBool,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    fn take(&self) -> Vec<Question> {
        std::mem::take(&mut *self.questions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sessions looked at in one go: a worker is away from its connections for some 50 microseconds.
const SLICE: usize = 512;

impl Roster {
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Mailbox::default()).collect())
    }

    /// Answers what is asked of this thread, for ever. To be run once on each worker.
    pub async fn attend(&self, thread: usize) {
        let Some(mailbox) = self.0.get(thread) else { return };
        HERE.with(|here| here.thread.set(thread));
        let _attendant = Attendant::new(mailbox);
        loop {
            let rung = mailbox.bell.notified();
            for question in mailbox.take() {
                HERE.with(question);
            }
            rung.await;
        }
    }

    /// Asks one worker; there is no answer if it has ended.
    fn ask<R: Send + 'static>(
        &self,
        mailbox: &Mailbox,
        question: impl FnOnce(&Registry) -> R + Send + 'static,
    ) -> oneshot::Receiver<R> {
        let (tell, told) = oneshot::channel();
        if mailbox.attended.load(SeqCst) {
            let ask: Question = Box::new(move |here| drop(tell.send(question(here))));
            mailbox.questions.lock().unwrap_or_else(PoisonError::into_inner).push(ask);
            mailbox.bell.notify_one();
        }
        told
    }

    /// All sessions in progress, by thread and age.
    pub async fn records(&self) -> Vec<Record> {
        let mut all = Vec::new();
        for mailbox in &self.0 {
            let mut from = Some(0);
            while let Some(start) = from {
                let asked = self.ask(mailbox, move |here| here.records(start, SLICE));
                let Ok((mut records, next)) = asked.await else { break };
                all.append(&mut records);
                from = next;
            }
        }
        all.sort_by_key(|r| r.id);
        all
    }

    /// Connections that began with each generation, on all threads.
    pub async fn by_generation(&self) -> BTreeMap<u64, Left> {
        let mut all = BTreeMap::<u64, Left>::new();
        for mailbox in &self.0 {
            for (number, left) in self.ask(mailbox, Registry::by_generation).await.unwrap_or_default() {
                all.entry(number).or_default().add(left);
            }
        }
        all
    }

    /// Tasks alive on each worker.
    pub async fn task_counts(&self) -> Vec<usize> {
        let mut counts = Vec::new();
        for mailbox in &self.0 {
            let count = |_: &Registry| tokio::runtime::Handle::current().metrics().num_alive_tasks();
            counts.push(self.ask(mailbox, count).await.unwrap_or(0));
        }
        counts
    }

    /// Stops a worker for so long, or for ever.
    pub fn hang(&self, thread: usize, limit: Option<Duration>) {
        let Some(mailbox) = self.0.get(thread) else { return };
        drop(self.ask(mailbox, move |_| match limit {
            Some(limit) => std::thread::sleep(limit),
            None => loop {
                std::thread::park();
            },
        }));
    }

    /// Ends one session. False: there is none of that id.
    pub async fn shut(&self, id: u64) -> bool {
        for mailbox in &self.0 {
            if self.ask(mailbox, move |here| here.kill(|r| r.id == id)).await.unwrap_or(0) > 0 {
                return true;
            }
        }
        false
    }

    /// Ends the sessions of a server; they are told when this returns, and end soon after.
    pub fn shut_server(&self, backend: u32, server: u32) {
        for mailbox in &self.0 {
            let on_it = move |r: &Record| r.backend == Some(backend) && r.server == Some(server);
            drop(self.ask(mailbox, move |here| here.kill(on_it)));
        }
    }
}

/// While it lives, questions are answered.
struct Attendant<'a>(&'a Mailbox);

impl<'a> Attendant<'a> {
    fn new(mailbox: &'a Mailbox) -> Self {
        mailbox.attended.store(true, SeqCst);
        Self(mailbox)
    }
}

impl Drop for Attendant<'_> {
    fn drop(&mut self) {
        self.0.attended.store(false, SeqCst);
        // Whoever asked meanwhile learns that nobody answers.
        drop(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{backend, generation, server};
    use super::*;
    use crate::config::model::Balance;

    fn conn() -> Conn {
        let generation = generation(vec![backend(Balance::RoundRobin, vec![server("a")])]);
        Conn {
            frontend: Arc::clone(&generation.proxies[0]),
            src: None,
            dst: None,
            listener: (1, None),
            fd: 7,
            accepted: SystemTime::now(),
            at: Instant::now(),
        }
    }

    /// Runs `ask` while this thread answers as the only worker.
    fn asked<R>(ask: impl AsyncFnOnce(&Roster) -> R) -> R {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let roster = Roster::new(1);
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = roster.attend(0) => unreachable!(),
                answer = ask(&roster) => answer,
            }
        })
    }

    #[test]
    fn only_sessions_are_shown() {
        let conn = conn();
        let idle = Card::register(1);
        let busy = Card::register(1);
        busy.card().begin(Instant::now(), conn.clone());
        busy.card().routed(&conn.frontend);
        busy.card().connected(9, 2, [None; 2]);
        let records = asked(async |r| r.records().await);
        assert_eq!(records.len(), 1);
        let record = &records[0];
        assert_eq!((record.backend, record.server, record.server_fd, record.retries), (Some(0), None, 9, 2));
        drop(busy);
        assert!(asked(async |r| r.records().await).is_empty());
        drop(idle);
    }

    #[test]
    fn a_session_is_ended_by_its_id() {
        let entry = Card::register(1);
        entry.card().begin(Instant::now(), conn());
        let first = asked(async |r| r.records().await)[0].id;
        entry.card().end();
        entry.card().begin(Instant::now(), conn());
        // The id names the session, not its connection.
        assert!(!asked(async |r| r.shut(first).await));
        assert!(!entry.card().is_killed());
        let second = asked(async |r| r.records().await)[0].id;
        assert!(asked(async |r| r.shut(second).await));
        assert!(entry.card().is_killed());
        entry.card().end();
        assert!(!entry.card().is_killed());
    }

    #[test]
    fn sessions_of_a_server_are_ended() {
        let conn = conn();
        let on_server = conn.frontend.back.as_ref().unwrap().servers[0].clone();
        let entries = [Card::register(1), Card::register(1)];
        for entry in &entries {
            entry.card().begin(Instant::now(), conn.clone());
            entry.card().routed(&conn.frontend);
        }
        entries[1].card().assigned(&on_server);
        asked(async |r| {
            r.shut_server(0, 0);
            // Answered after the order was carried out.
            r.records().await
        });
        assert_eq!(entries.each_ref().map(|e| e.card().is_killed()), [false, true]);
    }

    #[test]
    fn nobody_answers_for_a_thread_that_has_ended() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert!(runtime.block_on(Roster::new(2).records()).is_empty());
    }
}
