//! Where the program stands: at the tc ingress of every Ethernet interface that has its own packets. A link (tcx, Linux 6.6) goes with the
//! process however that ends, unless it is pinned: then it outlasts a process that is killed. Filters of older kernels are removed by name when the process ends, and when the next one starts.

use super::pins::{Pin, Pins};
use super::plane::{INGRESS, kernel};
use super::presence;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions, qdisc_add_clsact, qdisc_detach_program};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, tc::NlOptions};
use aya::util::KernelVersion;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

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
        let present = interfaces();
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
    interfaces().into_iter().map(|interface| interface.name).collect()
}

/// Ethernet interfaces whose packets are their own: not the ports of a bridge or a bond, which see what belongs to others first.
fn interfaces() -> Vec<Interface> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut found: Vec<Interface> = entries.flatten().filter_map(|entry| interface(&entry.path())).collect();
    found.sort();
    found
}

fn interface(path: &Path) -> Option<Interface> {
    let read = |file: &str| fs::read_to_string(path.join(file)).map(|text| text.trim().to_owned());
    if read("type").ok()? != ETHERNET || path.join("master").exists() {
        return None;
    }
    let name = path.file_name()?.to_str()?.to_owned();
    Some(Interface { name, index: read("ifindex").ok()?.parse().ok()? })
}
