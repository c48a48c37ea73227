//! Which place in the maps a service or server has, from one plan to the next. A server that is gone keeps its place, and
//! its flows their server, until none is left; who comes back before that gets it back.

use super::abi::{Mode, SERVERS, SERVICES, Server, server_flag};
use super::plan::Plan;
use super::write::{ServerId, ServiceId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

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
    /// Places that were taken once, and the first that never was.
    vacant: BTreeSet<u32>,
    next: u32,
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
    pub(super) fn service(&mut self, name: &Arc<str>) -> Option<ServiceId> {
        let id = match self.services.get(name) {
            Some(id) => *id,
            None => {
                let taken: BTreeSet<u32> = self.services.values().map(|id| id.0).collect();
                ServiceId((0..SERVICES).find(|id| !taken.contains(id))?)
            }
        };
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
        let id = match self.servers.get(&key) {
            Some(id) => *id,
            None => self.free_server()?,
        };
        self.servers.insert(key, id);
        self.named.insert(id);
        self.leaving.remove(&id);
        Some(id)
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

    /// What the server's place holds, and the flags of `server_flag` that join when it is gone.
    pub(super) fn note(&mut self, server: ServerId, record: Server, gone: u8) {
        self.records.insert(server, (record, gone));
    }

    /// Whoever was not named since the last plan is leaving; services go at once.
    pub(super) fn end_of_plan(&mut self, plan: &mut Plan) {
        let named = std::mem::take(&mut self.named);
        let named_services = std::mem::take(&mut self.named_services);
        self.services.retain(|_, id| named_services.contains(id));
        for (id, (record, gone)) in self.records.iter_mut().filter(|(id, _)| !named.contains(id)) {
            self.leaving.insert(*id);
            record.flags |= server_flag::LEAVE | *gone;
            plan.servers.insert(*id, *record);
        }
    }
}
