//! `lc`, `wlc`, `sed`, `nq`, `fo`, `ovf`, `twos`: schedulers that look at what every server carries.
//!
//! Loads are compared by cross-multiplication, `load(a) * weight(b) < load(b) * weight(a)`: nothing is divided, so nothing
//! is rounded.

use super::{Member, Scheduler, Ties, admitted};

/// Two draws for `twos`, each uniform over all 32-bit numbers.
pub type Draws = (u32, u32);

/// The server of flow number `flow`. `None` when none is available, and for schedulers of other files.
#[must_use]
pub fn pick(scheduler: Scheduler, members: &[Member], ties: Ties, flow: u64, draws: Draws) -> Option<usize> {
    admitted(members, flow, |may| match scheduler {
        Scheduler::Lc => least(members, ties, may, |m| m.load(), |_| 1),
        Scheduler::Wlc => least(members, ties, may, Member::load, weight),
        Scheduler::Sed => shortest_delay(members, ties, may),
        Scheduler::Nq => {
            let idle = |i: usize| may(i) && members.get(i).is_some_and(|m| m.active == 0);
            least(members, ties, &idle, |_| 0, weight).or_else(|| shortest_delay(members, ties, may))
        }
        Scheduler::Fo => heaviest(members, may),
        Scheduler::Ovf => {
            let with_room = |i: usize| may(i) && members.get(i).is_some_and(|m| m.active <= m.weight);
            heaviest(members, &with_room)
        }
        Scheduler::Twos => two_draws(members, may, draws),
        _ => None,
    })
}

fn weight(member: &Member) -> u64 {
    u64::from(member.weight)
}

/// What the next flow would wait for: those there, and itself.
fn shortest_delay(members: &[Member], ties: Ties, may: &dyn Fn(usize) -> bool) -> Option<usize> {
    least(members, ties, may, |m| u64::from(m.active) + 1, weight)
}

/// The least `load` for its `share`.
pub(super) fn least(
    members: &[Member],
    ties: Ties,
    may: &dyn Fn(usize) -> bool,
    load: fn(&Member) -> u64,
    share: fn(&Member) -> u64,
) -> Option<usize> {
    let mut best: Option<(usize, &Member)> = None;
    for (i, member) in members.iter().enumerate().filter(|(i, _)| may(*i)) {
        let better = best.is_none_or(|(_, least)| {
            let (here, there) = (load(member) * share(least), load(least) * share(member));
            here < there || here == there && ties == Ties::ByWeight && member.weight > least.weight
        });
        if better {
            best = Some((i, member));
        }
    }
    best.map(|(i, _)| i)
}

/// The first of those with the greatest weight.
fn heaviest(members: &[Member], may: &dyn Fn(usize) -> bool) -> Option<usize> {
    let candidates = members.iter().enumerate().filter(|(i, _)| may(*i));
    candidates.rev().max_by_key(|(_, m)| m.weight).map(|(i, _)| i)
}

/// Two servers drawn by weight, the less loaded of them; the first where they are equal.
fn two_draws(members: &[Member], may: &dyn Fn(usize) -> bool, draws: Draws) -> Option<usize> {
    let total: u64 = members.iter().enumerate().filter(|(i, _)| may(*i)).map(|(_, m)| weight(m)).sum();
    let drawn = |draw: u32| {
        let mut at = (u64::from(draw) * total) >> 32;
        members.iter().enumerate().filter(|(i, _)| may(*i)).find(|(_, m)| {
            let here = at < weight(m);
            at = at.saturating_sub(weight(m));
            here
        })
    };
    let (first, one) = drawn(draws.0)?;
    let (second, other) = drawn(draws.1)?;
    let second_is_better = other.load() * weight(one) < one.load() * weight(other);
    Some(if second_is_better { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::l4::ADMIT_ALL;

    fn member(weight: u32, active: u32, inactive: u32) -> Member {
        Member { active, inactive, ..Member::new(weight) }
    }

    /// The server chosen among (weight, active, inactive), in IPVS's order.
    fn check(scheduler: Scheduler, servers: &[(u32, u32, u32)], expected: Option<usize>) {
        let members: Vec<Member> = servers.iter().map(|(w, a, i)| member(*w, *a, *i)).collect();
        assert_eq!(
            pick(scheduler, &members, Ties::ByOrder, 0, (0, 0)),
            expected,
            "{scheduler:?} {servers:?}"
        );
    }

    #[test]
    fn least_connections() {
        check(Scheduler::Lc, &[(1, 2, 0), (9, 1, 255), (1, 1, 254)], Some(2));
        check(Scheduler::Lc, &[(1, 1, 0), (9, 1, 0)], Some(0));
        check(Scheduler::Lc, &[(0, 0, 0), (1, 5, 0)], Some(1));
        check(Scheduler::Lc, &[(0, 0, 0)], None);
    }

    #[test]
    fn weighted_least_connections() {
        // 256 ending flows weigh as much as an open one.
        check(Scheduler::Wlc, &[(1, 1, 0), (1, 0, 256), (1, 0, 255)], Some(2));
        // 10/3 against 7/2: no division could tell 3 from 3.
        check(Scheduler::Wlc, &[(2, 7, 0), (3, 10, 0)], Some(1));
        check(Scheduler::Wlc, &[(1, 0, 0), (100, 0, 0)], Some(0));
        check(Scheduler::Wlc, &[(65535, u32::MAX, u32::MAX), (1, u32::MAX, u32::MAX)], Some(0));
    }

    #[test]
    fn expected_delay() {
        // (1+1)/1 against (2+1)/2.
        check(Scheduler::Sed, &[(1, 1, 0), (2, 2, 0)], Some(1));
        // An idle light one waits longer than a busy heavy one, but nq does not let it idle.
        check(Scheduler::Sed, &[(10, 3, 0), (1, 0, 0)], Some(0));
        check(Scheduler::Nq, &[(10, 3, 0), (1, 0, 0)], Some(1));
        check(Scheduler::Nq, &[(10, 3, 0), (1, 0, 0), (5, 0, 9)], Some(1));
        check(Scheduler::Nq, &[(10, 3, 0), (1, 1, 0)], Some(0));
    }

    #[test]
    fn failover_and_overflow() {
        check(Scheduler::Fo, &[(1, 0, 0), (5, 900, 0), (5, 0, 0)], Some(1));
        check(Scheduler::Ovf, &[(5, 5, 0), (3, 0, 0)], Some(0));
        check(Scheduler::Ovf, &[(5, 6, 0), (3, 0, 0)], Some(1));
        check(Scheduler::Ovf, &[(5, 6, 0), (3, 4, 0)], None);
    }

    #[test]
    fn ties_go_to_the_heavier_unless_as_in_ipvs() {
        let idle = [member(1, 0, 0), member(3, 0, 0), member(3, 0, 0)];
        for scheduler in [Scheduler::Lc, Scheduler::Wlc, Scheduler::Nq] {
            assert_eq!(pick(scheduler, &idle, Ties::ByWeight, 0, (0, 0)), Some(1), "{scheduler:?}");
            assert_eq!(pick(scheduler, &idle, Ties::ByOrder, 0, (0, 0)), Some(0), "{scheduler:?}");
        }
    }

    #[test]
    fn two_draws_take_the_less_loaded() {
        let members = [member(1, 9, 0), member(2, 1, 0), member(1, 0, 0)];
        let at = |quarter: u32| quarter << 30;
        let check = |draws, expected| {
            assert_eq!(
                pick(Scheduler::Twos, &members, Ties::default(), 0, draws),
                Some(expected),
                "{draws:?}"
            );
        };
        check((at(0), at(0)), 0);
        check((at(0), at(1)), 1);
        check((at(2), at(0)), 1);
        check((at(1), at(3)), 2);
        check((u32::MAX, 0), 2);
    }

    #[test]
    fn overloaded_servers_are_left_out() {
        let mut members = [member(1, 0, 0), member(1, 5, 0)];
        members[0].overloaded = true;
        for scheduler in
            [Scheduler::Lc, Scheduler::Wlc, Scheduler::Sed, Scheduler::Nq, Scheduler::Fo, Scheduler::Twos]
        {
            assert_eq!(pick(scheduler, &members, Ties::default(), 0, (0, 0)), Some(1), "{scheduler:?}");
        }
    }

    /// The avalanche: an empty server beside three that hold a thousand flows each.
    #[test]
    fn slow_start_limits_the_share_of_an_empty_server() {
        let share = |admission: u32, ties: Ties| {
            let mut members = vec![member(1, 1000, 0); 3];
            members.push(Member { admission, ..Member::new(1) });
            let mut got = 0;
            for flow in 0..1000 {
                let i = pick(Scheduler::Wlc, &members, ties, flow, (0, 0)).unwrap();
                members[i].active += 1;
                got += usize::from(i == 3);
            }
            got
        };
        assert_eq!(share(ADMIT_ALL, Ties::ByOrder), 1000, "as in IPVS");
        assert_eq!(share(ADMIT_ALL / 40, Ties::ByWeight), 24);
        assert_eq!(share(ADMIT_ALL / 4, Ties::ByWeight), 250);
        assert_eq!(share(0, Ties::ByWeight), 0);
    }

    #[test]
    fn a_server_alone_serves_however_young_it_is() {
        let members = [Member { admission: 1, ..Member::new(1) }, Member::new(0)];
        assert_eq!(pick(Scheduler::Wlc, &members, Ties::default(), 7, (0, 0)), Some(0));
    }
}
