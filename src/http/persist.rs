//! What a backend's algorithm hashes: taken from the request here, because `balance` knows no HTTP.

use super::context::Context;
use crate::config::model::Balance;
use crate::expr::Value;
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
            let uri = uri_part(ctx.request.target(), *len, *depth, *path_only, *whole);
            Some(Key::Bytes(uri.to_vec()))
        }
        Balance::UrlParam { name, check_post } => {
            let target = ctx.request.target();
            let query = target.iter().position(|b| *b == b'?').and_then(|i| target.get(i + 1..));
            let found = query.and_then(|q| parameter(q, name.as_bytes(), b'&')).or_else(|| {
                let posted = check_post.is_some() && ctx.request.method() == Method::Post;
                posted.then(|| parameter(&ctx.body, name.as_bytes(), b'&')).flatten()
            });
            found.filter(|v| !v.is_empty()).map(|v| Key::Bytes(v.to_vec()))
        }
        Balance::Hdr { name, use_domain_only } => {
            let value = ctx.request.first(name.as_bytes())?;
            let value = if *use_domain_only { domain(value) } else { value };
            Some(Key::Bytes(value.to_vec()))
        }
        Balance::RdpCookie { .. } => None,
        Balance::Hash(expr) => match expr.eval(ctx)? {
            Value::Addr(ip) => Some(Key::Source(ip)),
            Value::Str(bytes) | Value::Bin(bytes) => Some(Key::Bytes(bytes)),
            Value::Int(n) => Some(Key::Bytes(n.to_be_bytes().to_vec())),
            Value::Bool(b) => Some(Key::Bytes(i64::from(b).to_be_bytes().to_vec())),
        },
    }
}

/// `balance uri [len] [depth] [whole] [path-only]`: the target up to the query unless `whole`; `path-only` leaves out scheme
/// and authority.
fn uri_part(target: &[u8], len: usize, depth: usize, path_only: bool, whole: bool) -> &[u8] {
    let mut uri = target;
    if path_only && uri.first() != Some(&b'/') {
        let authority = uri.windows(3).position(|w| w == b"://").map_or(0, |i| i + 3);
        let rest = uri.get(authority..).unwrap_or_default();
        let path = rest.iter().position(|b| *b == b'/');
        uri = path.and_then(|i| rest.get(i..)).unwrap_or_default();
    }
    if len > 0 {
        uri = uri.get(..len.min(uri.len())).unwrap_or_default();
    }
    let mut slashes = 0;
    for (i, byte) in uri.iter().enumerate() {
        if *byte == b'/' {
            slashes += 1;
            if depth > 0 && slashes == depth + 1 {
                return uri.get(..i).unwrap_or_default();
            }
        } else if *byte == b'?' && !whole {
            return uri.get(..i).unwrap_or_default();
        }
    }
    uri
}

/// The value of `name` in a query string.
fn parameter<'a>(query: &'a [u8], name: &[u8], separator: u8) -> Option<&'a [u8]> {
    query.split(|b| *b == separator).find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

/// `use_domain_only`: `www.example.com` gives `example`.
fn domain(host: &[u8]) -> &[u8] {
    let host = host.split(|b| *b == b':').next().unwrap_or_default();
    let labels: Vec<&[u8]> = host.split(|b| *b == b'.').collect();
    match labels.len() {
        0 | 1 => host,
        n => labels.get(n - 2).copied().unwrap_or(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_is_cut_as_configured() {
        let check = |uri: &str, len, depth, path_only, whole, expected: &str| {
            assert_eq!(uri_part(uri.as_bytes(), len, depth, path_only, whole), expected.as_bytes(), "{uri}");
        };
        check("/a/b/c?d=e", 0, 0, false, false, "/a/b/c");
        check("/a/b/c?d=e", 0, 0, false, true, "/a/b/c?d=e");
        check("/a/b/c?d=e", 3, 0, false, false, "/a/");
        check("/a/b/c?d=e", 0, 2, false, false, "/a/b");
        check("http://h/a/b", 0, 0, true, false, "/a/b");
        check("http://h/a/b", 0, 0, false, false, "http://h/a/b");
    }

    #[test]
    fn domains_and_parameters() {
        assert_eq!(domain(b"www.example.com:80"), b"example");
        assert_eq!(domain(b"localhost"), b"localhost");
        assert_eq!(parameter(b"a=1&bb=2&b=3", b"b", b'&'), Some(b"3".as_slice()));
        assert_eq!(parameter(b"a=1", b"b", b'&'), None);
    }
}
