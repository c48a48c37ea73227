//! The cookie values of `cookie ... dynamic`: a hash of the key and the server's address, so that every proxy with the
//! same key gives a server the same value.

use super::model::{Backend, Endpoint};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use xxhash_rust::xxh64::xxh64;

/// Gives a value to each server that has none, where the backend asks for it.
pub fn settle(backend: &mut Backend) {
    let wanted = backend.cookie.as_ref().is_some_and(|c| c.dynamic);
    let Some(key) = backend.dynamic_cookie_key.as_ref().filter(|_| wanted) else { return };
    for server in &mut backend.servers {
        if let (None, Endpoint::Inet(address)) = (&server.cookie, &server.endpoint) {
            let mut changed = server.as_ref().clone();
            changed.cookie = Some(value(key, *address));
            *server = Arc::new(changed);
        }
    }
}

/// HAProxy hashes the key, the address and the port as a 32-bit number in network order.
#[must_use]
pub fn value(key: &str, address: SocketAddr) -> String {
    let mut text = key.as_bytes().to_vec();
    match address.ip() {
        IpAddr::V4(ip) => text.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => text.extend_from_slice(&ip.octets()),
    }
    text.extend_from_slice(&u32::from(address.port()).to_be_bytes());
    format!("{:016x}", xxh64(&text, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_haproxy() {
        // haproxy 2.6: dynamic-cookie-key foo, server 127.0.0.1:21101
        assert_eq!(value("foo", "127.0.0.1:21101".parse().unwrap()), "73428ab7eee3e718");
    }
}
