//! `no-accept`: what is addressed to a virtual address is dropped, by a table of nftables that the kernel removes with the
//! socket that made it, even after a kill.

use crate::wire::nftables;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{Socket, SocketAddr};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Made so far.
static TABLES: AtomicU32 = AtomicU32::new(0);

/// While it lives, the addresses are refused.
pub struct Refusal {
    _owner: Socket,
}

impl Refusal {
    /// Of addresses, if there are any.
    ///
    /// # Errors
    /// A sentence.
    pub fn open(addresses: &[IpAddr]) -> Result<Option<Self>, String> {
        let refusal = (!addresses.is_empty()).then(|| Self::of(addresses)).transpose();
        refusal.map_err(|e| {
            format!("vrrp : cannot refuse what is addressed to the virtual addresses: {e} (this takes nftables and Linux 5.12: write 'accept' to do without)")
        })
    }

    /// # Errors
    /// The system's: no nftables in the kernel, or one before 5.12.
    fn of(addresses: &[IpAddr]) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // A reload makes another one before the one of before goes.
        let table = match TABLES.fetch_add(1, Relaxed) {
            0 => format!("weir-{}", std::process::id()),
            more => format!("weir-{}-{more}", std::process::id()),
        };
        let messages = nftables::drop_input(&table, addresses);
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
