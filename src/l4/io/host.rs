//! What the host must be for packets to be forwarded: set at the start, or when a service comes that needs it, and put back at the end.

use rustix::fs::{Dir, Mode, OFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

const SETTINGS: &str = "/proc/sys/net";
/// Without these the kernel finds no way for a packet that is not the host's own. IPv4, IPv6.
const FORWARDING: [&str; 2] = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
/// Of interfaces' numbers above this is not kept what was changed, for a process that takes over.
const NUMBERED: u32 = 61;

/// Which families of addresses there are, of services and of servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    #[must_use]
    pub fn of(addresses: impl Iterator<Item = IpAddr>) -> Self {
        addresses.fold(Self::default(), |all, address| Self {
            v4: all.v4 | address.is_ipv4(),
            v6: all.v6 | address.is_ipv6(),
        })
    }
}

/// Settings that were changed.
#[derive(Debug, Default)]
pub struct Host {
    /// The kernel's settings. Stays good when the process changes its root.
    settings: Option<OwnedFd>,
    changed: Vec<Changed>,
    served: Families,
}

#[derive(Debug, PartialEq, Eq)]
struct Changed {
    path: String,
    was: &'static str,
    to: &'static str,
}

impl Host {
    /// Turns forwarding on for the families that are served.
    ///
    /// # Errors
    /// What could not be set, and how to set it by hand.
    pub fn prepare(families: Families) -> Result<Self, String> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let mut host =
            Self { settings: rustix::fs::open(SETTINGS, flags, Mode::empty()).ok(), ..Self::default() };
        match host.serve(families) {
            Ok(_) => Ok(host),
            Err(problem) => {
                host.restore();
                Err(problem)
            }
        }
    }

    /// The same for what has come since. What it changes, for the log.
    ///
    /// # Errors
    /// As [`Self::prepare`]; it is tried again when asked again.
    pub fn serve(&mut self, families: Families) -> Result<Vec<String>, String> {
        let before = self.changed.len();
        if families.v4 && !self.served.v4 {
            self.turn_on(FORWARDING[0])?;
            self.served.v4 = true;
        }
        if families.v6 && !self.served.v6 {
            self.keep_router_advertisements();
            self.turn_on(FORWARDING[1])?;
            self.served.v6 = true;
        }
        Ok(self.changed[before..].iter().map(Changed::sentence).collect())
    }

    fn turn_on(&mut self, path: &str) -> Result<(), String> {
        if self.read(path).as_deref() != Some("0") {
            return Ok(());
        }
        self.change(path, "0", "1").map_err(|e| {
            format!("mode l4 : cannot turn on forwarding: {SETTINGS}/{path}: {e} (write 1 to it, or see sysctl(8))")
        })
    }

    /// A host that forwards IPv6 hears no router any longer, and forgets the default route that one gave it, where this is 1; with 2 it does.
    fn keep_router_advertisements(&mut self) {
        if self.read(FORWARDING[1]).as_deref() != Some("0") {
            return;
        }
        for interface in self.interfaces() {
            let path = advertisements(&interface);
            if self.read(&path).as_deref() == Some("1") {
                // Where it cannot be written forwarding cannot be turned on either, which is said.
                let _ = self.change(&path, "1", "2");
            }
        }
    }

    /// Those that may have routers beside them. `all` says nothing for this setting.
    fn interfaces(&self) -> Vec<String> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let list = self.settings.as_ref();
        let list = list.and_then(|at| rustix::fs::openat(at, "ipv6/conf", flags, Mode::empty()).ok());
        let entries = list.and_then(|list| Dir::read_from(&list).ok()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str().map(str::to_owned).ok());
        names.filter(|name| !name.starts_with('.') && name != "all" && name != "lo").collect()
    }

    /// What was changed: a bit for each way of forwarding, and one for each interface by its number.
    #[must_use]
    pub fn turned_on(&self) -> u64 {
        let bit = |changed: &Changed| match FORWARDING.iter().position(|path| *path == changed.path) {
            Some(n) => 1 << n,
            None => interface_of(&changed.path).and_then(number).map_or(0, |n| 1 << (n + 2)),
        };
        self.changed.iter().map(bit).fold(0, |all, bit| all | bit)
    }

    /// What a process that was replaced had changed is this one's to put back.
    pub fn take_over(&mut self, turned_on: u64) {
        let is_set = |n: u32| turned_on >> n & 1 == 1;
        let mut theirs: Vec<Changed> = self
            .interfaces()
            .into_iter()
            .filter(|name| number(name).is_some_and(|n| is_set(n + 2)))
            .map(|name| Changed { path: advertisements(&name), was: "1", to: "2" })
            .collect();
        let forwarding = (0..).zip(FORWARDING).filter(|(n, _)| is_set(*n));
        theirs.extend(forwarding.map(|(_, path)| Changed { path: path.to_owned(), was: "0", to: "1" }));
        theirs.retain(|changed| !self.changed.iter().any(|mine| mine.path == changed.path));
        self.changed.extend(theirs);
    }

    /// What was changed, for the log.
    pub fn changed(&self) -> Vec<String> {
        self.changed.iter().map(Changed::sentence).collect()
    }

    /// Another process puts it back.
    pub fn leave(&mut self) {
        self.changed.clear();
    }

    /// Puts it all back, the last change first.
    pub fn restore(&mut self) {
        while let Some(Changed { path, was, .. }) = self.changed.pop() {
            // An interface may have gone.
            let _ = self.write(&path, was);
        }
    }

    fn change(&mut self, path: &str, was: &'static str, to: &'static str) -> std::io::Result<()> {
        self.write(path, to)?;
        self.changed.push(Changed { path: path.to_owned(), was, to });
        Ok(())
    }

    fn read(&self, path: &str) -> Option<String> {
        let mut text = String::new();
        self.open(path, OFlags::RDONLY).ok()?.read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned())
    }

    fn write(&self, path: &str, value: &str) -> std::io::Result<()> {
        self.open(path, OFlags::WRONLY)?.write_all(value.as_bytes())
    }

    fn open(&self, path: &str, flags: OFlags) -> std::io::Result<File> {
        let at = self.settings.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        Ok(rustix::fs::openat(at, path, flags | OFlags::CLOEXEC, Mode::empty())?.into())
    }
}

impl Changed {
    fn sentence(&self) -> String {
        format!("set {SETTINGS}/{} to {}; it is put back when weir stops", self.path, self.to)
    }
}

fn advertisements(interface: &str) -> String {
    format!("ipv6/conf/{interface}/accept_ra")
}

fn interface_of(path: &str) -> Option<&str> {
    path.strip_prefix("ipv6/conf/")?.strip_suffix("/accept_ra")
}

/// An interface's, where it fits.
fn number(interface: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(socket, interface).ok().filter(|n| *n <= NUMBERED)
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
