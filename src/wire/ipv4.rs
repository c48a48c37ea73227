//! An IPv4 packet, as raw sockets hand it over (RFC 791).

use std::net::Ipv4Addr;

const SHORTEST: usize = 20;

/// What receivers of other protocols want of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub ttl: u8,
    pub protocol: u8,
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// None: it is no whole IPv4 packet.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.first_chunk::<SHORTEST>()?;
        let length = usize::from(header[0] & 0x0f) * 4;
        if header[0] >> 4 != 4 || length < SHORTEST {
            return None;
        }
        // What follows the packet is padding of the frame.
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        Some(Self {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]),
            ttl: header[8],
            protocol: header[9],
            payload: bytes.get(length..total)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet() {
        let mut bytes =
            vec![0x45, 0xc0, 0, 22, 0, 0, 0, 0, 255, 112, 0, 0, 10, 0, 0, 1, 224, 0, 0, 18, 7, 8, 0];
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.ttl, packet.protocol, packet.payload), (255, 112, &[7, 8][..]));
        assert_eq!(packet.source, Ipv4Addr::new(10, 0, 0, 1));
        for at in 0..22 {
            assert_eq!(Packet::parse(&bytes[..at]), None, "cut at {at}");
        }
        bytes[0] = 0x4f;
        assert_eq!(Packet::parse(&bytes), None, "options past the end");
        bytes[0] = 0x44;
        assert_eq!(Packet::parse(&bytes), None);
    }
}
