//! How the routers reach their networks: the interface, the address adverts come from, the sockets. Made anew when the kernel
//! tells that one of them is another.

use super::Event;
use super::address::Kernel;
use super::link::{Arp, Change, Link, Links, is_unicast_link_local};
use super::socket::{Ear, Wire};
use super::strays::Strays;
use super::vmac::{self, Vmac};
use crate::config::model::vrrp::{Vrrp, VrrpConfig};
use crate::tasks::{self, Task};
use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::mpsc;

/// A router's own interface, and one more that carries its adverts too.
const PATHS: usize = 2;

pub struct Ports {
    ports: Vec<[Option<Path>; PATHS]>,
    vmacs: Vec<Option<Vmac>>,
    /// How the interfaces with one of those on them spoke ARP before.
    bases: HashMap<u32, Arp>,
    /// Addresses that move: never a source.
    virtuals: Vec<IpAddr>,
    /// Per router, the adverts of ids that none on its interfaces has.
    strays: Vec<Rc<Cell<u64>>>,
    /// Family, interface and id of all routers.
    known: Vec<(bool, String, u8)>,
    tell: mpsc::Sender<Event>,
    /// What packets are marked with: places change with a reload.
    ids: Vec<u64>,
    next_id: u64,
}

struct Path {
    wire: Rc<Wire>,
    strays: Strays,
    _receivers: Vec<Task>,
}

/// What became of a router's paths.
pub struct Attached {
    /// Where its adverts come from, or why it cannot serve.
    pub own: Result<IpAddr, String>,
    /// Why the further path is no good.
    pub further: Option<String>,
}

impl Ports {
    pub fn new(config: &VrrpConfig, tell: mpsc::Sender<Event>) -> Self {
        let virtuals = config.addresses();
        let ports = config.routers.iter().map(|_| Default::default()).collect();
        Self {
            ports,
            vmacs: vec![None; config.routers.len()],
            bases: HashMap::new(),
            virtuals,
            strays: config.routers.iter().map(|_| Rc::default()).collect(),
            known: known(config),
            tell,
            ids: (0..).take(config.routers.len()).collect(),
            next_id: u64::try_from(config.routers.len()).unwrap_or(0),
        }
    }

    /// Goes on with the routers of another configuration, `places` being those they have had. What was made for others is removed.
    pub async fn renew(
        &mut self,
        config: &VrrpConfig,
        places: &[Option<usize>],
        links: &Links,
        kernel: &Kernel,
    ) {
        let mut next = Self::new(config, self.tell.clone());
        next.bases = std::mem::take(&mut self.bases);
        for (at, place) in places.iter().enumerate() {
            match place {
                Some(before) => {
                    next.ports[at] = std::mem::take(&mut self.ports[*before]);
                    next.vmacs[at] = self.vmacs[*before].take();
                    next.strays[at] = Rc::clone(&self.strays[*before]);
                    next.ids[at] = self.ids[*before];
                }
                None => {
                    next.ids[at] = self.next_id;
                    self.next_id += 1;
                }
            }
        }
        next.next_id = self.next_id;
        if next.known != self.known {
            next.tell_strays(config, links);
        }
        // Sockets on it first.
        self.ports.clear();
        for vmac in self.vmacs.iter_mut().filter_map(Option::take) {
            let base = vmac.base;
            vmac.remove(kernel).await;
            if !next.vmacs.iter().flatten().any(|kept| kept.base == base)
                && let Some(before) = next.bases.remove(&base)
            {
                // It may be gone by now.
                let _ = vmac::set_arp(kernel, base, before).await;
            }
        }
        *self = next;
    }

    /// Others count as strays now.
    fn tell_strays(&mut self, config: &VrrpConfig, links: &Links) {
        for ((router, paths), total) in config.routers.iter().zip(&mut self.ports).zip(&self.strays) {
            for path in paths.iter_mut().flatten() {
                let link = links.get(path.wire.carrier);
                let opened = link.map(|link| open_strays(&self.known, Some(total), link, router.is_v6()));
                // Without another socket the one of before goes on.
                if let Some(Ok(strays)) = opened {
                    path.strays = strays;
                }
            }
        }
    }

    /// The router that packets with this mark are for; it may be gone.
    pub fn place(&self, id: u64) -> Option<usize> {
        self.ids.iter().position(|known| *known == id)
    }

    /// Opens what is not open on the interfaces as they are now.
    pub async fn attach(&mut self, at: usize, router: &Vrrp, links: &mut Links, kernel: &Kernel) -> Attached {
        let own = match &router.vmac {
            Some(name) => match self.make_vmac(at, name, router, links, kernel).await {
                Ok(()) => self.attach_path(at, 0, router, links),
                Err(why) => Err(why),
            },
            None => self.attach_path(at, 0, router, links),
        };
        let further = match &router.further {
            Some(_) => self.attach_path(at, 1, router, links).err(),
            None => {
                if let Some([_, further]) = self.ports.get_mut(at) {
                    *further = None;
                }
                None
            }
        };
        Attached { own, further }
    }

    /// The virtual MAC's interface, if it is not there yet or no longer.
    async fn make_vmac(
        &mut self,
        at: usize,
        name: &str,
        router: &Vrrp,
        links: &mut Links,
        kernel: &Kernel,
    ) -> Result<(), String> {
        // Its absence is told when the path is attached.
        let Some(base) = links.named(&router.interface).cloned() else { return Ok(()) };
        let Some(slot) = self.vmacs.get_mut(at) else { return Ok(()) };
        if slot.as_ref().is_some_and(|v| v.base == base.index && links.get(v.index).is_some()) {
            return Ok(());
        }
        let before = *self.bases.entry(base.index).or_insert(base.arp);
        let mac = vmac::mac(router.vrid, router.is_v6());
        let (vmac, link) = Vmac::make(kernel, name, mac, &base, before).await?;
        links.learn(Change::Link(link));
        *slot = Some(vmac);
        Ok(())
    }

    /// An interface with a virtual MAC address was there when the process started.
    pub fn remember(&mut self, left: &Link) {
        if let (Some(base), Some(arp)) = (left.macvlan_of, vmac::noted(left)) {
            self.bases.entry(base).or_insert(arp);
        }
    }

    /// Sets a router's own interface up or down, if it has one.
    ///
    /// # Errors
    /// A sentence.
    pub async fn set(
        &mut self,
        at: usize,
        up: bool,
        links: &mut Links,
        kernel: &Kernel,
    ) -> Result<(), String> {
        let Some(Some(vmac)) = self.vmacs.get_mut(at) else { return Ok(()) };
        if let Some(link) = vmac.set(kernel, up).await? {
            links.learn(Change::Link(link));
        }
        Ok(())
    }

    /// The interface of the process before goes on as this one's; it was up with its addresses.
    pub fn adopt(&mut self, at: usize, left: &Link) {
        if let (Some(slot), Some(vmac)) = (self.vmacs.get_mut(at), Vmac::adopt(left)) {
            *slot = Some(vmac);
        }
    }

    /// Removes what was made, but for the interfaces of the routers `left` to another process, and leaves the rest as it was.
    pub async fn close(&mut self, left: &[usize], kernel: &Kernel) {
        self.ports.clear();
        for (at, vmac) in self.vmacs.iter_mut().enumerate() {
            let Some(vmac) = vmac.take() else { continue };
            if left.contains(&at) {
                self.bases.remove(&vmac.base);
            } else {
                vmac.remove(kernel).await;
            }
        }
        for (base, before) in self.bases.drain() {
            // It may be gone by now.
            let _ = vmac::set_arp(kernel, base, before).await;
        }
    }

    /// The interface addresses of a router belong on by themselves, if it is there.
    pub fn own_device(&self, at: usize, router: &Vrrp, links: &Links) -> Option<u32> {
        match (&router.vmac, self.vmacs.get(at)) {
            (Some(_), Some(vmac)) => {
                vmac.as_ref().map(|v| v.index).filter(|index| links.get(*index).is_some())
            }
            _ => links.named(&router.interface).map(|l| l.index),
        }
    }

    fn attach_path(
        &mut self,
        at: usize,
        path: usize,
        router: &Vrrp,
        links: &Links,
    ) -> Result<IpAddr, String> {
        let Some(interface) = router.interfaces().nth(path) else { return Err("no interface".to_owned()) };
        let vmac = self.vmacs.get(at).and_then(Option::as_ref).map(|v| v.index);
        let id = self.ids.get(at).copied().unwrap_or(u64::MAX);
        let strays = |link: &Link| open_strays(&self.known, self.strays.get(at), link, router.is_v6());
        let Some(slot) = self.ports.get_mut(at).and_then(|paths| paths.get_mut(path)) else {
            return Err("no such router".to_owned());
        };
        let Some(link) = links.named(interface) else {
            *slot = None;
            return Err(format!("interface {interface} is gone"));
        };
        if !link.is_up {
            return Err(format!("interface {interface} is down"));
        }
        let was = slot.as_ref().map(|p| p.wire.source);
        let given = router.source.filter(|_| path == 0);
        let Some(source) = given.or_else(|| links.source(link.index, wanted(router), &self.virtuals, was))
        else {
            *slot = None;
            return Err(format!("interface {interface} has no {} to send from", wanted(router).name()));
        };
        // Peers are reached by the routes of the base.
        let vmac = vmac.filter(|_| path == 0 && router.peers.is_empty()).and_then(|index| links.get(index));
        let outlet = vmac.unwrap_or(link);
        let is_same = |p: &Path| (p.wire.interface, p.wire.source) == (outlet.index, source);
        if !slot.as_ref().is_some_and(is_same) {
            *slot = None;
            let wire = Wire::open(link, outlet, source, router.vrid)
                .map_err(|e| format!("no raw socket on {interface} from {source}: {e}"))?;
            let wire = Rc::new(wire);
            let strays = strays(link)?;
            let receive = |ear| {
                let (receiving, tell) = (Rc::clone(&wire), self.tell.clone());
                tasks::start("vrrp adverts", async move { receiving.receive(id, path, ear, &tell).await })
            };
            let receivers = wire.ears().map(receive).collect();
            *slot = Some(Path { wire, strays, _receivers: receivers });
        }
        Ok(source)
    }

    /// Adverts on the interfaces of a router whose ids none there has.
    pub fn strays(&self, at: usize) -> u64 {
        self.ports.get(at).into_iter().flatten().flatten().for_each(|path| path.strays.count());
        self.strays.get(at).map_or(0, |total| total.get())
    }

    /// The open paths of a router.
    pub fn wires(&self, at: usize) -> impl Iterator<Item = &Rc<Wire>> {
        self.ports.get(at).into_iter().flatten().flatten().map(|p| &p.wire)
    }

    /// Whether what comes by an ear counts now: by the other one it is heard too, or nothing is.
    pub fn listens(&self, at: usize, path: usize, ear: Ear) -> bool {
        let hears_virtually = || self.wires(at).next().is_some_and(|w| w.ears().any(|e| e == Ear::Virtual));
        let vmac = self.vmacs.get(at).and_then(Option::as_ref).filter(|_| path == 0 && hears_virtually());
        vmac.is_none_or(|vmac| vmac.is_up() == (ear == Ear::Virtual))
    }

    /// Our address on a path.
    pub fn local(&self, at: usize, path: usize) -> Option<IpAddr> {
        self.ports.get(at)?.get(path)?.as_ref().map(|p| p.wire.source)
    }
}

/// Family, interface and id of all routers.
fn known(config: &VrrpConfig) -> Vec<(bool, String, u8)> {
    let of =
        |r: &Vrrp| -> Vec<_> { r.interfaces().map(|name| (r.is_v6(), name.to_owned(), r.vrid)).collect() };
    config.routers.iter().flat_map(of).collect()
}

/// `known`: family, interface and id of all routers.
fn open_strays(
    known: &[(bool, String, u8)],
    total: Option<&Rc<Cell<u64>>>,
    link: &Link,
    six: bool,
) -> Result<Strays, String> {
    let here = known.iter().filter(|(family, name, _)| (*family, name) == (six, &link.name));
    let vrids: Vec<u8> = here.map(|(_, _, vrid)| *vrid).collect();
    let total = total.cloned().unwrap_or_default();
    Strays::open(link, six, &vrids, &total)
        .map_err(|e| format!("no raw socket on {} for adverts of others: {e}", link.name))
}

/// Which of an interface's addresses adverts are sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    V4,
    /// As the RFC has it for the group.
    LinkLocal,
    /// To peers that are not on the link only.
    Global,
}

impl Wanted {
    pub fn fits(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4, IpAddr::V4(_)) => true,
            (Self::LinkLocal, IpAddr::V6(six)) => is_unicast_link_local(six),
            (Self::Global, IpAddr::V6(six)) => !is_unicast_link_local(six),
            _ => false,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4 address",
            Self::LinkLocal => "usable link-local IPv6 address",
            Self::Global => "usable global IPv6 address",
        }
    }
}

pub fn wanted(router: &Vrrp) -> Wanted {
    match router.peers.first() {
        _ if !router.is_v6() => Wanted::V4,
        Some(IpAddr::V6(peer)) if !is_unicast_link_local(*peer) => Wanted::Global,
        _ => Wanted::LinkLocal,
    }
}
