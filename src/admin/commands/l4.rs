//! `mode l4`: the services' table, and services made while the process runs.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::config::model::global::Level::{Admin, User};
use crate::l4::ipvsadm::table::Table;
use crate::l4::ipvsadm::{Command as Rule, List, output, parse};
use crate::l4::view::{self, ServiceView};
use crate::live::Generation;
use crate::live::l4::{Asked, Change, Figures, FlowView, Key, Refused, name_of};
use std::fmt::Write as _;
use std::rc::Rc;

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
        "show l4 flows",
        User,
        "show l4 flows",
        "list the flows in the kernel's table as 'ipvsadm -L -n -c' does: time left, state, client, virtual address, server",
        |c| flows(c, false),
    ),
    Command::new(
        "show l4 templates",
        User,
        "show l4 templates",
        "list which clients stay on which servers (persist), in the same form",
        |c| flows(c, true),
    ),
    Command::new(
        "show l4 stats",
        User,
        "show l4 stats",
        "sums over all services, and the packets that were not forwarded by reason",
        stats,
    ),
    Command::new(
        "show l4 explain",
        User,
        "show l4 explain {tcp|udp} <client>:<port> <address>:<port>",
        "tell what would become of a packet, step by step: service, flow, persistence, scheduler, server",
        explain_packet,
    ),
    Command::new(
        "l4 apply",
        Admin,
        "l4 apply <payload>",
        "change services of 'mode l4' by lines of ipvsadm ('-A -t 192.0.2.1:80 -s rr'), all of them or none",
        apply,
    ),
];

const NOT_RUNNING: &str =
    "Nothing is forwarded by this process: its configuration has no section in 'mode l4'.";

fn flows(call: &Call<'_>, templates: bool) -> Answer {
    if !call.live().process.l4.is_running() {
        return Answer::error(NOT_RUNNING);
    }
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            console.write(output::CONNECTIONS.as_bytes()).await?;
            let live = admin.live();
            let text = |flows: Vec<FlowView>| -> String {
                flows.iter().map(|flow| output::connection(flow, true)).collect()
            };
            if templates {
                return console.write(text(live.l4_templates().await).as_bytes()).await;
            }
            let mut chunk = live.l4_flows(None).await;
            loop {
                console.write(text(chunk.flows).as_bytes()).await?;
                let Some(next) = chunk.next else { return Ok(()) };
                chunk = live.l4_flows(Some(next)).await;
            }
        })
    }))
}

fn stats(call: &mut Call<'_>) -> Answer {
    let live = call.live();
    let services = view::services(live);
    let all = |of: fn(&ServiceView) -> Figures| services.iter().fold(Figures::default(), |f, s| f.and(of(s)));
    let (sum, rate) = (all(ServiceView::sum), all(ServiceView::rate));
    let mut out = String::new();
    let servers: usize = services.iter().map(|s| s.servers.len()).sum();
    for (name, value) in [
        ("Services", services.len() as u64),
        ("Servers", servers as u64),
        ("ActiveConn", u64::from(sum.active)),
        ("InActConn", u64::from(sum.inactive)),
        ("PersistConn", u64::from(sum.persistent)),
        ("Conns", sum.flows),
        ("InPkts", sum.in_packets),
        ("OutPkts", sum.out_packets),
        ("InBytes", sum.in_bytes),
        ("OutBytes", sum.out_bytes),
        ("CPS", rate.flows),
        ("InPPS", rate.in_packets),
        ("OutPPS", rate.out_packets),
        ("InBPS", rate.in_bytes),
        ("OutBPS", rate.out_bytes),
    ] {
        let _ = writeln!(out, "{name}: {value}");
    }
    for (reason, n) in live.process.l4.events() {
        let _ = writeln!(out, "event {reason}: {n}");
    }
    Answer::text(out)
}

fn explain_packet(call: &mut Call<'_>) -> Answer {
    let protocol = match call.word(3) {
        "tcp" => 6,
        "udp" => 17,
        _ => {
            return Answer::error(
                "'show l4 explain' expects 'tcp' or 'udp', then <client>:<port> and <address>:<port>.",
            );
        }
    };
    let (Ok(source), Ok(destination)) = (call.word(4).parse(), call.word(5).parse()) else {
        return Answer::error(
            "'show l4 explain' expects <client>:<port> and <address>:<port>, as 192.0.2.7:40000 192.0.2.1:80.",
        );
    };
    let asked = Asked { protocol, source, destination };
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let text = admin.live().l4_explain(asked).await;
            console.write(text.unwrap_or_else(|| format!("{NOT_RUNNING}\n")).as_bytes()).await
        })
    }))
}

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
        Refused::SourceExists => ("the service has that local address already", String::new()),
        Refused::NoSource => ("the service has no such local address", String::new()),
        Refused::NeedsSource => (
            "fullnat needs an address that the servers see",
            "add one first: --add-laddr -t <service> -z <an address of this host that nothing else uses>"
                .to_owned(),
        ),
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
