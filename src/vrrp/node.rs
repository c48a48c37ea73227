//! The routers of one machine, and groups of them that change state together (keepalived's `vrrp_sync_group`).
//!
//! A group's member that becomes master takes the others with it, one that falls back likewise, and a fault of one is a fault
//! of all: addresses of two networks are never held by two machines.

use super::router::{Input, Output, Router, State};
use std::collections::VecDeque;
use std::time::Instant;

#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    /// Places in the node's routers.
    pub members: Vec<usize>,
}

/// Where a router of another configuration comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It was at this place.
    Place(usize),
    New(Box<Router>),
}

#[derive(Clone, Debug)]
pub struct Node {
    pub routers: Vec<Router>,
    pub groups: Vec<Group>,
    /// The fault each router has of its own, apart from its group's.
    faults: Vec<Option<String>>,
    outputs: VecDeque<(usize, Output)>,
}

impl Node {
    #[must_use]
    pub fn new(routers: Vec<Router>, groups: Vec<Group>) -> Self {
        let faults = vec![None; routers.len()];
        Self { routers, groups, faults, outputs: VecDeque::new() }
    }

    /// Other routers and groups. What is in no place any more is to be stopped before.
    pub fn replace(&mut self, routers: Vec<Origin>, groups: Vec<Group>) {
        let mut known: Vec<Option<Router>> = self.routers.drain(..).map(Some).collect();
        let faults = std::mem::take(&mut self.faults);
        for origin in routers {
            let (router, fault) = match origin {
                Origin::Place(at) => {
                    let Some(router) = known.get_mut(at).and_then(Option::take) else { continue };
                    (router, faults.get(at).cloned().flatten())
                }
                Origin::New(router) => (*router, None),
            };
            self.routers.push(router);
            self.faults.push(fault);
        }
        self.groups = groups;
    }

    /// Has the members of groups with a master take over as well: they may be new there.
    pub fn join(&mut self, now: Instant) {
        for group in self.groups.clone() {
            let mut members = group.members.iter().filter_map(|at| self.routers.get(*at));
            let Some(master) = members.find(|r| r.state() == State::Master) else { continue };
            let reason = format!("{} of group {} is master", master.settings.name, group.name);
            for &at in &group.members {
                if self.routers.get(at).is_some_and(|r| r.state() == State::Backup && !r.yields()) {
                    self.handle_input(at, Input::TakeOver(reason.clone()), now);
                }
            }
        }
    }

    /// Outputs with the place of the router they come from.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<(usize, Output)> {
        self.outputs.pop_front()
    }

    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.routers.iter().filter_map(Router::poll_timeout).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.routers.len() {
            if self.routers[at].poll_timeout().is_some_and(|due| due <= now) {
                self.routers[at].handle_timeout(now);
                self.settle(at, now);
            }
        }
    }

    /// Something happens to the router at place `at`; a place that is not there is ignored.
    pub fn handle_input(&mut self, at: usize, input: Input<'_>, now: Instant) {
        let Some(fault) = self.faults.get_mut(at) else { return };
        match input {
            Input::Fault(reason) => {
                *fault = Some(reason);
                self.judge(at, now);
            }
            Input::Clear => {
                *fault = None;
                self.judge(at, now);
            }
            other => {
                self.routers[at].handle_input(other, now);
                self.settle(at, now);
            }
        }
    }

    /// The state all members are in, or fault if one is at fault; `None` while they are on their way.
    #[must_use]
    pub fn group_state(&self, group: &Group) -> Option<State> {
        let states: Vec<State> =
            group.members.iter().filter_map(|&m| self.routers.get(m)).map(Router::state).collect();
        let first = *states.first()?;
        let all_alike = states.iter().all(|s| *s == first);
        states.contains(&State::Fault).then_some(State::Fault).or_else(|| all_alike.then_some(first))
    }

    fn group_of(&self, at: usize) -> Option<&Group> {
        self.groups.iter().find(|group| group.members.contains(&at))
    }

    /// All that change state with the router at place `at`, itself among them.
    #[must_use]
    pub fn members(&self, at: usize) -> Vec<usize> {
        self.group_of(at).map_or_else(|| vec![at], |group| group.members.clone())
    }

    /// Hands the faults of a group's members to all of them.
    fn judge(&mut self, at: usize, now: Instant) {
        let members = self.members(at);
        let failing = members.iter().find_map(|&m| self.faults[m].clone().map(|reason| (m, reason)));
        for &member in &members {
            let input = match (&self.faults[member], &failing) {
                (Some(own), _) => Input::Fault(own.clone()),
                (None, Some((other, reason))) => {
                    Input::Fault(format!("{}: {reason}", self.routers[*other].settings.name))
                }
                (None, None) => Input::Clear,
            };
            self.routers[member].handle_input(input, now);
            self.take_outputs(member);
        }
    }

    /// Takes the outputs of a router and has its group follow it.
    fn settle(&mut self, at: usize, now: Instant) {
        let Some((from, to)) = self.take_outputs(at) else { return };
        let Some(group) = self.group_of(at) else { return };
        let name = format!("{} of group {}", self.routers[at].settings.name, group.name);
        let others: Vec<usize> = group.members.iter().copied().filter(|m| *m != at).collect();
        for other in others {
            let input = match (from, to) {
                (_, State::Master) => Input::TakeOver(format!("{name} is master")),
                (State::Master, State::Backup) => Input::FallBack(format!("{name} is backup")),
                _ => return,
            };
            self.routers[other].handle_input(input, now);
            self.take_outputs(other);
        }
    }

    /// Moves the outputs of a router over; answers the change of its state.
    fn take_outputs(&mut self, at: usize) -> Option<(State, State)> {
        let mut change = None;
        while let Some(output) = self.routers[at].poll_output() {
            if let Output::Became { from, to, .. } = &output {
                change = Some((*from, *to));
            }
            self.outputs.push_back((at, output));
        }
        change
    }
}
