//! The workers of a master.

use super::Settings;
use super::link::{self, Kept, Link, Message};
use super::news;
use super::trial::Trial;
use crate::live::reload::{Answer, History, Outcome, Wish};
use crate::net::handoff;
use crate::net::listener::SocketFile;
use crate::net::raw;
use crate::runtime::{line, process, say, trial};
use crate::tasks;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

/// Workers that died so soon, one after another, before the master gives up; and what is soon.
const GIVE_UP: u32 = 5;
const SOON: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub enum Event {
    Said(u32, Message),
    Exited(u32, Option<ExitStatus>),
    /// Nobody has confirmed this reload in time.
    Unconfirmed(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Starting,
    Current,
    /// Accepts nobody, and will again if the current one is not confirmed.
    Held,
    Old,
}

/// One worker.
#[derive(Clone, Debug)]
pub struct Child {
    pub pid: u32,
    pub stage: Stage,
    pub began: Instant,
    /// Reloads of the master when it was started.
    pub reload: u32,
    link: Link,
    /// What it said as it started.
    said: String,
}

impl Child {
    fn send(&self, what: u8, bytes: &[u8]) {
        // One that is gone is heard of in another way.
        let _gone = self.link.send(what, bytes, &[]);
    }
}

pub struct Children {
    settings: Settings,
    program: PathBuf,
    pub began: Instant,
    all: RefCell<Vec<Child>>,
    pub(super) sockets: RefCell<Vec<Kept>>,
    /// Files of theirs, to be removed at the end.
    files: RefCell<Vec<SocketFile>>,
    /// Those of the worker that is starting, until it is ready.
    offered: RefCell<Vec<Kept>>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    waiting: RefCell<Vec<Answer>>,
    /// Those that have asked while another one was under way: they are answered by the next one.
    next: RefCell<Vec<Answer>>,
    /// The time to confirm what is starting.
    confirmation: Cell<Option<Duration>>,
    pub(super) trial: RefCell<Option<Trial>>,
    pub reloads: Cell<u32>,
    pub history: RefCell<History>,
    early_deaths: Cell<u32>,
    /// `mworker-max-reloads` of the worker that became ready last.
    most_reloads: Cell<Option<u32>>,
    pub said: RefCell<String>,
    notifies: bool,
}

impl Children {
    pub fn new(settings: Settings, notifies: bool) -> (Rc<Self>, mpsc::UnboundedReceiver<Event>) {
        let (events, inbox) = mpsc::unbounded_channel();
        // As the path was at the start: a new version is put in its place.
        let program = std::env::current_exe().unwrap_or_else(|_| "weir".into());
        let children = Self {
            settings,
            program,
            began: Instant::now(),
            all: RefCell::default(),
            sockets: RefCell::default(),
            files: RefCell::default(),
            offered: RefCell::default(),
            events,
            waiting: RefCell::default(),
            next: RefCell::default(),
            confirmation: Cell::new(None),
            trial: RefCell::default(),
            reloads: Cell::new(0),
            history: RefCell::new(History::begin(SystemTime::now())),
            early_deaths: Cell::new(0),
            most_reloads: Cell::new(None),
            said: RefCell::default(),
            notifies,
        };
        (Rc::new(children), inbox)
    }

    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    pub fn list(&self) -> Vec<Child> {
        self.all.borrow().clone()
    }

    /// Starts a worker; `first`: with what concerns the first one alone.
    pub fn start(self: &Rc<Self>, first: bool) -> Result<(), String> {
        self.spawn(first).map_err(|e| format!("cannot start a worker: {e}"))
    }

    fn spawn(self: &Rc<Self>, first: bool) -> io::Result<()> {
        let (ours, theirs) = link::pair()?;
        let mut command = Command::new(&self.program);
        // Files may stand at the end of the other words.
        if first {
            command.args(&self.settings.first);
        }
        command.args(&self.settings.arguments);
        command.env(link::CHANNEL, link::bequeath(&theirs)?.to_string());
        match self.current() {
            Some(current) => command.env(link::REPLACES, current.pid.to_string()),
            None => command.env_remove(link::REPLACES),
        };
        match self.confirmation.get() {
            Some(_) => command.env(link::TRIAL, "1"),
            None => command.env_remove(link::TRIAL),
        };
        let mut child = command.spawn()?;
        let pid = child.id().unwrap_or(0);
        let link = Link::new(ours)?;
        let events = self.events.clone();
        let heard = link.clone();
        tasks::detached("worker", async move {
            while let Ok(Some(message)) = heard.receive().await {
                let _ended = events.send(Event::Said(pid, message));
            }
            let _ended = events.send(Event::Exited(pid, child.wait().await.ok()));
        });
        let (began, reload) = (Instant::now(), self.reloads.get());
        let stage = Stage::Starting;
        self.all.borrow_mut().push(Child { pid, stage, began, reload, link, said: String::new() });
        Ok(())
    }

    pub fn current(&self) -> Option<Child> {
        self.all.borrow().iter().find(|c| c.stage == Stage::Current).cloned()
    }

    fn is_starting(&self) -> bool {
        self.all.borrow().iter().any(|c| c.stage == Stage::Starting)
    }

    /// Does what somebody asks for.
    pub fn ask(self: &Rc<Self>, wish: Wish) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        let now = match wish {
            Wish::Reload(confirm) => self.reload(confirm),
            Wish::Confirm => Some(self.confirm()),
            Wish::Rollback => Some(self.roll_back("asked for")),
        };
        match now {
            Some(outcome) => drop(tell.send(outcome)),
            None => self.wait(tell),
        }
        told
    }

    fn wait(self: &Rc<Self>, tell: Answer) {
        if self.is_starting() {
            // It may have read its files already.
            return self.next.borrow_mut().push(tell);
        }
        self.waiting.borrow_mut().push(tell);
        self.begin_reload();
    }

    /// Prepares for another worker in the place of the one that serves; an answer where that cannot be.
    fn reload(self: &Rc<Self>, confirm: Option<Duration>) -> Option<Outcome> {
        let refuse = |text: &str| Some(Outcome::new(false, line("ALERT", text)));
        if self.trial.borrow().is_some() {
            return Some(trial::first());
        }
        if self.is_starting() {
            if confirm.is_some() || self.confirmation.get().is_some() {
                return refuse("another reload is under way: try again when it is done.");
            }
        } else {
            self.confirmation.set(confirm);
        }
        None
    }

    fn begin_reload(self: &Rc<Self>) {
        self.reloads.set(self.reloads.get() + 1);
        if self.notifies {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
            process::notify(&format!(
                "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=Reloading configuration.\n"
            ));
        }
        if let Err(problem) = self.start(false) {
            let said = line("ALERT", format!("master : {problem}"));
            eprint!("{said}");
            self.refused(said);
        }
    }

    /// The end: nobody will need the sockets again.
    pub fn let_go(&self) {
        self.sockets.borrow_mut().clear();
        *self.trial.borrow_mut() = None;
    }

    /// The end at once: clients are not to find sockets that nobody listens on.
    pub fn remove_files(&self) {
        self.files.take().iter().for_each(SocketFile::remove);
    }

    pub fn signal(&self, number: i32) {
        for child in self.all.borrow().iter() {
            kill(child.pid, number);
        }
    }

    /// A worker said something or is gone. A code: the master ends with it.
    pub fn happen(self: &Rc<Self>, event: Event, stopping: bool) -> Option<ExitCode> {
        match event {
            Event::Said(pid, message) => {
                self.hear(pid, message);
                None
            }
            Event::Exited(pid, status) => self.bury(pid, status, stopping),
            Event::Unconfirmed(pid) => {
                self.unconfirmed(pid);
                None
            }
        }
    }

    fn hear(self: &Rc<Self>, pid: u32, message: Message) {
        let text = || String::from_utf8_lossy(&message.bytes).into_owned();
        match message.what {
            link::GIVE => {
                let link = self.child(pid).map(|c| c.link);
                if let Some(Err(error)) = link.map(|l| l.send_sockets(&self.sockets.borrow())) {
                    say("WARNING", format!("master : cannot hand the sockets to worker {pid}: {error}"));
                }
            }
            link::SOCKETS => {
                if let Ok(described) = handoff::split(&message.bytes, message.sockets) {
                    let kept =
                        described.into_iter().map(|(description, socket)| Kept { description, socket });
                    self.offered.borrow_mut().extend(kept);
                }
            }
            link::MOST => self.most_reloads.set(text().parse().ok()),
            link::READY => self.ready(pid, text()),
            link::FAILED => {
                if let Some(child) = self.all.borrow_mut().iter_mut().find(|c| c.pid == pid) {
                    child.said = text();
                }
            }
            link::ASK => self.asked_by(pid, &text()),
            _ => {}
        }
    }

    /// A client of a worker's wants a reload.
    fn asked_by(self: &Rc<Self>, pid: u32, text: &str) {
        let (Some(child), Some((number, wish))) = (self.child(pid), news::read_question(text)) else {
            return;
        };
        let told = self.ask(wish);
        tasks::detached("answer to a worker", async move {
            if let Ok(outcome) = told.await {
                child.send(link::ASK, news::answer(number, &outcome).as_bytes());
            }
        });
    }

    pub(super) fn child(&self, pid: u32) -> Option<Child> {
        self.all.borrow().iter().find(|c| c.pid == pid).cloned()
    }

    /// The new worker serves: the old one finishes, or waits whether it will be needed.
    fn ready(self: &Rc<Self>, pid: u32, said: String) {
        let before = self.sockets.replace(self.offered.take());
        let files = self.sockets.borrow().iter().filter_map(Kept::file).collect();
        *self.files.borrow_mut() = files;
        let replaced = self.current();
        self.set_stage(pid, Stage::Current);
        self.said.borrow_mut().clone_from(&said);
        if self.notifies {
            process::notify(&format!("READY=1\nMAINPID={}\nSTATUS=Ready.\n", std::process::id()));
        }
        say("NOTICE", format!("New worker ({pid}) is ready."));
        let confirmation = self.confirmation.take();
        let mut outcome = Outcome::new(true, said);
        match (replaced, confirmation) {
            (Some(replaced), Some(limit)) => {
                self.set_stage(replaced.pid, Stage::Held);
                replaced.send(link::HOLD, &[]);
                outcome.messages += &self.begin_trial(pid, &replaced, before, limit);
                self.conclude(outcome);
            }
            (Some(replaced), None) => {
                self.set_stage(replaced.pid, Stage::Old);
                // Who asked by the old worker is answered before it ends.
                self.conclude(outcome);
                kill(replaced.pid, libc::SIGUSR1);
                self.end_survivors();
            }
            // The first one, or one in the place of a dead one, is no reload: it hears how those went.
            (None, _) if self.waiting.borrow().is_empty() => self.tell_news(),
            (None, _) => self.conclude(outcome),
        }
        self.go_on();
    }

    /// Workers that have outlived too many reloads go at once.
    fn end_survivors(&self) {
        let Some(most) = self.most_reloads.get() else { return };
        for child in self.all.borrow().iter() {
            let outlived = self.reloads.get().saturating_sub(child.reload);
            if child.stage == Stage::Old && outlived > most {
                say(
                    "WARNING",
                    format!(
                        "Former worker ({}) has outlived {outlived} reloads and is ended (mworker-max-reloads {most}).",
                        child.pid
                    ),
                );
                kill(child.pid, libc::SIGTERM);
            }
        }
    }

    fn refused(self: &Rc<Self>, said: String) {
        self.confirmation.set(None);
        self.offered.borrow_mut().clear();
        self.said.borrow_mut().clone_from(&said);
        say("ALERT", "Reload failed: the new worker did not start; the one before it goes on.");
        if self.notifies {
            process::notify("READY=1\nSTATUS=Reload failed!\n");
        }
        self.conclude(Outcome::new(false, said));
        self.go_on();
    }

    /// Tells what came of a reload to all who want to know.
    fn conclude(&self, outcome: Outcome) {
        self.note(&outcome);
        outcome.tell(self.waiting.take());
    }

    pub(super) fn note(&self, outcome: &Outcome) {
        self.history.borrow_mut().note(outcome);
        self.tell_news();
    }

    /// To the page, the metrics and the log of the worker that serves.
    fn tell_news(&self) {
        let text = news::history(&self.history.borrow());
        if let Some(current) = self.current() {
            current.send(link::NEWS, text.as_bytes());
        }
    }

    fn go_on(self: &Rc<Self>) {
        let next = self.next.take();
        if !next.is_empty() {
            *self.waiting.borrow_mut() = next;
            self.begin_reload();
        }
    }

    pub(super) fn set_stage(&self, pid: u32, stage: Stage) {
        if let Some(child) = self.all.borrow_mut().iter_mut().find(|c| c.pid == pid) {
            child.stage = stage;
        }
    }

    pub(super) fn held(&self) -> Option<Child> {
        self.all.borrow().iter().find(|c| c.stage == Stage::Held).cloned()
    }

    pub(super) fn let_accept_again(&self, child: &Child) {
        child.send(link::GO_ON, &[]);
    }

    fn bury(self: &Rc<Self>, pid: u32, status: Option<ExitStatus>, stopping: bool) -> Option<ExitCode> {
        let at = self.all.borrow().iter().position(|c| c.pid == pid)?;
        let child = self.all.borrow_mut().remove(at);
        let how = status.map_or_else(|| "unknown".to_owned(), |s| s.to_string());
        if stopping {
            return None;
        }
        match child.stage {
            Stage::Old => say("NOTICE", format!("Former worker ({pid}) is gone ({how}).")),
            Stage::Held => self.lose_way_back(pid, &how),
            Stage::Starting if self.current().is_some() => self.refused(child.said),
            Stage::Starting => {
                say("ALERT", format!("master : the worker ({pid}) did not start ({how})."));
                return Some(ExitCode::FAILURE);
            }
            Stage::Current if self.held().is_some() => {
                drop(self.roll_back(&format!("the new worker ({pid}) died ({how})")));
            }
            Stage::Current => return self.replace_dead(&child, &how),
        }
        None
    }

    fn replace_dead(self: &Rc<Self>, dead: &Child, how: &str) -> Option<ExitCode> {
        say("ALERT", format!("master : the worker ({}) died ({how}); another one is started.", dead.pid));
        let soon = dead.began.elapsed() < SOON;
        self.early_deaths.set(if soon { self.early_deaths.get() + 1 } else { 0 });
        if self.early_deaths.get() >= GIVE_UP {
            say("ALERT", "master : workers die as soon as they are started: giving up.");
            return Some(ExitCode::FAILURE);
        }
        if !self.is_starting()
            && let Err(problem) = self.start(false)
        {
            say("ALERT", format!("master : {problem}"));
            return Some(ExitCode::FAILURE);
        }
        None
    }

    /// A connection to a worker's administration, with the client's rights.
    pub fn connect(&self, child: &Child, rights: &[u8]) -> io::Result<tokio::net::UnixStream> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        child.link.send(link::CLIENT, rights, &[&theirs])?;
        ours.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(ours)
    }
}

pub(super) fn kill(pid: u32, number: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        let _gone = raw::kill(pid, number);
    }
}
