//! Another configuration for the routers that run. One of the same interface, id, family and virtual MAC is the same router: it keeps its
//! state and takes what else is said of it. Others leave, or begin as backups.

use super::link::{self, Links};
use super::refuse::Refusal;
use super::security::{self, Identities};
use super::{Event, Prepared, Shell, hold, settings, track};
use crate::config::model::Config;
use crate::config::model::vrrp::Vrrp;
use crate::live::Generation;
use crate::logging::level;
use crate::tasks;
use crate::vrrp::{Input, Origin, Router, State};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What another configuration needs, made before it is gone over to.
pub struct Renewal {
    identities: Identities,
    /// `None`: as it was.
    refusal: Option<Option<Refusal>>,
}

/// A renewal with its generation, and whom to tell once it is done.
pub struct Renewed {
    pub renewal: Renewal,
    pub generation: Arc<Generation>,
    pub done: oneshot::Sender<()>,
}

impl Prepared {
    /// For a process that runs without routers up to now.
    ///
    /// # Errors
    /// A sentence that names the router and what it lacks.
    pub async fn begin(config: &Arc<Config>, open_files: Option<(u64, u64)>) -> Result<Option<Self>, String> {
        let config = Arc::clone(config);
        // The list of interfaces is asked for by a reactor of its own.
        let opened = tasks::blocking(move || Self::open(&config, open_files, &[])).await;
        opened.unwrap_or_else(|| Err("the process is ending".to_owned()))
    }
}

impl Renewal {
    /// # Errors
    /// A sentence that names the router and what it lacks.
    pub async fn open(old: &Config, new: &Config) -> Result<Self, String> {
        let identities = security::admit(new)?;
        let known =
            tasks::blocking(link::list).await.unwrap_or_else(|| Err("the process is ending".to_owned()));
        let links = Links::new(known.map_err(|e| format!("vrrp : cannot list the interfaces: {e}"))?);
        for router in &new.vrrp.routers {
            let before = old.vrrp.routers.iter().find(|known| is_same(known, router));
            // What goes on as it was may lack something at the moment.
            if before
                .is_none_or(|before| devices(before) != devices(router) || before.source != router.source)
            {
                super::check(&links, router)?;
            }
        }
        let (before, after) = (refused(old), refused(new));
        let refusal = if before == after { None } else { Some(Refusal::open(&after)?) };
        Ok(Self { identities, refusal })
    }
}

/// What the routers in no-accept mode do not take.
pub fn refused(config: &Config) -> Vec<IpAddr> {
    let routers = config.vrrp.routers.iter().filter(|r| !r.accepts);
    routers.flat_map(|r| &r.addresses).map(|a| a.address).collect()
}

/// Is it the same virtual router, to the others and to the kernel?
fn is_same(one: &Vrrp, other: &Vrrp) -> bool {
    let identity = |r: &Vrrp| (r.is_v6(), r.interface.clone(), r.vrid, r.vmac.clone());
    identity(one) == identity(other)
}

fn devices(router: &Vrrp) -> Vec<&String> {
    router.interfaces().chain(router.addresses.iter().filter_map(|a| a.device.as_ref())).collect()
}

impl Shell {
    /// Goes over to another configuration.
    pub async fn renew(&mut self, renewed: Renewed, events: &mut mpsc::Receiver<Event>) {
        let Renewed { renewal, generation, done } = renewed;
        let before = Arc::clone(&self.config);
        self.identities = renewal.identities;
        if track::same_watched(&before.config, &generation.config) {
            self.config = generation;
        } else {
            // What they have said is of places that are about to change.
            self.watching.clear();
            while let Ok(event) = events.try_recv() {
                self.happen(event).await;
                self.act().await;
            }
            self.go_over(generation).await;
            self.watch();
        }
        if let Some(refusal) = renewal.refusal {
            self.refusal = refusal;
        }
        // Whoever waits may be gone.
        let _ = done.send(());
    }

    async fn go_over(&mut self, generation: Arc<Generation>) {
        let before = Arc::clone(&self.config);
        let now = Instant::now();
        let next = &generation.config.vrrp.routers;
        let known = |router: &Vrrp| self.routers().iter().position(|old| is_same(old, router));
        let places: Vec<Option<usize>> = next.iter().map(known).collect();
        self.dismiss(&places, now).await;
        let held = self.held();
        self.ports.renew(&generation.config.vrrp, &places, &self.links, &self.kernel).await;
        self.tracks = self.tracks.after(&before.config, &generation.config, &places);
        self.config = Arc::clone(&generation);
        self.replace(&before, &places);

        let kept = || (0..).zip(&places).filter(|(_, place)| place.is_some()).map(|(at, _)| at);
        for at in kept() {
            let settings = Box::new(settings(&self.routers()[at]));
            self.node.handle_input(at, Input::Settings(settings), now);
            self.say_priority(at);
        }
        self.clean(|at| places.get(at).is_some_and(Option::is_some)).await;
        self.attach_all(now).await;
        self.judge_tracked_links(now);
        self.let_go_of(&held).await;
        for at in kept() {
            let is_other = !hold::same(&before.config.vrrp.routers, places.get(at), &self.routers()[at]);
            if is_other && self.node.routers[at].holds() {
                self.take(at).await;
            }
        }
        for (at, _) in places.iter().enumerate().filter(|(_, place)| place.is_none()) {
            self.node.handle_input(at, Input::Start, now);
        }
        self.node.join(now);
        self.act().await;
    }

    /// Those that are in no place any more leave at once: the next master takes over within its skew.
    async fn dismiss(&mut self, places: &[Option<usize>], now: Instant) {
        for at in (0..self.routers().len()).filter(|at| !places.contains(&Some(*at))) {
            self.say(level::NOTICE, &format!("{}: not configured any more", self.routers()[at].name));
            // The second time without waiting for the next master.
            self.node.handle_input(at, Input::Stop, now);
            self.node.handle_input(at, Input::Stop, now);
        }
        self.act().await;
    }

    /// Puts all that is kept of each router where it belongs now.
    fn replace(&mut self, before: &Generation, places: &[Option<usize>]) {
        let config = &self.config.config.vrrp;
        let origin = |(conf, place): (&Vrrp, &Option<usize>)| match place {
            Some(at) => Origin::Place(*at),
            None => Origin::New(Box::new(Router::new(settings(conf)))),
        };
        let routers = config.routers.iter().zip(places).map(origin).collect();
        self.node.replace(routers, super::groups(config));
        self.memories =
            places.iter().map(|at| at.map(|at| self.memories[at].clone()).unwrap_or_default()).collect();
        self.further = places.iter().map(|at| at.and_then(|at| self.further[at].clone())).collect();
        let told = |name: &str| {
            let at = before.config.vrrp.groups.iter().position(|g| *g.name == *name)?;
            self.groups.get(at).copied()
        };
        self.groups = config.groups.iter().map(|g| told(&g.name).unwrap_or(State::Stopped)).collect();
    }

    fn say_priority(&self, at: usize) {
        let router = &self.routers()[at];
        let (before, after) = (self.node.routers[at].priority(), self.tracks.priority(at, router));
        if before != after {
            let text = format!("{}: priority {before} -> {after}: the configuration says so", router.name);
            self.say(level::NOTICE, &text);
        }
    }
}
