//! From one plan to the next: the writes, in an order that never lets a packet find a service without its lists, or a list
//! with a server that is not there.
//!
//! Where answers come from is first, then servers, then lists, then the services that use them, then the addresses that lead there; what goes, goes
//! the other way round. Where a list shrinks, the service learns its new length before the list does. Where a
//! table's length changes, one stands in between that serves under the old length and the new one.

use super::abi::NO_SERVER;
use super::plan::{Entry, Plan};
use super::write::{ServiceId, Write};

/// The writes that turn what `from` says into what `to` says.
#[must_use]
pub fn writes(from: &Plan, to: &Plan) -> Vec<Write> {
    let mut writes = Vec::new();
    let origins = to.origins.iter().filter(|(place, origin)| from.origins.get(place) != Some(origin));
    writes.extend(origins.map(|(place, origin)| Write::Origin { place: *place, origin: *origin }));
    for (id, server) in &to.servers {
        if from.servers.get(id) != Some(server) {
            writes.push(Write::Server { id: *id, server: *server });
        }
    }
    let nothing = Entry::default();
    for (id, entry) in &to.services {
        service(&mut writes, *id, from.services.get(id).unwrap_or(&nothing), entry);
    }
    let mut added: Vec<_> =
        to.addresses.iter().filter(|(key, id)| from.addresses.get(key) != Some(id)).collect();
    added.sort_by_key(|(key, id)| (id.0, key.protocol, key.address.0, key.port));
    writes.extend(added.into_iter().map(|(key, id)| Write::Address { key: *key, service: *id }));
    let mut removed: Vec<_> = from.addresses.keys().filter(|key| !to.addresses.contains_key(key)).collect();
    removed.sort_by_key(|key| (key.protocol, key.address.0, key.port));
    writes.extend(removed.into_iter().map(|key| Write::RemoveAddress { key: *key }));
    let gone = from.services.keys().filter(|id| !to.services.contains_key(id));
    writes.extend(gone.map(|id| Write::RemoveService { id: *id }));
    let gone = from.servers.keys().filter(|id| !to.servers.contains_key(id));
    writes.extend(gone.map(|id| Write::RemoveServer { id: *id }));
    let gone = from.origins.keys().filter(|place| !to.origins.contains_key(place));
    writes.extend(gone.map(|place| Write::RemoveOrigin { place: *place }));
    writes
}

fn service(writes: &mut Vec<Write>, id: ServiceId, from: &Entry, to: &Entry) {
    if from == to {
        return;
    }
    let mut shrunk = from.service;
    shrunk.members = shrunk.members.min(to.service.members);
    shrunk.sources = shrunk.sources.min(to.service.sources);
    if shrunk != from.service {
        writes.push(Write::Service { id, service: shrunk });
    }
    if from.members != to.members {
        writes.push(Write::Members { service: id, members: to.members.clone() });
    }
    let table = |slots: Vec<u32>| Write::Table { service: id, slots };
    let changes = from.slots != to.slots && !to.slots.is_empty();
    let between = between(from, to);
    if changes {
        writes.push(table(between.clone().unwrap_or_else(|| to.slots.clone())));
    }
    if from.sources != to.sources {
        writes.push(Write::Sources { service: id, sources: to.sources.clone() });
    }
    if shrunk != to.service {
        writes.push(Write::Service { id, service: to.service });
    }
    if between.is_some() || from.slots != to.slots && to.slots.is_empty() {
        writes.push(table(to.slots.clone()));
    }
}

/// A table that serves under the old length and the new one: every slot of it has a server if any has. `None` where the length stays.
fn between(from: &Entry, to: &Entry) -> Option<Vec<u32>> {
    let (old, new) = (from.slots.len(), to.slots.len());
    if old == 0 || new == 0 || old == new {
        return None;
    }
    let mut serving: Vec<u32> = to.slots.iter().copied().filter(|slot| *slot != NO_SERVER).collect();
    if serving.is_empty() {
        serving.push(NO_SERVER);
    }
    Some(serving.into_iter().cycle().take(old.max(new)).collect())
}
