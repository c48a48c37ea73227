//! `http-request`, `http-response` and `http-after-response` rules: from a list of rules to what the engine must do next.
//!
//! The rules edit the heads through [`Editable`]; whatever needs a socket or a timer comes back as a [`Verdict`].

use super::redirect;
use super::reply::{self, Answer};
use super::rewrite::{self, Failure};
use crate::config::model::action::{PatternEdit, SettableTimeout, TimeoutValue};
use crate::config::model::{HttpAction, HttpRule, Redirect, Rule, Service};
use crate::expr::{Facts, LogFormat, PatternFile, Value};
use crate::live::rules::{self, Editable, Side};
use crate::message::Version;
use std::time::Duration;

/// What a list of rules came to.
#[derive(Debug)]
pub enum Verdict {
    /// No rule stopped the list.
    Continue,
    /// `allow`: the rest of this list is skipped.
    Allow,
    /// `deny`, `return`, `redirect`, `auth`: answer this instead of asking a server.
    Answer(Box<Answer>),
    /// A rule could not do its work: the proxy's error (`PR`, `PH`).
    Failed(Box<Answer>),
    /// Hold the client for `timeout tarpit` (or `timeout connect`), then answer this.
    Tarpit(Box<Answer>),
    /// `use-service`: a service of our own answers.
    Service(Service),
    /// Close without answering (termination `PR`).
    Reject,
    /// Drop the connection without a FIN or an answer.
    SilentDrop,
    /// Send these bytes (a `103 Early Hints` head) at once, then go on at `resume`. Only for HTTP/1.1 clients.
    EarlyHint { bytes: Vec<u8>, resume: usize },
    /// Buffer the body until `at_least` bytes (0: as many as fit) or `time` has passed, then go on at `resume`.
    /// When time is over HAProxy answers 408.
    WaitForBody { time: Duration, at_least: usize, resume: usize },
    /// Wait until the client's handshake is done, then go on at `resume`.
    WaitForHandshake { resume: usize },
}

/// Which list runs: deny's default status and the head that header actions edit depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Request,
    Response,
    AfterResponse,
}

/// Runs `rules` from index `from` (0, or the `resume` of an earlier verdict).
pub fn run(phase: Phase, list: &[HttpRule], from: usize, ctx: &mut dyn Editable) -> Verdict {
    let mut index = from;
    if from == 0 {
        ctx.settings().lenient = false;
    }
    while let Some(rule) = list.get(index) {
        index += 1;
        if rule.condition.as_ref().is_some_and(|c| !c.holds(ctx)) {
            continue;
        }
        if let HttpAction::StrictMode(on) = rule.action {
            ctx.settings().lenient = !on;
            continue;
        }
        match step(phase, &rule.action, ctx) {
            Step::Next => {}
            Step::Stop(Verdict::EarlyHint { mut bytes, .. }) => {
                index = gather_hints(list, index, ctx, &mut bytes);
                if ctx.request().is_none_or(|r| r.version() < Version::HTTP_11) {
                    continue;
                }
                return Verdict::EarlyHint { bytes, resume: index };
            }
            Step::Stop(Verdict::WaitForBody { time, at_least, .. }) => {
                return Verdict::WaitForBody { time, at_least, resume: index };
            }
            Step::Stop(Verdict::WaitForHandshake { .. }) => {
                return Verdict::WaitForHandshake { resume: index };
            }
            Step::Stop(verdict) => {
                ctx.log_mut().last_rule.clone_from(&rule.place);
                return verdict;
            }
        }
    }
    Verdict::Continue
}

/// The `redirect` lines of a proxy, which run after its `http-request` rules.
pub fn run_redirects(list: &[Rule<Redirect>], ctx: &mut dyn Editable) -> Option<Answer> {
    list.iter().find_map(|rule| {
        if rule.condition.as_ref().is_some_and(|c| !c.holds(ctx)) {
            return None;
        }
        redirect::answer(&rule.action, ctx)
    })
}

enum Step {
    Next,
    Stop(Verdict),
}

fn step(phase: Phase, action: &HttpAction, ctx: &mut dyn Editable) -> Step {
    let verdict = match action {
        HttpAction::Allow => Verdict::Allow,
        HttpAction::Deny(reply) => Verdict::Answer(Box::new(reply::configured(reply, ctx).denying())),
        HttpAction::Return(reply) => Verdict::Answer(Box::new(reply::configured(reply, ctx))),
        HttpAction::Tarpit(reply) => Verdict::Tarpit(Box::new(reply::configured(reply, ctx).denying())),
        HttpAction::UseService(service) => Verdict::Service(*service),
        HttpAction::Reject => Verdict::Reject,
        HttpAction::SilentDrop => Verdict::SilentDrop,
        HttpAction::Auth { realm } => Verdict::Answer(Box::new(reply::unauthorized(realm.as_deref(), ctx))),
        HttpAction::Redirect(redirect) => match redirect::answer(redirect, ctx) {
            Some(answer) => Verdict::Answer(Box::new(answer)),
            None => return Step::Next,
        },
        HttpAction::EarlyHint { name, value } => {
            let mut bytes = b"HTTP/1.1 103 Early Hints\r\n".to_vec();
            push_hint(name, value, ctx, &mut bytes);
            Verdict::EarlyHint { bytes, resume: 0 }
        }
        HttpAction::WaitForBody { time, at_least } => {
            Verdict::WaitForBody { time: *time, at_least: *at_least, resume: 0 }
        }
        HttpAction::WaitForHandshake if ctx.conn().tls.as_ref().is_some_and(|tls| tls.is_early()) => {
            Verdict::WaitForHandshake { resume: 0 }
        }
        HttpAction::WaitForHandshake => return Step::Next,
        other => {
            return match edit(phase, other, ctx) {
                Ok(()) => Step::Next,
                Err(Failure::BadRequest) => Step::Stop(reply::failed(400, ctx)),
                Err(Failure::Rewrite) => {
                    ctx.settings().rewrites_failed += 1;
                    if ctx.settings().lenient {
                        return Step::Next;
                    }
                    ctx.settings().rewrite_was_fatal = true;
                    Step::Stop(reply::failed(500, ctx))
                }
            };
        }
    };
    Step::Stop(verdict)
}

/// HAProxy sends consecutive `early-hint` rules as one response; a rule with a condition begins another.
fn gather_hints(list: &[HttpRule], from: usize, ctx: &mut dyn Editable, bytes: &mut Vec<u8>) -> usize {
    let mut index = from;
    while let Some(Rule { condition: None, action: HttpAction::EarlyHint { name, value }, .. }) =
        list.get(index)
    {
        push_hint(name, value, ctx, bytes);
        index += 1;
    }
    bytes.extend_from_slice(b"\r\n");
    index
}

fn push_hint(name: &str, value: &LogFormat, ctx: &mut dyn Editable, bytes: &mut Vec<u8>) {
    bytes.extend(name.bytes().map(|b| b.to_ascii_lowercase()));
    bytes.extend_from_slice(b": ");
    value.render(ctx, bytes);
    bytes.extend_from_slice(b"\r\n");
}

fn edit(phase: Phase, action: &HttpAction, ctx: &mut dyn Editable) -> Result<(), Failure> {
    match action {
        HttpAction::SetLogLevel(level) => ctx.settings().log_level = rules::log_level(*level),
        HttpAction::SetNice(nice) => ctx.settings().nice = Some(*nice),
        HttpAction::SetMark(peer, expr) => rules::set_mark(*peer, expr, ctx),
        HttpAction::SetTos(peer, expr) => rules::set_tos(*peer, expr, ctx),
        HttpAction::SetSrc(expr) => rules::set_address(Side::Source, expr, ctx),
        HttpAction::SetDst(expr) => rules::set_address(Side::Destination, expr, ctx),
        HttpAction::SetSrcPort(expr) => rules::set_port(Side::Source, expr, ctx),
        HttpAction::SetDstPort(expr) => rules::set_port(Side::Destination, expr, ctx),
        HttpAction::SetPriorityClass(expr) => rules::set_priority_class(expr, ctx),
        HttpAction::SetPriorityOffset(expr) => rules::set_priority_offset(expr, ctx),
        HttpAction::SetTimeout { which, value } => set_timeout(*which, value, ctx),
        HttpAction::SetVar { scope, name, when, expr } => rules::set_var(*scope, name, *when, expr, ctx),
        HttpAction::SetVarFormat { scope, name, when, format } => {
            let text = render(format, ctx);
            when.store(*scope, name, Value::Str(text), ctx);
        }
        HttpAction::UnsetVar { scope, name } => ctx.unset_var(*scope, name),
        HttpAction::Capture { expr, slot } if phase == Phase::Request => rules::capture(expr, *slot, ctx),
        HttpAction::Capture { expr, slot } => rules::capture_response(expr, *slot, ctx),
        HttpAction::EditPatterns { file, edit, key } => edit_patterns(file, edit, key, ctx),
        HttpAction::DisableL7Retry => ctx.settings().no_l7_retry = true,
        other => return rewrite::apply(phase, other, ctx),
    }
    Ok(())
}

/// What a view can't read changes nothing, as with HAProxy.
fn edit_patterns(file: &PatternFile, edit: &PatternEdit, key: &LogFormat, ctx: &mut dyn Editable) {
    let Some(reference) = file.reference() else { return };
    let text = |format: &LogFormat, ctx: &mut dyn Editable| {
        String::from_utf8_lossy(&render(format, ctx)).into_owned()
    };
    let key = text(key, ctx);
    match edit {
        PatternEdit::Add => reference.add_if_absent(&key),
        PatternEdit::Delete => drop(reference.delete(&key)),
        PatternEdit::Set(value) => reference.set_or_add(&key, &text(value, ctx)),
    }
}

fn set_timeout(which: SettableTimeout, value: &TimeoutValue, ctx: &mut dyn Editable) {
    let time = match value {
        TimeoutValue::Fixed(time) => *time,
        TimeoutValue::Expr(expr) => match rules::integer(expr, ctx) {
            Some(ms) if ms > 0 => Duration::from_millis(ms as u64),
            _ => return,
        },
    };
    let settings = ctx.settings();
    let slot = match which {
        SettableTimeout::Client => &mut settings.timeout_client,
        SettableTimeout::Server => &mut settings.timeout_server,
        SettableTimeout::Tunnel => &mut settings.timeout_tunnel,
        SettableTimeout::Connect => &mut settings.timeout_connect,
        SettableTimeout::Queue => &mut settings.timeout_queue,
        SettableTimeout::Tarpit => &mut settings.timeout_tarpit,
    };
    *slot = Some(time);
}

/// The format's text on its own.
pub(super) fn render(format: &LogFormat, facts: &mut dyn Facts) -> Vec<u8> {
    let mut text = Vec::new();
    format.render(facts, &mut text);
    text
}
