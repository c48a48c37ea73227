//! Checked views of bytes: a value here has been validated once and cannot panic.

pub mod checksum;
pub mod proxy_protocol;
pub mod vrrp;
