//! Gratuitous ARP (RFC 826, RFC 5227 section 3): a broadcast that says where an address is now.

use std::net::Ipv4Addr;

pub type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
const ETHERTYPE: [u8; 2] = [0x08, 0x06];
/// Ethernet, IPv4, six and four bytes, a request: as keepalived announces.
const FIXED: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];

/// The whole frame.
#[must_use]
pub fn announcement(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let ip = address.octets();
    [&BROADCAST[..], &mac, &ETHERTYPE, &FIXED, &mac, &ip, &BROADCAST, &ip].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame() {
        let frame = announcement([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 9));
        assert_eq!(frame.len(), 42);
        assert_eq!(frame[..6], BROADCAST);
        assert_eq!(frame[28..32], [10, 0, 0, 9]);
        assert_eq!(frame[38..], [10, 0, 0, 9]);
    }
}
