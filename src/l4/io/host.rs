//! What the host must be for packets to be forwarded, set at the start and put back at the end.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Without these the kernel finds no way for a packet that is not the host's own.
const FORWARDING: [&str; 2] = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];

/// Settings that were changed.
#[derive(Debug, Default)]
pub struct Host {
    changed: Vec<Changed>,
}

#[derive(Debug)]
struct Changed {
    path: &'static str,
    was: String,
    /// Open for the end, when the process may be another user behind another root.
    file: Option<File>,
}

impl Changed {
    fn new(path: &'static str, was: String) -> Self {
        Self { path, was, file: OpenOptions::new().write(true).open(path).ok() }
    }
}

impl Host {
    /// Turns forwarding on for the families that are served.
    ///
    /// # Errors
    /// What could not be set, and how to set it by hand.
    pub fn prepare(v4: bool, v6: bool) -> Result<Self, String> {
        let mut host = Self::default();
        for path in FORWARDING.into_iter().zip([v4, v6]).filter_map(|(path, serves)| serves.then_some(path)) {
            let was = fs::read_to_string(path).unwrap_or_default();
            if was.trim() == "0" {
                fs::write(path, "1").map_err(|e| {
                    format!(
                        "mode l4 : cannot turn on forwarding: {path}: {e} (write 1 to it, or see sysctl(8))"
                    )
                })?;
                host.changed.push(Changed::new(path, was));
            }
        }
        Ok(host)
    }

    /// What was changed, a bit for each of the settings.
    #[must_use]
    pub fn turned_on(&self) -> u64 {
        let bit = |(n, path): (usize, &&str)| {
            u64::from(self.changed.iter().any(|changed| changed.path == *path)) << n
        };
        FORWARDING.iter().enumerate().map(bit).sum()
    }

    /// What a process that was replaced had changed is this one's to put back.
    pub fn take_over(&mut self, turned_on: u64) {
        for (n, path) in FORWARDING.into_iter().enumerate() {
            if turned_on >> n & 1 == 1 && !self.changed.iter().any(|changed| changed.path == path) {
                self.changed.push(Changed::new(path, "0".to_owned()));
            }
        }
    }

    /// What was changed, for the log.
    pub fn changed(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.changed.iter().map(|changed| changed.path)
    }

    /// Another process puts it back.
    pub fn leave(&mut self) {
        self.changed.clear();
    }

    /// Puts it all back.
    pub fn restore(&mut self) {
        for mut changed in self.changed.drain(..) {
            let _ = changed.file.as_mut().map(|file| file.write_all(changed.was.as_bytes()));
        }
    }
}

/// Which of the host's addresses packets to `address` come from.
#[must_use]
pub fn address_towards(address: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    // Sends nothing: the kernel looks the route up.
    socket.connect((address, 9)).ok()?;
    socket.local_addr().ok().map(|local| local.ip())
}
