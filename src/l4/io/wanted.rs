//! What the plan is made from: the services of the configuration, with their servers as they are at this moment.

use crate::balance::l4::Scheduler;
use crate::config::model::Endpoint;
use crate::config::model::l4::{Encapsulation, Forward, Hook, MinimumUp, Service};
use crate::config::model::{Config, l4};
use crate::l4::plan::{ServerState, Wanted, WantedServer};
use crate::live::{Generation, LiveServer};
use std::net::SocketAddr;
use std::sync::Arc;

/// A server's state is that of the engine of checks; weights are the configured ones, the slow start comes beside them.
pub fn wanted(generation: &Generation, service: &Service, was_whole: bool) -> Wanted {
    let back = generation.proxy(service.back).and_then(|proxy| proxy.back.as_ref());
    let servers: Vec<WantedServer> = back
        .into_iter()
        .flat_map(|back| back.servers.iter())
        .filter_map(|s| server(s, &service.settings))
        .collect();
    let name =
        generation.proxy(service.front).map_or_else(|| Arc::from(""), |proxy| Arc::from(&*proxy.conf.name));
    let whole =
        service.settings.minimum_up.as_ref().is_none_or(|minimum| is_whole(minimum, &servers, was_whole));
    Wanted {
        name,
        addresses: service
            .vips
            .iter()
            .map(|vip| (SocketAddr::new(vip.address, vip.port), vip.protocol))
            .collect(),
        settings: Arc::clone(&service.settings),
        compat_ipvs: generation.config.global.l4.compat_ipvs,
        servers,
        whole,
    }
}

fn server(live: &LiveServer, settings: &l4::L4) -> Option<WantedServer> {
    let line = live.reached();
    let Endpoint::Inet(address) = line.endpoint else { return None };
    let state = match (live.is_up(), live.is_usable()) {
        (true, true) => ServerState::Up,
        (true, false) => ServerState::Drained,
        (false, _) if live.admin() != 0 => ServerState::Drained,
        (false, _) => ServerState::Down,
    };
    Some(WantedServer {
        name: Arc::from(live.name()),
        address,
        forward: line.l4.forward.unwrap_or(settings.forward),
        weight: live.weight(),
        ramp: live.throttle(),
        state,
        upper_threshold: line.l4.upper_threshold,
        lower_threshold: line.l4.lower_threshold,
        backup: line.backup,
    })
}

fn is_whole(minimum: &MinimumUp, servers: &[WantedServer], was: bool) -> bool {
    let up = servers.iter().filter(|s| !s.backup && s.state == ServerState::Up).count();
    let up = u32::try_from(up).unwrap_or(u32::MAX);
    let needed = if was {
        minimum.servers.saturating_sub(minimum.hysteresis)
    } else {
        minimum.servers.saturating_add(minimum.hysteresis)
    };
    up >= needed
}

/// # Errors
/// The first thing configured that the packet programs cannot do yet.
pub fn check(config: &Config) -> Result<(), String> {
    if config.global.l4.hook == Hook::Xdp {
        return Err("mode l4 : 'l4-hook xdp' is not supported by weir yet: use 'tc' or 'auto'".to_owned());
    }
    for service in &config.l4_services {
        let name = config.proxies.get(service.back.get()).map_or("", |proxy| &*proxy.name);
        if let Some(what) = missing(config, service) {
            return Err(format!("mode l4 : '{name}' : {what} is not supported by weir yet"));
        }
    }
    Ok(())
}

fn missing(config: &Config, service: &Service) -> Option<&'static str> {
    let settings = &service.settings;
    match settings.scheduler {
        Scheduler::Lblc | Scheduler::Lblcr => return Some("'balance lblc' (and lblcr)"),
        Scheduler::Twos => return Some("'balance twos'"),
        _ => {}
    }
    if settings.one_packet {
        return Some("'option one-packet'");
    }
    if settings.minimum_up.as_ref().is_some_and(|m| m.on_up.is_some() || m.on_down.is_some()) {
        return Some("a program in 'minimum up'");
    }
    let servers = config
        .proxies
        .get(service.back.get())
        .and_then(|proxy| proxy.back.as_ref())
        .map(|back| back.servers.as_slice())
        .unwrap_or_default();
    let ways = servers.iter().filter_map(|server| server.l4.forward).chain([settings.forward]);
    ways.into_iter().find_map(|forward| match forward {
        Forward::Tunnel(Encapsulation::Gue { .. }) => Some("'forward tun gue'"),
        Forward::FullNat { toa: true } => Some("'forward fullnat toa'"),
        _ => None,
    })
}
