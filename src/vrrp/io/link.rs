//! The interfaces: what they are at the start, and what the kernel tells of them later.

use super::Event;
use crate::config::model::vrrp::VirtualAddress;
use crate::tasks;
use crate::wire::arp::Mac;
use futures_util::{StreamExt, TryStreamExt};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use tokio::sync::mpsc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Option<Mac>,
    /// Up, with a carrier.
    pub is_up: bool,
    pub is_gone: bool,
    /// Its first IPv4 address.
    pub address: Option<Ipv4Addr>,
}

/// All interfaces now. For the start, before there is a reactor: makes one of its own.
///
/// # Errors
/// No netlink.
pub fn list() -> Result<Vec<Link>, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|e| e.to_string())?;
        let _connection = tasks::start("netlink", connection);
        ask(&handle).await.map_err(|e| e.to_string())
    })
}

async fn ask(handle: &Handle) -> Result<Vec<Link>, rtnetlink::Error> {
    let messages: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let mut links: Vec<Link> = messages.iter().map(|m| link(m, false)).collect();
    let addresses: Vec<_> = handle.address().get().execute().try_collect().await?;
    for message in addresses {
        let first = message.attributes.iter().find_map(|a| match a {
            AddressAttribute::Local(IpAddr::V4(v4)) => Some(*v4),
            _ => None,
        });
        if let Some(link) = links.iter_mut().find(|l| l.index == message.header.index) {
            link.address = link.address.or(first);
        }
    }
    Ok(links)
}

fn link(message: &LinkMessage, is_gone: bool) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        mac: None,
        is_up: message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp) && !is_gone,
        is_gone,
        address: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok(),
            _ => {}
        }
    }
    link
}

/// Tells of each change of a link.
pub async fn watch(tell: mpsc::Sender<Event>) {
    let Ok((connection, handle, mut messages)) = rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
    else {
        return;
    };
    let _connection = tasks::start("vrrp link events", connection);
    // What changed between the start and now.
    if let Ok(links) = ask(&handle).await {
        for link in links {
            let _ = tell.send(Event::Link(link)).await;
        }
    }
    while let Some((message, _)) = messages.next().await {
        let link = match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(m)) => link(&m, false),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(m)) => link(&m, true),
            _ => continue,
        };
        if tell.send(Event::Link(link)).await.is_err() {
            return;
        }
    }
}

/// Links by index, and each router's own.
pub struct Links {
    by_index: HashMap<u32, Link>,
    /// Of each router.
    own: Vec<u32>,
}

impl Links {
    /// `own`: the link of each router, in their order.
    pub fn new(own: Vec<Link>) -> Self {
        let indices = own.iter().map(|l| l.index).collect();
        Self { by_index: own.into_iter().map(|l| (l.index, l)).collect(), own: indices }
    }

    /// The device an address of a router belongs on, if it is there.
    pub fn device(&self, router: usize, address: &VirtualAddress) -> Option<u32> {
        match &address.device {
            None => self.own.get(router).copied(),
            Some(name) => self.named(name).map(|l| l.index),
        }
    }

    pub fn named(&self, name: &str) -> Option<&Link> {
        self.by_index.values().find(|l| l.name == name && !l.is_gone)
    }

    pub fn name(&self, index: u32) -> &str {
        self.by_index.get(&index).map_or("?", |l| l.name.as_str())
    }

    pub fn mac(&self, index: u32) -> Option<Mac> {
        self.by_index.get(&index)?.mac
    }

    /// Keeps a link's new state. Answers the routers on it and why they cannot serve, or that they can.
    pub fn learn(&mut self, link: Link) -> Vec<(usize, Option<String>)> {
        let why = match (link.is_gone, link.is_up) {
            (true, _) => Some(format!("interface {} is gone", link.name)),
            (false, false) => Some(format!("interface {} is down", link.name)),
            (false, true) => None,
        };
        let index = link.index;
        self.by_index.insert(index, link);
        (0..self.own.len()).filter(|at| self.own[*at] == index).map(|at| (at, why.clone())).collect()
    }
}
