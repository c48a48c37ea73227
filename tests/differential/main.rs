//! The same configuration and the same bytes through Debian's haproxy and through weir: what the client sees, what the
//! server sees and what is logged must be the same. One row of a table is one case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Tables of cases are long by nature.
#![allow(clippy::too_many_lines)]

#[path = "../harness/mod.rs"]
mod harness;

mod check;
mod ciphers;
mod converters;
mod fetches;
mod hashing;
mod health;
mod logging;
mod malformed;
mod messages;
mod page;
mod persistence;
mod protocols;
mod replies;
mod rewriting;
mod rig;
mod routing;
mod settings;
mod tls;
mod tls_early;
mod tls_grades;
mod tls_ocsp;
mod tls_sessions;
mod tls_settings;
mod tls_stores;
mod variables;
