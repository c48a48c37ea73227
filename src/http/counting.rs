//! What an exchange adds to the counters of its frontend, backend and server when it ends. One place, so that what a
//! termination state means in numbers can be read off it.

use super::exchange::Exchange;
use crate::live::counters::{Counter, Timed};
use std::time::Instant;

/// Counts an exchange that ended at `now`.
pub fn exchange(exchange: &Exchange<'_>, now: Instant) {
    let end = End::of(exchange, now);
    let session = &exchange.client.session;
    session.frontend.front.count(exchange.ctx.conn.listener_id, |front| {
        front.bytes_in.add(end.bytes_in);
        front.bytes_out.add(end.bytes_out);
        front.requests_out.add(end.requests_out);
        front.responses_in.add(end.responses_in);
        front.response(end.status);
    });
    if let Some(backend) = &exchange.backend {
        let back = backend.counters.here();
        back.requests.inc();
        back.bytes_in.add(end.bytes_in);
        back.bytes_out.add(end.bytes_out);
        back.requests_out.add(end.requests_out);
        back.responses_in.add(end.responses_in);
        back.response(end.status);
        if let Some(times) = end.times {
            back.times(times);
        }
        count_server(exchange, &end);
    } else if let Some(own) = &session.frontend.back {
        // Until another backend is chosen, HAProxy has the bytes on the frontend's own.
        let back = own.counters.here();
        back.bytes_in.add(end.bytes_in);
        back.bytes_out.add(end.bytes_out);
    }
    let regular = exchange.letters == *b"--"
        && !(exchange.denied || exchange.intercepted || exchange.ctx.settings.rewrite_was_fatal);
    if !regular {
        count_oddities(exchange, &Odd::of(exchange));
    }
}

fn count_server(exchange: &Exchange<'_>, end: &End) {
    let Some(server) = &exchange.ctx.server else { return };
    let server = server.counters.here();
    server.bytes_in.add(end.bytes_in);
    server.bytes_out.add(end.bytes_out);
    server.requests_out.add(end.requests_out);
    server.responses_in.add(end.responses_in);
    if exchange.times.responded.is_some() {
        server.requests.inc();
        server.response(exchange.server_status);
    }
    if let Some(times) = end.times {
        server.times(times);
    }
}

/// What went another way than a request that is answered by a server and heard to its end.
#[cold]
fn count_oddities(exchange: &Exchange<'_>, odd: &Odd) {
    exchange.client.session.frontend.front.count(exchange.ctx.conn.listener_id, |front| {
        tick(odd.denied_request, &front.denied_requests);
        tick(odd.denied_response, &front.denied_responses);
        tick(odd.bad_request, &front.failed_requests);
        tick(odd.internal, &front.internal_errors);
        tick(exchange.intercepted && exchange.backend.is_none(), &front.intercepted);
    });
    let Some(backend) = &exchange.backend else { return };
    let back = backend.counters.here();
    tick(odd.denied_request, &back.denied_requests);
    tick(odd.denied_response, &back.denied_responses);
    tick(odd.client_left, &back.client_aborts);
    tick(odd.server_left, &back.server_aborts);
    tick(odd.broken_off, &back.failed_responses);
    tick(odd.unconnected, &back.failed_connections);
    tick(odd.internal, &back.internal_errors);
    let Some(server) = &exchange.ctx.server else { return };
    let server = server.counters.here();
    tick(odd.denied_response, &server.denied_responses);
    tick(odd.client_left, &server.client_aborts);
    tick(odd.server_left, &server.server_aborts);
    tick(odd.broken_off, &server.failed_responses);
    tick(odd.unconnected, &server.failed_connections);
    tick(odd.internal, &server.internal_errors);
}

fn tick(when: bool, counter: &Counter) {
    if when {
        counter.inc();
    }
}

/// Counts edits of a head that could not be made, with whom the request has come to.
pub fn rewrites(exchange: &mut Exchange<'_>) {
    let failed = u64::from(std::mem::take(&mut exchange.ctx.settings.rewrites_failed));
    if failed == 0 {
        return;
    }
    let listener = exchange.ctx.conn.listener_id;
    exchange.client.session.frontend.front.count(listener, |front| front.rewrites_failed.add(failed));
    if let Some(backend) = &exchange.backend {
        backend.counters.here().rewrites_failed.add(failed);
    }
    if let Some(server) = &exchange.ctx.server {
        server.counters.here().rewrites_failed.add(failed);
    }
}

/// What every exchange adds.
struct End {
    status: u16,
    bytes_in: u64,
    bytes_out: u64,
    requests_out: u64,
    responses_in: u64,
    times: Option<Timed>,
}

impl End {
    fn of(exchange: &Exchange<'_>, now: Instant) -> Self {
        let log = &exchange.ctx.log;
        Self {
            status: u16::try_from(log.status).unwrap_or(0),
            bytes_in: log.bytes_from_client,
            bytes_out: log.bytes_to_client,
            requests_out: exchange.sent.request,
            responses_in: exchange.sent.response,
            times: times(exchange, now),
        }
    }
}

/// What the termination state means to the counters.
#[allow(clippy::struct_excessive_bools)]
struct Odd {
    denied_request: bool,
    denied_response: bool,
    bad_request: bool,
    client_left: bool,
    server_left: bool,
    /// The server closed before its response was whole.
    broken_off: bool,
    /// No connection to a server was had.
    unconnected: bool,
    internal: bool,
}

impl Odd {
    fn of(exchange: &Exchange<'_>) -> Self {
        let [cause, phase] = exchange.letters;
        let in_request = phase == b'R' || phase == b'T';
        Self {
            denied_request: exchange.denied && in_request,
            denied_response: exchange.denied && !in_request,
            bad_request: phase == b'R'
                && !exchange.denied
                && !exchange.ctx.settings.rewrite_was_fatal
                && matches!(cause, b'C' | b'c' | b'P'),
            client_left: cause == b'C',
            server_left: matches!(cause, b'S' | b's') && phase == b'D',
            broken_off: cause == b'S' && phase == b'D',
            unconnected: matches!(cause, b'S' | b's') && matches!(phase, b'C' | b'Q'),
            internal: cause == b'I' || exchange.ctx.settings.rewrite_was_fatal,
        }
    }
}

/// `None`: no server answered, so there is nothing to average.
fn times(exchange: &Exchange<'_>, now: Instant) -> Option<Timed> {
    let times = &exchange.times;
    let (assigned, connected, responded) = (times.assigned?, times.connected?, times.responded?);
    Some(Timed {
        queue: span(times.head, assigned),
        connect: span(assigned, connected),
        response: span(connected, responded),
        total: span(times.started, now),
    })
}

/// Whole milliseconds, mostly none: what needs no arithmetic does without.
fn span(from: Instant, to: Instant) -> u64 {
    if to <= from {
        return 0;
    }
    let span = to.saturating_duration_since(from);
    span.as_secs().saturating_mul(1000).saturating_add(u64::from(span.subsec_millis()))
}
