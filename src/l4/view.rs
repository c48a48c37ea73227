//! The services as they stand, for the statistics page and Prometheus: configured ones and those made while the process runs.

use super::plan::{ServerState, Wanted, WantedServer};
use super::wanted::{Whole, wanted};
use crate::config::model::l4::{Encapsulation, Forward, Protocol};
use crate::live::Generation;
use crate::live::l4::{Figures, name_of};
use std::net::SocketAddr;
use std::sync::Arc;

/// One service.
#[derive(Clone, Debug)]
pub struct ServiceView {
    /// The section; of those that were made, protocol and address.
    pub name: Arc<str>,
    pub made: bool,
    pub addresses: Vec<(SocketAddr, Protocol)>,
    pub scheduler: &'static str,
    pub persist: bool,
    /// `minimum up` is met, or there is none.
    pub whole: bool,
    pub servers: Vec<ServerView>,
}

#[derive(Clone, Debug)]
pub struct ServerView {
    pub name: Arc<str>,
    pub address: SocketAddr,
    pub forward: &'static str,
    pub state: ServerState,
    pub backup: bool,
    pub weight: u32,
    /// Since the counters were zeroed, and a second's worth.
    pub sum: Figures,
    pub rate: Figures,
}

#[must_use]
pub fn services(generation: &Generation) -> Vec<ServiceView> {
    let board = &generation.process.l4;
    if generation.config.l4_services.is_empty() {
        return Vec::new();
    }
    let made = board.made();
    let of = |service: &Wanted, s: &WantedServer| {
        let (sum, rate) = board.figures(&service.name, s.address);
        ServerView {
            name: Arc::clone(&s.name),
            address: s.address,
            forward: forward_name(s.forward),
            state: s.state,
            backup: s.backup,
            weight: s.weight,
            sum,
            rate,
        }
    };
    let all = wanted(generation, &mut Whole::default()).into_iter();
    all.map(|service| ServiceView {
        made: made.iter().any(|m| *name_of(&m.key) == *service.name),
        scheduler: service.settings.scheduler.name(),
        persist: service.settings.persist.is_some(),
        whole: service.whole,
        servers: service.servers.iter().map(|s| of(&service, s)).collect(),
        addresses: service.addresses,
        name: service.name,
    })
    .collect()
}

impl ServiceView {
    /// Of all its servers.
    #[must_use]
    pub fn sum(&self) -> Figures {
        self.servers.iter().fold(Figures::default(), |all, s| all.and(s.sum))
    }

    #[must_use]
    pub fn rate(&self) -> Figures {
        self.servers.iter().fold(Figures::default(), |all, s| all.and(s.rate))
    }

    /// Servers that may get new flows, without the backups; and all that are no backups.
    #[must_use]
    pub fn up(&self) -> (usize, usize) {
        let own = || self.servers.iter().filter(|s| !s.backup);
        (own().filter(|s| s.state == ServerState::Up && s.weight > 0).count(), own().count())
    }
}

/// As `forward` has it.
#[must_use]
pub fn forward_name(forward: Forward) -> &'static str {
    match forward {
        Forward::Nat => "nat",
        Forward::DirectRouting => "dr",
        Forward::Tunnel(Encapsulation::Ip) => "tun",
        Forward::Tunnel(Encapsulation::Gue { .. }) => "tun gue",
        Forward::FullNat { toa: false } => "fullnat",
        Forward::FullNat { toa: true } => "fullnat toa",
    }
}
