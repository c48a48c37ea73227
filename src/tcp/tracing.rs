//! What traces tell of TCP streams: the source `stream`.

use super::session::Session;
use crate::live::trace::{About, Event, Level, Origin, Verbosity, is_on};
use std::fmt::Write;
use std::rc::Rc;

/// Tells of one, if somebody looks.
pub fn tell(session: &Session, kinds: u64, text: &str) {
    if is_on(Origin::Stream.bit()) {
        emit(session, kinds, text);
    }
}

#[cold]
fn emit(session: &Session, kinds: u64, text: &str) {
    let ctx = &session.ctx;
    let backend = ctx.backend.as_ref().map(|b| u64::from(b.index.0));
    let [cause, phase] = session.letters.map(char::from);
    ctx.engine.log.trace(&Event {
        origin: Origin::Stream,
        kinds,
        level: Level::User,
        text,
        place: (file!(), line!()),
        about: About {
            frontend: Some(u64::from(ctx.frontend.index.0)),
            listener: Some(u64::from(ctx.conn.listener_id)),
            backend,
            server: backend.zip(ctx.server.as_ref()).map(|(b, s)| b << 32 | u64::from(s.index.0)),
            connection: Some(Rc::as_ptr(&session.card) as usize as u64),
            session: session.card.id(),
        },
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
