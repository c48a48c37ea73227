//! The panel of the services in `mode l4`, where there are any.

use super::text::{bytes, escaped, json, number as count};
use crate::config::model::l4::Protocol;
use crate::l4::plan::ServerState;
use crate::l4::view::{ServerView, ServiceView};
use crate::live::l4::Figures;
use std::fmt::Write as _;

const CELLS: usize = 9;

/// Columns after the name, and what they tell.
const HEADINGS: [(&str, &str); CELLS] = [
    ("Servers", "those that may get new flows, of all; of a server, its weight"),
    ("Addresses", "the virtual addresses; of a server, where packets are sent"),
    ("Scheduler", "what chooses the server of a new flow; of a server, how it is reached"),
    ("Active", "open flows (ActiveConn)"),
    ("Inactive", "flows that are ending, and all of UDP (InActConn)"),
    ("New/s", "flows that began in the last second"),
    ("Packets/s", "from clients / to them through here"),
    ("Bytes/s", "from clients / to them through here"),
    ("Flows", "flows so far"),
];

type Line = (&'static str, String, [String; CELLS]);

/// A line for each service. Servers of configured services have their rows below; those of the others have them here.
fn lines(services: &[ServiceView]) -> Vec<Line> {
    let mut lines = Vec::new();
    for service in services {
        lines.push(line(service));
        if service.made {
            lines.extend(service.servers.iter().map(server_line));
        }
    }
    lines
}

fn line(service: &ServiceView) -> Line {
    let (up, all) = service.up();
    let spare = service.servers.iter().any(|s| s.backup && s.state == ServerState::Up);
    let class = match up {
        0 if spare => "drain",
        0 => "down",
        n if n < all || !service.whole => "failing",
        _ => "up",
    };
    let addresses: Vec<String> = (service.addresses.iter())
        .map(|(address, protocol)| match protocol {
            Protocol::Tcp => address.to_string(),
            Protocol::Udp => format!("udp {address}"),
        })
        .collect();
    let persist = if service.persist { ", persistent" } else { "" };
    let cells = figures(
        [
            if up == 0 && spare { format!("backup, 0 of {all}") } else { format!("{up} of {all}") },
            addresses.join(", "),
            format!("{}{persist}", service.scheduler),
        ],
        service.sum(),
        service.rate(),
    );
    (class, service.name.to_string(), cells)
}

fn server_line(server: &ServerView) -> Line {
    let first = [format!("weight {}", server.weight), server.address.to_string(), server.forward.to_owned()];
    let class = if server.weight == 0 { "drain" } else { "nocheck" };
    (class, format!("→ {}", server.name), figures(first, server.sum, server.rate))
}

fn figures([a, b, c]: [String; 3], sum: Figures, rate: Figures) -> [String; CELLS] {
    [
        a,
        b,
        c,
        count(u64::from(sum.active)),
        count(u64::from(sum.inactive)),
        count(rate.flows),
        format!("{} / {}", count(rate.in_packets), count(rate.out_packets)),
        format!("{} / {}", bytes(rate.in_bytes), bytes(rate.out_bytes)),
        count(sum.flows),
    ]
}

/// The panel; nothing without services.
pub fn panel(services: &[ServiceView], out: &mut String) {
    if services.is_empty() {
        return;
    }
    out.push_str(
        "<section class=panel id=l4><header><h2><a href=\"#l4\">Packet forwarding</a></h2> <span class=kind>mode l4</span></header>\
         <div class=scroll><table><thead><tr><th scope=col>Service</th>",
    );
    for (label, title) in HEADINGS {
        let _ = write!(out, "<th scope=col title=\"{title}\">{label}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for (class, name, cells) in lines(services) {
        let _ = write!(out, "<tr class={class}><th scope=row>{}</th>", escaped(&name));
        for cell in &cells {
            let _ = write!(out, "<td>{}</td>", escaped(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div></section>\n");
}

/// `[class, name, cell, cell...]` for each line, for the script.
pub fn feed(services: &[ServiceView], out: &mut String) {
    for (i, (class, name, cells)) in lines(services).iter().enumerate() {
        let _ = write!(out, "{}[\"{class}\",", if i > 0 { "," } else { "" });
        json(name, out);
        for cell in cells {
            out.push(',');
            json(cell, out);
        }
        out.push(']');
    }
}
