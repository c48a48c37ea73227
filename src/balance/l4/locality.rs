//! `lblc` and `lblcr`: a destination stays on one server (or on a few) until they are overloaded, then moves to the least
//! loaded. Made for caches, whose clients' packets have many destinations.
//!
//! What is remembered are servers' ids: places in the list change when weights do. Overloaded is a server with more open flows than its weight, while another one has fewer than half of its own.

use super::{Member, Ties, admitted, counting};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// How long a destination is remembered without a flow.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// How long a set of `lblcr` stays as it is before its most loaded server leaves it.
const SETTLED: Duration = Duration::from_secs(24 * 3600);

/// What `lblc` remembers: each destination's server.
#[derive(Debug, Default)]
pub struct Lblc {
    entries: HashMap<IpAddr, (u32, Duration)>,
}

/// What `lblcr` remembers.
#[derive(Debug, Default)]
pub struct Lblcr {
    entries: HashMap<IpAddr, Set>,
}

#[derive(Debug, Default)]
struct Set {
    servers: Vec<u32>,
    used: Duration,
    changed: Duration,
}

impl Lblc {
    /// The server of a flow to `destination` at `now` (since any moment that stays the same).
    pub fn pick(
        &mut self,
        members: &[Member],
        ties: Ties,
        flow: u64,
        destination: IpAddr,
        now: Duration,
    ) -> Option<usize> {
        self.expire(now);
        let known =
            self.entries.get(&destination).and_then(|(id, _)| members.iter().position(|m| m.id == *id));
        let stays = known.filter(|i| may_serve(members, *i) && !is_overloaded(members, *i));
        let server = stays.or_else(|| least_loaded(members, ties, flow))?;
        self.entries.insert(destination, (members.get(server)?.id, now));
        Some(server)
    }

    /// Forgets destinations that had no flow for a day.
    fn expire(&mut self, now: Duration) {
        self.entries.retain(|_, (_, used)| now.saturating_sub(*used) < FORGOTTEN);
    }
}

impl Lblcr {
    /// As [`Lblc::pick`].
    pub fn pick(
        &mut self,
        members: &[Member],
        ties: Ties,
        flow: u64,
        destination: IpAddr,
        now: Duration,
    ) -> Option<usize> {
        self.expire(now);
        let Some(set) = self.entries.get_mut(&destination) else {
            let server = least_loaded(members, ties, flow)?;
            let set = Set { servers: vec![members.get(server)?.id], used: now, changed: now };
            self.entries.insert(destination, set);
            return Some(server);
        };
        set.used = now;
        let in_set =
            |i: usize| members.get(i).is_some_and(|m| set.servers.contains(&m.id) && m.is_available());
        let best = counting::least(members, ties, &in_set, Member::load, |m| u64::from(m.weight));
        if set.servers.len() > 1 && now.saturating_sub(set.changed) >= SETTLED {
            if let Some(most) = most_loaded(members, &set.servers) {
                set.servers.retain(|id| *id != most);
            }
            set.changed = now;
        }
        if let Some(best) = best.filter(|i| !is_overloaded(members, *i)) {
            return Some(best);
        }
        let server = least_loaded(members, ties, flow).or(best)?;
        let id = members.get(server)?.id;
        if !set.servers.contains(&id) {
            set.servers.push(id);
            set.changed = now;
        }
        Some(server)
    }

    /// Forgets destinations that had no flow for a day.
    fn expire(&mut self, now: Duration) {
        self.entries.retain(|_, set| now.saturating_sub(set.used) < FORGOTTEN);
    }
}

fn may_serve(members: &[Member], i: usize) -> bool {
    members.get(i).is_some_and(Member::is_available)
}

/// As `wlc` chooses.
fn least_loaded(members: &[Member], ties: Ties, flow: u64) -> Option<usize> {
    admitted(members, flow, |may| counting::least(members, ties, may, Member::load, |m| u64::from(m.weight)))
}

/// The most loaded of a set for its weight; the first of equals.
fn most_loaded(members: &[Member], set: &[u32]) -> Option<u32> {
    let mut most: Option<&Member> = None;
    for member in members.iter().filter(|m| m.weight > 0 && set.contains(&m.id)) {
        let more =
            most.is_none_or(|m| m.load() * u64::from(member.weight) < member.load() * u64::from(m.weight));
        if more {
            most = Some(member);
        }
    }
    most.map(|m| m.id)
}

/// More open flows than its weight, while another server has fewer than half of its own weight.
#[must_use]
pub fn is_overloaded(members: &[Member], i: usize) -> bool {
    members.get(i).is_some_and(|m| m.active > m.weight)
        && members.iter().any(|m| u64::from(m.active) * 2 < u64::from(m.weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn members(servers: &[(u32, u32)]) -> Vec<Member> {
        let member = |(id, (weight, active)): (u32, &(u32, u32))| Member {
            active: *active,
            id,
            ..Member::new(*weight)
        };
        (0..).zip(servers).map(member).collect()
    }

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn a_destination_stays_until_its_server_is_overloaded() {
        let mut table = Lblc::default();
        let mut pick = |servers: &[(u32, u32)], n: u8| {
            table.pick(&members(servers), Ties::ByOrder, 0, address(n), NOW).unwrap()
        };
        assert_eq!(pick(&[(10, 0), (10, 0)], 1), 0);
        assert_eq!(pick(&[(10, 1), (10, 0)], 2), 1);
        assert_eq!(pick(&[(10, 9), (10, 1)], 1), 0, "stays though another has fewer");
        assert_eq!(pick(&[(10, 11), (10, 5)], 1), 0, "no other is half empty");
        assert_eq!(pick(&[(10, 11), (10, 4)], 1), 1);
        assert_eq!(pick(&[(10, 0), (10, 4)], 1), 1, "and stays there");
        assert_eq!(pick(&[(10, 0), (0, 4)], 1), 0, "unless it is drained");
    }

    #[test]
    fn a_set_grows_under_load() {
        let mut table = Lblcr::default();
        let mut pick = |servers: &[(u32, u32)], now: Duration| {
            table.pick(&members(servers), Ties::ByOrder, 0, address(1), now).unwrap()
        };
        assert_eq!(pick(&[(10, 0), (10, 1), (10, 2)], NOW), 0);
        assert_eq!(pick(&[(10, 11), (10, 4), (10, 9)], NOW), 1, "joins");
        assert_eq!(pick(&[(10, 3), (10, 4), (10, 0)], NOW), 0, "the better of the two, not of all");
        assert_eq!(pick(&[(10, 5), (10, 4), (10, 0)], NOW), 1);
        // After a day without change the most loaded leaves.
        assert_eq!(pick(&[(10, 5), (10, 4), (10, 0)], NOW + SETTLED / 2), 1);
        assert_eq!(pick(&[(10, 5), (10, 4), (10, 0)], NOW + SETTLED), 1);
        assert_eq!(pick(&[(10, 0), (10, 4), (10, 0)], NOW + SETTLED), 1);
    }

    #[test]
    fn forgotten_after_a_day() {
        let mut table = Lblc::default();
        let idle = members(&[(1, 0), (1, 0)]);
        table.pick(&idle, Ties::ByOrder, 0, address(1), NOW);
        table.expire(NOW + FORGOTTEN - Duration::from_secs(1));
        assert_eq!(table.entries.len(), 1);
        table.expire(NOW + FORGOTTEN);
        assert_eq!(table.entries.len(), 0);
    }

    #[test]
    fn nobody_available() {
        let none = members(&[(0, 0)]);
        assert_eq!(Lblc::default().pick(&none, Ties::ByOrder, 0, address(1), NOW), None);
        assert_eq!(Lblcr::default().pick(&none, Ties::ByOrder, 0, address(1), NOW), None);
    }
}
