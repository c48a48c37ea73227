//! What a router's priority follows, and the arithmetic of it, as keepalived's.

use super::Event;
use super::command::{self, Ended};
use super::desk::tracked;
use super::link::Links;
use super::security::Identity;
use crate::config::identity::same;
use crate::config::model::Config;
use crate::config::model::vrrp::{Track, Tracked, Vrrp, VrrpConfig, VrrpScript};
use crate::ids::ProxyIndex;
use crate::live::vrrp::TrackerView;
use crate::live::{Generation, Process};
use crate::program::Program;
use crate::tasks::{self, Task};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often backends and frontends are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The most that one thing adds or takes away.
const MOST: i32 = 253;

/// How each tracked thing of each router fares.
pub struct Tracks {
    /// Why the workers forward nothing.
    workers: Option<String>,
    routers: Vec<RouterTracks>,
}

#[derive(Default)]
struct RouterTracks {
    /// Why the router's own link is no good.
    link: Option<String>,
    /// The administrator wants it at fault.
    told: Option<String>,
    /// The priority set since, instead of the configured one.
    base: Option<u8>,
    tracks: Vec<TrackState>,
}

struct TrackState {
    weight: i32,
    /// What a file says; nothing else says a number.
    number: Option<i32>,
    well: bool,
    why: String,
}

impl Tracks {
    pub fn new(config: &VrrpConfig) -> Self {
        let routers = config
            .routers
            .iter()
            .map(|router| RouterTracks {
                tracks: router.tracks.iter().map(TrackState::new).collect(),
                ..RouterTracks::default()
            })
            .collect();
        let mut tracks = Self { workers: None, routers };
        for (at, router) in config.routers.iter().enumerate() {
            for (i, track) in router.tracks.iter().enumerate() {
                if let Tracked::Script(script) = track.what
                    && let Some(script) = config.scripts.get(script).filter(|s| s.init_fail)
                {
                    tracks.set(at, i, false, format!("script {} has not passed yet", script.name));
                }
            }
        }
        tracks
    }

    /// Those of another configuration. What was tracked before, by whomever, fares as it did; of a router whose place was `at`, orders
    /// of the administrator go on, a priority as long as the configuration says of it what it said.
    pub fn after(&self, before: &Config, next: &Config, places: &[Option<usize>]) -> Self {
        let mut tracks = Self::new(&next.vrrp);
        tracks.workers.clone_from(&self.workers);
        let known = |what: &Tracked| {
            let name = tracked(next, what);
            let all = before.vrrp.routers.iter().zip(&self.routers);
            let mut all = all.flat_map(|(conf, states)| conf.tracks.iter().zip(&states.tracks));
            all.find(|(track, _)| tracked(before, &track.what) == name).map(|(_, state)| state)
        };
        for ((conf, states), place) in next.vrrp.routers.iter().zip(&mut tracks.routers).zip(places) {
            for (track, state) in conf.tracks.iter().zip(&mut states.tracks) {
                if let Some(known) = known(&track.what) {
                    *state = TrackState { weight: state.weight, why: known.why.clone(), ..*known };
                    if let Some(number) = state.number {
                        state.well = if state.weight == 0 { number == 0 } else { !state.is_fault() };
                    }
                }
            }
            let Some(at) = *place else { continue };
            let (Some(was), Some(old)) = (before.vrrp.routers.get(at), self.routers.get(at)) else {
                continue;
            };
            states.link.clone_from(&old.link);
            states.told.clone_from(&old.told);
            states.base = old.base.filter(|_| was.priority == conf.priority);
        }
        tracks
    }

    pub fn link(&mut self, router: usize, why: Option<String>) {
        if let Some(router) = self.routers.get_mut(router) {
            router.link = why;
        }
    }

    pub fn workers(&mut self, why: Option<String>) {
        self.workers = why;
    }

    pub fn set(&mut self, router: usize, track: usize, well: bool, why: String) {
        if let Some(track) = self.routers.get_mut(router).and_then(|r| r.tracks.get_mut(track)) {
            track.well = well;
            track.why = why;
        }
    }

    /// A file says another number.
    pub fn count(&mut self, router: usize, track: usize, number: i32) {
        let Some(track) = self.routers.get_mut(router).and_then(|r| r.tracks.get_mut(track)) else { return };
        track.number = Some(number);
        track.well = if track.weight == 0 { number == 0 } else { !track.is_fault() };
        track.why = format!("a file says {number}");
    }

    /// Tracked interfaces; answers the routers that follow one.
    pub fn learn_links(&mut self, config: &VrrpConfig, links: &Links) -> Vec<usize> {
        let mut followers = Vec::new();
        for (at, router) in config.routers.iter().enumerate() {
            for (i, track) in router.tracks.iter().enumerate() {
                if let Tracked::Interface(name) = &track.what {
                    let link = links.named(name);
                    let why = match link {
                        Some(_) => format!("interface {name} is down"),
                        None => format!("there is no interface {name}"),
                    };
                    self.set(at, i, link.is_some_and(|l| l.is_up), why);
                    followers.push(at);
                }
            }
        }
        followers
    }

    /// The administrator wants it at fault, or no longer.
    pub fn told(&mut self, router: usize, why: Option<String>) {
        if let Some(router) = self.routers.get_mut(router) {
            router.told = why;
        }
    }

    pub fn rebase(&mut self, router: usize, priority: u8) {
        if let Some(router) = self.routers.get_mut(router) {
            router.base = Some(priority);
        }
    }

    /// The priority that weights are added to.
    pub fn base(&self, at: usize, router: &Vrrp) -> u8 {
        self.routers.get(at).and_then(|r| r.base).unwrap_or(router.priority)
    }

    /// What every router follows unasked.
    pub fn own(&self, at: usize, conf: &Vrrp) -> Vec<TrackerView> {
        let Some(router) = self.routers.get(at) else { return Vec::new() };
        let view = |name: String, fault: &Option<String>| TrackerView {
            name,
            weight: 0,
            well: fault.is_none(),
            part: 0,
            why: fault.clone().unwrap_or_default(),
        };
        vec![
            view(format!("interface {}", conf.interface), &router.link),
            view("workers".to_owned(), &self.workers),
        ]
    }

    /// How the track at place `i` fares, what it adds to the priority now, and why it fails.
    pub fn standing(&self, at: usize, i: usize) -> (bool, i32, String) {
        let track = self.routers.get(at).and_then(|r| r.tracks.get(i));
        track.map_or_else(Default::default, |t| {
            (t.well, t.part(), if t.well { String::new() } else { t.why.clone() })
        })
    }

    /// Why tracks fail, or what files say: what has moved the priority.
    pub fn failing(&self, router: usize) -> String {
        let tracks = self.routers.get(router).map_or(&[][..], |r| &r.tracks);
        let fails = |t: &&TrackState| !t.well || t.sum().is_some_and(|sum| sum != 0);
        tracks.iter().filter(fails).map(|t| t.why.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Why the router cannot serve: somebody said so, or what it follows.
    pub fn fault(&self, router: usize) -> Option<String> {
        self.routers.get(router)?.told.clone().or_else(|| self.ailment(router))
    }

    /// Why the router cannot serve, whatever the administrator wants: its link, hanging workers, or a
    /// failing track of weight 0.
    pub fn ailment(&self, router: usize) -> Option<String> {
        let router = self.routers.get(router)?;
        let failing = router.tracks.iter().find(|t| t.is_fault()).map(|t| t.why.clone());
        router.link.clone().or_else(|| self.workers.clone()).or(failing)
    }

    /// Base priority and weights, between 1 and 254; the owner of the addresses stays it.
    pub fn priority(&self, at: usize, router: &Vrrp) -> u8 {
        if router.priority == crate::wire::vrrp::OWNER {
            return router.priority;
        }
        let weights = self.routers.get(at).map_or(0, |r| r.tracks.iter().map(TrackState::part).sum::<i32>());
        u8::try_from((i32::from(self.base(at, router)) + weights).clamp(1, 254)).unwrap_or(1)
    }
}

impl TrackState {
    /// Well, until somebody has looked; a file that nobody has read says 0.
    fn new(track: &Track) -> Self {
        let number = matches!(track.what, Tracked::File(_)).then_some(0);
        Self { weight: track.weight, number, well: true, why: String::new() }
    }

    fn sum(&self) -> Option<i32> {
        self.number.map(|number| number.saturating_mul(self.weight))
    }

    /// What a file says may be so low that no priority is left.
    fn is_fault(&self) -> bool {
        (self.weight == 0 && !self.well) || self.sum().is_some_and(|sum| sum < -MOST)
    }

    /// What it adds to the priority now.
    fn part(&self) -> i32 {
        if let Some(sum) = self.sum() {
            return sum.clamp(-MOST, MOST);
        }
        let counts = if self.weight > 0 { self.well } else { !self.well };
        if counts { self.weight } else { 0 }
    }
}

/// Starts what watches scripts, backends and frontends; `tracks` says how they fare as far as is known.
pub fn watch(
    generation: &Generation,
    tracks: &Tracks,
    tell: &mpsc::Sender<Event>,
    open_files: Option<(u64, u64)>,
    identities: &[Identity],
) -> Vec<Task> {
    let config = &generation.config.vrrp;
    let mut tasks = Vec::new();
    for (at, script) in config.scripts.iter().enumerate() {
        let followers = followers(config, |t| *t == Tracked::Script(at));
        if let Some((router, track)) = followers.first() {
            let (well, _, _) = tracks.standing(*router, *track);
            let (script, tell) = (script.clone(), tell.clone());
            let identity = identities.get(at).copied().flatten();
            let program = command::program(&script.command, identity, open_files);
            let running = async move { run_script(script, well, &program, followers, &tell).await };
            tasks.push(tasks::start("vrrp script", running));
        }
    }
    let proxies = proxies(&generation.config);
    if !proxies.is_empty() {
        let (process, tell) = (Arc::clone(&generation.process), tell.clone());
        tasks.push(tasks::start("vrrp proxies", async move { look(&process, proxies, &tell).await }));
    }
    let files = files(config);
    if !files.is_empty() {
        tasks.push(tasks::start("vrrp files", super::files::watch(files, tell.clone())));
    }
    let processes = processes(config);
    if !processes.is_empty() {
        tasks.push(tasks::start("vrrp processes", super::processes::watch(processes, tell.clone())));
    }
    tasks
}

/// A proxy that a track follows, by its name: a reload may put it in another place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proxy {
    Backend { name: Arc<str>, min_up: usize },
    Frontend(Arc<str>),
    L4(Option<(Arc<str>, usize)>),
}

/// Routers and places of the tracks that follow proxies.
fn proxies(config: &Config) -> Vec<(usize, usize, Proxy)> {
    let name =
        |at: ProxyIndex| config.proxies.get(at.get()).map_or_else(|| "?".into(), |p| Arc::clone(&p.name));
    let proxy = |what: &Tracked| {
        Some(match what {
            Tracked::Backend { proxy, min_up } => Proxy::Backend { name: name(*proxy), min_up: *min_up },
            Tracked::Frontend(proxy) => Proxy::Frontend(name(*proxy)),
            Tracked::L4(service) => Proxy::L4(service.map(|(proxy, min_up)| (name(proxy), min_up))),
            Tracked::Interface(_) | Tracked::Script(_) | Tracked::File(_) | Tracked::Process { .. } => {
                return None;
            }
        })
    };
    tracks(&config.vrrp).filter_map(|(at, i, what)| Some((at, i, proxy(what)?))).collect()
}

/// Do two configurations have the same watched?
pub fn same_watched(one: &Config, other: &Config) -> bool {
    same(&one.vrrp, &other.vrrp) && proxies(one) == proxies(other)
}

fn files(config: &VrrpConfig) -> Vec<super::files::Followed> {
    let mut all: Vec<super::files::Followed> = Vec::new();
    for (router, track, what) in tracks(config) {
        let Tracked::File(path) = what else { continue };
        match all.iter_mut().find(|f| f.path == *path) {
            Some(known) => known.followers.push((router, track)),
            None => all.push(super::files::Followed { path: path.clone(), followers: vec![(router, track)] }),
        }
    }
    all
}

fn processes(config: &VrrpConfig) -> Vec<super::processes::Followed> {
    let followed = |(router, track, what): (usize, usize, &Tracked)| match what {
        Tracked::Process { name, min_up } => Some(super::processes::Followed {
            name: name.clone(),
            min_up: *min_up,
            followers: vec![(router, track)],
        }),
        _ => None,
    };
    tracks(config).filter_map(followed).collect()
}

/// All tracks with their routers and places.
fn tracks(config: &VrrpConfig) -> impl Iterator<Item = (usize, usize, &Tracked)> {
    let all = config.routers.iter().enumerate();
    all.flat_map(|(at, r)| r.tracks.iter().enumerate().map(move |(i, t)| (at, i, &t.what)))
}

/// Router and place of each track that `follows`.
fn followers(config: &VrrpConfig, follows: impl Fn(&Tracked) -> bool) -> Vec<(usize, usize)> {
    tracks(config).filter(|(_, _, what)| follows(what)).map(|(at, i, _)| (at, i)).collect()
}

async fn run_script(
    script: VrrpScript,
    mut well: bool,
    program: &Program,
    followers: Vec<(usize, usize)>,
    tell: &mpsc::Sender<Event>,
) {
    let (mut passes, mut failures) = (0, 0);
    let mut beat = tokio::time::interval(script.interval);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        beat.tick().await;
        let ended = command::run(program.clone(), script.timeout).await;
        if matches!(ended, Ended::Code(0)) {
            (passes, failures) = (passes + 1, 0);
        } else {
            (passes, failures) = (0, failures + 1);
        }
        let now = if well { failures < script.fall } else { passes >= script.rise };
        if now == well {
            continue;
        }
        well = now;
        let why = format!("script {} {ended}", script.name);
        for (router, track) in &followers {
            let event = Event::Tracked { router: *router, track: *track, well, why: why.clone() };
            if tell.send(event).await.is_err() {
                return;
            }
        }
    }
}

async fn look(process: &Process, proxies: Vec<(usize, usize, Proxy)>, tell: &mpsc::Sender<Event>) {
    let mut last = vec![None; proxies.len()];
    let mut beat = tokio::time::interval(LOOK);
    loop {
        beat.tick().await;
        for ((router, track, what), last) in proxies.iter().zip(&mut last) {
            let Some((well, why)) = fares(process, what) else { continue };
            if last.replace(well) == Some(well) {
                continue;
            }
            let event = Event::Tracked { router: *router, track: *track, well, why };
            if tell.send(event).await.is_err() {
                return;
            }
        }
    }
}

/// How it fares in the configuration that runs.
fn fares(process: &Process, what: &Proxy) -> Option<(bool, String)> {
    let now = process.current.get()?;
    let usable = |name: &str, min_up: usize| {
        let (active, backups) = now.back_named(name)?.back.as_ref()?.usable();
        let up = active + backups;
        Some((up >= min_up, format!("backend {name} has {up} servers, {min_up} are wanted")))
    };
    match what {
        Proxy::Backend { name, min_up } => usable(name, *min_up),
        Proxy::L4(service) => {
            let lacks = || {
                let (name, min_up) = service.as_ref()?;
                usable(name, *min_up).and_then(|(well, why)| (!well).then_some(why))
            };
            let why = process.l4.ailment().or_else(lacks);
            Some((why.is_none(), why.unwrap_or_default()))
        }
        Proxy::Frontend(name) => {
            let accepts = !now.front_named(name)?.conf.disabled && !process.stopping.load(Relaxed);
            Some((accepts, format!("frontend {name} does not accept")))
        }
    }
}
