//! Worker threads: each one reactor, one local set of tasks, its own listeners and engines.

use super::Shared;
use super::accept::accept_loop;
use super::gate::{Budget, Gate, Local};
use super::listen::{Bound, Listeners};
use crate::ids::ProxyIndex;
use crate::live::counters;
use crate::live::sessions;
use crate::live::{Generation, Process};
use crate::net::raw;
use crate::tasks::{self, Task};
use crate::{http, logging, tcp, vrrp};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};

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
    pub threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub fn start(shared: &Arc<Shared>, listeners: Listeners) -> Result<Self, String> {
        let (phase, _) = watch::channel(Phase::Running);
        let (end, ended) = mpsc::unbounded_channel();
        let mut threads = Vec::new();
        let mut limits: HashMap<usize, BindLimits> = HashMap::new();
        let mut fronts: HashMap<ProxyIndex, Arc<AtomicUsize>> = HashMap::new();
        for (index, bounds) in listeners.threads.into_iter().enumerate() {
            let entries = bounds
                .into_iter()
                .map(|b| {
                    if let Some(proxy) = shared.generation.proxy(b.proxy) {
                        proxy.front.doors.add(Arc::clone(&b.listener));
                    }
                    let front = fronts.entry(b.proxy).or_default();
                    let new = || BindLimits { front: Arc::clone(front), ..BindLimits::default() };
                    let limit = limits.entry(b.group).or_insert_with(new).clone();
                    (b, limit)
                })
                .collect();
            let seat = Seat { index, shared: Arc::clone(shared), entries, phase: phase.subscribe() };
            let end = end.clone();
            let thread = std::thread::Builder::new()
                .name(format!("worker-{}", index + 1))
                .spawn(move || {
                    seat.work();
                    let _ = end.send(());
                })
                .map_err(|e| format!("[haproxy.main()] Cannot start thread {}: {e}", index + 1))?;
            threads.push(thread);
        }
        Ok(Self { phase, ended, threads })
    }
}

/// What the threads share about one `bind` line.
#[derive(Clone, Default)]
struct BindLimits {
    /// Of the whole frontend.
    front: Arc<AtomicUsize>,
    conns: Arc<AtomicUsize>,
    rate: Arc<Budget>,
}

/// What a thread is started with.
struct Seat {
    index: usize,
    shared: Arc<Shared>,
    entries: Vec<(Bound, BindLimits)>,
    phase: watch::Receiver<Phase>,
}

impl Seat {
    fn work(self) {
        counters::enter_thread(self.index);
        let global = &self.shared.generation.config.global;
        if let Some(cpus) = global.cpu_map.get(self.index).filter(|cpus| !cpus.is_empty()) {
            let _ = raw::set_cpu_affinity(cpus);
        }
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
        let Self { index, shared, entries, mut phase } = self;
        let log = logging::Sender::new(&shared.hub);
        let worker = Rc::new(Worker {
            http: http::Engine::new(index + 1, &shared.generation, Rc::clone(&log)),
            tcp: tcp::Engine::new(index + 1, &shared.generation, Rc::clone(&log)),
            log: Rc::clone(&log),
            shared,
        });
        let local = Rc::new(Local::default());
        let _services = [
            tasks::start("log sender", Rc::clone(&log).run()),
            tasks::start("idle server connections", Rc::clone(&worker.http).housekeeping()),
            tasks::start("questions", questions(Arc::clone(&worker.generation().process), index)),
        ];
        let _alive = (!worker.generation().config.vrrp.routers.is_empty())
            .then(|| tasks::start("heartbeat", heartbeat(Arc::clone(&worker.generation().process), index)));
        let accepting = accept_tasks(entries, &worker, &local);
        let _ = phase.wait_for(|p| *p != Phase::Running).await;
        drop(accepting);
        let _ = phase.wait_for(|p| matches!(p, Phase::Stopping | Phase::Ending)).await;
        sessions::wake_all();
        tokio::select! {
            () = all_done(&local) => {}
            _ = phase.wait_for(|p| *p == Phase::Ending) => {}
        }
        log.flush();
    }
}

/// What is asked about this thread's sessions.
async fn questions(process: Arc<Process>, index: usize) {
    process.sessions.attend(index).await;
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

fn accept_tasks(entries: Vec<(Bound, BindLimits)>, worker: &Rc<Worker>, local: &Rc<Local>) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (bound, limits) in entries {
        let Some(proxy) = worker.generation().proxy(bound.proxy) else { continue };
        let gate = Rc::new(Gate {
            shared: Arc::clone(&worker.shared),
            proxy: Arc::clone(proxy),
            front_conns: limits.front,
            bind_conns: limits.conns,
            bind_max: bound.listener.bind.maxconn,
            ssl: bound.listener.bind.tls.is_some(),
            rate: limits.rate,
            local: Rc::clone(local),
        });
        tasks.push(tasks::start("accept", accept_loop(bound.listener, gate, Rc::clone(worker))));
    }
    tasks
}
