//! How the routers reach their networks: the interface, the address adverts come from, the sockets. Made anew when the kernel
//! tells that one of them is another.

use super::Event;
use super::link::{Links, is_unicast_link_local};
use super::socket::Wire;
use crate::config::model::vrrp::{Vrrp, VrrpConfig};
use crate::tasks::{self, Task};
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::mpsc;

/// A router's own interface, and one more that carries its adverts too.
const PATHS: usize = 2;

pub struct Ports {
    ports: Vec<[Option<Path>; PATHS]>,
    /// Addresses that move: never a source.
    virtuals: Vec<IpAddr>,
    tell: mpsc::Sender<Event>,
}

struct Path {
    wire: Rc<Wire>,
    _receiver: Task,
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
        let virtuals = config.routers.iter().flat_map(|r| &r.addresses).map(|a| a.address).collect();
        Self { ports: config.routers.iter().map(|_| Default::default()).collect(), virtuals, tell }
    }

    /// Opens what is not open on the interfaces as they are now.
    pub fn attach(&mut self, at: usize, router: &Vrrp, links: &Links) -> Attached {
        let own = self.attach_path(at, 0, &router.interface, router, links);
        let further =
            router.further.as_ref().and_then(|name| self.attach_path(at, 1, name, router, links).err());
        Attached { own, further }
    }

    fn attach_path(
        &mut self,
        at: usize,
        path: usize,
        interface: &str,
        router: &Vrrp,
        links: &Links,
    ) -> Result<IpAddr, String> {
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
        let is_same = |p: &Path| (p.wire.interface, p.wire.source) == (link.index, source);
        if !slot.as_ref().is_some_and(is_same) {
            *slot = None;
            let wire = Wire::open(link, source, router.vrid, false)
                .map_err(|e| format!("no raw socket on {interface} from {source}: {e}"))?;
            let wire = Rc::new(wire);
            let (receiving, tell) = (Rc::clone(&wire), self.tell.clone());
            let receiver =
                tasks::start("vrrp adverts", async move { receiving.receive(at, path, &tell).await });
            *slot = Some(Path { wire, _receiver: receiver });
        }
        Ok(source)
    }

    /// The open paths of a router.
    pub fn wires(&self, at: usize) -> impl Iterator<Item = &Rc<Wire>> {
        self.ports.get(at).into_iter().flatten().flatten().map(|p| &p.wire)
    }

    /// Our address on a path.
    pub fn local(&self, at: usize, path: usize) -> Option<IpAddr> {
        self.ports.get(at)?.get(path)?.as_ref().map(|p| p.wire.source)
    }
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
    let six = router.addresses.first().is_some_and(|a| a.address.is_ipv6());
    match router.peers.first() {
        _ if !six => Wanted::V4,
        Some(IpAddr::V6(peer)) if !is_unicast_link_local(*peer) => Wanted::Global,
        _ => Wanted::LinkLocal,
    }
}
