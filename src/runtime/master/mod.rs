//! The master of `-W`: a small process that keeps its privileges and a copy of every listening socket, and starts workers.
//!
//! ```text
//!   start -> worker Starting --ready--> Current --another is ready, USR1--> Old --ends--> gone
//!                    | fails: the one before stays     | dies: another is started, the sockets wait for it
//! ```
//! A reload starts the program that stands at the master's path, whichever version that is by now. The master reads no
//! configuration but at its own start: what the next worker refuses never concerns the running one.

mod children;
mod command;
mod lines;
mod link;
mod news;
mod socket;
mod trial;

pub use link::Channel;
pub use link::Kept;

use super::{Options, back_door, process, say};
use crate::admin;
use crate::config::model::global::Level;
use crate::live::reload::{History, Wish};
use crate::logging::level;
use crate::tasks;
use children::{Children, Event};
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How long workers may take to end when the master is told to end at once.
const LAST: Duration = Duration::from_secs(5);

/// What the master was started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Arguments of each worker, and those of the first one besides.
    pub arguments: Vec<OsString>,
    pub first: Vec<OsString>,
    /// `-S`
    pub socket: Option<String>,
}

/// Runs until told to stop.
#[must_use]
pub fn run(
    options: &Options,
    settings: Settings,
    daemon: bool,
    pidfile: Option<&std::path::Path>,
) -> ExitCode {
    let begun = process::open_pidfile(pidfile).and_then(|file| {
        if daemon {
            return process::split(file);
        }
        process::write_pid(file, std::process::id());
        Ok(None)
    });
    match begun {
        Ok(Some(code)) => return code,
        Ok(None) => {}
        Err(problem) => return fail(problem),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let set = tokio::task::LocalSet::new();
            set.block_on(&runtime, serve(options, settings)).unwrap_or_else(fail)
        }
        Err(error) => fail(format!("cannot create the master's reactor: {error}")),
    }
}

/// A worker's side: clients that the master sends are let in; without a master it finishes its connections and ends.
/// `holds` is told when nobody is to be accepted, and when again.
pub async fn attend(link: link::Link, office: Rc<admin::Office>, holds: mpsc::UnboundedSender<bool>) {
    while let Ok(Some(message)) = link.receive().await {
        let now = office.now();
        let reloads = &now.live().process.reloads;
        let text = String::from_utf8_lossy(&message.bytes);
        match message.what {
            link::CLIENT => {
                for client in message.sockets {
                    admin::admit(&office, socket2::Socket::from(client), command::rights(&message.bytes));
                }
            }
            link::NEWS => {
                if let Some(history) = news::read_history(&text) {
                    log(&now, &reloads.history(), &history);
                    reloads.set_history(history);
                }
            }
            link::ASK => {
                if let Some((number, outcome)) = news::read_answer(&text) {
                    reloads.answered(number, &outcome);
                }
            }
            link::HOLD | link::GO_ON => drop(holds.send(message.what == link::HOLD)),
            _ => {}
        }
    }
    say("WARNING", "the master is gone: finishing.");
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let _told = crate::net::raw::kill(own, libc::SIGUSR1);
}

/// What went wrong since, into the log: the master has none.
fn log(admin: &admin::Admin, before: &History, now: &History) {
    let Some(refusal) = now.refusal().filter(|refusal| before.last.as_ref() != Some(refusal)) else { return };
    let targets = &admin.live().config.global.log;
    let text = "Reload failed: this worker goes on with the configuration of before.";
    for line in std::iter::once(text).chain(refusal.messages.lines().filter(|l| l.starts_with('['))) {
        admin.log().emit(targets, level::ALERT, None, b"", line.as_bytes());
    }
}

fn fail(problem: impl std::fmt::Display) -> ExitCode {
    say("ALERT", format!("master : {problem}"));
    ExitCode::FAILURE
}

async fn serve(options: &Options, settings: Settings) -> Result<ExitCode, String> {
    let watch = |kind| signal(kind).map_err(|e| format!("cannot watch signals: {e}"));
    let mut usr1 = watch(SignalKind::user_defined1())?;
    let mut usr2 = watch(SignalKind::user_defined2())?;
    let mut hup = watch(SignalKind::hangup())?;
    let mut term = watch(SignalKind::terminate())?;
    let mut int = watch(SignalKind::interrupt())?;
    let mut ttou = watch(SignalKind::from_raw(libc::SIGTTOU))?;
    let mut ttin = watch(SignalKind::from_raw(libc::SIGTTIN))?;
    let mut quit = watch(SignalKind::quit())?;
    let socket = settings.socket.clone();
    let notifies = options.notify;
    let (children, mut events) = Children::new(settings, notifies);
    let _clients = match &socket {
        Some(at) => Some(
            socket::listen(at, &children)
                .map_err(|e| format!("cannot bind the master socket '{at}': {e}"))?,
        ),
        None => None,
    };
    let _door = {
        let children = Rc::clone(&children);
        back_door::listen(move |client| {
            tasks::detached("master client", socket::talk(client, Level::Admin, Rc::clone(&children)));
        })
    };
    children.start(true)?;
    let mut stopping = false;
    let mut watchdog = process::watchdog().filter(|_| notifies).map(tokio::time::interval);
    loop {
        tokio::select! {
            () = beat(watchdog.as_mut()) => {
                // A master whose worker cannot be started again is to be noticed.
                if children.current().is_some() {
                    process::notify("WATCHDOG=1\n");
                }
            }
            Some(event) = events.recv() => {
                let exited = matches!(event, Event::Exited(..));
                if let Some(code) = children.happen(event, stopping) {
                    return Ok(code);
                }
                if stopping && exited && children.is_empty() {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            _ = usr2.recv() => drop(children.ask(Wish::Reload(None))),
            _ = hup.recv() => drop(children.ask(Wish::Reload(None))),
            _ = usr1.recv() => {
                stopping = true;
                process::notify("STOPPING=1\n");
                children.let_go();
                children.signal(libc::SIGUSR1);
            }
            _ = term.recv() => return Ok(end(&children, libc::SIGTERM, &mut events).await),
            _ = int.recv() => return Ok(end(&children, libc::SIGINT, &mut events).await),
            _ = ttou.recv() => children.signal(libc::SIGTTOU),
            _ = ttin.recv() => children.signal(libc::SIGTTIN),
            _ = quit.recv() => {}
        }
    }
}

async fn beat(watchdog: Option<&mut tokio::time::Interval>) {
    match watchdog {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// Workers end at once; the master with the code that a shell gives to a signal.
async fn end(children: &Rc<Children>, signal: i32, events: &mut mpsc::UnboundedReceiver<Event>) -> ExitCode {
    process::notify("STOPPING=1\n");
    children.signal(signal);
    let ended = async {
        while !children.is_empty() {
            if let Some(event) = events.recv().await {
                let _none = children.happen(event, true);
            }
        }
    };
    if tokio::time::timeout(LAST, ended).await.is_err() {
        children.signal(libc::SIGKILL);
    }
    children.remove_files();
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}
