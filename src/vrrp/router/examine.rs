//! Which packets a router listens to.

use super::{Phase, Received, Router};
use crate::vrrp::DropReason;
use crate::wire::vrrp::{Advert, Auth, Refused, Version};
use std::net::IpAddr;

impl Router {
    /// The checks of RFC 9568 section 7.1 and RFC 3768 section 7.1.
    pub(super) fn examine(&self, packet: Received<'_>) -> Result<Advert, DropReason> {
        let s = &self.settings;
        if packet.source == packet.local {
            return Err(DropReason::Own);
        }
        if packet.ttl < s.min_ttl {
            return Err(DropReason::Ttl);
        }
        if !s.peers.is_empty() && (packet.destination.is_multicast() || !s.peers.contains(&packet.source)) {
            return Err(DropReason::Stranger);
        }
        if s.peers.is_empty() && !packet.destination.is_multicast() {
            return Err(DropReason::Stranger);
        }
        if packet.source.is_ipv4() != s.source.is_ipv4() {
            return Err(DropReason::Version);
        }
        let advert =
            Advert::parse(packet.payload, packet.source, packet.destination).map_err(
                |refused| match refused {
                    Refused::Checksum => DropReason::Checksum,
                    Refused::Version(_) => DropReason::Version,
                    Refused::Vrid => DropReason::Vrid,
                    Refused::NoAddress => DropReason::AddressList,
                    Refused::Length | Refused::Type(_) | Refused::Interval => DropReason::Malformed,
                },
            )?;
        if advert.version != s.version {
            return Err(DropReason::Version);
        }
        if advert.vrid != s.vrid {
            return Err(DropReason::Vrid);
        }
        match (advert.auth, s.auth) {
            (theirs, ours) if theirs == ours => {}
            (Auth::Pass(_), Auth::Pass(_)) => return Err(DropReason::AuthMismatch),
            _ => return Err(DropReason::AuthType),
        }
        if s.version == Version::V2 && advert.interval != s.interval {
            return Err(DropReason::Interval);
        }
        if !same_addresses(&advert.addresses, &s.addresses) {
            return Err(DropReason::AddressList);
        }
        if matches!(self.phase, Phase::Stopped | Phase::Fault) {
            return Err(DropReason::Idle);
        }
        Ok(advert)
    }
}

/// The same addresses, in whatever order.
fn same_addresses(one: &[IpAddr], other: &[IpAddr]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}
