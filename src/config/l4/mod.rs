//! `mode l4` in the configuration: what its lines gather ([`Draft`]), and the services they make ([`settle`]).

pub mod allowed;
pub mod pending;
mod servers;
mod services;
#[cfg(test)]
mod tests;

pub use services::{Said, settle};

use super::model::l4::{Flags, FlowTimeouts, Forward, MinimumUp, OnDown, OnRemove, Vip};
use super::raw::Line;
use crate::balance::l4::Scheduler;
use std::net::IpAddr;
use std::time::Duration;

/// What the lines of one section say, with the lines for what is found wrong when all are read.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The section is in `mode l4`, wherever in it that line stands.
    pub active: bool,
    pub vips: Vec<(Line, Vip)>,
    pub forward: Option<(Line, Forward)>,
    pub scheduler: Option<(Line, Scheduler, Flags)>,
    pub persist: Option<(Line, PersistDraft)>,
    pub timeouts: FlowTimeouts,
    pub sources: Vec<(Line, IpAddr)>,
    pub one_packet: Option<Line>,
    pub quiesce_on_down: Option<Line>,
    pub on_remove: Option<(Line, OnRemove)>,
    pub minimum_up: Option<(Line, MinimumUp)>,
}

/// `persist` before the family of the addresses is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistDraft {
    pub timeout: Duration,
    pub netmask: Option<Netmask>,
    pub on_down: OnDown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netmask {
    /// `255.255.255.0`, as a number of bits.
    Dotted(u8),
    /// A number of bits, as ipvsadm takes it for IPv6.
    Bits(u8),
}
