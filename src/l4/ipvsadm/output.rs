//! Lists, byte for byte as ipvsadm 1.31 prints them.

use super::rule::{self, flag_names, mask};
use super::table::{Server, Service, Table};
use super::{List, What, lookup};
use crate::config::model::l4::{Encapsulation, Forward, Protocol};
use crate::l4::abi::State;
use crate::live::l4::{Figures, FlowView};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// IPVS's version and the size of its table, in the first line of every list; programs look for them.
const TITLE: &str = "IP Virtual Server version 1.2.1 (size=4096)";

/// `-L`.
#[must_use]
pub fn list(table: &Table, list: &List) -> String {
    match list.what {
        What::Timeouts => {
            let (tcp, tcpfin, udp) = table.timeouts;
            return format!("Timeout (tcp tcpfin udp): {tcp} {tcpfin} {udp}\n");
        }
        What::Daemon => return String::new(),
        _ => {}
    }
    // ipvsadm says it above the whole table alone.
    let title = if list.service.is_none() { format!("{TITLE}\n") } else { String::new() };
    let mut out = format!("{title}{}", header(list.what));
    for service in in_order(table, list) {
        write_service(&mut out, service, list);
        for server in servers_in_order(service, list.unsorted) {
            write_server(&mut out, service, server, list);
        }
    }
    out
}

/// `-L -c`: what stands above the flows.
pub const CONNECTIONS: &str = "IPVS connection entries\n\
    pro expire state       source             virtual            destination\n";

/// The same with `--persistent-conn`, which has columns for an engine that there is none of.
pub const PERSISTENT_CONNECTIONS: &str = "IPVS connection entries\n\
    pro expire state       source             virtual            destination        pe name          pe_data\n";

/// `-L -c`: a line of it.
#[must_use]
pub fn connection(flow: &FlowView, numeric: bool) -> String {
    let (protocol, name) = if flow.protocol == 6 { (Protocol::Tcp, "TCP") } else { (Protocol::Udp, "UDP") };
    let left = format!("{:02}:{:02}", flow.left / 60, flow.left % 60);
    let of = |a| address(a, protocol, numeric);
    let (client, service, server) = (of(flow.client), of(flow.service), of(flow.server));
    format!("{name:<3} {left:<6} {:<11} {client:<18} {service:<18} {server}\n", flow.state)
}

/// What [`connection`] wrote with numbers alone.
#[must_use]
pub fn read_connection(line: &str) -> Option<FlowView> {
    const STATES: [State; 11] = [
        State::Established,
        State::SynSent,
        State::SynRecv,
        State::FinWait,
        State::TimeWait,
        State::Close,
        State::CloseWait,
        State::LastAck,
        State::Listen,
        State::SynAck,
        State::Udp,
    ];
    let mut words = line.split_whitespace();
    let mut next = || words.next();
    let protocol = if next()? == "TCP" { 6 } else { 17 };
    let (minutes, seconds) = next()?.split_once(':')?;
    let left = minutes.parse::<u64>().ok()? * 60 + seconds.parse::<u64>().ok()?;
    let state = next()?;
    let state = STATES.into_iter().map(State::name).find(|name| *name == state).unwrap_or("NONE");
    let mut address = || next()?.parse().ok();
    Some(FlowView { protocol, client: address()?, service: address()?, server: address()?, state, left })
}

/// `-S`: lines that `-R` reads. Services of the configuration are not among them: they are there again without.
#[must_use]
pub fn save(table: &Table, numeric: bool) -> String {
    let mut out = String::new();
    let made = in_order(table, &List::default()).into_iter().filter(|s| s.section.is_empty());
    for service in made {
        let letter = if service.key.0 == Protocol::Tcp { 't' } else { 'u' };
        let name = format!("-{letter} {}", address(service.key.1, service.key.0, numeric));
        let _ = write!(out, "-A {name} -s {}", service.scheduler.name());
        let persist = service.persist.map(|(s, bits)| (s, mask(bits, service.key.1.is_ipv4())));
        rule::options(&mut out, service.scheduler, service.flags, persist, service.one_packet);
        out.push('\n');
        for local in &service.sources {
            let _ = writeln!(out, "--add-laddr {name} -z {local}");
        }
        for server in servers_in_order(service, false) {
            let real = address(server.address, service.key.0, numeric);
            let tunnel = rule::encapsulation(server.forward);
            let _ = writeln!(
                out,
                "-a {name} -r {real} {} -w {}{tunnel}",
                rule::letter(server.forward),
                server.weight
            );
        }
    }
    out
}

fn in_order<'a>(table: &'a Table, list: &List) -> Vec<&'a Service> {
    let wanted = |s: &&Service| list.service.is_none_or(|key| key == s.key);
    let mut services: Vec<&Service> = table.services.iter().filter(wanted).collect();
    if !list.unsorted {
        services.sort_by_key(|s| (s.key.1.is_ipv6(), s.key));
    }
    services
}

fn servers_in_order(service: &Service, unsorted: bool) -> Vec<&Server> {
    let mut servers: Vec<&Server> = service.servers.iter().collect();
    if !unsorted {
        servers.sort_by_key(|s| s.address);
    }
    servers
}

fn header(what: What) -> String {
    const LOCAL: &str = "Prot LocalAddress:Port";
    const REMOTE: &str = "  -> RemoteAddress:Port\n";
    let five = |names: [&str; 5]| {
        let [a, b, c, d, e] = names;
        format!("{LOCAL:<33} {a:>8} {b:>8} {c:>8} {d:>8} {e:>8}\n{REMOTE}")
    };
    match what {
        What::Stats => five(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        What::Rate => five(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        What::Thresholds => format!(
            "{LOCAL:<33} {:<10} {:<10} {:<10} {:<10}\n{REMOTE}",
            "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"
        ),
        What::PersistentConnections => format!(
            "{LOCAL:<33} {:<9} {:<11} {:<10} {:<10}\n{REMOTE}",
            "Weight", "PersistConn", "ActiveConn", "InActConn"
        ),
        What::TunnelInfo => "Prot LocalAddress:Port Scheduler Flags\n  \
             -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n"
            .to_owned(),
        _ => "Prot LocalAddress:Port Scheduler Flags\n  \
              -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
            .to_owned(),
    }
}

fn write_service(out: &mut String, service: &Service, list: &List) {
    let protocol = if service.key.0 == Protocol::Tcp { "TCP" } else { "UDP" };
    let name = format!("{protocol:<4} {}", address(service.key.1, service.key.0, list.numeric));
    if matches!(list.what, What::Stats | What::Rate) {
        let rate = list.what == What::Rate;
        let figures = service.servers.iter().map(|s| if rate { s.rate } else { s.sum });
        let _ = write!(out, "{name:<33}");
        numbers(out, figures.fold(Figures::default(), Figures::and), list.exact);
        out.push('\n');
        return;
    }
    let _ = write!(out, "{name} {}", service.scheduler.name());
    let flags = flag_names(service.scheduler, service.flags);
    if !flags.is_empty() {
        let _ = write!(out, " ({flags})");
    }
    if let Some((seconds, bits)) = service.persist {
        let _ = write!(out, " persistent {seconds}");
        if let Some(mask) = mask(bits, service.key.1.is_ipv4()) {
            let _ = write!(out, " mask {mask}");
        }
    }
    if service.one_packet {
        out.push_str(" ops");
    }
    out.push('\n');
}

fn write_server(out: &mut String, service: &Service, server: &Server, list: &List) {
    let name = address(server.address, service.key.0, list.numeric);
    let (active, inactive) = (server.sum.active, server.sum.inactive);
    let _ = write!(out, "  -> {name:<28}");
    match list.what {
        What::Stats => numbers(out, server.sum, list.exact),
        // ipvsadm shortens no flows and packets here.
        What::Rate => {
            let f = server.rate;
            let _ = write!(out, " {:>8} {:>8} {:>8}", f.flows, f.in_packets, f.out_packets);
            [f.in_bytes, f.out_bytes].into_iter().for_each(|n| large(out, n, list.exact));
        }
        What::Thresholds => {
            let (upper, lower) = (server.upper_threshold, server.lower_threshold);
            let _ = write!(out, " {upper:<10} {lower:<10} {active:<10} {inactive:<10}");
        }
        What::PersistentConnections => {
            let (weight, persistent) = (server.weight, server.sum.persistent);
            let _ = write!(out, " {weight:<9} {persistent:<11} {active:<10} {inactive:<10}");
        }
        What::TunnelInfo => {
            let tunnel = match server.forward {
                _ if server.address.ip().is_loopback() => "n/a".to_owned(),
                Forward::Tunnel(Encapsulation::Ip) => "ipip".to_owned(),
                Forward::Tunnel(Encapsulation::Gue { port }) => format!("gue:{port}:n"),
                _ => "n/a".to_owned(),
            };
            let (way, weight) = (way(server), server.weight);
            let _ = write!(out, " {way:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}");
        }
        _ => {
            let (way, weight) = (way(server), server.weight);
            let _ = write!(out, " {way:<7} {weight:<6} {active:<10} {inactive:<10}");
        }
    }
    out.push('\n');
}

/// IPVS's words; it knows no fullnat.
fn way(server: &Server) -> &'static str {
    match server.forward {
        _ if server.address.ip().is_loopback() => "Local",
        Forward::Nat => "Masq",
        Forward::DirectRouting => "Route",
        Forward::Tunnel(_) => "Tunnel",
        Forward::FullNat { .. } => "FullNat",
    }
}

fn address(address: SocketAddr, protocol: Protocol, numeric: bool) -> String {
    if numeric {
        return address.to_string();
    }
    let host = lookup::host_name(address.ip()).unwrap_or_else(|| match address {
        SocketAddr::V4(a) => a.ip().to_string(),
        SocketAddr::V6(a) => format!("[{}]", a.ip()),
    });
    let port = lookup::port_name(address.port(), protocol).unwrap_or_else(|| address.port().to_string());
    format!("{host}:{port}")
}

fn numbers(out: &mut String, figures: Figures, exact: bool) {
    let Figures { flows, in_packets, out_packets, in_bytes, out_bytes, .. } = figures;
    for n in [flows, in_packets, out_packets, in_bytes, out_bytes] {
        large(out, n, exact);
    }
}

/// A number in nine columns: what has more than eight digits is shortened unless `exact`.
fn large(out: &mut String, n: u64, exact: bool) {
    const UNITS: [(u64, u64, char); 4] = [
        (1_000_000_000, 1000, 'K'),
        (100_000_000_000, 1_000_000, 'M'),
        (100_000_000_000_000, 1_000_000_000, 'G'),
        (u64::MAX, 1_000_000_000_000, 'T'),
    ];
    let _ = if exact {
        let digits = n.to_string();
        write!(out, "{digits:>width$}", width = (digits.len() + 1).max(9))
    } else if n < 100_000_000 {
        write!(out, "{n:>9}")
    } else {
        let (_, unit, letter) = UNITS.iter().find(|(below, ..)| n < *below).unwrap_or(&UNITS[3]);
        write!(out, "{:>8}{letter}", n / unit)
    };
}
