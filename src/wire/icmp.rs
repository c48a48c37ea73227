//! ICMP and ICMPv6 echo (RFC 792, RFC 4443): the request's bytes and a checked view of a reply.

use super::checksum::Sum;

/// Echo messages of the two families differ in their type numbers; the rest is alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    const fn request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    const fn reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }
}

const HEADER: usize = 8;

/// An echo request. The checksum is filled in for IPv4; for IPv6 it covers addresses, so the kernel computes it.
#[must_use]
pub fn echo_request(family: Family, ident: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![family.request(), 0, 0, 0];
    out.extend(ident.to_be_bytes());
    out.extend(sequence.to_be_bytes());
    out.extend_from_slice(payload);
    if family == Family::V4 {
        let sum = Sum::of(&out).finish().to_be_bytes();
        out[2..4].copy_from_slice(&sum);
    }
    out
}

/// An echo reply whose bytes have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoReply<'a> {
    pub ident: u16,
    pub sequence: u16,
    pub payload: &'a [u8],
}

impl<'a> EchoReply<'a> {
    /// `None`: another message, or a damaged one. The kernel has verified the checksum.
    #[must_use]
    pub fn parse(family: Family, bytes: &'a [u8]) -> Option<Self> {
        let (header, payload) = bytes.split_at_checked(HEADER)?;
        let [kind, code, _, _, i1, i2, s1, s2] = *header else { return None };
        (kind == family.reply() && code == 0).then_some(Self {
            ident: u16::from_be_bytes([i1, i2]),
            sequence: u16::from_be_bytes([s1, s2]),
            payload,
        })
    }
}

/// What follows the IPv4 header that raw sockets deliver.
#[must_use]
pub fn without_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    (first >> 4 == 4 && length >= 20).then(|| packet.get(length..)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        // As ping(8) sent it: ident 1, sequence 2, "abc" (an odd length).
        assert_eq!(echo_request(Family::V4, 1, 2, b"abc"), [8, 0, 0x33, 0x9a, 0, 1, 0, 2, b'a', b'b', b'c']);
        assert_eq!(echo_request(Family::V6, 1, 2, b"")[..4], [128, 0, 0, 0]);
        // A message with its checksum sums up to zero.
        assert_eq!(Sum::of(&echo_request(Family::V4, 0xffff, 0xfffe, b"weir weir")).finish(), 0);
    }

    #[test]
    fn replies() {
        let check = |family, bytes: &[u8], expected: Option<(u16, u16, &[u8])>| {
            let got = EchoReply::parse(family, bytes).map(|r| (r.ident, r.sequence, r.payload));
            assert_eq!(got, expected, "{bytes:?}");
        };
        check(Family::V4, &[0, 0, 9, 9, 1, 2, 3, 4, 5], Some((0x102, 0x304, &[5])));
        check(Family::V6, &[129, 0, 9, 9, 1, 2, 3, 4], Some((0x102, 0x304, &[])));
        check(Family::V4, &[8, 0, 9, 9, 1, 2, 3, 4], None);
        check(Family::V6, &[0, 0, 9, 9, 1, 2, 3, 4], None);
        check(Family::V4, &[0, 1, 9, 9, 1, 2, 3, 4], None);
        check(Family::V4, &[0, 0, 9, 9, 1, 2, 3], None);
        check(Family::V4, &[], None);
    }

    #[test]
    fn ip_headers() {
        let mut packet = vec![0x46; 24];
        packet.push(7);
        assert_eq!(without_ipv4_header(&packet), Some(&[7][..]));
        assert_eq!(without_ipv4_header(&packet[..23]), None);
        assert_eq!(without_ipv4_header(&[0x44; 30]), None);
        assert_eq!(without_ipv4_header(&[0x65; 60]), None);
        assert_eq!(without_ipv4_header(&[]), None);
    }
}
