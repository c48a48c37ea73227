//! What the adverts on a wire mean. Pure: packets and time in, sentences out.

use crate::wire::vrrp::{Advert, Auth, OWNER, Refused, STOPS, TTL, Version};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Routers kept in mind: forged adverts must not fill the memory.
const MOST: usize = 1024;

/// As it was on the wire.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
    pub payload: Vec<u8>,
}

/// The routers of one id and family are one virtual router.
type Id = (u8, bool);

struct Sender {
    advert: Advert,
    at: Instant,
    /// Silent, or has said that it stops.
    gone: bool,
    warned: Option<String>,
}

pub struct Observer {
    quiet: bool,
    senders: BTreeMap<(Id, IpAddr), Sender>,
    /// Who was last said to be master.
    masters: BTreeMap<Id, IpAddr>,
    /// Problems said of packets that are no adverts, to say each once.
    refused: BTreeMap<(IpAddr, String), u64>,
}

impl Observer {
    /// `quiet`: only changes and warnings.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, senders: BTreeMap::new(), masters: BTreeMap::new(), refused: BTreeMap::new() }
    }

    pub fn packet(&mut self, packet: &Packet, now: Instant) -> Vec<String> {
        let mut out = Vec::new();
        let advert = match Advert::parse(&packet.payload, packet.source, packet.destination) {
            Ok(advert) => advert,
            Err(refused) => {
                self.refuse(packet, reason(refused), &mut out);
                return out;
            }
        };
        if !self.quiet {
            out.push(described(packet, &advert));
        }
        if packet.ttl != TTL && packet.destination.is_multicast() {
            let text = format!("TTL {} instead of {TTL}: it has crossed a router, or is forged", packet.ttl);
            self.refuse(packet, text, &mut out);
            return out;
        }
        self.heed(packet.source, advert, now, &mut out);
        out
    }

    /// Masters that have been silent for too long.
    pub fn silence(&mut self, now: Instant) -> Vec<String> {
        let mut out = Vec::new();
        for ((id, source), sender) in &mut self.senders {
            // Three intervals and the longest skew.
            let limit = sender.advert.interval * 3 + sender.advert.interval.max(Duration::from_secs(1));
            let silent = now.saturating_duration_since(sender.at);
            if !sender.gone && silent > limit {
                sender.gone = true;
                out.push(format!(
                    "WARNING id {}: {source} has been silent for {:.1} s: master down",
                    id.0,
                    silent.as_secs_f64()
                ));
            }
        }
        out
    }

    /// Said at the 1st, 2nd, 4th, 8th... time.
    fn refuse(&mut self, packet: &Packet, why: String, out: &mut Vec<String>) {
        let key = (packet.source, why);
        if self.refused.len() >= MOST && !self.refused.contains_key(&key) {
            return;
        }
        let text = format!("WARNING {} > {}: {}", packet.source, packet.destination, key.1);
        let count = self.refused.entry(key).or_default();
        *count += 1;
        match *count {
            1 => out.push(text),
            n if n.is_power_of_two() => out.push(format!("{text} ({n} times so far)")),
            _ => {}
        }
    }

    fn heed(&mut self, source: IpAddr, advert: Advert, now: Instant, out: &mut Vec<String>) {
        let id = (advert.vrid, source.is_ipv6());
        if advert.priority == STOPS {
            out.push(format!("id {}: {source} stops and hands the addresses over", id.0));
            if let Some(sender) = self.senders.get_mut(&(id, source)) {
                sender.gone = true;
            }
            return;
        }
        let rival = self.rival(id, source);
        self.compare(id, source, &advert, out);
        match (self.masters.get(&id), rival) {
            (Some(master), _) if *master == source => {}
            (_, Some(other)) => {
                let (theirs, ours) =
                    (self.senders.get(&(id, other)).map_or(0, |s| s.advert.priority), advert.priority);
                out.push(format!(
                    "WARNING id {}: two masters: {other} with priority {theirs} and {source} with priority {ours}",
                    id.0
                ));
                self.masters.insert(id, source);
            }
            (before, None) => {
                let before = before.map(|b| format!(" (before: {b})")).unwrap_or_default();
                let owner = if advert.priority == OWNER { ", the owner of the addresses" } else { "" };
                out.push(format!(
                    "id {}: {source} is master with priority {}{owner}{before}, of {}",
                    id.0,
                    advert.priority,
                    listed(&advert)
                ));
                self.masters.insert(id, source);
            }
        }
        if let Some(sender) = self.senders.get(&(id, source)) {
            if !sender.gone && sender.advert.priority != advert.priority {
                let (from, to) = (sender.advert.priority, advert.priority);
                out.push(format!("id {}: {source} has priority {to} now (before: {from})", id.0));
            }
        } else if self.senders.len() >= MOST {
            return;
        }
        let warned = self.senders.remove(&(id, source)).and_then(|s| s.warned);
        self.senders.insert((id, source), Sender { advert, at: now, gone: false, warned });
    }

    /// Another that is master of the same.
    fn rival(&self, id: Id, source: IpAddr) -> Option<IpAddr> {
        let others = self.senders.iter().filter(|((i, s), _)| *i == id && *s != source);
        others.filter(|(_, sender)| !sender.gone).map(|((_, s), _)| *s).next()
    }

    /// Routers that do not listen to each other say so by what they send.
    fn compare(&mut self, id: Id, source: IpAddr, advert: &Advert, out: &mut Vec<String>) {
        let others = self.senders.iter().filter(|((i, s), _)| *i == id && *s != source);
        let mut differs = others.filter_map(|((_, other), sender)| {
            difference(advert, &sender.advert).map(|what| format!("{source} and {other} {what}"))
        });
        let found = differs.next_back();
        let known = self.senders.get_mut(&(id, source));
        if found.is_some() && known.as_ref().is_none_or(|sender| sender.warned != found) {
            out.extend(found.as_ref().map(|text| format!("WARNING id {}: {text}", id.0)));
        }
        if let Some(sender) = known {
            sender.warned = found;
        }
    }
}

fn reason(refused: Refused) -> String {
    match refused {
        Refused::Length => "its length does not fit its count of addresses".to_owned(),
        Refused::Version(number) => format!("version {number} of the protocol"),
        Refused::Type(number) => format!("type {number} instead of an advert's 1"),
        Refused::Checksum => "wrong checksum".to_owned(),
        Refused::Vrid => "id 0, which is nobody's".to_owned(),
        Refused::NoAddress => "an advert without an address".to_owned(),
        Refused::Interval => "an interval of 0".to_owned(),
    }
}

/// Why they do not listen to each other.
fn difference(one: &Advert, other: &Advert) -> Option<String> {
    if one.version != other.version {
        return Some(format!("speak versions {} and {}", number(one.version), number(other.version)));
    }
    if one.auth != other.auth {
        return Some(match (one.auth, other.auth) {
            (Auth::Pass(_), Auth::Pass(_)) => "have different passwords".to_owned(),
            (a, b) => format!("differ in authentication: {} and {}", authentication(a), authentication(b)),
        });
    }
    if one.version == Version::V2 && one.interval != other.interval {
        let (a, b) = (one.interval.as_secs_f64(), other.interval.as_secs_f64());
        return Some(format!("send every {a} s and every {b} s"));
    }
    let same = one.addresses.len() == other.addresses.len()
        && one.addresses.iter().all(|address| other.addresses.contains(address));
    if !same {
        return Some(format!(
            "have different addresses ({} and {}): is the id used twice?",
            listed(one),
            listed(other)
        ));
    }
    None
}

fn described(packet: &Packet, advert: &Advert) -> String {
    let priority = match advert.priority {
        STOPS => "priority 0 (stops)".to_owned(),
        OWNER => "priority 255 (owner)".to_owned(),
        n => format!("priority {n}"),
    };
    format!(
        "{} > {}  id {}, version {}, {priority}, every {} s, {}, addresses {}",
        packet.source,
        packet.destination,
        advert.vrid,
        number(advert.version),
        advert.interval.as_secs_f64(),
        authentication(advert.auth),
        listed(advert)
    )
}

fn number(version: Version) -> u8 {
    match version {
        Version::V2 => 2,
        Version::V3 => 3,
    }
}

fn authentication(auth: Auth) -> String {
    match auth {
        Auth::None => "no password".to_owned(),
        // Whoever can see this can see it on the wire; it need not stand in terminals all the same.
        Auth::Pass(_) => "password".to_owned(),
        Auth::Other(kind) => format!("authentication of type {kind}"),
    }
}

fn listed(advert: &Advert) -> String {
    advert.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::vrrp::GROUP_V4;
    use std::net::Ipv4Addr;

    /// What is said of adverts that come one after the other, each `wait` milliseconds after the one before.
    struct Bench {
        observer: Observer,
        now: Instant,
    }

    fn advert(priority: u8) -> Advert {
        Advert {
            version: Version::V2,
            vrid: 51,
            priority,
            interval: Duration::from_secs(1),
            addresses: vec![Ipv4Addr::new(10, 0, 0, 100).into()],
            auth: Auth::pass("1111"),
        }
    }

    impl Bench {
        fn new() -> Self {
            Self { observer: Observer::new(true), now: Instant::now() }
        }

        fn hear(&mut self, host: u8, advert: &Advert) -> String {
            self.hear_raw(host, 255, advert, |_| {})
        }

        fn hear_raw(&mut self, host: u8, ttl: u8, advert: &Advert, edit: fn(&mut Vec<u8>)) -> String {
            let (source, destination) = (IpAddr::from([10, 0, 0, host]), IpAddr::from(GROUP_V4));
            let mut payload = advert.write(source, destination);
            edit(&mut payload);
            self.now += Duration::from_millis(100);
            let mut lines = self.observer.silence(self.now);
            lines.extend(self.observer.packet(&Packet { source, destination, ttl, payload }, self.now));
            lines.join("\n")
        }
    }

    #[test]
    fn masters_come_and_go() {
        let mut b = Bench::new();
        assert_eq!(b.hear(1, &advert(150)), "id 51: 10.0.0.1 is master with priority 150, of 10.0.0.100");
        assert_eq!(b.hear(1, &advert(150)), "");
        assert_eq!(b.hear(1, &advert(130)), "id 51: 10.0.0.1 has priority 130 now (before: 150)");
        assert_eq!(b.hear(1, &advert(STOPS)), "id 51: 10.0.0.1 stops and hands the addresses over");
        assert_eq!(
            b.hear(2, &advert(100)),
            "id 51: 10.0.0.2 is master with priority 100 (before: 10.0.0.1), of 10.0.0.100"
        );
        b.now += Duration::from_secs(5);
        assert_eq!(
            b.hear(1, &advert(150)),
            "WARNING id 51: 10.0.0.2 has been silent for 5.1 s: master down\n\
             id 51: 10.0.0.1 is master with priority 150 (before: 10.0.0.2), of 10.0.0.100"
        );
        assert_eq!(
            b.hear(2, &advert(100)),
            "WARNING id 51: two masters: 10.0.0.1 with priority 150 and 10.0.0.2 with priority 100"
        );
    }

    #[test]
    fn what_is_wrong() {
        let check = |edit: fn(&mut Advert), expected: &str| {
            let mut b = Bench::new();
            b.hear(1, &advert(150));
            let mut other = advert(150);
            edit(&mut other);
            let said = b.hear(2, &other);
            assert!(said.starts_with(&format!("WARNING id 51: 10.0.0.2 and 10.0.0.1 {expected}")), "{said}");
        };
        check(|a| a.auth = Auth::pass("2222"), "have different passwords");
        check(|a| a.auth = Auth::None, "differ in authentication: no password and password");
        check(|a| a.interval = Duration::from_secs(2), "send every 2 s and every 1 s");
        check(
            |a| a.addresses.push(Ipv4Addr::new(10, 0, 0, 101).into()),
            "have different addresses (10.0.0.100 10.0.0.101 and",
        );
        check(
            |a| {
                a.version = Version::V3;
                a.auth = Auth::None;
            },
            "speak versions 3 and 2",
        );
        let mut b = Bench::new();
        assert_eq!(
            b.hear_raw(1, 255, &advert(150), |p| p[2] = 99),
            "WARNING 10.0.0.1 > 224.0.0.18: wrong checksum"
        );
        assert_eq!(
            b.hear_raw(1, 64, &advert(150), |_| {}),
            "WARNING 10.0.0.1 > 224.0.0.18: TTL 64 instead of 255: it has crossed a router, or is forged"
        );
        b.hear_raw(1, 255, &advert(150), |p| p[2] = 99);
        assert_eq!(b.hear_raw(1, 255, &advert(150), |p| p[2] = 99), "", "said at the 1st, 2nd, 4th time");
    }

    #[test]
    fn every_advert() {
        let mut b = Bench { observer: Observer::new(false), now: Instant::now() };
        let said = b.hear(1, &advert(255));
        assert!(
            said.starts_with(
                "10.0.0.1 > 224.0.0.18  id 51, version 2, priority 255 (owner), every 1 s, password, addresses 10.0.0.100\n"
            ),
            "{said}"
        );
    }
}
