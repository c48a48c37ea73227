//! The hash functions of `hash-type`, and the avalanche that may follow them.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Function {
    #[default]
    Sdbm,
    Djb2,
    Wt6,
    Crc32,
    /// The key is a decimal number and is taken as it is.
    None,
}

/// `hash-type`'s last two words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashing {
    pub function: Function,
    pub avalanche: bool,
}

impl Hashing {
    #[must_use]
    pub fn bytes(self, key: &[u8]) -> u32 {
        let hash = match self.function {
            Function::Sdbm => sdbm(key),
            Function::Djb2 => djb2(key),
            Function::Wt6 => wt6(key),
            Function::Crc32 => crc32(key),
            Function::None => decimal(key),
        };
        self.finish(hash)
    }

    /// `balance source`: the words of the address, folded; the function plays no part.
    #[must_use]
    pub fn address(self, address: IpAddr) -> u32 {
        let folded = match address {
            IpAddr::V4(a) => u32::from(a),
            IpAddr::V6(a) => {
                let octets = a.octets();
                octets.chunks_exact(4).fold(0, |h, w| h ^ u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
            }
        };
        self.finish(folded)
    }

    fn finish(self, hash: u32) -> u32 {
        if self.avalanche { avalanche(hash) } else { hash }
    }
}

/// Ozan Yigit's hash of the sdbm library.
fn sdbm(key: &[u8]) -> u32 {
    key.iter().fold(0_u32, |h, c| u32::from(*c).wrapping_add(h << 6).wrapping_add(h << 16).wrapping_sub(h))
}

/// Dan Bernstein's hash with multiplier 33.
fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(5381_u32, |h, c| (h << 5).wrapping_add(h).wrapping_add(u32::from(*c)))
}

/// Two words that rotate each other by amounts taken from themselves.
fn wt6(key: &[u8]) -> u32 {
    let (mut a, mut b) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut turn_a, mut turn_b) = (6_u32, 18_u32);
    for c in key {
        let c = u32::from(*c);
        let mixed = !(a ^ c);
        a = (!b.wrapping_add(c)).rotate_left(turn_a);
        b = mixed.rotate_left(turn_b);
        let turns = ((a >> 16) ^ b) & 0xffff;
        (turn_a, turn_b) = (turns & 31, turns >> 11);
    }
    a ^ b
}

/// The CRC of Ethernet and gzip.
fn crc32(key: &[u8]) -> u32 {
    !key.iter().fold(!0_u32, |crc, c| {
        (0..8).fold(crc ^ u32::from(*c), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// The number at the start of the key, modulo 2^32.
fn decimal(key: &[u8]) -> u32 {
    let (negative, digits) = match key {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, key),
    };
    let n = digits
        .iter()
        .take_while(|c| c.is_ascii_digit())
        .fold(0_u32, |n, c| n.wrapping_mul(10).wrapping_add(u32::from(c - b'0')));
    if negative { n.wrapping_neg() } else { n }
}

/// Spreads a hash over all 32 bits (Bob Jenkins' six-step integer hash, times an odd number with few bits).
#[must_use]
pub fn avalanche(hash: u32) -> u32 {
    let mut a = hash;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(0xc000_0001)
}

/// xxHash, 32 bits, for inputs shorter than 32 bytes (`hash-key addr` of an IPv6 address).
#[must_use]
pub fn xxh32(key: &[u8; 16], seed: u32) -> u32 {
    const P1: u32 = 0x9e37_79b1;
    const P2: u32 = 0x85eb_ca77;
    const P3: u32 = 0xc2b2_ae3d;
    let mut lanes =
        [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
    for (lane, word) in lanes.iter_mut().zip(key.chunks_exact(4)) {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        *lane = lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(13).wrapping_mul(P1);
    }
    let [a, b, c, d] = lanes;
    let mut h = a
        .rotate_left(1)
        .wrapping_add(b.rotate_left(7))
        .wrapping_add(c.rotate_left(12))
        .wrapping_add(d.rotate_left(18))
        .wrapping_add(16);
    h = (h ^ (h >> 15)).wrapping_mul(P2);
    h = (h ^ (h >> 13)).wrapping_mul(P3);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published check values: the CRC of "123456789", djb2 of the empty key, the number itself.
    #[test]
    fn known_values() {
        let check = |function, key: &str, expected: u32| {
            assert_eq!(Hashing { function, avalanche: false }.bytes(key.as_bytes()), expected, "{key}");
        };
        check(Function::Crc32, "123456789", 0xcbf4_3926);
        check(Function::Djb2, "", 5381);
        check(Function::Sdbm, "", 0);
        check(Function::None, "12345", 12345);
        check(Function::None, "-1", u32::MAX);
        check(Function::None, "7x", 7);
    }
}
