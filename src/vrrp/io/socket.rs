//! Adverts on one interface: a socket that hears the group and what is sent to us, one that sends from our address.

use super::Event;
use super::link::Link;
use crate::net::raw;
use crate::wire::vrrp::{GROUP_V4, PROTOCOL, TTL};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use tokio::sync::mpsc;

/// Longer than any advert: 255 addresses, and the longest IPv4 header.
const LONGEST: usize = 2048;
/// Internetwork control, as every routing protocol sends (RFC 791).
const PRECEDENCE: u32 = 0xc0;

pub struct Wire {
    pub interface: u32,
    pub source: Ipv4Addr,
    hears: Socket,
    sends: Socket,
}

impl Wire {
    /// # Errors
    /// The system's: no privilege, no such address.
    pub fn open(link: &Link, source: Ipv4Addr) -> io::Result<Self> {
        let protocol = Some(Protocol::from(i32::from(PROTOCOL)));
        let hears = Socket::new(Domain::IPV4, Type::RAW, protocol)?;
        hears.bind_device(Some(link.name.as_bytes()))?;
        hears.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(link.index))?;
        hears.set_nonblocking(true)?;
        let sends = Socket::new(Domain::IPV4, Type::RAW, protocol)?;
        sends.bind_device(Some(link.name.as_bytes()))?;
        sends.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        sends.set_multicast_if_v4(&source)?;
        sends.set_multicast_ttl_v4(u32::from(TTL))?;
        sends.set_multicast_loop_v4(false)?;
        sends.set_ttl_v4(u32::from(TTL))?;
        sends.set_tos_v4(PRECEDENCE)?;
        // It hears what is sent to its address as well: nobody reads that there.
        sends.set_recv_buffer_size(0)?;
        sends.set_nonblocking(true)?;
        Ok(Self { interface: link.index, source, hears, sends })
    }

    /// # Errors
    /// The system's: the link is down, no route.
    pub fn send(&self, payload: &[u8], destination: IpAddr) -> io::Result<()> {
        self.sends.send_to(payload, &SockAddr::from(SocketAddr::from((destination, 0)))).map(drop)
    }

    /// Hands over packets as they come. When the loop is behind, further ones wait in the socket.
    pub async fn receive(&self, wire: usize, tell: &mpsc::Sender<Event>) {
        let Ok(copy) = self.hears.try_clone() else { return };
        let Ok(socket) = raw::watch(OwnedFd::from(copy)) else { return };
        let mut buffer = [0; LONGEST];
        loop {
            let Ok(mut ready) = socket.readable().await else { return };
            // An error: the link went down. It comes back, or the router is at fault by then.
            if let Ok(Ok(length)) =
                ready.try_io(|fd| rustix::io::read(fd, &mut buffer).map_err(io::Error::from))
            {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if tell.send(Event::Packet { wire, bytes }).await.is_err() {
                    return;
                }
            }
        }
    }
}
