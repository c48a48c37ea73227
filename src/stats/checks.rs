//! Columns that tell of a server's health check and of its agent.

use super::snapshot::{Part, Subject};
use super::value::Value;
use crate::health::{Finding, Status};
use crate::live::server::admin;
use crate::live::{CheckState, LiveServer, Which};
use std::sync::atomic::Ordering::Relaxed;

/// The check, if it is switched on.
fn enabled<'a>(s: &Subject<'a>, which: Which) -> Option<(&'a LiveServer, &'a CheckState)> {
    let Part::Server(server, _) = s.part else { return None };
    let check = server.check_of(which);
    check.is_enabled().then_some((server, check))
}

/// The check, if it is at work: in maintenance nobody checks, but the agent is asked on.
fn at_work<'a>(s: &Subject<'a>, which: Which) -> Option<&'a CheckState> {
    let (server, check) = enabled(s, which)?;
    (which == Which::Agent || server.admin() & admin::MAINT == 0).then_some(check)
}

fn last(s: &Subject<'_>, which: Which) -> Option<Finding> {
    at_work(s, which).map(CheckState::last)
}

/// `check_status`: `* ` in front tells that the next one is under way.
pub(super) fn status<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    let (_, check) = enabled(s, which)?;
    let code = last(s, which)?.status.code();
    Some(if check.is_running() { Value::text(format!("* {code}")) } else { Value::text(code) })
}

/// -1 is shown as the number without a sign that it is to HAProxy.
pub(super) fn code<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    let last = last(s, which)?;
    last.status.has_code().then(|| Value::U32(last.code.unwrap_or(0).cast_unsigned()))
}

pub(super) fn duration<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    let last = last(s, which)?;
    let ms = last.duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let none_yet = matches!(last.status, Status::Unknown | Status::Initializing);
    ms.or((!none_yet).then_some(0)).map(Value::U64)
}

pub(super) fn description<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    Some(Value::text(last(s, which)?.status.words()))
}

/// `last_chk`
pub(super) fn text<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    last(s, which)?.info.map(Value::text)
}

pub(super) fn health<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    at_work(s, which).map(|check| Value::U32(check.health().value()))
}

pub(super) fn rise<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    at_work(s, which).map(|check| Value::U32(check.health().rise()))
}

pub(super) fn fall<'s>(s: &'s Subject<'_>, which: Which) -> Option<Value<'s>> {
    at_work(s, which).map(|check| Value::U32(check.health().fall()))
}

pub(super) fn failed<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    enabled(s, Which::Health).map(|(server, _)| Value::U64(server.failed_checks.load(Relaxed)))
}

/// `hanafail`: shown where traffic is watched (`observe`).
pub(super) fn hanafail<'s>(s: &'s Subject<'_>) -> Option<Value<'s>> {
    match s.part {
        Part::Server(server, _) if server.conf.observe.is_some() => {
            Some(Value::U64(server.failed_analyses.load(Relaxed)))
        }
        _ => None,
    }
}
