//! An IPv6 packet without extension headers (RFC 8200), as a whole ethernet frame: for what is sent past the kernel's own
//! choice of the source.

use super::arp::Mac;
use std::net::Ipv6Addr;

const ETHERTYPE: [u8; 2] = [0x86, 0xdd];

/// What the header says beside the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub next: u8,
    pub hop_limit: u8,
    pub class: u8,
}

/// The frame to a multicast group: its ethernet address follows from the group's (RFC 2464 section 7).
#[must_use]
pub fn multicast_frame(mac: Mac, header: Header, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c, d] = header.destination.octets();
    // More does not fit in a frame anyway.
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let version_and_class = (6u32 << 28) | (u32::from(header.class) << 20);
    [
        &[0x33, 0x33, a, b, c, d][..],
        &mac,
        &ETHERTYPE,
        &version_and_class.to_be_bytes(),
        &length.to_be_bytes(),
        &[header.next, header.hop_limit],
        &header.source.octets(),
        &header.destination.octets(),
        payload,
    ]
    .concat()
}

/// Header and payload of a packet that begins with its header. None: it is no whole IPv6 packet.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<(Header, &[u8])> {
    let first = bytes.first_chunk::<40>()?;
    if first[0] >> 4 != 6 {
        return None;
    }
    let address = |at: usize| {
        let octets: [u8; 16] = first.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets))
    };
    let header = Header {
        source: address(8)?,
        destination: address(24)?,
        next: first[6],
        hop_limit: first[7],
        class: first[0] << 4 | first[1] >> 4,
    };
    let length = usize::from(u16::from_be_bytes([first[4], first[5]]));
    Some((header, bytes.get(40..40 + length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame() {
        let header = Header {
            source: Ipv6Addr::LOCALHOST,
            destination: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            next: 112,
            hop_limit: 255,
            class: 0xc0,
        };
        let frame = multicast_frame([2, 0, 0, 0, 0, 1], header, b"abc");
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 0x12]);
        assert_eq!(frame[12..22], [0x86, 0xdd, 0x6c, 0, 0, 0, 0, 3, 112, 255]);
        assert_eq!(frame[54..], *b"abc");
        assert_eq!(parse(&frame[14..]), Some((header, &b"abc"[..])));
        for at in 14..frame.len() {
            assert_eq!(parse(&frame[14..at]), None, "cut at {at}");
        }
    }
}
