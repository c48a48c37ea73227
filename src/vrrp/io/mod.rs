//! The shell around the core: sockets, addresses, announcements, trackers and notify programs, on the control thread.
//!
//! ```text
//!   port     how a router reaches its network: link (interfaces), socket (adverts in and out), strays (adverts of others)
//!   vmac     an interface with the virtual MAC address
//!   hold     what a master holds: address, route (the kernel's addresses, routes, rules, by rtnetlink)
//!   refuse   what is addressed to a virtual address, in no-accept mode
//!   announce gratuitous ARP, unsolicited neighbour advertisements
//!   track    what the priority follows
//!            files, processes         their events
//!   changes  what is said of them: in the log, to programs, by mail
//!   notify   programs on changes      command   runs them      security   who may write to them
//!   workers  whether the threads that forward move
//!   desk     what the administration asks and orders
//!   succession  a new process in the place of an old one       reload   a new configuration in the place of an old one
//! ```

mod address;
mod announce;
mod changes;
mod command;
mod desk;
mod files;
mod hold;
mod link;
mod notify;
mod port;
mod processes;
mod refuse;
mod reload;
mod route;
mod security;
mod socket;
mod strays;
mod succession;
mod track;
mod vmac;
mod workers;

pub use reload::{Renewal, Renewed};
pub use workers::BEAT;

use super::{Burst, Group, Input, Node, Output, Preempt, Received, Router, Settings, State};
use crate::config::model::Config;
use crate::config::model::vrrp::{Vrrp, VrrpConfig, VrrpGroup};
use crate::live::Generation;
use crate::live::vrrp::Call;
use crate::logging::{self, level};
use crate::wire::vrrp::{GROUP_V4, GROUP_V6, STOPS};
use address::Kernel;
use announce::Announcer;
use link::{Change, Link, Links};
use port::{Ports, Wanted, wanted};
use refuse::Refusal;
use security::Identities;
use socket::{Arrived, Ear};
use std::cell::Cell;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use succession::{Heir, Heirs};
use tokio::sync::mpsc;

/// Packets that may wait for the control thread.
const WAITING: usize = 256;

/// What needs privileges, opened before they are dropped.
pub struct Prepared {
    announcer: Announcer,
    links: Links,
    refusal: Option<Refusal>,
    /// Limits of open files for the programs we start.
    open_files: Option<(u64, u64)>,
    identities: Identities,
    /// Old processes this one replaces.
    predecessors: Vec<succession::Predecessor>,
}

/// What the loop waits for.
enum Event {
    Packet {
        /// The router's mark.
        id: u64,
        path: usize,
        ear: Ear,
        arrived: Arrived,
    },
    Link(Change),
    Tracked {
        router: usize,
        track: usize,
        well: bool,
        why: String,
    },
    /// What a tracked file says, or why it says nothing.
    Number {
        router: usize,
        track: usize,
        value: Result<i32, String>,
    },
    /// Why the workers forward nothing, or that they do.
    Workers(Option<String>),
}

impl Prepared {
    /// Opens what the routers need; `None` without routers. `open_files`: the limits programs are started with.
    /// `old`: the processes that this one replaces, not told so yet.
    ///
    /// # Errors
    /// A sentence that names the router and what it lacks.
    pub fn open(whole: &Config, open_files: Option<(u64, u64)>, old: &[i32]) -> Result<Option<Self>, String> {
        let config = &whole.vrrp;
        if config.routers.is_empty() {
            return Ok(None);
        }
        let identities = security::admit(whole)?;
        let announcer = Announcer::open().map_err(|e| {
            format!("vrrp : no raw socket: {e} (vrrp needs root, or CAP_NET_ADMIN and CAP_NET_RAW)")
        })?;
        let refusal = Refusal::open(&reload::refused(whole))?;
        let known = link::list().map_err(|e| format!("vrrp : cannot list the interfaces: {e}"))?;
        let predecessors = Vec::new();
        let links = Links::new(known);
        let mut prepared = Self { announcer, links, refusal, open_files, identities, predecessors };
        for router in &config.routers {
            check(&prepared.links, router)?;
        }
        prepared.predecessors = succession::ask(config, old);
        Ok(Some(prepared))
    }
}

/// What is missing as the process starts is more likely a mistake than late.
fn check(links: &Links, router: &Vrrp) -> Result<(), String> {
    let name = &router.name;
    if let Some(there) = router.vmac.as_ref().and_then(|name| links.named(name))
        && !is_vmac_of(links, there, router)
    {
        return Err(format!(
            "vrrp '{name}' : there is an interface '{}' already, and it is not what a run before left on '{}': give 'use-vmac' another name",
            there.name, router.interface
        ));
    }
    let devices = router.addresses.iter().filter_map(|a| a.device.as_ref());
    for interface in router.interfaces().chain(devices) {
        let Some(link) = links.named(interface) else {
            return Err(format!(
                "vrrp '{name}' : this machine has no interface '{interface}' (it has {})",
                links.names()
            ));
        };
        let sends = router.interfaces().any(|i| i == interface);
        let has_source = || links.source(link.index, wanted(router), &[], None).is_some();
        // Those of IPv6 come by themselves, a moment after the link.
        if sends && wanted(router) == Wanted::V4 && router.source.is_none() && !has_source() {
            return Err(format!(
                "vrrp '{name}' : interface '{interface}' has no IPv4 address to send adverts from: add one, or give 'source'"
            ));
        }
    }
    Ok(())
}

/// What a run before may have made: a macvlan of the router's interface, with the router's MAC.
fn is_vmac_of(links: &Links, link: &Link, router: &Vrrp) -> bool {
    let base = links.named(&router.interface).map(|l| l.index);
    link.macvlan_of == base && link.mac == Some(vmac::mac(router.vrid, router.is_v6()))
}

/// The source is known once its interface is attached.
fn settings(router: &Vrrp) -> Settings {
    let some = |duration: Duration| (!duration.is_zero()).then_some(duration);
    Settings {
        name: router.name.to_string(),
        version: router.version,
        vrid: router.vrid,
        priority: router.priority,
        interval: router.interval,
        preempt: if router.preempt { Preempt::After(router.preempt_delay) } else { Preempt::Never },
        starts_master: router.starts_master,
        start_delay: router.start_delay,
        auth: router.auth,
        source: router.source.unwrap_or(match wanted(router) {
            Wanted::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Wanted::LinkLocal | Wanted::Global => Ipv6Addr::UNSPECIFIED.into(),
        }),
        addresses: router.addresses.iter().map(|a| a.address).collect(),
        peers: router.peers.clone(),
        min_ttl: router.min_ttl,
        announce_again: some(router.garp.delay),
        announce_every: some(router.garp.refresh),
        announce_lower: some(router.garp.lower_delay),
        provokes: !router.strict,
    }
}

/// Runs the routers until told to stop, and then says so to the others before it ends. Told again, it does not wait for them.
pub async fn run(
    mut prepared: Prepared,
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
    stop: Rc<tokio::sync::Notify>,
    mut renewals: mpsc::UnboundedReceiver<Renewed>,
) {
    let inherited = succession::inherit(std::mem::take(&mut prepared.predecessors)).await;
    let kernel = match Kernel::connect() {
        Ok(kernel) => kernel,
        Err(error) => return report(&generation, &log, level::ALERT, &format!("vrrp : no netlink: {error}")),
    };
    let (tell, mut events) = mpsc::channel(WAITING);
    let mut shell = Shell::new(prepared, generation, log, kernel, tell);
    let inherited = shell.find_inherited(&inherited).await;
    shell.clean(|at| inherited.iter().any(|(known, _)| *known == at)).await;
    let mut calls = shell.config.process.vrrp.attend();
    let now = Instant::now();
    shell.attach_all(now).await;
    let _tasks = shell.watch_machine();
    shell.watch();
    for at in 0..shell.node.routers.len() {
        shell.node.handle_input(at, Input::Start, now);
    }
    shell.act().await;
    shell.come_into(&inherited, now).await;
    let mut leaves = false;
    while !(leaves && shell.node.routers.iter().all(|r| r.state() == State::Stopped)) {
        let due = shell.node.poll_timeout();
        let timer = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // A master stays a moment longer, for its clients. Told twice, it does not.
            () = stop.notified() => {
                if !leaves {
                    shell.bequeath().await;
                }
                leaves = true;
                let now = Instant::now();
                (0..shell.node.routers.len()).for_each(|at| shell.node.handle_input(at, Input::Stop, now));
            }
            Some(event) = events.recv() => shell.happen(event).await,
            Some(call) = next_call(&mut calls) => shell.answer(call),
            Some(renewed) = renewals.recv(), if !leaves => shell.renew(renewed, &mut events).await,
            () = shell.heirs.attend() => {}
            () = timer => shell.node.handle_timeout(Instant::now()),
        }
        shell.act().await;
    }
    shell.ports.close(&shell.left, &shell.kernel).await;
    drop(shell.heir.take());
    shell.teller.finish().await;
}

async fn next_call(calls: &mut Option<mpsc::Receiver<Call>>) -> Option<Call> {
    calls.as_mut()?.recv().await
}

struct Shell {
    node: Node,
    config: Arc<Generation>,
    log: Rc<logging::Sender>,
    kernel: Kernel,
    ports: Ports,
    announcer: Announcer,
    links: Links,
    /// Lasts as long as this does.
    refusal: Option<Refusal>,
    tracks: track::Tracks,
    /// What brings their events.
    watching: Vec<crate::tasks::Task>,
    tell: mpsc::Sender<Event>,
    teller: notify::Teller,
    identities: Identities,
    /// The state each group was last told to be in.
    groups: Vec<State>,
    open_files: Option<(u64, u64)>,
    memories: Vec<desk::Memory>,
    /// Refused packets already logged this often, to say it seldom.
    conflicts: Cell<u64>,
    heirs: Heirs,
    /// The process that takes the place of this one, until all is cleared away.
    heir: Option<Heir>,
    /// Places of the routers that were left to it.
    left: Vec<usize>,
    /// Why the further path of each router is no good, as it was last said.
    further: Vec<Option<String>>,
}

impl Shell {
    fn new(
        prepared: Prepared,
        generation: Arc<Generation>,
        log: Rc<logging::Sender>,
        kernel: Kernel,
        tell: mpsc::Sender<Event>,
    ) -> Self {
        let config = &generation.config.vrrp;
        let routers = config.routers.iter().map(|r| Router::new(settings(r))).collect();
        let teller = {
            let (process, log) = (Arc::clone(&generation.process), Rc::clone(&log));
            notify::Teller::start(prepared.open_files, move |text| {
                if let Some(generation) = process.current.get() {
                    report(&generation, &log, level::ERR, text);
                }
            })
        };
        Self {
            node: Node::new(routers, groups(config)),
            tracks: track::Tracks::new(config),
            watching: Vec::new(),
            memories: vec![desk::Memory::default(); config.routers.len()],
            teller,
            identities: prepared.identities,
            groups: vec![State::Stopped; config.groups.len()],
            open_files: prepared.open_files,
            ports: Ports::new(config, tell.clone()),
            tell,
            further: vec![None; config.routers.len()],
            config: generation,
            log,
            kernel,
            announcer: prepared.announcer,
            refusal: prepared.refusal,
            links: prepared.links,
            conflicts: Cell::new(0),
            heirs: Heirs::listen(),
            heir: None,
            left: Vec::new(),
        }
    }

    fn routers(&self) -> &[Vrrp] {
        &self.config.config.vrrp.routers
    }

    fn say(&self, level: u8, text: &str) {
        report(&self.config, &self.log, level, text);
    }

    /// Starts what brings events whatever is configured.
    fn watch_machine(&self) -> [crate::tasks::Task; 2] {
        let process = Arc::clone(&self.config.process);
        [
            crate::tasks::start("vrrp links", link::watch(self.tell.clone())),
            crate::tasks::start("vrrp workers", workers::watch(process, self.tell.clone())),
        ]
    }

    /// Starts what brings events of what is tracked.
    fn watch(&mut self) {
        let scripts = &self.identities.scripts;
        self.watching = track::watch(&self.config, &self.tracks, &self.tell, self.open_files, scripts);
    }

    async fn happen(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Packet { id, path, ear, arrived } => {
                if let Some(at) = self.ports.place(id).filter(|at| self.ports.listens(*at, path, ear)) {
                    self.packet(at, path, &arrived, now);
                }
            }
            Event::Link(change) => {
                let hurt = self.hurt_by(&change);
                self.links.learn(change);
                self.attach_all(now).await;
                self.judge_tracked_links(now);
                for at in hurt {
                    if self.is_master(at) {
                        self.take(at).await;
                        self.announce(at, Burst::Taken);
                    }
                }
            }
            Event::Workers(why) => {
                self.tracks.workers(why);
                (0..self.node.routers.len()).for_each(|at| self.judge(at, now));
            }
            Event::Number { router, track, value } => match value {
                Ok(number) => {
                    self.tracks.count(router, track, number);
                    self.judge(router, now);
                }
                Err(why) => {
                    let text = format!("{}: {why}: its last number counts on", self.routers()[router].name);
                    self.say(level::WARNING, &text);
                }
            },
            Event::Tracked { router, track, well, why } => {
                self.tracks.set(router, track, well, why);
                self.judge(router, now);
            }
        }
    }

    fn judge_tracked_links(&mut self, now: Instant) {
        for at in self.tracks.learn_links(&self.config.config.vrrp, &self.links) {
            self.judge(at, now);
        }
    }

    /// Hands what the trackers say to a router, and says what became of its priority.
    fn judge(&mut self, at: usize, now: Instant) {
        let Some(router) = self.config.config.vrrp.routers.get(at) else { return };
        let (before, after) = (self.node.routers[at].priority(), self.tracks.priority(at, router));
        if before != after {
            let why = self.tracks.failing(at);
            let why = if why.is_empty() { "nothing fails".to_owned() } else { why };
            self.say(level::NOTICE, &format!("{}: priority {before} -> {after}: {why}", router.name));
        }
        self.hand_over_judgement(at, now);
    }

    fn hand_over_judgement(&mut self, at: usize, now: Instant) {
        let Some(router) = self.config.config.vrrp.routers.get(at) else { return };
        let input = match self.tracks.fault(at) {
            Some(why) => Input::Fault(why),
            None => Input::Clear,
        };
        let priority = self.tracks.priority(at, router);
        self.node.handle_input(at, Input::Priority(priority), now);
        self.node.handle_input(at, input, now);
    }

    fn packet(&mut self, at: usize, path: usize, arrived: &Arrived, now: Instant) {
        // None: it was read before its interface went.
        let Some(local) = self.ports.local(at, path) else { return };
        let Arrived { source, destination, ttl, payload } = arrived;
        let received =
            Received { path, local, source: *source, destination: *destination, ttl: *ttl, payload };
        let before = self.node.routers[at].counts;
        self.node.handle_input(at, Input::Packet(received), now);
        self.not_listened_to(at, *source, &before);
    }

    /// Fits all routers to the interfaces as they are now.
    async fn attach_all(&mut self, now: Instant) {
        let config = Arc::clone(&self.config);
        for (at, router) in config.config.vrrp.routers.iter().enumerate() {
            let attached = self.ports.attach(at, router, &mut self.links, &self.kernel).await;
            if self.further[at] != attached.further {
                let text = match &attached.further {
                    Some(why) => format!("{}: the further path is lost: {why}", router.name),
                    None => format!("{}: the further path is there again", router.name),
                };
                self.say(level::WARNING, &text);
                self.further[at] = attached.further;
            }
            if let Ok(source) = &attached.own {
                self.node.handle_input(at, Input::Source(*source), now);
            }
            self.tracks.link(at, attached.own.err());
            self.judge(at, now);
        }
    }

    /// Does what the routers want done.
    async fn act(&mut self) {
        while let Some((at, output)) = self.node.poll_output() {
            match output {
                Output::Send(advert) => {
                    if advert.priority != STOPS {
                        self.raise(at, true).await;
                    }
                    self.send(at, &advert);
                }
                Output::AddAddresses => self.take(at).await,
                Output::RemoveAddresses => {
                    // First, or the kernel takes its leave of IPv6's groups with the virtual MAC address.
                    self.raise(at, false).await;
                    self.hold(at, false).await;
                }
                Output::Announce(burst) => self.announce(at, burst),
                Output::Became { from, to, reason } => self.became(at, from, to, &reason),
                Output::Conflict { other, priority } => self.conflict(at, other, priority),
            }
        }
        self.tell_groups();
    }

    fn send(&self, at: usize, advert: &crate::wire::vrrp::Advert) {
        let router = &self.routers()[at];
        for wire in self.ports.wires(at) {
            // On its way to fault, when there is nobody to hear it.
            if !self.links.get(wire.carrier).is_some_and(|l| l.is_up) {
                continue;
            }
            let group = [if wire.source.is_ipv4() { IpAddr::V4(GROUP_V4) } else { IpAddr::V6(GROUP_V6) }];
            let destinations = if router.peers.is_empty() { &group[..] } else { &router.peers };
            for destination in destinations {
                let payload = advert.write(wire.source, *destination);
                if let Err(error) = wire.send(&payload, *destination) {
                    let text = format!("{}: advert to {destination}: {error}", router.name);
                    self.say(level::WARNING, &text);
                }
            }
        }
    }
}

fn groups(config: &VrrpConfig) -> Vec<Group> {
    let group = |g: &VrrpGroup| Group { name: g.name.to_string(), members: g.members.clone() };
    config.groups.iter().map(group).collect()
}

fn report(generation: &Generation, log: &logging::Sender, level: u8, text: &str) {
    log.emit(&generation.config.global.log, level, None, b"", text.as_bytes());
    let severity = if level <= level::ERR { "ALERT" } else { "NOTICE" };
    // Nobody may be there to read it any more.
    let _ = writeln!(io::stderr(), "[{severity}] ({}) : {text}", generation.process.pid);
}
