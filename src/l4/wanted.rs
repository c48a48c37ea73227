//! What is to be forwarded at this moment: the configured services with their servers' states, and those that were made
//! while the process runs.

use super::plan::{ServerState, Wanted, WantedServer};
use crate::config::model::Endpoint;
use crate::config::model::l4::{
    Flags, FlowTimeouts, Forward, L4, MinimumUp, OnDown, OnRemove, Persist, Service,
};
use crate::live::l4::{Made, name_of};
use crate::live::server::admin;
use crate::live::{Generation, LiveServer, OperState};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Which services have as many servers as `minimum up` asks for; kept from one look to the next, for hysteresis.
pub type Whole = HashMap<Arc<str>, bool>;

/// Every service that is to be forwarded.
#[must_use]
pub fn wanted(generation: &Generation, whole: &mut Whole) -> Vec<Wanted> {
    let compat_ipvs = generation.config.global.l4.compat_ipvs;
    let configured = generation.config.l4_services.iter();
    let made = generation.process.l4.made();
    let seconds = |n: u32| Duration::from_secs(u64::from(n));
    let (tcp, tcpfin, udp) = generation.process.l4.timeouts();
    let timeouts = FlowTimeouts { tcp: seconds(tcp), tcpfin: seconds(tcpfin), udp: seconds(udp) };
    configured
        .filter_map(|service| self::configured(generation, service, compat_ipvs, whole))
        .chain(made.iter().map(|made| self::made(made, timeouts, compat_ipvs)))
        .collect()
}

fn configured(
    generation: &Generation,
    service: &Service,
    compat_ipvs: bool,
    whole: &mut Whole,
) -> Option<Wanted> {
    let name = Arc::clone(&generation.proxy(service.front)?.conf.name);
    let back = generation.proxy(service.back)?.back.as_ref()?;
    let servers: Vec<WantedServer> =
        back.servers.iter().filter(|s| !s.is_gone()).filter_map(|s| server(s, service)).collect();
    let is_whole = service.settings.minimum_up.as_ref().is_none_or(|minimum| {
        let up = servers.iter().filter(|s| !s.backup && s.state == ServerState::Up && s.weight > 0).count();
        let was = whole.get(&name).copied().unwrap_or(true);
        still_whole(was, u32::try_from(up).unwrap_or(u32::MAX), minimum)
    });
    whole.insert(Arc::clone(&name), is_whole);
    Some(Wanted {
        name,
        addresses: service.vips.iter().map(|v| (SocketAddr::new(v.address, v.port), v.protocol)).collect(),
        settings: Arc::clone(&service.settings),
        compat_ipvs,
        servers,
        whole: is_whole,
    })
}

/// Lost below the minimum less the hysteresis, whole again from the minimum and the hysteresis on.
#[must_use]
pub fn still_whole(was: bool, up: u32, minimum: &MinimumUp) -> bool {
    let limit = if was {
        minimum.servers.saturating_sub(minimum.hysteresis)
    } else {
        minimum.servers.saturating_add(minimum.hysteresis)
    };
    up >= limit
}

fn server(live: &LiveServer, service: &Service) -> Option<WantedServer> {
    let line = live.reached();
    // Without an address it cannot be forwarded to: it is in maintenance anyway.
    let Endpoint::Inet(address) = line.endpoint else { return None };
    let orders = live.admin();
    let state = if orders & (admin::MAINT | admin::DRAIN) != 0 || live.oper() == OperState::Stopping {
        ServerState::Drained
    } else if live.is_up() {
        ServerState::Up
    } else {
        ServerState::Down
    };
    Some(WantedServer {
        name: Arc::clone(&live.conf.name),
        address,
        forward: line.l4.forward.unwrap_or(service.settings.forward),
        weight: live.weight(),
        catching_up: false,
        ramp: if live.oper() == OperState::Starting { live.throttle() } else { 100 },
        state,
        upper_threshold: line.l4.upper_threshold,
        lower_threshold: line.l4.lower_threshold,
        backup: line.backup,
    })
}

/// As IPVS has it: nothing checks the servers, and one that goes down keeps its place.
fn made(made: &Made, timeouts: FlowTimeouts, compat_ipvs: bool) -> Wanted {
    let (protocol, address) = made.key;
    let persist = made.persist.map(|(seconds, prefix)| Persist {
        timeout: Duration::from_secs(u64::from(seconds)),
        prefix,
        on_down: OnDown::Keep,
    });
    let server = |s: &crate::live::l4::MadeServer| WantedServer {
        name: s.address.to_string().into(),
        address: s.address,
        forward: s.forward,
        weight: s.weight,
        ramp: 100,
        catching_up: false,
        state: ServerState::Up,
        upper_threshold: s.upper_threshold,
        lower_threshold: s.lower_threshold,
        backup: false,
    };
    let settings = L4 {
        forward: Forward::default(),
        scheduler: made.scheduler,
        flags: Flags { ..made.flags },
        persist,
        timeouts,
        sources: made.sources.clone(),
        one_packet: made.one_packet,
        quiesce_on_down: false,
        on_remove: OnRemove::Cut,
        minimum_up: None,
    };
    Wanted {
        name: name_of(&made.key).into(),
        addresses: vec![(address, protocol)],
        settings: Arc::new(settings),
        compat_ipvs,
        servers: made.servers.iter().map(server).collect(),
        whole: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimum_with_hysteresis() {
        let minimum = MinimumUp { servers: 3, hysteresis: 1, on_up: None, on_down: None };
        let check = |was, up, expected| assert_eq!(still_whole(was, up, &minimum), expected, "{was} {up}");
        check(true, 2, true);
        check(true, 1, false);
        check(false, 3, false);
        check(false, 4, true);
    }
}
