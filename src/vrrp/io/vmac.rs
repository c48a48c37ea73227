//! The virtual MAC address (RFC 9568 section 7.3): an interface of its own, macvlan on the router's, that holds the virtual
//! addresses and sends the adverts, so that neighbours keep what they have learned when the addresses move.

use super::address::{Kernel, words};
use super::link::{self, Arp, Link};
use crate::wire::arp::Mac;
use futures_util::TryStreamExt;
use rtnetlink::packet_core::DefaultNla;
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, MacVlanMode,
};
use rtnetlink::{LinkMacVlan, LinkUnspec};

/// `linux/ip.h`, IPV4_DEVCONF_*: what `/proc/sys/net/ipv4/conf` shows, settable by netlink without `/proc`.
const RP_FILTER: u16 = 8;
const ARP_ANNOUNCE: u16 = 18;
const ARP_IGNORE: u16 = 19;
const PROMOTE_SECONDARIES: u16 = 20;
const ACCEPT_LOCAL: u16 = 23;

const INET_CONF: u16 = 1;
const NESTED: u16 = 1 << 15;

/// The interface made for a router.
#[derive(Clone, Debug)]
pub struct Vmac {
    pub index: u32,
    pub base: u32,
    /// It is down while the router is no master: nothing of what the kernel says by itself on an interface (MLD reports,
    /// say) leaves with the virtual MAC address, which switches would learn at the wrong port.
    is_up: bool,
}

/// 00:00:5e:00:01:vrid, for IPv6 00:00:5e:00:02:vrid.
pub fn mac(vrid: u8, six: bool) -> Mac {
    [0, 0, 0x5e, 0, if six { 2 } else { 1 }, vrid]
}

impl Vmac {
    /// Makes the interface, and has the base leave questions about its addresses to it. `before`: how the base spoke ARP before
    /// any of ours: noted on the interface, for whoever comes after a kill.
    ///
    /// # Errors
    /// A sentence.
    pub async fn make(
        kernel: &Kernel,
        name: &str,
        mac: Mac,
        base: &Link,
        before: Arp,
    ) -> Result<(Self, Link), String> {
        let failed =
            |e: rtnetlink::Error| format!("cannot make interface {name} on {}: {}", base.name, words(&e));
        let links = kernel.handle.link();
        let message = LinkMacVlan::new(name, base.index, MacVlanMode::Private).address(mac.to_vec()).build();
        links.add(message).execute().await.map_err(failed)?;
        let made = find(kernel, name).await.map_err(failed)?;
        let alias = LinkAttribute::IfAlias(note(before));
        let noted = LinkUnspec::new_with_index(made.index).append_extra_attribute(alias).build();
        links.set(noted).execute().await.map_err(failed)?;
        // Loose: the way to the neighbours is the base.
        let own = [(RP_FILTER, 2), (ARP_IGNORE, 1), (PROMOTE_SECONDARIES, 1), (ACCEPT_LOCAL, 1)];
        links.set(conf(made.index, &own, true)).execute().await.map_err(failed)?;
        accept_no_advice(name);
        // The base neither answers for the virtual addresses nor asks in their name: its MAC would be learned for them.
        set_arp(kernel, base.index, Arp { ignore: 1, announce: 2 }).await.map_err(failed)?;
        let made = find(kernel, name).await.map_err(failed)?;
        Ok((Self { index: made.index, base: base.index, is_up: false }, made))
    }

    /// One that was made before.
    pub fn adopt(link: &Link) -> Option<Self> {
        Some(Self { index: link.index, base: link.macvlan_of?, is_up: link.is_up })
    }

    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Sets it up, or down; answers what it is then, if it was not so before.
    ///
    /// # Errors
    /// A sentence.
    pub async fn set(&mut self, kernel: &Kernel, up: bool) -> Result<Option<Link>, String> {
        if self.is_up == up {
            return Ok(None);
        }
        let failed = |e: rtnetlink::Error| {
            format!("cannot set interface {} {}: {}", self.index, if up { "up" } else { "down" }, words(&e))
        };
        let link = LinkUnspec::new_with_index(self.index);
        let message = if up { link.up() } else { link.down() }.build();
        kernel.handle.link().set(message).execute().await.map_err(failed)?;
        self.is_up = up;
        let mut found = kernel.handle.link().get().match_index(self.index).execute();
        let found = found.try_next().await.map_err(failed)?;
        Ok(found.as_ref().map(link::read))
    }

    pub async fn remove(self, kernel: &Kernel) {
        // It may be gone by now.
        let _ = kernel.handle.link().del(self.index).execute().await;
    }
}

/// # Errors
/// The kernel's: there is no such interface any more.
pub async fn set_arp(kernel: &Kernel, base: u32, arp: Arp) -> Result<(), rtnetlink::Error> {
    let values = [(ARP_IGNORE, arp.ignore), (ARP_ANNOUNCE, arp.announce)];
    kernel.handle.link().set(conf(base, &values, false)).execute().await
}

/// For people, and for [`noted`].
fn note(before: Arp) -> String {
    format!("weir: arp_ignore {} arp_announce {} before", before.ignore, before.announce)
}

/// How the base of an interface spoke ARP before it was made.
pub fn noted(link: &Link) -> Option<Arp> {
    let words: Vec<&str> = link.alias.as_deref()?.split(' ').collect();
    let ["weir:", "arp_ignore", ignore, "arp_announce", announce, "before"] = words[..] else { return None };
    Some(Arp { ignore: ignore.parse().ok()?, announce: announce.parse().ok()? })
}

async fn find(kernel: &Kernel, name: &str) -> Result<Link, rtnetlink::Error> {
    let message = kernel.handle.link().get().match_name(name.to_owned()).execute().try_next().await?;
    message.as_ref().map(link::read).ok_or(rtnetlink::Error::RequestFailed)
}

/// Settings of an interface. `is_bare`: no IPv6 address of its own.
fn conf(index: u32, values: &[(u16, u32)], is_bare: bool) -> rtnetlink::packet_route::link::LinkMessage {
    let nested: Vec<u8> = values
        .iter()
        .flat_map(|(kind, value)| {
            [&8u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value.to_ne_bytes()].concat()
        })
        .collect();
    let inet = AfSpecInet::Other(DefaultNla::new(INET_CONF | NESTED, nested));
    let mut families = vec![AfSpecUnspec::Inet(vec![inet])];
    if is_bare {
        families.push(AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]));
    }
    LinkUnspec::new_with_index(index).append_extra_attribute(LinkAttribute::AfSpecUnspec(families)).build()
}

/// No addresses by what routers advise either. There is no netlink for this; under `chroot` it is not done.
fn accept_no_advice(name: &str) {
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes() {
        let read = |alias: Option<&str>| {
            let message = LinkUnspec::new_with_index(7).build();
            noted(&Link { alias: alias.map(str::to_owned), ..link::read(&message) })
        };
        let arp = Arp { ignore: 8, announce: 1 };
        assert_eq!(read(Some(&note(arp))), Some(arp));
        assert_eq!(read(Some("uplink of rack 7")), None);
        assert_eq!(read(None), None);
    }

    #[test]
    fn addresses() {
        assert_eq!(mac(51, false), [0, 0, 0x5e, 0, 1, 51]);
        assert_eq!(mac(255, true), [0, 0, 0x5e, 0, 2, 255]);
    }
}
