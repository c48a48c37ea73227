//! What a configuration may ask for and the packet programs cannot do yet.

use crate::balance::l4::Scheduler;
use crate::config::model::Config;
use crate::config::model::l4::{Encapsulation, Forward, Hook, Service};

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
