//! Tells the network where an address is now.

use super::link::Link;
use crate::net::raw;
use crate::wire::{arp, ndp};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

pub struct Announcer {
    socket: OwnedFd,
}

impl Announcer {
    /// # Errors
    /// No CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: raw::packet_socket()? })
    }

    /// Gratuitous ARP, or unsolicited neighbour advertisements. Nothing on a link without MAC.
    ///
    /// # Errors
    /// The interface is down or gone.
    pub fn announce(&self, link: &Link, address: IpAddr) -> io::Result<()> {
        let Some(mac) = link.mac else { return Ok(()) };
        let frame = match address {
            IpAddr::V4(address) => arp::announcement(mac, address),
            IpAddr::V6(address) => ndp::announcement(mac, address, link.is_router),
        };
        raw::send_frame(&self.socket, link.index, &frame)
    }
}
