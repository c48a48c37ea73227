//! Tells the network where an address is now.

use crate::net::raw;
use crate::wire::arp::{self, Mac};
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

    /// # Errors
    /// The interface is down or gone.
    pub fn burst(&self, interface: u32, mac: Mac, address: IpAddr, repeat: u32) -> io::Result<()> {
        let IpAddr::V4(address) = address else { return Ok(()) };
        let frame = arp::announcement(mac, address);
        for _ in 0..repeat {
            raw::send_frame(&self.socket, interface, &frame)?;
        }
        Ok(())
    }
}
