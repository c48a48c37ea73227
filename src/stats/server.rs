//! Columns that tell of servers: state, weight, checks.

use super::snapshot::{Part, Subject};
use super::value::Value;
use crate::config::model::Endpoint;
use crate::live::doors::Phase;
use crate::live::server::admin;
use crate::live::{LiveServer, OperState};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

/// `status`
pub(super) fn status<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    let text: Cow<'s, str> = match s.part {
        Part::Front(_) => front_status(s).into(),
        Part::Server(server, _) => server_status(s, server),
        // Without servers nothing is down: the proxy answers by itself.
        Part::Back(back, _, in_use) => {
            if in_use.active + in_use.backups > 0 || back.servers.is_empty() { "UP" } else { "DOWN" }.into()
        }
    };
    Some(Value::text(text))
}

fn front_status(s: &Subject<'_>) -> &'static str {
    let stopping = s.generation.process.stopping.load(Relaxed);
    let front = &s.proxy.front;
    let most = front.maxconn.load(Relaxed);
    let full = most > 0 && front.current.load(Relaxed) >= most;
    match (front.doors.phase(), full) {
        _ if stopping => "STOP",
        (Phase::Closed, _) => "STOP",
        (Phase::Paused, _) => "PAUSED",
        (Phase::Open, true) => "FULL",
        (Phase::Open, false) => "OPEN",
    }
}

fn server_status<'s>(s: &'s Subject<'_>, server: &LiveServer) -> Cow<'s, str> {
    let state = server.admin();
    if state & admin::INHERITED_MAINT != 0 && state & admin::FORCED_MAINT == 0 {
        return format!("MAINT (via {})", tracked_name(s, server).unwrap_or_default()).into();
    }
    if state & admin::MAINT != 0 {
        if state & admin::UNRESOLVED_MAINT != 0 && state & admin::FORCED_MAINT == 0 {
            return "MAINT (resolution)".into();
        }
        return "MAINT".into();
    }
    let checked = server.conf.check.is_some() || server.conf.track.is_some();
    match server.oper() {
        OperState::Stopped => "DOWN",
        _ if state & admin::DRAIN != 0 => "DRAIN",
        OperState::Stopping => "NOLB",
        _ if checked => "UP",
        _ => "no check",
    }
    .into()
}

fn tracked_name(s: &Subject<'_>, server: &LiveServer) -> Option<String> {
    let track = server.conf.track.as_deref()?;
    Some(if track.contains('/') { track.to_owned() } else { format!("{}/{track}", s.proxy.conf.name) })
}

pub(super) fn tracked<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) => tracked_name(s, server).map(Value::text),
        _ => None,
    }
}

/// `weight`: what balancing uses.
pub(super) fn weight<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) => Some(Value::U32(server.effective_weight())),
        Part::Back(_, _, in_use) => Some(Value::U32(in_use.weight)),
        Part::Front(_) => None,
    }
}

/// `uweight`: what people set.
pub(super) fn user_weight<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) => Some(Value::U32(server.weight())),
        Part::Back(_, _, in_use) => Some(Value::U32(in_use.user_weight)),
        Part::Front(_) => None,
    }
}

pub(super) fn failed_checks<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) if server.conf.check.is_some() => {
            Some(Value::U64(server.failed_checks.load(Relaxed)))
        }
        _ => None,
    }
}

pub(super) fn down_transitions<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) if server.conf.check.is_some() => {
            Some(Value::U64(server.down_transitions.load(Relaxed)))
        }
        _ => None,
    }
}

/// `addr`
pub(super) fn address<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) if s.legends => {
            let reached = server.reached();
            let port = reached.shown_port();
            Some(match &reached.endpoint {
                Endpoint::Inet(SocketAddr::V4(v4)) => Value::text(format!("{}:{port}", v4.ip())),
                Endpoint::Inet(v6) => Value::text(format!("[{}]:{port}", v6.ip())),
                Endpoint::Unix(_) | Endpoint::Abstract(_) => Value::text("unix"),
                Endpoint::Unresolved { .. } => Value::text(format!("?:{port}")),
            })
        }
        _ => None,
    }
}

/// `cookie`
pub(super) fn cookie<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        _ if !s.legends => None,
        Part::Server(server, _) => server.conf.cookie.as_deref().map(Value::text),
        Part::Back(..) => s.proxy.conf.back.as_ref()?.cookie.as_ref().map(|c| Value::text(&*c.name)),
        Part::Front(_) => None,
    }
}
