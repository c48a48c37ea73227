//! `no-accept`: what is addressed to a virtual address is dropped, by a table of nftables that the kernel removes with the
//! socket that made it, even after a kill.

use crate::wire::nftables;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};
use std::io;
use std::net::IpAddr;

/// While it lives, the addresses are refused.
pub struct Refusal {
    _owner: Socket,
}

impl Refusal {
    /// # Errors
    /// The system's: no nftables in the kernel, or one before 5.12.
    pub fn of(addresses: &[IpAddr]) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let messages = nftables::drop_input(&format!("weir-{}", std::process::id()), addresses);
        let wanted = messages.len() - 2;
        socket.send(&messages.concat(), 0)?;
        let mut heard = 0;
        // The kernel has answered before `send` returns: nothing is waited for.
        socket.set_non_blocking(true)?;
        while heard < wanted {
            let (answer, _) = socket.recv_from_full()?;
            let codes = nftables::answers(&answer);
            if let Some(code) = codes.iter().find(|code| **code != 0) {
                return Err(io::Error::from_raw_os_error(*code));
            }
            heard += codes.len();
        }
        Ok(Self { _owner: socket })
    }
}
