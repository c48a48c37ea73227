//! What is said of changes: in the log, to programs, by mail.

use super::Shell;
use crate::logging::level;
use crate::vrrp::{Counts, DropReason, State};
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

impl Shell {
    pub fn became(&mut self, at: usize, from: State, to: State, reason: &str) {
        self.memories[at].changed(from, reason, Instant::now());
        let router = &self.routers()[at];
        let level = if to == State::Fault { level::WARNING } else { level::NOTICE };
        let text = format!("{}: {} -> {}: {reason}", router.name, from.name(), to.name());
        self.say(level, &text);
        // The process that goes on tells of it.
        if self.left.contains(&at) {
            return;
        }
        let priority = self.node.routers[at].priority();
        let identity = self.identities.routers.get(at).copied().flatten();
        self.teller.tell(&router.notify, identity, ["INSTANCE", &router.name], to, priority);
        let lost = self.config.send_mail(&router.mail, &text, SystemTime::now());
        if lost > 0 {
            self.say(
                level::WARNING,
                &format!("{lost} mailers have too much waiting; no mail is sent about: {text}"),
            );
        }
    }

    /// Groups whose members have all arrived in a new state: their programs run once, with the priority 0 that keepalived gives.
    pub fn tell_groups(&mut self) {
        for (i, group) in self.node.groups.iter().enumerate() {
            let (Some(state), Some(told)) = (self.node.group_state(group), self.groups.get_mut(i)) else {
                continue;
            };
            if *told == state {
                continue;
            }
            *told = state;
            if state == State::Stopped && group.members.iter().any(|at| self.left.contains(at)) {
                continue;
            }
            if let Some(conf) = self.config.config.vrrp.groups.get(i) {
                let identity = self.identities.groups.get(i).copied().flatten();
                self.teller.tell(&conf.notify, identity, ["GROUP", &conf.name], state, 0);
            }
        }
    }

    /// Adverts that were counted as not listened to since `before`: said at the 1st, 2nd, 4th, 8th... time of each reason.
    pub fn not_listened_to(&self, at: usize, source: IpAddr, before: &Counts) {
        let counts = &self.node.routers[at].counts;
        for reason in DropReason::ALL {
            let count = counts.dropped(reason);
            if let Some(why) = reason.words().filter(|_| count > before.dropped(reason))
                && count.is_power_of_two()
            {
                let name = &self.routers()[at].name;
                let text =
                    format!("{name}: an advert of {source} is not listened to: {why} ({count} so far)");
                self.say(level::WARNING, &text);
            }
        }
    }

    /// Said at the 1st, 2nd, 4th, 8th... time.
    pub fn conflict(&mut self, at: usize, other: IpAddr, priority: u8) {
        self.memories[at].conflicted(other, priority, Instant::now());
        let count = self.conflicts.get() + 1;
        self.conflicts.set(count);
        if count.is_power_of_two() {
            let name = &self.routers()[at].name;
            let text = format!(
                "{name}: {other} is master too, prio {priority} ({count} adverts of other masters so far)"
            );
            self.say(level::WARNING, &text);
        }
    }
}
