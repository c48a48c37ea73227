//! The client's connection.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::NONE;
use crate::expr::sample::{Sample, Type};
use std::net::SocketAddr;

pub(super) const ROWS: &[Fetch] = &[
    row("src", NONE, Type::Addr, Needs::Client, Eval::One(|c| addr(c.facts.conn().src)), "Client's address."),
    row(
        "src_port",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|c| port(c.facts.conn().src)),
        "Client's port.",
    ),
    row(
        "dst",
        NONE,
        Type::Addr,
        Needs::Client,
        Eval::One(|c| addr(c.facts.conn().dst)),
        "Address the client connected to.",
    ),
    row(
        "dst_port",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|c| port(c.facts.conn().dst)),
        "Port the client connected to.",
    ),
    row(
        "fc_src",
        NONE,
        Type::Addr,
        Needs::Client,
        Eval::One(|c| addr(c.facts.conn().src)),
        "Client connection's source address.",
    ),
    row(
        "fc_src_port",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|c| port(c.facts.conn().src)),
        "Client connection's source port.",
    ),
    row(
        "fc_dst",
        NONE,
        Type::Addr,
        Needs::Client,
        Eval::One(|c| addr(c.facts.conn().dst)),
        "Client connection's destination address.",
    ),
    row(
        "fc_dst_port",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|c| port(c.facts.conn().dst)),
        "Client connection's destination port.",
    ),
    row(
        "so_id",
        NONE,
        Type::Int,
        Needs::Frontend,
        Eval::One(|c| Some(Sample::Int(c.facts.conn().listener_id.into()))),
        "Listener's id.",
    ),
    row("so_name", NONE, Type::Str, Needs::Frontend, Eval::One(listener_name), "Listener's name."),
];

fn addr(socket: Option<SocketAddr>) -> Option<Sample<'static>> {
    socket.map(|s| Sample::Addr(s.ip()))
}

fn port(socket: Option<SocketAddr>) -> Option<Sample<'static>> {
    socket.map(|s| Sample::Int(s.port().into()))
}

fn listener_name<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    call.facts.conn().listener_name.as_ref().map(|n| Sample::text(n.as_bytes()))
}
