//! Changes of the maps, in the order they are to be made. What a record refers to is written before the record: servers, then lists and
//! tables, then the service, then the addresses that lead to it; removals go the other way round.

use super::abi::{Address, AddressKey, Member, Origin, Server, Service};

/// Id of a service: its place in the map `services`, below [`super::abi::SERVICES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);

/// Id of a server: its place in the maps `servers`, `loads` and `traffic`, below [`super::abi::SERVERS`]. A server of two services has two.
/// An id may be given to another server once no flow has it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// nat: what comes from there is of that virtual address.
    Origin {
        place: u32,
        origin: Origin,
    },
    Server {
        id: ServerId,
        server: Server,
    },
    /// The whole list of a service's servers that may get new flows, swapped at once.
    Members {
        service: ServiceId,
        members: Vec<Member>,
    },
    /// The whole table of a service, swapped at once; `u32` is a server's id or [`super::abi::NO_SERVER`].
    Table {
        service: ServiceId,
        slots: Vec<u32>,
    },
    /// fullnat: the addresses that a service's servers see.
    Sources {
        service: ServiceId,
        sources: Vec<Address>,
    },
    Service {
        id: ServiceId,
        service: Service,
    },
    Address {
        key: AddressKey,
        service: ServiceId,
    },
    RemoveAddress {
        key: AddressKey,
    },
    RemoveService {
        id: ServiceId,
    },
    /// For a server no flow has any more: its record and its counters become zero.
    RemoveServer {
        id: ServerId,
    },
    /// After the server whose it was.
    RemoveOrigin {
        place: u32,
    },
}
