//! `mailers` sections and `email-alert` lines.

use crate::config::raw::Place;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Mailers {
    pub name: String,
    pub place: Option<Place>,
    pub mailers: Vec<Mailer>,
    /// `timeout mail`: for one mail, from the connection on.
    pub timeout: Duration,
}

impl Default for Mailers {
    fn default() -> Self {
        Self { name: String::new(), place: None, mailers: Vec::new(), timeout: Duration::from_secs(10) }
    }
}

#[derive(Clone, Debug)]
pub struct Mailer {
    pub name: String,
    pub addr: SocketAddr,
}

/// What a proxy says of mail about its servers.
#[derive(Clone, Debug, Default)]
pub struct EmailAlert {
    /// Any line was there.
    pub said: bool,
    pub mailers: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    /// syslog level; `None`: `alert`.
    pub level: Option<u8>,
    pub hostname: Option<String>,
    /// The section's place in the configuration's list; `None`: no mail is sent.
    pub section: Option<usize>,
}
