//! `mode l4`: the services' table, and services made while the process runs.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, User};
use crate::l4::ipvsadm::table::Table;
use crate::l4::ipvsadm::{Command as Rule, List, output, parse};
use crate::live::Generation;
use crate::live::l4::{Change, Key, Refused, name_of};

pub const TABLE: &[Command] = &[
    Command::new(
        "show l4 services",
        User,
        "show l4 services",
        "list the services of 'mode l4' as 'ipvsadm -L -n' does",
        |c| Answer::text(output::list(&Table::of(c.live()), &List { numeric: true, ..List::default() })),
    ),
    Command::new(
        "show l4 table",
        User,
        "show l4 table",
        "the same with all counters, a line a service and a line a server, for 'weir ipvsadm'",
        |c| Answer::text(Table::of(c.live()).write()),
    ),
    Command::new(
        "l4 apply",
        Admin,
        "l4 apply <payload>",
        "change services of 'mode l4' by lines of ipvsadm ('-A -t 192.0.2.1:80 -s rr'), all of them or none",
        apply,
    ),
];

fn apply(call: &mut Call<'_>) -> Answer {
    let Some(payload) = call.payload else {
        return Answer::error("'l4 apply' expects lines of ipvsadm as a payload ('l4 apply <<').");
    };
    let mut changes: Vec<Change> = Vec::new();
    for (n, line) in payload.lines().enumerate() {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words) {
            Ok(Rule::Change(change)) => changes.push(change),
            Ok(_) => return refused(n, "not a change", ""),
            Err(problem) => return refused(n, &problem.message, problem.hint.as_deref().unwrap_or("")),
        }
    }
    let live = call.live();
    match live.process.l4.apply(&changes, |key| section_of(live, key)) {
        Ok(()) => Answer::Done,
        Err((n, why)) => {
            let (message, hint) = explain(live, &why);
            refused(n, message, &hint)
        }
    }
}

/// Which change (from 1), why, and what to do.
fn refused(n: usize, message: &str, hint: &str) -> Answer {
    let hint = if hint.is_empty() { String::new() } else { format!(" | {hint}") };
    Answer::error(format!("refused {}: {message}{hint}", n + 1))
}

/// The section of the configuration that has the address.
fn section_of(live: &Generation, key: &Key) -> Option<String> {
    let has = |vip: &crate::config::model::l4::Vip| {
        (vip.protocol, vip.address, vip.port) == (key.0, key.1.ip(), key.1.port())
    };
    let service = live.config.l4_services.iter().find(|s| s.vips.iter().any(has))?;
    live.proxy(service.front).map(|proxy| proxy.conf.name.to_string())
}

/// IPVS's sentence, and what to do.
fn explain(live: &Generation, why: &Refused) -> (&'static str, String) {
    match why {
        Refused::NotRunning => (
            "nothing is forwarded by this process",
            "its configuration needs a section in 'mode l4'".to_owned(),
        ),
        Refused::Exists => ("Service already exists", String::new()),
        Refused::NoService(key) => ("No such service", nearest(live, key)),
        Refused::ServerExists => ("Destination already exists", "-e changes it".to_owned()),
        Refused::NoServer => ("No such destination", String::new()),
        Refused::Configured(section) => (
            "the service is the configuration's",
            format!(
                "it stands in section '{section}': change it there, or its servers by 'set server {section}/<name>'"
            ),
        ),
    }
}

/// The services of the same address, if the one asked for is not there.
fn nearest(live: &Generation, key: &Key) -> String {
    let table = Table::of(live);
    let same = table.services.iter().filter(|s| s.key.1.ip() == key.1.ip());
    let names: Vec<String> = same.map(|s| name_of(&s.key)).collect();
    let wanted = name_of(key);
    if names.is_empty() {
        format!("{wanted} is not in the table: add it with -A first")
    } else {
        format!("{wanted} is not in the table; of that address there is {}", names.join(", "))
    }
}
