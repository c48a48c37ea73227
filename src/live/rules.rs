//! What rules may change, and the evaluation of `tcp-request`/`tcp-response` rules.
//!
//! It stands in `live` because the `tcp` and the `http` engine both run TCP rules and engines never import each other.
//! Nothing here does IO: the engine gives its context, and does what the verdict says.

use crate::config::model::action::Peer;
use crate::config::model::{Proxy, TcpAction, TcpRule, VarScope};
use crate::expr::facts::{ConnFacts, LogRecord, Setting};
use crate::expr::{Expr, Facts, StoreIf, Value};
use crate::message::Head;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A context that rules may edit. The engine owns the heads; whoever asks for a head that is not there gets `None`.
pub trait Editable: Facts {
    fn request_mut(&mut self) -> Option<&mut Head>;
    fn response_mut(&mut self) -> Option<&mut Head>;
    /// `set-src`, `set-dst` and their ports.
    fn conn_mut(&mut self) -> &mut ConnFacts;
    /// Captures and the cookies that are logged.
    fn log_mut(&mut self) -> &mut LogRecord;
    fn settings(&mut self) -> &mut Settings;
    /// `tune.bufsize`: what an edited head must fit into.
    fn bufsize(&self) -> usize {
        usize::MAX
    }
}

/// What rules decide about the rest of the exchange. `None` leaves the configuration's value.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub log_level: LogLevel,
    pub nice: Option<i32>,
    /// Of packets to the client and to the server.
    pub marks: [Option<u32>; 2],
    pub tos: [Option<u8>; 2],
    /// `strict-mode off` in the list of rules that runs.
    pub lenient: bool,
    /// Edits that could not be made and are not yet counted.
    pub rewrites_failed: u32,
    /// One of them ended the request.
    pub rewrite_was_fatal: bool,
    pub priority_class: i32,
    pub priority_offset: i32,
    pub timeout_client: Option<Duration>,
    pub timeout_server: Option<Duration>,
    pub timeout_tunnel: Option<Duration>,
    pub timeout_connect: Option<Duration>,
    pub timeout_queue: Option<Duration>,
    pub timeout_tarpit: Option<Duration>,
    /// `http-request disable-l7-retry`
    pub no_l7_retry: bool,
}

impl Settings {
    /// As expressions ask for it.
    #[must_use]
    pub fn read(&self, what: Setting) -> Option<i64> {
        let timeout = match what {
            Setting::PriorityClass => return Some(self.priority_class.into()),
            Setting::PriorityOffset => return Some(self.priority_offset.into()),
            Setting::ClientTimeout => self.timeout_client,
            Setting::ConnectTimeout => self.timeout_connect,
            Setting::QueueTimeout => self.timeout_queue,
            Setting::ServerTimeout => self.timeout_server,
            Setting::TarpitTimeout => self.timeout_tarpit,
            Setting::TunnelTimeout => self.timeout_tunnel,
        };
        timeout.map(crate::clock::millis)
    }
}

/// `set-log-level`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// As the configuration and the outcome say.
    #[default]
    Unset,
    /// No log line at all.
    Silent,
    /// syslog level 0..=7
    Level(u8),
}

/// What a list of TCP rules came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpVerdict {
    /// An `accept`, or no rule left: go on.
    Accept,
    /// Close. With `tcp-request connection` nothing is logged as a session.
    Reject,
    /// `tcp-response content close`: let go what is there, then close the server side.
    Close,
    SilentDrop,
    /// `tcp-request connection expect-proxy layer4`: a PROXY header comes next; then start again at `resume`.
    ExpectProxy {
        resume: usize,
    },
    /// `switch-mode http`: no rule is left to run; the connection goes on as HTTP.
    SwitchHttp,
    /// A condition needs bytes that have not come: wait (until `inspect-delay`), then go on from `resume`.
    NeedMore {
        resume: usize,
    },
}

/// Runs `rules` from index `from` (0, or the `resume` of an earlier verdict). `last`: no more bytes will come (inspect
/// delay over, end of stream or full buffer), so that a miss is final.
pub fn run_tcp_rules(rules: &[TcpRule], from: usize, ctx: &mut dyn Editable, last: bool) -> TcpVerdict {
    for (index, rule) in rules.iter().enumerate().skip(from) {
        if let Some(condition) = &rule.condition {
            match condition.evaluate(ctx, last) {
                Some(true) => {}
                Some(false) => continue,
                // HAProxy begins again when bytes come: a capture that found nothing gets another chance.
                None => return TcpVerdict::NeedMore { resume: from },
            }
        }
        let goes_on = |action: &TcpAction| {
            use TcpAction::{Accept, Close, ExpectProxy, Reject, SilentDrop, SwitchModeHttp};
            !matches!(action, Accept | Reject | Close | SilentDrop | ExpectProxy | SwitchModeHttp)
        };
        if !goes_on(&rule.action) {
            ctx.log_mut().last_rule.clone_from(&rule.place);
        }
        match &rule.action {
            TcpAction::Accept => return TcpVerdict::Accept,
            TcpAction::Reject => return TcpVerdict::Reject,
            TcpAction::Close => return TcpVerdict::Close,
            TcpAction::SilentDrop => return TcpVerdict::SilentDrop,
            TcpAction::ExpectProxy => return TcpVerdict::ExpectProxy { resume: index + 1 },
            TcpAction::SwitchModeHttp => return TcpVerdict::SwitchHttp,
            action => apply(action, ctx),
        }
    }
    TcpVerdict::Accept
}

fn apply(action: &TcpAction, ctx: &mut dyn Editable) {
    match action {
        TcpAction::Capture { expr, slot } => capture(expr, *slot, ctx),
        TcpAction::SetVar { scope, name, when, expr } => set_var(*scope, name, *when, expr, ctx),
        TcpAction::SetVarFormat { scope, name, when, format } => {
            let mut text = Vec::new();
            format.render(ctx, &mut text);
            when.store(*scope, name, Value::Str(text), ctx);
        }
        TcpAction::UnsetVar { scope, name } => ctx.unset_var(*scope, name),
        TcpAction::SetSrc(expr) => set_address(Side::Source, expr, ctx),
        TcpAction::SetDst(expr) => set_address(Side::Destination, expr, ctx),
        TcpAction::SetSrcPort(expr) => set_port(Side::Source, expr, ctx),
        TcpAction::SetDstPort(expr) => set_port(Side::Destination, expr, ctx),
        TcpAction::SetPriorityClass(expr) => set_priority_class(expr, ctx),
        TcpAction::SetPriorityOffset(expr) => set_priority_offset(expr, ctx),
        TcpAction::SetLogLevel(level) => ctx.settings().log_level = log_level(*level),
        TcpAction::SetNice(nice) => ctx.settings().nice = Some(*nice),
        TcpAction::SetMark(peer, expr) => set_mark(*peer, expr, ctx),
        TcpAction::SetTos(peer, expr) => set_tos(*peer, expr, ctx),
        TcpAction::Accept
        | TcpAction::Reject
        | TcpAction::Close
        | TcpAction::ExpectProxy
        | TcpAction::SilentDrop
        | TcpAction::SwitchModeHttp
        | TcpAction::SetBandwidth => {}
    }
}

/// Which end of the client's connection an action rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
}

/// `None` is `silent`.
#[must_use]
pub fn log_level(level: Option<u8>) -> LogLevel {
    level.map_or(LogLevel::Silent, LogLevel::Level)
}

/// The parser cuts nothing: the capture's length is applied here through the frontend's declared slot.
pub fn capture(expr: &Expr, slot: usize, ctx: &mut dyn Editable) {
    let limit = ctx.frontend().and_then(|f| f.request_captures.get(slot)).map(|(_, len)| *len);
    let Some(text) = expr.eval(ctx).map(Value::into_text) else { return };
    put(text, limit, slot, &mut ctx.log_mut().request_captures);
}

/// `http-response capture`: into the frontend's response slot.
pub fn capture_response(expr: &Expr, slot: usize, ctx: &mut dyn Editable) {
    let limit = ctx.frontend().and_then(|f| f.response_captures.get(slot)).map(|(_, len)| *len);
    let Some(text) = expr.eval(ctx).map(Value::into_text) else { return };
    put(text, limit, slot, &mut ctx.log_mut().response_captures);
}

/// The converters `capture-req` and `capture-res`: a slot that is not there keeps nothing.
pub fn capture_text(response: bool, slot: usize, text: Vec<u8>, ctx: &mut dyn Editable) {
    let slots = |f: &Proxy| {
        let slots = if response { &f.response_captures } else { &f.request_captures };
        slots.get(slot).map(|(_, len)| *len)
    };
    let Some(limit) = ctx.frontend().and_then(slots) else { return };
    let log = ctx.log_mut();
    let kept = if response { &mut log.response_captures } else { &mut log.request_captures };
    put(text, Some(limit), slot, kept);
}

fn put(mut text: Vec<u8>, limit: Option<usize>, slot: usize, slots: &mut Vec<Option<Vec<u8>>>) {
    text.truncate(limit.unwrap_or(usize::MAX));
    if slots.len() <= slot {
        slots.resize(slot + 1, None);
    }
    slots[slot] = Some(text);
}

pub fn set_var(scope: VarScope, name: &str, when: StoreIf, expr: &Expr, ctx: &mut dyn Editable) {
    if let Some(value) = expr.eval(ctx) {
        when.store(scope, name, value, ctx);
    }
}

/// `set-src`/`set-dst`: the address is replaced, the port kept (0 where there was none). A value that is no address changes nothing.
pub fn set_address(side: Side, expr: &Expr, ctx: &mut dyn Editable) {
    let Some(address) = expr.eval(ctx).and_then(|v| v.to_addr()) else { return };
    let end = end_of(side, ctx.conn_mut());
    let port = end.map_or(0, |a| a.port());
    *end = Some(SocketAddr::new(address, port));
}

/// `set-src-port`/`set-dst-port`: without an address yet, the port stands on `0.0.0.0`, as HAProxy does.
pub fn set_port(side: Side, expr: &Expr, ctx: &mut dyn Editable) {
    let Some(port) = integer(expr, ctx) else { return };
    let end = end_of(side, ctx.conn_mut());
    let address = end.map_or(IpAddr::from([0, 0, 0, 0]), |a| a.ip());
    *end = Some(SocketAddr::new(address, port as u16));
}

fn end_of(side: Side, conn: &mut ConnFacts) -> &mut Option<SocketAddr> {
    match side {
        Side::Source => &mut conn.src,
        Side::Destination => &mut conn.dst,
    }
}

/// HAProxy keeps priority classes within -2047..=2047.
pub fn set_priority_class(expr: &Expr, ctx: &mut dyn Editable) {
    if let Some(class) = integer(expr, ctx) {
        ctx.settings().priority_class = class.clamp(-2047, 2047) as i32;
    }
}

/// Milliseconds, within ±524287.
pub fn set_priority_offset(expr: &Expr, ctx: &mut dyn Editable) {
    if let Some(offset) = integer(expr, ctx) {
        ctx.settings().priority_offset = offset.clamp(-524_287, 524_287) as i32;
    }
}

pub fn set_mark(peer: Peer, expr: &Expr, ctx: &mut dyn Editable) {
    if let Some(mark) = integer(expr, ctx) {
        ctx.settings().marks[peer as usize] = Some(mark as u32);
    }
}

pub fn set_tos(peer: Peer, expr: &Expr, ctx: &mut dyn Editable) {
    if let Some(tos) = integer(expr, ctx) {
        ctx.settings().tos[peer as usize] = Some(tos as u8);
    }
}

/// The expression as a number, cast as HAProxy casts samples.
pub fn integer(expr: &Expr, ctx: &mut dyn Editable) -> Option<i64> {
    expr.eval(ctx).and_then(|v| v.to_int())
}
