//! Walks the proxies of a generation: frontend, listeners, servers, backend, in the order of `show stat`.

use super::value::{Kind, Kinds};
use crate::live::counters::{BackTotals, FrontTotals, H2OpenTotals, H2Totals, ServerTotals};
use crate::live::server::admin;
use crate::live::{Generation, InUse, ListenerState, LiveBackend, LiveProxy, LiveServer};
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Instant;

/// Which rows are wanted, and how much of them.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Selection {
    /// The proxy's `id`.
    pub proxy: Option<u32>,
    pub kinds: Kinds,
    /// A server's or listener's `id`; 0: the frontend and backend themselves.
    pub sid: Option<u32>,
    /// Leave out servers that are not up.
    pub up: bool,
    /// Leave out servers in maintenance.
    pub no_maint: bool,
    /// Proxies whose name contains this, in any case (`?scope=`).
    pub search: Option<String>,
    /// Proxies with these names alone (`stats scope`).
    pub names: Option<Vec<String>>,
    /// Addresses, cookies and algorithms: what an operator may see.
    pub legends: bool,
    /// The counters of protocols, after the `-` column.
    pub modules: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            proxy: None,
            kinds: Kinds::ALL,
            sid: None,
            up: false,
            no_maint: false,
            search: None,
            names: None,
            legends: true,
            modules: true,
        }
    }
}

impl Selection {
    fn wants_proxy(&self, proxy: &LiveProxy) -> bool {
        let conf = &proxy.conf;
        !conf.disabled
            && self.proxy.is_none_or(|id| id == conf.id)
            && self.names.as_ref().is_none_or(|names| names.iter().any(|n| **n == *conf.name))
            && self
                .search
                .as_ref()
                .is_none_or(|part| conf.name.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
    }

    fn wants_server(&self, server: &LiveServer) -> bool {
        self.sid.is_none_or(|id| id == server.conf.id)
            && (server.is_up() || !self.up)
            && (server.admin() & admin::MAINT == 0 || !self.no_maint)
    }
}

/// One row's object.
#[derive(Debug)]
pub struct Subject<'a> {
    pub generation: &'a Generation,
    pub proxy: &'a LiveProxy,
    pub part: Part<'a>,
    pub now: Instant,
    /// See [`Selection::legends`].
    pub legends: bool,
    /// Counters of HTTP/2, added up when a column asks for them first.
    h2: OnceCell<Option<(H2Totals, H2OpenTotals)>>,
}

/// Which part of the proxy, with its counters added up.
#[derive(Debug)]
pub enum Part<'a> {
    Front(FrontTotals),
    Listener(&'a ListenerState, FrontTotals),
    Server(&'a LiveServer, ServerTotals),
    Back(&'a LiveBackend, BackTotals, InUse),
}

impl Subject<'_> {
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.part {
            Part::Front(_) => Kind::Frontend,
            Part::Listener(..) => Kind::Listener,
            Part::Server(..) => Kind::Server,
            Part::Back(..) => Kind::Backend,
        }
    }

    /// HTTP/2 on the client's side, or towards the servers: so far, and now.
    pub(super) fn h2(&self) -> Option<&(H2Totals, H2OpenTotals)> {
        let add_up = || {
            let h2 = match self.part {
                Part::Front(_) => &self.proxy.front.h2,
                Part::Back(back, ..) => &back.h2,
                Part::Listener(..) | Part::Server(..) => return None,
            };
            Some((h2.counters.total(), h2.open.total()))
        };
        self.h2.get_or_init(add_up).as_ref()
    }

    /// The rows of a backend's servers; of anything else none.
    pub fn servers(&self) -> impl Iterator<Item = Subject<'_>> {
        let servers = match self.part {
            Part::Back(back, ..) => Some(back.servers.iter()),
            _ => None,
        };
        servers.into_iter().flatten().filter(|server| !server.is_gone()).map(|server| Subject {
            generation: self.generation,
            proxy: self.proxy,
            part: Part::Server(server, server.counters.total()),
            now: self.now,
            legends: self.legends,
            h2: OnceCell::new(),
        })
    }

    /// The `sid` column.
    #[must_use]
    pub fn sid(&self) -> u32 {
        match self.part {
            Part::Listener(listener, _) => listener.bind.id,
            Part::Server(server, _) => server.conf.id,
            Part::Front(_) | Part::Back(..) => 0,
        }
    }
}

/// The rows of a generation, one at a time, so that many can be written in pieces.
#[derive(Debug)]
pub struct Rows {
    generation: Arc<Generation>,
    pub selection: Selection,
    proxy: usize,
    /// Within the proxy.
    step: Step,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Front,
    Listener(usize),
    Server(usize),
    Back,
}

impl Rows {
    #[must_use]
    pub fn new(generation: Arc<Generation>, selection: Selection) -> Self {
        Self { generation, selection, proxy: 0, step: Step::Front }
    }

    /// The next row as it stands at `now`.
    pub fn next(&mut self, now: Instant) -> Option<Subject<'_>> {
        let (proxy, step) = self.advance()?;
        let generation = &*self.generation;
        let proxy = generation.proxies.get(proxy)?;
        let back = || proxy.back.as_deref();
        let part = match step {
            Step::Front => Part::Front(proxy.front.counters.total()),
            Step::Listener(i) => {
                let listener = proxy.front.listeners.get(i)?;
                Part::Listener(listener, listener.counters.total())
            }
            Step::Server(i) => {
                let server = back()?.servers.get(i)?;
                Part::Server(server, server.counters.total())
            }
            Step::Back => {
                let back = back()?;
                Part::Back(back, back.counters.total(), back.in_use())
            }
        };
        Some(Subject { generation, proxy, part, now, legends: self.selection.legends, h2: OnceCell::new() })
    }

    /// Steps over what is not wanted.
    fn advance(&mut self) -> Option<(usize, Step)> {
        while let Some(proxy) = self.generation.proxies.get(self.proxy) {
            if !self.selection.wants_proxy(proxy) {
                self.leave_proxy();
                continue;
            }
            let at = (self.proxy, self.step);
            let selection = &self.selection;
            let itself = selection.sid.is_none_or(|id| id == 0);
            let wanted = match self.step {
                Step::Front => {
                    self.step = Step::Listener(0);
                    itself && selection.kinds.has(Kind::Frontend) && proxy.conf.front.is_some()
                }
                Step::Listener(i) => match proxy.front.listeners.get(i) {
                    Some(listener) => {
                        self.step = Step::Listener(i + 1);
                        let this = selection.sid.is_none_or(|id| id == listener.bind.id);
                        this && selection.kinds.has(Kind::Listener)
                    }
                    None => {
                        self.step = Step::Server(0);
                        false
                    }
                },
                Step::Server(i) => match proxy.back.as_ref().and_then(|b| b.servers.get(i)) {
                    Some(server) => {
                        self.step = Step::Server(i + 1);
                        !server.is_gone()
                            && selection.kinds.has(Kind::Server)
                            && selection.wants_server(server)
                    }
                    None => {
                        self.step = Step::Back;
                        false
                    }
                },
                Step::Back => {
                    let wanted = itself && selection.kinds.has(Kind::Backend) && proxy.back.is_some();
                    self.leave_proxy();
                    wanted
                }
            };
            if wanted {
                return Some(at);
            }
        }
        None
    }

    fn leave_proxy(&mut self) {
        self.proxy += 1;
        self.step = Step::Front;
    }
}
