//! What traces tell of HTTP: the sources `h1`, `h2` and `stream`. Only called while one of them is looked at.

use super::exchange::Exchange;
use super::serve::Client;
use crate::live::trace::sources::{h1, h2, stream};
use crate::live::trace::{About, Event, Level, Origin, Verbosity};
use crate::message::{Head, Version};
use std::fmt::Write;

/// The sources that hear of a request.
pub const SOURCES: u32 = Origin::H1.bit() | Origin::H2.bit() | Origin::Stream.bit();

/// One of the two HTTP sources, with its own bit of a kind of event.
fn of_client(exchange: &Exchange<'_>, first: u64, second: u64) -> (Origin, u64) {
    one_of(exchange.client.stream.carried().is_some(), first, second)
}

/// The same of the server's side.
fn of_server(exchange: &Exchange<'_>, first: u64, second: u64) -> (Origin, u64) {
    one_of(exchange.up.as_ref().is_some_and(|up| up.lease.is_some()), first, second)
}

fn one_of(is_h2: bool, first: u64, second: u64) -> (Origin, u64) {
    if is_h2 { (Origin::H2, second) } else { (Origin::H1, first) }
}

/// `$exchange`, source and bits, level, text, the side, the heads that may be told.
macro_rules! tell {
    ($exchange:expr, $which:expr, $level:ident, $text:expr, $side:literal, $head:expr) => {{
        let exchange: &Exchange<'_> = $exchange;
        let head: Option<&Head> = $head;
        let (origin, kinds) = $which;
        let event = Event {
            origin,
            kinds,
            level: Level::$level,
            text: $text,
            place: (file!(), line!()),
            about: about(exchange),
            details: &|verbosity, out| details(exchange, $side, head, verbosity, out),
        };
        exchange.ctx.session.engine.log.trace(&event);
    }};
}

fn about(exchange: &Exchange<'_>) -> About {
    let ctx = &exchange.ctx;
    let server = ctx.server.as_ref().map(|s| s.index);
    let frontend = ctx.session.frontend.index;
    About::session(frontend, ctx.conn.listener_id, ctx.backend, server, &exchange.client.card)
}

fn details(exchange: &Exchange<'_>, side: &str, head: Option<&Head>, verbosity: Verbosity, out: &mut String) {
    let ctx = &exchange.ctx;
    let _ = write!(out, " [{side}] fe={}", ctx.session.frontend.conf.name);
    if let Some(back) = ctx.back() {
        let _ = write!(out, " be={}", back.conf.name);
    }
    if let Some(server) = &ctx.server {
        let _ = write!(out, " srv={}", server.name());
    }
    if verbosity >= Verbosity::Minimal {
        if let Some(src) = ctx.conn.src {
            let _ = write!(out, " src={src}");
        }
        if let Some(id) = exchange.client.card.id() {
            let _ = write!(out, " sess={id:#x}");
        }
        let _ = write!(
            out,
            " retries={} state={}{}",
            exchange.retries,
            char::from(exchange.letters[0]),
            char::from(exchange.letters[1])
        );
    }
    let Some(head) = head else { return };
    if verbosity >= Verbosity::Simple {
        start_line(head, out);
    }
    if verbosity >= Verbosity::Advanced {
        for (name, value) in head.fields() {
            let _ = write!(out, " {}={:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        }
    }
}

fn start_line(head: &Head, out: &mut String) {
    let version = if head.version() >= Version::HTTP_2 {
        "HTTP/2.0"
    } else if head.version() < Version::HTTP_11 {
        "HTTP/1.0"
    } else {
        "HTTP/1.1"
    };
    let text = String::from_utf8_lossy;
    let _ = match head.status() {
        0 => write!(out, " - \"{} {} {version}\"", text(head.method_bytes()), text(head.target())),
        status => write!(out, " - \"{version} {status} {}\"", text(head.reason())),
    };
}

/// A request was received.
#[cold]
pub fn begun(exchange: &Exchange<'_>) {
    tell!(exchange, of_client(exchange, h1::BEGUN, h2::BEGUN), State, "new stream", "F", None);
    tell!(exchange, (Origin::Stream, stream::BEGUN), User, "new stream", "F", Some(&exchange.ctx.request));
    let received = of_client(exchange, h1::RECEIVED, h2::RECEIVED);
    tell!(exchange, received, User, "received request headers", "F", Some(&exchange.ctx.request));
}

/// Its backend is known.
#[cold]
pub fn routed(exchange: &Exchange<'_>) {
    tell!(exchange, (Origin::Stream, stream::ROUTED), User, "backend chosen", "F", None);
}

/// It is on its way to a server.
#[cold]
pub fn asked(exchange: &Exchange<'_>) {
    let reused = exchange.up.as_ref().is_some_and(|up| up.reused);
    let text = if reused { "server's connection used again" } else { "connected to the server" };
    tell!(exchange, (Origin::Stream, stream::CONNECTED), User, text, "B", None);
    let sent = of_server(exchange, h1::SENT, h2::SENT);
    tell!(exchange, sent, User, "sending request headers", "B", Some(&exchange.ctx.request));
}

/// The server has answered.
#[cold]
pub fn responded(exchange: &Exchange<'_>) {
    let received = of_server(exchange, h1::RECEIVED, h2::RECEIVED);
    tell!(exchange, received, User, "received response headers", "B", Some(&exchange.ctx.response));
}

/// The client is answered.
#[cold]
pub fn answering(exchange: &Exchange<'_>) {
    let sent = of_client(exchange, h1::SENT, h2::SENT);
    tell!(exchange, sent, User, "sending response headers", "F", Some(&exchange.ctx.response));
}

/// It is over.
#[cold]
pub fn ended(exchange: &Exchange<'_>) {
    tell!(exchange, of_client(exchange, h1::ENDED, h2::ENDED), State, "end of stream", "F", None);
    let failed = !matches!(exchange.letters, [b'-' | b'L', _]);
    let kinds = stream::ENDED | if failed { stream::FAILED } else { 0 };
    let head = exchange.ctx.has_response.then_some(&exchange.ctx.response);
    if failed {
        tell!(exchange, (Origin::Stream, kinds), Error, "end of stream, not by its course", "F", head);
    } else {
        tell!(exchange, (Origin::Stream, kinds), User, "end of stream", "F", head);
    }
}

/// A client's connection begins or ceases to speak HTTP, or says what is none.
#[cold]
pub fn client(client: &Client, origin: Origin, kinds: u64, level: Level, text: &str) {
    let front = &client.session.frontend;
    let event = Event {
        origin,
        kinds,
        level,
        text,
        place: (file!(), line!()),
        about: About::session(front.index, client.conn.listener_id, None, None, &client.card),
        details: &|verbosity, out| {
            let _ = write!(out, " [F] fe={}", front.conf.name);
            if let Some(src) = client.conn.src.filter(|_| verbosity >= Verbosity::Minimal) {
                let _ = write!(out, " src={src}");
            }
        },
    };
    client.session.engine.log.trace(&event);
}
