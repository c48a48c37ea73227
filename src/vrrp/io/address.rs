//! Adds and removes addresses by rtnetlink.

use super::link::{self, Change};
use crate::config::model::vrrp::VirtualAddress;
use crate::tasks::{self, Task};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};
use rtnetlink::{AddressMessageBuilder, Error, Handle};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub struct Kernel {
    pub handle: Handle,
    _connection: Task,
}

impl Kernel {
    /// # Errors
    /// No netlink socket.
    pub fn connect() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        Ok(Self { handle, _connection: tasks::start("vrrp netlink", connection) })
    }

    /// # Errors
    /// A sentence with the address; that it is there already is none.
    pub async fn add(&self, device: u32, address: &VirtualAddress) -> Result<(), String> {
        let mut request = self.handle.address().add(device, address.address, address.prefix);
        let message = request.message_mut();
        *message = base(device, address);
        message.attributes.extend(qualities(address));
        match request.execute().await {
            Err(error) if code(&error) != Some(libc::EEXIST) => {
                Err(format!("cannot add {}/{}: {}", address.address, address.prefix, words(&error)))
            }
            _ => Ok(()),
        }
    }

    /// All interfaces and addresses as they are now.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn links(&self) -> Result<Vec<Change>, Error> {
        link::ask(&self.handle).await
    }

    /// Whether it was there.
    ///
    /// # Errors
    /// A sentence.
    pub async fn remove_link(&self, index: u32) -> Result<bool, String> {
        match self.handle.link().del(index).execute().await {
            Ok(()) => Ok(true),
            Err(error) if code(&error) == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(format!("cannot remove interface {index}: {}", words(&error))),
        }
    }

    /// Whether it was there.
    ///
    /// # Errors
    /// A sentence with the address.
    pub async fn remove(&self, device: u32, address: &VirtualAddress) -> Result<bool, String> {
        match self.handle.address().del(base(device, address)).execute().await {
            Ok(()) => Ok(true),
            Err(error) if matches!(code(&error), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => Ok(false),
            Err(error) => {
                Err(format!("cannot remove {}/{}: {}", address.address, address.prefix, words(&error)))
            }
        }
    }
}

/// What identifies an address.
fn base(device: u32, address: &VirtualAddress) -> AddressMessage {
    let mut message = match address.address {
        IpAddr::V4(v4) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(device).address(v4, address.prefix).build()
        }
        IpAddr::V6(v6) => {
            AddressMessageBuilder::<Ipv6Addr>::new().index(device).address(v6, address.prefix).build()
        }
    };
    // As keepalived adds them: without a broadcast address.
    message.attributes.retain(|a| !matches!(a, AddressAttribute::Broadcast(_)));
    message.header.scope = address.scope.into();
    if let Some(label) = &address.label {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    message
}

/// As keepalived has them: an IPv6 address serves at once, for the master before may not have let go of it yet, and one
/// without a network is deprecated, so that no connection of the machine's own starts from it.
fn qualities(address: &VirtualAddress) -> Vec<AddressAttribute> {
    if address.address.is_ipv4() {
        return Vec::new();
    }
    let mut all = vec![AddressAttribute::Flags(AddressFlags::Nodad)];
    if address.prefix == 128 {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = 0;
        lifetimes.ifa_valid = u32::MAX;
        all.push(AddressAttribute::CacheInfo(lifetimes));
    }
    all
}

/// The kernel's error number.
pub fn code(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}

pub fn words(error: &Error) -> String {
    code(error).map_or_else(|| error.to_string(), |code| io::Error::from_raw_os_error(code).to_string())
}
