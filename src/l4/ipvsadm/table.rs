//! The table that lists are made of, and as it goes over the stats socket: a line a service, a line a server.

use crate::balance::l4::Scheduler;
use crate::config::model::l4::{Encapsulation, Flags, Forward, Persist, Protocol};
use crate::l4::plan::{ServerState, Wanted, WantedServer};
use crate::l4::wanted::{Whole, wanted};
use crate::live::Generation;
use crate::live::l4::{DEFAULT_TIMEOUTS, Figures, Key};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Of the services that were made: tcp, tcpfin, udp, in seconds.
    pub timeouts: (u32, u32, u32),
    pub services: Vec<Service>,
}

impl Default for Table {
    fn default() -> Self {
        Self { timeouts: DEFAULT_TIMEOUTS, services: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub key: Key,
    pub scheduler: Scheduler,
    pub flags: Flags,
    pub persist: Option<(u32, u8)>,
    pub one_packet: bool,
    /// fullnat's local addresses.
    pub sources: Vec<IpAddr>,
    /// The section of the configuration; empty for those that were made.
    pub section: String,
    pub servers: Vec<Server>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub address: SocketAddr,
    pub forward: Forward,
    pub weight: u32,
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    pub sum: Figures,
    pub rate: Figures,
}

impl Table {
    /// What is forwarded at this moment. A service with several addresses is a row for each of them, with the same servers.
    #[must_use]
    pub fn of(generation: &Generation) -> Self {
        let made = generation.process.l4.made();
        let is_made = |name: &str| made.iter().any(|m| crate::live::l4::name_of(&m.key) == name);
        let all = wanted(generation, &mut Whole::default());
        let services = all.iter().flat_map(|service| {
            let section = if is_made(&service.name) { String::new() } else { service.name.to_string() };
            service.addresses.iter().map(move |(address, protocol)| Service {
                key: (*protocol, *address),
                scheduler: service.settings.scheduler,
                flags: service.settings.flags,
                persist: service.settings.persist.map(seconds),
                one_packet: service.settings.one_packet,
                sources: service.settings.sources.clone(),
                section: section.clone(),
                servers: shown(service).map(|s| row(generation, service, s, address.port())).collect(),
            })
        });
        Self { timeouts: generation.process.l4.timeouts(), services: services.collect() }
    }

    /// As it goes over the socket.
    #[must_use]
    pub fn write(&self) -> String {
        let (tcp, tcpfin, udp) = self.timeouts;
        let mut out = format!("timeouts {tcp} {tcpfin} {udp}\n");
        for s in &self.services {
            let (seconds, bits) = s.persist.unwrap_or_default();
            let _ = writeln!(
                out,
                "service {} {} {} {} {} {seconds}/{bits} {} {}",
                if s.key.0 == Protocol::Tcp { "tcp" } else { "udp" },
                s.key.1,
                s.scheduler.name(),
                u8::from(s.flags.port),
                u8::from(s.flags.fallback),
                u8::from(s.one_packet),
                if s.section.is_empty() { "-" } else { &s.section },
            );
            for local in &s.sources {
                let _ = writeln!(out, "source {local}");
            }
            for server in &s.servers {
                let _ = write!(
                    out,
                    "server {} {} {} {} {}",
                    server.address,
                    forward_name(server.forward),
                    server.weight,
                    server.upper_threshold,
                    server.lower_threshold
                );
                let (f, r) = (&server.sum, &server.rate);
                for n in [f.active, f.inactive, f.persistent] {
                    let _ = write!(out, " {n}");
                }
                for f in [f, r] {
                    for n in [f.flows, f.in_packets, f.out_packets, f.in_bytes, f.out_bytes] {
                        let _ = write!(out, " {n}");
                    }
                }
                out.push('\n');
            }
        }
        out
    }

    /// What [`Self::write`] wrote; `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut table = Self::default();
        for line in text.lines().filter(|l| !l.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            match *words.first()? {
                "timeouts" => {
                    let numbers: Vec<u32> = words.iter().skip(1).filter_map(|n| n.parse().ok()).collect();
                    let [tcp, tcpfin, udp] = *numbers else { return None };
                    table.timeouts = (tcp, tcpfin, udp);
                }
                "source" => table.services.last_mut()?.sources.push(words.get(1)?.parse().ok()?),
                "service" => table.services.push(service(&words)?),
                "server" => table.services.last_mut()?.servers.push(server(&words)?),
                _ => return None,
            }
        }
        Some(table)
    }
}

fn seconds(persist: Persist) -> (u32, u8) {
    (u32::try_from(persist.timeout.as_millis().div_ceil(1000)).unwrap_or(u32::MAX), persist.prefix)
}

/// Those a checker would have left in IPVS's table: not those that are down, and a backup when nobody else serves.
fn shown(service: &Wanted) -> impl Iterator<Item = &WantedServer> {
    let usable = |s: &&WantedServer| s.state == ServerState::Up && s.weight > 0;
    let own_up = service.servers.iter().any(|s| !s.backup && usable(&s));
    let backup = service.servers.iter().find(|s| s.backup && usable(s)).filter(|_| !own_up || !service.whole);
    let kept = service.settings.quiesce_on_down;
    let own = service.servers.iter().filter(move |s| !s.backup && (kept || s.state != ServerState::Down));
    own.filter(move |_| backup.is_none()).chain(backup)
}

fn row(generation: &Generation, service: &Wanted, server: &WantedServer, port: u16) -> Server {
    let (sum, rate) = generation.process.l4.figures(&service.name, server.address);
    let mut address = server.address;
    if address.port() == 0 {
        address.set_port(port);
    }
    Server {
        address,
        forward: server.forward,
        weight: if server.state == ServerState::Up { server.weight } else { 0 },
        upper_threshold: server.upper_threshold,
        lower_threshold: server.lower_threshold,
        sum,
        rate,
    }
}

fn forward_name(forward: Forward) -> String {
    match forward {
        Forward::Nat => "nat".to_owned(),
        Forward::DirectRouting => "dr".to_owned(),
        Forward::Tunnel(Encapsulation::Ip) => "tun".to_owned(),
        Forward::Tunnel(Encapsulation::Gue { port }) => format!("gue:{port}"),
        Forward::FullNat { toa: false } => "fullnat".to_owned(),
        Forward::FullNat { toa: true } => "toa".to_owned(),
    }
}

fn forward_by_name(name: &str) -> Option<Forward> {
    Some(match name {
        "nat" => Forward::Nat,
        "dr" => Forward::DirectRouting,
        "tun" => Forward::Tunnel(Encapsulation::Ip),
        "fullnat" => Forward::FullNat { toa: false },
        "toa" => Forward::FullNat { toa: true },
        other => Forward::Tunnel(Encapsulation::Gue { port: other.strip_prefix("gue:")?.parse().ok()? }),
    })
}

fn service(words: &[&str]) -> Option<Service> {
    let [_, protocol, address, scheduler, port, fallback, persist, one_packet, section] = *words else {
        return None;
    };
    let (seconds, bits) = persist.split_once('/')?;
    let persist = (seconds.parse().ok()?, bits.parse().ok()?);
    Some(Service {
        key: (if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp }, address.parse().ok()?),
        scheduler: Scheduler::by_name(scheduler)?,
        flags: Flags { port: port == "1", fallback: fallback == "1" },
        persist: (persist.0 > 0).then_some(persist),
        one_packet: one_packet == "1",
        sources: Vec::new(),
        section: if section == "-" { String::new() } else { section.to_owned() },
        servers: Vec::new(),
    })
}

fn server(words: &[&str]) -> Option<Server> {
    let [_, address, forward, weight, upper, lower, active, inactive, persistent, counts @ ..] = words else {
        return None;
    };
    let counts: Option<Vec<u64>> = counts.iter().map(|n| n.parse().ok()).collect();
    let counts = counts.filter(|c| c.len() == 10)?;
    let small = |text: &str| text.parse::<u32>().ok();
    let figures = |c: &[u64]| Figures {
        flows: c.first().copied().unwrap_or(0),
        in_packets: c.get(1).copied().unwrap_or(0),
        out_packets: c.get(2).copied().unwrap_or(0),
        in_bytes: c.get(3).copied().unwrap_or(0),
        out_bytes: c.get(4).copied().unwrap_or(0),
        ..Figures::default()
    };
    let (sum, rate) = counts.split_at(5);
    let gauges = (small(active)?, small(inactive)?, small(persistent)?);
    let with = |f: Figures| Figures { active: gauges.0, inactive: gauges.1, persistent: gauges.2, ..f };
    Some(Server {
        address: address.parse().ok()?,
        forward: forward_by_name(forward)?,
        weight: small(weight)?,
        upper_threshold: small(upper)?,
        lower_threshold: small(lower)?,
        sum: with(figures(sum)),
        rate: with(figures(rate)),
    })
}
