//! Which addresses are this host's.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Is it an address of this host? Binding tells, unless foreign addresses may be bound: then only loopback ones are known to be.
#[must_use]
pub fn is_local(address: IpAddr) -> bool {
    if address.is_loopback() {
        return true;
    }
    !may_bind_any() && UdpSocket::bind((address, 0)).is_ok()
}

/// May addresses of other hosts be bound? Behind another root, as it was when that could be read last.
#[must_use]
pub fn may_bind_any() -> bool {
    static LAST: AtomicBool = AtomicBool::new(false);
    let nonlocal = ["/proc/sys/net/ipv4/ip_nonlocal_bind", "/proc/sys/net/ipv6/ip_nonlocal_bind"];
    let texts: Vec<String> = nonlocal.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    if !texts.is_empty() {
        LAST.store(texts.iter().any(|text| text.trim() != "0"), Relaxed);
    }
    LAST.load(Relaxed)
}
