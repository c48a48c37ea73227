//! What the engine keeps of a request until it is logged: captures, times, counts, addresses towards the server.

use super::request::path_and_query;
use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{self, Kind, NONE, Spec};
use crate::expr::facts::{LogRecord, Setting};
use crate::expr::sample::{Sample, Type};
use std::net::SocketAddr;
use std::time::Duration;

const SLOT: Spec = Spec { required: 1, kinds: &[Kind::Int] };

#[rustfmt::skip]
pub(super) const ROWS: &[Fetch] = &[
    row("capture.req.hdr", SLOT, Type::Str, Needs::RequestKept, Eval::One(|c| slot(c, &c.facts.log().request_captures)), "Captured request header of that number, from 0."),
    row("capture.res.hdr", SLOT, Type::Str, Needs::ResponseKept, Eval::One(|c| slot(c, &c.facts.log().response_captures)), "Captured response header of that number, from 0."),
    row("capture.req.method", NONE, Type::Str, Needs::RequestKept, Eval::One(|c| word(c, 0)), "The request's method, to the end."),
    row("capture.req.uri", NONE, Type::Str, Needs::RequestKept, Eval::One(captured_uri), "The request's path and query, to the end."),
    row("capture.req.ver", NONE, Type::Str, Needs::RequestKept, Eval::One(|c| captured_version(word(c, 2)?)), "The request's version, `HTTP/1.0` or `HTTP/1.1`, to the end."),
    row("capture.res.ver", NONE, Type::Str, Needs::ResponseKept, Eval::One(response_version), "The response's version, to the end."),
    row("txn.status", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| number(c, |l| l.status.into())), "Status of the answer."),
    row("txn.sess_term_state", NONE, Type::Str, Needs::Internal, Eval::One(|c| Some(Sample::text(c.facts.log().termination.get(..2)?))), "The two letters of the termination state."),
    row("last_rule_file", NONE, Type::Str, Needs::Internal, Eval::One(|c| c.facts.log().last_rule.as_ref().map(|place| Sample::text(place.file.as_bytes()))), "File of the rule that ended its list last (`accept`, `deny`, `redirect`…)."),
    row("last_rule_line", NONE, Type::Int, Needs::Internal, Eval::One(|c| c.facts.log().last_rule.as_ref().map(|place| Sample::Int(place.line.into()))), "Line of that rule."),
    row("bc_be_queue", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| number(c, |l| l.backend_queue.into())), "`%bq`: requests that were before this one in the backend's queue."),
    row("bc_srv_queue", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| number(c, |l| l.server_queue.into())), "`%sq`: requests that were before this one in the server's queue."),
    row("txn.conn_retries", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| number(c, |l| l.retries.into())), "Connection retries."),
    row("txn.redispatched", NONE, Type::Bool, Needs::ResponseKept, Eval::One(|c| Some(Sample::Bool(c.facts.log().redispatched))), "Whether another server was taken after a failed connection."),
    row("txn.timer.total", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| timer(c, |l| l.active)), "`%Ta`."),
    row("txn.timer.user", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| timer(c, |l| l.user)), "`%Tu`."),
    row("req.timer.idle", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| timer(c, |l| l.idle)), "`%Ti`."),
    row("req.timer.hdr", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| timer(c, |l| l.request)), "`%TR`."),
    row("req.timer.tq", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| timer(c, |l| if l.request < 0 { -1 } else { l.handshake + l.idle + l.request })), "`%Tq`."),
    row("req.timer.queue", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| timer(c, |l| l.queue)), "`%Tw`."),
    row("res.timer.hdr", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| timer(c, |l| l.response)), "`%Tr`."),
    row("bc.timer.connect", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| timer(c, |l| l.connect)), "`%Tc`."),
    row("fc.timer.handshake", NONE, Type::Int, Needs::Client, Eval::One(|c| timer(c, |l| l.handshake)), "`%Th`."),
    row("fc.timer.total", NONE, Type::Int, Needs::Client, Eval::One(|c| i64::try_from(c.facts.elapsed().as_millis()).ok().map(Sample::Int)), "Milliseconds since the accept."),
    row("bytes_in", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| number(c, |l| signed(l.bytes_from_client))), "Bytes received from the client so far."),
    row("bytes_out", NONE, Type::Int, Needs::RequestKept, Eval::One(|c| number(c, |l| signed(l.bytes_to_client))), "Bytes sent to the client so far."),
    row("bc_src", NONE, Type::Addr, Needs::ResponseKept, Eval::One(|c| address(c.facts.log().backend_src)), "Source address of the connection to the server."),
    row("bc_src_port", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| port(c.facts.log().backend_src)), "Source port of the connection to the server."),
    row("bc_dst", NONE, Type::Addr, Needs::ResponseKept, Eval::One(|c| address(c.facts.log().backend_dst)), "Address of the server."),
    row("bc_dst_port", NONE, Type::Int, Needs::ResponseKept, Eval::One(|c| port(c.facts.log().backend_dst)), "Port of the server."),
    row("fe_client_timeout", NONE, Type::Int, Needs::Frontend, Eval::One(|c| millis(c.facts.frontend()?.timeouts.client)), "`timeout client` of the frontend, in milliseconds."),
    row("fe_tarpit_timeout", NONE, Type::Int, Needs::Frontend, Eval::One(|c| millis(c.facts.frontend()?.timeouts.tarpit)), "`timeout tarpit` of the frontend, in milliseconds."),
    row("be_server_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| millis(c.facts.backend()?.timeouts.server)), "`timeout server` of the backend, in milliseconds."),
    row("be_connect_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| millis(c.facts.backend()?.timeouts.connect)), "`timeout connect` of the backend, in milliseconds."),
    row("be_queue_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| millis(c.facts.backend()?.timeouts.queue)), "`timeout queue` of the backend, in milliseconds."),
    row("be_tunnel_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| millis(c.facts.backend()?.timeouts.tunnel)), "`timeout tunnel` of the backend, in milliseconds."),
    row("be_tarpit_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| millis(c.facts.backend()?.timeouts.tarpit)), "`timeout tarpit` of the backend, in milliseconds."),
    row("cur_client_timeout", NONE, Type::Int, Needs::Frontend, Eval::One(|c| set(c, Setting::ClientTimeout).or_else(|| millis(c.facts.frontend()?.timeouts.client))), "`timeout client` in force, in milliseconds: as a rule set it, else that of the frontend."),
    row("cur_server_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| set(c, Setting::ServerTimeout).or_else(|| millis(c.facts.backend()?.timeouts.server))), "`timeout server` in force, in milliseconds: as a rule set it, else that of the backend."),
    row("cur_connect_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| set(c, Setting::ConnectTimeout).or_else(|| millis(c.facts.backend()?.timeouts.connect))), "`timeout connect` in force, in milliseconds: as a rule set it, else that of the backend."),
    row("cur_queue_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| set(c, Setting::QueueTimeout).or_else(|| millis(c.facts.backend()?.timeouts.queue))), "`timeout queue` in force, in milliseconds: as a rule set it, else that of the backend."),
    row("cur_tunnel_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| set(c, Setting::TunnelTimeout).or_else(|| millis(c.facts.backend()?.timeouts.tunnel))), "`timeout tunnel` in force, in milliseconds: as a rule set it, else that of the backend."),
    row("cur_tarpit_timeout", NONE, Type::Int, Needs::Backend, Eval::One(|c| set(c, Setting::TarpitTimeout).or_else(|| millis(c.facts.backend()?.timeouts.tarpit))), "`timeout tarpit` in force, in milliseconds: as a rule set it, else that of the backend."),
    row("prio_class", NONE, Type::Int, Needs::Internal, Eval::One(|c| set(c, Setting::PriorityClass)), "Priority class in queues, as `set-priority-class` set it."),
    row("prio_offset", NONE, Type::Int, Needs::Internal, Eval::One(|c| set(c, Setting::PriorityOffset)), "Priority offset in queues, as `set-priority-offset` set it."),
];

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn number(call: &Call<'_>, read: fn(&LogRecord) -> i64) -> Option<Sample<'static>> {
    Some(Sample::Int(read(call.facts.log())))
}

/// A time that was reached.
fn timer(call: &Call<'_>, read: fn(&LogRecord) -> i64) -> Option<Sample<'static>> {
    Some(read(call.facts.log())).filter(|n| *n >= 0).map(Sample::Int)
}

/// 0: none is set.
fn millis(timeout: Option<Duration>) -> Option<Sample<'static>> {
    Some(Sample::Int(timeout.map_or(0, crate::clock::millis)))
}

fn set(call: &Call<'_>, what: Setting) -> Option<Sample<'static>> {
    call.facts.setting(what).map(Sample::Int)
}

fn address(socket: Option<SocketAddr>) -> Option<Sample<'static>> {
    socket.map(|s| Sample::Addr(s.ip()))
}

fn port(socket: Option<SocketAddr>) -> Option<Sample<'static>> {
    socket.map(|s| Sample::Int(s.port().into()))
}

fn slot<'a>(call: &Call<'a>, captures: &'a [Option<Vec<u8>>]) -> Option<Sample<'a>> {
    let index = usize::try_from(args::int(call.args, 0)?).ok()?;
    captures.get(index)?.as_deref().map(Sample::text)
}

/// Word `i` of the request line as received, else of the request as it stands.
fn word<'a>(call: &Call<'a>, i: usize) -> Option<Sample<'a>> {
    let line = call.facts.log().request_line.as_slice();
    if !line.is_empty() {
        return line.split(|b| *b == b' ').nth(i).map(Sample::text);
    }
    let head = call.facts.request()?;
    Some(match i {
        0 => Sample::text(head.method_bytes()),
        1 => Sample::text(head.target()),
        _ => Sample::owned(format!("HTTP/{}.{}", head.version().major, head.version().minor).into_bytes()),
    })
}

fn captured_uri<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let line = call.facts.log().request_line.as_slice();
    let uri =
        if line.is_empty() { call.facts.request()?.target() } else { line.split(|b| *b == b' ').nth(1)? };
    path_and_query(uri).map(Sample::text)
}

/// HAProxy answers one of two spellings, whatever came.
fn captured_version(version: Sample<'_>) -> Option<Sample<'_>> {
    let old = matches!(&version, Sample::Str(v) if v.ends_with(b"/1.0") || v.ends_with(b"/0.9"));
    Some(Sample::text(if old { b"HTTP/1.0" } else { b"HTTP/1.1" }))
}

fn response_version<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let version = call.facts.response()?.version();
    Some(Sample::text(if version <= crate::message::Version::HTTP_10 { b"HTTP/1.0" } else { b"HTTP/1.1" }))
}
