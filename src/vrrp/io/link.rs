//! The interfaces and their addresses: what they are at the start, and what the kernel tells of them later.

use super::Event;
use super::port::Wanted;
use crate::tasks;
use crate::wire::arp::Mac;
use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{Handle, MulticastGroup};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use tokio::sync::mpsc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Option<Mac>,
    /// Up, with a carrier.
    pub is_up: bool,
    /// Forwards IPv6: says so in its neighbour advertisements.
    pub is_router: bool,
    pub arp: Arp,
    /// The interface it is a macvlan of.
    pub macvlan_of: Option<u32>,
    /// A note somebody has put on it.
    pub alias: Option<String>,
}

/// How a link speaks ARP: its settings of these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arp {
    pub ignore: u32,
    pub announce: u32,
}

/// An address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub index: u32,
    pub address: IpAddr,
    /// Not of duplicate address detection's: still in it, or failed.
    pub is_usable: bool,
}

/// What the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Link(Link),
    Gone(u32),
    Address(Assigned),
    AddressGone { index: u32, address: IpAddr },
}

/// All interfaces and addresses now. For the start, before there is a reactor: makes one of its own.
///
/// # Errors
/// No netlink.
pub fn list() -> Result<Vec<Change>, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| e.to_string())?;
        let _connection = tasks::start("netlink", connection);
        ask(&handle).await.map_err(|e| e.to_string())
    })
}

pub async fn ask(handle: &Handle) -> Result<Vec<Change>, rtnetlink::Error> {
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let addresses: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
    let links = links.iter().map(|m| Change::Link(read(m)));
    Ok(links.chain(addresses.iter().filter_map(|m| assigned(m).map(Change::Address))).collect())
}

/// What a message of the kernel says of a link.
pub fn read(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        is_up: message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        is_router: false,
        arp: Arp::default(),
        macvlan_of: None,
        alias: None,
    };
    let mut base = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok(),
            LinkAttribute::AfSpecUnspec(families) => families.iter().for_each(|f| settings(f, &mut link)),
            LinkAttribute::IfAlias(note) => link.alias = Some(note.clone()),
            LinkAttribute::Link(index) => base = Some(*index),
            LinkAttribute::LinkInfo(infos) if infos.contains(&LinkInfo::Kind(InfoKind::MacVlan)) => {
                link.macvlan_of = Some(0);
            }
            _ => {}
        }
    }
    link.macvlan_of = link.macvlan_of.and(base);
    link
}

fn settings(family: &AfSpecUnspec, link: &mut Link) {
    match family {
        AfSpecUnspec::Inet(all) => all.iter().for_each(|a| {
            if let AfSpecInet::DevConf(conf) = a {
                let value = |v: i32| u32::try_from(v).unwrap_or(0);
                link.arp = Arp { ignore: value(conf.arp_ignore), announce: value(conf.arp_announce) };
            }
        }),
        AfSpecUnspec::Inet6(all) => all.iter().for_each(|a| {
            if let AfSpecInet6::DevConf(conf) = a {
                link.is_router = conf.forwarding != 0;
            }
        }),
        _ => {}
    }
}

fn assigned(message: &AddressMessage) -> Option<Assigned> {
    let (mut local, mut address, mut flags) = (None, None, AddressFlags::empty());
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link the other one is the peer's.
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Flags(bits) => flags = *bits,
            _ => {}
        }
    }
    let is_usable = !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed);
    Some(Assigned { index: message.header.index, address: local.or(address)?, is_usable })
}

/// Tells of each change of a link or an address.
pub async fn watch(tell: mpsc::Sender<Event>) {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let Ok((connection, handle, mut messages)) = rtnetlink::new_multicast_connection(&groups) else {
        return;
    };
    let _connection = tasks::start("vrrp link events", connection);
    // What changed between the start and now.
    if let Ok(changes) = ask(&handle).await {
        for change in changes {
            let _ = tell.send(Event::Link(change)).await;
        }
    }
    while let Some((message, _)) = messages.next().await {
        let NetlinkPayload::InnerMessage(message) = message.payload else { continue };
        if let Some(change) = change(&message)
            && tell.send(Event::Link(change)).await.is_err()
        {
            return;
        }
    }
}

fn change(message: &RouteNetlinkMessage) -> Option<Change> {
    Some(match message {
        RouteNetlinkMessage::NewLink(m) => Change::Link(read(m)),
        RouteNetlinkMessage::DelLink(m) => Change::Gone(m.header.index),
        RouteNetlinkMessage::NewAddress(m) => Change::Address(assigned(m)?),
        RouteNetlinkMessage::DelAddress(m) => {
            let gone = assigned(m)?;
            Change::AddressGone { index: gone.index, address: gone.address }
        }
        _ => return None,
    })
}

/// The interfaces as they are known.
#[derive(Clone, Debug, Default)]
pub struct Links {
    by_index: HashMap<u32, Link>,
    /// In the kernel's order.
    addresses: Vec<Assigned>,
}

impl Links {
    pub fn new(changes: Vec<Change>) -> Self {
        let mut links = Self::default();
        for change in changes {
            links.learn(change);
        }
        links
    }

    pub fn learn(&mut self, change: Change) {
        match change {
            Change::Link(link) => {
                self.by_index.insert(link.index, link);
            }
            Change::Gone(index) => {
                self.by_index.remove(&index);
                self.addresses.retain(|a| a.index != index);
            }
            Change::Address(new) => {
                let known =
                    self.addresses.iter_mut().find(|a| a.index == new.index && a.address == new.address);
                match known {
                    Some(known) => *known = new,
                    None => self.addresses.push(new),
                }
            }
            Change::AddressGone { index, address } => {
                self.addresses.retain(|a| (a.index, a.address) != (index, address));
            }
        }
    }

    pub fn get(&self, index: u32) -> Option<&Link> {
        self.by_index.get(&index)
    }

    pub fn named(&self, name: &str) -> Option<&Link> {
        self.by_index.values().find(|l| l.name == name)
    }

    pub fn names(&self) -> String {
        let mut links: Vec<&Link> = self.by_index.values().collect();
        links.sort_by_key(|l| l.index);
        links.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The first address of a link that adverts can be sent from: none of `others`, which are virtual. The one it was stays.
    pub fn source(
        &self,
        index: u32,
        wanted: Wanted,
        others: &[IpAddr],
        was: Option<IpAddr>,
    ) -> Option<IpAddr> {
        let fits = |a: &&Assigned| {
            a.index == index && a.is_usable && wanted.fits(a.address) && !others.contains(&a.address)
        };
        let mut all = self.addresses.iter().filter(fits).map(|a| a.address);
        let first = all.clone().next();
        was.filter(|was| all.any(|a| a == *was)).or(first)
    }
}

pub fn is_unicast_link_local(six: Ipv6Addr) -> bool {
    six.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let mut links = Links::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for address in ["10.0.0.100", "10.0.0.1", "10.0.0.2", "2001:db8::1", "fe80::100", "fe80::1"] {
            links.learn(Change::Address(Assigned { index: 2, address: ip(address), is_usable: true }));
        }
        let others = [ip("10.0.0.100"), ip("fe80::100")];
        let check = |links: &Links, wanted, was: Option<&str>, expected: Option<&str>| {
            assert_eq!(links.source(2, wanted, &others, was.map(ip)), expected.map(ip));
        };
        check(&links, Wanted::V4, None, Some("10.0.0.1"));
        check(&links, Wanted::V4, Some("10.0.0.2"), Some("10.0.0.2"));
        check(&links, Wanted::V4, Some("10.0.0.9"), Some("10.0.0.1"));
        check(&links, Wanted::LinkLocal, None, Some("fe80::1"));
        check(&links, Wanted::Global, None, Some("2001:db8::1"));
        links.learn(Change::Address(Assigned { index: 2, address: ip("fe80::1"), is_usable: false }));
        check(&links, Wanted::LinkLocal, None, None);
        links.learn(Change::AddressGone { index: 2, address: ip("10.0.0.1") });
        check(&links, Wanted::V4, None, Some("10.0.0.2"));
        links.learn(Change::Gone(2));
        check(&links, Wanted::V4, None, None);
    }
}
