//! The end of an exchange, however it came: times, counters, and exactly one log line.

use super::context::Context;
use super::counting;
use super::exchange::Exchange;
use super::serve::Client;
use super::tracing;
use crate::clock::millis;
use crate::config::model::{LogStyle, Proxy};
use crate::live::rules::LogLevel;
use crate::live::trace;
use crate::logging::{self, level};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Ends `exchange`; a second call does nothing.
pub fn exchange(exchange: &mut Exchange<'_>) {
    if exchange.to_server.bytes.capacity() == 0 && exchange.to_client.bytes.capacity() == 0 {
        return;
    }
    let now = exchange.ended();
    exchange.drop_upstream();
    let engine = &exchange.client.session.engine;
    engine.keep_scratch(std::mem::take(&mut exchange.to_server.bytes));
    engine.keep_scratch(std::mem::take(&mut exchange.to_client.bytes));
    if let Some(pipe) = exchange.pipe.take() {
        engine.pipes.give(pipe);
    }
    if let Some(backend) = &exchange.backend {
        backend.leave();
    }
    counting::exchange(exchange, now);
    if trace::is_on(tracing::SOURCES) {
        tracing::ended(exchange);
    }
    if !exchange.logged {
        exchange.logged = true;
        log(exchange, now);
    }
    exchange.client.card.end();
    exchange.client.idle_from = now;
}

/// Fills the record and sends the line, if one is wanted.
pub fn log(exchange: &mut Exchange<'_>, now: Instant) {
    let session = Rc::clone(&exchange.client.session);
    let conf = &session.frontend.conf;
    if conf.log.targets.is_empty() {
        return;
    }
    // With `logasap` HAProxy marks every line, that of a finished exchange too.
    exchange.ctx.log.early = conf.options.logasap;
    let (times, log) = (&exchange.times, &mut exchange.ctx.log);
    let span = |from: Instant, to: Instant| millis(to.saturating_duration_since(from));
    log.handshake = exchange.client.handshake;
    log.idle = span(times.idle_from, times.started);
    log.request = span(times.started, times.head);
    log.queue = times.assigned.map_or(-1, |at| span(times.head, at));
    log.connect = match (times.assigned, times.connected) {
        (Some(from), Some(to)) => span(from, to),
        _ => -1,
    };
    log.response = match (times.connected, times.responded) {
        (Some(from), Some(to)) => span(from, to),
        _ => -1,
    };
    log.active = span(times.started, now);
    log.total = span(times.idle_from, now);
    log.retries = exchange.retries;
    let [request, response] = exchange.persistence.letters();
    log.termination = [exchange.letters[0], exchange.letters[1], request, response];
    let server = exchange.ctx.server.as_ref();
    let service = || exchange.service.map(|s| s.log_name().into());
    log.server_name = server.map(|s| Arc::clone(&s.conf.name)).or_else(service);
    log.server_conns = server.map_or(0, |s| s.current());
    log.backend_conns = exchange.backend.as_ref().map_or(0, |b| b.current());
    // An answer of our own (`L`) is a regular one, whatever its status.
    let failed = match exchange.letters[0] {
        b'L' => log.redispatched,
        b'-' => log.redispatched || exchange.retries > 0 || log.status >= 500,
        _ => true,
    };
    if conf.options.dontlog_normal && !failed {
        return;
    }
    emit(exchange.ctx, conf, failed);
}

fn emit(ctx: &mut Context, conf: &Proxy, failed: bool) {
    let session = std::rc::Rc::clone(&ctx.session);
    let severity = match ctx.settings.log_level {
        LogLevel::Silent => return,
        LogLevel::Level(severity) => severity,
        LogLevel::Unset if failed && conf.options.log_separate_errors => level::ERR,
        LogLevel::Unset => level::INFO,
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    ctx.log.log_counter = session.frontend.front.log_lines.fetch_add(1, Relaxed);
    ctx.log.process_conns = count(session.generation.process.connections.load(Relaxed));
    ctx.log.frontend_conns = count(session.frontend.front.current.load(Relaxed));
    let mut line = session.engine.take_scratch();
    let style = conf.log.style;
    match (&conf.log.error_format, &conf.log.format) {
        // Only for connections that never came to a request.
        (Some(format), _) if !ctx.has_request => format.render_log(ctx, &mut line),
        (_, Some(format)) if style == LogStyle::Custom => format.render_log(ctx, &mut line),
        _ => match style {
            LogStyle::Http | LogStyle::Custom => logging::line::http(ctx, &mut line),
            LogStyle::Clf => logging::line::clf(ctx, &mut line),
            LogStyle::Tcp => logging::line::tcp(ctx, &mut line),
            LogStyle::Connect => logging::line::connect(ctx, &mut line),
        },
    }
    let mut structured = Vec::new();
    if let Some(format) = &conf.log.sd_format {
        format.render_log(ctx, &mut structured);
    }
    // HAProxy sends no line with nothing in it.
    if !line.is_empty() {
        session.engine.log.emit(&conf.log.targets, severity, conf.log.tag.as_deref(), &structured, &line);
    }
    session.engine.keep_scratch(line);
}

/// A connection that ended before a request was understood.
pub fn without_request(
    ctx: &mut Context,
    client: &Client,
    status: u16,
    letters: [u8; 2],
    started: Instant,
    logged: bool,
) {
    let front = Arc::clone(&client.session.frontend);
    front.front.count(ctx.conn.listener_id, |c| {
        c.requests.inc();
        if client.stream.carried().is_none() { &c.h1_requests } else { &c.h2_requests }.inc();
        c.failed_requests.inc();
        c.response(status);
    });
    if logged {
        log_none(ctx, status, letters, started, client.idle_from);
    }
}

/// A stream of HTTP/2 that is none to HAProxy: it counts nothing, and has a line. The one before ended at `idle_from`.
pub fn log_refused(ctx: &mut Context, idle_from: Instant) {
    log_none(ctx, 0, *b"PR", Instant::now(), idle_from);
}

/// The line of a request that was not understood.
fn log_none(ctx: &mut Context, status: u16, letters: [u8; 2], started: Instant, idle_from: Instant) {
    let session = Rc::clone(&ctx.session);
    let conf = &session.frontend.conf;
    if conf.log.targets.is_empty() {
        return;
    }
    let now = Instant::now();
    ctx.has_request = false;
    let accepted = ctx.accepted;
    let log = &mut ctx.log;
    log.early = conf.options.logasap;
    log.accept_date = Some(session.engine.wall(accepted));
    log.request_date = Some(session.engine.wall(started));
    log.status = i32::from(status);
    log.termination = [letters[0], letters[1], b'-', b'-'];
    log.active = millis(now.saturating_duration_since(started));
    log.total = millis(now.saturating_duration_since(idle_from));
    log.request_line.clear();
    emit(ctx, conf, true);
}
