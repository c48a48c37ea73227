//! What the configuration says of the checks that neither connect nor speak HTTP.

use crate::expr::Regex;
use std::sync::Arc;

/// `external-check command` and `path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalCommand {
    pub command: Option<Arc<str>>,
    pub path: Option<Arc<str>>,
}

/// `global external-check`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExternalChecks {
    #[default]
    Refused,
    /// Programs see the variables of their check alone.
    Allowed,
    /// `preserve-env`: programs see these besides.
    WithEnvironment(Arc<[(String, String)]>),
}

/// `option udp-check`
#[derive(Clone, Debug, Default)]
pub struct UdpCheck {
    /// Empty: an empty datagram.
    pub send: Vec<u8>,
    /// `None`: silence is a success.
    pub expect: Option<Expected>,
}

/// Within the datagram that answers.
#[derive(Clone, Debug)]
pub enum Expected {
    Bytes(Vec<u8>),
    Regex(Regex),
}
