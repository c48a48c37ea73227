//! The process, its proxies and servers.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{Arg, Kind, NONE, Spec};
use crate::expr::facts::{LiveFacts, ServerNumber};
use crate::expr::sample::{Sample, Type};
use crate::ids::ProxyIndex;

const BACKEND: Spec = Spec { required: 0, kinds: &[Kind::Backend] };
const FRONTEND: Spec = Spec { required: 0, kinds: &[Kind::Frontend] };
const SERVER: Spec = Spec { required: 1, kinds: &[Kind::Server] };

pub(super) const ROWS: &[Fetch] = &[
    row(
        "fe_name",
        NONE,
        Type::Str,
        Needs::Frontend,
        Eval::One(|c| Some(Sample::text(c.facts.frontend()?.name.as_bytes()))),
        "Frontend's name.",
    ),
    row(
        "fe_id",
        NONE,
        Type::Int,
        Needs::Frontend,
        Eval::One(|c| Some(Sample::Int(c.facts.frontend()?.id.into()))),
        "Frontend's id.",
    ),
    row(
        "fe_defbe",
        NONE,
        Type::Str,
        Needs::Frontend,
        Eval::One(default_backend),
        "Name of the frontend's default backend.",
    ),
    row(
        "be_name",
        NONE,
        Type::Str,
        Needs::Backend,
        Eval::One(|c| Some(Sample::text(c.facts.backend()?.name.as_bytes()))),
        "Backend's name.",
    ),
    row(
        "be_id",
        NONE,
        Type::Int,
        Needs::Backend,
        Eval::One(|c| Some(Sample::Int(c.facts.backend()?.id.into()))),
        "Backend's id.",
    ),
    row(
        "srv_name",
        NONE,
        Type::Str,
        Needs::Server,
        Eval::One(|c| Some(Sample::text(c.facts.server_name()?.as_bytes()))),
        "Name of the server that has the request.",
    ),
    row(
        "srv_id",
        NONE,
        Type::Int,
        Needs::Server,
        Eval::One(own_server_id),
        "Id of the server that has the request.",
    ),
    row(
        "hostname",
        NONE,
        Type::Str,
        Needs::Nothing,
        Eval::One(|c| Some(Sample::text(c.facts.process().hostname.as_bytes()))),
        "The system's host name.",
    ),
    row(
        "proc",
        NONE,
        Type::Int,
        Needs::Nothing,
        Eval::One(|_| Some(Sample::Int(1))),
        "Always 1: there is one process.",
    ),
    row(
        "nbproc",
        NONE,
        Type::Int,
        Needs::Nothing,
        Eval::One(|_| Some(Sample::Int(1))),
        "Always 1: there is one process.",
    ),
    row(
        "nbthread",
        NONE,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| count(c.facts.process().nbthread)),
        "Number of worker threads.",
    ),
    row(
        "thread",
        NONE,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| count(c.facts.process().thread)),
        "Number of the thread that runs this, from 0.",
    ),
    row(
        "pid",
        NONE,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| Some(Sample::Int(c.facts.process().pid.into()))),
        "The process's number.",
    ),
    row(
        "act_conn",
        NONE,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| Some(Sample::Int(c.facts.live().connections()))),
        "Client connections now, of all frontends.",
    ),
    row(
        "uptime",
        NONE,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| Some(Sample::Int(c.facts.live().uptime()))),
        "Seconds since the process started.",
    ),
    row(
        "stopping",
        NONE,
        Type::Bool,
        Needs::Internal,
        Eval::One(|c| Some(Sample::Bool(c.facts.live().is_stopping()))),
        "Whether the process stops once its connections end.",
    ),
    row(
        "quic_enabled",
        NONE,
        Type::Bool,
        Needs::Nothing,
        Eval::One(|_| Some(Sample::Bool(false))),
        "Always false: there is no QUIC.",
    ),
    row(
        "nbsrv",
        BACKEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_backend(c, |l, i| l.nbsrv(i))),
        "Usable servers of the backend.",
    ),
    row(
        "connslots",
        BACKEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_backend(c, |l, i| l.connslots(i))),
        "Connections and queue places left on the backend's servers; -1 when a server has no limit.",
    ),
    row(
        "avg_queue",
        BACKEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_backend(c, |l, i| l.avg_queue(i))),
        "Queued connections of the backend and its servers divided by its usable servers, rounded up.",
    ),
    row(
        "queue",
        BACKEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_backend(c, |l, i| l.queue(i))),
        "Queued connections of the backend and its servers.",
    ),
    row(
        "be_conn",
        BACKEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_backend(c, |l, i| l.be_conn(i))),
        "Connections now on the backend.",
    ),
    row(
        "be_sess_rate",
        BACKEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_backend(c, |l, i| l.be_sess_rate(i))),
        "Sessions given to the backend in the last second.",
    ),
    row(
        "be_conn_free",
        BACKEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_backend(c, |l, i| l.be_conn_free(i))),
        "Connections the backend's usable servers have room for, queues aside; -1 when one has no limit.",
    ),
    row(
        "be_max_retries",
        NONE,
        Type::Int,
        Needs::Backend,
        Eval::One(|c| Some(Sample::Int(c.facts.backend()?.back.as_ref()?.retries.into()))),
        "`retries` of the backend.",
    ),
    row(
        "fe_conn",
        FRONTEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_frontend(c, |l, i| l.fe_conn(i))),
        "Connections now on the frontend.",
    ),
    row(
        "fe_sess_rate",
        FRONTEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_frontend(c, |l, i| l.fe_sess_rate(i))),
        "Sessions accepted by the frontend in the last second.",
    ),
    row(
        "fe_req_rate",
        FRONTEND,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_frontend(c, |l, i| l.fe_req_rate(i))),
        "HTTP requests the frontend got in the last second.",
    ),
    row(
        "srv_is_up",
        SERVER,
        Type::Bool,
        Needs::Internal,
        Eval::One(server_is_up),
        "Whether the server is up.",
    ),
    row(
        "srv_conn",
        SERVER,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_server(c, ServerNumber::Connections)),
        "Connections now on the server.",
    ),
    row(
        "srv_conn_free",
        SERVER,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_server(c, ServerNumber::ConnectionsFree)),
        "Connections the server has room for, its queue aside; -1 when it has no limit.",
    ),
    row(
        "srv_queue",
        SERVER,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_server(c, ServerNumber::Queued)),
        "Connections that wait for the server.",
    ),
    row(
        "srv_sess_rate",
        SERVER,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_server(c, ServerNumber::SessionRate)),
        "Sessions given to the server in the last second.",
    ),
    row(
        "srv_iweight",
        SERVER,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_server(c, ServerNumber::InitialWeight)),
        "The server's weight as configured.",
    ),
    row(
        "srv_uweight",
        SERVER,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_server(c, ServerNumber::Weight)),
        "The server's weight as configured or set since.",
    ),
    row(
        "srv_weight",
        SERVER,
        Type::Int,
        Needs::Internal,
        Eval::One(|c| of_server(c, ServerNumber::EffectiveWeight)),
        "The server's weight in effect: less than that set while it starts slowly.",
    ),
];

fn count(n: usize) -> Option<Sample<'static>> {
    i64::try_from(n).ok().map(Sample::Int)
}

/// The backend named by the first argument, else (in `defaults`) the current one.
fn backend(call: &Call<'_>) -> Option<ProxyIndex> {
    match call.args.first() {
        Some(Arg::Name(name)) => match call.facts.backend() {
            // Mostly it is the one at work.
            Some(current) if *current.name == **name => current.index,
            _ => call.facts.live().backend_by_name(name),
        },
        _ => call.facts.backend().or(call.facts.frontend())?.index,
    }
}

fn of_backend(call: &Call<'_>, read: fn(&dyn LiveFacts, ProxyIndex) -> i64) -> Option<Sample<'static>> {
    Some(Sample::Int(read(call.facts.live(), backend(call)?)))
}

fn of_frontend(call: &Call<'_>, read: fn(&dyn LiveFacts, ProxyIndex) -> i64) -> Option<Sample<'static>> {
    let index = match call.args.first() {
        Some(Arg::Name(name)) => match call.facts.frontend() {
            Some(current) if *current.name == **name => current.index?,
            _ => call.facts.live().frontend_by_name(name)?,
        },
        _ => call.facts.frontend()?.index?,
    };
    Some(Sample::Int(read(call.facts.live(), index)))
}

fn server<'a>(call: &Call<'a>) -> Option<(ProxyIndex, &'a str)> {
    match call.args.first()? {
        Arg::Server { backend: Some(b), server } => Some((call.facts.live().backend_by_name(b)?, server)),
        Arg::Server { backend: None, server } => Some((call.facts.backend()?.index?, server)),
        _ => None,
    }
}

fn server_is_up(call: &Call<'_>) -> Option<Sample<'static>> {
    let (backend, server) = server(call)?;
    Some(Sample::Bool(call.facts.live().server_is_up(backend, server)))
}

fn of_server(call: &Call<'_>, what: ServerNumber) -> Option<Sample<'static>> {
    let (backend, server) = server(call)?;
    call.facts.live().server_number(backend, server, what).map(Sample::Int)
}

fn own_server_id(call: &Call<'_>) -> Option<Sample<'static>> {
    let (backend, server) = (call.facts.backend()?.index?, call.facts.server_name()?);
    call.facts.live().server_number(backend, server, ServerNumber::Id).map(Sample::Int)
}

fn default_backend<'a>(call: &Call<'a>) -> Option<Sample<'a>> {
    let index = call.facts.frontend()?.front.as_ref()?.default_backend?;
    Some(Sample::text(call.facts.live().proxy_name(index)?.as_bytes()))
}
