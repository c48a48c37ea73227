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
mod link;
mod socket;

pub use link::Channel;
pub use link::Kept;

use super::{Options, process, say};
use children::{Children, Event};
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

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
pub async fn attend(link: link::Link, office: Rc<crate::admin::Office>) {
    while let Ok(Some(message)) = link.receive().await {
        if message.what == link::CLIENT {
            for client in message.sockets {
                crate::admin::admit(&office, socket2::Socket::from(client));
            }
        }
    }
    say("WARNING", "the master is gone: finishing.");
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let _told = crate::net::raw::kill(own, libc::SIGUSR1);
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
    let (children, mut events) = Children::new(settings, options.notify);
    let _clients = match &socket {
        Some(at) => Some(
            socket::listen(at, &children)
                .map_err(|e| format!("cannot bind the master socket '{at}': {e}"))?,
        ),
        None => None,
    };
    children.start(true)?;
    let mut stopping = false;
    loop {
        tokio::select! {
            Some(event) = events.recv() => {
                let exited = matches!(event, Event::Exited(..));
                if let Some(code) = children.happen(event, stopping) {
                    return Ok(code);
                }
                if stopping && exited && children.is_empty() {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            _ = usr2.recv() => drop(children.reload()),
            _ = hup.recv() => drop(children.reload()),
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

/// Workers end at once; the master with the code that a shell gives to a signal.
async fn end(
    children: &Rc<Children>,
    signal: i32,
    events: &mut tokio::sync::mpsc::UnboundedReceiver<Event>,
) -> ExitCode {
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
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}
