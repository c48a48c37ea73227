//! nat: of which virtual address a server's answers are, told by the server's address alone. Where that says enough a flow needs no entry
//! for its answers, which halves what a new one costs.
//!
//! Each has the place in the map that its hash says. Whoever claims a place first has it until no flow has its server any more, and is alone
//! there while nobody else claims it: flows without an entry find their way as long as they live, whatever later plans say. Others have entries.

use super::abi::{ORIGINS, Origin, hash};
use super::write::ServerId;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Who claims each place; the first one has it.
    claims: BTreeMap<u32, Vec<Origin>>,
    /// Servers of this plan that claim one, and those of them that are not alone everywhere.
    claimants: BTreeSet<ServerId>,
    shared: BTreeSet<ServerId>,
}

impl Origins {
    /// As another process left them, of servers that are still there.
    pub fn after(held: &BTreeMap<u32, Origin>, is_there: impl Fn(ServerId) -> bool) -> Self {
        let there = held.iter().filter(|(_, origin)| is_there(ServerId(origin.server)));
        Self { claims: there.map(|(place, origin)| (*place, vec![*origin])).collect(), ..Self::default() }
    }

    /// The places of a server's answers; `None`: they are not known beforehand.
    pub fn claim(&mut self, places: Option<Vec<Origin>>, server: ServerId) {
        self.claimants.insert(server);
        let Some(places) = places else {
            self.shared.insert(server);
            return;
        };
        for origin in places {
            let claims = self.claims.entry(origin.place()).or_default();
            if !claims.contains(&origin) {
                claims.push(origin);
            }
        }
    }

    /// The servers of this plan that are alone wherever their answers come from.
    pub fn sole(&mut self) -> Vec<ServerId> {
        let several = self.claims.values().filter(|claims| claims.len() > 1).flatten();
        self.shared.extend(several.map(|origin| ServerId(origin.server)));
        let (claimants, shared) = (std::mem::take(&mut self.claimants), std::mem::take(&mut self.shared));
        claimants.difference(&shared).copied().collect()
    }

    /// No flow has the server any more.
    pub fn forget(&mut self, server: ServerId) {
        for claims in self.claims.values_mut() {
            claims.retain(|origin| origin.server != server.0);
        }
        self.claims.retain(|_, claims| !claims.is_empty());
    }

    /// Who has each place.
    pub fn held(&self) -> BTreeMap<u32, Origin> {
        self.claims.iter().filter_map(|(place, claims)| Some((*place, *claims.first()?))).collect()
    }
}

impl Origin {
    /// Its place in the map.
    #[must_use]
    pub fn place(&self) -> u32 {
        hash(self.from, u16::from_be(self.from_port), u32::from(self.protocol)) % ORIGINS
    }
}

#[cfg(test)]
mod tests {
    use super::super::abi::AddressKey;
    use super::*;

    fn origin(from: &str, vip: &str, server: u32) -> Origin {
        let [from, vip] = [from, vip].map(|text| AddressKey::new(text.parse().unwrap(), 6));
        Origin {
            from: from.address,
            address: vip.address,
            from_port: from.port,
            port: vip.port,
            server,
            protocol: 6,
            pad: [0; 3],
        }
    }

    /// A plan of servers and the virtual addresses they answer for; who is alone, and whose the only place is.
    fn check(origins: &mut Origins, plan: &[(u32, &[&str])], sole: &[u32], holder: Option<(u32, &str)>) {
        for (server, vips) in plan {
            let places = vips.iter().map(|vip| origin("10.0.0.1:80", vip, *server)).collect();
            origins.claim(Some(places), ServerId(*server));
        }
        assert_eq!(origins.sole(), sole.iter().map(|id| ServerId(*id)).collect::<Vec<_>>(), "{plan:?}");
        let holder = holder.map(|(server, vip)| origin("10.0.0.1:80", vip, server));
        assert_eq!(origins.held().into_values().next(), holder, "{plan:?}");
    }

    #[test]
    fn the_first_has_it_until_its_flows_are_over() {
        let mut origins = Origins::default();
        let (a, b) = ("192.0.2.1:80", "192.0.2.2:80");
        check(&mut origins, &[(1, &[a])], &[1], Some((1, a)));
        // Another service with the same server, before it in the configuration.
        check(&mut origins, &[(2, &[b]), (1, &[a])], &[], Some((1, a)));
        // The first is gone, but for its flows; and then those.
        check(&mut origins, &[(2, &[b])], &[], Some((1, a)));
        origins.forget(ServerId(1));
        check(&mut origins, &[(2, &[b])], &[2], Some((2, b)));
        // Two addresses lead to one port; or one that was another before.
        check(&mut origins, &[(2, &[b, a])], &[], Some((2, b)));
        origins.forget(ServerId(2));
        check(&mut origins, &[], &[], None);
    }

    #[test]
    fn what_is_not_known_beforehand_or_has_anothers_place_is_not_alone() {
        let mut origins = Origins::default();
        let vip = "192.0.2.1:80";
        let one = origin("10.0.0.1:80", vip, 1);
        let others = (2..1 << 24).map(|n: u32| {
            let [_, a, b, c] = n.to_be_bytes();
            origin(&format!("10.{a}.{b}.{c}:80"), vip, 2)
        });
        let same = others.into_iter().find(|other| other.place() == one.place()).unwrap();
        origins.claim(Some(vec![one]), ServerId(1));
        origins.claim(Some(vec![same]), ServerId(2));
        origins.claim(None, ServerId(3));
        assert_eq!((origins.sole(), origins.held().len()), (vec![], 1));
        origins.claim(Some(vec![one]), ServerId(1));
        origins.forget(ServerId(2));
        assert_eq!(origins.sole(), [ServerId(1)]);
    }

    #[test]
    fn a_process_that_takes_over_goes_on() {
        let (a, b) = ("192.0.2.1:80", "192.0.2.2:80");
        let one = origin("10.0.0.1:80", a, 1);
        let held = BTreeMap::from([(one.place(), one)]);
        check(&mut Origins::after(&held, |_| true), &[(2, &[b])], &[], Some((1, a)));
        check(&mut Origins::after(&held, |_| false), &[(2, &[b])], &[2], Some((2, b)));
    }
}
