//! What of `mode l4` is read but not forwarded yet: each use is an error that says so. An entry leaves [`PENDING`] with
//! the change to the data plane that makes it work.

use crate::balance::l4::Scheduler;
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::parser::Parser;
use crate::config::raw::Line;

/// A part of the language that needs the data plane to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Forwarding at all.
    Mode,
    Nat,
    DirectRouting,
    Tunnel,
    FullNat,
    Udp,
    Ipv6,
    /// `bind :0`
    EveryPort,
    Persist,
    OnDownKeep,
    Scheduler(Scheduler),
    /// `sh-port`, `mh-fallback` and the like.
    HashFlags,
    Thresholds,
    SlowStart,
    OnePacket,
    QuiesceOnDown,
    /// `on-remove drain` and `expire`.
    OnRemove,
    Backup,
    MinimumUp,
    MinimumUpHooks,
    XdpHook,
}

/// What is not there yet.
pub const PENDING: &[Feature] = &[Feature::XdpHook];

impl Feature {
    /// Its words in the configuration.
    #[must_use]
    pub fn name(self) -> String {
        let words = match self {
            Self::Mode => "mode l4",
            Self::Nat => "forward nat",
            Self::DirectRouting => "forward dr",
            Self::Tunnel => "forward tun",
            Self::FullNat => "forward fullnat",
            Self::Udp => "bind udp@",
            Self::Ipv6 => "an IPv6 address in 'mode l4'",
            Self::EveryPort => "bind with port 0",
            Self::Persist => "persist",
            Self::OnDownKeep => "persist on-down keep",
            Self::Scheduler(scheduler) => return format!("balance {}", scheduler.name()),
            Self::HashFlags => "a flag of 'balance'",
            Self::Thresholds => "u-threshold",
            Self::SlowStart => "slowstart in 'mode l4'",
            Self::OnePacket => "option one-packet",
            Self::QuiesceOnDown => "option quiesce-on-down",
            Self::OnRemove => "on-remove",
            Self::Backup => "backup in 'mode l4'",
            Self::MinimumUp => "minimum up",
            Self::MinimumUpHooks => "minimum up ... on-up, on-down",
            Self::XdpHook => "l4-hook xdp",
        };
        words.to_owned()
    }

    #[must_use]
    pub fn is_pending(self) -> bool {
        PENDING.contains(&self)
    }
}

/// Refuses what is not there yet, at word `index` of its line.
pub fn need(parser: &mut Parser, line: &Line, index: usize, feature: Feature) {
    if feature.is_pending() {
        let message = format!("'{}' is not supported by weir yet", feature.name());
        let diagnostic = Diagnostic::at(Severity::Alert, line, index, message);
        parser.report(match feature {
            Feature::XdpHook => diagnostic.hint(
                "packets are taken at tc's ingress ('auto' and 'tc'), which leaves checksums and segmentation to the hardware; XDP \
                 programs would have to do both themselves, and neighbours, fragments and answers anew",
            ),
            _ => diagnostic,
        });
    }
}
