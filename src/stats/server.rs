//! Columns that tell of servers: state, weight, checks.

use super::snapshot::{Part, Subject};
use super::value::Value;
use crate::config::model::{Address, Endpoint};
use crate::live::doors::Phase;
use crate::live::server::admin;
use crate::live::{ListenerState, LiveServer, OperState};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

/// `status`
pub(super) fn status<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    let text: Cow<'s, str> = match s.part {
        Part::Front(_) => front_status(s).into(),
        Part::Listener(listener, _) => listener_status(s, listener).into(),
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

fn listener_status(s: &Subject<'_>, listener: &ListenerState) -> &'static str {
    let full = listener.bind.maxconn.is_some_and(|n| n > 0 && listener.current.load(Relaxed) >= n);
    match front_status(s) {
        "OPEN" if full => "FULL",
        "FULL" => "WAITING",
        status => status,
    }
}

fn server_status<'s>(s: &'s Subject<'_>, server: &LiveServer) -> Cow<'s, str> {
    let orders = server.admin();
    if orders & admin::UNRESOLVED_MAINT != 0 {
        return "MAINT (resolution)".into();
    }
    if orders & admin::INHERITED_MAINT != 0 {
        return format!("MAINT (via {})", tracked_name(s, server).unwrap_or_default()).into();
    }
    if orders & admin::MAINT != 0 {
        return "MAINT".into();
    }
    // Who tracks shows the progress of the one at the end of the chain.
    let source = tracked_server(s, server);
    let (checked, agent) = (source.check.is_enabled(), source.agent.is_enabled());
    let health = source.check.health();
    let (steps, of) = health.progress();
    let on_the_way = checked && health.value() != health.top() && health.value() != 0;
    let word = match server.oper() {
        OperState::Stopped if agent && source.agent.health().value() == 0 => return "DOWN (agent)".into(),
        OperState::Stopped => "DOWN",
        OperState::Stopping => "NOLB",
        _ if orders & admin::DRAIN != 0 && agent => return "DRAIN (agent)".into(),
        _ if orders & admin::DRAIN != 0 => "DRAIN",
        // An agent alone is no health check.
        _ if !checked => return "no check".into(),
        _ => "UP",
    };
    if on_the_way { format!("{word} {steps}/{of}").into() } else { word.into() }
}

/// The server whose checks decide.
fn tracked_server<'a>(s: &Subject<'a>, server: &'a LiveServer) -> &'a LiveServer {
    let mut source = server;
    let mut at = (s.proxy.index, server.index);
    while let Some((next, tracked)) = s.generation.tracked_at(at) {
        (source, at) = (tracked, next);
    }
    source
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
        Part::Front(_) | Part::Listener(..) => None,
    }
}

/// `uweight`: what people set.
pub(super) fn user_weight<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) => Some(Value::U32(server.weight())),
        Part::Back(_, _, in_use) => Some(Value::U32(in_use.user_weight)),
        Part::Front(_) | Part::Listener(..) => None,
    }
}

pub(super) fn down_transitions<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) if server.check.is_enabled() => {
            Some(Value::U64(server.down_transitions.load(Relaxed)))
        }
        Part::Back(back, ..) => Some(Value::U64(back.down_transitions.load(Relaxed))),
        _ => None,
    }
}

/// `lastchg`
pub(super) fn last_change<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) => Some(Value::u32(server.since_change(s.now).as_secs())),
        Part::Back(back, ..) => Some(Value::u32(back.since_change(s.now).as_secs())),
        _ => None,
    }
}

pub(super) fn downtime<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) if server.check.is_enabled() => {
            Some(Value::u32(server.downtime(s.now).as_secs()))
        }
        Part::Back(back, ..) if !back.servers.is_empty() => Some(Value::u32(back.downtime(s.now).as_secs())),
        _ => None,
    }
}

pub(super) fn throttle<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) if server.oper() == OperState::Starting => {
            Some(Value::U32(server.throttle()))
        }
        _ => None,
    }
}

/// `lastsess`: -1 before the first.
pub(super) fn last_session<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    let idle = |server: &LiveServer| server.session_rate.idle(server.total(), s.now);
    let idle = match s.part {
        Part::Server(server, _) => idle(server),
        Part::Back(back, ..) => back.servers.iter().filter_map(|server| idle(server)).min(),
        _ => return None,
    };
    Some(Value::S32(idle.map_or(-1, |idle| i32::try_from(idle.as_secs()).unwrap_or(i32::MAX))))
}

/// Prometheus shows servers by status; the other forms have 0 here, as HAProxy's.
pub(super) fn aggregate<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    matches!(s.part, Part::Back(..)).then_some(Value::U32(0))
}

/// `addr`
pub(super) fn address<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Listener(listener, _) if s.legends => Some(match &listener.bind.address {
            Address::Inet(address) => Value::text(address.to_string()),
            Address::Unix(_) | Address::Abstract(_) => Value::text("unix"),
            Address::Fd(fd) => Value::text(format!("fd@{fd}")),
        }),
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
        Part::Server(server, _) => server.cookie().map(|c| Value::text(c.to_string())),
        Part::Back(..) => s.proxy.conf.back.as_ref()?.cookie.as_ref().map(|c| Value::text(&*c.name)),
        Part::Front(_) | Part::Listener(..) => None,
    }
}
