//! Where a packet would go, in words: the decision of [`super::reference`] on what the kernel's tables hold.

use super::abi::{Mode, Server, State, server_flag};
use super::ids::Ids;
use super::plan::{Plan, ServerState, Wanted, WantedServer};
use super::reference::{self, Held, Packet, Verdict};
use super::write::{ServerId, ServiceId};
use crate::balance::l4::Scheduler;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// What the tables are for, beside what they hold.
#[derive(Clone, Copy)]
pub struct Tables<'a> {
    pub plan: &'a Plan,
    pub ids: &'a Ids,
    pub wanted: &'a [Wanted],
}

/// What becomes of the packet at `now`: a line for each step of the decision.
#[must_use]
pub fn explain(tables: Tables, held: &mut Held, packet: &Packet, now: u64) -> String {
    let key = &packet.key;
    let protocol = if key.protocol == 6 { "TCP" } else { "UDP" };
    let mut out = String::new();
    line(&mut out, "packet", &format!("{protocol} {} -> {}", key.source(), key.destination()));
    let known = held.flows.get(key).copied();
    // What is drawn by lot is drawn by lot again.
    let verdict = reference::decide(tables.plan, held, packet, now);
    let service = match verdict {
        Verdict::NotOurs => {
            line(&mut out, "service", &not_ours(tables, key.destination(), protocol));
            line(&mut out, "verdict", "not ours: the kernel goes on with it");
            return out;
        }
        Verdict::Follows(service, _) | Verdict::NotSyn(service) | Verdict::NoServer(service) => service,
        Verdict::Begins { service, .. } => service,
    };
    let wanted = tables.service(service);
    line(&mut out, "service", &wanted.map_or_else(|| "?".to_owned(), |w| described(w, protocol)));
    let over = if matches!(verdict, Verdict::Follows(..)) { "" } else { "; it is over: another begins" };
    line(
        &mut out,
        "flow",
        &known.map_or_else(
            || "none: it begins one".to_owned(),
            |flow| format!("known, {}, silent for {} s{over}", flow.state.name(), age(now, flow.seen)),
        ),
    );
    if !matches!(verdict, Verdict::Follows(..)) {
        template(&mut out, tables, held, service, packet, now);
        candidates(&mut out, tables, held, service, &verdict);
    }
    match verdict {
        Verdict::Follows(_, server) => decided(&mut out, tables, server, "its flow's", packet),
        Verdict::Begins { server, by_template: true, .. } => {
            decided(&mut out, tables, server, "where its client stays", packet);
        }
        Verdict::Begins { server, .. } => decided(&mut out, tables, server, "the scheduler's choice", packet),
        Verdict::NoServer(_) => line(&mut out, "verdict", "refused: no server may take it"),
        Verdict::NotSyn(_) => line(&mut out, "verdict", "refused: it belongs to no flow and opens none"),
        Verdict::NotOurs => {}
    }
    out
}

impl<'a> Tables<'a> {
    fn service(&self, id: ServiceId) -> Option<&'a Wanted> {
        self.wanted.iter().find(|w| self.ids.find_service(&w.name) == Some(id))
    }

    fn servers(&self, service: &'a Wanted) -> impl Iterator<Item = (ServerId, &'a WantedServer)> {
        let ids = self.ids;
        let id = move |s: &WantedServer| ids.find(&service.name, &s.name, s.address);
        service.servers.iter().filter_map(move |s| Some((id(s)?, s)))
    }

    fn name(&self, server: ServerId) -> String {
        let mut known = self.wanted.iter().flat_map(|w| self.servers(w));
        known
            .find(|(id, _)| *id == server)
            .map_or_else(|| "one that is gone".to_owned(), |(_, s)| s.name.to_string())
    }
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "{name:<10} {text}");
}

fn age(now: u64, seen: u64) -> u64 {
    now.saturating_sub(seen) / 1_000_000_000
}

/// What of the address there is.
fn not_ours(tables: Tables, asked: SocketAddr, protocol: &str) -> String {
    let all = tables.wanted.iter().flat_map(|w| w.addresses.iter());
    let same: Vec<String> = (all.filter(|(a, _)| a.ip() == asked.ip()))
        .map(|(a, p)| {
            format!("{} {a}", if *p == crate::config::model::l4::Protocol::Tcp { "TCP" } else { "UDP" })
        })
        .collect();
    if same.is_empty() {
        format!("none has the address {}", asked.ip())
    } else {
        format!("none is {protocol} {asked}; of that address there is {}", same.join(", "))
    }
}

fn described(w: &Wanted, protocol: &str) -> String {
    let addresses: Vec<String> = w.addresses.iter().map(|(a, _)| a.to_string()).collect();
    let persist =
        w.settings.persist.map_or(String::new(), |p| format!(", persistent {} s", p.timeout.as_secs()));
    format!("{} ({protocol} {}), {}{persist}", w.name, addresses.join(", "), w.settings.scheduler.name())
}

fn template(out: &mut String, tables: Tables, held: &Held, id: ServiceId, packet: &Packet, now: u64) {
    let Some(entry) = tables.plan.services.get(&id).filter(|e| e.service.persist > 0) else { return };
    let key = reference::template_key(&entry.service, id, &packet.key);
    let Some(t) = held.templates.get(&key) else {
        return line(out, "template", &format!("none for {}", key.client.ip()));
    };
    let age = age(now, t.seen);
    let left = u64::from(entry.service.persist).saturating_sub(age);
    let counts = match reference::remembered(tables.plan, held, &entry.service, id, &packet.key, now) {
        Some(_) => "counts",
        None if t.flows == 0 && left == 0 => "is too old",
        None => "does not count: that server takes no new flows",
    };
    let server = tables.name(t.server);
    line(
        out,
        "template",
        &format!("{} stays on {server} ({} flows, {left} s left): {counts}", key.client.ip(), t.flows),
    );
}

/// The servers as the scheduler sees them; `*`: the chosen one.
fn candidates(out: &mut String, tables: Tables, held: &Held, id: ServiceId, verdict: &Verdict) {
    let (Some(wanted), Some(entry)) = (tables.service(id), tables.plan.services.get(&id)) else { return };
    let chosen = match verdict {
        Verdict::Begins { server, .. } => Some(*server),
        _ => None,
    };
    line(out, "scheduler", words(wanted.settings.scheduler));
    let _ = writeln!(
        out,
        "             {:<16} {:<22} {:>6} {:>7} {:>8} {:>10}  ",
        "server", "address", "weight", "active", "inactive", "cost"
    );
    for (server_id, server) in tables.servers(wanted) {
        let load = held.loads.get(&server_id).copied().unwrap_or_default();
        let member = entry.members.iter().find(|m| m.server == server_id.0);
        let weight = member.map_or(0, |m| m.weight);
        let why = match server.state {
            ServerState::Down => "down",
            ServerState::Drained => "drained",
            ServerState::Up if server.weight == 0 => "weight 0",
            ServerState::Up if member.is_none() && server.backup => "backup, not needed",
            ServerState::Up if member.is_none() => "a backup serves",
            ServerState::Up if load.overloaded != 0 => "overloaded: u-threshold",
            ServerState::Up if server.ramp < 100 => "slow start",
            ServerState::Up => "",
        };
        let cost = cost(wanted.settings.scheduler, weight, load.active, load.inactive);
        let text = format!(
            "{} {:<16} {:<22} {weight:>6} {:>7} {:>8} {:>10}  {why}",
            if chosen == Some(server_id) { "*" } else { " " },
            server.name,
            server.address.to_string(),
            load.active,
            load.inactive,
            if member.is_some() { cost } else { "-".to_owned() },
        );
        let _ = writeln!(out, "           {}", text.trim_end());
    }
}

/// What the scheduler compares: the least is chosen.
fn cost(scheduler: Scheduler, weight: u32, active: u32, inactive: u32) -> String {
    let (active, load) = (u64::from(active), u64::from(active) * 256 + u64::from(inactive));
    let weight = u64::from(weight.max(1));
    let share = |n: u64| {
        let hundredths = n * 100 / weight;
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    };
    match scheduler {
        Scheduler::Lc => load.to_string(),
        Scheduler::Wlc | Scheduler::Lblc | Scheduler::Lblcr | Scheduler::Twos => share(load),
        Scheduler::Nq if active == 0 => "0.00".to_owned(),
        Scheduler::Sed | Scheduler::Nq => share(active + 1),
        _ => "-".to_owned(),
    }
}

fn words(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::Rr | Scheduler::Wrr => "in turn, heavier servers more often",
        Scheduler::Lc => "the least cost: open flows times 256 plus those that are ending",
        Scheduler::Wlc => "the least cost: (open flows times 256 plus those that are ending) by weight",
        Scheduler::Sed => "the least cost: (open flows + 1) by weight",
        Scheduler::Nq => "an idle server, else the least cost: (open flows + 1) by weight",
        Scheduler::Sh => "by a hash of the client's address",
        Scheduler::Dh => "by a hash of the destination's address",
        Scheduler::Mh => "by Maglev's hash of the client's address",
        Scheduler::Lblc => "the destination's own server, else the least cost",
        Scheduler::Lblcr => "the destination's own servers, else the least cost",
        Scheduler::Fo => "the heaviest server that is available",
        Scheduler::Ovf => "the heaviest server with no more open flows than its weight",
        Scheduler::Twos => "the lesser cost of two drawn by weight: another draw may choose another",
    }
}

fn decided(out: &mut String, tables: Tables, server: ServerId, why: &str, packet: &Packet) {
    let Some(record) = tables.plan.servers.get(&server) else { return };
    let to = reached(record, packet);
    line(out, "server", &format!("{} {to}: {why}", tables.name(server)));
    let end = if record.flags & server_flag::CUT != 0 { ", but its flows are cut: refused" } else { "" };
    let mode = match Mode::from_number(record.mode) {
        Some(Mode::Nat) => "nat: the destination becomes the server's; answers come back through here",
        Some(Mode::Dr) => {
            "dr: the packet as it is, to the server's MAC address; answers go straight to the client"
        }
        Some(Mode::Tun) if record.tunnel_port != 0 => {
            "tun gue: wrapped in UDP; answers go straight to the client"
        }
        Some(Mode::Tun) => "tun: wrapped in IP; answers go straight to the client",
        Some(Mode::FullNat) if record.flags & server_flag::TOA != 0 => {
            "fullnat toa: both addresses change, an option tells the client's; answers come back through here"
        }
        Some(Mode::FullNat) => "fullnat: both addresses change; answers come back through here",
        Some(Mode::Local) | None => "local: this host itself",
    };
    line(out, "forward", &format!("{mode}{end}"));
}

/// Where the packet goes.
#[must_use]
pub fn reached(server: &Server, packet: &Packet) -> SocketAddr {
    let port = if server.port == 0 { packet.key.destination_port } else { server.port };
    SocketAddr::new(server.address.ip(), u16::from_be(port))
}

impl State {
    /// IPVS's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None | Self::Released => "NONE",
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::SynAck => "SYNACK",
            Self::Udp => "UDP",
        }
    }
}
