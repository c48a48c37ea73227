//! Changes as lines of ipvsadm, numbers only: what `-S` writes, and what goes over the stats socket.

use crate::balance::l4::Scheduler;
use crate::config::model::l4::{Encapsulation, Flags, Forward, Protocol};
use crate::live::l4::{Change, Key, Made, MadeServer};
use std::fmt::Write as _;

/// The line that says the change.
#[must_use]
pub fn rule(change: &Change) -> String {
    match change {
        Change::Add(made) => format!("-A {}", service(made)),
        Change::Edit(made) => format!("-E {}", service(made)),
        Change::Delete(key) => format!("-D {}", named(key)),
        Change::Clear => "-C".to_owned(),
        Change::AddServer(key, s) => format!("-a {} {}", named(key), server(s)),
        Change::EditServer(key, s) => format!("-e {} {}", named(key), server(s)),
        Change::DeleteServer(key, address) => format!("-d {} -r {address}", named(key)),
        Change::AddSource(key, address) => format!("--add-laddr {} -z {address}", named(key)),
        Change::DeleteSource(key, address) => format!("--del-laddr {} -z {address}", named(key)),
        Change::Timeouts(tcp, tcpfin, udp) => format!("--set {tcp} {tcpfin} {udp}"),
        Change::Zero(None) => "-Z".to_owned(),
        Change::Zero(Some(key)) => format!("-Z {}", named(key)),
    }
}

#[must_use]
pub fn named(key: &Key) -> String {
    let letter = if key.0 == Protocol::Tcp { 't' } else { 'u' };
    format!("-{letter} {}", key.1)
}

fn service(made: &Made) -> String {
    let mut out = format!("{} -s {}", named(&made.key), made.scheduler.name());
    options(&mut out, made.scheduler, made.flags, mask_of(made), made.one_packet);
    out
}

fn mask_of(made: &Made) -> Option<(u32, Option<String>)> {
    made.persist.map(|(seconds, bits)| (seconds, mask(bits, made.key.1.is_ipv4())))
}

/// What comes after the scheduler in a rule.
pub(super) fn options(
    out: &mut String,
    scheduler: Scheduler,
    flags: Flags,
    persist: Option<(u32, Option<String>)>,
    one_packet: bool,
) {
    if let Some((seconds, mask)) = persist {
        let _ = write!(out, " -p {seconds}");
        if let Some(mask) = mask {
            let _ = write!(out, " -M {mask}");
        }
    }
    if one_packet {
        out.push_str(" -o");
    }
    let names = flag_names(scheduler, flags);
    if !names.is_empty() {
        let _ = write!(out, " -b {names}");
    }
}

/// As -M and the list show it; `None` where each client is by itself.
pub(super) fn mask(bits: u8, v4: bool) -> Option<String> {
    match (bits, v4) {
        (32, true) | (128, false) => None,
        (bits, true) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            Some(std::net::Ipv4Addr::from(mask).to_string())
        }
        (bits, false) => Some(bits.to_string()),
    }
}

pub(super) fn flag_names(scheduler: Scheduler, flags: Flags) -> String {
    let name = scheduler.name();
    let mut names = Vec::new();
    if flags.fallback {
        names.push(format!("{name}-fallback"));
    }
    if flags.port {
        names.push(format!("{name}-port"));
    }
    names.join(",")
}

fn server(server: &MadeServer) -> String {
    let mut out = format!("-r {} {} -w {}", server.address, letter(server.forward), server.weight);
    if server.forward != Forward::Tunnel(Encapsulation::Ip) {
        out.push_str(&encapsulation(server.forward));
    }
    for (option, value) in [("-x", server.upper_threshold), ("-y", server.lower_threshold)] {
        if value > 0 {
            let _ = write!(out, " {option} {value}");
        }
    }
    out
}

/// How a tunnel wraps packets, if it is one. Nothing covers UDP's checksum: the packet inside has its own.
pub(super) fn encapsulation(forward: Forward) -> String {
    match forward {
        Forward::Tunnel(Encapsulation::Ip) => " --tun-type ipip".to_owned(),
        Forward::Tunnel(Encapsulation::Gue { port }) => {
            format!(" --tun-type gue --tun-port {port} --tun-nocsum")
        }
        _ => String::new(),
    }
}

pub(super) fn letter(forward: Forward) -> &'static str {
    match forward {
        Forward::Nat => "-m",
        Forward::DirectRouting => "-g",
        Forward::Tunnel(_) => "-i",
        Forward::FullNat { .. } => "--fullnat",
    }
}
