//! Checked views of bytes: a value here has been validated once and cannot panic.

pub mod proxy_protocol;
