//! `load-server-state-from-file`: servers go on as a file in the form of `show servers state` says.

use super::control::{Notice, ServerAt};
use super::server::{LiveServer, OperState, admin};
use super::{Generation, LiveProxy, Which};
use crate::health::{Finding, Status};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Fields of a line of version 1: older programs wrote fewer.
const FIELDS: std::ops::RangeInclusive<usize> = 18..=25;
const REASON: &str = ", changed from server-state after a reload";

/// Why a file is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It does not begin with `1`.
    Version,
    /// This line (HAProxy counts from the one after the version) is not of its form.
    Corrupted(usize),
}

/// One server's line: what version 1 says of it.
#[derive(Debug)]
pub struct SavedServer<'a> {
    fields: Vec<&'a str>,
}

/// A file's lines.
///
/// # Errors
/// The whole file is refused for one bad line.
pub fn read(text: &str) -> Result<Vec<SavedServer<'_>>, Unreadable> {
    let mut lines = text.lines();
    if lines.next() != Some("1") {
        return Err(Unreadable::Version);
    }
    let mut saved = Vec::new();
    for (number, line) in (1..).zip(lines) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if !FIELDS.contains(&fields.len()) {
            return Err(Unreadable::Corrupted(number));
        }
        saved.push(SavedServer { fields });
    }
    Ok(saved)
}

/// The numbers of a line, once all of them are good.
struct Numbers {
    oper: u32,
    orders: u8,
    weight: u32,
    configured_weight: u32,
    since_change: u64,
    status: u8,
    health: u32,
    check_state: u32,
    agent_state: u32,
}

impl SavedServer<'_> {
    fn field(&self, i: usize) -> &str {
        self.fields.get(i).copied().unwrap_or("")
    }

    fn number<T: std::str::FromStr + PartialOrd>(&self, i: usize, name: &str, max: T) -> Result<T, String> {
        let text = self.field(i);
        let number = text.parse().ok().filter(|n| *n <= max);
        number.ok_or_else(|| format!(", invalid {name} value '{text}'"))
    }

    fn numbers(&self) -> Result<Numbers, String> {
        // What others pass on is worked out anew.
        let passing = admin::INHERITED_MAINT | admin::INHERITED_DRAIN | 0x40;
        let orders = self.number::<u8>(6, "srv_admin_state", u8::MAX)? & !passing;
        if !matches!(orders, 0 | 1 | 4 | 5 | 8 | 12) {
            return Err(format!(", invalid srv_admin_state value '{}'", self.field(6)));
        }
        Ok(Numbers {
            oper: self.number(5, "srv_op_state", 3)?,
            orders,
            weight: self.number(7, "srv_uweight", 256)?,
            configured_weight: self.number(8, "srv_iweight", 256)?,
            since_change: self.number(9, "srv_last_time_change", u64::MAX)?,
            status: self.number(10, "srv_check_status", 21)?,
            health: self.number(12, "srv_check_health", u32::MAX)?,
            check_state: self.number(13, "srv_check_state", 0x1f)?,
            agent_state: self.number(14, "srv_agent_state", 0x1f)?,
        })
    }

    fn is_of(&self, proxy: &LiveProxy) -> bool {
        let by_id = self.field(15) == "1" && self.field(0) == proxy.conf.id.to_string();
        self.field(1) == &*proxy.conf.name || by_id
    }

    fn is(&self, server: &LiveServer) -> bool {
        let by_id = self.field(16) == "1" && self.field(2) == server.conf.id.to_string();
        self.field(3) == server.name() || by_id
    }
}

impl Generation {
    /// Puts the servers of `proxy` where the file's lines say. Answers what there is to say at the start: lines about
    /// servers, and about lines that could not be used.
    pub fn restore(&self, proxy: &LiveProxy, saved: &[SavedServer<'_>], now: Instant) -> Vec<String> {
        let mut said = Vec::new();
        let mut done = HashSet::new();
        for line in saved.iter().filter(|l| l.is_of(proxy)) {
            let mut servers = proxy.back.iter().flat_map(|b| &b.servers);
            let Some(server) = servers.find(|s| line.is(s)) else { continue };
            if !done.insert(server.index) {
                continue;
            }
            match line.numbers() {
                Ok(numbers) => {
                    let notices = self.restore_server((proxy.index, server.index), server, &numbers, now);
                    // That none is left is no alarm before the first check.
                    said.extend(notices.into_iter().filter(|n| !n.alert).map(|n| n.log));
                }
                Err(problem) => said.push(format!(
                    "server-state application failed for server '{}/{}'{problem}",
                    proxy.conf.name,
                    server.name()
                )),
            }
        }
        said
    }

    fn restore_server(&self, at: ServerAt, server: &LiveServer, n: &Numbers, now: Instant) -> Vec<Notice> {
        let health = server.check.health();
        let (up, down) = (health.at(health.top()), health.at(0));
        let (to, health) = match n.oper {
            0 => (Some(OperState::Stopped), down),
            3 if health.fall() == 1 => (Some(OperState::Stopped), down),
            3 if (health.rise()..health.top()).contains(&n.health) => {
                (Some(OperState::Stopping), health.at(n.health))
            }
            3 => (Some(OperState::Stopping), health.at(health.rise())),
            1 if health.rise() > 1 && n.health >= 1 && n.health < health.rise() => {
                (None, health.at(n.health))
            }
            1 if health.rise() > 1 => (None, health.at(health.rise() - 1)),
            _ => (Some(OperState::Running), up),
        };
        server.check.set_health(health);
        let via = self.tracked_name(at).map_or_else(String::new, |t| format!(" via {t}"));
        let reason = if to == Some(OperState::Running) { &via } else { REASON };
        let mut notices = to.map(|to| self.set_oper(at, to, reason, now)).unwrap_or_default();
        self.restore_orders(at, server, n, now);
        server.lifetime.restore(Duration::from_secs(n.since_change), now);
        if server.check.is_configured() {
            server.check.set_last(Finding::new(Status::by_number(n.status)));
        }
        for (which, state) in [(Which::Health, n.check_state), (Which::Agent, n.agent_state)] {
            // Configured then, and disabled by command.
            if state & 2 != 0 && state & 4 == 0 {
                self.enable_check(at, which, false);
            }
        }
        // The configuration's weight counts when it is another one now.
        if n.configured_weight == server.conf.weight
            && let Some((_, backend, _)) = self.find(at)
        {
            backend.put_weight(at.1.get(), n.weight, now);
        }
        self.still_draining(at, &mut notices);
        notices
    }

    /// An order of the configuration that has changed goes before those of commands. Nothing is said at the start.
    fn restore_orders(&self, at: ServerAt, server: &LiveServer, n: &Numbers, now: Instant) {
        let configured = server.admin() & admin::CONFIGURED_MAINT;
        if n.orders & admin::CONFIGURED_MAINT != configured {
            let _ = if configured == 0 { self.set_ready(at, now) } else { self.set_maint(at, true, now) };
        } else if n.orders & admin::FORCED_MAINT != 0 && configured == 0 {
            let _ = self.set_maint(at, true, now);
        } else if n.orders & admin::FORCED_MAINT == 0 && configured != 0 {
            let _ = self.set_ready(at, now);
        }
        // A weight of 0 drained then; it has another one now.
        if n.orders & admin::FORCED_DRAIN != 0 && (n.configured_weight > 0 || server.conf.weight == 0) {
            let _ = self.set_draining(at, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let check = |text: &str, expected: Result<usize, Unreadable>| {
            assert_eq!(read(text).map(|l| l.len()), expected, "{text:?}");
        };
        let line = "2 f 1 a 127.0.0.1 2 0 10 10 2 6 3 4 6 22 0 0 - 21001 - 0 0 - - 21002";
        check(&format!("1\n# names\n{line}\n\n{line}\n"), Ok(2));
        check("", Err(Unreadable::Version));
        check("2\n", Err(Unreadable::Version));
        check(&format!("1\n# names\n{line}\ngarbage\n"), Err(Unreadable::Corrupted(3)));
        check(&format!("1\n{line} 1 2 3\n"), Err(Unreadable::Corrupted(1)));
    }
}
