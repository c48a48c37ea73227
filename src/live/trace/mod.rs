//! Traces: what happens inside, told event by event while somebody looks (`trace` on the administration socket).
//!
//! Who has something to tell asks [`is_on`] first, which is one relaxed load; all the rest happens only while a source is
//! waiting or running. Then [`Board::admit`] decides by the source's settings, and answers where the event goes.
//!
//! ```text
//! stopped --start now--> running --pause event, pause now--> waiting --start event--> running
//!    ^---- stop event, stop now, 0 ----+----------------------+
//! ```

pub mod sources;

use crate::config::model::LogTarget;
use crate::ids::{ProxyIndex, ServerIndex};
use crate::live::sessions::Card;
pub use sources::{Origin, Source};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A bit for each source that is not stopped.
static ACTIVE: AtomicU32 = AtomicU32::new(0);

/// Of the process: a trace is of everything it does.
pub static BOARD: Board = Board::new(&ACTIVE);

/// Does somebody look at any of the sources?
#[inline]
#[must_use]
pub fn is_on(origins: u32) -> bool {
    let on = ACTIVE.load(Relaxed) & origins != 0;
    if on {
        std::hint::cold_path();
    }
    on
}

/// How much an event matters, the most important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    User,
    Proto,
    State,
    Data,
    Developer,
}

/// How much is told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    Clean,
    Minimal,
    Simple,
    Advanced,
    Complete,
}

/// What a source can keep to once it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    Backend,
    Connection,
    Frontend,
    Listener,
    Nothing,
    Server,
    Session,
    Thread,
}

/// Whom an event is about, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub frontend: Option<u64>,
    pub listener: Option<u64>,
    pub backend: Option<u64>,
    pub server: Option<u64>,
    pub connection: Option<u64>,
    pub session: Option<u64>,
}

impl About {
    /// A session on a frontend, on its way to a server as far as that is chosen.
    #[must_use]
    pub fn session(
        frontend: ProxyIndex,
        listener: u32,
        backend: Option<ProxyIndex>,
        server: Option<ServerIndex>,
        card: &Rc<Card>,
    ) -> Self {
        let backend = backend.map(|b| u64::from(b.0));
        Self {
            frontend: Some(u64::from(frontend.0)),
            listener: Some(u64::from(listener)),
            backend,
            server: backend.zip(server).map(|(b, s)| b << 32 | u64::from(s.0)),
            // Tells connections apart while they last.
            connection: Some(Rc::as_ptr(card).addr() as u64),
            session: card.id(),
        }
    }
}

/// Something that happened.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    pub origin: Origin,
    /// Bits of the source's events.
    pub kinds: u64,
    pub level: Level,
    pub text: &'a str,
    /// File and line.
    pub place: (&'static str, u32),
    pub about: About,
    /// Appends what the verbosity asks for.
    pub details: &'a dyn Fn(Verbosity, &mut String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Stopped,
    Waiting,
    Running,
}

/// What an event can do to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Report,
    Start,
    Stop,
    Pause,
}

/// A source's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    pub phase: Phase,
    pub level: Level,
    pub verbosity: Verbosity,
    pub lock: Lock,
    /// Bits of the events that are reported, start, stop and pause it.
    pub report: u64,
    pub start: u64,
    pub stop: u64,
    pub pause: u64,
    /// The sink's name, and how to write there.
    pub sink: Option<(String, Arc<LogTarget>)>,
    /// Whom it keeps to.
    held: Option<u64>,
}

impl Settings {
    const fn new() -> Self {
        Self {
            phase: Phase::Stopped,
            level: Level::User,
            verbosity: Verbosity::Clean,
            lock: Lock::Nothing,
            report: u64::MAX,
            start: 0,
            stop: 0,
            pause: 0,
            sink: None,
            held: None,
        }
    }

    pub fn bits(&mut self, action: Action) -> &mut u64 {
        match action {
            Action::Report => &mut self.report,
            Action::Start => &mut self.start,
            Action::Stop => &mut self.stop,
            Action::Pause => &mut self.pause,
        }
    }

    /// Starts, stops or pauses at once.
    pub fn act(&mut self, action: Action) {
        self.held = None;
        self.phase = match action {
            Action::Start => Phase::Running,
            Action::Pause => Phase::Waiting,
            Action::Stop => Phase::Stopped,
            Action::Report => self.phase,
        };
    }

    /// Whom it kept to is forgotten.
    pub fn lock_on(&mut self, lock: Lock) {
        (self.lock, self.held) = (lock, None);
    }

    /// Is the event to be reported? It may start, pause or stop the source.
    fn takes(&mut self, event: &Event<'_>, thread: u64) -> bool {
        let kinds = event.kinds;
        if self.phase == Phase::Stopped || (self.report | self.start | self.stop | self.pause) & kinds == 0 {
            return false;
        }
        let whom = self.lock.of(&event.about, thread);
        if self.held.is_some() && self.held != whom {
            return false;
        }
        if self.phase == Phase::Waiting {
            if self.start & kinds == 0 {
                return false;
            }
            self.phase = Phase::Running;
        }
        self.held = whom;
        let reported = self.report & kinds != 0 && event.level <= self.level;
        if self.stop & kinds != 0 {
            self.act(Action::Stop);
        } else if self.pause & kinds != 0 {
            self.act(Action::Pause);
        }
        reported
    }
}

impl Lock {
    fn of(self, about: &About, thread: u64) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Backend => about.backend,
            Self::Connection => about.connection,
            Self::Frontend => about.frontend,
            Self::Listener => about.listener,
            Self::Server => about.server,
            Self::Session => about.session,
            Self::Thread => Some(thread),
        }
    }
}

/// All sources with their settings.
#[derive(Debug)]
pub struct Board {
    sources: Mutex<[Settings; sources::COUNT]>,
    active: &'static AtomicU32,
}

impl Board {
    const fn new(active: &'static AtomicU32) -> Self {
        Self { sources: Mutex::new([const { Settings::new() }; sources::COUNT]), active }
    }

    /// Where to write the event, if it is to be written.
    #[must_use]
    pub fn admit(&self, event: &Event<'_>, thread: u64) -> Option<(Arc<LogTarget>, Verbosity)> {
        self.change(event.origin, |settings| {
            let reported = settings.takes(event, thread);
            let target = settings.sink.as_ref().filter(|_| reported).map(|(_, target)| Arc::clone(target));
            Some((target?, settings.verbosity))
        })
    }

    /// A source's settings as they are.
    #[must_use]
    pub fn settings(&self, origin: Origin) -> Settings {
        self.lock().get(origin as usize).map_or_else(Settings::new, Clone::clone)
    }

    /// Changes a source's settings.
    pub fn change<R>(&self, origin: Origin, change: impl FnOnce(&mut Settings) -> R) -> R {
        let mut all = self.lock();
        let mut unknown = Settings::new();
        let settings = all.get_mut(origin as usize).unwrap_or(&mut unknown);
        let answer = change(settings);
        let on = settings.phase != Phase::Stopped;
        if on {
            self.active.fetch_or(origin.bit(), Relaxed);
        } else {
            self.active.fetch_and(!origin.bit(), Relaxed);
        }
        answer
    }

    pub fn stop_all(&self) {
        for source in sources::ALL {
            self.change(source.origin, |s| s.act(Action::Stop));
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Settings; sources::COUNT]> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kinds: u64, level: Level, connection: u64) -> Event<'static> {
        Event {
            origin: Origin::H1,
            kinds,
            level,
            text: "",
            place: ("", 0),
            about: About { connection: Some(connection), ..About::default() },
            details: &|_, _| {},
        }
    }

    /// Feeds `events` (kinds, connection): which are taken, and the phase after the last.
    fn check(settings: &mut Settings, events: &[(u64, u64)], taken: &[bool], phase: Phase) {
        let got: Vec<bool> = events
            .iter()
            .map(|(kinds, whom)| settings.takes(&event(*kinds, Level::User, *whom), 0))
            .collect();
        assert_eq!((got.as_slice(), settings.phase), (taken, phase));
    }

    #[test]
    fn only_a_running_source_reports() {
        let mut s = Settings::new();
        check(&mut s, &[(1, 0)], &[false], Phase::Stopped);
        s.start = 2;
        check(&mut s, &[(2, 0)], &[false], Phase::Stopped);
        s.act(Action::Pause);
        check(&mut s, &[(1, 0), (2, 0), (1, 0)], &[false, true, true], Phase::Running);
        s.pause = 4;
        check(&mut s, &[(4, 0), (1, 0), (2, 0)], &[true, false, true], Phase::Running);
        s.stop = 8;
        check(&mut s, &[(8, 0), (2, 0)], &[true, false], Phase::Stopped);
    }

    #[test]
    fn levels_and_events_filter() {
        let mut s = Settings::new();
        s.act(Action::Start);
        assert!(s.takes(&event(1, Level::User, 0), 0) && !s.takes(&event(1, Level::Proto, 0), 0));
        s.level = Level::Developer;
        assert!(s.takes(&event(1, Level::Data, 0), 0));
        s.report = 2;
        check(&mut s, &[(1, 0), (2, 0), (3, 0)], &[false, true, true], Phase::Running);
    }

    #[test]
    fn a_locked_source_keeps_to_the_first() {
        let mut s = Settings::new();
        s.lock_on(Lock::Connection);
        s.act(Action::Start);
        check(&mut s, &[(1, 7), (1, 8), (1, 7)], &[true, false, true], Phase::Running);
        // A pause lets go.
        (s.start, s.pause) = (2, 4);
        check(
            &mut s,
            &[(4, 8), (4, 7), (2, 8), (1, 7), (1, 8)],
            &[false, true, true, false, true],
            Phase::Running,
        );
    }

    #[test]
    fn the_gate_is_open_while_a_source_is_not_stopped() {
        static GATE: AtomicU32 = AtomicU32::new(0);
        let board = Board::new(&GATE);
        board.change(Origin::Check, |s| s.act(Action::Start));
        board.change(Origin::H1, |s| s.act(Action::Pause));
        assert_eq!(GATE.load(Relaxed), Origin::Check.bit() | Origin::H1.bit());
        board.change(Origin::H1, |s| s.act(Action::Stop));
        assert_eq!(GATE.load(Relaxed), Origin::Check.bit());
        board.stop_all();
        assert_eq!(GATE.load(Relaxed), 0);
    }
}
