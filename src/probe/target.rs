//! Whom a check asks and how long it may take, worked out once and again when a command changes it.

use crate::config::model::check::Speaks;
use crate::config::model::{Endpoint, Proxy, SendProxy, Server};
use crate::live::Settings;
use crate::net::tls::Connector;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Target {
    /// The server as the check sees it: `addr` and `port` in place of its own. Shared with the server where they are the same:
    /// thousands of servers are checked.
    pub server: Arc<Server>,
    pub send_proxy: Option<SendProxy>,
    /// `check-via-socks4`
    pub via_socks4: bool,
    pub connect_limit: Duration,
    /// `timeout check`: on top of the connect. Without it `inter` is the limit of the whole.
    pub read_limit: Option<Duration>,
    pub inter: Duration,
    pub tls: Option<Box<Secure>>,
    /// `check-proto`
    pub speaks: Option<Speaks>,
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
    pub fn new(proxy: &Proxy, server: Arc<Server>, settings: &Settings) -> Option<Self> {
        let check = server.check.as_ref()?;
        let send_proxy = check.send_proxy.then(|| server.send_proxy.clone().unwrap_or_default());
        let (addr, port) = (settings.addr.or(check.addr), settings.port.or(check.port));
        let tls = check.tls.as_ref().map(|tls| {
            Box::new(Secure {
                connector: Connector::new(tls),
                always: check.ssl,
                sni: check.sni.clone(),
                alpn: check.alpn.clone(),
            })
        });
        let (inter, via_socks4) = (check.inter, check.via_socks4);
        let speaks = check.speaks;
        Some(Self { send_proxy, tls, via_socks4, speaks, ..Self::at(proxy, server, addr, port, inter) })
    }

    /// `None`: the server has no agent.
    #[must_use]
    pub fn of_agent(proxy: &Proxy, server: Arc<Server>, settings: &Settings) -> Option<Self> {
        let agent = server.agent.as_ref()?;
        let (addr, port) = (settings.addr.or(agent.addr), settings.port.unwrap_or(agent.port));
        let inter = agent.inter;
        Some(Self::at(proxy, server, addr, Some(port), inter))
    }

    fn at(
        proxy: &Proxy,
        mut server: Arc<Server>,
        addr: Option<IpAddr>,
        port: Option<u16>,
        inter: Duration,
    ) -> Self {
        if let Endpoint::Inet(own) = server.endpoint {
            let seen = SocketAddr::new(addr.unwrap_or(own.ip()), port.unwrap_or(own.port()));
            if seen != own || (port.is_some() && server.port_offset.is_some()) {
                let server = Arc::make_mut(&mut server);
                server.endpoint = Endpoint::Inet(seen);
                if port.is_some() {
                    server.port_offset = None;
                }
            }
        }
        let timeouts = &proxy.timeouts;
        let connect_limit = match (timeouts.check, timeouts.connect) {
            (Some(_), Some(connect)) => connect.min(inter),
            _ => inter,
        };
        Self {
            send_proxy: None,
            server,
            via_socks4: false,
            connect_limit,
            read_limit: timeouts.check,
            inter,
            tls: None,
            speaks: None,
        }
    }
}
