//! The workers of a master.

use super::Settings;
use super::link::{self, Kept, Link, Message};
use crate::net::handoff;
use crate::net::raw;
use crate::runtime::{process, say};
use crate::tasks;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

/// Workers that died so soon, one after another, before the master gives up; and what is soon.
const GIVE_UP: u32 = 5;
const SOON: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub enum Event {
    Said(u32, Message),
    Exited(u32, Option<ExitStatus>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Starting,
    Current,
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

/// What came of a reload: done, and what was said.
pub type Outcome = (bool, String);

pub struct Children {
    settings: Settings,
    program: PathBuf,
    pub began: Instant,
    all: RefCell<Vec<Child>>,
    sockets: RefCell<Vec<Kept>>,
    /// Those of the worker that is starting, until it is ready.
    offered: RefCell<Vec<Kept>>,
    events: mpsc::UnboundedSender<Event>,
    waiting: RefCell<Vec<oneshot::Sender<Outcome>>>,
    /// Asked for while another one was under way.
    again: Cell<bool>,
    pub reloads: Cell<u32>,
    pub failed: Cell<u32>,
    early_deaths: Cell<u32>,
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
            offered: RefCell::default(),
            events,
            waiting: RefCell::default(),
            again: Cell::new(false),
            reloads: Cell::new(0),
            failed: Cell::new(0),
            early_deaths: Cell::new(0),
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

    /// Asks for another worker in the place of the one that serves.
    pub fn reload(self: &Rc<Self>) -> oneshot::Receiver<Outcome> {
        let (tell, told) = oneshot::channel();
        if self.all.borrow().iter().any(|c| c.stage == Stage::Starting) {
            // It may have read its files already.
            self.again.set(true);
        } else {
            self.begin_reload();
        }
        self.waiting.borrow_mut().push(tell);
        told
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
            self.refused(problem + "\n");
        }
    }

    /// The end: nobody will need the sockets again.
    pub fn let_go(&self) {
        self.sockets.borrow_mut().clear();
    }

    pub fn signal(&self, number: i32) {
        for child in self.all.borrow().iter() {
            if let Ok(pid) = i32::try_from(child.pid) {
                let _gone = raw::kill(pid, number);
            }
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
        }
    }

    fn hear(self: &Rc<Self>, pid: u32, message: Message) {
        let text = || String::from_utf8_lossy(&message.bytes).into_owned();
        match message.what {
            link::GIVE => {
                let link = self.list().into_iter().find(|c| c.pid == pid).map(|c| c.link);
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
            link::READY => self.ready(pid, text()),
            link::FAILED => {
                if let Some(child) = self.all.borrow_mut().iter_mut().find(|c| c.pid == pid) {
                    child.said = text();
                }
            }
            _ => {}
        }
    }

    /// The new worker serves: the old one finishes.
    fn ready(self: &Rc<Self>, pid: u32, said: String) {
        *self.sockets.borrow_mut() = self.offered.take();
        for child in self.all.borrow_mut().iter_mut() {
            if child.pid == pid {
                child.stage = Stage::Current;
            } else if child.stage == Stage::Current {
                child.stage = Stage::Old;
                let _gone = raw::kill(i32::try_from(child.pid).unwrap_or(0), libc::SIGUSR1);
            }
        }
        self.said.borrow_mut().clone_from(&said);
        if self.notifies {
            process::notify(&format!("READY=1\nMAINPID={}\nSTATUS=Ready.\n", std::process::id()));
        }
        say("NOTICE", format!("New worker ({pid}) is ready."));
        self.answer((true, said));
    }

    fn refused(self: &Rc<Self>, said: String) {
        self.failed.set(self.failed.get() + 1);
        self.offered.borrow_mut().clear();
        self.said.borrow_mut().clone_from(&said);
        say("ALERT", "Reload failed: the new worker did not start; the one before it goes on.");
        if self.notifies {
            process::notify("READY=1\nSTATUS=Reload failed!\n");
        }
        self.answer((false, said));
    }

    fn answer(self: &Rc<Self>, outcome: Outcome) {
        for asker in self.waiting.take() {
            let _gone = asker.send(outcome.clone());
        }
        if self.again.take() {
            self.begin_reload();
        }
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
            Stage::Starting if self.current().is_some() => self.refused(child.said),
            Stage::Starting => {
                say("ALERT", format!("master : the worker ({pid}) did not start ({how})."));
                return Some(ExitCode::FAILURE);
            }
            Stage::Current => {
                say("ALERT", format!("master : the worker ({pid}) died ({how}); another one is started."));
                let soon = child.began.elapsed() < SOON;
                self.early_deaths.set(if soon { self.early_deaths.get() + 1 } else { 0 });
                if self.early_deaths.get() >= GIVE_UP {
                    say("ALERT", "master : workers die as soon as they are started: giving up.");
                    return Some(ExitCode::FAILURE);
                }
                let starting = self.all.borrow().iter().any(|c| c.stage == Stage::Starting);
                if !starting && let Err(problem) = self.start(false) {
                    say("ALERT", format!("master : {problem}"));
                    return Some(ExitCode::FAILURE);
                }
            }
        }
        None
    }

    /// A connection to a worker's administration.
    pub fn connect(&self, child: &Child) -> io::Result<tokio::net::UnixStream> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        child.link.send(link::CLIENT, &[&theirs])?;
        ours.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(ours)
    }
}
