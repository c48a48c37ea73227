//! Schedule, state and reports of health checks: Debian's haproxy and weir under the same script, line by line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod handshake;
#[path = "../harness/mod.rs"]
mod harness;
mod mail;
mod marks;
mod observe;
mod rig;
mod shown;
mod socks;
mod states;
