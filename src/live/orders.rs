//! What people and agents order of a server: maintenance and drain. Those that track it follow.

use super::Generation;
use super::control::{ALERT, NOTICE, Notice, ServerAt, full_name, mark, title};
use super::server::{LiveServer, OperState, admin};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

impl Generation {
    /// Puts a server into maintenance, which ends its drain, or takes it out.
    pub fn set_maint(&self, at: ServerAt, on: bool, now: Instant) -> Vec<Notice> {
        let mut notices = self.order(at, admin::FORCED_MAINT, on, now);
        if on {
            notices.extend(self.set_drain(at, false, now));
        }
        notices
    }

    /// Drains a server (what persistence sends is still served), or ends that.
    pub fn set_drain(&self, at: ServerAt, on: bool, now: Instant) -> Vec<Notice> {
        self.order(at, admin::FORCED_DRAIN, on, now)
    }

    /// `set server ... state ready`
    pub fn set_ready(&self, at: ServerAt, now: Instant) -> Vec<Notice> {
        let mut notices = self.set_drain(at, false, now);
        notices.extend(self.set_maint(at, false, now));
        notices
    }

    /// `set server ... state drain`: out of maintenance too.
    pub fn set_draining(&self, at: ServerAt, now: Instant) -> Vec<Notice> {
        let mut notices = self.set_drain(at, true, now);
        notices.extend(self.set_maint(at, false, now));
        notices
    }

    fn order(&self, at: ServerAt, bit: u8, on: bool, now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.order_from(at, bit, on, None, now, &mut notices);
        notices
    }

    fn order_from(
        &self,
        at: ServerAt,
        bit: u8,
        on: bool,
        via: Option<&str>,
        now: Instant,
        out: &mut Vec<Notice>,
    ) {
        let Some((proxy, _, server)) = self.find(at) else { return };
        let before = server.admin();
        if (before & bit != 0) == on {
            return;
        }
        let after = if on { before | bit } else { before & !bit };
        let kind = if bit & admin::MAINT != 0 { admin::MAINT } else { admin::DRAIN };
        let tracked = self.tracked_name(at);
        let story = Story { at, before, after, via: via.or(tracked.as_deref()), now };
        match (before & admin::MAINT != 0, after & admin::MAINT != 0) {
            (false, true) => self.enter_maintenance(&story, out),
            (true, false) => self.leave_maintenance(&story, out),
            (true, true) => self.stay_in_maintenance(&story, out),
            (false, false) => self.drain(&story, out),
        }
        // Another flag of the kind holds the server where it is, and its trackers.
        if before & kind & !bit != 0 {
            return;
        }
        let inherited = if kind == admin::MAINT { admin::INHERITED_MAINT } else { admin::INHERITED_DRAIN };
        let name = full_name(proxy, server);
        for tracker in self.trackers(at) {
            self.order_from(tracker, inherited, on, Some(&name), now, out);
        }
    }

    fn enter_maintenance(&self, story: &Story<'_>, out: &mut Vec<Notice>) {
        let Some((proxy, backend, server)) = self.find(story.at) else { return };
        let was_down = server.oper() == OperState::Stopped;
        let gentle = server.is_going(story.before);
        let change = backend.set_admin(story.at.1.get(), story.after, OperState::Stopped, story.now);
        server.check.pause();
        let who = title(proxy, server);
        let via = story.inherited(admin::FORCED_MAINT);
        if was_down {
            out.push(story.notice(format!("{who} was DOWN and now enters maintenance{via}.")));
            return;
        }
        mark(backend, server, OperState::Stopped);
        let tail = change.tail(server, true);
        let level = if gentle { NOTICE } else { ALERT };
        let text = format!("{who} is going DOWN for maintenance{via}. {tail}");
        out.push(Notice::new(story.at.0, level, text));
        change.alarm(story.at.0, proxy, out);
    }

    fn leave_maintenance(&self, story: &Story<'_>, out: &mut Vec<Notice>) {
        let Some((proxy, backend, server)) = self.find(story.at) else { return };
        server.check.resume();
        let tracked = self.tracked_by(story.at).map(|t| t.oper());
        let to = match tracked {
            Some(OperState::Stopped) => OperState::Stopped,
            _ if !server.checks_agree() => OperState::Stopped,
            Some(OperState::Stopping) => OperState::Stopping,
            _ => OperState::Running,
        };
        backend.set_admin(story.at.1.get(), story.after, to, story.now);
        if to != OperState::Stopped {
            mark(backend, server, to);
        }
        let forced = if story.before & admin::FORCED_MAINT != 0 { "forced " } else { "" };
        let state = if to == OperState::Stopped { "DOWN" } else { "UP" };
        let ready = if story.after & admin::DRAIN == 0 { "READY" } else { "DRAIN" };
        let who = title(proxy, server);
        out.push(story.notice(format!("{who} is {state}/{ready} (leaving {forced}maintenance).")));
        if story.after & admin::DRAIN != 0 {
            out.push(story.notice(story.still_draining(&who)));
        }
    }

    fn stay_in_maintenance(&self, story: &Story<'_>, out: &mut Vec<Notice>) {
        let Some((proxy, _, server)) = self.find(story.at) else { return };
        server.admin.store(story.after, Relaxed);
        let gone = story.before & !story.after;
        let who = title(proxy, server);
        if gone & admin::FORCED_MAINT != 0 {
            let via = story.via();
            let text = format!("{who} is leaving forced maintenance but remains in maintenance{via}.");
            out.push(story.notice(text));
        } else if gone & admin::INHERITED_MAINT != 0 {
            out.push(story.notice(format!("{who} remains in forced maintenance.")));
        }
    }

    /// HAProxy says so at every change of a draining server.
    pub(super) fn still_draining(&self, at: ServerAt, out: &mut Vec<Notice>) {
        let Some((proxy, _, server)) = self.find(at) else { return };
        let bits = server.admin();
        if bits & admin::DRAIN != 0 && bits & admin::MAINT == 0 {
            let tracked = self.tracked_name(at);
            out.push(Notice::new(at.0, NOTICE, drain_line(&title(proxy, server), bits, tracked.as_deref())));
        }
    }

    fn drain(&self, story: &Story<'_>, out: &mut Vec<Notice>) {
        let Some((proxy, backend, server)) = self.find(story.at) else { return };
        let (was, is) = (story.before & admin::DRAIN != 0, story.after & admin::DRAIN != 0);
        let change = backend.set_admin(story.at.1.get(), story.after, server.oper(), story.now);
        let who = title(proxy, server);
        let down = server.oper() == OperState::Stopped;
        if was && is {
            out.push(story.notice(story.still_draining(&who)));
        } else if is {
            let via = story.inherited(admin::FORCED_DRAIN);
            let tail = change.tail(server, down);
            let text = format!("{who} enters drain state{via}. {tail}");
            out.push(story.notice(text).mailed(story.at.1, NOTICE));
            change.alarm(story.at.0, proxy, out);
        } else {
            let state = if down { "DOWN" } else { "UP" };
            out.push(story.notice(format!("{who} is {state} (leaving forced drain).")));
        }
    }
}

/// One change of a server's orders.
struct Story<'a> {
    at: ServerAt,
    before: u8,
    after: u8,
    /// The server this one tracks.
    via: Option<&'a str>,
    now: Instant,
}

impl Story<'_> {
    fn notice(&self, text: String) -> Notice {
        Notice::new(self.at.0, NOTICE, text)
    }

    fn via(&self) -> String {
        self.via.map_or_else(String::new, |v| format!(" via {v}"))
    }

    /// `via` unless the order was given to this server itself.
    fn inherited(&self, forced: u8) -> String {
        if self.after & forced != 0 { String::new() } else { self.via() }
    }

    fn still_draining(&self, who: &str) -> String {
        drain_line(who, self.after, self.via)
    }
}

fn drain_line(who: &str, bits: u8, tracked: Option<&str>) -> String {
    if bits & admin::FORCED_DRAIN != 0 {
        return format!("{who} remains in forced drain mode.");
    }
    let via = tracked.map_or_else(String::new, |t| format!(" via {t}"));
    format!("{who} is leaving forced drain but remains in drain mode{via}.")
}

impl LiveServer {
    /// On its way out already (stopping or draining): that it goes is no alert.
    pub(super) fn is_going(&self, admin_bits: u8) -> bool {
        self.oper() == OperState::Stopping || admin_bits & admin::DRAIN != 0
    }
}
