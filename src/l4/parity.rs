//! A server whose slow start is over may have far fewer flows than the others still: a scheduler that counts flows would give it every new
//! one at once. Until it has caught up it is admitted to twice its share of new flows, and no more.

use super::abi::Load;
use super::plan::{ServerState, Wanted, WantedServer};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// How much more than its share a server may get until it has caught up.
pub const CATCH_UP: u64 = 2;

/// Service, server, address.
type Name = (Arc<str>, Arc<str>, SocketAddr);

/// Servers that are, or were, in a slow start, and have not caught up since.
#[derive(Debug, Default)]
pub struct Parity {
    behind: HashSet<Name>,
}

impl Parity {
    /// Marks the servers that have to catch up still. `load` says what a server of a service carries.
    pub fn judge(&mut self, wanted: &mut [Wanted], load: impl Fn(&str, &str, SocketAddr) -> Load) {
        let mut behind = HashSet::new();
        for service in wanted {
            if service.compat_ipvs || !service.settings.scheduler.counts_connections() {
                continue;
            }
            let carried = |server: &WantedServer| {
                let serves = server.state == ServerState::Up && server.weight > 0 && !server.backup;
                let load = load(&service.name, &server.name, server.address);
                let flows = u64::from(load.active) * 256 + u64::from(load.inactive);
                serves.then_some((flows, u64::from(server.weight)))
            };
            let carried: Vec<Option<(u64, u64)>> = service.servers.iter().map(carried).collect();
            let all =
                carried.iter().flatten().fold((0, 0), |sum: (u64, u64), one| (sum.0 + one.0, sum.1 + one.1));
            for (server, carried) in service.servers.iter_mut().zip(carried) {
                let name = (Arc::clone(&service.name), Arc::clone(&server.name), server.address);
                let slow = server.ramp < 100;
                if !slow && !self.behind.contains(&name) {
                    continue;
                }
                // Against all, itself among them: less than its share of the sum.
                let is_behind = carried.is_some_and(|(flows, weight)| flows * all.1 < all.0 * weight);
                server.catching_up = is_behind && !slow;
                if slow || is_behind {
                    behind.insert(name);
                }
            }
        }
        self.behind = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{server, settings, wanted};
    use super::*;
    use crate::balance::l4::Scheduler;

    fn services(ramp: u32, scheduler: Scheduler) -> Vec<Wanted> {
        let mut services = [wanted("w", settings(scheduler), vec![server(1, 1), server(2, 1), server(3, 2)])];
        services[0].compat_ipvs = false;
        services[0].servers[2].ramp = ramp;
        services.to_vec()
    }

    /// Whether s3, of double weight, has to catch up with two that have 100 flows each, when it has so many.
    fn check(parity: &mut Parity, ramp: u32, own: u32, expected: bool) {
        let mut services = services(ramp, Scheduler::Wlc);
        parity.judge(&mut services, |_, name, _| Load {
            active: if name == "s3" { own } else { 100 },
            ..Load::default()
        });
        assert_eq!(services[0].servers[2].catching_up, expected, "{ramp} {own}");
        assert!(!services[0].servers[0].catching_up);
    }

    #[test]
    fn from_the_end_of_the_slow_start_until_it_has_its_share() {
        let mut parity = Parity::default();
        check(&mut parity, 100, 0, false);
        check(&mut parity, 50, 10, false);
        check(&mut parity, 100, 20, true);
        check(&mut parity, 100, 199, true);
        check(&mut parity, 100, 200, false);
        check(&mut parity, 100, 20, false);
    }

    #[test]
    fn turns_need_no_parity() {
        let mut parity = Parity::default();
        for ramp in [50, 100] {
            let mut services = services(ramp, Scheduler::Wrr);
            parity.judge(&mut services, |_, _, _| Load::default());
            assert!(!services[0].servers[2].catching_up);
        }
    }
}
