//! The plane alone, in a process of its own on the director: reads lines, writes maps, answers a line each.
//!
//! ```text
//!   service ID PROTOCOL ADDRESS:PORT SCHEDULER[,FLAGS]     server ID SERVICE ADDRESS:PORT MODE[:GUE PORT|:toa] WEIGHT
//!   sources SERVICE FIRST LAST ADDRESS...                  ready SERVICE (writes lists and tables)
//!   attach    load SERVER    traffic SERVER    count NAME    flows    expire SECONDS-FROM-NOW
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, Write as _};
use std::net::{IpAddr, SocketAddr};
use weir::l4::abi::{self, ADMIT_ALL, AddressKey, Count, Index, Member, Mode, Scheduler, Server, Service};
use weir::l4::io::{Limits, Plane, Walk, now};
use weir::l4::write::{ServerId, ServiceId, Write};

/// Does nothing among the tests; as a process of its own it is the director.
#[test]
fn serve() {
    if std::env::var_os("WEIR_L4_DIRECTOR").is_none() {
        return;
    }
    println!("\ndirector");
    let mut director = match Plane::open(Limits { flows: entries(), templates: 1 << 10 }) {
        Ok(plane) => Director { plane, services: BTreeMap::new(), members: BTreeMap::new() },
        Err(error) => return println!("error {error}"),
    };
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        println!("{}", director.obey(&words).unwrap_or_else(|e| format!("error {e}")));
        std::io::stdout().flush().unwrap();
    }
}

/// `WEIR_L4_DIRECTOR` says how many entries the table of flows has, beyond a few.
fn entries() -> u32 {
    std::env::var("WEIR_L4_DIRECTOR").ok().and_then(|n| n.parse().ok()).unwrap_or(0).max(1 << 14)
}

struct Director {
    plane: Plane,
    services: BTreeMap<u32, (AddressKey, Service)>,
    members: BTreeMap<u32, Vec<Member>>,
}

impl Director {
    fn obey(&mut self, words: &[&str]) -> Result<String, String> {
        match words {
            ["attach"] => {
                self.plane.routes_changed(false)?;
                let names: Vec<String> = self.plane.attach()?.into_iter().map(|i| i.name).collect();
                Ok(names.join(" "))
            }
            ["service", id, protocol, address, scheduler] => {
                self.service(number(id), protocol, address.parse().unwrap(), scheduler)
            }
            ["server", id, service, address, mode, weight] => {
                self.server(number(id), number(service), address.parse().unwrap(), mode, number(weight))
            }
            ["sources", service, first, last, addresses @ ..] => {
                let record = &mut self.services.get_mut(&number(service)).unwrap().1;
                record.sources = u32::try_from(addresses.len()).unwrap();
                (record.port_first, record.port_last) = (first.parse().unwrap(), last.parse().unwrap());
                let sources = addresses.iter().map(|a| a.parse::<IpAddr>().unwrap().into()).collect();
                self.write(&Write::Sources { service: ServiceId(number(service)), sources })
            }
            ["ready", service] => self.ready(number(service)),
            ["load", server] => {
                let load = self.plane.load(ServerId(number(server)));
                Ok(format!("{} {}", load.active, load.inactive))
            }
            ["traffic", server] => Ok(format!("{:?}", self.plane.traffic(ServerId(number(server))))),
            ["count", name] => {
                let what = Count::ALL.iter().find(|c| format!("{c:?}") == *name).unwrap();
                Ok(self.plane.count(*what).to_string())
            }
            ["counts"] => Ok(Count::ALL.iter().map(|c| format!("{c:?}={} ", self.plane.count(*c))).collect()),
            ["flows"] => self.flows(),
            ["fill", count] => self.fill(number(count)),
            ["expire", seconds] => self.expire(u64::from(number(seconds))),
            ["end", server] => {
                self.plane.end_flows_of(ServerId(number(server)), None, now()).map(|n| n.to_string())
            }
            _ => Err(format!("what is {words:?}?")),
        }
    }

    fn service(
        &mut self,
        id: u32,
        protocol: &str,
        vip: SocketAddr,
        scheduler: &str,
    ) -> Result<String, String> {
        let (name, flags) = scheduler.split_once(',').unwrap_or((scheduler, ""));
        let (scheduler, index) = match name {
            "rr" => (Scheduler::ByTable, Index::Turn),
            "sh" => (Scheduler::ByTable, Index::Source),
            "lc" => (Scheduler::Lc, Index::Turn),
            "wlc" => (Scheduler::Wlc, Index::Turn),
            "sed" => (Scheduler::Sed, Index::Turn),
            "nq" => (Scheduler::Nq, Index::Turn),
            other => return Err(format!("scheduler {other}")),
        };
        let service = Service {
            scheduler: scheduler as u8,
            index: index as u8,
            persist: if flags == "persist" { 60 } else { 0 },
            persist_mask: abi::Address([255; 16]),
            ..Service::default()
        };
        let protocol = if protocol == "tcp" { 6 } else { 17 };
        self.services.insert(id, (AddressKey::new(vip, protocol), service));
        Ok("ok".to_owned())
    }

    fn server(
        &mut self,
        id: u32,
        service: u32,
        to: SocketAddr,
        mode: &str,
        weight: u32,
    ) -> Result<String, String> {
        let local = if to.is_ipv4() { "10.72.0.1" } else { "fd72::1" };
        let (mode, more) = mode.split_once(':').unwrap_or((mode, "0"));
        let mode = Mode::ALL.iter().find(|m| format!("{m:?}").to_lowercase() == mode).unwrap();
        let server = Server {
            address: to.ip().into(),
            port: to.port().to_be(),
            mode: *mode as u8,
            service,
            tunnel_port: more.parse::<u16>().unwrap_or(0).to_be(),
            flags: if more == "toa" { abi::server_flag::TOA } else { 0 },
            local: local.parse::<IpAddr>().unwrap().into(),
            ..Server::default()
        };
        let member = Member { server: id, weight, admission: ADMIT_ALL };
        self.members.entry(service).or_default().push(member);
        self.write(&Write::Server { id: ServerId(id), server })
    }

    fn ready(&mut self, id: u32) -> Result<String, String> {
        let (key, mut service) = self.services[&id];
        let members = self.members.get(&id).cloned().unwrap_or_default();
        let slots: Vec<u32> = members.iter().flat_map(|m| vec![m.server; m.weight as usize]).collect();
        service.members = u32::try_from(members.len()).unwrap();
        service.slots = u32::try_from(slots.len()).unwrap();
        self.write(&Write::Members { service: ServiceId(id), members })?;
        self.write(&Write::Table { service: ServiceId(id), slots })?;
        self.write(&Write::Service { id: ServiceId(id), service })?;
        self.write(&Write::Address { key, service: ServiceId(id) })
    }

    fn write(&mut self, write: &Write) -> Result<String, String> {
        self.plane.apply(write).map(|()| "ok".to_owned())
    }

    fn flows(&mut self) -> Result<String, String> {
        let mut walk = Walk::default();
        let mut all = Vec::new();
        while let Some(chunk) = walk.next(&self.plane)? {
            all.extend(chunk.map(|(key, flow)| {
                format!(
                    "{}>{}:{}:{:?}",
                    key.source(),
                    key.destination(),
                    flow.server(),
                    if flow.direction == 0 { flow.state() } else { None }
                )
            }));
        }
        all.sort();
        Ok(format!("{} {}", all.len(), all.join(" ")))
    }

    /// That many flows of clients that are not there, to the first service.
    fn fill(&mut self, count: u32) -> Result<String, String> {
        let to = SocketAddr::new(self.services[&0].0.address.ip(), u16::from_be(self.services[&0].0.port));
        for n in 0..count {
            let [_, a, b, c] = n.to_be_bytes();
            let client = SocketAddr::from(([11, a, b, c], 40_000));
            self.plane.try_frame(&crate::schedulers::frame(&abi::FlowKey::new(client, to, 6), 2))?;
        }
        Ok("ok".to_owned())
    }

    fn expire(&mut self, seconds: u64) -> Result<String, String> {
        let mut walk = Walk::default();
        let mut ended = 0;
        while let Some(n) = self.plane.expire_chunk(&mut walk, now() + seconds * 1_000_000_000)? {
            ended += n;
        }
        Ok(ended.to_string())
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap()
}
