//! `load-server-state-from-file`: servers go on as a file in the form of `show servers state` says.

use super::backend::LiveBackend;
use super::checks::{CheckState, Settings};
use super::control::{Notice, ServerAt};
use super::server::{LiveServer, OperState, admin};
use super::{Generation, LiveProxy, Which};
use crate::config::model::Endpoint;
use crate::config::states::{Numbers, SavedServer};
use crate::health::{Finding, Status};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const REASON: &str = ", changed from server-state after a reload";

impl Generation {
    /// Puts the servers of `proxy` where the file's lines say. Answers what there is to say at the start: lines about
    /// servers, and about lines that could not be used.
    pub fn restore(&self, proxy: &LiveProxy, saved: &[SavedServer<'_>], now: Instant) -> Vec<String> {
        let mut said = Vec::new();
        let mut done = HashSet::new();
        let named = |server: &LiveServer| format!("server '{}/{}'", proxy.conf.name, server.name());
        for line in saved.iter().filter(|l| l.is_of(&proxy.conf)) {
            let mut servers = proxy.back.iter().flat_map(|b| &b.servers);
            let Some(server) = servers.find(|s| line.is(&s.conf)) else { continue };
            if !done.insert(server.index) {
                continue;
            }
            match line.numbers(&server.conf) {
                Ok(numbers) => {
                    let notices = self.restore_server((proxy.index, server.index), server, &numbers, now);
                    // That none is left is no alarm before the first check.
                    said.extend(notices.into_iter().filter(|n| !n.alert).map(|n| n.log));
                    if let Err(problem) = restore_checks(server, line) {
                        said.push(format!("server-state partially applied for {}, {problem}", named(server)));
                    }
                }
                Err(problem) => {
                    said.push(format!("server-state application failed for {}{problem}", named(server)));
                }
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
        notices.extend(self.restore_orders(at, server, n, now));
        server.lifetime.restore(Duration::from_secs(n.since_change), now);
        server.check.set_last(Finding::new(Status::by_number(n.status)));
        for (which, state) in [(Which::Health, n.check_state), (Which::Agent, n.agent_state)] {
            // Configured then, and disabled by command.
            if state & 2 != 0 && state & 4 == 0 {
                self.enable_check(at, which, false);
            }
        }
        if let Some((_, backend, _)) = self.find(at) {
            restore_port(backend, at, server, n.port);
        }
        // The configuration's weight counts when it is another one now.
        if n.configured_weight == server.conf.weight
            && let Some((_, backend, _)) = self.find(at)
        {
            backend.put_weight(at.1.get(), n.weight, now);
        }
        if server.admin() & admin::UNRESOLVED_MAINT != 0 {
            server.check.pause();
        }
        self.still_draining(at, &mut notices);
        notices
    }

    /// An order of the configuration that has changed goes before those of commands. Of them only the end of a maintenance that the
    /// configuration wants is said at the start.
    fn restore_orders(&self, at: ServerAt, server: &LiveServer, n: &Numbers, now: Instant) -> Vec<Notice> {
        let configured = server.admin() & admin::CONFIGURED_MAINT;
        let mut notices = Vec::new();
        match (n.orders & admin::CONFIGURED_MAINT, configured) {
            (0, 0) if n.orders & admin::FORCED_MAINT != 0 => drop(self.set_maint(at, true, now)),
            (0, 0) => {}
            (0, _) => {
                drop(self.set_maint(at, true, now));
                return notices;
            }
            (_, 0) => drop(self.set_ready(at, now)),
            _ if n.orders & admin::FORCED_MAINT == 0 => notices = self.set_ready(at, now),
            _ => {}
        }
        // A weight of 0 drained then; it has another one now.
        if n.orders & admin::FORCED_DRAIN != 0 && (n.configured_weight > 0 || server.conf.weight == 0) {
            drop(self.set_draining(at, now));
        }
        notices
    }
}

/// The port that the server had, or what it added to the client's. Where the file has none the configuration's stays:
/// HAProxy puts 0 in its place, which nobody answers at.
fn restore_port(backend: &LiveBackend, at: ServerAt, server: &LiveServer, saved: i32) {
    if server.conf.shown_port() == saved {
        return;
    }
    let offset = server.conf.port_offset.map(|_| saved);
    let fixed = u16::try_from(saved).ok().filter(|p| *p > 0);
    let mut endpoint = server.reached().endpoint.clone();
    match (&mut endpoint, fixed) {
        (Endpoint::Inet(address), Some(port)) if offset.is_none() => address.set_port(port),
        (Endpoint::Unresolved { port, .. }, Some(saved)) => *port = saved,
        _ if offset.is_some() => {}
        _ => return,
    }
    backend.move_to(at.1.get(), endpoint, offset);
}

/// Where check and agent go: both that a command had set and what stood in the configuration of then.
fn restore_checks(server: &LiveServer, line: &SavedServer<'_>) -> Result<(), String> {
    let off = |what: &str| format!("{what} checks are not enabled on this server");
    restore_check(&server.check, line.field(22), line.field(21), || off("health"))?;
    restore_check(&server.agent, line.field(23), line.field(24), || off("agent"))
}

fn restore_check(check: &CheckState, addr: &str, port: &str, off: impl Fn() -> String) -> Result<(), String> {
    let (addr, port) = (addr.trim_matches('-'), if port == "0" { "" } else { port });
    if addr.is_empty() && port.is_empty() {
        return Ok(());
    }
    if !check.is_configured() {
        return Err(off());
    }
    let mut change = Settings::default();
    if !addr.is_empty() {
        change.addr = Some(addr.parse().map_err(|_| format!("invalid addr '{addr}'"))?);
    }
    if !port.is_empty() {
        let number = port.parse::<i64>().map_err(|_| "provided port is not an integer")?;
        change.port = Some(u16::try_from(number).map_err(|_| "provided port is invalid")?);
    }
    check.change_settings(|settings| {
        settings.addr = change.addr.or(settings.addr);
        settings.port = change.port.or(settings.port);
    });
    Ok(())
}
