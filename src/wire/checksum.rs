//! The internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.

use std::net::IpAddr;

/// A sum that goes on over several pieces. Pieces but the last must be of even length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::default().and(bytes)
    }

    /// The pseudo-header of RFC 8200 section 8.1, or RFC 793 section 3.1 for IPv4. Mixed families count both addresses.
    #[must_use]
    pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        let sum = Self::default().address(source).address(destination);
        Self(sum.0 + u64::from(protocol) + length as u64)
    }

    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        let words = bytes.chunks(2).map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u64::from(u16::from_be_bytes([pair.first().copied().unwrap_or(0), low]))
        });
        Self(self.0 + words.sum::<u64>())
    }

    fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.and(&v4.octets()),
            IpAddr::V6(v6) => self.and(&v6.octets()),
        }
    }

    /// What goes into the checksum field. Over bytes that hold their checksum: 0 when they are intact.
    #[must_use]
    pub fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // At most 0xffff here.
        !u16::try_from(sum).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums() {
        // RFC 1071 section 3: these words sum to 0xddf2.
        assert_eq!(Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]).finish(), !0xddf2);
        assert_eq!(Sum::of(&[0xff]).finish(), !0xff00);
        let mut message = vec![1, 2, 3, 4, 0, 0];
        let sum = Sum::of(&message).finish();
        message[4..].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(Sum::of(&message).finish(), 0);
    }
}
