//! Checked views of bytes: a value here has been validated once and cannot panic.

pub mod arp;
pub mod checksum;
pub mod dns;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod nftables;
pub mod proxy_protocol;
pub mod vrrp;
