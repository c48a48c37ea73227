//! Servers: state, weight, limits, sessions. What is more than a word long about `set server` is in `server_settings`.

use super::server_settings as settings;
use super::target::{self, Target};
use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, User};
use crate::live::checks::{Forced, Which};
use std::time::Instant;

pub const TABLE: &[Command] = &[
    Command::new(
        "set server",
        Admin,
        "set server <bk>/<srv> [opts]",
        "change a server's state, weight, address or checks",
        set,
    ),
    Command::new(
        "enable server",
        Admin,
        "enable server <bk>/<srv>",
        "end maintenance (see 'set server')",
        |c| {
            with_server(c, 2, |c, t| {
                c.admin.report(&c.live().set_ready(t.at, Instant::now()));
                Answer::Done
            })
        },
    ),
    Command::new(
        "disable server",
        Admin,
        "disable server <bk>/<srv>",
        "begin maintenance (see 'set server')",
        |c| {
            with_server(c, 2, |c, t| {
                c.admin.report(&c.live().set_maint(t.at, true, Instant::now()));
                Answer::Done
            })
        },
    ),
    Command::new("enable health", Admin, "enable health <bk>/<srv>", "enable health checks", |c| {
        enable(c, Which::Health, "Health check was not configured on this server, cannot enable.")
    }),
    Command::new("disable health", Admin, "disable health <bk>/<srv>", "disable health checks", |c| {
        disable(c, Which::Health)
    }),
    Command::new("enable agent", Admin, "enable agent <bk>/<srv>", "enable agent checks", |c| {
        enable(c, Which::Agent, "Agent was not configured on this server, cannot enable.")
    }),
    Command::new("disable agent", Admin, "disable agent <bk>/<srv>", "disable agent checks", |c| {
        disable(c, Which::Agent)
    }),
    Command::new("get weight", User, "get weight <bk>/<srv>", "show a server's weight", |c| {
        with_server(c, 2, |_, t| {
            Answer::text(format!("{} (initial {})\n", t.server.weight(), t.server.conf.weight))
        })
    }),
    Command::new(
        "set weight",
        Admin,
        "set weight <bk>/<srv> <weight>",
        "change a server's weight (see 'set server')",
        |c| with_server(c, 2, |c, t| set_weight(c, t, 3)),
    ),
    Command::new(
        "set maxconn server",
        Admin,
        "set maxconn server <bk>/<srv> <maxconn>",
        "change a server's maxconn",
        |c| with_server(c, 3, set_maxconn),
    ),
];

fn with_server(call: &mut Call<'_>, i: usize, run: impl FnOnce(&mut Call<'_>, &Target) -> Answer) -> Answer {
    match target::server(call, i) {
        Ok(target) => run(call, &target),
        Err(answer) => answer,
    }
}

fn enable(call: &mut Call<'_>, which: Which, not_configured: &str) -> Answer {
    with_server(call, 2, |c, t| {
        if c.live().enable_check(t.at, which, true) { Answer::Done } else { Answer::error(not_configured) }
    })
}

fn disable(call: &mut Call<'_>, which: Which) -> Answer {
    with_server(call, 2, |c, t| {
        c.live().enable_check(t.at, which, false);
        Answer::Done
    })
}

const USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | \
                     check-addr | check-port | fqdn | health | ssl | state | weight";

fn set(call: &mut Call<'_>) -> Answer {
    with_server(call, 2, |c, t| match c.word(3) {
        "state" => set_state(c, t),
        "weight" => set_weight(c, t, 4),
        "health" => set_health(c, t),
        "agent" => set_agent(c, t),
        "addr" => settings::address(c, t),
        "check-addr" => settings::check_address(c, t),
        "check-port" => settings::check_port(c, t),
        "agent-addr" => settings::agent_address(c, t),
        "agent-port" => settings::agent_port(c, t),
        "agent-send" => settings::agent_send(c, t),
        "fqdn" if !c.has(4) => Answer::error("set server <b>/<s> fqdn requires a FQDN."),
        "fqdn" => Answer::error("set server <b>/<s> fqdn failed because no resolution is configured."),
        "ssl" => settings::ssl(c, t),
        _ => Answer::error(USAGE),
    })
}

fn set_state(call: &mut Call<'_>, target: &Target) -> Answer {
    let (live, now) = (call.live(), Instant::now());
    let notices = match call.word(4) {
        "ready" => live.set_ready(target.at, now),
        "drain" => live.set_draining(target.at, now),
        "maint" => live.set_maint(target.at, true, now),
        _ => return Answer::error("'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
    };
    call.admin.report(&notices);
    Answer::Done
}

fn set_health(call: &mut Call<'_>, target: &Target) -> Answer {
    if target.server.conf.track.is_some() {
        return Answer::error("cannot change health on a tracking server.");
    }
    let to = match call.word(4) {
        "up" => Forced::Up,
        "stopping" => Forced::Stopping,
        "down" => Forced::Down,
        _ => return Answer::error("'set server <srv> health' expects 'up', 'stopping', or 'down'."),
    };
    call.admin.report(&call.live().force_check(target.at, Which::Health, to, Instant::now()));
    Answer::Done
}

fn set_agent(call: &mut Call<'_>, target: &Target) -> Answer {
    if !target.server.agent.is_enabled() {
        return Answer::error("agent checks are not enabled on this server.");
    }
    let to = match call.word(4) {
        "up" => Forced::Up,
        "down" => Forced::Down,
        _ => return Answer::error("'set server <srv> agent' expects 'up' or 'down'."),
    };
    call.admin.report(&call.live().force_check(target.at, Which::Agent, to, Instant::now()));
    Answer::Done
}

fn set_weight(call: &mut Call<'_>, target: &Target, i: usize) -> Answer {
    if !call.has(i) {
        return Answer::error("Require <weight> or <weight%>.");
    }
    match call.live().change_weight(target.at, call.word(i), Instant::now()) {
        Ok(notices) => {
            call.admin.report(&notices);
            Answer::Done
        }
        Err(text) => Answer::unended(severity::ERR, text),
    }
}

fn set_maxconn(call: &mut Call<'_>, target: &Target) -> Answer {
    if !call.has(4) {
        return Answer::error("Require <maxconn>.");
    }
    match call.live().change_maxconn(target.at, call.word(4)) {
        Ok(()) => Answer::Done,
        Err(text) => Answer::unended(severity::ERR, text),
    }
}
