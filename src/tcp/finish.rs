//! The end of a connection, however it came: times, counters, and exactly one log line.

use super::session::Session;
use crate::clock::millis;
use crate::config::model::{LogStyle, Proxy};
use crate::live::counters::Timed;
use crate::live::rules::LogLevel;
use crate::logging::{self, level};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Ends a session: its counters, its place in the backend, its line.
pub fn session(session: &mut Session) {
    let log = &mut session.ctx.log;
    if log.bytes_from_client == 0 {
        // Inspected, but never forwarded: it was received all the same.
        log.bytes_from_client = session.ctx.request.len() as u64;
    }
    count(session);
    session.card.end();
    // The line tells the connections that remain: HAProxy writes it after leaving.
    if let Some(backend) = &session.backend {
        backend.leave();
    }
    if !session.logged {
        log_line(session, Instant::now());
    }
}

/// Logs before the end (`logasap`, or a format that says nothing of the end).
pub fn log(session: &mut Session) {
    log_line(session, Instant::now());
}

fn count(session: &Session) {
    let log = &session.ctx.log;
    let (bytes_in, bytes_out) = (log.bytes_from_client, log.bytes_to_client);
    let [cause, phase] = session.letters;
    let sent = if session.times.connected.is_some() { bytes_in } else { 0 };
    session.ctx.frontend.front.count(session.ctx.conn.listener_id, |front| {
        front.bytes_in.add(bytes_in);
        front.bytes_out.add(bytes_out);
        front.requests_out.add(sent);
        front.responses_in.add(bytes_out);
        if phase == b'R' && matches!(cause, b'C' | b'c') {
            front.failed_requests.inc();
        }
    });
    let Some(backend) = &session.backend else { return };
    let client_left = cause == b'C';
    let server_left = cause == b'S' && phase == b'D';
    let unconnected = matches!(cause, b'S' | b's') && matches!(phase, b'C' | b'Q');
    let times = times(session);
    let server = session.ctx.server.as_ref();
    // The same is counted of both, in two types.
    macro_rules! count {
        ($counters:expr) => {{
            let counters = $counters.counters.here();
            counters.bytes_in.add(bytes_in);
            counters.bytes_out.add(bytes_out);
            counters.requests_out.add(sent);
            counters.responses_in.add(bytes_out);
            if client_left {
                counters.client_aborts.inc();
            }
            if server_left {
                counters.server_aborts.inc();
            }
            if unconnected {
                counters.failed_connections.inc();
            }
            if let Some(times) = times {
                counters.times(times);
            }
        }};
    }
    count!(backend);
    if let Some(server) = server {
        count!(server);
    }
}

/// `None`: there was no connection to a server.
fn times(session: &Session) -> Option<Timed> {
    let times = &session.times;
    let (assigned, connected) = (times.assigned?, times.connected?);
    let span = |from: Instant, to: Instant| {
        u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
    };
    Some(Timed {
        queue: span(session.ctx.accepted, assigned),
        connect: span(assigned, connected),
        response: 0,
        total: span(session.ctx.accepted, Instant::now()),
    })
}

fn log_line(session: &mut Session, now: Instant) {
    if session.logged {
        return;
    }
    session.logged = true;
    let front = Arc::clone(&session.ctx.frontend);
    let conf = &front.conf;
    if conf.log.targets.is_empty() {
        return;
    }
    record(session, now);
    let log = &session.ctx.log;
    let failed = session.letters != *b"--";
    let retried = session.retries > 0 || log.redispatched;
    if conf.options.dontlog_normal && !failed && !retried && conf.log.style != LogStyle::Connect {
        return;
    }
    // The client said nothing: a probe.
    if conf.options.dontlognull && log.bytes_from_client == 0 && !log.early {
        return;
    }
    emit(session, conf, failed);
}

fn record(session: &mut Session, now: Instant) {
    let (times, ctx) = (&session.times, &mut session.ctx);
    let span = |from: Instant, to: Instant| millis(to.saturating_duration_since(from));
    let log = &mut ctx.log;
    log.idle = -1;
    log.request = -1;
    let waited = times.assigned.or_else(|| times.queued.map(|_| now));
    log.queue = waited.map_or(-1, |at| span(ctx.accepted, at));
    log.connect = match (times.assigned, times.connected) {
        (Some(from), Some(to)) => span(from, to),
        _ => -1,
    };
    log.total = span(ctx.accepted, now);
    log.active = log.total;
    log.retries = session.retries;
    log.termination = [session.letters[0], session.letters[1], b'-', b'-'];
    log.server_name = ctx.server.as_ref().map(|s| Arc::clone(&s.conf.name));
    log.server_conns = ctx.server.as_ref().map_or(0, |s| s.current());
    log.backend_conns = session.backend.as_ref().map_or(0, |b| b.current());
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    log.process_conns = count(ctx.generation.process.connections.load(Relaxed));
    log.frontend_conns = count(ctx.frontend.front.current.load(Relaxed));
}

fn emit(session: &mut Session, conf: &Proxy, failed: bool) {
    let ctx = &mut session.ctx;
    let severity = match ctx.settings.log_level {
        LogLevel::Silent => return,
        LogLevel::Level(severity) => severity,
        LogLevel::Unset if failed && conf.options.log_separate_errors => level::ERR,
        LogLevel::Unset => level::INFO,
    };
    let mut line = Vec::with_capacity(256);
    match (&conf.log.error_format, &conf.log.format, conf.log.style) {
        (Some(format), _, _) if failed => format.render_log(ctx, &mut line),
        (_, Some(format), LogStyle::Custom) => format.render_log(ctx, &mut line),
        (_, _, LogStyle::Connect) => logging::line::connect(ctx, &mut line),
        (_, _, LogStyle::Http) => logging::line::http(ctx, &mut line),
        (_, _, LogStyle::Clf) => logging::line::clf(ctx, &mut line),
        _ => logging::line::tcp(ctx, &mut line),
    }
    let mut structured = Vec::new();
    if let Some(format) = &conf.log.sd_format {
        format.render_log(ctx, &mut structured);
    }
    ctx.engine.log.emit(&conf.log.targets, severity, conf.log.tag.as_deref(), &structured, &line);
}
