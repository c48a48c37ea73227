//! The panel of the virtual routers, where there are any.

use super::text::{escaped, json, seconds};
use crate::live::vrrp::RouterView;
use std::fmt::Write as _;
use std::time::Duration;

/// Columns after the name, and what they tell.
const HEADINGS: [(&str, &str); 7] = [
    ("State", "master holds the addresses"),
    ("Since", "the last change of state"),
    ("Priority", "the one that is advertised; in brackets before the weights of what it follows"),
    ("Master", "who holds the addresses, as far as this node knows"),
    ("Addresses", "the virtual addresses"),
    ("Adverts", "sent / heard / refused"),
    ("Why", "the reason of the last change, and what fails now"),
];

/// Its class and its texts.
fn row(r: &RouterView) -> (&'static str, [String; 7]) {
    let class = match (r.state, r.is_split()) {
        (_, true) | ("fault", _) => "down",
        ("master", _) => "up",
        ("backup", _) if r.yields => "drain",
        ("backup", _) => "nocheck",
        _ => "maint",
    };
    let state = match (r.is_split(), r.yields) {
        (true, _) => "master, not the only one".to_owned(),
        (false, true) if r.state == "backup" => "backup, as told".to_owned(),
        _ => r.state.to_owned(),
    };
    let master = match (r.is_master(), &r.heard) {
        (true, _) => format!("{}, this node", r.source),
        (false, Some(h)) => format!("{}, priority {}", h.address, h.priority),
        (false, None) => "-".to_owned(),
    };
    let priority =
        if r.priority == r.base { r.base.to_string() } else { format!("{} ({})", r.priority, r.base) };
    let counts = &r.counts;
    let cells = [
        state,
        r.change.as_ref().map_or_else(|| "-".to_owned(), |c| seconds(c.age.as_secs())),
        priority,
        master,
        r.addresses.iter().filter_map(|a| a.split(' ').next()).collect::<Vec<_>>().join(", "),
        format!("{} / {} / {}", counts.sent, counts.received, r.dropped()),
        why(r),
    ];
    (class, cells)
}

fn why(r: &RouterView) -> String {
    let mut parts = Vec::new();
    if let Some((other, _)) = r.conflict.as_ref().filter(|_| r.is_split()) {
        parts.push(format!("{} is master too, with priority {}", other.address, other.priority));
    }
    parts.extend(r.change.as_ref().map(|c| c.reason.clone()));
    let failing = r.trackers.iter().filter(|t| !t.well && t.weight != 0);
    parts.extend(failing.map(|t| t.why.clone()));
    parts.join("; ")
}

/// What is wrong with a router, if something is.
pub fn trouble(r: &RouterView) -> Option<String> {
    if r.is_split() {
        return Some(format!("two masters: {}", why(r)));
    }
    if r.state != "fault" {
        return None;
    }
    let why = r.fault.clone().unwrap_or_else(|| why(r));
    Some(if why.is_empty() { "fault".to_owned() } else { format!("fault: {why}") })
}

/// The panel; nothing without routers.
pub fn panel(routers: &[RouterView], out: &mut String) {
    if routers.is_empty() {
        return;
    }
    out.push_str(
        "<section class=panel id=vrrp><header><h2><a href=\"#vrrp\">Virtual addresses</a></h2> <span class=kind>vrrp</span></header>\
         <div class=scroll><table><thead><tr><th scope=col>Router</th>",
    );
    for (label, title) in HEADINGS {
        let _ = write!(out, "<th scope=col title=\"{title}\">{label}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for router in routers {
        let (class, cells) = row(router);
        let _ = write!(
            out,
            "<tr class={class}><th scope=row title=\"{}\">{}</th>",
            escaped(&title(router)),
            escaped(&router.name)
        );
        for cell in &cells {
            let _ = write!(out, "<td>{}</td>", escaped(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div></section>\n");
}

fn title(r: &RouterView) -> String {
    let group = r.group.as_ref().map(|g| format!(", group {g}")).unwrap_or_default();
    let every = Duration::as_secs_f64(&r.interval);
    format!(
        "{}, virtual router {}, version {}, adverts every {every} s{group}",
        r.interface, r.vrid, r.version
    )
}

/// `[class, cell, cell...]` for each router, for the script.
pub fn feed(routers: &[RouterView], out: &mut String) {
    for (i, router) in routers.iter().enumerate() {
        let (class, cells) = row(router);
        let _ = write!(out, "{}[\"{class}\"", if i > 0 { "," } else { "" });
        for cell in &cells {
            out.push(',');
            json(cell, out);
        }
        out.push(']');
    }
}
