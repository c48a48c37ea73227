//! What holds for every scheduler, over generated services and loads.

use super::counting::{self, Draws};
use super::locality::{Lblc, Lblcr};
use super::{Member, Scheduler, Ties, hashed, maglev, turns};
use std::net::IpAddr;
use std::time::Duration;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u32) -> u32 {
        u32::try_from(self.next() % u64::from(n)).unwrap()
    }

    fn member(&mut self) -> Member {
        let weight = [0, 1, 2, 7, 100, 65_535][self.below(6) as usize];
        let scale = [1, 4, 1000, u32::MAX][self.below(4) as usize];
        Member {
            active: self.below(scale),
            inactive: self.below(scale),
            overloaded: self.below(6) == 0,
            admission: if self.below(4) == 0 { self.below(65_536) } else { super::ADMIT_ALL },
            ..Member::new(weight)
        }
    }
}

/// What a flow would mean for the server's load, as the scheduler reckons it: (numerator, denominator).
fn cost(scheduler: Scheduler, m: &Member) -> (u128, u128) {
    let all = u128::from(m.active) * 256 + u128::from(m.inactive);
    match scheduler {
        Scheduler::Lc => (all, 1),
        Scheduler::Wlc => (all, u128::from(m.weight)),
        _ => (u128::from(m.active) + 1, u128::from(m.weight)),
    }
}

#[test]
fn the_chosen_server_is_available_and_none_is_better() {
    let mut random = Random(0x5eed_0001);
    for round in 0..20_000_u64 {
        let members: Vec<Member> = (0..random.below(8)).map(|_| random.member()).collect();
        let draws: Draws = (random.next() as u32, random.next() as u32);
        let ties = if random.below(2) == 0 { Ties::ByOrder } else { Ties::ByWeight };
        let available: Vec<usize> = (0..members.len()).filter(|i| members[*i].is_available()).collect();
        let admitted: Vec<usize> = available.iter().copied().filter(|i| members[*i].admits(round)).collect();
        for scheduler in Scheduler::ALL.into_iter().filter(|s| s.counts_connections()) {
            if matches!(scheduler, Scheduler::Lblc | Scheduler::Lblcr) {
                continue;
            }
            let picked = counting::pick(scheduler, &members, ties, round, draws);
            let state = format!("{scheduler:?} {ties:?} flow {round} {members:?}");
            let Some(i) = picked else {
                let full = |i: &usize| members[*i].active > members[*i].weight;
                assert!(
                    available.is_empty() || scheduler == Scheduler::Ovf && available.iter().all(full),
                    "{state}"
                );
                continue;
            };
            assert!(available.contains(&i), "{state}");
            if !matches!(scheduler, Scheduler::Lc | Scheduler::Wlc | Scheduler::Sed) {
                continue;
            }
            let field = if admitted.is_empty() { &available } else { &admitted };
            assert!(field.contains(&i), "{state}");
            let (n, d) = cost(scheduler, &members[i]);
            for other in field {
                let (on, od) = cost(scheduler, &members[*other]);
                assert!(n * od <= on * d, "{state}: {other} is better than {i}");
                let tie = n * od == on * d && *other < i;
                assert!(
                    !tie || ties == Ties::ByWeight && members[*other].weight < members[i].weight,
                    "{state}"
                );
            }
        }
    }
}

#[test]
fn locality_keeps_to_available_servers() {
    let mut random = Random(0x5eed_0002);
    let (mut one, mut many) = (Lblc::default(), Lblcr::default());
    let count = 5;
    for round in 0..20_000_u64 {
        let members: Vec<Member> = (0..count).map(|id| Member { id, ..random.member() }).collect();
        let destination = IpAddr::from([10, 0, 0, random.below(20) as u8]);
        let now = Duration::from_secs(round * 600);
        for picked in [
            one.pick(&members, Ties::ByOrder, round, destination, now),
            many.pick(&members, Ties::ByOrder, round, destination, now),
        ] {
            assert_eq!(picked.is_none(), !members.iter().any(Member::is_available), "{members:?}");
            assert!(picked.is_none_or(|i| members[i].is_available()), "{members:?}");
        }
    }
}

#[test]
fn tables_share_by_weight() {
    let mut random = Random(0x5eed_0003);
    for _ in 0..300 {
        let weights: Vec<u32> = (0..=random.below(6)).map(|_| random.below(9)).collect();
        let sum: u32 = weights.iter().sum();
        let divisor = turns::common_divisor(&weights).max(1);
        let round = turns::weighted(&weights, 1 << 20);
        assert_eq!(round.len() as u32, sum / divisor, "{weights:?}");
        for (i, weight) in weights.iter().enumerate() {
            let got = round.iter().filter(|s| **s == i).count() as u32;
            assert_eq!(got, weight / divisor, "{weights:?}");
        }
        let places: Vec<maglev::Place> = weights
            .iter()
            .map(|weight| maglev::Place {
                weight: *weight,
                hashes: (random.next() as u32, random.next() as u32),
            })
            .collect();
        let table = maglev::table(&places, maglev::SLOTS);
        assert_eq!(table.len(), if sum == 0 { 0 } else { maglev::SLOTS }, "{weights:?}");
        for (i, weight) in weights.iter().enumerate().filter(|_| sum > 0) {
            let got = table.iter().filter(|s| **s == Some(i)).count();
            let fair = maglev::SLOTS as f64 * f64::from(*weight) / f64::from(sum);
            assert!((got as f64 - fair).abs() <= f64::from(*weight) + 1.0, "{weights:?}: {i} has {got}");
        }
        let hashed = hashed::source(&weights);
        assert!(hashed.iter().flatten().all(|i| weights[*i] > 0), "{weights:?}");
    }
}

#[test]
fn admission_is_the_share_of_any_run_of_flows() {
    let mut random = Random(0x5eed_0004);
    for _ in 0..300 {
        let admission = random.below(65_537);
        let member = Member { admission, ..Member::new(1) };
        let first = random.next() >> 20;
        let flows = u64::from(random.below(5000));
        let admitted = (first..first + flows).filter(|n| member.admits(*n)).count() as f64;
        let share = flows as f64 * f64::from(admission) / 65_536.0;
        assert!((admitted - share).abs() <= 1.0, "{admission} of {flows} from {first}: {admitted}");
    }
}
