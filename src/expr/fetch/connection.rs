//! The client's connection.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::Site;
use crate::expr::args::{self, Arg, Kind, NONE, Spec, Unit};
use crate::expr::facts::{Ends, TcpInfo};
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
        Eval::One(|c| addr(own(c).src)),
        "Client connection's source address, before any PROXY header and rules other than `tcp-request connection`.",
    ),
    row(
        "fc_src_port",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|c| port(own(c).src)),
        "Client connection's source port, likewise.",
    ),
    row(
        "fc_dst",
        NONE,
        Type::Addr,
        Needs::Client,
        Eval::One(|c| addr(own(c).dst)),
        "Client connection's destination address, likewise.",
    ),
    row(
        "fc_dst_port",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|c| port(own(c).dst)),
        "Client connection's destination port, likewise.",
    ),
    row(
        "src_is_local",
        NONE,
        Type::Bool,
        Needs::Client,
        Eval::One(|c| local(c, c.facts.conn().src)),
        "Whether the client's address is one of this host; a unix socket's is.",
    ),
    row(
        "dst_is_local",
        NONE,
        Type::Bool,
        Needs::Client,
        Eval::One(|c| local(c, c.facts.conn().dst)),
        "Whether the address the client connected to is one of this host.",
    ),
    row(
        "fc_src_is_local",
        NONE,
        Type::Bool,
        Needs::Client,
        Eval::One(|c| local(c, own(c).src)),
        "As `src_is_local`, of `fc_src`.",
    ),
    row(
        "fc_dst_is_local",
        NONE,
        Type::Bool,
        Needs::Client,
        Eval::One(|c| local(c, own(c).dst)),
        "As `dst_is_local`, of `fc_dst`.",
    ),
    row(
        "fc_rcvd_proxy",
        NONE,
        Type::Bool,
        Needs::Client,
        Eval::One(|c| Some(Sample::Bool(c.facts.conn().proxied))),
        "Whether the connection began with a PROXY header.",
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
    row(
        "fc_err",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|_| Some(Sample::Int(0))),
        "Number of the connection's error: 0, a connection that failed has no expressions.",
    ),
    row(
        "fc_err_str",
        NONE,
        Type::Str,
        Needs::Client,
        Eval::One(|_| Some(Sample::text(b"Success"))),
        "The connection's error in words.",
    ),
    measured("fc_unacked", |i| i.unacked, "Segments to the client that are not acknowledged, as the kernel counts."),
    measured("fc_sacked", |i| i.sacked, "Segments to the client that were acknowledged selectively."),
    measured("fc_retrans", |i| i.retrans, "Segments to the client that are on their way again."),
    measured("fc_fackets", |i| i.fackets, "Segments to the client by forward acknowledgment."),
    measured("fc_lost", |i| i.lost, "Segments to the client that are taken for lost."),
    measured("fc_reordering", |i| i.reordering, "Segments to the client that may arrive out of order before they are taken for lost."),
    row(
        "fc_rtt",
        UNIT,
        Type::Int,
        Needs::Client,
        Eval::One(|c| time(c, |i| i.rtt)),
        "Round trip time to the client as the kernel measures it, in milliseconds or the unit given (`ms`, `us`).",
    )
    .prepared(no_seconds),
    row(
        "fc_rttvar",
        UNIT,
        Type::Int,
        Needs::Client,
        Eval::One(|c| time(c, |i| i.rttvar)),
        "How much the round trip time varies, likewise.",
    )
    .prepared(no_seconds),
    row(
        "bc_err",
        NONE,
        Type::Int,
        Needs::Server,
        Eval::One(|c| server_error(c).map(|(number, _)| Sample::Int(number))),
        "Number of the error of the connection to the server: 0, or 34 where the TLS handshake failed; nothing where there was no connection.",
    ),
    row(
        "bc_err_str",
        NONE,
        Type::Str,
        Needs::Server,
        Eval::One(|c| server_error(c).map(|(_, text)| Sample::text(text.as_bytes()))),
        "The same in words.",
    ),
    row(
        "fc_http_major",
        NONE,
        Type::Int,
        Needs::Client,
        Eval::One(|c| Some(Sample::Int(c.facts.request().map_or(1, |h| h.version().major).into()))),
        "Major HTTP version on the client's side.",
    ),
    row(
        "bc_http_major",
        NONE,
        Type::Int,
        Needs::ResponseKept,
        Eval::One(|_| Some(Sample::Int(1))),
        "Major HTTP version on the server's side.",
    ),
    row(
        "fc_pp_authority",
        NONE,
        Type::Str,
        Needs::Client,
        Eval::One(|c| tlv(c, 0x02)),
        "Authority from a PROXY v2 header.",
    ),
    row(
        "fc_pp_unique_id",
        NONE,
        Type::Str,
        Needs::Client,
        Eval::One(|c| tlv(c, 0x05)),
        "Unique id from a PROXY v2 header.",
    ),
    row(
        "fc_pp_tlv",
        Spec { required: 1, kinds: &[Kind::Text] },
        Type::Str,
        Needs::Client,
        Eval::One(|c| tlv(c, u8::try_from(args::int(c.args, 0)?).ok()?)),
        "TLV of a PROXY v2 header, by number or name.",
    )
    .prepared(prepare_tlv),
];

const UNIT: Spec = Spec { required: 0, kinds: &[Kind::Unit] };

const fn measured(name: &'static str, read: fn(&TcpInfo) -> u32, doc: &'static str) -> Fetch {
    row(name, NONE, Type::Int, Needs::Client, Eval::Measured(read), doc)
}

fn no_seconds(args: &mut Vec<Arg>) -> Result<(), String> {
    match args.first() {
        Some(Arg::Unit(Unit::Seconds)) => Err("expects 'us' or 'ms', got 's'".to_owned()),
        _ => Ok(()),
    }
}

fn time(call: &Call<'_>, read: fn(&TcpInfo) -> u32) -> Option<Sample<'static>> {
    let micros = read(&call.facts.client_tcp()?);
    let in_micros = matches!(call.args.first(), Some(Arg::Unit(Unit::Micros)));
    Some(Sample::Int(i64::from(if in_micros { micros } else { micros / 1000 })))
}

/// As HAProxy numbers them.
fn server_error(call: &Call<'_>) -> Option<(i64, &'static str)> {
    let log = call.facts.log();
    if log.server_refused_tls {
        return Some((34, "SSL handshake failure"));
    }
    log.backend_dst.map(|_| (0, "Success"))
}

fn tlv<'a>(call: &Call<'a>, kind: u8) -> Option<Sample<'a>> {
    call.facts.conn().proxy_tlvs.iter().find(|(k, _)| *k == kind).map(|(_, value)| Sample::text(value))
}

/// Names of TLVs in the PROXY protocol's specification.
const TLVS: &[(&str, i64)] = &[
    ("ALPN", 0x01),
    ("AUTHORITY", 0x02),
    ("CRC32C", 0x03),
    ("NOOP", 0x04),
    ("UNIQUE_ID", 0x05),
    ("SSL", 0x20),
    ("NETNS", 0x30),
];

fn prepare_tlv(args: &mut Vec<Arg>) -> Result<(), String> {
    let text = String::from_utf8_lossy(args::text(args, 0).unwrap_or_default()).into_owned();
    let by_name = || TLVS.iter().find(|(n, _)| *n == text).map(|(_, id)| *id);
    let id = args::parse_int(&text).or_else(by_name).filter(|id| (0..256).contains(id));
    *args = vec![Arg::Int(id.ok_or_else(|| format!("'{text}' is neither a TLV type nor its name"))?)];
    Ok(())
}

/// The connection's own ends. Rules that run before a PROXY header is read may still change them.
fn own(call: &Call<'_>) -> Ends {
    let conn = call.facts.conn();
    if call.site == Site::TcpConnection { Ends { src: conn.src, dst: conn.dst } } else { conn.own }
}

/// What has no address is a unix socket.
fn local(call: &Call<'_>, socket: Option<SocketAddr>) -> Option<Sample<'static>> {
    Some(Sample::Bool(socket.is_none_or(|s| call.facts.live().is_local(s.ip()))))
}

fn addr(socket: Option<SocketAddr>) -> Option<Sample<'static>> {
    socket.map(|s| Sample::Addr(s.ip()))
}

fn port(socket: Option<SocketAddr>) -> Option<Sample<'static>> {
    socket.map(|s| Sample::Int(s.port().into()))
}

fn listener_name<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    call.facts.conn().listener_name.as_ref().map(|n| Sample::text(n.as_bytes()))
}
