//! What decides which server a request goes to: the cookie and `use-server`, and what the backend's algorithm hashes, taken
//! from the request here because `balance` knows no HTTP.

use super::context::Context;
use super::cookies;
use super::exchange::Exchange;
use crate::balance::key;
use crate::config::model::{Balance, Proxy};
use crate::expr::Value;
use crate::ids::ServerIndex;
use crate::live::HashInput;
use crate::message::Method;
use std::net::IpAddr;

/// An owned key, as the request may change while it waits.
pub enum Key {
    Source(IpAddr),
    Bytes(Vec<u8>),
}

impl Key {
    pub fn as_input(&self) -> HashInput<'_> {
        match self {
            Self::Source(ip) => HashInput::Source(*ip),
            Self::Bytes(bytes) => HashInput::Bytes(bytes),
        }
    }
}

/// The key of this request, or `None` where the algorithm needs none or finds none (round robin then).
pub fn key(balance: &Balance, ctx: &mut Context) -> Option<Key> {
    match balance {
        Balance::RoundRobin
        | Balance::StaticRr
        | Balance::LeastConn
        | Balance::First
        | Balance::Random { .. } => None,
        Balance::Source => ctx.conn.src.map(|a| Key::Source(a.ip())),
        Balance::Uri { len, depth, path_only, whole } => {
            let uri = key::uri(ctx.request.target(), *len, *depth, *path_only, *whole);
            Some(Key::Bytes(uri.to_vec()))
        }
        Balance::UrlParam { name, check_post } => {
            let found = key::url_param(ctx.request.target(), name.as_bytes()).or_else(|| {
                let posted = check_post.is_some() && ctx.request.method() == Method::Post;
                posted.then(|| key::form_param(&ctx.body, name.as_bytes())).flatten()
            });
            found.map(|v| Key::Bytes(v.to_vec()))
        }
        Balance::Hdr { name, use_domain_only } => {
            let value = key::header_value(ctx.request.first(name.as_bytes())?)?;
            let value = if *use_domain_only { key::domain(value) } else { value };
            Some(Key::Bytes(value.to_vec()))
        }
        Balance::RdpCookie { .. } => None,
        Balance::Hash(expr) => match expr.eval(ctx)? {
            // Unlike `balance source`, an address is hashed byte by byte.
            Value::Addr(IpAddr::V4(ip)) => Some(Key::Bytes(ip.octets().to_vec())),
            Value::Addr(IpAddr::V6(ip)) => Some(Key::Bytes(ip.octets().to_vec())),
            Value::Str(bytes) | Value::Bin(bytes) => Some(Key::Bytes(bytes)),
            Value::Int(n) => Some(Key::Bytes(n.to_be_bytes().to_vec())),
            Value::Bool(b) => Some(Key::Bytes(i64::from(b).to_be_bytes().to_vec())),
        },
    }
}

impl Exchange<'_> {
    /// `use-server`, then the cookie.
    pub(super) fn persist(&mut self, back: &Proxy) {
        let Some(conf) = &back.back else { return };
        if conf.cookie.is_none() && conf.persist_rules.is_empty() && conf.use_server.is_empty() {
            return;
        }
        let Some(live) = self.backend.clone() else { return };
        let usable = |i: ServerIndex| live.servers.get(i.get()).is_some_and(|s| s.is_up());
        let (persistence, sticky) =
            cookies::on_request(conf, &live.servers, back.options.persist, &usable, self.ctx);
        self.persistence = persistence;
        self.sticky = sticky;
    }
}
