//! `bind` lines: one value per listening address.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Inet(SocketAddr),
    Unix(PathBuf),
    Abstract(Vec<u8>),
    Fd(RawFd),
}

/// What a line may say that is spoken (`proto`), whatever else the other side says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    H1,
    H2,
}

#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub struct Bind {
    pub address: Address,
    /// HAProxy's listener id, from 1 within the proxy.
    pub id: u32,
    pub name: Option<Arc<str>>,
    /// `guid-prefix`, a dash and the address' place on the line, from 0.
    pub guid: Option<Arc<str>>,
    pub place: Option<crate::config::raw::Place>,
    pub maxconn: Option<usize>,
    pub backlog: Option<u32>,
    pub nice: i32,
    pub accept_proxy: bool,
    pub defer_accept: bool,
    pub tfo: bool,
    pub transparent: bool,
    pub v6only: bool,
    pub v4v6: bool,
    pub interface: Option<String>,
    pub mss: Option<i32>,
    pub tcp_user_timeout: Option<Duration>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Threads (from 1) that accept here; empty: all.
    pub threads: Vec<usize>,
    /// `proto`
    pub protocol: Option<Protocol>,
    /// `ssl`
    pub tls: Option<Arc<crate::tls::Door>>,
}

impl Bind {
    /// A line with nothing but an address.
    #[must_use]
    pub fn bare(address: Address) -> Self {
        Self {
            address,
            id: 0,
            name: None,
            guid: None,
            place: None,
            maxconn: None,
            backlog: None,
            nice: 0,
            accept_proxy: false,
            defer_accept: false,
            tfo: false,
            transparent: false,
            v6only: false,
            v4v6: false,
            interface: None,
            mss: None,
            tcp_user_timeout: None,
            mode: None,
            uid: None,
            gid: None,
            threads: Vec::new(),
            protocol: None,
            tls: None,
        }
    }
}
