//! VRRP advertisements: version 2 (RFC 3768, with the simple password of RFC 2338 that keepalived still speaks) and
//! version 3 (RFC 9568) over IPv4 and IPv6. Pure.
//!
//! Input: the payload of an IP packet of protocol 112 and its addresses. Output: an [`Advert`], or [`Refused`], which says what
//! was wrong with it. Whether an advert that is in order means anything to a router is the router's business.

use super::checksum::Sum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// IP protocol number.
pub const PROTOCOL: u8 = 112;
/// Where adverts go without peers (RFC 9568 sections 5.1.1.2 and 5.1.2.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// TTL and hop limit: any other value has crossed a router.
pub const TTL: u8 = 255;
/// The owner of the addresses.
pub const OWNER: u8 = 255;
/// The master stops.
pub const STOPS: u8 = 0;
/// Version 3 has 12 bits for hundredths of a second.
pub const LONGEST_V3: Duration = Duration::from_millis(40_950);

const TYPE_ADVERT: u8 = 1;
const HEADER: usize = 8;
const PASSWORD: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V2,
    V3,
}

/// Authentication of version 2; version 3 has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    None,
    /// A password in the clear, padded with zeros.
    Pass([u8; PASSWORD]),
    /// IPsec AH (2) and what was never assigned.
    Other(u8),
}

impl Auth {
    /// A password of which, as everywhere, the first eight bytes count.
    #[must_use]
    pub fn pass(text: &str) -> Self {
        let mut padded = [0; PASSWORD];
        for (to, from) in padded.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self::Pass(padded)
    }

    fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Pass(_) => 1,
            Self::Other(number) => number,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    pub version: Version,
    /// 1..=255
    pub vrid: u8,
    pub priority: u8,
    /// Between two adverts: whole seconds in version 2, hundredths in version 3.
    pub interval: Duration,
    pub addresses: Vec<IpAddr>,
    pub auth: Auth,
}

/// Why bytes are no advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Shorter than its header, its count of addresses or its authentication say; or longer.
    Length,
    Version(u8),
    Type(u8),
    Checksum,
    /// Vrid 0 is not assigned.
    Vrid,
    /// An advert without a single address.
    NoAddress,
    /// An interval of 0.
    Interval,
}

impl Advert {
    /// Reads the payload of a packet from `source` to `destination`.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn parse(bytes: &[u8], source: IpAddr, destination: IpAddr) -> Result<Self, Refused> {
        let Some(&[first, vrid, priority, count, fifth, sixth, _, _]) = bytes.first_chunk::<HEADER>() else {
            return Err(Refused::Length);
        };
        let version = match first >> 4 {
            2 if source.is_ipv4() => Version::V2,
            3 => Version::V3,
            other => return Err(Refused::Version(other)),
        };
        if first & 0x0f != TYPE_ADVERT {
            return Err(Refused::Type(first & 0x0f));
        }
        let width = if source.is_ipv4() { 4 } else { 16 };
        let listed = usize::from(count) * width;
        let trailer = if version == Version::V2 { PASSWORD } else { 0 };
        if bytes.len() != HEADER + listed + trailer {
            return Err(Refused::Length);
        }
        // RFC 9568 section 5.2.8 leaves the pseudo-header out for IPv4, RFC 5798 and keepalived do not: either is taken.
        let plain = || Sum::of(bytes).finish() == 0;
        let whole =
            || Sum::pseudo_header(source, destination, PROTOCOL, bytes.len()).and(bytes).finish() == 0;
        let intact = match (version, source) {
            (Version::V2, _) => plain(),
            (Version::V3, IpAddr::V4(_)) => whole() || plain(),
            (Version::V3, IpAddr::V6(_)) => whole(),
        };
        if !intact {
            return Err(Refused::Checksum);
        }
        if vrid == 0 {
            return Err(Refused::Vrid);
        }
        if count == 0 {
            return Err(Refused::NoAddress);
        }
        let (interval, auth) = match version {
            Version::V2 => (Duration::from_secs(u64::from(sixth)), auth(fifth, bytes)),
            Version::V3 => {
                let hundredths = u16::from_be_bytes([fifth & 0x0f, sixth]);
                (Duration::from_millis(u64::from(hundredths) * 10), Auth::None)
            }
        };
        if interval.is_zero() {
            return Err(Refused::Interval);
        }
        let list = bytes.get(HEADER..HEADER + listed).unwrap_or_default();
        Ok(Self { version, vrid, priority, interval, addresses: addresses(list, width), auth })
    }

    /// The payload to send from `source` to `destination`. At most 255 addresses of the family of `source` go in.
    #[must_use]
    pub fn write(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let of_family: Vec<&IpAddr> =
            self.addresses.iter().filter(|a| a.is_ipv4() == source.is_ipv4()).take(255).collect();
        let count = u8::try_from(of_family.len()).unwrap_or(u8::MAX);
        let mut out = Vec::with_capacity(HEADER + of_family.len() * 16 + PASSWORD);
        let (number, fifth, sixth) = match self.version {
            Version::V2 => (2, self.auth.number(), u8::try_from(self.interval.as_secs()).unwrap_or(u8::MAX)),
            Version::V3 => {
                let hundredths = u16::try_from(self.interval.min(LONGEST_V3).as_millis() / 10).unwrap_or(0);
                let [high, low] = hundredths.to_be_bytes();
                (3, high, low)
            }
        };
        out.extend_from_slice(&[
            number << 4 | TYPE_ADVERT,
            self.vrid,
            self.priority,
            count,
            fifth,
            sixth,
            0,
            0,
        ]);
        for address in of_family {
            match address {
                IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
                IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
            }
        }
        let sum = match self.version {
            Version::V2 => {
                out.extend_from_slice(&if let Auth::Pass(password) = self.auth {
                    password
                } else {
                    [0; PASSWORD]
                });
                Sum::of(&out)
            }
            Version::V3 => Sum::pseudo_header(source, destination, PROTOCOL, out.len()).and(&out),
        };
        out[6..8].copy_from_slice(&sum.finish().to_be_bytes());
        out
    }
}

fn auth(number: u8, bytes: &[u8]) -> Auth {
    match (number, bytes.last_chunk::<PASSWORD>()) {
        (0, _) => Auth::None,
        (1, Some(password)) => Auth::Pass(*password),
        (other, _) => Auth::Other(other),
    }
}

fn addresses(list: &[u8], width: usize) -> Vec<IpAddr> {
    list.chunks_exact(width)
        .filter_map(|bytes| match width {
            4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn advert(version: Version, addresses: &[&str], auth: Auth) -> Advert {
        Advert {
            version,
            vrid: 51,
            priority: 150,
            interval: Duration::from_secs(1),
            addresses: addresses.iter().map(|a| ip(a)).collect(),
            auth,
        }
    }

    #[test]
    fn round_trips() {
        let (v4, group4) = (ip("10.0.0.1"), IpAddr::V4(GROUP_V4));
        let (v6, group6) = (ip("fe80::1"), IpAddr::V6(GROUP_V6));
        for (advert, source, group) in [
            (advert(Version::V2, &["10.0.0.9"], Auth::pass("1111")), v4, group4),
            (advert(Version::V2, &["10.0.0.9", "10.0.0.8"], Auth::None), v4, group4),
            (advert(Version::V3, &["10.0.0.9"], Auth::None), v4, group4),
            (advert(Version::V3, &["fe80::9", "2001:db8::9"], Auth::None), v6, group6),
        ] {
            let bytes = advert.write(source, group);
            assert_eq!(Advert::parse(&bytes, source, group), Ok(advert.clone()));
            for at in 0..bytes.len() {
                let mut broken = bytes.clone();
                broken[at] ^= 0x55;
                assert!(Advert::parse(&broken, source, group).is_err(), "byte {at} of {advert:?}");
                assert!(Advert::parse(&bytes[..at], source, group).is_err(), "cut at {at}");
            }
        }
    }

    /// As keepalived 2.2.7 sent it: vrid 51, priority 150, every second, PASS 1111, 10.0.0.1.
    #[test]
    fn version_2_byte_for_byte() {
        let bytes =
            advert(Version::V2, &["10.0.0.1"], Auth::pass("1111")).write(ip("10.0.0.2"), GROUP_V4.into());
        let (head, tail) = bytes.split_at(6);
        assert_eq!(head, [0x21, 51, 150, 1, 1, 1]);
        assert_eq!(tail[2..], [10, 0, 0, 1, b'1', b'1', b'1', b'1', 0, 0, 0, 0]);
    }

    #[test]
    fn refusals() {
        let check = |edit: fn(&mut Vec<u8>), expected: Refused| {
            let (source, group) = (ip("10.0.0.1"), IpAddr::V4(GROUP_V4));
            let mut bytes = advert(Version::V2, &["10.0.0.9"], Auth::None).write(source, group);
            edit(&mut bytes);
            bytes[6..8].fill(0);
            let sum = Sum::of(&bytes).finish();
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(Advert::parse(&bytes, source, group), Err(expected));
        };
        check(|b| b[0] = 0x41, Refused::Version(4));
        check(|b| b[0] = 0x22, Refused::Type(2));
        check(|b| b[1] = 0, Refused::Vrid);
        check(|b| b[3] = 255, Refused::Length);
        check(
            |b| {
                b[3] = 0;
                b.drain(8..12);
            },
            Refused::NoAddress,
        );
        check(|b| b[5] = 0, Refused::Interval);
        let six = Advert::parse(&[0x21; 20], ip("fe80::1"), GROUP_V6.into());
        assert_eq!(six, Err(Refused::Version(2)), "version 2 is IPv4 only");
    }
}
