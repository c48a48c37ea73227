//! What a master holds: addresses, routes and rules. Added and announced, removed, put back when somebody took them.

use super::link::{Change, Links};
use super::succession::{self, Key};
use super::{Shell, is_vmac_of};
use crate::config::model::vrrp::{VirtualAddress, VirtualRoute, VirtualRule, Vrrp};
use crate::logging::level;
use crate::vrrp::{Burst, Input, State};
use std::collections::HashSet;
use std::time::Instant;

/// What this machine holds: rules and routes with whether they are IPv6's, routes and addresses with their interfaces.
#[derive(Debug, Default)]
pub struct Held {
    rules: Vec<(bool, VirtualRule)>,
    routes: Vec<(bool, Option<u32>, VirtualRoute)>,
    addresses: Vec<(u32, VirtualAddress)>,
}

/// Does a router that was at that place before hold the same?
pub fn same(before: &[Vrrp], place: Option<&Option<usize>>, router: &Vrrp) -> bool {
    let before = place.copied().flatten().and_then(|at| before.get(at));
    before.is_some_and(|before| {
        (&before.addresses, &before.routes, &before.rules)
            == (&router.addresses, &router.routes, &router.rules)
    })
}

impl Shell {
    /// The interface an address of a router belongs on, if it is there.
    pub(super) fn device(&self, at: usize, router: &Vrrp, address: &VirtualAddress) -> Option<u32> {
        match &address.device {
            Some(name) if *name != router.interface => self.links.named(name).map(|l| l.index),
            _ => self.ports.own_device(at, router, &self.links),
        }
    }

    /// The interface of a route: without one and without a gateway the router's. `None`: it is not there.
    fn route_device(&self, at: usize, router: &Vrrp, route: &VirtualRoute) -> Option<Option<u32>> {
        let own = || self.ports.own_device(at, router, &self.links);
        Some(match (&route.device, route.via) {
            (None, Some(_)) => None,
            (None, None) => Some(own()?),
            (Some(name), _) if *name == router.interface => Some(own()?),
            (Some(name), _) => Some(self.links.named(name)?.index),
        })
    }

    /// All that a master holds.
    pub(super) async fn take(&mut self, at: usize) {
        self.raise(at, true).await;
        self.hold(at, true).await;
    }

    /// The router's own interface goes up and down with its being master.
    pub(super) async fn raise(&mut self, at: usize, up: bool) {
        let done = self.ports.set(at, up, &mut self.links, &self.kernel).await;
        self.complain(&self.routers()[at], done);
    }

    pub(super) async fn hold(&self, at: usize, hold: bool) {
        let router = &self.routers()[at];
        if hold {
            self.hold_addresses(at, router, hold).await;
        } else {
            self.hold_rules(router, hold).await;
        }
        for route in &router.routes {
            let Some(device) = self.route_device(at, router, route) else { continue };
            let done = if hold {
                self.kernel.add_route(route, device, router.is_v6()).await
            } else {
                self.kernel.remove_route(route, device, router.is_v6()).await.map(drop)
            };
            self.complain(router, done);
        }
        if hold {
            self.hold_rules(router, hold).await;
        } else {
            self.hold_addresses(at, router, hold).await;
        }
    }

    async fn hold_addresses(&self, at: usize, router: &Vrrp, hold: bool) {
        for address in &router.addresses {
            let Some(device) = self.device(at, router, address) else { continue };
            let done = if hold {
                self.kernel.add(device, address).await
            } else {
                self.kernel.remove(device, address).await.map(drop)
            };
            self.complain(router, done);
        }
    }

    async fn hold_rules(&self, router: &Vrrp, hold: bool) {
        for rule in &router.rules {
            let done = if hold {
                self.kernel.add_rule(rule, router.is_v6()).await
            } else {
                self.kernel.remove_rule(rule, router.is_v6()).await.map(drop)
            };
            self.complain(router, done);
        }
    }

    /// All that this machine holds now.
    pub(super) fn held(&self) -> Held {
        let mut held = Held::default();
        for (at, router) in self.routers().iter().enumerate() {
            if !self.node.routers.get(at).is_some_and(crate::vrrp::Router::holds) {
                continue;
            }
            held.rules.extend(router.rules.iter().map(|rule| (router.is_v6(), rule.clone())));
            for route in &router.routes {
                let device = self.route_device(at, router, route);
                held.routes.extend(device.map(|device| (router.is_v6(), device, route.clone())));
            }
            for address in &router.addresses {
                held.addresses
                    .extend(self.device(at, router, address).map(|device| (device, address.clone())));
            }
        }
        held
    }

    /// Lets go of what is not held any more.
    pub(super) async fn let_go_of(&self, before: &Held) {
        let now = self.held();
        let mut failed = Vec::new();
        for (six, rule) in before.rules.iter().filter(|rule| !now.rules.contains(rule)) {
            failed.extend(self.kernel.remove_rule(rule, *six).await.err());
        }
        for (six, device, route) in before.routes.iter().filter(|route| !now.routes.contains(route)) {
            failed.extend(self.kernel.remove_route(route, *device, *six).await.err());
        }
        for (device, address) in before.addresses.iter().filter(|held| !now.addresses.contains(held)) {
            failed.extend(self.kernel.remove(*device, address).await.err());
        }
        failed.iter().for_each(|error| self.say(level::ERR, &format!("vrrp: {error}")));
    }

    fn complain(&self, router: &Vrrp, done: Result<(), String>) {
        if let Err(error) = done {
            self.say(level::ERR, &format!("{}: {error}", router.name));
        }
    }

    pub(super) fn announce(&self, at: usize, burst: Burst) {
        let router = &self.routers()[at];
        let repeat = match burst {
            Burst::Taken => router.garp.repeat,
            Burst::Refresh => router.garp.refresh_repeat,
            Burst::Lower => router.garp.lower_repeat,
        };
        let addresses = router.addresses.iter().filter_map(|address| {
            Some((self.links.get(self.device(at, router, address)?)?, address.address))
        });
        let mut addresses: Vec<_> = addresses.collect();
        // Each once before any is repeated: what goes to the last one still goes to the other node meanwhile.
        for _ in 0..repeat {
            addresses.retain(|(link, address)| {
                let sent = self.announcer.announce(link, *address);
                if let Err(error) = &sent {
                    self.say(level::WARNING, &format!("{}: announcement: {error}", router.name));
                }
                sent.is_ok()
            });
        }
    }

    /// What a crashed run left behind: this node is no master as it starts.
    pub(super) async fn clean(&mut self, goes_on: impl Fn(usize) -> bool) {
        let mut left = Vec::new();
        let routers = self.routers().iter().enumerate();
        for (at, router) in routers.filter(|(at, _)| !goes_on(*at)) {
            for rule in &router.rules {
                let removed = self.kernel.remove_rule(rule, router.is_v6()).await;
                self.say_left_over(router, &format!("rule {} was still there", rule.text), removed);
            }
            for route in &router.routes {
                let Some(device) = self.route_device(at, router, route) else { continue };
                let removed = self.kernel.remove_route(route, device, router.is_v6()).await;
                self.say_left_over(router, &format!("route {} was still there", route.text), removed);
            }
            for address in &router.addresses {
                let Some(device) = self.device(at, router, address) else { continue };
                let name = self.links.get(device).map_or("?", |l| l.name.as_str());
                let removed = self.kernel.remove(device, address).await;
                self.say_left_over(router, &format!("{} was still on {name}", address.address), removed);
            }
            let vmac = router.vmac.as_ref().and_then(|name| self.links.named(name));
            // One of another kind was refused before.
            if let Some(vmac) = vmac.filter(|link| is_vmac_of(&self.links, link, router)) {
                left.push(vmac.clone());
                let removed = self.kernel.remove_link(vmac.index).await;
                self.say_left_over(router, &format!("interface {} was still there", vmac.name), removed);
            }
        }
        left.iter().for_each(|vmac| self.ports.remember(vmac));
        // The events of what was removed here are not waited for.
        if let Ok(known) = self.kernel.links().await {
            self.links = Links::new(known);
        }
    }

    /// The places of what processes before have left to this one, with their pids. They have cleared away the rest by now.
    pub(super) async fn find_inherited(&mut self, left: &[(Key, i32)]) -> Vec<(usize, i32)> {
        if let Ok(known) = self.kernel.links().await {
            self.links = Links::new(known);
        }
        let mut found = Vec::new();
        for (at, router) in self.config.config.vrrp.routers.iter().enumerate() {
            let Some((_, pid)) = left.iter().find(|(key, _)| *key == succession::key(router)) else {
                continue;
            };
            found.push((at, *pid));
            if let Some(vmac) = router.vmac.as_ref().and_then(|name| self.links.named(name)).cloned() {
                self.ports.remember(&vmac);
                self.ports.adopt(at, &vmac);
            }
        }
        found
    }

    /// What was left to this process is its own; what it cannot serve, it gives up.
    pub(super) async fn come_into(&mut self, inherited: &[(usize, i32)], now: Instant) {
        for &(at, pid) in inherited {
            let reason = format!("left by process {pid}, which this one replaces");
            self.node.handle_input(at, Input::TakeOver(reason), now);
            self.act().await;
            if !self.is_master(at) {
                self.raise(at, false).await;
                self.hold(at, false).await;
            }
        }
    }

    /// Leaves what it is master of to the process that replaces this one, as far as that has it. If that is nothing, all is handed over
    /// as at any end, and the new process waits for that; else the rest stops at once, so that it need not wait long.
    pub(super) async fn bequeath(&mut self) {
        let Some(mut heir) = self.heirs.take() else { return };
        let masters = (0..self.routers().len()).filter(|at| self.is_master(*at));
        let (left, others): (Vec<usize>, Vec<usize>) =
            masters.partition(|at| heir.wants(succession::key(&self.routers()[*at])).is_some());
        if !left.is_empty() {
            let now = Instant::now();
            for at in others {
                self.node.handle_input(at, Input::Stop, now);
                self.node.handle_input(at, Input::Stop, now);
            }
            for &at in &left {
                self.left.push(at);
                let reason = "left to the process that replaces this one".to_owned();
                self.node.handle_input(at, Input::Bequeath(reason), now);
            }
            self.act().await;
            let mut keys = Vec::new();
            for at in left {
                let router = &self.routers()[at];
                keys.push(succession::key(router));
                if let Some(wanted) = heir.wants(succession::key(router)) {
                    self.let_go_but(at, router, wanted).await;
                }
            }
            heir.leave(&keys).await;
        }
        self.heir = Some(heir);
    }

    /// What the new process does not hold.
    async fn let_go_but(&self, at: usize, router: &Vrrp, wanted: &HashSet<Key>) {
        for rule in router.rules.iter().filter(|rule| !wanted.contains(&succession::text_key(&rule.text))) {
            self.complain(router, self.kernel.remove_rule(rule, router.is_v6()).await.map(drop));
        }
        for route in router.routes.iter().filter(|route| !wanted.contains(&succession::text_key(&route.text)))
        {
            let Some(device) = self.route_device(at, router, route) else { continue };
            self.complain(router, self.kernel.remove_route(route, device, router.is_v6()).await.map(drop));
        }
        for held in router.addresses.iter().filter(|held| !wanted.contains(&succession::address_key(held))) {
            let Some(device) = self.device(at, router, held) else { continue };
            self.complain(router, self.kernel.remove(device, held).await.map(drop));
        }
    }

    fn say_left_over(&self, router: &Vrrp, what: &str, removed: Result<bool, String>) {
        match removed {
            Ok(true) => {
                let text = format!("{}: {what}: removed, it is not held as the process starts", router.name);
                self.say(level::WARNING, &text);
            }
            Ok(false) => {}
            Err(error) => self.say(level::ERR, &format!("{}: {error}", router.name)),
        }
    }

    /// Masters whose addresses somebody took off their interface, or whose interface came anew or has another MAC.
    pub(super) fn hurt_by(&self, change: &Change) -> Vec<usize> {
        let is_held = |at: usize, router: &Vrrp| {
            router.addresses.iter().any(|held| match change {
                Change::Link(link) => {
                    let was = self.links.get(link.index);
                    let is_other = was.is_none_or(|was| was.mac != link.mac || (!was.is_up && link.is_up));
                    is_other && link.name == *held.device.as_ref().unwrap_or(&router.interface)
                }
                Change::AddressGone { index, address } => {
                    *address == held.address && Some(*index) == self.device(at, router, held)
                }
                Change::Gone(index) => Some(*index) == self.device(at, router, held),
                Change::Address(_) => false,
            })
        };
        let masters = self.routers().iter().enumerate().filter(|(at, _)| self.is_master(*at));
        masters.filter(|(at, router)| is_held(*at, router)).map(|(at, _)| at).collect()
    }

    pub(super) fn is_master(&self, at: usize) -> bool {
        self.node.routers.get(at).is_some_and(|router| router.state() == State::Master)
    }
}
