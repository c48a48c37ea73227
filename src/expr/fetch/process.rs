//! The process, its proxies and servers.

use super::{Call, Eval, Fetch, Needs, row};
use crate::expr::args::{Arg, Kind, NONE, Spec};
use crate::expr::facts::LiveFacts;
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
        "nbsrv",
        BACKEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_backend(c, |l, i| l.nbsrv(i))),
        "Usable servers of the backend.",
    ),
    row(
        "connslots",
        BACKEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_backend(c, |l, i| l.connslots(i))),
        "Connections and queue places left on the backend's servers; -1 when a server has no limit.",
    ),
    row(
        "avg_queue",
        BACKEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_backend(c, |l, i| l.avg_queue(i))),
        "Queued connections of the backend and its servers divided by its usable servers, rounded up.",
    ),
    row(
        "queue",
        BACKEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_backend(c, |l, i| l.queue(i))),
        "Queued connections of the backend and its servers.",
    ),
    row(
        "be_conn",
        BACKEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_backend(c, |l, i| l.be_conn(i))),
        "Connections now on the backend.",
    ),
    row(
        "be_sess_rate",
        BACKEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_backend(c, |l, i| l.be_sess_rate(i))),
        "Sessions given to the backend in the last second.",
    ),
    row(
        "fe_conn",
        FRONTEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_frontend(c, |l, i| l.fe_conn(i))),
        "Connections now on the frontend.",
    ),
    row(
        "fe_sess_rate",
        FRONTEND,
        Type::Int,
        Needs::Nothing,
        Eval::One(|c| of_frontend(c, |l, i| l.fe_sess_rate(i))),
        "Sessions accepted by the frontend in the last second.",
    ),
    row(
        "srv_is_up",
        SERVER,
        Type::Bool,
        Needs::Nothing,
        Eval::One(server_is_up),
        "Whether the server is up.",
    ),
    row(
        "srv_conn",
        SERVER,
        Type::Int,
        Needs::Nothing,
        Eval::One(server_conn),
        "Connections now on the server.",
    ),
];

fn count(n: usize) -> Option<Sample<'static>> {
    i64::try_from(n).ok().map(Sample::Int)
}

/// The backend named by the first argument, else the current one.
fn backend(call: &Call<'_>) -> Option<ProxyIndex> {
    match call.args.first() {
        Some(Arg::Name(name)) => call.facts.live().proxy_by_name(name),
        _ => call.facts.backend().or(call.facts.frontend())?.index,
    }
}

fn of_backend(call: &Call<'_>, read: fn(&dyn LiveFacts, ProxyIndex) -> i64) -> Option<Sample<'static>> {
    Some(Sample::Int(read(call.facts.live(), backend(call)?)))
}

fn of_frontend(call: &Call<'_>, read: fn(&dyn LiveFacts, ProxyIndex) -> i64) -> Option<Sample<'static>> {
    let index = match call.args.first() {
        Some(Arg::Name(name)) => call.facts.live().proxy_by_name(name)?,
        _ => call.facts.frontend()?.index?,
    };
    Some(Sample::Int(read(call.facts.live(), index)))
}

fn server<'a>(call: &Call<'a>) -> Option<(ProxyIndex, &'a str)> {
    match call.args.first()? {
        Arg::Server { backend: Some(b), server } => Some((call.facts.live().proxy_by_name(b)?, server)),
        Arg::Server { backend: None, server } => Some((call.facts.backend()?.index?, server)),
        _ => None,
    }
}

fn server_is_up(call: &Call<'_>) -> Option<Sample<'static>> {
    let (backend, server) = server(call)?;
    Some(Sample::Bool(call.facts.live().server_is_up(backend, server)))
}

fn server_conn(call: &Call<'_>) -> Option<Sample<'static>> {
    let (backend, server) = server(call)?;
    Some(Sample::Int(call.facts.live().server_conn(backend, server)))
}
