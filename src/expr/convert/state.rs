//! Variables, proxies and servers.

use super::{Converter, Step, row};
use crate::expr::args::{Arg, Kind, NONE, Spec};
use crate::expr::facts::{LiveFacts, ServerNumber};
use crate::expr::fetch::Call;
use crate::expr::sample::{Sample, Type};
use crate::expr::{Facts, StoreIf};
use crate::ids::ProxyIndex;

const SET: Spec = Spec { required: 1, kinds: &[Kind::Var, Kind::Text, Kind::Text, Kind::Text, Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("set-var", SET, Type::Any, Type::Any, Step::Changing(set_var), "Sets the variable to the sample, if the conditions given hold (`ifexists`, `ifnotexists`, `ifempty`, `ifnotempty`, `ifset`, `ifnotset`, `ifgt`, `iflt`).").prepared(prepare_set),
    row("unset-var", Spec { required: 1, kinds: &[Kind::Var] }, Type::Any, Type::Any, Step::Changing(unset_var), "Unsets the variable."),
    row("nbsrv", NONE, Type::Str, Type::Int, Step::Reading(nbsrv), "Usable servers of the backend named."),
    row("srv_is_up", NONE, Type::Str, Type::Bool, Step::Reading(srv_is_up), "Whether the server named (`backend/server` or `server`) is up."),
    row("srv_queue", NONE, Type::Str, Type::Int, Step::Reading(srv_queue), "Connections that wait for the server named (`backend/server` or `server`)."),
];

fn prepare_set(args: &mut Vec<Arg>) -> Result<(), String> {
    let when = StoreIf::parse(args.iter().skip(1).filter_map(Arg::text))?;
    args.truncate(1);
    args.push(Arg::Flags(when.bits()));
    Ok(())
}

fn set_var(args: &[Arg], sample: Sample<'static>, facts: &mut dyn Facts) -> Option<Sample<'static>> {
    let Some(Arg::Var(scope, name)) = args.first() else { return None };
    let Some(Arg::Flags(flags)) = args.get(1) else { return None };
    StoreIf::from_bits(*flags).store(*scope, name, sample.clone().into_value(), facts);
    Some(sample)
}

fn unset_var(args: &[Arg], sample: Sample<'static>, facts: &mut dyn Facts) -> Option<Sample<'static>> {
    let Some(Arg::Var(scope, name)) = args.first() else { return None };
    facts.unset_var(*scope, name);
    Some(sample)
}

fn nbsrv<'a>(_: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let name = sample.into_text();
    let live = call.facts.live();
    Some(Sample::Int(live.nbsrv(live.backend_by_name(std::str::from_utf8(&name).ok()?)?)))
}

/// What `read` says of the server that `name` (`backend/server` or `server`) means.
fn of_server<'a>(
    name: Sample<'_>,
    call: &Call<'_>,
    read: impl FnOnce(&dyn LiveFacts, ProxyIndex, &str) -> Option<Sample<'a>>,
) -> Option<Sample<'a>> {
    let name = name.into_text();
    let name = std::str::from_utf8(&name).ok()?;
    let live = call.facts.live();
    match name.split_once('/') {
        Some((backend, server)) => read(live, live.backend_by_name(backend)?, server),
        None => read(live, call.facts.backend()?.index?, name),
    }
}

fn srv_is_up<'a>(_: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    of_server(sample, call, |live, backend, server| Some(Sample::Bool(live.server_is_up(backend, server))))
}

fn srv_queue<'a>(_: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    of_server(sample, call, |live, backend, server| {
        live.server_number(backend, server, ServerNumber::Queued).map(Sample::Int)
    })
}
