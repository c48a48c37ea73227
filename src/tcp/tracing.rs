//! What traces tell of TCP streams: the source `stream`.

use super::session::Session;
use crate::live::trace::{About, Event, Level, Origin, Verbosity, is_on};
use std::fmt::Write;

/// Tells of one, if somebody looks.
pub fn tell(session: &Session, kinds: u64, text: &str) {
    if is_on(Origin::Stream.bit()) {
        emit(session, kinds, text);
    }
}

#[cold]
fn emit(session: &Session, kinds: u64, text: &str) {
    let ctx = &session.ctx;
    let [cause, phase] = session.letters.map(char::from);
    ctx.engine.log.trace(&Event {
        origin: Origin::Stream,
        kinds,
        level: Level::User,
        text,
        place: (file!(), line!()),
        about: About::session(
            ctx.frontend.index,
            ctx.conn.listener_id,
            ctx.backend.as_ref().map(|b| b.index),
            ctx.server.as_ref().map(|s| s.index),
            &session.card,
        ),
        details: &|verbosity, out| {
            let _ = write!(out, " [F] fe={}", ctx.frontend.conf.name);
            if let Some(back) = &ctx.backend {
                let _ = write!(out, " be={}", back.conf.name);
            }
            if let Some(server) = &ctx.server {
                let _ = write!(out, " srv={}", server.name());
            }
            if verbosity < Verbosity::Minimal {
                return;
            }
            if let Some(src) = ctx.conn.src {
                let _ = write!(out, " src={src}");
            }
            let _ = write!(out, " retries={} state={cause}{phase}", session.retries);
            if verbosity >= Verbosity::Simple {
                let log = &ctx.log;
                let _ = write!(out, " in={} out={}", log.bytes_from_client, log.bytes_to_client);
            }
        },
    });
}
