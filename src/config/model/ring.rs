//! `ring` sections: events kept in memory for who asks, and sent on to log servers over TCP.

use super::LogSource;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    pub name: String,
    /// What `show events` says of it; the name where nothing is said.
    pub description: String,
    pub format: LogSource,
    /// Longest event, its header included.
    pub maxlen: usize,
    /// Bytes kept.
    pub size: usize,
    pub connect: Option<Duration>,
    /// How long a server may take nothing of what is sent to it.
    pub patience: Option<Duration>,
    pub servers: Vec<RingServer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingServer {
    pub name: String,
    pub address: SocketAddr,
    pub framing: Framing,
}

/// How events are told apart on a stream (`log-proto`, RFC 6587).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// A newline behind each.
    #[default]
    Legacy,
    /// Its length and a blank before each.
    OctetCount,
}

/// The ring every process has.
pub const BUILT_IN: &str = "buf0";

impl Ring {
    /// As a section without lines makes it.
    #[must_use]
    pub fn new(name: &str, size: usize) -> Self {
        Self {
            name: name.to_owned(),
            description: name.to_owned(),
            format: LogSource::Raw,
            maxlen: 1024,
            size,
            connect: None,
            patience: None,
            servers: Vec::new(),
        }
    }

    #[must_use]
    pub fn built_in() -> Self {
        Self {
            description: "in-memory ring buffer".to_owned(),
            format: LogSource::Timed,
            ..Self::new(BUILT_IN, 1 << 20)
        }
    }
}
