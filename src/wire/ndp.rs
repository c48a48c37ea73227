//! Unsolicited neighbour advertisements (RFC 4861 sections 4.4 and 7.2.6, RFC 9568 section 6.4.1): gratuitous ARP of IPv6.

use super::arp::Mac;
use super::checksum::Sum;
use super::ipv6::{Header, multicast_frame};
use std::net::{IpAddr, Ipv6Addr};

const ICMPV6: u8 = 58;
const ADVERTISEMENT: u8 = 136;
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
/// The target's link-layer address, in units of eight bytes.
const OPTION: [u8; 2] = [2, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The whole frame, to all nodes: what they have kept of the address is overridden. `is_router`: the machine forwards.
#[must_use]
pub fn announcement(mac: Mac, address: Ipv6Addr, is_router: bool) -> Vec<u8> {
    let flags = OVERRIDE | if is_router { ROUTER } else { 0 };
    let mut message =
        [&[ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0][..], &address.octets(), &OPTION, &mac].concat();
    let sum = Sum::pseudo_header(IpAddr::V6(address), IpAddr::V6(ALL_NODES), ICMPV6, message.len());
    let sum = sum.and(&message).finish().to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    // Anything below 255 has crossed a router, and is dropped (RFC 4861 section 7.1.2).
    let header = Header { source: address, destination: ALL_NODES, next: ICMPV6, hop_limit: 255, class: 0 };
    multicast_frame(mac, header, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame() {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
        let frame = announcement([2, 0, 0, 0, 0, 1], address, false);
        assert_eq!(frame.len(), 86);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!((frame[20], frame[21], frame[54], frame[58]), (ICMPV6, 255, ADVERTISEMENT, OVERRIDE));
        assert_eq!(frame[62..78], address.octets());
        assert_eq!(frame[78..], [2, 1, 2, 0, 0, 0, 0, 1]);
        let sum = Sum::pseudo_header(address.into(), ALL_NODES.into(), ICMPV6, 32).and(&frame[54..]);
        assert_eq!(sum.finish(), 0);
        assert_eq!(announcement([0; 6], address, true)[58], OVERRIDE | ROUTER);
    }
}
