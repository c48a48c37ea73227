//! The cookie values of `cookie ... dynamic`: a hash of the key and the server's address, so that every proxy with the
//! same key gives a server the same value.

use super::model::{Backend, Endpoint};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use xxhash_rust::xxh64::xxh64;

/// How many servers would get a value that one before them has.
#[must_use]
pub fn clashes(backend: &Backend) -> usize {
    let wanted = backend.cookie.as_ref().is_some_and(|c| c.dynamic);
    let Some(key) = backend.dynamic_cookie_key.as_ref().filter(|_| wanted) else { return 0 };
    let mut seen = HashSet::new();
    let values = backend.servers.iter().filter_map(|server| match (&server.cookie, &server.endpoint) {
        (Some(line), _) => Some(line.clone()),
        (None, Endpoint::Inet(address)) => Some(value(key, *address)),
        _ => None,
    });
    values.filter(|value| !seen.insert(value.clone())).count()
}

/// The warning of it.
#[must_use]
pub fn equal_values(backend: &str) -> String {
    format!(
        "We generated two equal cookies for two different servers.\nPlease change the secret key for '{backend}'."
    )
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
