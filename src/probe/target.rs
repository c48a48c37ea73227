//! Whom a check asks and how long it may take, worked out once and again when a command changes it.

use crate::config::model::global::Tune;
use crate::config::model::{Endpoint, KeepAliveProbes, Proxy, SendProxy, Server, Source};
use crate::live::Settings;
use crate::net::tls::Connector;
use std::net::IpAddr;
use std::time::Duration;

#[derive(Debug)]
pub struct Target {
    /// The server as the check sees it: `addr` and `port` in place of its own.
    pub server: Server,
    pub source: Option<Source>,
    pub send_proxy: Option<SendProxy>,
    pub keepalive: Option<KeepAliveProbes>,
    pub tune: Tune,
    pub connect_limit: Duration,
    /// `timeout check`: on top of the connect. Without it `inter` is the limit of the whole.
    pub read_limit: Option<Duration>,
    pub inter: Duration,
    pub tls: Option<Secure>,
}

/// How checks use TLS.
#[derive(Debug)]
pub struct Secure {
    pub connector: Connector,
    /// `check-ssl`: wherever a rule does not say it, too.
    pub always: bool,
    pub sni: Option<String>,
    pub alpn: Vec<Vec<u8>>,
}

impl Target {
    /// `None`: the server is not checked.
    #[must_use]
    pub fn new(proxy: &Proxy, server: &Server, tune: &Tune, settings: &Settings) -> Option<Self> {
        let check = server.check.as_ref()?;
        let send_proxy = check.send_proxy.then(|| server.send_proxy.clone().unwrap_or_default());
        let (addr, port) = (settings.addr.or(check.addr), settings.port.or(check.port));
        let target = Self::at(proxy, server, tune, addr, port, check.inter)?;
        let tls = check.tls.as_ref().map(|tls| Secure {
            connector: Connector::new(tls),
            always: check.ssl,
            sni: check.sni.clone(),
            alpn: check.alpn.clone(),
        });
        Some(Self { send_proxy, tls, ..target })
    }

    /// `None`: the server has no agent.
    #[must_use]
    pub fn of_agent(proxy: &Proxy, server: &Server, tune: &Tune, settings: &Settings) -> Option<Self> {
        let agent = server.agent.as_ref()?;
        let (addr, port) = (settings.addr.or(agent.addr), settings.port.unwrap_or(agent.port));
        Self::at(proxy, server, tune, addr, Some(port), agent.inter)
    }

    fn at(
        proxy: &Proxy,
        server: &Server,
        tune: &Tune,
        addr: Option<IpAddr>,
        port: Option<u16>,
        inter: Duration,
    ) -> Option<Self> {
        let back = proxy.back.as_ref()?;
        let mut seen = server.clone();
        if let Endpoint::Inet(address) = &mut seen.endpoint {
            if let Some(ip) = addr {
                address.set_ip(ip);
            }
            if let Some(port) = port {
                address.set_port(port);
                seen.port_offset = None;
            }
        }
        let timeouts = &proxy.timeouts;
        let connect_limit = match (timeouts.check, timeouts.connect) {
            (Some(_), Some(connect)) => connect.min(inter),
            _ => inter,
        };
        Some(Self {
            send_proxy: None,
            server: seen,
            source: back.source.clone(),
            keepalive: proxy.server_keep_alive(),
            tune: tune.clone(),
            connect_limit,
            read_limit: timeouts.check,
            inter,
            tls: None,
        })
    }
}
