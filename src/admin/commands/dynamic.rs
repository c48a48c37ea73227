//! Servers that come and go while the process runs: `add server`, `del server`; and `wait`.

use crate::admin::Admin;
use crate::admin::answer::{Answer, severity};
use crate::admin::command::{Call, Command};
use crate::config::dynamic::{self, Added};
use crate::config::model::global::Level::{self, User};
use crate::config::units;
use crate::live::dynamic::Kept;
use crate::live::{LiveProxy, LiveServer, ServerAt};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

#[rustfmt::skip]
pub const TABLE: &[Command] = &[
    Command::new("add server", Level::Admin, "add server <bk>/<srv> <addr> [args]*", "add a server to a backend, in maintenance", add),
    Command::new("del server", Level::Admin, "del server <bk>/<srv>", "remove a server that is in maintenance and has no connections", remove),
    Command::new("wait", User, "wait {-h|<delay>} [srv-removable <bk>/<srv>]", "wait so long, or until the server can be removed", wait),
];

const WAIT_HELP: &str = "\
Usage: wait {-h|<delay>} [<condition> [<arg>]]
  -h                      : this help
  <delay>                 : how long to wait at most, in milliseconds unless a unit follows
  srv-removable <bk>/<srv>: until the server can be removed; fails at once if it never can
";

/// HAProxy ends these without a line feed.
fn brief(text: &str) -> Answer {
    Answer::Message(severity::ERR, text.to_owned())
}

/// A backend and the name after the slash, or what to answer.
fn place<'a>(call: &'a Call<'_>) -> Result<(&'a Arc<LiveProxy>, &'a str), Answer> {
    let Some((backend, server)) = call.word(2).split_once('/') else {
        return Err(brief("Require 'backend/server'."));
    };
    let found = call.live().proxies.iter().find(|p| &*p.conf.name == backend && p.back.is_some());
    found.map(|proxy| (proxy, server)).ok_or_else(|| brief("No such backend."))
}

fn find<'a>(proxy: &'a LiveProxy, name: &str) -> Option<&'a Arc<LiveServer>> {
    proxy.back.iter().flat_map(|b| &b.servers).find(|s| s.name() == name)
}

fn add(call: &mut Call<'_>) -> Answer {
    let (proxy, name) = match place(call) {
        Ok(place) => place,
        Err(answer) => return answer,
    };
    let Some(back) = &proxy.back else { return brief("No such backend.") };
    if !back.takes_servers() {
        return brief("Backend must use a dynamic load balancing to support dynamic servers.");
    }
    if find(proxy, name).is_some() {
        return Answer::error("Already exists a server with the same name in backend.");
    }
    let words: Vec<&str> = call.words.iter().skip(3).map(String::as_str).collect();
    match settle(call, proxy, dynamic::server(&proxy.conf, name, &words, &call.live().config.tls)) {
        Ok((Added { conf, in_service }, tracks)) => {
            call.live().add_server(proxy, conf, in_service, tracks);
            Answer::info("New server registered.")
        }
        Err(why) => Answer::error(why),
    }
}

/// Numbers the server and finds the one it tracks.
fn settle(
    call: &Call<'_>,
    proxy: &LiveProxy,
    added: Result<Added, String>,
) -> Result<(Added, Option<ServerAt>), String> {
    let mut added = added?;
    if let Some(guid) = &added.conf.guid
        && call.live().has_guid(guid)
    {
        return Err(format!("'guid' : '{guid}' is the name of something else already."));
    }
    let Some(back) = &proxy.back else { return Err("No such backend.".to_owned()) };
    match added.conf.id {
        0 => added.conf.id = back.free_id(),
        id => {
            if let Some(first) = back.servers.iter().find(|s| s.conf.id == id) {
                let (file, line) = match &first.conf.place {
                    Some(place) => (&*place.file, place.line),
                    None => ("(null)", 0),
                };
                return Err(format!(
                    "'id' : custom id {id} already used at {file}:{line} ('server {}').",
                    first.name()
                ));
            }
        }
    }
    let Some(track) = added.conf.track.clone() else { return Ok((added, None)) };
    let (backend, name) = track.split_once('/').unwrap_or((&proxy.conf.name, &track));
    let tracked = call.live().proxies.iter().filter(|p| *p.conf.name == *backend);
    let tracked = tracked.filter_map(|p| Some((p, find(p, name)?))).next();
    match tracked {
        None => Err(format!("unable to find required server '{track}' for tracking.")),
        Some((_, server)) if server.conf.place.is_none() => {
            Err(format!("unable to use {backend}/{name} for tracking as it is a dynamic server."))
        }
        Some((_, server)) if server.conf.check.is_none() && server.conf.track.is_none() => Err(format!(
            "unable to use {backend}/{name} for tracking as it does not have any check nor agent enabled."
        )),
        Some((p, server)) => Ok((added, Some((p.index, server.index)))),
    }
}

fn remove(call: &mut Call<'_>) -> Answer {
    let (proxy, name) = match place(call) {
        Ok(place) => place,
        Err(answer) => return answer,
    };
    let Some(server) = find(proxy, name) else { return brief("No such server.") };
    match call.live().remove_server(proxy, server) {
        Ok(()) => Answer::Message(severity::INFO, "Server deleted.".to_owned()),
        Err(kept) => brief(words(kept)),
    }
}

fn words(kept: Kept) -> &'static str {
    match kept {
        Kept::Referenced => {
            "This server cannot be removed at runtime due to other configuration elements pointing to it."
        }
        Kept::Serving => "Only servers in maintenance mode can be deleted.",
        Kept::Busy => "Server still has connections attached to it, cannot remove it.",
    }
}

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

fn wait(call: &mut Call<'_>) -> Answer {
    if call.word(1) == "-h" {
        return Answer::text(WAIT_HELP);
    }
    let Ok(delay) = units::duration(call.word(1), units::Unit::Milliseconds) else {
        return Answer::error("Expects a duration in milliseconds.");
    };
    let condition = match call.word(2) {
        "" => None,
        "srv-removable" => match call.word(3).split_once('/') {
            Some((backend, server)) => Some((backend.to_owned(), server.to_owned())),
            None => return Answer::error("Missing server name (<backend>/<server>)."),
        },
        other => return Answer::error(format!("Unknown condition '{other}', see 'wait -h'.")),
    };
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let answer = tokio::select! {
                said = until(&admin, delay, condition) => said,
                key = console.interruption() => {
                    key?;
                    "Interrupted.\n"
                }
            };
            console.write(answer.as_bytes()).await
        })
    }))
}

async fn until(admin: &Admin, delay: Duration, condition: Option<(String, String)>) -> &'static str {
    let end = tokio::time::Instant::now() + delay;
    let Some((backend, name)) = condition else {
        tokio::time::sleep_until(end).await;
        return "Done.\n";
    };
    loop {
        let live = admin.live();
        let proxy = live.proxies.iter().find(|p| *p.conf.name == *backend && p.back.is_some());
        let Some(proxy) = proxy else { return "No such backend.\n" };
        let Some(server) = find(proxy, &name) else { return "No such server.\n" };
        match live.removable(proxy, server) {
            Ok(()) => return "Done.\n",
            // Only what ends by itself is waited for.
            Err(Kept::Referenced) => {
                return "This server cannot be removed at runtime due to other configuration elements pointing to it.\n";
            }
            Err(Kept::Serving) => return "Only servers in maintenance mode can be deleted.\n",
            Err(Kept::Busy) => {}
        }
        if tokio::time::Instant::now() >= end {
            return "Server still has connections attached to it, cannot remove it.\n";
        }
        tokio::time::sleep_until(end.min(tokio::time::Instant::now() + LOOK)).await;
    }
}
