//! What a master does: its rhythm, its announcements, and other masters.

use super::{Burst, Bursts, Heard, Output, Phase, Received, Router};
use crate::wire::vrrp::STOPS;
use std::cmp::Ordering;
use std::time::Instant;

impl Router {
    /// A master that was silent for so long that another may have taken over is none any more: adverts that waited meanwhile are
    /// heard as a backup hears them. Answers whether it was one.
    pub(super) fn step_back_after_sleep(&mut self, now: Instant) -> bool {
        let Phase::Master { advert_at, .. } = self.phase else { return false };
        let late = now.saturating_duration_since(advert_at);
        let slept = late > self.settings.master_down(self.priority, self.settings.interval);
        if slept {
            let reason = format!("paused for {:.2} s: another may be master", late.as_secs_f64());
            self.become_backup(reason, None, now);
        }
        slept
    }

    pub(super) fn master_timeout(&mut self, advert_at: Instant, mut bursts: Bursts, now: Instant) {
        if self.step_back_after_sleep(now) {
            return;
        }
        if advert_at <= now {
            self.send(self.priority);
            if let Phase::Master { advert_at, .. } = &mut self.phase {
                // From when it was due: rhythm does not drift. A missed beat is not made up for.
                *advert_at += self.settings.interval;
                if *advert_at <= now {
                    *advert_at = now + self.settings.interval;
                }
            }
        }
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if due(&mut bursts.again) {
            self.outputs.push_back(Output::Announce(Burst::Taken));
        }
        if due(&mut bursts.lower) {
            self.outputs.push_back(Output::Announce(Burst::Lower));
        }
        if due(&mut bursts.refresh) {
            self.outputs.push_back(Output::Announce(Burst::Refresh));
            bursts.refresh = self.settings.announce_every.map(|every| now + every);
        }
        if let Phase::Master { bursts: kept, .. } = &mut self.phase {
            *kept = bursts;
        }
    }

    pub(super) fn heed_as_master(&mut self, heard: Heard, packet: Received<'_>, now: Instant) {
        if heard.priority == STOPS {
            self.send(self.priority);
            if let Phase::Master { advert_at, .. } = &mut self.phase {
                *advert_at = now + self.settings.interval;
            }
            return;
        }
        self.counts.conflicts += 1;
        self.outputs.push_back(Output::Conflict { other: heard.address, priority: heard.priority });
        let ranks_above = match heard.priority.cmp(&self.priority) {
            Ordering::Equal => self.may_break_tie(packet.path, now) && heard.address > packet.local,
            order => order == Ordering::Greater,
        };
        if ranks_above {
            // The last announcement on the network may be ours.
            if self.settings.provokes {
                self.send(self.priority);
            }
            let reason = format!("{} has priority {}", heard.address, heard.priority);
            return self.become_backup(reason, Some(heard), now);
        }
        self.assert_itself(now);
    }

    /// Two paths may order the same two routers differently, and both would give way: while they hear each other on their own
    /// interfaces, only the addresses there count.
    fn may_break_tie(&self, path: usize, now: Instant) -> bool {
        let down = self.settings.master_down(self.priority, self.settings.interval);
        path == 0 || self.heard_on_own.is_none_or(|at| now > at + down)
    }

    /// A lower master is told at once, and the network is told again where the addresses are (RFC 9568 section 6.4.3). Not more than
    /// ten times an interval: whoever sends lower adverts without end is not to be answered without end.
    fn assert_itself(&mut self, now: Instant) {
        let pause = self.settings.interval / 10;
        let Phase::Master { assert_at, bursts, .. } = &mut self.phase else { return };
        if now < *assert_at {
            return;
        }
        *assert_at = now + pause;
        bursts.lower = self.settings.announce_lower.map(|after| now + after);
        self.send(self.priority);
        self.outputs.push_back(Output::Announce(Burst::Lower));
    }
}
