//! The commands, one file a family. A new family is a file and a line in [`FAMILIES`].
//!
//! A handler answers with an [`Answer`](super::Answer); it runs on the control thread and must not wait: what takes time
//! or is long is an `Answer::Job` or `Answer::Pieces`. State changes only by methods of `live`.

pub mod absent;
pub mod anon;
pub mod backend;
pub mod cookies;
pub mod debug;
pub mod dynamic;
pub mod errors;
pub mod events;
pub mod frontend;
pub mod handoff;
pub mod insides;
pub mod l4;
pub mod patterns;
pub mod process;
pub mod reload;
pub mod server;
mod server_settings;
pub mod servers;
pub mod session;
pub mod sessions;
pub mod ssl_cert;
pub mod ssl_crt_list;
pub mod ssl_ocsp;
pub mod ssl_sni;
pub mod ssl_tickets;
pub mod ssl_trust;
pub mod stat;
pub mod target;
pub mod trace;
pub mod unbuilt;
pub mod variables;
pub mod vrrp;

use super::command::Command;

/// Searched in this order.
#[rustfmt::skip] // a line each, so that those added at the same time do not collide
const FAMILIES: &[&[Command]] = &[
    absent::TABLE,
    anon::TABLE,
    backend::TABLE,
    cookies::TABLE,
    debug::TABLE,
    dynamic::TABLE,
    errors::TABLE,
    events::TABLE,
    frontend::TABLE,
    handoff::TABLE,
    insides::TABLE,
    l4::TABLE,
    patterns::TABLE,
    process::TABLE,
    reload::TABLE,
    server::TABLE,
    servers::TABLE,
    session::TABLE,
    sessions::TABLE,
    ssl_cert::TABLE,
    ssl_crt_list::TABLE,
    ssl_ocsp::TABLE,
    ssl_sni::TABLE,
    ssl_tickets::TABLE,
    ssl_trust::TABLE,
    stat::TABLE,
    trace::TABLE,
    variables::TABLE,
    vrrp::TABLE,
    unbuilt::TABLE,
];

pub(super) fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
