//! From what sections in `mode l4` say to the services they make.

use super::pending::{Feature, need};
use super::{Draft, Netmask, servers};
use crate::balance::l4::Scheduler;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::draft::Draft as ProxyDraft;
use crate::config::model::l4::{Forward, L4, OnDown, OnRemove, Persist, Protocol, Service, Vip};
use crate::config::model::{Mode, Proxy};
use crate::config::parser::Parser;
use crate::config::raw::Line;
use crate::ids::ProxyIndex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What is left of a section's draft once its proxy is made.
#[derive(Debug)]
pub struct Said {
    pub header: Line,
    pub l4: Draft,
    /// The `server` lines, in order.
    pub servers: Vec<Line>,
    /// A backend is named, be it there or not.
    names_backend: bool,
}

impl Said {
    pub fn take(draft: &mut ProxyDraft) -> Self {
        Self {
            header: draft.header.clone(),
            names_backend: draft.default_backend.is_some(),
            l4: std::mem::take(&mut draft.l4),
            servers: if draft.proxy.mode == Mode::L4 {
                draft.servers.iter().map(|s| s.line.clone()).collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// The services of the whole configuration; `said` stands beside `proxies`.
pub fn settle(parser: &mut Parser, proxies: &mut [Proxy], said: &[Said]) -> Vec<Service> {
    let mut services = Vec::new();
    let mut taken: HashMap<(IpAddr, u16, Protocol), String> = HashMap::new();
    for (front, section) in said.iter().enumerate() {
        let Some(proxy) = proxies.get(front).filter(|p| p.mode == Mode::L4) else { continue };
        need(parser, &section.header, 0, Feature::Mode);
        let (has_front, disabled, name) = (proxy.front.is_some(), proxy.disabled, proxy.name.clone());
        let target = proxy.front.as_ref().and_then(|f| f.default_backend);
        if proxy.back.is_some() {
            lines(parser, section);
        }
        if !has_front {
            continue;
        }
        let Some(vips) = vips(parser, section, &name, &mut taken) else { continue };
        let Some(back) = target else {
            if section.names_backend {
                continue;
            }
            let message = format!("frontend '{name}' in 'mode l4' has no 'default_backend'.");
            let diagnostic = Diagnostic::at(Severity::Alert, &section.header, 0, message);
            parser.report(diagnostic.hint("its packets need a backend in 'mode l4' to go to"));
            continue;
        };
        let Some(servers_said) = said.get(back.get()) else { continue };
        let settings = settings(parser, &vips, servers_said);
        servers::settle(parser, proxies.get_mut(back.get()), servers_said, &vips, &settings);
        if !disabled {
            let front = ProxyIndex(u32::try_from(front).unwrap_or(u32::MAX));
            services.push(Service { front, back, vips, settings: Arc::new(settings) });
        }
    }
    services
}

/// The section's addresses: of one family, each in no other service.
fn vips(
    parser: &mut Parser,
    section: &Said,
    name: &str,
    taken: &mut HashMap<(IpAddr, u16, Protocol), String>,
) -> Option<Vec<Vip>> {
    let Some((_, first)) = section.l4.vips.first() else {
        let message = format!("'{name}' in 'mode l4' has no 'bind' line: it has no address to forward from.");
        parser.warning(&section.header, 0, message);
        return None;
    };
    for (line, vip) in &section.l4.vips {
        if vip.address.is_ipv4() != first.address.is_ipv4() {
            let diagnostic = Diagnostic::at(
                Severity::Alert,
                line,
                1,
                "'bind' : the addresses of a service in 'mode l4' are all IPv4 or all IPv6.",
            );
            parser.report(diagnostic.hint("write one section for each family"));
        }
        let place = format!("'{name}' at {}:{}", line.place.file, line.place.line);
        if let Some(other) = taken.insert((vip.address, vip.port, vip.protocol), place) {
            let message = format!("'bind' : {} is an address of {other} already.", line.word(1));
            parser.alert(line, 1, message);
        }
        if vip.protocol == Protocol::Udp {
            need(parser, line, 1, Feature::Udp);
        }
        if vip.address.is_ipv6() {
            need(parser, line, 1, Feature::Ipv6);
        }
        if vip.port == 0 {
            need(parser, line, 1, Feature::EveryPort);
        }
    }
    Some(section.l4.vips.iter().map(|(_, vip)| vip.clone()).collect())
}

/// What the section with the servers says, as these addresses need it.
fn settings(parser: &mut Parser, vips: &[Vip], section: &Said) -> L4 {
    let draft = &section.l4;
    let v4 = vips.first().is_none_or(|v| v.address.is_ipv4());
    let persist = draft.persist.as_ref().map(|(line, said)| {
        let widest = if v4 { 32 } else { 128 };
        let prefix = match said.netmask {
            None => widest,
            Some(Netmask::Dotted(bits)) if v4 => bits,
            Some(Netmask::Bits(bits)) if bits <= widest => bits,
            Some(_) => {
                let family = if v4 { "IPv4" } else { "IPv6" };
                let message = format!("'persist netmask' does not fit the addresses, which are {family}.");
                let diagnostic = Diagnostic::at(Severity::Alert, line, 1, message);
                parser.report(diagnostic.hint(if v4 {
                    "write a mask as 255.255.255.0, or 1 to 32 bits"
                } else {
                    "write a number of bits, 1 to 128"
                }));
                widest
            }
        };
        Persist { timeout: said.timeout, prefix, on_down: said.on_down }
    });
    if persist.is_none()
        && let Some(vip) = vips.iter().find(|v| v.port == 0)
    {
        let message = format!("'bind {}:0' in 'mode l4' needs 'persist'.", vip.address);
        let diagnostic = Diagnostic::at(Severity::Alert, &section.header, 0, message);
        parser
            .report(diagnostic.hint(
                "with every port taken, a client's connections must meet on one server: add 'persist'",
            ));
    }
    if let Some(line) = &draft.one_packet
        && vips.iter().any(|v| v.protocol == Protocol::Tcp)
    {
        let diagnostic = Diagnostic::at(
            Severity::Alert,
            line,
            1,
            "'option one-packet' is for UDP: a TCP connection needs its flow.",
        );
        parser.report(diagnostic.hint("put the 'udp@' addresses in a section of their own"));
    }
    let forward = draft.forward.as_ref().map_or(Forward::default(), |(_, forward)| *forward);
    let (scheduler, flags) =
        draft.scheduler.as_ref().map_or_else(Default::default, |(_, scheduler, flags)| (*scheduler, *flags));
    let mut sources: Vec<IpAddr> = draft.sources.iter().map(|(_, address)| *address).collect();
    sources.sort_unstable();
    sources.dedup();
    L4 {
        forward,
        scheduler,
        flags,
        persist,
        timeouts: draft.timeouts,
        sources,
        one_packet: draft.one_packet.is_some(),
        quiesce_on_down: draft.quiesce_on_down.is_some(),
        on_remove: draft.on_remove.as_ref().map_or(OnRemove::Cut, |(_, on_remove)| *on_remove),
        minimum_up: draft.minimum_up.as_ref().map(|(_, minimum)| minimum.clone()),
    }
}

/// What can be said of a section's lines whatever addresses lead to it.
fn lines(parser: &mut Parser, section: &Said) {
    let draft = &section.l4;
    if let Some((line, forward)) = &draft.forward {
        need(parser, line, 1, feature(*forward));
    }
    match &draft.scheduler {
        Some((line, scheduler, flags)) => {
            need(parser, line, 1, Feature::Scheduler(*scheduler));
            if flags.port || flags.fallback {
                need(parser, line, 2, Feature::HashFlags);
            }
        }
        None => need(parser, &section.header, 0, Feature::Scheduler(Scheduler::default())),
    }
    if let Some((line, persist)) = &draft.persist {
        need(parser, line, 0, Feature::Persist);
        if persist.on_down == OnDown::Keep {
            need(parser, line, 0, Feature::OnDownKeep);
        }
    }
    if let Some(line) = &draft.one_packet {
        need(parser, line, 1, Feature::OnePacket);
    }
    if let Some(line) = &draft.quiesce_on_down {
        need(parser, line, 1, Feature::QuiesceOnDown);
    }
    if let Some((line, OnRemove::Drain | OnRemove::Expire)) = &draft.on_remove {
        need(parser, line, 1, Feature::OnRemove);
    }
    if let Some((line, minimum)) = &draft.minimum_up {
        need(parser, line, 0, Feature::MinimumUp);
        if minimum.on_up.is_some() || minimum.on_down.is_some() {
            need(parser, line, 0, Feature::MinimumUpHooks);
        }
        if minimum.servers as usize > section.servers.len() {
            let message = format!(
                "'minimum up {}' : there are only {} servers.",
                minimum.servers,
                section.servers.len()
            );
            parser.alert(line, 2, message);
        }
    }
}

/// What a way of forwarding needs.
pub(super) fn feature(forward: Forward) -> Feature {
    match forward {
        Forward::Nat => Feature::Nat,
        Forward::DirectRouting => Feature::DirectRouting,
        Forward::Tunnel(_) => Feature::Tunnel,
        Forward::FullNat { .. } => Feature::FullNat,
    }
}
