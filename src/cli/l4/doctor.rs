//! `weir l4 doctor`: what keeps packets from being forwarded, each with its remedy.

use super::probe::{self, Route};
use crate::config::model::l4::{Encapsulation, Forward, Protocol};
use crate::l4::io::privilege;
use crate::l4::ipvsadm::table::{Server, Service, Table};
use crate::top;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::process::ExitCode;

/// Of the kernel: `bpf_loop`, which the packet programs count on.
const KERNEL: (u32, u32) = (5, 17);
/// An outer IPv4 header, an outer IPv6 one.
const OUTER: (u32, u32) = (20, 40);
/// UDP and GUE within it.
const GUE: u32 = 12;

/// What is found wrong exits with 1; advice alone does not.
pub fn run() -> Result<ExitCode, String> {
    let mut findings = Findings::default();
    host(&mut findings);
    match top::ask("show l4 table").map(|answer| Table::read(&answer).ok_or(answer)) {
        Ok(Ok(table)) if table.services.is_empty() => {
            findings.wrong("the process forwards nothing", "its configuration needs a section in 'mode l4'");
        }
        Ok(Ok(table)) => {
            services(&mut findings, &table);
            events(&mut findings);
        }
        Ok(Err(answer)) => findings.wrong(answer.trim(), "it needs a version of weir with 'mode l4'"),
        Err(problem) => findings.wrong(
            &format!("services and servers cannot be looked at: {problem}"),
            "start weir, or name its stats socket in WEIR_SOCKET",
        ),
    }
    Ok(findings.tell())
}

#[derive(Default)]
struct Findings {
    wrong: u32,
}

impl Findings {
    fn fine(&mut self, what: &str) {
        println!("ok     {what}");
    }

    fn note(&mut self, what: &str, remedy: &str) {
        println!("note   {what}\n       {remedy}");
    }

    fn wrong(&mut self, what: &str, remedy: &str) {
        self.wrong += 1;
        println!("WRONG  {what}\n       {remedy}");
    }

    fn tell(&self) -> ExitCode {
        match self.wrong {
            0 => println!("nothing is wrong"),
            n => println!("{n} wrong"),
        }
        ExitCode::from(u8::from(self.wrong > 0))
    }
}

fn host(findings: &mut Findings) {
    let release = sysctl("kernel/osrelease").unwrap_or_default();
    match version(&release) {
        Some(version) if version < KERNEL => {
            let (major, minor) = KERNEL;
            findings.wrong(
                &format!("kernel {release} is too old for the packet programs"),
                &format!("a kernel from {major}.{minor} on is needed"),
            );
        }
        _ => findings.fine(&format!("kernel {release}")),
    }
    match privilege::check() {
        Ok(()) => findings.fine("CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON are there"),
        Err(problem) => findings.note(&problem, "asked of this command's process, not of the one that runs"),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn sysctl(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok().map(|text| text.trim().to_owned())
}

fn services(findings: &mut Findings, table: &Table) {
    let has = |v6: bool| table.services.iter().any(|s| s.key.1.is_ipv6() == v6);
    for (v6, name) in [(false, "net/ipv4/ip_forward"), (true, "net/ipv6/conf/all/forwarding")] {
        if !has(v6) {
            continue;
        }
        match sysctl(name).as_deref() {
            Some("1") => findings.fine(&format!("{name} is 1")),
            _ => findings.wrong(
                &format!("{name} is not 1: packets are not passed on"),
                &format!(
                    "sysctl -w {}=1; weir sets it when it starts: somebody set it back",
                    name.replace('/', ".")
                ),
            ),
        }
    }
    let mut seen = BTreeMap::new();
    for service in &table.services {
        virtual_address(findings, service, &mut seen);
        if service.servers.is_empty() {
            findings.wrong(
                &format!("{}: no server is up: clients are refused", name_of(service)),
                "'show stat' and 'show servers state' tell why; a 'backup' server could say sorry",
            );
        }
        for server in &service.servers {
            self::server(findings, service, server);
        }
    }
}

fn name_of(service: &Service) -> String {
    let name = crate::live::l4::name_of(&service.key);
    if service.section.is_empty() { name } else { format!("{} ({name})", service.section) }
}

/// Somebody must answer for it in the segment, or route it here.
fn virtual_address(findings: &mut Findings, service: &Service, seen: &mut BTreeMap<IpAddr, ()>) {
    let vip = service.key.1.ip();
    if seen.insert(vip, ()).is_some() {
        return;
    }
    match probe::route(vip) {
        Ok(Route { local: true, .. }) => findings.fine(&format!("{vip} is an address of this host")),
        _ => findings.note(
            &format!(
                "{vip} is no address of this host: nobody answers for it, unless a router sends it here"
            ),
            &format!(
                "a 'vrrp' section puts it on the master; alone: ip address add {vip}/{} dev <interface>",
                if vip.is_ipv4() { 32 } else { 128 }
            ),
        ),
    }
}

fn server(findings: &mut Findings, service: &Service, server: &Server) {
    let ip = server.address.ip();
    let name = format!("{}: server {}", name_of(service), server.address);
    if ip.is_loopback() {
        return findings.fine(&format!("{name} is this host"));
    }
    let route = match probe::route(ip) {
        Ok(route) => route,
        Err(problem) => {
            return findings.wrong(
                &format!("{name} cannot be reached: {problem}"),
                "add a route to it, or mend its address",
            );
        }
    };
    if route.local {
        return findings.fine(&format!("{name} is this host"));
    }
    if server.forward == Forward::DirectRouting
        && let Some(via) = route.via
    {
        return findings.wrong(
            &format!("{name} is behind {via}: dr changes nothing but the MAC address, so the packet would come back"),
            "a server in dr must be in a network of this host; use 'forward tun', or nat",
        );
    }
    let hop = route.via.unwrap_or(ip);
    match probe::neighbour(hop, &route.device) {
        Some((mac, _)) if !mac.is_empty() => {
            findings.fine(&format!("{name} by {hop} at {mac}, dev {}", route.device))
        }
        _ => {
            return findings.wrong(
                &format!("{name}: {hop} does not answer on {} (ARP, NDP)", route.device),
                "is it up, on that network, and is the netmask right?",
            );
        }
    }
    way(findings, &name, service, server, &route);
}

/// What its way of forwarding asks for beyond a route.
fn way(findings: &mut Findings, name: &str, service: &Service, server: &Server, route: &Route) {
    let ip = server.address.ip();
    match server.forward {
        Forward::Tunnel(how) => mtu(findings, name, ip, how, &route.device),
        Forward::Nat if route.via.is_none() => findings.note(
            &format!("{name}: nat works if its answers come back through this host"),
            &format!(
                "on the server: ip route replace default via {}; clients of its own network get answers past this host: \
                 use 'forward fullnat' for them",
                source_towards(ip)
            ),
        ),
        Forward::DirectRouting => findings.note(
            &format!("{name}: dr works if it holds {} without answering for it, and answers not through this host", service.key.1.ip()),
            &format!(
                "on the server: weir l4 server-setup --vip {}; its default route must not be this host (martian source)",
                service.key.1.ip()
            ),
        ),
        _ => {}
    }
    if server.forward == Forward::DirectRouting
        && service.key.0 == Protocol::Tcp
        && server.address.port() != service.key.1.port()
    {
        findings.wrong(
            &format!("{name}: with dr the port stays {}", service.key.1.port()),
            "let the server listen there, or use nat",
        );
    }
}

fn source_towards(ip: IpAddr) -> String {
    let text = probe::ip(&["-o", "route", "get", &ip.to_string()]).unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|w| *w == "src").and_then(|at| words.get(at + 1));
    at.map_or_else(|| "<this host>".to_owned(), |a| (*a).to_owned())
}

fn mtu(findings: &mut Findings, name: &str, ip: IpAddr, how: Encapsulation, device: &str) {
    let read = fs::read_to_string(format!("/sys/class/net/{device}/mtu"));
    let Some(mtu) = read.ok().and_then(|text| text.trim().parse::<u32>().ok()) else { return };
    let within = if how == Encapsulation::Ip { 0 } else { GUE };
    let outer = within + if ip.is_ipv4() { OUTER.0 } else { OUTER.1 };
    if mtu >= 1500 + outer {
        return findings.fine(&format!("{name}: the tunnel fits into the MTU of {device}, {mtu}"));
    }
    findings.note(
        &format!("{name}: the MTU of {device} is {mtu}: full packets do not fit with {outer} bytes more; clients are told to send smaller ones"),
        &format!("an MTU of {} on {device}, its switch and the server avoids that", 1500 + outer),
    );
}

/// Packets that were not forwarded, and what that means.
const EVENTS: &[(&str, &str)] = &[
    ("no_route", "no route to a server, or its neighbour does not answer: see above"),
    ("table_full", "the table of flows, or of templates, is full: shorter 'timeout tcp', or more of it"),
    ("ports_exhausted", "fullnat has no port left: more addresses in 'source'"),
    ("no_server", "no server could take a flow: they were down, drained or overloaded ('u-threshold')"),
    ("fragment", "fragments without their first part: lower the clients' MTU, or let them find out (PMTU)"),
];

fn events(findings: &mut Findings) {
    let answer = top::ask("show l4 stats").unwrap_or_default();
    let mut quiet = true;
    for (name, meaning) in EVENTS {
        let count = answer
            .lines()
            .find_map(|line| line.strip_prefix(&format!("event {name}: "))?.parse::<u64>().ok());
        if let Some(n) = count.filter(|n| *n > 0) {
            quiet = false;
            findings.note(&format!("{n} packets were not forwarded: {name}"), meaning);
        }
    }
    if quiet {
        findings.fine("no packet was refused for want of a route, a server, a port or room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("5.4"), Some((5, 4)));
        assert!(version("5.10.0").unwrap() < KERNEL);
        assert_eq!(version("x"), None);
    }
}
