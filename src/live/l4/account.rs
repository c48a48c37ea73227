//! What the kernel forwarded, put into the counters of proxies and servers: so `show stat`, the page, Prometheus and `clear counters`
//! know of it as they know of what passes through the process.

use super::{Figures, since};
use crate::config::model::Endpoint;
use crate::config::model::l4::{Protocol, Service};
use crate::ids::ProxyIndex;
use crate::live::{FrontState, Generation, LiveBackend, LiveServer};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Of one server, or the sum of several: what came since the last time, and how many flows there are.
#[derive(Clone, Copy, Debug, Default)]
struct Grown {
    by: Figures,
    open: u32,
}

impl Generation {
    /// Takes what the maps count, by the service's name in plans and the server's address; servers that are not named are gone. For the
    /// control thread.
    pub fn publish_l4(&self, figures: HashMap<(String, SocketAddr), Figures>, now: Instant) {
        let before = self.process.l4.publish(figures, now);
        let mut backends: BTreeMap<usize, (ProxyIndex, Vec<Grown>)> = BTreeMap::new();
        for service in &self.config.l4_services {
            let (Some(front), Some(back)) = (self.proxy(service.front), self.backend(service.back)) else {
                continue;
            };
            let name = &*front.conf.name;
            let grown: Vec<Grown> = (back.servers.iter())
                .map(|server| self.grown(service, name, server, &before).unwrap_or_default())
                .collect();
            front.front.carried(grown.iter().fold(Grown::default(), |sum, g| sum.and(*g)));
            // Services that share a backend add up in its servers.
            let (_, sums) = backends.entry(service.back.get()).or_insert_with(|| (service.back, Vec::new()));
            sums.resize(sums.len().max(grown.len()), Grown::default());
            sums.iter_mut().zip(grown).for_each(|(sum, grown)| *sum = sum.and(grown));
        }
        for (at, servers) in backends.into_values() {
            let Some(back) = self.backend(at) else { continue };
            back.servers.iter().zip(&servers).for_each(|(server, grown)| server.carried(*grown));
            back.carried(servers.into_iter().fold(Grown::default(), Grown::and));
        }
    }

    fn grown(
        &self,
        service: &Service,
        name: &str,
        server: &LiveServer,
        before: &HashMap<(String, SocketAddr), Figures>,
    ) -> Option<Grown> {
        let Endpoint::Inet(address) = server.reached().endpoint else { return None };
        let key = (name.to_owned(), address);
        let last = self.process.l4.counted(&key)?;
        let old = before.get(&key).copied().unwrap_or_default();
        // A place in the maps that was given away and had again counts from nothing.
        let old = if last.flows < old.flows { Figures::default() } else { old };
        // IPVS has no open flows in UDP: all of them are inactive.
        let udp = service.vips.iter().all(|vip| vip.protocol == Protocol::Udp);
        let open = last.active.saturating_add(if udp { last.inactive } else { 0 });
        Some(Grown { by: since(last, old), open })
    }
}

impl Grown {
    fn and(self, other: Self) -> Self {
        Self { by: self.by.and(other.by), open: self.open.saturating_add(other.open) }
    }
}

impl FrontState {
    fn carried(&self, grown: Grown) {
        let open = grown.open as usize;
        self.current.store(open, Relaxed);
        self.max.fetch_max(open, Relaxed);
        let (counters, by) = (self.counters.here(), grown.by);
        counters.connections.add(by.flows);
        counters.sessions.add(by.flows);
        counters.bytes_in.add(by.in_bytes);
        counters.bytes_out.add(by.out_bytes);
        counters.requests_out.add(by.in_bytes);
        counters.responses_in.add(by.out_bytes);
    }
}

impl LiveBackend {
    fn carried(&self, grown: Grown) {
        self.sessions.store(grown.open, Relaxed);
        self.sessions_max.fetch_max(grown.open, Relaxed);
        self.total.fetch_add(grown.by.flows, Relaxed);
        self.lock().balanced += grown.by.flows;
        let (counters, by) = (self.counters.here(), grown.by);
        counters.bytes_in.add(by.in_bytes);
        counters.bytes_out.add(by.out_bytes);
        counters.requests_out.add(by.in_bytes);
        counters.responses_in.add(by.out_bytes);
    }
}

impl LiveServer {
    fn carried(&self, grown: Grown) {
        self.served.store(grown.open, Relaxed);
        self.served_max.fetch_max(grown.open, Relaxed);
        self.sessions.fetch_add(grown.by.flows, Relaxed);
        let (counters, by) = (self.counters.here(), grown.by);
        counters.balanced.add(by.flows);
        counters.bytes_in.add(by.in_bytes);
        counters.bytes_out.add(by.out_bytes);
        counters.requests_out.add(by.in_bytes);
        counters.responses_in.add(by.out_bytes);
    }
}
