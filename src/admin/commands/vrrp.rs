//! Virtual routers: what they do, and what they are told.

use crate::admin::answer::Answer;
use crate::admin::command::{Call, Command};
use crate::clock::{Civil, local_offset};
use crate::config::model::global::Level::{Admin, User};
use crate::live::vrrp::{Order, RouterView, TrackerView};
use crate::stats::json_string;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const TABLE: &[Command] = &[
    Command::new(
        "show vrrp",
        User,
        "show vrrp [<name>] [json]",
        "list the virtual routers, or tell all of one (json: all of all)",
        show,
    ),
    Command::new(
        "set vrrp",
        Admin,
        "set vrrp <name> {state {master|backup|fault|ready}|priority <1-254>}",
        "move a router's addresses with those of its group (backup hands them over, fault gives them up, ready ends both), or \
         change the priority that weights are added to",
        set,
    ),
];

const SETTINGS: &str = "'set vrrp <name>' only supports 'state' and 'priority'.";
const STATES: &str = "'set vrrp <name> state' expects 'master', 'backup', 'fault' or 'ready'.";

/// The place of the section named at word `i`.
fn named(call: &Call<'_>, i: usize) -> Result<usize, Answer> {
    if !call.has(i) {
        return Err(Answer::error("A vrrp name is expected."));
    }
    let all = &call.live().config.vrrp.routers;
    all.iter().position(|r| *r.name == *call.word(i)).ok_or_else(|| Answer::error("No such vrrp section."))
}

fn show(call: &mut Call<'_>) -> Answer {
    let is_json = |i: usize| call.word(i) == "json";
    let (name, json) = match (call.has(2), is_json(2) && !call.has(3)) {
        (false, _) => (None, false),
        // A router of that name is asked for by `show vrrp json json`, or in text by none.
        (true, true) => (None, true),
        (true, false) => (Some(2), is_json(3)),
    };
    let only = match name.map(|i| named(call, i)).transpose() {
        Ok(only) => only,
        Err(answer) => return answer,
    };
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            let mut routers = admin.live().vrrp_routers().await;
            if let Some(at) = only {
                routers = routers.into_iter().skip(at).take(1).collect();
            }
            let text = match (json, only) {
                (true, _) => document(&routers),
                (false, Some(_)) => routers.iter().map(details).collect(),
                (false, None) => table(&routers),
            };
            console.write(text.as_bytes()).await
        })
    }))
}

fn set(call: &mut Call<'_>) -> Answer {
    let at = match named(call, 2) {
        Ok(at) => at,
        Err(answer) => return answer,
    };
    let order = match (call.word(3), call.word(4)) {
        ("state", "master") => Order::Master,
        ("state", "backup") => Order::Backup,
        ("state", "fault") => Order::Fault,
        ("state", "ready") => Order::Ready,
        ("state", _) => return Answer::error(STATES),
        ("priority", "") => return Answer::error("Expects an integer value."),
        ("priority", number) => match number.parse() {
            Ok(priority @ 1..=254) => Order::Priority(priority),
            _ => return Answer::error("Value out of range (1 to 254)."),
        },
        _ => return Answer::error(SETTINGS),
    };
    let admin = Rc::clone(call.admin);
    Answer::Job(Box::new(move |console| {
        Box::pin(async move {
            match admin.live().vrrp_order(at, order).await {
                Ok(()) => Ok(()),
                Err(why) => console.write(format!("{why}\n").as_bytes()).await,
            }
        })
    }))
}

/// One line a router, the columns under each other.
fn table(routers: &[RouterView]) -> String {
    const HEAD: [&str; 11] = [
        "# name",
        "state",
        "priority",
        "base",
        "interface",
        "vrid",
        "master",
        "since",
        "transitions",
        "conflicts",
        "addresses",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(routers.iter().map(|r| {
        [
            r.name.to_string(),
            r.state.to_owned(),
            r.priority.to_string(),
            r.base.to_string(),
            r.interface.clone(),
            r.vrid.to_string(),
            master(r).map_or_else(|| "-".to_owned(), |m| m.to_string()),
            r.change.as_ref().map_or_else(|| "-".to_owned(), |c| c.age.as_secs().to_string()),
            r.transitions.to_string(),
            r.counts.conflicts.to_string(),
            r.addresses.iter().filter_map(|a| a.split(' ').next()).collect::<Vec<_>>().join(","),
        ]
    }));
    let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "{}", cells.join(" ").trim_end());
    }
    out
}

/// Who holds the addresses, as far as this node knows.
fn master(router: &RouterView) -> Option<std::net::IpAddr> {
    if router.is_master() { Some(router.source) } else { router.heard.as_ref().map(|h| h.address) }
}

/// Everything about one router, a line each.
fn details(router: &RouterView) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "{name}: {value}");
    };
    let list = |all: &[String]| all.join(", ");
    line("Name", &router.name);
    line("Group", router.group.as_deref().unwrap_or("-"));
    line("State", router.state);
    if let Some(change) = &router.change {
        line("Since", &format!("{} ({:.1} s ago)", date(change.at), change.age.as_secs_f64()));
        line("Last_change", &format!("{} -> {}: {}", change.from, router.state, change.reason));
    }
    line("Fault", router.fault.as_deref().unwrap_or("-"));
    line("Told_to_stay_backup", if router.yields { "yes" } else { "no" });
    line(
        "Master",
        &match (router.is_master(), &router.heard) {
            (true, _) => format!("{} (this node)", router.source),
            (false, Some(h)) => {
                format!(
                    "{} with priority {}, last advert {:.2} s ago",
                    h.address,
                    h.priority,
                    h.age.as_secs_f64()
                )
            }
            (false, None) => "none heard".to_owned(),
        },
    );
    line(
        "Conflict",
        &match (router.is_split(), &router.conflict) {
            (_, None) => "none".to_owned(),
            (true, Some((o, _))) => format!("now: {} is master too, with priority {}", o.address, o.priority),
            (false, Some((o, ago))) => format!("none since {:.0} s ago ({})", ago.as_secs_f64(), o.address),
        },
    );
    line("Priority", &router.priority.to_string());
    line("Base_priority", &router.base.to_string());
    line("Configured_priority", &router.configured.to_string());
    router.trackers.iter().for_each(|t| line("Tracker", &tracker(t)));
    line("Addresses", &list(&router.addresses));
    line("Interface", &router.interface);
    line("Virtual_router_id", &router.vrid.to_string());
    line("Version", &router.version.to_string());
    line("Advert_interval_ms", &router.interval.as_millis().to_string());
    line("Preempts", &router.preempt);
    line("Source", &router.source.to_string());
    line("Destinations", &list(&router.destinations.iter().map(ToString::to_string).collect::<Vec<_>>()));
    line("Transitions", &router.transitions.to_string());
    for (name, count) in counters(router) {
        line(name, &count.to_string());
    }
    for (reason, count) in &router.counts.dropped {
        line(&format!("Dropped_{}", reason.replace('-', "_")), &count.to_string());
    }
    out.push('\n');
    out
}

fn tracker(tracker: &TrackerView) -> String {
    let state = match (tracker.well, tracker.weight) {
        (true, _) => "well".to_owned(),
        (false, 0) => format!("fails, which is a fault: {}", tracker.why),
        (false, _) => format!("fails: {}", tracker.why),
    };
    format!("{}, weight {}, adds {}, {state}", tracker.name, tracker.weight, tracker.part)
}

fn counters(router: &RouterView) -> [(&'static str, u64); 6] {
    let counts = &router.counts;
    [
        ("Adverts_sent", counts.sent),
        ("Adverts_received", counts.received),
        ("Stops_sent", counts.stops_sent),
        ("Stops_received", counts.stops_received),
        ("Became_master", counts.became_master),
        ("Conflicts", counts.conflicts),
    ]
}

fn date(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0));
    let c = Civil::from_unix(seconds + i64::from(local_offset(seconds)));
    format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// A JSON object, field by field.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    /// `value` is JSON.
    fn field(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":{value}");
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let value = value.map_or_else(|| "null".to_owned(), quoted);
        self.field(name, &value);
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    json_string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn document(routers: &[RouterView]) -> String {
    format!("{}\n", array(routers.iter().map(object)))
}

fn object(r: &RouterView) -> String {
    let mut out = Object::new();
    out.text("name", Some(&r.name));
    out.text("group", r.group.as_deref());
    out.text("state", Some(r.state));
    out.text("fault", r.fault.as_deref());
    out.field("told_to_stay_backup", &r.yields.to_string());
    out.field(
        "last_change",
        &r.change.as_ref().map_or_else(
            || "null".to_owned(),
            |c| {
                let mut change = Object::new();
                change.text("from", Some(c.from));
                change.text("to", Some(r.state));
                change.text("reason", Some(&c.reason));
                change.field("at", &c.at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()).to_string());
                change.field("age_ms", &millis(c.age));
                change.end()
            },
        ),
    );
    out.text("master", master(r).map(|m| m.to_string()).as_deref());
    out.field(
        "heard",
        &r.heard.as_ref().map_or_else(
            || "null".to_owned(),
            |h| {
                let mut heard = Object::new();
                heard.text("address", Some(&h.address.to_string()));
                heard.field("priority", &h.priority.to_string());
                heard.field("age_ms", &millis(h.age));
                heard.end()
            },
        ),
    );
    out.field("conflict", &r.is_split().to_string());
    out.field("priority", &r.priority.to_string());
    out.field("base_priority", &r.base.to_string());
    out.field("configured_priority", &r.configured.to_string());
    out.field(
        "trackers",
        &array(r.trackers.iter().map(|t| {
            let mut tracker = Object::new();
            tracker.text("name", Some(&t.name));
            tracker.field("weight", &t.weight.to_string());
            tracker.field("well", &t.well.to_string());
            tracker.field("adds", &t.part.to_string());
            tracker.text("why", Some(&t.why).filter(|w| !w.is_empty()).map(String::as_str));
            tracker.end()
        })),
    );
    out.field("addresses", &array(r.addresses.iter().map(|a| quoted(a))));
    out.text("interface", Some(&r.interface));
    out.field("virtual_router_id", &r.vrid.to_string());
    out.field("version", &r.version.to_string());
    out.field("advert_interval_ms", &millis(r.interval));
    out.text("preempts", Some(&r.preempt));
    out.text("source", Some(&r.source.to_string()));
    out.field("destinations", &array(r.destinations.iter().map(|d| quoted(&d.to_string()))));
    out.field("transitions", &r.transitions.to_string());
    for (name, count) in counters(r) {
        out.field(&name.to_ascii_lowercase(), &count.to_string());
    }
    let mut dropped = Object::new();
    for (reason, count) in &r.counts.dropped {
        dropped.field(reason, &count.to_string());
    }
    out.field("dropped", &dropped.end());
    out.end()
}
