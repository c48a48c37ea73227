//! The TCP engine: rules on what the client says first, a server, bytes both ways, one log line.

use crate::live::{Generation, LiveProxy};
use crate::logging;
use crate::net::Accepted;
use crate::net::relay::Pipes;
use std::rc::Rc;
use std::sync::Arc;

/// What the connections of one worker thread share.
pub struct Engine {
    /// From 1, as HAProxy counts them.
    pub thread: usize,
    pub log: Rc<logging::Sender>,
    pub pipes: Pipes,
}

impl Engine {
    #[must_use]
    pub fn new(thread: usize, generation: &Generation, log: Rc<logging::Sender>) -> Rc<Self> {
        Rc::new(Self { thread, log, pipes: Pipes::new(generation.config.global.tune.pipesize) })
    }
}

/// Serves one accepted connection until it ends; answers it when a rule says that it goes on as HTTP.
pub async fn serve(
    accepted: Accepted,
    _proxy: Arc<LiveProxy>,
    _generation: Arc<Generation>,
    _engine: Rc<Engine>,
) -> Option<Accepted> {
    drop(accepted);
    None
}

/// `tcp-request connection` rules, from index `from`.
pub fn connection_rules(
    _accepted: &mut Accepted,
    _from: usize,
    _proxy: &Arc<LiveProxy>,
    _generation: &Arc<Generation>,
    _engine: &Rc<Engine>,
) -> crate::live::rules::TcpVerdict {
    crate::live::rules::TcpVerdict::Accept
}

/// `tcp-request session` rules.
pub fn session_rules(
    _accepted: &mut Accepted,
    _proxy: &Arc<LiveProxy>,
    _generation: &Arc<Generation>,
    _engine: &Rc<Engine>,
) -> crate::live::rules::TcpVerdict {
    crate::live::rules::TcpVerdict::Accept
}
