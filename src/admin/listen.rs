//! Binds the administration sockets: before privileges are dropped, and before anything is served.

use crate::config::identity;
use crate::config::model::{Config, StatsSocket};
use crate::net::Listener;
use crate::net::handoff::Taken;
use crate::net::listener::{BindError, Setting};
use std::sync::Arc;

/// A socket that listens.
#[derive(Debug)]
pub struct Bound {
    pub listener: Arc<Listener>,
    pub socket: Arc<StatsSocket>,
}

/// Binds one socket, or goes on with the one of `before`, or of another process, that has its address.
///
/// # Errors
/// The first step that failed.
pub fn open(
    config: &Config,
    socket: &Arc<StatsSocket>,
    before: &[Bound],
    taken: &mut Vec<Taken>,
) -> Result<Option<Bound>, BindError> {
    let global = &config.global;
    let virtuals = config.vrrp.addresses();
    let backlog = u32::try_from(global.stats_maxconn).unwrap_or(u32::MAX).max(1);
    let setting = Setting {
        backlog,
        keepalive: None,
        answers_at_once: false,
        tune: &global.tune,
        shared: true,
        virtuals: &virtuals,
    };
    let bound = |listener| Some(Bound { listener: Arc::new(listener), socket: Arc::clone(socket) });
    let given = taken.extract_if(.., |t| t.is_for(&socket.bind)).next();
    if let Some(given) = given {
        return Ok(bound(Listener::take_over(given.socket, &socket.bind, setting)));
    }
    let made_of = identity::socket(&socket.bind);
    let same = before.iter().find(|b| identity::socket(&b.socket.bind) == made_of);
    if let Some(listener) = same.and_then(|b| b.listener.again(&socket.bind, setting).ok()) {
        return Ok(bound(listener));
    }
    Ok(Listener::open(&socket.bind, setting, 1)?.pop().and_then(bound))
}
