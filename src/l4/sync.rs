//! What directors tell each other: which flows there are, and where clients stay. Datagrams of up to [`LONGEST`] bytes, numbers in network
//! order, signed with a shared key:
//!
//! ```text
//!   "WL4S"  version 1  kind  count (2)  stamp (8)  records...  HMAC-SHA256 of all before, its first 16 bytes
//! ```
//!
//! Services and servers are named by their addresses: each director has places of its own for them. A sender's stamps only grow, and each
//! counts once (see [`Stamps`]), so that what was captured cannot be sent again. A datagram that is anything else is no datagram.

use super::abi::{Address, FlowKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Fits an Ethernet frame.
pub const LONGEST: usize = 1400;
const MAGIC: [u8; 4] = *b"WL4S";
const VERSION: u8 = 1;
const HEAD: usize = 16;
const TAG: usize = 16;
const FLOW: usize = 80;
const TEMPLATE: usize = 60;

/// Kinds of datagrams.
const ASK: u8 = 0;
const FLOWS: u8 = 1;
const TEMPLATES: u8 = 2;

/// A flow as its director has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldFlow {
    pub key: FlowKey,
    /// `abi::State`
    pub state: u8,
    /// `abi::Mode`
    pub mode: u8,
    /// Counted in a template.
    pub persistent: bool,
    /// Milliseconds since its last packet.
    pub silent: u32,
    /// What its packets' addresses become.
    pub source: Address,
    pub destination: Address,
    /// In network order, as in the maps.
    pub source_port: u16,
    pub destination_port: u16,
}

/// Where a client stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldTemplate {
    /// An address of the service.
    pub service: Address,
    pub service_port: u16,
    pub protocol: u8,
    pub client: Address,
    pub server: Address,
    /// As configured: 0 keeps the client's.
    pub server_port: u16,
    pub silent: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Whoever knows shall tell everything.
    Ask,
    Flows(Vec<ToldFlow>),
    Templates(Vec<ToldTemplate>),
}

/// The stamps heard of one sender: the newest, and which of those just before it. Datagrams may overtake each other on their way, those of
/// different processors even inside a host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    newest: u64,
    /// A bit for each from the newest on back.
    heard: u64,
    /// The same for those that were passed over: they are late, or lost.
    missing: u64,
    /// Some of those are too old now to come.
    lost: bool,
}

impl Stamps {
    /// Whether it is new; it is not from then on. What is older than the 64 newest is not.
    pub fn take(&mut self, stamp: u64) -> bool {
        if let Some(ahead) = stamp.checked_sub(self.newest).filter(|ahead| *ahead > 0) {
            self.pass_over(ahead);
            let shifted = u32::try_from(ahead).ok().and_then(|ahead| self.heard.checked_shl(ahead));
            (self.newest, self.heard) = (stamp, shifted.unwrap_or(0) | 1);
            return true;
        }
        let back = u32::try_from(self.newest - stamp).ok().and_then(|back| 1u64.checked_shl(back));
        let is_new = back.is_some_and(|bit| self.heard & bit == 0);
        self.heard |= back.unwrap_or(0);
        self.missing &= !back.unwrap_or(0);
        is_new
    }

    /// The newest is so far ahead of the one before. Of the first nobody knows what was before it.
    fn pass_over(&mut self, ahead: u64) {
        if self.newest == 0 {
            return;
        }
        match u32::try_from(ahead).ok().filter(|ahead| *ahead < u64::BITS) {
            Some(ahead) => {
                self.lost |= self.missing.leading_zeros() < ahead;
                self.missing = self.missing << ahead | ((1 << ahead) - 2);
            }
            None => (self.missing, self.lost) = (0, true),
        }
    }

    /// Something that was sent was not heard, so far.
    #[must_use]
    pub fn misses(&self) -> bool {
        self.lost || self.missing != 0
    }

    /// It was asked for, in other words.
    pub fn forgive(&mut self) {
        (self.missing, self.lost) = (0, false);
    }
}

/// How many flows fit into one datagram.
pub const FLOWS_MOST: usize = (LONGEST - HEAD - TAG) / FLOW;
pub const TEMPLATES_MOST: usize = (LONGEST - HEAD - TAG) / TEMPLATE;

/// As it is sent. Of more records than fit, the first.
#[must_use]
pub fn encode(told: &Told, stamp: u64, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(LONGEST);
    let (kind, count) = match told {
        Told::Ask => (ASK, 0),
        Told::Flows(flows) => (FLOWS, flows.len().min(FLOWS_MOST)),
        Told::Templates(templates) => (TEMPLATES, templates.len().min(TEMPLATES_MOST)),
    };
    out.extend(MAGIC);
    out.extend([VERSION, kind]);
    out.extend(u16::try_from(count).unwrap_or(0).to_be_bytes());
    out.extend(stamp.to_be_bytes());
    match told {
        Told::Ask => {}
        Told::Flows(flows) => flows.iter().take(count).for_each(|flow| put_flow(&mut out, flow)),
        Told::Templates(all) => all.iter().take(count).for_each(|template| put_template(&mut out, template)),
    }
    let tag = sign(key, &out);
    out.extend(tag);
    out
}

/// What it says, and its stamp; `None`: it is not signed with `key`, or makes no sense.
#[must_use]
pub fn decode(bytes: &[u8], key: &[u8]) -> Option<(Told, u64)> {
    let (signed, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG)?)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(signed);
    mac.verify_truncated_left(tag).ok()?;
    read(signed)
}

/// The part that is signed.
#[must_use]
pub fn read(signed: &[u8]) -> Option<(Told, u64)> {
    let mut reader = Reader(signed);
    if reader.array()? != MAGIC || reader.array()? != [VERSION] {
        return None;
    }
    let [kind] = reader.array()?;
    let count = usize::from(u16::from_be_bytes(reader.array()?));
    let stamp = u64::from_be_bytes(reader.array()?);
    let told = match kind {
        ASK => Told::Ask,
        FLOWS => Told::Flows((0..count).map(|_| flow(&mut reader)).collect::<Option<_>>()?),
        TEMPLATES => Told::Templates((0..count).map(|_| template(&mut reader)).collect::<Option<_>>()?),
        _ => return None,
    };
    reader.0.is_empty().then_some((told, stamp))
}

fn sign(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(bytes);
    mac.finalize().into_bytes().iter().copied().take(TAG).collect()
}

fn put_flow(out: &mut Vec<u8>, flow: &ToldFlow) {
    out.extend([flow.key.protocol, flow.state, flow.mode, u8::from(flow.persistent)]);
    out.extend(flow.silent.to_be_bytes());
    put_end(out, flow.key.source, flow.key.source_port);
    put_end(out, flow.key.destination, flow.key.destination_port);
    put_end(out, flow.source, flow.source_port);
    put_end(out, flow.destination, flow.destination_port);
}

fn put_template(out: &mut Vec<u8>, template: &ToldTemplate) {
    out.extend([template.protocol, 0, 0, 0]);
    out.extend(template.silent.to_be_bytes());
    put_end(out, template.service, template.service_port);
    out.extend(template.client.0);
    put_end(out, template.server, template.server_port);
}

/// The port is in network order already.
fn put_end(out: &mut Vec<u8>, address: Address, port: u16) {
    out.extend(address.0);
    out.extend(port.to_ne_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn end(&mut self) -> Option<(Address, u16)> {
        Some((Address(self.array()?), u16::from_ne_bytes(self.array()?)))
    }
}

fn flow(reader: &mut Reader) -> Option<ToldFlow> {
    let [protocol, state, mode, persistent] = reader.array()?;
    let silent = u32::from_be_bytes(reader.array()?);
    let ends = [reader.end()?, reader.end()?, reader.end()?, reader.end()?];
    let [(client, client_port), (service, service_port), (source, source_port), (server, server_port)] = ends;
    let key = FlowKey {
        source: client,
        destination: service,
        source_port: client_port,
        destination_port: service_port,
        protocol,
        pad: [0; 3],
    };
    Some(ToldFlow {
        key,
        state,
        mode,
        persistent: persistent != 0,
        silent,
        source,
        destination: server,
        source_port,
        destination_port: server_port,
    })
}

fn template(reader: &mut Reader) -> Option<ToldTemplate> {
    let [protocol, ..] = reader.array::<4>()?;
    let silent = u32::from_be_bytes(reader.array()?);
    let (service, service_port) = reader.end()?;
    let client = Address(reader.array()?);
    let (server, server_port) = reader.end()?;
    Some(ToldTemplate { service, service_port, protocol, client, server, server_port, silent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn told_flow(n: u8) -> ToldFlow {
        let client = SocketAddr::from(([192, 0, 2, n], 40_000));
        ToldFlow {
            key: FlowKey::new(client, "198.51.100.1:80".parse().unwrap(), 6),
            state: 1,
            mode: 4,
            persistent: n.is_multiple_of(2),
            silent: 12_345,
            source: Address([n; 16]),
            destination: Address([9; 16]),
            source_port: 1024,
            destination_port: 8080,
        }
    }

    fn told_template(n: u8) -> ToldTemplate {
        ToldTemplate {
            service: Address([1; 16]),
            service_port: 80,
            protocol: 17,
            client: Address([n; 16]),
            server: Address([3; 16]),
            server_port: 0,
            silent: 7,
        }
    }

    #[test]
    fn says_what_was_said() {
        let flows = Told::Flows((0..FLOWS_MOST as u8).map(told_flow).collect());
        let templates = Told::Templates((0..TEMPLATES_MOST as u8).map(told_template).collect());
        for told in [Told::Ask, Told::Flows(Vec::new()), flows, templates] {
            let bytes = encode(&told, 77, b"key");
            assert!(bytes.len() <= LONGEST);
            assert_eq!(decode(&bytes, b"key"), Some((told, 77)));
        }
    }

    #[test]
    fn hears_nobody_else() {
        let bytes = encode(&Told::Flows(vec![told_flow(1)]), 5, b"key");
        assert_eq!(decode(&bytes, b"another"), None);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(decode(&other, b"key"), None, "{at}");
            assert_eq!(decode(&bytes[..at], b"key"), None, "{at}");
        }
    }

    #[test]
    fn each_stamp_counts_once() {
        let check = |stamps: &[u64], expected: &[bool]| {
            let mut heard = Stamps::default();
            let got: Vec<bool> = stamps.iter().map(|stamp| heard.take(*stamp)).collect();
            assert_eq!(got, expected, "{stamps:?}");
        };
        check(&[70, 71, 73, 72, 72, 71, 74], &[true, true, true, true, false, false, true]);
        // So far back, and no further.
        check(&[100, 37, 36, 37], &[true, true, false, false]);
        check(&[100, 164, 101, 100], &[true, true, true, false]);
        // Another process at the same address, and what the one before still had under way.
        check(&[5, 1 << 50, 6, u64::MAX, 1 << 50, u64::MAX], &[true, true, false, true, false, false]);
        check(&[0, 1, 0], &[true, true, false]);
    }

    #[test]
    fn gaps_are_noticed_until_they_are_filled() {
        let check = |stamps: &[u64], expected: &[bool]| {
            let mut heard = Stamps::default();
            let misses = |stamp: &u64| {
                heard.take(*stamp);
                heard.misses()
            };
            assert_eq!(stamps.iter().map(misses).collect::<Vec<_>>(), expected, "{stamps:?}");
        };
        check(&[70, 71, 73, 72, 74], &[false, false, true, false, false]);
        // The one before the first, and one that comes twice.
        check(&[70, 69, 69, 72, 72, 71, 71], &[false, false, false, true, true, false, false]);
        check(&[70, 75, 73, 74, 71, 72], &[false, true, true, true, true, false]);
        // As far as bits go, and beyond: what falls out is lost.
        check(&[100, 102, 164, 101], &[false, true, true, true]);
        check(&[100, 163, 164, 165], &[false, true, true, true]);
        check(&[5, 1 << 50, (1 << 50) + 1], &[false, true, true]);
        let mut heard = Stamps::default();
        [5, 9, 1 << 50].iter().for_each(|stamp| assert!(heard.take(*stamp)));
        heard.forgive();
        assert!(!heard.misses() && heard.take((1 << 50) + 1) && !heard.misses());
        assert!(heard.take((1 << 50) + 3) && heard.misses());
    }

    /// Signed nonsense, as from a director of another version.
    #[test]
    fn lengths_must_fit() {
        let good = encode(&Told::Flows(vec![told_flow(1)]), 5, b"key");
        for (at, value) in [(4, 2), (5, 9), (7, 2), (7, 0), (6, 255)] {
            let mut other = good[..good.len() - TAG].to_vec();
            other[at] = value;
            let tag = sign(b"key", &other);
            other.extend(tag);
            assert_eq!(decode(&other, b"key"), None, "{at} {value}");
        }
    }
}
