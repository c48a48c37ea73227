//! What the administration asks and orders.

use super::Shell;
use crate::config::model::Config;
use crate::config::model::vrrp::{SCOPES, Tracked, VirtualAddress, Vrrp};
use crate::live::vrrp::{Call, ChangeView, CountsView, HeardView, Order, RouterView, TrackerView};
use crate::logging::level;
use crate::vrrp::{DropReason, Input, State};
use crate::wire::vrrp::{GROUP_V4, GROUP_V6, OWNER, Version};
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

/// Why routers do what an order says.
const TOLD: &str = "told to by the administrator";

/// What is remembered of a router beside its state.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    transitions: u64,
    change: Option<(State, String, SystemTime, Instant)>,
    conflict: Option<(IpAddr, u8, Instant)>,
}

impl Memory {
    pub fn changed(&mut self, from: State, reason: &str, now: Instant) {
        self.transitions += 1;
        self.change = Some((from, reason.to_owned(), SystemTime::now(), now));
    }

    pub fn conflicted(&mut self, other: IpAddr, priority: u8, now: Instant) {
        self.conflict = Some((other, priority, now));
    }
}

impl Shell {
    pub fn answer(&mut self, call: Call) {
        let now = Instant::now();
        // Whoever asked may have left meanwhile.
        match call {
            Call::Show(tell) => {
                let all = self.routers().iter().enumerate().map(|(at, r)| self.view(at, r, now)).collect();
                let _ = tell.send(all);
            }
            Call::Order(name, order, tell) => {
                let at = self.routers().iter().position(|r| r.name == name);
                let done = at.map_or_else(gone, |at| self.order(at, order, now));
                let _ = tell.send(done);
            }
        }
    }

    fn order(&mut self, at: usize, order: Order, now: Instant) -> Result<(), String> {
        let members = self.node.members(at);
        match order {
            Order::Priority(priority) => return self.set_priority(at, priority, now),
            Order::Master => self.may_take_over(at)?,
            Order::Backup | Order::Fault | Order::Ready => {}
        }
        let fault = (order == Order::Fault).then(|| TOLD.to_owned());
        for &member in &members {
            self.tracks.told(member, fault.clone());
        }
        for &member in &members {
            self.judge(member, now);
            let input = match order {
                Order::Backup => Input::Yield(TOLD.to_owned()),
                _ => Input::Ready,
            };
            self.node.handle_input(member, input, now);
        }
        if order == Order::Master {
            self.node.handle_input(at, Input::TakeOver(TOLD.to_owned()), now);
        }
        Ok(())
    }

    /// A master that a better one is there to correct would lose the addresses at once.
    fn may_take_over(&self, at: usize) -> Result<(), String> {
        for member in self.node.members(at) {
            let (Some(router), Some(conf)) = (self.node.routers.get(member), self.routers().get(member))
            else {
                continue;
            };
            if let Some(why) = self.tracks.ailment(member) {
                return Err(format!("{} is at fault: {why}.", conf.name));
            }
            if let Some(heard) = router.heard()
                && (heard.priority, heard.address) > (router.priority(), router.settings.source)
            {
                return Err(format!(
                    "{} is master of {} with priority {}, and would take the addresses back from priority {}: hand over there \
                     ('set vrrp {} state backup'), or raise the priority here ('set vrrp {} priority').",
                    heard.address,
                    conf.name,
                    heard.priority,
                    router.priority(),
                    conf.name,
                    conf.name
                ));
            }
        }
        Ok(())
    }

    fn set_priority(&mut self, at: usize, priority: u8, now: Instant) -> Result<(), String> {
        let Some(router) = self.routers().get(at) else { return Ok(()) };
        if router.priority == OWNER {
            return Err(format!("{} owns its addresses: its priority is 255 for good.", router.name));
        }
        let text = format!(
            "{}: priority {} -> {priority}: set by the administrator",
            router.name,
            self.tracks.base(at, router)
        );
        self.tracks.rebase(at, priority);
        self.say(level::NOTICE, &text);
        self.hand_over_judgement(at, now);
        Ok(())
    }

    fn view(&self, at: usize, conf: &Vrrp, now: Instant) -> RouterView {
        let router = &self.node.routers[at];
        let memory = self.memories.get(at).cloned().unwrap_or_default();
        let settings = &router.settings;
        let ago = |then: Instant| now.saturating_duration_since(then);
        let heard = |address, priority, then| HeardView { address, priority, age: ago(then) };
        RouterView {
            name: conf.name.clone(),
            group: self.group_of(at),
            interface: conf.interface.clone(),
            vrid: conf.vrid,
            version: if conf.version == Version::V2 { 2 } else { 3 },
            interval: conf.interval,
            preempt: preemption(conf),
            source: settings.source,
            destinations: destinations(conf, settings.source),
            addresses: conf.addresses.iter().map(written).collect(),
            state: router.state().name(),
            fault: self.fault_of(at),
            yields: router.yields(),
            priority: router.priority(),
            base: self.tracks.base(at, conf),
            configured: conf.priority,
            trackers: self.trackers(at, conf),
            heard: router.heard().map(|h| heard(h.address, h.priority, h.at)),
            conflict: memory.conflict.map(|(a, p, then)| (heard(a, p, then), ago(then))),
            change: memory.change.map(|(from, reason, at, then)| ChangeView {
                from: from.name(),
                reason,
                at,
                age: ago(then),
            }),
            transitions: memory.transitions,
            counts: counts(router, self.ports.strays(at)),
        }
    }

    fn group_of(&self, at: usize) -> Option<std::sync::Arc<str>> {
        let groups = &self.config.config.vrrp.groups;
        groups.iter().find(|g| g.members.contains(&at)).map(|g| g.name.clone())
    }

    /// Its own reason, or that of its group.
    fn fault_of(&self, at: usize) -> Option<String> {
        if self.node.routers[at].state() != State::Fault {
            return None;
        }
        self.tracks.fault(at).or_else(|| self.memories.get(at)?.change.as_ref().map(|c| c.1.clone()))
    }

    fn trackers(&self, at: usize, conf: &Vrrp) -> Vec<TrackerView> {
        let mut all = self.tracks.own(at, conf);
        for (i, track) in conf.tracks.iter().enumerate() {
            let (well, part, why) = self.tracks.standing(at, i);
            all.push(TrackerView { name: self.tracked(&track.what), weight: track.weight, well, part, why });
        }
        all
    }

    fn tracked(&self, what: &Tracked) -> String {
        tracked(&self.config.config, what)
    }
}

/// What is tracked, as its line names it.
pub fn tracked(config: &Config, what: &Tracked) -> String {
    let proxy = |i: crate::ids::ProxyIndex| config.proxies.get(i.get()).map_or("?", |p| &*p.name);
    match what {
        Tracked::Interface(name) => format!("interface {name}"),
        Tracked::Script(i) => format!("script {}", config.vrrp.scripts.get(*i).map_or("?", |s| &*s.name)),
        Tracked::Backend { proxy: i, .. } => format!("backend {}", proxy(*i)),
        Tracked::File(path) => format!("file {}", path.display()),
        Tracked::Process { name, .. } => format!("process {name}"),
        Tracked::L4(None) => "l4".to_owned(),
        Tracked::L4(Some((i, _))) => format!("l4 {}", proxy(*i)),
        Tracked::Frontend(i) => format!("frontend {}", proxy(*i)),
    }
}

/// A reload has taken the section away.
fn gone() -> Result<(), String> {
    Err("No such vrrp section.".to_owned())
}

/// Where its adverts go.
fn destinations(conf: &Vrrp, source: IpAddr) -> Vec<IpAddr> {
    let group = if source.is_ipv4() { IpAddr::V4(GROUP_V4) } else { IpAddr::V6(GROUP_V6) };
    if conf.peers.is_empty() { vec![group] } else { conf.peers.clone() }
}

fn preemption(conf: &Vrrp) -> String {
    match (conf.preempt, conf.preempt_delay.is_zero()) {
        (false, _) => "never".to_owned(),
        (true, true) => "at once".to_owned(),
        (true, false) => format!("after {:?}", conf.preempt_delay),
    }
}

fn written(address: &VirtualAddress) -> String {
    let mut out = format!("{}/{}", address.address, address.prefix);
    for (word, value) in [("dev", &address.device), ("label", &address.label)] {
        if let Some(value) = value {
            out.push_str(&format!(" {word} {value}"));
        }
    }
    if let Some((name, _)) = SCOPES.iter().find(|(_, scope)| *scope == address.scope && *scope != 0) {
        out.push_str(&format!(" scope {name}"));
    }
    out
}

/// `strays`: adverts of other ids, which the router is not woken for.
fn counts(router: &crate::vrrp::Router, strays: u64) -> CountsView {
    let counts = router.counts;
    let dropped =
        |reason: DropReason| counts.dropped(reason) + if reason == DropReason::Vrid { strays } else { 0 };
    CountsView {
        sent: counts.sent,
        received: counts.received,
        stops_sent: counts.stops_sent,
        stops_received: counts.stops_received,
        became_master: counts.became_master,
        conflicts: counts.conflicts,
        dropped: DropReason::ALL.iter().map(|r| (r.name(), dropped(*r))).collect(),
    }
}
