//! Which place in the maps a service or server has, from one plan to the next. A server that is gone keeps its place, and
//! its flows their server, until none is left; who comes back before that gets it back.

use super::abi::{AddressKey, Mode, NO_SERVER, Origin, SERVERS, SERVICES, Server, Service, server_flag};
use super::origins::Origins;
use super::plan::{Entry, Plan};
use super::write::{ServerId, ServiceId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// Of a server whose service is not there any more: as without `on-remove`.
const IF_SERVICE_GOES: u8 = server_flag::CUT_UDP | server_flag::END_UDP;

#[derive(Clone, Debug, Default)]
pub struct Ids {
    services: HashMap<Arc<str>, ServiceId>,
    servers: HashMap<Key, ServerId>,
    /// What each server's place held last, and the flags it has when it is gone.
    records: BTreeMap<ServerId, (Server, u8)>,
    /// Named by the plan being made.
    named: BTreeSet<ServerId>,
    named_services: BTreeSet<ServiceId>,
    leaving: BTreeSet<ServerId>,
    origins: Origins,
    /// Places that another process gave away, and nobody has claimed yet.
    orphans: BTreeMap<ServerId, Server>,
    orphan_services: HashMap<AddressKey, ServiceId>,
    /// Places that were taken once, and the first that never was.
    vacant: BTreeSet<u32>,
    next: u32,
}

/// What another process left in the maps.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    pub addresses: HashMap<AddressKey, ServiceId>,
    pub services: BTreeMap<ServiceId, Service>,
    pub servers: BTreeMap<ServerId, Server>,
    pub origins: BTreeMap<u32, Origin>,
}

impl Inherited {
    /// As a plan: what of it differs from the next one is written again. Lists are known by their lengths alone.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let entry = |service: &Service| Entry {
            service: *service,
            members: vec![Default::default(); service.members as usize],
            slots: vec![NO_SERVER; service.slots as usize],
            sources: vec![Default::default(); service.sources as usize],
        };
        Plan {
            addresses: self.addresses.clone(),
            services: self.services.iter().map(|(id, service)| (*id, entry(service))).collect(),
            servers: self.servers.clone(),
            origins: self.origins.clone(),
        }
    }
}

/// A server at another address, or reached in another way, is another server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    service: Arc<str>,
    server: Box<str>,
    address: SocketAddr,
    mode: Mode,
}

impl Ids {
    /// Goes on where another process stopped: services are known by their addresses, and servers by theirs.
    #[must_use]
    pub fn after(held: &Inherited) -> Self {
        let next = held.servers.keys().next_back().map_or(0, |id| id.0 + 1);
        Self {
            records: held.servers.iter().map(|(id, server)| (*id, (*server, IF_SERVICE_GOES))).collect(),
            orphans: held.servers.clone(),
            orphan_services: held.addresses.clone(),
            vacant: (0..next).filter(|id| !held.servers.contains_key(&ServerId(*id))).collect(),
            next,
            origins: Origins::after(&held.origins, |id| held.servers.contains_key(&id)),
            ..Self::default()
        }
    }

    /// Servers that are gone and may still have flows. When one has none, say so to [`Self::forget`].
    pub fn leaving(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.leaving.iter().copied()
    }

    /// No flow has the server any more: the next plan is without it, and its place is free.
    pub fn forget(&mut self, server: ServerId) {
        if self.leaving.remove(&server) {
            self.records.remove(&server);
            self.servers.retain(|_, id| *id != server);
            self.vacant.insert(server.0);
            self.origins.forget(server);
        }
    }

    /// The servers of a service by name and address.
    #[must_use]
    pub fn find(&self, service: &str, server: &str, address: SocketAddr) -> Option<ServerId> {
        let found = self.servers.iter().find(|(key, id)| {
            *key.service == *service
                && *key.server == *server
                && key.address == address
                && !self.leaving.contains(id)
        });
        found.map(|(_, id)| *id)
    }

    #[must_use]
    pub fn find_service(&self, service: &str) -> Option<ServiceId> {
        self.services.get(service).copied()
    }

    /// The service's place; `None` when all are taken.
    pub(super) fn service(&mut self, name: &Arc<str>, addresses: &[AddressKey]) -> Option<ServiceId> {
        let orphan = addresses.iter().find_map(|key| self.orphan_services.get(key)).copied();
        let id = match self.services.get(name).copied().or(orphan) {
            Some(id) => id,
            None => {
                let of_others = self.orphan_services.values();
                let taken: BTreeSet<u32> = self.services.values().chain(of_others).map(|id| id.0).collect();
                ServiceId((0..SERVICES).find(|id| !taken.contains(id))?)
            }
        };
        self.orphan_services.retain(|_, orphan| *orphan != id);
        self.services.insert(Arc::clone(name), id);
        self.named_services.insert(id);
        Some(id)
    }

    /// The server's place; `None` when all are taken.
    pub(super) fn server(
        &mut self,
        service: &Arc<str>,
        server: &str,
        address: SocketAddr,
        mode: Mode,
    ) -> Option<ServerId> {
        let key = Key { service: Arc::clone(service), server: server.into(), address, mode };
        let id = match self.servers.get(&key).copied().or_else(|| self.orphan(&key)) {
            Some(id) => id,
            None => self.free_server()?,
        };
        self.orphans.remove(&id);
        self.servers.insert(key, id);
        self.named.insert(id);
        self.leaving.remove(&id);
        Some(id)
    }

    /// The place another process gave the server.
    fn orphan(&self, key: &Key) -> Option<ServerId> {
        let service = self.services.get(&key.service)?.0;
        let (address, port) = (key.address.ip().into(), key.address.port().to_be());
        let modes = [key.mode as u8, Mode::Local as u8];
        let same = |s: &Server| {
            s.service == service && s.address == address && s.port == port && modes.contains(&s.mode)
        };
        self.orphans.iter().find(|(_, server)| same(server)).map(|(id, _)| *id)
    }

    /// What flows of the service's servers that were not taken over learn.
    pub(super) fn leave_orphans(&mut self, service: ServiceId, gone: u8) {
        for id in self.orphans.iter().filter(|(_, server)| server.service == service.0).map(|(id, _)| id) {
            if let Some((_, flags)) = self.records.get_mut(id) {
                *flags = gone;
            }
        }
    }

    /// The lowest place that no server has.
    fn free_server(&mut self) -> Option<ServerId> {
        if let Some(id) = self.vacant.pop_first() {
            return Some(ServerId(id));
        }
        let id = self.next;
        self.next = id.checked_add(1).filter(|next| *next <= SERVERS)?;
        Some(ServerId(id))
    }

    /// Where answers of a server come from; `None`: that is not known beforehand.
    pub(super) fn claim(&mut self, places: Option<Vec<Origin>>, server: ServerId) {
        self.origins.claim(places, server);
    }

    /// The servers of this plan whose answers are told by where they come from.
    pub(super) fn sole(&mut self) -> Vec<ServerId> {
        self.origins.sole()
    }

    /// What the server's place holds, and the flags of `server_flag` that join when it is gone.
    pub(super) fn note(&mut self, server: ServerId, record: Server, gone: u8) {
        self.records.insert(server, (record, gone));
    }

    /// Whoever was not named since the last plan is leaving; services go at once.
    pub(super) fn end_of_plan(&mut self, plan: &mut Plan) {
        let named = std::mem::take(&mut self.named);
        let named_services = std::mem::take(&mut self.named_services);
        self.services.retain(|_, id| named_services.contains(id));
        self.orphans.clear();
        self.orphan_services.clear();
        for (id, (record, gone)) in self.records.iter_mut().filter(|(id, _)| !named.contains(id)) {
            self.leaving.insert(*id);
            record.flags |= server_flag::LEAVE | *gone;
            plan.servers.insert(*id, *record);
        }
        plan.origins = self.origins.held();
    }
}
