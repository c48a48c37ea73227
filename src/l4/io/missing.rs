//! What a service may ask for that the packet programs cannot do yet.

use crate::balance::l4::Scheduler;
use crate::config::model::l4::{Encapsulation, Forward, L4};

/// The first such thing, as the configuration has it.
pub fn missing(settings: &L4, servers: impl IntoIterator<Item = Forward>) -> Option<&'static str> {
    match settings.scheduler {
        Scheduler::Lblc => return Some("balance lblc"),
        Scheduler::Lblcr => return Some("balance lblcr"),
        Scheduler::Twos => return Some("balance twos"),
        _ => {}
    }
    if settings.one_packet {
        return Some("option one-packet");
    }
    servers.into_iter().find_map(|forward| match forward {
        Forward::Tunnel(Encapsulation::Gue { .. }) => Some("forward tun gue"),
        Forward::FullNat { toa: true } => Some("forward fullnat toa"),
        _ => None,
    })
}
