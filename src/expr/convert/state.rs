//! Variables, proxies and servers.

use super::{Converter, Step, row};
use crate::expr::args::{self, Arg, Kind, NONE, Spec};
use crate::expr::facts::{LiveFacts, ServerNumber};
use crate::expr::fetch::Call;
use crate::expr::log::date::{Zone, strftime};
use crate::expr::sample::{Sample, Type};
use crate::expr::{Facts, Scope, StoreIf};
use crate::ids::ProxyIndex;
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::SystemTime;

const SET: Spec = Spec { required: 1, kinds: &[Kind::Var, Kind::Text, Kind::Text, Kind::Text, Kind::Text] };

#[rustfmt::skip]
pub(super) const ROWS: &[Converter] = &[
    row("set-var", SET, Type::Any, Type::Any, Step::Changing(set_var), "Sets the variable to the sample, if the conditions given hold (`ifexists`, `ifnotexists`, `ifempty`, `ifnotempty`, `ifset`, `ifnotset`, `ifgt`, `iflt`).").prepared(prepare_set),
    row("unset-var", Spec { required: 1, kinds: &[Kind::Var] }, Type::Any, Type::Any, Step::Changing(unset_var), "Unsets the variable."),
    row("capture-req", SLOT, Type::Str, Type::Str, Step::Changing(|a, s, f| keep(false, a, s, f)), "Keeps the text in the frontend's request capture of that number as well."),
    row("capture-res", SLOT, Type::Str, Type::Str, Step::Changing(|a, s, f| keep(true, a, s, f)), "Keeps the text in the frontend's response capture of that number as well."),
    row("debug", Spec { required: 0, kinds: &[Kind::Text, Kind::Text] }, Type::Any, Type::Any, Step::Reading(debug), "Tells what passes, after the prefix given, to the ring given (`buf0`, see `show events`), or to `stdout` or `stderr`.").prepared_in(known_sink),
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

const SLOT: Spec = Spec { required: 1, kinds: &[Kind::Int] };

fn keep(
    response: bool,
    args: &[Arg],
    sample: Sample<'static>,
    facts: &mut dyn Facts,
) -> Option<Sample<'static>> {
    let slot = usize::try_from(args::int(args, 0)?).ok()?;
    facts.capture(response, slot, sample.clone().into_text().into_owned());
    Some(sample)
}

const DEFAULT_SINK: &[u8] = b"buf0";

fn known_sink(args: &mut Vec<Arg>, scope: &Scope) -> Result<(), String> {
    let Some(name) = args::text(args, 1) else { return Ok(()) };
    let name = String::from_utf8_lossy(name);
    let ring = scope.directory.as_ref().is_none_or(|d| d.rings.contains(&*name));
    if ring || matches!(&*name, "buf0" | "stdout" | "stderr") {
        return Ok(());
    }
    Err(format!("No such sink '{name}'"))
}

/// `[debug] prefix: type=str <text>`, as HAProxy writes it.
fn debug<'a>(args: &'a [Arg], sample: Sample<'a>, call: &Call<'a>) -> Option<Sample<'a>> {
    let kind = match &sample {
        Sample::Bool(_) => "bool",
        Sample::Int(_) => "sint",
        Sample::Addr(IpAddr::V4(_)) => "ipv4",
        Sample::Addr(IpAddr::V6(_)) => "ipv6",
        Sample::Str(_) => "str",
        Sample::Bin(_) => "bin",
    };
    let printable = |b: u8| if b.is_ascii_graphic() || b == b' ' { char::from(b) } else { '.' };
    let text: String = sample.clone().into_text().iter().map(|b| printable(*b)).collect();
    let prefix = String::from_utf8_lossy(args::text(args, 0).unwrap_or_default());
    let line = format!("[debug] {prefix}: type={kind} <{text}>");
    match args::text(args, 1).unwrap_or(DEFAULT_SINK) {
        // Nobody may be there to read it any more.
        b"stdout" => drop(writeln!(io::stdout(), "{line}")),
        b"stderr" => drop(writeln!(io::stderr(), "{line}")),
        ring => {
            let date = call.facts.date();
            let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let second = i64::try_from(since.as_secs()).ok()?;
            let micros = since.subsec_micros();
            let day = strftime("%Y-%m-%dT%H:%M:%S", second, Zone::Local).unwrap_or_default();
            let zone = strftime("%:z", second, Zone::Local).unwrap_or_default();
            let event = format!("<0>{day}.{micros:06}{zone} {line}");
            call.facts.live().event(&String::from_utf8_lossy(ring), event.as_bytes());
        }
    }
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
