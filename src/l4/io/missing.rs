//! What a service may ask for that the packet programs cannot do yet.

use crate::config::model::l4::Forward;

/// The first such thing, as the configuration has it.
pub fn missing(one_packet: bool, servers: impl IntoIterator<Item = Forward>) -> Option<&'static str> {
    servers.into_iter().find_map(|forward| match forward {
        Forward::FullNat { .. } if one_packet => Some("forward fullnat with option one-packet"),
        _ => None,
    })
}
