//! Actions on servers, with HAProxy's words and its way of counting what came of them.

use super::form::Form;
use super::query::Outcome;
use crate::live::checks::{Forced, Which};
use crate::live::server::admin;
use crate::live::{Generation, LiveProxy, LiveServer, Notice, ServerAt};
use std::sync::Arc;
use std::time::Instant;

/// What the page can do to a server. The four of HAProxy's early days have no entry in the list and work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Disable,
    Enable,
    Stop,
    Start,
    Ready,
    Drain,
    Maint,
    Check(Which, bool),
    Force(Which, Forced),
    Shutdown,
}

const ACTIONS: &[(&str, Action)] = &[
    ("disable", Action::Disable),
    ("enable", Action::Enable),
    ("stop", Action::Stop),
    ("start", Action::Start),
    ("ready", Action::Ready),
    ("drain", Action::Drain),
    ("maint", Action::Maint),
    ("dhlth", Action::Check(Which::Health, false)),
    ("ehlth", Action::Check(Which::Health, true)),
    ("hrunn", Action::Force(Which::Health, Forced::Up)),
    ("hnolb", Action::Force(Which::Health, Forced::Stopping)),
    ("hdown", Action::Force(Which::Health, Forced::Down)),
    ("dagent", Action::Check(Which::Agent, false)),
    ("eagent", Action::Check(Which::Agent, true)),
    ("arunn", Action::Force(Which::Agent, Forced::Up)),
    ("adown", Action::Force(Which::Agent, Forced::Down)),
    ("shutdown", Action::Shutdown),
];

/// Does what the form says; `tell` hears of every change.
pub fn apply(generation: &Generation, form: &Form, mut tell: impl FnMut(&[Notice])) -> Outcome {
    let action = match &form.action {
        Some(name) => match ACTIONS.iter().find(|(known, _)| known == name) {
            Some((_, action)) => Some(*action),
            None => return Outcome::Errp,
        },
        None => None,
    };
    let proxy = match &form.backend {
        Some(name) => match backend(generation, name) {
            Some(proxy) => Some(proxy),
            None => return Outcome::Errp,
        },
        None => None,
    };
    let (Some(action), Some(proxy)) = (action, proxy) else { return Outcome::None };
    let (mut asked, mut done) = (0, 0);
    let now = Instant::now();
    for name in &form.servers {
        let mut servers = proxy.back.iter().flat_map(|b| &b.servers);
        let Some(server) = servers.find(|s| s.name() == name) else {
            asked += 1;
            continue;
        };
        if let Some(notices) = action.on(generation, (proxy.index, server.index), server, now) {
            asked += 1;
            done += 1;
            tell(&action.told(notices));
        }
    }
    match (asked, done) {
        (0, _) => Outcome::None,
        (_, 0) => Outcome::Errp,
        (asked, done) if asked == done => Outcome::Done,
        _ => Outcome::Part,
    }
}

/// The backend a form names, by name or `#ID`.
#[must_use]
pub fn backend<'a>(generation: &'a Generation, name: &str) -> Option<&'a Arc<LiveProxy>> {
    let id = name.strip_prefix('#').and_then(|id| id.parse().ok());
    generation
        .proxies
        .iter()
        .filter(|p| p.back.is_some())
        .find(|p| id.map_or(*p.conf.name == *name, |id: u32| p.conf.id == id))
}

impl Action {
    /// HAProxy's lines say where the order came from.
    fn told(self, mut notices: Vec<Notice>) -> Vec<Notice> {
        let (from, to) = match self {
            Self::Disable => ("for maintenance", "for maintenance ('disable' on stats page)"),
            Self::Stop => ("enters drain state", "enters drain state ('stop' on stats page)"),
            _ => ("changed from CLI", "changed from Web interface"),
        };
        for notice in &mut notices {
            notice.log = notice.log.replacen(from, to, 1);
        }
        notices
    }

    /// `None`: it does not apply, which HAProxy does not count as asked for.
    fn on(self, live: &Generation, at: ServerAt, server: &LiveServer, now: Instant) -> Option<Vec<Notice>> {
        let has = |bit: u8| server.admin() & bit != 0;
        let tracks = server.conf.track.is_some();
        match self {
            Self::Disable => (!has(admin::FORCED_MAINT)).then(|| live.set_maint(at, true, now)),
            Self::Enable => has(admin::FORCED_MAINT).then(|| live.set_maint(at, false, now)),
            Self::Stop => (!has(admin::FORCED_DRAIN)).then(|| live.set_drain(at, true, now)),
            Self::Start => has(admin::FORCED_DRAIN).then(|| live.set_drain(at, false, now)),
            Self::Ready => Some(live.set_ready(at, now)),
            Self::Drain => Some(live.set_draining(at, now)),
            Self::Maint => Some(live.set_maint(at, true, now)),
            Self::Check(which, on) => live.enable_check(at, which, on).then(Vec::new),
            Self::Force(Which::Health, to) => (!tracks).then(|| live.force_check(at, Which::Health, to, now)),
            Self::Force(Which::Agent, to) => {
                server.agent.is_enabled().then(|| live.force_check(at, Which::Agent, to, now))
            }
            Self::Shutdown => {
                live.process.sessions.shut_server(at.0.0, at.1.0);
                Some(Vec::new())
            }
        }
    }
}
