//! The main thread while the workers run: signals, checks, the end.

use super::duty::{Duty, Networks};
use super::reload::{self, Running};
use super::services::Services;
use super::trial::{self, Trial};
use super::worker::{Phase, Workers};
use super::{Options, Read, Shared, back_door, listen, master, say};
use crate::admin;
use crate::live::reload::{Answer, Wish};
use crate::live::{Process, Stage, counters, startup};
use crate::logging::{self, level};
use crate::net::raw;
use crate::{probe, tasks};
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How long workers may take to flush their logs when the process is told to end at once.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long clients may take to read what came of a reload.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// Why the process ends.
enum End {
    /// All connections are done after USR1, or `hard-stop-after` cut them.
    Finished,
    /// By this signal.
    Signal(i32),
}

/// Stays until the process ends.
pub fn run(
    mut shared: Arc<Shared>,
    mut workers: Workers,
    sockets: Vec<admin::listen::Bound>,
    options: &Options,
    startup: probe::Startup,
    networks: Networks,
) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("[haproxy.main()] Cannot create the control thread's reactor: {e}"))?;
    // Of every counter the last copy, however many a reload makes.
    counters::enter_thread(usize::MAX);
    let set = tokio::task::LocalSet::new();
    let end =
        set.block_on(&runtime, control(&mut shared, &mut workers, sockets, options, startup, networks))?;
    let _ = workers.phase.send(Phase::Ending);
    let until = Instant::now() + LAST_WORDS;
    while workers.threads.iter().any(|t| !t.handle.is_finished()) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    shared.hub.close();
    // Ends the programs of external checks; one that hangs in being started is not waited for.
    drop(set);
    runtime.shutdown_background();
    shared.generation.process.current.clear();
    if let End::Signal(number) = end {
        raw::die_by(number);
    }
    Ok(ExitCode::SUCCESS)
}

pub struct Signals {
    usr1: Signal,
    usr2: Signal,
    pub term: Signal,
    pub int: Signal,
    hup: Signal,
    quit: Signal,
    ttou: Signal,
    ttin: Signal,
}

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            ttou: signal(SignalKind::from_raw(libc::SIGTTOU))?,
            ttin: signal(SignalKind::from_raw(libc::SIGTTIN))?,
        })
    }
}

/// A signal that ends the process at once.
async fn ending(term: &mut Signal, int: &mut Signal) -> i32 {
    tokio::select! {
        _ = term.recv() => libc::SIGTERM,
        _ = int.recv() => libc::SIGINT,
    }
}

async fn control(
    shared: &mut Arc<Shared>,
    workers: &mut Workers,
    sockets: Vec<admin::listen::Bound>,
    options: &Options,
    startup: probe::Startup,
    networks: Networks,
) -> Result<End, String> {
    let mut signals = Signals::watch().map_err(|e| format!("[haproxy.main()] Cannot watch signals: {e}"))?;
    raw::deliver_signals();
    let watch_failed = |e| format!("[haproxy.main()] Cannot watch the administration sockets: {e}");
    let mut services = Services::start(shared, sockets, startup).map_err(watch_failed)?;
    // Of the whole process.
    let log = logging::Sender::new(&shared.hub);
    let _lasting = [
        tasks::start("log sender", Rc::clone(&log).run()),
        tasks::start("applets", applets(Arc::clone(&shared.generation.process), Rc::clone(&log))),
    ];
    let (tell_holds, mut holds) = mpsc::unbounded_channel();
    let _master = options.channel.as_ref().and_then(|channel| {
        let link = channel.again().and_then(master::Channel::link).ok()?;
        Some(tasks::start("master", master::attend(link, services.office(), tell_holds.clone())))
    });
    let _door = options.channel.is_none().then(|| {
        let office = services.office();
        back_door::listen(move |client| {
            if let Ok(client) = client.into_std() {
                admin::admit_owner(&office, OwnedFd::from(client).into());
            }
        })
    });
    startup::is_over();
    let process = Arc::clone(&shared.generation.process);
    let mut duty = Duty::start(networks, &shared.generation, &log);
    let mut reading: Option<Reading<'_>> = None;
    let mut trial: Option<Trial> = None;
    let mut held = Vec::new();
    loop {
        tokio::select! {
            _ = signals.usr1.recv() => {
                if let Some(number) = duty.end(&mut signals).await {
                    return Ok(End::Signal(number));
                }
                services.close_sockets();
                return Ok(stop(shared, workers, &mut signals, &services, options).await);
            }
            number = ending(&mut signals.term, &mut signals.int) => {
                duty.end(&mut signals).await;
                // Those of a worker are its master's.
                if options.channel.is_none() {
                    listen::remove_files(&shared.generation, &services.sockets);
                }
                return Ok(End::Signal(number));
            }
            _ = signals.hup.recv() => dump(shared, &services.log),
            _ = signals.quit.recv() => {}
            _ = signals.usr2.recv() => drop(process.reloads.ask(Wish::Reload(None))),
            () = process.reloads.asked(), if reading.is_none() => {
                let running = Running { shared, workers, services: &mut services, duty: &mut duty, options };
                let begun = trial::begin_what_is_asked(&process, running, &mut trial).await;
                reading = begun.map(|(limit, askers)| Reading::begin(options, limit, askers));
            }
            () = Trial::expired(trial.as_ref()) => {
                let running = Running { shared, workers, services: &mut services, duty: &mut duty, options };
                trial::end(&mut trial, running).await;
            }
            (read, limit, askers) = Reading::end(&mut reading) => {
                let running = Running { shared, workers, services: &mut services, duty: &mut duty, options };
                trial = trial::change(read, limit, askers, running).await;
            }
            Some(hold) = holds.recv() => {
                if hold {
                    held = shared.generation.hold();
                    services.admit_nobody();
                } else {
                    shared.generation.go_on(&std::mem::take(&mut held));
                    services.admit_again().map_err(watch_failed)?;
                }
            }
            _ = signals.ttou.recv() => services.admin().report(&shared.generation.pause_all()),
            _ = signals.ttin.recv() => services.admin().report(&shared.generation.resume_all()),
        }
    }
}

/// A configuration on its way, and who waits for it.
struct Reading<'a> {
    read: Pin<Box<dyn Future<Output = Read> + 'a>>,
    /// The time to confirm it.
    limit: Option<Duration>,
    askers: Vec<Answer>,
}

impl<'a> Reading<'a> {
    fn begin(options: &'a Options, limit: Option<Duration>, askers: Vec<Answer>) -> Self {
        Self { read: Box::pin(reload::read(options)), limit, askers }
    }

    /// Ready when what is read has come.
    async fn end(reading: &mut Option<Self>) -> (Read, Option<Duration>, Vec<Answer>) {
        let read = match reading {
            Some(reading) => reading.read.as_mut().await,
            None => std::future::pending().await,
        };
        let (limit, askers) = reading.take().map(|r| (r.limit, r.askers)).unwrap_or_default();
        (read, limit, askers)
    }
}

/// The services of our own that answer requests.
async fn applets(process: Arc<Process>, log: Rc<logging::Sender>) {
    let served = [admin::page::applet(log), admin::prometheus::applet()];
    process.applets.run(&served).await;
}

/// USR1: the listeners close, what runs goes on to its end, or to `hard-stop-after`.
async fn stop(
    shared: &Shared,
    workers: &mut Workers,
    signals: &mut Signals,
    services: &Services,
    options: &Options,
) -> End {
    let log = &services.log;
    let global = &shared.generation.config.global;
    if let Some(grace) = global.grace {
        tokio::time::sleep(grace).await;
    }
    shared.generation.process.stopping.store(true, SeqCst);
    shared.generation.enter_stage(Stage::Stopping);
    let stopped = shared.generation.stop_notices();
    shared.generation.close_all();
    let _ = workers.phase.send(Phase::Stopping);
    for notice in stopped {
        if let Some(proxy) = shared.generation.proxy(notice.proxy) {
            log.report(&proxy.conf.log, notice.level, &notice.log);
        }
        if !options.quiet {
            say("WARNING", notice.log);
        }
    }
    let threads = workers.threads.len();
    let drained = async {
        for _ in 0..threads {
            let _ = workers.ended.recv().await;
        }
    };
    let cut = async {
        match global.hard_stop_after {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        () = drained => End::Finished,
        () = cut => {
            say("WARNING", "soft-stop running for too long, performing a hard-stop.");
            End::Finished
        }
        _ = signals.term.recv() => End::Signal(libc::SIGTERM),
        _ = signals.int.recv() => End::Signal(libc::SIGINT),
    };
    // Whoever asked this worker for the reload that ends it has the answer by now, or is slow.
    let _slow = tokio::time::timeout(LAST_ANSWER, shared.generation.process.reloads.all_told()).await;
    end
}

/// HUP: to standard error in one piece, and to the logs of each proxy.
fn dump(shared: &Shared, log: &logging::Sender) {
    for line in shared.generation.dump_servers() {
        say("WARNING", &line);
        for target in &shared.generation.config.global.log {
            log.emit(std::slice::from_ref(target), level::WARNING, None, b"", line.as_bytes());
        }
    }
}
