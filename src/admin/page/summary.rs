//! The state of everything in a few words: the worst real health of servers and proxies, never "configuration ok".

use super::history;
use super::row::{self, RowId};
use super::text::{self, plural};
use super::vrrp;
use super::words::State;
use crate::live::Generation;
use crate::live::vrrp::RouterView;
use crate::stats::{Kind, Rows, Selection};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Problems listed by name.
const LISTED: usize = 12;

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub struct Problem {
    /// `None`: it is of a virtual router.
    pub id: Option<RowId>,
    pub state: State,
    /// `web/s1`, `web`
    pub name: String,
    pub text: String,
}

/// How many servers are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub servers: usize,
    pub up: usize,
    pub down: usize,
    pub failing: usize,
    pub maint: usize,
    pub drain: usize,
    pub unchecked: usize,
}

impl Count {
    fn add(&mut self, state: State) {
        self.servers += 1;
        *match state {
            State::Up => &mut self.up,
            State::NoCheck => &mut self.unchecked,
            State::Maint => &mut self.maint,
            State::Drain => &mut self.drain,
            State::Failing => &mut self.failing,
            State::Down | State::Rising => &mut self.down,
        } += 1;
    }

    /// Those that checks could find down.
    fn judged(&self) -> usize {
        self.servers - self.maint - self.unchecked
    }
}

/// One proxy.
#[derive(Clone, Debug)]
pub struct ProxyState {
    pub state: State,
    pub text: String,
    pub count: Count,
}

#[derive(Clone, Debug)]
pub struct Summary {
    pub proxies: BTreeMap<u32, ProxyState>,
    /// The worst first.
    pub problems: Vec<Problem>,
    pub more_problems: usize,
    pub count: Count,
    dead: usize,
    worst: State,
    /// Virtual routers that cannot serve, or not alone.
    routers: usize,
}

/// One of the figures above the tables.
#[derive(Clone, Debug)]
pub struct Tile {
    pub id: &'static str,
    pub label: &'static str,
    pub value: String,
    pub note: String,
    pub state: Option<State>,
    pub percent: Option<u64>,
    /// Which samples of [`history::Rates`] it draws.
    pub series: Option<usize>,
}

impl Summary {
    /// Looks at every row of the selection.
    #[must_use]
    pub fn of(generation: &Arc<Generation>, selection: &Selection) -> Self {
        let mut rows = Rows::new(Arc::clone(generation), selection.clone());
        let mut found = Self {
            proxies: BTreeMap::new(),
            problems: Vec::new(),
            more_problems: 0,
            count: Count::default(),
            dead: 0,
            worst: State::Up,
            routers: 0,
        };
        let now = Instant::now();
        while let Some(subject) = rows.next(now) {
            let (state, kind) = (row::state_of(&subject), subject.kind());
            let proxy = found.proxies.entry(subject.proxy.conf.id).or_insert_with(|| ProxyState {
                state: State::Up,
                text: String::new(),
                count: Count::default(),
            });
            if kind == Kind::Server {
                proxy.count.add(state);
                found.count.add(state);
            }
            // What is ordered is no problem: it is told, in words.
            let troubled = state >= State::Failing;
            let of_proxy = if kind == Kind::Server && !troubled { State::Up } else { state };
            proxy.state = proxy.state.max(of_proxy);
            if troubled {
                found.worst = found.worst.max(state);
                found.dead += usize::from(kind == Kind::Backend && state == State::Down);
                let name = &subject.proxy.conf.name;
                let name = match kind {
                    Kind::Server | Kind::Listener => format!("{name}/{}", row::name_of(&subject)),
                    Kind::Frontend | Kind::Backend => format!("{name} ({})", row::name_of(&subject)),
                };
                let text = row::trouble(&subject);
                found.problems.push(Problem { id: Some(row::id_of(&subject)), state, name, text });
            }
        }
        found.conclude();
        found
    }

    fn conclude(&mut self) {
        for proxy in self.proxies.values_mut() {
            proxy.text = words(&proxy.count, proxy.state);
        }
        self.problems.sort_by_key(|problem| (std::cmp::Reverse(problem.state), problem.id.map(|id| id.kind)));
        self.more_problems = self.problems.len().saturating_sub(LISTED);
        self.problems.truncate(LISTED);
    }

    /// With the virtual routers of this node: who has lost an address has more to worry about than a server.
    #[must_use]
    pub fn with_routers(mut self, routers: &[RouterView]) -> Self {
        let troubled = routers.iter().filter_map(|r| Some((r, vrrp::trouble(r)?)));
        let own: Vec<Problem> = troubled
            .map(|(r, text)| Problem { id: None, state: State::Down, name: format!("vrrp {}", r.name), text })
            .collect();
        self.routers = own.len();
        if !own.is_empty() {
            self.worst = self.worst.max(State::Down);
            self.problems.splice(0..0, own);
            self.more_problems += self.problems.len().saturating_sub(LISTED);
            self.problems.truncate(LISTED);
        }
        self
    }

    /// The headline.
    #[must_use]
    pub fn health(&self) -> (State, String) {
        let count = &self.count;
        let judged = count.judged();
        if self.dead > 0 {
            return (State::Down, format!("{} down", plural(self.dead, "backend")));
        }
        if self.routers > 0 {
            let who = plural(self.routers, "virtual router");
            return (State::Down, format!("{who} in trouble"));
        }
        if count.down > 0 {
            return (
                self.worst,
                format!("{} of {} down", text::number(count.down as u64), plural(count.servers, "server")),
            );
        }
        if self.worst >= State::Failing {
            let failing = if count.failing > 0 { plural(count.failing, "server") } else { "a proxy".into() };
            let what = if count.failing > 0 { "failing checks" } else { "at its limit" };
            return (self.worst, format!("{failing} {what}"));
        }
        match (count.servers, judged, count.up) {
            (0, ..) => (State::Up, "No servers".into()),
            (_, 0, _) if count.unchecked > 0 => (State::NoCheck, "No server is checked".into()),
            (_, _, 1) => (State::Up, "1 server up".into()),
            (all, _, up) if up == all => (State::Up, format!("All {} up", plural(up, "server"))),
            (_, _, up) => (State::Up, format!("{} up", plural(up, "server"))),
        }
    }

    /// What was ordered, and what nobody knows.
    fn note(&self) -> String {
        let count = &self.count;
        let down = if self.dead > 0 { count.down } else { 0 };
        let parts = [
            (down, if down == 1 { "server down" } else { "servers down" }),
            (count.failing, "failing checks"),
            (count.drain, "draining"),
            (count.maint, "in maintenance"),
            (count.unchecked, "not checked"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, words)| format!("{} {words}", text::number(*n as u64)))
            .collect();
        if parts.is_empty() {
            plural(self.proxies.len(), "proxy").replace("proxys", "proxies")
        } else {
            parts.join(", ")
        }
    }

    /// The figures above the tables.
    #[must_use]
    pub fn tiles(&self, generation: &Generation) -> Vec<Tile> {
        let process = &generation.process;
        let latest = history::with(|h| h.total.latest());
        let (state, headline) = self.health();
        let (now, limit) = (process.connections.load(Relaxed) as u64, process.limits.maxconn() as u64);
        let rate = |id, label, series: usize| Tile {
            id,
            label,
            value: format!("{}/s", per_second(latest[series])),
            note: String::new(),
            state: None,
            percent: None,
            series: Some(series),
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let flow = |n: f32| format!("{}/s", text::bytes(n as u64));
        let plain = |id, label, value, note, percent| Tile {
            id,
            label,
            value,
            note,
            state: None,
            percent,
            series: None,
        };
        vec![
            Tile { state: Some(state), ..plain("health", "Health", headline, self.note(), None) },
            plain(
                "conns",
                "Connections",
                text::number(now),
                format!("of {}", text::number(limit)),
                (now * 100).checked_div(limit),
            ),
            rate("sess", "Sessions", 0),
            rate("reqs", "Requests", 1),
            rate("errs", "Errors", 2),
            Tile {
                note: format!("in {}", flow(latest[3])),
                value: flow(latest[4]),
                ..rate("flow", "Traffic out", 4)
            },
            plain(
                "uptime",
                "Uptime",
                text::duration(process.started.mono.elapsed()),
                format!("pid {}", process.pid),
                None,
            ),
        ]
    }
}

/// A rate with as many digits as it deserves.
#[must_use]
pub fn per_second(rate: f32) -> String {
    if rate > 0.0 && rate < 9.95 {
        return format!("{rate:.1}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    text::number(rate.round() as u64)
}

/// `2 of 3 up, 1 in maintenance`
fn words(count: &Count, state: State) -> String {
    if count.servers == 0 {
        return match state {
            State::Up => String::new(),
            State::Failing => "at its limit".into(),
            state => state.word().into(),
        };
    }
    if count.unchecked == count.servers {
        return format!("{}, not checked", plural(count.servers, "server"));
    }
    let up = count.up + count.failing + count.unchecked;
    let mut text = format!("{} of {} up", text::number(up as u64), text::number(count.servers as u64));
    for (n, words) in [(count.drain, "draining"), (count.maint, "in maintenance")] {
        if n > 0 {
            text += &format!(", {} {words}", text::number(n as u64));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(state: &'static str, fault: Option<&str>) -> RouterView {
        RouterView {
            name: "VI_1".into(),
            group: None,
            interface: "eth0".into(),
            vrid: 51,
            version: 3,
            interval: std::time::Duration::from_secs(1),
            preempt: String::new(),
            source: [10, 0, 0, 2].into(),
            destinations: Vec::new(),
            addresses: vec!["10.0.0.1/24".into()],
            state,
            fault: fault.map(str::to_owned),
            yields: false,
            priority: 100,
            base: 100,
            configured: 100,
            trackers: Vec::new(),
            heard: None,
            conflict: None,
            change: None,
            transitions: 0,
            counts: crate::live::vrrp::CountsView::default(),
        }
    }

    #[test]
    fn a_router_in_fault_needs_attention() {
        let calm = Summary {
            proxies: BTreeMap::new(),
            problems: Vec::new(),
            more_problems: 0,
            count: Count { servers: 2, up: 2, ..Count::default() },
            dead: 0,
            worst: State::Up,
            routers: 0,
        };
        let well = calm.clone().with_routers(&[router("master", None), router("backup", None)]);
        assert_eq!((well.problems.len(), well.health()), (0, (State::Up, "All 2 servers up".into())));
        let ill = calm.with_routers(&[router("backup", None), router("fault", Some("eth0 is down"))]);
        assert_eq!(ill.health(), (State::Down, "1 virtual router in trouble".into()));
        let told: Vec<_> = ill.problems.iter().map(|p| (p.name.as_str(), p.text.as_str())).collect();
        assert_eq!(told, [("vrrp VI_1", "fault: eth0 is down")]);
    }
}
