//! Networks, by longest prefix: one hash table per prefix length in use, longest first.

use super::places::{Places, forget, note};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

#[derive(Debug, Default)]
pub(crate) struct AddressList {
    v4: Vec<(u8, HashMap<u32, Places>)>,
    v6: Vec<(u8, HashMap<u128, Places>)>,
    /// IPv4 with a mask that is no prefix (`10.0.0.1/255.0.0.255`).
    odd: Vec<(u32, u32, u32)>,
}

/// One pattern: a network, or an IPv4 address under any mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    V4 { addr: u32, mask: u32 },
    V6 { addr: u128, bits: u8 },
}

impl Net {
    pub fn parse(text: &str, no_dns: bool) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a valid IPv4 or IPv6 address");
        let (host, mask) = text.split_once('/').map_or((text, None), |(h, m)| (h, Some(m)));
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Some(addr) = short_v4(host).filter(|_| !host.contains(':')) {
            let mask = mask.map_or(Some(u32::MAX), v4_mask).ok_or_else(wrong)?;
            return Ok(Self::v4(addr, mask));
        }
        if let Ok(addr) = host.parse::<Ipv6Addr>() {
            let bits =
                mask.map_or(Some(128), |m| m.parse::<u8>().ok().filter(|b| *b <= 128)).ok_or_else(wrong)?;
            return Ok(Self::v6(addr, bits));
        }
        if no_dns
            || host.is_empty()
            || host.bytes().any(|b| !(b.is_ascii_alphanumeric() || b"-._".contains(&b)))
        {
            return Err(wrong());
        }
        // A host name: the address it has now, as HAProxy does at start.
        let found: Vec<IpAddr> = (host, 0).to_socket_addrs().map_err(|_| wrong())?.map(|a| a.ip()).collect();
        match found.iter().find(|a| a.is_ipv4()).or(found.first()) {
            Some(IpAddr::V4(a)) => {
                let mask = mask.map_or(Some(u32::MAX), v4_mask).ok_or_else(wrong)?;
                Ok(Self::v4(*a, mask))
            }
            Some(IpAddr::V6(a)) => Ok(Self::v6(*a, 128)),
            None => Err(wrong()),
        }
    }

    fn v4(addr: Ipv4Addr, mask: u32) -> Self {
        Self::V4 { addr: u32::from(addr) & mask, mask }
    }

    fn v6(addr: Ipv6Addr, bits: u8) -> Self {
        Self::V6 { addr: u128::from(addr) & v6_mask(bits), bits }
    }
}

/// A mask that is a prefix has a length.
fn prefix_len(mask: u32) -> Option<u8> {
    (mask.leading_ones() + mask.trailing_zeros() >= 32).then(|| mask.leading_ones() as u8)
}

impl AddressList {
    /// `index` is greater than that of every entry already there.
    pub fn add(&mut self, net: Net, index: u32) {
        match net {
            Net::V4 { addr, mask } => match prefix_len(mask) {
                Some(bits) => insert(&mut self.v4, bits, addr, index),
                None => self.odd.push((addr, mask, index)),
            },
            Net::V6 { addr, bits } => insert(&mut self.v6, bits, addr, index),
        }
    }

    pub fn remove(&mut self, net: Net, index: u32) {
        match net {
            Net::V4 { addr, mask } => match prefix_len(mask) {
                Some(bits) => remove(&mut self.v4, bits, &addr, index),
                None => self.odd.retain(|(_, _, i)| *i != index),
            },
            Net::V6 { addr, bits } => remove(&mut self.v6, bits, &addr, index),
        }
    }

    /// Removes entry `index` wherever it stands.
    pub fn remove_anywhere(&mut self, index: u32) {
        for (_, table) in &mut self.v4 {
            table.retain(|_, places| !(places.all().contains(&index) && places.remove(index)));
        }
        for (_, table) in &mut self.v6 {
            table.retain(|_, places| !(places.all().contains(&index) && places.remove(index)));
        }
    }

    /// IPv4 samples also match IPv6 patterns as `::ffff:a.b.c.d`; IPv6 samples that carry an IPv4 address (mapped or
    /// 6to4) match IPv4 patterns.
    pub fn find(&self, addr: IpAddr) -> Option<u32> {
        match addr {
            IpAddr::V4(a) => self.find_v4(a).or_else(|| self.find_v6(a.to_ipv6_mapped())),
            IpAddr::V6(a) => self.find_v6(a).or_else(|| self.find_v4(carried_v4(a)?)),
        }
    }

    fn find_v4(&self, addr: Ipv4Addr) -> Option<u32> {
        let addr = u32::from(addr);
        let by_prefix = self
            .v4
            .iter()
            .find_map(|(bits, table)| table.get(&(addr & prefix_mask(*bits))).map(Places::first));
        by_prefix.or_else(|| self.odd.iter().find(|(net, mask, _)| addr & mask == *net).map(|o| o.2))
    }

    fn find_v6(&self, addr: Ipv6Addr) -> Option<u32> {
        let addr = u128::from(addr);
        self.v6.iter().find_map(|(bits, table)| table.get(&(addr & v6_mask(*bits))).map(Places::first))
    }
}

fn insert<K: std::hash::Hash + Eq>(tables: &mut Vec<(u8, HashMap<K, Places>)>, bits: u8, key: K, index: u32) {
    let at = match tables.binary_search_by(|(b, _)| bits.cmp(b)) {
        Ok(at) => at,
        Err(at) => {
            tables.insert(at, (bits, HashMap::new()));
            at
        }
    };
    if let Some((_, table)) = tables.get_mut(at) {
        note(table, key, index);
    }
}

fn remove<K: std::hash::Hash + Eq>(
    tables: &mut Vec<(u8, HashMap<K, Places>)>,
    bits: u8,
    key: &K,
    index: u32,
) {
    let Ok(at) = tables.binary_search_by(|(b, _)| bits.cmp(b)) else { return };
    if let Some((_, table)) = tables.get_mut(at) {
        forget(table, key, index);
        if table.is_empty() {
            tables.remove(at);
        }
    }
}

fn prefix_mask(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0)
}

fn v6_mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0)
}

fn v4_mask(text: &str) -> Option<u32> {
    if text.contains('.') {
        return text.parse::<Ipv4Addr>().ok().map(u32::from);
    }
    text.parse::<u8>().ok().filter(|b| *b <= 32).map(prefix_mask)
}

/// `10`, `10.1` and `10.1.2` stand for networks' first addresses when a mask follows.
fn short_v4(text: &str) -> Option<Ipv4Addr> {
    if let Ok(addr) = text.parse() {
        return Some(addr);
    }
    let parts: Option<Vec<u8>> = text.split('.').map(|p| p.parse().ok()).collect();
    let parts = parts.filter(|p| p.len() < 4)?;
    let at = |i: usize| parts.get(i).copied().unwrap_or(0);
    Some(Ipv4Addr::new(at(0), at(1), at(2), at(3)))
}

/// The IPv4 address inside an IPv4-mapped (`::ffff:`), IPv4-compatible or 6to4 (`2002:`) address.
fn carried_v4(addr: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(v4) = addr.to_ipv4_mapped() {
        return Some(v4);
    }
    let s = addr.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0x2002, high, low, ..] => Some(v4(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], addr: &str, expected: Option<u32>) {
        let mut list = AddressList::default();
        for (i, p) in patterns.iter().enumerate() {
            list.add(Net::parse(p, true).unwrap(), i as u32);
        }
        assert_eq!(list.find(addr.parse().unwrap()), expected, "{patterns:?} {addr}");
        for (i, p) in patterns.iter().enumerate() {
            list.remove(Net::parse(p, true).unwrap(), i as u32);
        }
        assert_eq!(list.find(addr.parse().unwrap()), None, "{patterns:?} {addr} removed");
    }

    #[test]
    fn longest_prefix_wins() {
        check(&["10.0.0.0/8", "10.1.0.0/16"], "10.1.2.3", Some(1));
        check(&["10.0.0.0/8", "10.1.0.0/16"], "10.2.2.3", Some(0));
        check(&["10.0.0.0/8"], "11.0.0.1", None);
        check(&["0.0.0.0/0"], "1.2.3.4", Some(0));
        check(&["192.168.1.1"], "192.168.1.1", Some(0));
        check(&["10.0.0.0/255.0.0.0"], "10.9.9.9", Some(0));
        check(&["2001:db8::/32"], "2001:db8:1::1", Some(0));
        check(&["::1"], "::1", Some(0));
        check(&["127.0.0.0/8"], "::ffff:127.0.0.1", Some(0));
        check(&["::ffff:127.0.0.1"], "127.0.0.1", Some(0));
        check(&["127.0.0.1/8"], "127.4.4.4", Some(0));
    }

    #[test]
    fn refuses_what_is_no_address() {
        let wrong = Net::parse("1.2.3.4/35", true).unwrap_err();
        assert_eq!(wrong, "'1.2.3.4/35' is not a valid IPv4 or IPv6 address");
        assert!(Net::parse("1.2.3.4:5", true).is_err());
    }
}
