//! Names of ports and hosts, from the files of the system alone: nobody waits for a resolver to list a table.

use crate::config::address::{self, Family};
use crate::config::model::l4::Protocol;
use std::net::IpAddr;

/// The port of a service by its name.
pub(super) fn port(name: &str, protocol: Protocol) -> Option<u16> {
    entries("/etc/services").find_map(|words| {
        let (port, of) = words.get(1)?.split_once('/')?;
        let named = words.iter().enumerate().any(|(i, word)| i != 1 && word == name);
        (named && of == protocol_name(protocol)).then(|| port.parse().ok()).flatten()
    })
}

pub(super) fn port_name(port: u16, protocol: Protocol) -> Option<String> {
    let wanted = format!("{port}/{}", protocol_name(protocol));
    entries("/etc/services")
        .find_map(|words| if *words.get(1)? == wanted { words.first().cloned() } else { None })
}

pub(super) fn host(name: &str) -> Option<IpAddr> {
    name.parse().ok().or_else(|| address::resolve(name, Family::Any))
}

pub(super) fn host_name(address: IpAddr) -> Option<String> {
    entries("/etc/hosts").find_map(|words| {
        let of: IpAddr = words.first()?.parse().ok()?;
        if of == address { words.get(1).cloned() } else { None }
    })
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn entries(file: &str) -> impl Iterator<Item = Vec<String>> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<Vec<String>> = text
        .lines()
        .map(|l| l.split('#').next().unwrap_or("").split_whitespace().map(str::to_owned).collect())
        .collect();
    lines.into_iter()
}
