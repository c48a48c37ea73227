//! Adverts on one interface: a socket that hears one router's and what is sent to us, and a way to send from our address.

use super::Event;
use super::link::Link;
use crate::net::raw;
use crate::wire::arp::Mac;
use crate::wire::ipv4::Packet;
use crate::wire::ipv6::{Header, multicast_frame};
use crate::wire::vrrp::{GROUP_V4, GROUP_V6, PROTOCOL, TTL};
use libc::{BPF_ABS, BPF_B, BPF_IND, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockFilter, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tokio::sync::mpsc;

/// Longer than any advert: 255 IPv6 addresses, and the longest IPv4 header.
const LONGEST: usize = 4608;
/// The group's, by RFC 1112 section 6.4.
const GROUP_V4_MAC: Mac = [0x01, 0, 0x5e, 0, 0, 18];
/// In the IPv4 header.
const PROTOCOL_AT: u32 = 9;
/// Internetwork control, as every routing protocol sends (RFC 791); keepalived has it for IPv6 too.
const PRECEDENCE: u8 = 0xc0;

pub struct Wire {
    /// Where adverts leave, and where they are heard: the same, but with a virtual MAC address.
    pub interface: u32,
    pub carrier: u32,
    pub source: IpAddr,
    hears: Vec<(Ear, Socket)>,
    sends: Sends,
}

/// By which link an advert came. A link with the virtual MAC address that is up takes what others send from the same address away
/// from the one below, and hears everything else as that one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ear {
    Own,
    Virtual,
}

enum Sends {
    Socket(Socket),
    /// From a link that does not have the source address: past the kernel's choice of one.
    Frames {
        socket: OwnedFd,
        mac: Mac,
        source: Ipv6Addr,
    },
}

/// An advert as it came.
#[derive(Debug)]
pub struct Arrived {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub payload: Vec<u8>,
}

impl Wire {
    /// `outlet` is another than `link` when it is a router's own with the virtual MAC; it does not have the source address
    /// then, and may be down.
    ///
    /// # Errors
    /// The system's: no privilege, no such address.
    pub fn open(link: &Link, outlet: &Link, source: IpAddr, vrid: u8) -> io::Result<Self> {
        let mut hears = vec![(Ear::Own, hearing(link, source.is_ipv6(), vrid)?)];
        if outlet.index != link.index {
            // Without an IPv4 address it drops what is routed elsewhere, whatever its filters say: the packet is taken before.
            let virtual_ear = if source.is_ipv4() {
                raw::packet_group_socket(outlet.index, GROUP_V4_MAC, &only(vrid, false))?
            } else {
                hearing(outlet, true, vrid)?
            };
            hears.push((Ear::Virtual, virtual_ear));
        }
        let sends = match (source, outlet.mac) {
            (IpAddr::V6(source), Some(mac)) if outlet.index != link.index => {
                Sends::Frames { socket: raw::packet_socket()?, mac, source }
            }
            _ => Sends::Socket(sending(outlet, source)?),
        };
        Ok(Self { interface: outlet.index, carrier: link.index, source, hears, sends })
    }

    /// # Errors
    /// The system's: the link is down, no route.
    pub fn send(&self, payload: &[u8], destination: IpAddr) -> io::Result<()> {
        match (&self.sends, destination) {
            (Sends::Frames { socket, mac, source }, IpAddr::V6(destination)) => {
                let (source, next, hop_limit) = (*source, PROTOCOL, TTL);
                let header = Header { source, destination, next, hop_limit, class: PRECEDENCE };
                raw::send_frame(socket, self.interface, &multicast_frame(*mac, header, payload))
            }
            (Sends::Frames { .. }, IpAddr::V4(_)) => Err(io::ErrorKind::InvalidInput.into()),
            (Sends::Socket(socket), _) => {
                socket.send_to(payload, &self.socket_address(destination)).map(drop)
            }
        }
    }

    fn socket_address(&self, address: IpAddr) -> SockAddr {
        socket_address(address, self.interface)
    }

    pub fn ears(&self) -> impl Iterator<Item = Ear> {
        self.hears.iter().map(|(ear, _)| *ear)
    }

    /// Hands over packets as they come, marked with the router's `id`. When the loop is behind, further ones wait in the socket.
    pub async fn receive(&self, id: u64, path: usize, ear: Ear, tell: &mpsc::Sender<Event>) {
        let Some((_, socket)) = self.hears.iter().find(|(e, _)| *e == ear) else { return };
        let Ok(copy) = socket.try_clone() else { return };
        let Ok(socket) = raw::watch(OwnedFd::from(copy)) else { return };
        let mut buffer = [0; LONGEST];
        loop {
            let Ok(mut ready) = socket.readable().await else { return };
            // An error: the link went down. It comes back, or the router is at fault by then.
            let read = ready.try_io(|fd| match self.source {
                IpAddr::V4(_) => receive_v4(fd, &mut buffer),
                IpAddr::V6(_) => receive_v6(fd, &mut buffer),
            });
            if let Ok(Ok(Some(arrived))) = read
                && tell.send(Event::Packet { id, path, ear, arrived }).await.is_err()
            {
                return;
            }
        }
    }
}

fn protocol() -> Option<Protocol> {
    Some(Protocol::from(i32::from(PROTOCOL)))
}

fn socket_address(address: IpAddr, interface: u32) -> SockAddr {
    match address {
        IpAddr::V4(_) => SockAddr::from(SocketAddr::from((address, 0))),
        IpAddr::V6(six) => {
            let is_scoped = six.is_multicast() || super::link::is_unicast_link_local(six);
            SockAddr::from(SocketAddrV6::new(six, 0, 0, if is_scoped { interface } else { 0 }))
        }
    }
}

fn hearing(link: &Link, six: bool, vrid: u8) -> io::Result<Socket> {
    filtered(link, six, &only(vrid, six))
}

/// What arrives at a link for VRRP, to it and to the group, through a filter.
pub fn filtered(link: &Link, six: bool, filter: &[SockFilter]) -> io::Result<Socket> {
    let socket = Socket::new(if six { Domain::IPV6 } else { Domain::IPV4 }, Type::RAW, protocol())?;
    socket.attach_filter(filter)?;
    socket.bind_device(Some(link.name.as_bytes()))?;
    if six {
        raw::tell_arrival_v6(&socket)?;
        socket.join_multicast_v6(&GROUP_V6, link.index)?;
    } else {
        socket.join_multicast_v4_n(&GROUP_V4, &InterfaceIndexOrAddress::Index(link.index))?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn sending(link: &Link, source: IpAddr) -> io::Result<Socket> {
    let six = source.is_ipv6();
    let socket = Socket::new(if six { Domain::IPV6 } else { Domain::IPV4 }, Type::RAW, protocol())?;
    // It hears what is sent to its address as well: nobody reads that there.
    socket.attach_filter(&[take(0)])?;
    socket.bind_device(Some(link.name.as_bytes()))?;
    socket.bind(&socket_address(source, link.index))?;
    if six {
        socket.set_multicast_if_v6(link.index)?;
        socket.set_multicast_hops_v6(u32::from(TTL))?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_unicast_hops_v6(u32::from(TTL))?;
        raw::set_traffic_class_v6(&socket, PRECEDENCE)?;
    } else {
        socket.set_multicast_ttl_v4(u32::from(TTL))?;
        socket.set_multicast_loop_v4(false)?;
        socket.set_ttl_v4(u32::from(TTL))?;
        socket.set_tos_v4(u32::from(PRECEDENCE))?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// One instruction; a comparison that fails jumps over `or_skip` others.
pub const fn op(code: u32, or_skip: u8, value: u32) -> SockFilter {
    SockFilter::new(code as u16, 0, or_skip, value)
}

/// Takes so many bytes of the packet.
pub const fn take(bytes: u32) -> SockFilter {
    op(BPF_RET | BPF_K, 0, bytes)
}

/// Adverts of one router. Others, and what is too short to have a vrid, do not wake the process. The filter sees the IPv4
/// header, but not that of IPv6.
fn only(vrid: u8, six: bool) -> Vec<SockFilter> {
    let mut program = if six {
        vec![op(BPF_LD | BPF_B | BPF_ABS, 0, 1)]
    } else {
        vec![
            op(BPF_LD | BPF_B | BPF_ABS, 0, PROTOCOL_AT),
            op(BPF_JMP | BPF_JEQ | BPF_K, 4, u32::from(PROTOCOL)),
            op(BPF_LDX | BPF_B | BPF_MSH, 0, 0),
            op(BPF_LD | BPF_B | BPF_IND, 0, 1),
        ]
    };
    program.extend([op(BPF_JMP | BPF_JEQ | BPF_K, 1, u32::from(vrid)), take(u32::MAX), take(0)]);
    program
}

fn receive_v4(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Option<Arrived>> {
    let length = rustix::io::read(socket, &mut *buffer)?;
    let packet = Packet::parse(buffer.get(..length).unwrap_or_default());
    Ok(packet.filter(|p| p.protocol == PROTOCOL).map(|p| Arrived {
        source: p.source.into(),
        destination: p.destination.into(),
        ttl: p.ttl,
        payload: p.payload.to_vec(),
    }))
}

fn receive_v6(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Option<Arrived>> {
    let Some(arrived) = raw::receive_v6(socket, buffer)? else { return Ok(None) };
    Ok(Some(Arrived {
        source: arrived.source.into(),
        destination: arrived.destination.into(),
        ttl: arrived.hop_limit,
        payload: buffer.get(..arrived.length).unwrap_or_default().to_vec(),
    }))
}
