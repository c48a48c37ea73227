//! Whom a check asks and how long it may take, worked out once and again when a command changes it.

use crate::config::model::global::Tune;
use crate::config::model::{Endpoint, Proxy, SendProxy, Server, Source};
use crate::live::Settings;
use std::time::Duration;

#[derive(Debug)]
pub struct Target {
    /// The server as the check sees it: `addr` and `port` in place of its own.
    pub server: Server,
    pub source: Option<Source>,
    pub send_proxy: Option<SendProxy>,
    pub keepalive: bool,
    pub tune: Tune,
    pub connect_limit: Duration,
    /// `timeout check`: on top of the connect. Without it `inter` is the limit of the whole.
    pub read_limit: Option<Duration>,
    pub inter: Duration,
}

impl Target {
    /// `None`: the server is not checked.
    #[must_use]
    pub fn new(proxy: &Proxy, server: &Server, tune: &Tune, settings: &Settings) -> Option<Self> {
        let (back, check) = (proxy.back.as_ref()?, server.check.as_ref()?);
        let mut seen = server.clone();
        if let Endpoint::Inet(address) = &mut seen.endpoint {
            if let Some(ip) = settings.addr.or(check.addr) {
                address.set_ip(ip);
            }
            if let Some(port) = settings.port.or(check.port) {
                address.set_port(port);
                seen.port_offset = None;
            }
        }
        let timeouts = &proxy.timeouts;
        let connect_limit = match (timeouts.check, timeouts.connect) {
            (Some(_), Some(connect)) => connect.min(check.inter),
            _ => check.inter,
        };
        Some(Self {
            send_proxy: check.send_proxy.then(|| server.send_proxy.clone().unwrap_or_default()),
            server: seen,
            source: back.source.clone(),
            keepalive: proxy.options.srvtcpka,
            tune: tune.clone(),
            connect_limit,
            read_limit: timeouts.check,
            inter: check.inter,
        })
    }
}
