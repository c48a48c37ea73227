//! The administration socket: the same commands to Debian's haproxy and to weir under one configuration, answers compared
//! byte for byte; and what only weir can show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "harness/mod.rs"]
mod harness;

#[path = "admin_socket/anonymous.rs"]
mod anonymous;
#[path = "admin_socket/certificates.rs"]
mod certificates;
#[path = "admin_socket/commands.rs"]
mod commands;
#[path = "admin_socket/effects.rs"]
mod effects;
#[path = "admin_socket/insides.rs"]
mod insides;
#[path = "admin_socket/patterns.rs"]
mod patterns;
#[path = "admin_socket/protocol.rs"]
mod protocol;
#[path = "admin_socket/rig.rs"]
mod rig;
#[path = "admin_socket/rings.rs"]
mod rings;
#[path = "admin_socket/servers.rs"]
mod servers;
#[path = "admin_socket/sessions.rs"]
mod sessions;
#[path = "admin_socket/stats_file.rs"]
mod stats_file;
#[path = "admin_socket/traces.rs"]
mod traces;
#[path = "admin_socket/trust.rs"]
mod trust;
