//! Which addresses are this host's.

use socket2::{Domain, Socket, Type};
use std::net::{IpAddr, SocketAddr};

/// Is it an address of this host? To itself a host talks from the very address it talks to, which a socket says once it is
/// connected; nothing is sent. Binding would tell as well, unless `ip_nonlocal_bind` lets any address be bound.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    // Any port but 0 will do.
    let there = SocketAddr::new(address, 9);
    let talks_from = || {
        let socket = Socket::new(Domain::for_address(there), Type::DGRAM, None)?;
        socket.connect(&there.into())?;
        socket.local_addr()
    };
    talks_from().is_ok_and(|here| here.as_socket().is_some_and(|here| here.ip() == address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_for_examples_is_elsewhere() {
        let check =
            |address: &str, expected| assert_eq!(is_local(address.parse().unwrap()), expected, "{address}");
        check("127.1.2.3", true);
        check("::1", true);
        check("::ffff:127.0.0.1", true);
        check("192.0.2.1", false);
        check("2001:db8::1", false);
        check("255.255.255.255", false);
    }
}
