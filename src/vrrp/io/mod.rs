//! The shell around the core: sockets, addresses, announcements, trackers and notify programs, on the control thread.
//!
//! ```text
//!   socket   adverts in and out        address   the kernel's addresses, by rtnetlink
//!   announce gratuitous ARP            track     what the priority follows
//!   notify   programs on changes       command   runs them
//!   desk     what the administration asks and orders
//! ```

mod address;
mod announce;
mod command;
mod desk;
mod link;
mod notify;
mod socket;
mod track;

use super::{Group, Input, Node, Output, Preempt, Received, Router, Settings, State};
use crate::config::model::vrrp::{Vrrp, VrrpConfig};
use crate::live::Generation;
use crate::live::vrrp::Call;
use crate::logging::{self, level};
use crate::wire::ipv4::Packet;
use crate::wire::vrrp::{GROUP_V4, PROTOCOL};
use address::Kernel;
use announce::Announcer;
use link::{Link, Links};
use socket::Wire;
use std::cell::Cell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Packets that may wait for the control thread.
const WAITING: usize = 256;

/// What needs privileges, opened before they are dropped.
pub struct Prepared {
    wires: Vec<(Rc<Wire>, Vec<usize>)>,
    announcer: Announcer,
    links: Vec<Link>,
    sources: Vec<IpAddr>,
    /// Limits of open files for the programs we start.
    open_files: Option<(u64, u64)>,
}

/// What the loop waits for.
enum Event {
    Packet { wire: usize, bytes: Vec<u8> },
    Link(Link),
    Tracked { router: usize, track: usize, well: bool, why: String },
}

impl Prepared {
    /// Opens what the routers need; `None` without routers. `open_files`: the limits programs are started with.
    ///
    /// # Errors
    /// A sentence that names the router and what it lacks.
    pub fn open(config: &VrrpConfig, open_files: Option<(u64, u64)>) -> Result<Option<Self>, String> {
        if config.routers.is_empty() {
            return Ok(None);
        }
        let mut prepared = Self {
            wires: Vec::new(),
            announcer: Announcer::open()
                .map_err(|e| format!("vrrp : no socket for announcements: {}", needs(&e)))?,
            links: Vec::new(),
            sources: Vec::new(),
            open_files,
        };
        let known = link::list().map_err(|e| format!("vrrp : cannot list the interfaces: {e}"))?;
        for (at, router) in config.routers.iter().enumerate() {
            prepared.add(at, router, &known)?;
        }
        Ok(Some(prepared))
    }

    fn add(&mut self, at: usize, router: &Vrrp, known: &[Link]) -> Result<(), String> {
        let name = &router.name;
        let find = |interface: &str| {
            let names: Vec<&str> = known.iter().map(|l| l.name.as_str()).collect();
            known.iter().find(|l| l.name == interface).ok_or_else(|| {
                format!(
                    "vrrp '{name}' : this machine has no interface '{interface}' (it has {})",
                    names.join(", ")
                )
            })
        };
        let link = find(&router.interface)?.clone();
        for device in router.addresses.iter().filter_map(|a| a.device.as_deref()) {
            find(device)?;
        }
        let source = match router.source {
            Some(source) => source,
            None => link.address.map(IpAddr::V4).ok_or_else(|| {
                format!(
                    "vrrp '{name}' : interface '{}' has no IPv4 address to send adverts from: add one, or give 'source'",
                    router.interface
                )
            })?,
        };
        self.sources.push(source);
        let IpAddr::V4(source) = source else {
            return Err(format!("vrrp '{name}' : IPv6 is not supported by weir yet"));
        };
        let shared =
            self.wires.iter_mut().find(|(wire, _)| wire.interface == link.index && wire.source == source);
        match shared {
            Some((_, routers)) => routers.push(at),
            None => {
                let wire = Wire::open(&link, source).map_err(|e| {
                    format!("vrrp '{name}' : no raw socket on '{}' from {source}: {}", link.name, needs(&e))
                })?;
                self.wires.push((Rc::new(wire), vec![at]));
            }
        }
        self.links.push(link);
        Ok(())
    }
}

fn needs(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{error} (vrrp needs root, or CAP_NET_ADMIN and CAP_NET_RAW)")
        }
        _ => error.to_string(),
    }
}

fn settings(router: &Vrrp, source: IpAddr) -> Settings {
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
        source,
        addresses: router.addresses.iter().map(|a| a.address).collect(),
        peers: router.peers.clone(),
        min_ttl: router.min_ttl,
        announce_again: some(router.garp.delay),
        announce_every: some(router.garp.refresh),
    }
}

/// Runs the routers until told to stop, and then says so to the others before it ends.
pub async fn run(
    prepared: Prepared,
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
    stop: Rc<tokio::sync::Notify>,
) {
    let kernel = match Kernel::connect() {
        Ok(kernel) => kernel,
        Err(error) => return report(&generation, &log, level::ALERT, &format!("vrrp : no netlink: {error}")),
    };
    let mut shell = Shell::new(prepared, generation, log, kernel);
    shell.clean().await;
    let (tell, mut events) = mpsc::channel(WAITING);
    let _tasks = shell.watch(&tell);
    let mut calls = shell.config.process.vrrp.attend();
    let now = Instant::now();
    for at in 0..shell.node.routers.len() {
        shell.node.handle_input(at, Input::Start, now);
    }
    shell.act().await;
    loop {
        let due = shell.node.poll_timeout();
        let timer = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.notified() => break,
            Some(event) = events.recv() => shell.happen(event),
            Some(call) = next_call(&mut calls) => shell.answer(call),
            () = timer => shell.node.handle_timeout(Instant::now()),
        }
        shell.act().await;
    }
    let now = Instant::now();
    for at in 0..shell.node.routers.len() {
        shell.node.handle_input(at, Input::Stop, now);
    }
    shell.act().await;
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
    wires: Vec<(Rc<Wire>, Vec<usize>)>,
    announcer: Announcer,
    links: Links,
    tracks: track::Tracks,
    teller: notify::Teller,
    open_files: Option<(u64, u64)>,
    memories: Vec<desk::Memory>,
    /// Refused packets already logged this often, to say it seldom.
    conflicts: Cell<u64>,
}

impl Shell {
    fn new(
        prepared: Prepared,
        generation: Arc<Generation>,
        log: Rc<logging::Sender>,
        kernel: Kernel,
    ) -> Self {
        let config = &generation.config.vrrp;
        let routers =
            config.routers.iter().zip(&prepared.sources).map(|(r, s)| Router::new(settings(r, *s))).collect();
        let groups = config
            .groups
            .iter()
            .map(|g| Group { name: g.name.to_string(), members: g.members.clone() })
            .collect();
        let teller = {
            let (generation, log) = (Arc::clone(&generation), Rc::clone(&log));
            notify::Teller::start(prepared.open_files, move |text| {
                report(&generation, &log, level::ERR, text)
            })
        };
        Self {
            node: Node::new(routers, groups),
            tracks: track::Tracks::new(config),
            memories: vec![desk::Memory::default(); config.routers.len()],
            teller,
            open_files: prepared.open_files,
            config: generation,
            log,
            kernel,
            wires: prepared.wires,
            announcer: prepared.announcer,
            links: Links::new(prepared.links),
            conflicts: Cell::new(0),
        }
    }

    fn routers(&self) -> &[Vrrp] {
        &self.config.config.vrrp.routers
    }

    fn say(&self, level: u8, text: &str) {
        report(&self.config, &self.log, level, text);
    }

    /// Addresses a crashed run left behind: this node is no master as it starts.
    async fn clean(&self) {
        for (at, router) in self.routers().iter().enumerate() {
            for address in &router.addresses {
                let Some(device) = self.links.device(at, address) else { continue };
                match self.kernel.remove(device, address).await {
                    Ok(true) => {
                        let text = format!(
                            "{}: {} was still on {}: removed, it is not held as the process starts",
                            router.name,
                            address.address,
                            self.links.name(device)
                        );
                        self.say(level::WARNING, &text);
                    }
                    Ok(false) => {}
                    Err(error) => self.say(level::ERR, &format!("{}: {error}", router.name)),
                }
            }
        }
    }

    /// Starts what brings events.
    fn watch(&self, tell: &mpsc::Sender<Event>) -> Vec<crate::tasks::Task> {
        let mut tasks: Vec<crate::tasks::Task> = (0..)
            .zip(&self.wires)
            .map(|(i, (wire, _))| {
                let (wire, tell) = (Rc::clone(wire), tell.clone());
                crate::tasks::start("vrrp adverts", async move { wire.receive(i, &tell).await })
            })
            .collect();
        tasks.push(crate::tasks::start("vrrp links", link::watch(tell.clone())));
        tasks.extend(track::watch(&self.config, tell, self.open_files));
        tasks
    }

    fn happen(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Packet { wire, bytes } => self.packet(wire, &bytes, now),
            Event::Link(link) => {
                for (at, why) in self.links.learn(link) {
                    self.tracks.link(at, why);
                    self.judge(at, now);
                }
                self.judge_tracked_links(now);
            }
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

    /// Hands what the trackers say to a router.
    fn judge(&mut self, at: usize, now: Instant) {
        let Some(router) = self.config.config.vrrp.routers.get(at) else { return };
        let input = match self.tracks.fault(at) {
            Some(why) => Input::Fault(why),
            None => Input::Clear,
        };
        let priority = self.tracks.priority(at, router);
        self.node.handle_input(at, Input::Priority(priority), now);
        self.node.handle_input(at, input, now);
    }

    fn packet(&mut self, wire: usize, bytes: &[u8], now: Instant) {
        let Some(packet) = Packet::parse(bytes).filter(|p| p.protocol == PROTOCOL) else { return };
        let Some((_, routers)) = self.wires.get(wire) else { return };
        // The second byte is the vrid: each router hears its own only.
        let vrid = packet.payload.get(1).copied();
        for at in routers.clone() {
            if vrid.is_some_and(|v| v != self.node.routers[at].settings.vrid) {
                continue;
            }
            let received = Received {
                source: packet.source.into(),
                destination: packet.destination.into(),
                ttl: packet.ttl,
                payload: packet.payload,
            };
            self.node.handle_input(at, Input::Packet(received), now);
        }
    }

    /// Does what the routers want done.
    async fn act(&mut self) {
        while let Some((at, output)) = self.node.poll_output() {
            match output {
                Output::Send(advert) => self.send(at, &advert),
                Output::AddAddresses => self.hold(at, true).await,
                Output::RemoveAddresses => self.hold(at, false).await,
                Output::Announce => self.announce(at),
                Output::Became { from, to, reason } => self.became(at, from, to, &reason),
                Output::Conflict { other, priority } => self.conflict(at, other, priority),
            }
        }
    }

    fn send(&self, at: usize, advert: &crate::wire::vrrp::Advert) {
        let Some((wire, _)) = self.wires.iter().find(|(_, routers)| routers.contains(&at)) else { return };
        let peers = &self.routers()[at].peers;
        let multicast = [IpAddr::V4(GROUP_V4)];
        let destinations = if peers.is_empty() { &multicast[..] } else { peers };
        for destination in destinations {
            let payload = advert.write(wire.source.into(), *destination);
            if let Err(error) = wire.send(&payload, *destination) {
                self.say(
                    level::WARNING,
                    &format!("{}: advert to {destination}: {error}", self.routers()[at].name),
                );
            }
        }
    }

    async fn hold(&self, at: usize, hold: bool) {
        let router = &self.routers()[at];
        for address in &router.addresses {
            let Some(device) = self.links.device(at, address) else { continue };
            let done = if hold {
                self.kernel.add(device, address).await
            } else {
                self.kernel.remove(device, address).await.map(drop)
            };
            if let Err(error) = done {
                self.say(level::ERR, &format!("{}: {error}", router.name));
            }
        }
    }

    fn announce(&self, at: usize) {
        let router = &self.routers()[at];
        for address in &router.addresses {
            let Some(device) = self.links.device(at, address) else { continue };
            let Some(mac) = self.links.mac(device) else { continue };
            if let Err(error) = self.announcer.burst(device, mac, address.address, router.garp.repeat) {
                self.say(level::WARNING, &format!("{}: announcement: {error}", router.name));
            }
        }
    }

    fn became(&mut self, at: usize, from: State, to: State, reason: &str) {
        self.memories[at].changed(from, reason, Instant::now());
        let router = &self.routers()[at];
        let level = if to == State::Fault { level::WARNING } else { level::NOTICE };
        self.say(level, &format!("{}: {} -> {}: {reason}", router.name, from.name(), to.name()));
        let priority = self.node.routers[at].priority();
        self.teller.tell(&router.notify, "INSTANCE", &router.name, to, priority);
        // A group's programs run once: with the change of its first member.
        for group in self.config.config.vrrp.groups.iter().filter(|g| g.members.first() == Some(&at)) {
            self.teller.tell(&group.notify, "GROUP", &group.name, to, priority);
        }
    }

    /// Said at the 1st, 2nd, 4th, 8th... time.
    fn conflict(&mut self, at: usize, other: IpAddr, priority: u8) {
        self.memories[at].conflicted(other, priority, Instant::now());
        let count = self.conflicts.get() + 1;
        self.conflicts.set(count);
        if count.is_power_of_two() {
            let name = &self.routers()[at].name;
            let text = format!(
                "{name}: {other} is master too, prio {priority} ({count} adverts of other masters so far)"
            );
            self.say(level::WARNING, &text);
        }
    }
}

fn report(generation: &Generation, log: &logging::Sender, level: u8, text: &str) {
    log.emit(&generation.config.global.log, level, None, b"", text.as_bytes());
    eprintln!(
        "[{}] ({}) : {text}",
        if level <= level::ERR { "ALERT" } else { "NOTICE" },
        generation.process.pid
    );
}
