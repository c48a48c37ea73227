//! What the tables hold, told to those who ask.

use super::{Plane, now};
use crate::config::model::l4::Protocol;
use crate::l4::abi::{Direction, Flow, FlowKey};
use crate::l4::explain::{Tables, explain};
use crate::l4::plan::Wanted;
use crate::l4::reference::{Held, Known, Packet, Remembered, find_service, template_key};
use crate::l4::write::{ServerId, ServiceId};
use crate::live::l4::{Asked, Chunk, FlowView, Question};
use std::collections::HashMap;
use std::net::SocketAddr;

const SECOND: u64 = 1_000_000_000;

/// Who no longer waits for the answer misses nothing.
pub fn answer(plane: &Plane, tables: Tables, question: Question) {
    match question {
        Question::Flows(from, tell) => drop(tell.send(flows(plane, from))),
        Question::Templates(tell) => drop(tell.send(templates(plane, tables))),
        Question::Explain(asked, tell) => drop(tell.send(explained(plane, tables, asked))),
    }
}

fn flows(plane: &Plane, from: Option<u32>) -> Chunk {
    let Ok((entries, next)) = plane.flows_from(from) else { return Chunk::default() };
    let mut services = HashMap::new();
    let now = now();
    let flows = entries.iter().filter(|(_, flow)| flow.direction == Direction::Forward as u8);
    let view = |(key, flow): &(FlowKey, Flow)| {
        let service = services.entry(flow.service).or_insert_with(|| plane.service(flow.service));
        let state = flow.state()?;
        let silent = now.saturating_sub(flow.seen) / SECOND;
        let port = u16::from_be(flow.destination_port);
        Some(FlowView {
            protocol: key.protocol,
            client: key.source(),
            service: key.destination(),
            server: SocketAddr::new(flow.destination.ip(), port),
            state: state.name(),
            left: state.patience(service).saturating_sub(silent),
        })
    };
    Chunk { flows: flows.filter_map(view).collect(), next }
}

/// As IPVS lists them: the client's port is 0, the virtual address the first of the service.
fn templates(plane: &Plane, tables: Tables) -> Vec<FlowView> {
    let now = now();
    let services: HashMap<ServiceId, &Wanted> =
        (tables.wanted.iter()).filter_map(|w| Some((tables.ids.find_service(&w.name)?, w))).collect();
    let view = |(key, t): (crate::l4::abi::TemplateKey, crate::l4::abi::Template)| {
        let wanted = services.get(&ServiceId(key.service))?;
        let (service, protocol) = wanted.addresses.first()?;
        let server = tables.plan.servers.get(&ServerId(t.server()))?;
        let port = if server.port == 0 { service.port() } else { u16::from_be(server.port) };
        let lives = u64::from(plane.service(key.service).persist);
        Some(FlowView {
            protocol: if *protocol == Protocol::Tcp { 6 } else { 17 },
            client: SocketAddr::new(key.client.ip(), 0),
            service: *service,
            server: SocketAddr::new(server.address.ip(), port),
            state: "NONE",
            left: lives.saturating_sub(now.saturating_sub(t.seen) / SECOND),
        })
    };
    // Nothing counts on one that is too old: it goes with the next client, or with the next look at the table.
    let counts = |t: &crate::l4::abi::Template, left: u64| t.flows() > 0 || left > 0;
    plane
        .templates()
        .into_iter()
        .filter_map(|(key, t)| view((key, t)).filter(|v| counts(&t, v.left)))
        .collect()
}

fn explained(plane: &Plane, tables: Tables, asked: Asked) -> String {
    let key = FlowKey::new(asked.source, asked.destination, asked.protocol);
    let packet = Packet { key, opens: true };
    let mut held = Held::default();
    if let Some(flow) = plane.flow(&key)
        && let Some(state) = flow.state()
    {
        let (service, server) = (ServiceId(flow.service), ServerId(flow.server()));
        held.flows.insert(key, Known { service, server, state, seen: flow.seen });
    }
    if let Some(id) = find_service(tables.plan, &key)
        && let Some(entry) = tables.plan.services.get(&id)
    {
        held.turns.insert(id, plane.turn(id));
        let own = tables.plan.servers.iter().filter(|(_, server)| server.service == id.0);
        held.loads.extend(own.map(|(server, _)| (*server, plane.load(*server))));
        let template = template_key(&entry.service, id, &key);
        if let Some(t) = plane.template(&template).filter(|_| entry.service.persist > 0) {
            let server = ServerId(t.server());
            held.templates.insert(template, Remembered { server, seen: t.seen, flows: t.flows() });
        }
    }
    explain(tables, &mut held, &packet, now())
}
