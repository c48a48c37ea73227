//! The choices of Debian's haproxy, replayed: `tests/data/balance/sequences.txt`, recorded by `record.py` beside it.

use super::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

struct Replay {
    pool: Pool,
    table: Table,
    key: String,
    count: u32,
    held: Vec<usize>,
}

#[test]
fn choices_are_haproxys() {
    let text = include_str!("../../tests/data/balance/sequences.txt");
    let mut cases = 0;
    let mut wrong = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        cases += 1;
        if let Err(why) = check(line) {
            wrong.push(format!("{line}\n    {why}"));
        }
    }
    assert!(cases > 200, "{cases} cases");
    assert!(wrong.is_empty(), "{} of {cases} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// One line: `spec | servers | step result , step result...`
fn check(line: &str) -> Result<(), String> {
    let mut parts = line.split(" | ");
    let (spec, servers, steps) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    let mut replay = Replay::new(spec, servers);
    for step in steps.split(" , ") {
        let words: Vec<&str> = step.split(' ').collect();
        let server = || usize::from(words[1].as_bytes()[0] - b'a');
        let got: String = match words[0] {
            "run" => (0..words[1].parse().unwrap()).map(|_| replay.pick(false)).collect(),
            "open" => (0..words[1].parse().unwrap()).map(|_| replay.pick(true)).collect(),
            "close" => {
                if let Some(at) = replay.held.iter().position(|i| *i == server()) {
                    replay.held.remove(at);
                    replay.release(server());
                }
                String::new()
            }
            "down" => replay.change(server(), |s| s.usable = false),
            "up" => replay.change(server(), |s| s.usable = s.effective > 0),
            _ => {
                let weight: u32 = words[2].parse().unwrap();
                let scale = replay.table.algorithm().scale();
                replay.change(server(), |s| {
                    (s.weight, s.effective, s.usable) = (weight, weight * scale, weight > 0);
                })
            }
        };
        let expected = words.get(if words[0] == "weight" { 3 } else { 2 }).copied().unwrap_or_default();
        if got != expected {
            return Err(format!("{} {}: got {got}", words[0], words[1]));
        }
    }
    Ok(())
}

impl Replay {
    fn new(spec: &str, servers: &str) -> Self {
        let option = |name: &str| spec.split(';').find_map(|o| o.strip_prefix(name)).map(str::trim);
        let hash_type: Vec<&str> = option("hash-type").unwrap_or_default().split(' ').collect();
        let function = match hash_type.get(1).copied() {
            Some("djb2") => Function::Djb2,
            Some("wt6") => Function::Wt6,
            Some("crc32") => Function::Crc32,
            _ => Function::Sdbm,
        };
        let hashing = Hashing { function, avalanche: hash_type.get(2).is_some() };
        let affinity = Affinity::Always;
        let key = option("balance").unwrap().to_owned();
        let algorithm = match (key.as_str(), hash_type[0]) {
            ("roundrobin", _) => Algorithm::RoundRobin,
            ("static-rr", _) => Algorithm::StaticRr,
            ("leastconn", _) => Algorithm::LeastConn,
            ("first", _) => Algorithm::First,
            (_, "map-based") => Algorithm::MapHash { hashing, affinity },
            _ => {
                let factor = option("hash-balance-factor").map_or(0, |f| f.parse().unwrap());
                Algorithm::RingHash { hashing, factor, affinity }
            }
        };
        let candidates = servers
            .split(' ')
            .zip(1..)
            .map(|(word, id)| {
                let backup = word.contains('b');
                let word = word.replace('b', "");
                let (weight, maxconn) = word.split_once('m').unwrap_or((&word, "0"));
                let (weight, maxconn): (u32, u32) = (weight.parse().unwrap(), maxconn.parse().unwrap());
                Candidate {
                    id,
                    weight,
                    effective: weight * algorithm.scale(),
                    backup,
                    usable: weight > 0,
                    maxconn,
                    minconn: maxconn,
                    ramp: 100,
                    ..Candidate::default()
                }
            })
            .collect();
        let pool = Pool::new(candidates, 0, option("allbackups").is_some());
        Self { table: Table::new(algorithm, &pool), pool, key, count: 0, held: Vec::new() }
    }

    fn pick(&mut self, hold: bool) -> char {
        let i = self.count;
        self.count += 1;
        let uri = format!("/k{i}/{}?q={i}", u64::from(i) * 7919);
        let header = format!("k\u{e9}{}", i * 31);
        let word = |m: u32| i.wrapping_mul(m).wrapping_add(7);
        let key = match self.key.as_str() {
            "uri" => Some(Key::Bytes(key::uri(uri.as_bytes(), 0, 0, false, false))),
            "hdr" => Some(Key::Bytes(header.as_bytes())),
            "source" => {
                let word = i.wrapping_mul(2_654_435_761).wrapping_add(0x0102_0304);
                Some(Key::Address(IpAddr::V4(Ipv4Addr::from(word))))
            }
            "source6" => {
                let words = [2_654_435_761, 40503, 1, 2_246_822_519].map(word);
                let all = words.iter().fold(0_u128, |a, w| a << 32 | u128::from(*w));
                Some(Key::Address(IpAddr::V6(Ipv6Addr::from(all))))
            }
            _ => None,
        };
        let Some(server) = self.table.pick(&self.pool, &Request { key, avoid: None, random: 0 }) else {
            return '-';
        };
        self.pool.take(server);
        self.table.moved(&self.pool, server);
        if hold {
            self.held.push(server);
        } else {
            self.release(server);
        }
        char::from(b'a' + u8::try_from(server).unwrap())
    }

    fn release(&mut self, server: usize) {
        self.pool.release(server);
        self.table.moved(&self.pool, server);
    }

    fn change(&mut self, server: usize, change: impl FnOnce(&mut Candidate)) -> String {
        change(&mut self.pool.servers[server]);
        self.pool.recount();
        self.table.changed(&self.pool, server);
        String::new()
    }
}
