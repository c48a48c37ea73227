//! What traces tell of connections before an engine has them: the sources `session` and `ssl`.

use super::worker::Worker;
use crate::live::LiveProxy;
use crate::live::trace::{About, Event, Level, Origin, Verbosity, is_on};
use crate::net::Accepted;
use std::fmt::Write;
use std::rc::Rc;

/// Tells of one connection, if somebody looks.
pub fn tell(
    (origin, kinds): (Origin, u64),
    text: &str,
    accepted: &Accepted,
    proxy: &LiveProxy,
    worker: &Worker,
) {
    if is_on(origin.bit()) {
        emit((origin, kinds), text, accepted, proxy, worker);
    }
}

#[cold]
fn emit((origin, kinds): (Origin, u64), text: &str, accepted: &Accepted, proxy: &LiveProxy, worker: &Worker) {
    let conn = &accepted.conn;
    worker.log.trace(&Event {
        origin,
        kinds,
        level: Level::User,
        text,
        place: (file!(), line!()),
        about: About {
            frontend: Some(u64::from(proxy.index.0)),
            listener: Some(u64::from(conn.listener_id)),
            connection: Some(Rc::as_ptr(&accepted.card) as usize as u64),
            ..About::default()
        },
        details: &|verbosity, out| {
            let _ = write!(out, " [F] fe={} listener={}", proxy.conf.name, conn.listener_id);
            if verbosity < Verbosity::Minimal {
                return;
            }
            if let Some(src) = conn.src {
                let _ = write!(out, " src={src}");
            }
            if let Some(dst) = conn.dst {
                let _ = write!(out, " dst={dst}");
            }
            if let Some(tls) = conn.tls.as_ref() {
                let cipher = tls.agreed.cipher.map_or("", |(name, _)| name);
                let resumed = u8::from(tls.agreed.resumed);
                let _ = write!(
                    out,
                    " version={} cipher={cipher} resumed={resumed}",
                    tls.agreed.version.unwrap_or("")
                );
            }
        },
    });
}
