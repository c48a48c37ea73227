//! Other settings for a router that runs: it stays in its state, and the protocol says what follows.

use super::{Burst, Output, Phase, Router};
use crate::vrrp::settings::Settings;
use crate::wire::vrrp::{STOPS, Version};
use std::time::Instant;

impl Router {
    /// A master says at once what is new: the others' timers follow from its interval. A backup listens anew: before, it may have
    /// understood nobody.
    pub(super) fn renew(&mut self, settings: Settings, now: Instant) {
        let source = if settings.source.is_unspecified() { self.settings.source } else { settings.source };
        let settings = Settings { source, ..settings };
        if settings == self.settings {
            return;
        }
        let before = std::mem::replace(&mut self.settings, settings);
        let s = &self.settings;
        let down = |interval| now + s.master_down(self.priority, interval);
        match &mut self.phase {
            Phase::Master { advert_at, bursts, .. } => {
                *advert_at = now;
                if s.announce_every != before.announce_every {
                    bursts.refresh = s.announce_every.map(|every| now + every);
                }
                if s.addresses.iter().any(|address| !before.addresses.contains(address)) {
                    bursts.again = s.announce_again.map(|after| now + after);
                    self.outputs.push_back(Output::Announce(Burst::Taken));
                }
            }
            // Whoever stops is about to be followed by somebody.
            Phase::Backup { heard: Some(heard), .. } if heard.priority == STOPS => {}
            Phase::Backup { master_down_at, heard, .. } => {
                let theirs = heard.filter(|_| s.version == Version::V3).map(|h| h.interval);
                *master_down_at = down(theirs.unwrap_or(s.interval));
            }
            Phase::Stopped | Phase::Fault | Phase::Leaving { .. } => {}
        }
    }
}
