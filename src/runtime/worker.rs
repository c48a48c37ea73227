//! Worker threads: each one reactor, one local set of tasks, its own listeners and engines.

use super::Shared;
use super::accept::{accept_loop, accept_rest};
use super::gate::{Budget, Gate, Local};
use super::listen::{Bound, Listeners};
use crate::ids::ProxyIndex;
use crate::live::counters;
use crate::live::sessions;
use crate::live::{Generation, Process};
use crate::net::{Listener, raw};
use crate::tasks::{self, Task};
use crate::{http, logging, tcp, vrrp};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Over which the connections of a generation are told that another has taken its place.
const LOOK_UP: Duration = Duration::from_secs(1);

/// How long connections that are in use have, as the process stops, to leave with their next response: one that is closed
/// just as its client sends a request has failed that client.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a listener that nobody new finds is kept for those who have begun to connect: their last packet may be sent again.
const LINGER: Duration = Duration::from_secs(3);

/// What the control thread tells the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Running,
    /// Stop accepting, finish what runs.
    Stopping,
    /// Drop everything.
    Ending,
}

/// A thread's side of everything.
pub struct Worker {
    pub shared: Arc<Shared>,
    pub log: Rc<logging::Sender>,
    pub http: Rc<http::Engine>,
    pub tcp: Rc<tcp::Engine>,
}

impl Worker {
    pub fn generation(&self) -> &Arc<Generation> {
        &self.shared.generation
    }
}

/// All worker threads, as the control thread holds them.
pub struct Workers {
    pub phase: watch::Sender<Phase>,
    /// One message from each thread that has ended.
    pub ended: mpsc::UnboundedReceiver<()>,
    end: mpsc::UnboundedSender<()>,
    pub threads: Vec<Thread>,
}

pub struct Thread {
    pub handle: JoinHandle<()>,
    orders: mpsc::UnboundedSender<Order>,
}

/// What a thread is to serve from now on; nothing, where a reload has left fewer threads. The sender is dropped when it does.
struct Order(Option<Assignment>, oneshot::Sender<()>);

impl Workers {
    pub fn start(shared: &Arc<Shared>, listeners: Listeners) -> Result<Self, String> {
        let (phase, _) = watch::channel(Phase::Running);
        let (end, ended) = mpsc::unbounded_channel();
        let mut workers = Self { phase, ended, end, threads: Vec::new() };
        let _begun = workers.assign(shared, listeners)?;
        Ok(workers)
    }

    /// Gives the threads another generation to serve, starting those that are missing. Each answer comes, as an error, once
    /// the thread serves it.
    pub fn assign(
        &mut self,
        shared: &Arc<Shared>,
        listeners: Listeners,
    ) -> Result<Vec<oneshot::Receiver<()>>, String> {
        let mut begun = Vec::new();
        let mut assignments = assignments(shared, listeners).into_iter();
        for index in 0.. {
            let assignment = assignments.next();
            if index >= self.threads.len() {
                if assignment.is_none() {
                    break;
                }
                self.threads.push(self.start_thread(index, shared)?);
            }
            let (tell, told) = oneshot::channel();
            if let Some(thread) = self.threads.get(index) {
                let _ended = thread.orders.send(Order(assignment, tell));
            }
            begun.push(told);
        }
        Ok(begun)
    }

    fn start_thread(&self, index: usize, shared: &Arc<Shared>) -> Result<Thread, String> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let process = Arc::clone(&shared.generation.process);
        let seat = Seat { index, process, orders: inbox, phase: self.phase.subscribe() };
        let end = self.end.clone();
        let handle = std::thread::Builder::new()
            .name(format!("worker-{}", index + 1))
            .spawn(move || {
                seat.work();
                let _ = end.send(());
            })
            .map_err(|e| format!("[haproxy.main()] Cannot start thread {}: {e}", index + 1))?;
        Ok(Thread { handle, orders })
    }
}

/// For each thread its listeners, with the limits that those of one line share.
fn assignments(shared: &Arc<Shared>, listeners: Listeners) -> Vec<Assignment> {
    let mut limits: HashMap<usize, BindLimits> = HashMap::new();
    let mut rates: HashMap<ProxyIndex, Arc<Budget>> = HashMap::new();
    let each = listeners.threads.into_iter().map(|bounds| {
        let entries = bounds.into_iter().map(|b| {
            let new = || BindLimits {
                rate: Arc::clone(rates.entry(b.proxy).or_default()),
                ..BindLimits::default()
            };
            let limit = limits.entry(b.group).or_insert_with(new).clone();
            (b, limit)
        });
        Assignment { shared: Arc::clone(shared), entries: entries.collect() }
    });
    each.collect()
}

/// What the threads share about one `bind` line.
#[derive(Clone, Default)]
struct BindLimits {
    conns: Arc<AtomicUsize>,
    rate: Arc<Budget>,
}

/// A generation and a thread's listeners in it.
struct Assignment {
    shared: Arc<Shared>,
    entries: Vec<(Bound, BindLimits)>,
}

/// What a thread is started with.
struct Seat {
    index: usize,
    process: Arc<Process>,
    orders: mpsc::UnboundedReceiver<Order>,
    phase: watch::Receiver<Phase>,
}

impl Seat {
    fn work(self) {
        counters::enter_thread(self.index);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .event_interval(61)
            .build_local(tokio::runtime::LocalOptions::default());
        let Ok(runtime) = runtime else {
            super::say("ALERT", format!("thread {} : cannot create its reactor", self.index + 1));
            std::process::exit(1);
        };
        runtime.block_on(self.serve());
    }

    async fn serve(self) {
        let Self { index, process, mut orders, mut phase } = self;
        let _questions = tasks::start("questions", questions(Arc::clone(&process), index));
        let mut alive = None;
        let mut duty: Option<Duty> = None;
        // Connections of all generations on this thread.
        let mut locals: Vec<Rc<Local>> = Vec::new();
        loop {
            let order = tokio::select! {
                biased;
                _ = phase.wait_for(|p| *p != Phase::Running) => break,
                order = orders.recv() => order,
            };
            let Some(Order(assignment, _begun)) = order else { break };
            let next = assignment.map(|a| Duty::start(a, index, duty.as_ref()));
            if let Some(old) = std::mem::replace(&mut duty, next) {
                old.retire().await;
            }
            locals.retain(|l| l.count.get() > 0);
            if let Some(duty) = &duty {
                locals.push(Rc::clone(&duty.local));
                let routers = !duty.worker.generation().config.vrrp.routers.is_empty();
                if routers && alive.is_none() {
                    alive = Some(tasks::start("heartbeat", heartbeat(Arc::clone(&process), index)));
                }
            }
        }
        if let Some(duty) = &mut duty {
            duty.leave_doors(true).await;
        }
        let spread = duty.as_ref().and_then(|duty| duty.worker.generation().config.global.close_spread);
        let _ = phase.wait_for(|p| matches!(p, Phase::Stopping | Phase::Ending)).await;
        let _closing = tasks::start("close idle", close_idle(Arc::clone(&process), spread));
        tokio::select! {
            () = all_of_them(&locals) => {}
            _ = phase.wait_for(|p| *p == Phase::Ending) => {}
        }
        if let Some(duty) = duty {
            duty.worker.log.flush();
        }
    }
}

/// A listener, and who may come in by it.
type Door = (Arc<Listener>, Rc<Gate>);

/// A thread at work for one generation.
struct Duty {
    worker: Rc<Worker>,
    local: Rc<Local>,
    doors: Vec<Door>,
    accepting: Vec<Task>,
    services: Vec<Task>,
}

impl Duty {
    fn start(assignment: Assignment, index: usize, before: Option<&Self>) -> Self {
        let Assignment { shared, entries } = assignment;
        let global = &shared.generation.config.global;
        match global.cpu_map.get(index).filter(|cpus| !cpus.is_empty()) {
            Some(cpus) => drop(raw::set_cpu_affinity(cpus)),
            // The configuration before may have bound the thread; nobody binds the main one.
            None if before.is_some() => {
                let main = rustix::thread::Pid::from_raw(shared.generation.process.pid.cast_signed());
                let _ = rustix::thread::sched_getaffinity(main)
                    .and_then(|all| rustix::thread::sched_setaffinity(None, &all));
            }
            None => {}
        }
        let log = logging::Sender::new(&shared.hub);
        let engine = before.map(|b| &*b.worker.http);
        let worker = Rc::new(Worker {
            http: http::Engine::new(index + 1, &shared.generation, Rc::clone(&log), engine),
            tcp: tcp::Engine::new(index + 1, &shared.generation, Rc::clone(&log)),
            log: Rc::clone(&log),
            shared,
        });
        let local = Rc::new(Local::default());
        let services = vec![
            tasks::start("log sender", log.run()),
            tasks::start("idle server connections", Rc::clone(&worker.http).housekeeping()),
        ];
        let (leaving, doors): (Vec<_>, Vec<_>) =
            doors(entries, &worker, &local).into_iter().partition(|(listener, _)| listener.is_leaving());
        let accept = |(listener, gate): &Door| {
            let looped = accept_loop(Arc::clone(listener), Rc::clone(gate), Rc::clone(&worker));
            tasks::start("accept", looped)
        };
        let accepting = doors.iter().map(accept).collect();
        if !leaving.is_empty() {
            let left = leaving.into_iter().map(|door| (accept(&door), door)).collect();
            tasks::detached("leaving listeners", linger(left, Rc::clone(&worker), LINGER));
        }
        Self { worker, local, doors, accepting, services }
    }

    /// The doors that no other generation has, with who accepts there.
    fn lingering(&mut self) -> Vec<(Task, Door)> {
        let all = self.accepting.drain(..).zip(self.doors.drain(..));
        let (lingering, others): (Vec<_>, Vec<_>) = all.partition(|(_, (listener, _))| listener.can_linger());
        (self.accepting, self.doors) = others.into_iter().unzip();
        lingering
    }

    /// Nobody is accepted any more, after those who wait where nobody else will; `all`: wherever they wait.
    async fn leave_doors(&mut self, all: bool) {
        // They have the sockets as well: one that outlived its last look would take with it who came after that.
        for accepting in self.accepting.drain(..) {
            accepting.stop().await;
        }
        for (listener, gate) in self.doors.drain(..) {
            if all || !listener.is_continued() {
                accept_rest(&listener, &gate, &self.worker);
            }
        }
    }

    /// Another generation has taken over. Connections are served to their end, or to `hard-stop-after`; then all that
    /// belongs to this one goes.
    async fn retire(mut self) {
        let lingering = self.lingering();
        self.leave_doors(false).await;
        // The next one looks after idle server connections.
        self.services.truncate(1);
        // Connections of HTTP/2 tell their clients to open another one; there may be very many of all kinds.
        tasks::detached("old connections", sessions::wake_slowly(LOOK_UP));
        tasks::detached("old generation", async move {
            let generation = Arc::clone(self.worker.generation());
            let mut limit = generation.config.global.hard_stop_after;
            if !lingering.is_empty() {
                let time = limit.map_or(LINGER, |limit| limit.min(LINGER));
                linger(lingering, Rc::clone(&self.worker), time).await;
                limit = limit.map(|limit| limit.saturating_sub(time));
            }
            if let Some(limit) = limit
                && tokio::time::timeout(limit, all_done(&self.local)).await.is_err()
            {
                sessions::end_generation(generation.number);
            }
            all_done(&self.local).await;
            self.worker.log.flush();
            self.worker.http.retire();
        });
    }
}

/// Accepts for a while who has begun to connect where nobody new comes, before those listeners are closed.
async fn linger(doors: Vec<(Task, Door)>, worker: Rc<Worker>, time: Duration) {
    tokio::time::sleep(time).await;
    for (accepting, (listener, gate)) in doors {
        accepting.stop().await;
        accept_rest(&listener, &gate, &worker);
    }
}

/// What is asked about this thread's sessions.
async fn questions(process: Arc<Process>, index: usize) {
    process.sessions.attend(index).await;
}

/// The process stops: clients are asked to go, and a moment later sent away.
async fn close_idle(process: Arc<Process>, spread: Option<Duration>) {
    // Those of HTTP/2 can be told at once.
    if spread.is_none() {
        sessions::wake_all();
    }
    tokio::time::sleep(FAREWELL).await;
    process.closes_idle.store(true, Relaxed);
    match spread {
        Some(time) => sessions::wake_slowly(time).await,
        None => sessions::wake_all(),
    }
}

/// Signs of life, for the virtual routers.
async fn heartbeat(process: Arc<Process>, index: usize) {
    let mut beat = tokio::time::interval(vrrp::io::BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        process.heartbeats.beat(index);
    }
}

async fn all_done(local: &Local) {
    while local.count.get() > 0 {
        local.changed.notified().await;
    }
}

async fn all_of_them(locals: &[Rc<Local>]) {
    for local in locals {
        all_done(local).await;
    }
}

fn doors(entries: Vec<(Bound, BindLimits)>, worker: &Rc<Worker>, local: &Rc<Local>) -> Vec<Door> {
    let mut all = Vec::new();
    for (bound, limits) in entries {
        let Some(proxy) = worker.generation().proxy(bound.proxy) else { continue };
        let gate = Rc::new(Gate {
            shared: Arc::clone(&worker.shared),
            proxy: Arc::clone(proxy),
            bind_conns: limits.conns,
            bind_max: bound.listener.bind.maxconn,
            ssl: bound.listener.bind.tls.is_some(),
            rate: limits.rate,
            local: Rc::clone(local),
        });
        all.push((bound.listener, gate));
    }
    all
}
