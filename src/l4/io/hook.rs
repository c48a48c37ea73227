//! Where the program stands: at the tc ingress of every Ethernet interface that has its own packets. A link (tcx, Linux 6.6) goes with the
//! process however that ends, unless it is pinned: then it outlasts a process that is killed. Filters of older kernels are removed by name when the process ends, and when the next one starts.

use super::pins::{Pin, Pins};
use super::plane::{INGRESS, kernel};
use super::presence;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions, qdisc_add_clsact, qdisc_detach_program};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, tc::NlOptions};
use aya::util::KernelVersion;
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

const INTERFACES: &str = "/sys/class/net";

/// `ARPHRD_ETHER` of linux/if_arp.h.
const ETHERNET: &str = "1";

/// An interface by its name and number: a name may be given to another one later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interface {
    pub name: String,
    pub index: u32,
}

#[derive(Default)]
pub struct Hooks {
    at: BTreeMap<Interface, Hook>,
    /// The kernel's list of interfaces. Stays good when the process changes its root.
    list: Option<OwnedFd>,
}

/// Detaches when dropped.
struct Hook {
    _link: Link,
    _pin: Option<Pin>,
}

/// Held for its drop alone.
#[allow(dead_code)]
enum Link {
    Own(SchedClassifierLink),
    Pinned(PinnedLink),
}

impl Hooks {
    pub fn attach(
        &mut self,
        program: &mut SchedClassifier,
        pins: Option<&Pins>,
    ) -> Result<Vec<Interface>, String> {
        let list = match self.list.take() {
            Some(list) => list,
            None => open_list().map_err(|e| format!("mode l4 : cannot read {INTERFACES}: {e}"))?,
        };
        let present = interfaces(&list);
        self.list = Some(list);
        self.at.retain(|interface, _| present.contains(interface));
        for interface in present {
            if let Entry::Vacant(place) = self.at.entry(interface) {
                let (name, index) = (place.key().name.clone(), place.key().index);
                place.insert(keep(program, &name, pins.map(|pins| pins.link(index)))?);
            }
        }
        Ok(self.at.keys().cloned().collect())
    }
}

impl Hooks {
    /// The interfaces where somebody took the program off. They count as new ones from now on.
    pub fn lost(&mut self, program: u32) -> Vec<String> {
        let lost = |at: &Interface| presence::stands(program, at.index) == Some(false);
        let lost: Vec<Interface> = self.at.keys().filter(|at| lost(at)).cloned().collect();
        self.at.retain(|interface, _| !lost.contains(interface));
        lost.into_iter().map(|interface| interface.name).collect()
    }
}

/// Attaches and pins; a link that cannot be pinned, as to an interface that came after the process changed its root, goes with the process.
fn keep(
    program: &mut SchedClassifier,
    interface: &str,
    place: Option<(PathBuf, Pin)>,
) -> Result<Hook, String> {
    let link = attach(program, interface)?;
    let Some((path, pin)) = place.filter(|_| has_links()) else {
        return Ok(Hook { _link: Link::Own(link), _pin: None });
    };
    let link = FdLink::try_from(link).map_err(|e| kernel(&format!("the link at '{interface}'"), &e))?;
    match link.pin(path) {
        Ok(link) => Ok(Hook { _link: Link::Pinned(link), _pin: Some(pin) }),
        Err(_) => Ok(Hook { _link: Link::Own(attach(program, interface)?), _pin: None }),
    }
}

fn has_links() -> bool {
    KernelVersion::current().is_ok_and(|kernel| kernel >= KernelVersion::new(6, 6, 0))
}

fn attach(program: &mut SchedClassifier, interface: &str) -> Result<SchedClassifierLink, String> {
    let failed = |e: &dyn std::error::Error| kernel(&format!("cannot attach to interface '{interface}'"), e);
    let id = if has_links() {
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        program.attach_with_options(interface, TcAttachType::Ingress, first)
    } else {
        // There already, or there for others: both are fine.
        let _ = qdisc_add_clsact(interface);
        let _ = qdisc_detach_program(interface, TcAttachType::Ingress, INGRESS);
        program.attach_with_options(
            interface,
            TcAttachType::Ingress,
            TcAttachOptions::Netlink(NlOptions::default()),
        )
    };
    let id = id.map_err(|e| failed(&e))?;
    program.take_link(id).map_err(|e| failed(&e))
}

/// The names of those interfaces.
pub(super) fn ethernet() -> Vec<String> {
    let list = open_list().map(|list| interfaces(&list)).unwrap_or_default();
    list.into_iter().map(|interface| interface.name).collect()
}

fn open_list() -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(INTERFACES, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Ethernet interfaces whose packets are their own: not the ports of a bridge or a bond, which see what belongs to others first.
fn interfaces(list: &OwnedFd) -> Vec<Interface> {
    let entries = Dir::read_from(list).into_iter().flatten().flatten();
    let mut found: Vec<Interface> =
        entries.filter_map(|entry| interface(list, entry.file_name().to_str().ok()?)).collect();
    found.sort();
    found
}

fn interface(list: &OwnedFd, name: &str) -> Option<Interface> {
    let is_port = rustix::fs::statat(list, format!("{name}/master"), AtFlags::empty()).is_ok();
    if is_port || read(list, name, "type")? != ETHERNET {
        return None;
    }
    Some(Interface { name: name.to_owned(), index: read(list, name, "ifindex")?.parse().ok()? })
}

fn read(list: &OwnedFd, name: &str, what: &str) -> Option<String> {
    let file =
        rustix::fs::openat(list, format!("{name}/{what}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let mut text = String::new();
    File::from(file.ok()?).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}
