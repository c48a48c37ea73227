//! The words that name a backend, a server or a frontend: by name, or `#` and the `id`.

use crate::admin::answer::Answer;
use crate::admin::command::Call;
use crate::ids::ProxyIndex;
use crate::live::{Generation, LiveBackend, LiveProxy, LiveServer, ServerAt};
use std::sync::Arc;

/// A server with all that stands around it.
pub struct Target {
    pub at: ServerAt,
    pub proxy: Arc<LiveProxy>,
    pub backend: Arc<LiveBackend>,
    pub server: Arc<LiveServer>,
}

/// `<backend>/<server>` at word `i`.
///
/// # Errors
/// What to answer when there is none.
pub fn server(call: &Call<'_>, i: usize) -> Result<Target, Answer> {
    let wanted = call.word(i).split_once('/').filter(|(_, server)| !server.is_empty());
    let Some((backend, server)) = wanted else {
        return Err(Answer::error("Require 'backend/server'."));
    };
    let proxy = backend_named(call.live(), backend).ok_or_else(|| Answer::error("No such backend."))?;
    let servers = proxy.back.as_ref().ok_or_else(|| Answer::error("No such backend."))?;
    let found = match number(server) {
        Some(id) => servers.servers.iter().find(|s| s.conf.id == id),
        None => servers.servers.iter().find(|s| s.name() == server),
    };
    let found = found.ok_or_else(|| Answer::error("No such server."))?;
    Ok(Target {
        at: (proxy.index, found.index),
        proxy: Arc::clone(proxy),
        backend: Arc::clone(servers),
        server: Arc::clone(found),
    })
}

/// The backend of that name.
pub fn backend_named<'a>(live: &'a Generation, name: &str) -> Option<&'a Arc<LiveProxy>> {
    find(live, name, |p| p.conf.back.is_some())
}

/// A frontend's name at word `i`.
///
/// # Errors
/// What to answer when there is none.
pub fn frontend(call: &Call<'_>, i: usize) -> Result<(ProxyIndex, Arc<LiveProxy>), Answer> {
    if !call.has(i) {
        return Err(Answer::error("A frontend name is expected."));
    }
    match find(call.live(), call.word(i), |p| p.conf.front.is_some()) {
        Some(proxy) => Ok((proxy.index, Arc::clone(proxy))),
        None => Err(Answer::error("No such frontend.")),
    }
}

fn find<'a>(
    live: &'a Generation,
    name: &str,
    has_side: impl Fn(&LiveProxy) -> bool,
) -> Option<&'a Arc<LiveProxy>> {
    let mut sides = live.proxies.iter().filter(|p| has_side(p));
    match number(name) {
        Some(id) => sides.find(|p| p.conf.id == id),
        None => sides.find(|p| &*p.conf.name == name),
    }
}

fn number(word: &str) -> Option<u32> {
    word.strip_prefix('#')?.parse().ok()
}
