//! Telling another director of the flows, and hearing of its own: whoever has the virtual addresses tells, everybody hears.
//!
//! Flows that a packet came for since the last look are told at once; all of them now and then, and when somebody asks. What was heard is
//! not told again unless its packets come by here, or this director has the addresses. A director that has just started, or has lost the
//! addresses, asks until it hears something: it may have to go on with those flows soon. It asks, too, when a datagram was lost, which
//! shows in the senders' stamps; so that the last of a series shows as well, an empty one follows.

use super::flows::Walk;
use super::{Plane, now};
use crate::config::model::l4::Sync as Settings;
use crate::l4::abi::{Direction, Flow, FlowKey, Mode, Server, State, TemplateKey, flow_flag};
use crate::l4::plan::Plan;
use crate::l4::reference::find_service;
use crate::l4::sync::{
    FLOWS_MOST, LONGEST, Stamps, TEMPLATES_MOST, Told, ToldFlow, ToldTemplate, decode, encode,
};
use crate::l4::write::{ServerId, ServiceId};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How often everything is told.
const EVERYTHING: Duration = Duration::from_secs(30);
/// How often somebody who hears nothing asks.
const ASK: Duration = Duration::from_secs(1);
/// How long a datagram may be late before it is lost.
const LATE: Duration = Duration::from_millis(200);
/// How often somebody who loses datagrams asks.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Chunks of the table looked at by one call.
const CHUNKS: u32 = 8;
/// Datagrams heard by one call.
const DATAGRAMS: u32 = 4096;
/// For bursts.
const BUFFER: usize = 4 << 20;
const MILLISECOND: u64 = 1_000_000;
/// The coarse clock's step, and some.
const SLACK: u64 = 20 * MILLISECOND;

pub struct Sync {
    socket: tokio::net::UdpSocket,
    settings: Arc<Settings>,
    stamp: u64,
    /// The stamps of each director.
    heard: HashMap<IpAddr, Stamps>,
    walk: Walk,
    /// When this pass over the table began, and the one before.
    pass: u64,
    since: u64,
    /// This pass tells all flows.
    everything: bool,
    next: Instant,
    /// When to ask next, until it was asked and something is heard.
    ask_at: Option<Instant>,
    asked: bool,
    /// It is to be asked for what was lost, if it is still missing then; and when that may be at the earliest.
    for_lost: bool,
    lost_after: Instant,
    part: Part,
    /// Flows were told in this pass; and no datagram has come after those of a pass before.
    told: bool,
    is_open: bool,
}

/// What this director is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It has the addresses: it tells.
    Master,
    /// It hears.
    Backup,
    /// Nobody says who has the addresses: all tell.
    Equal,
}

/// Opens the socket, while the process may.
///
/// # Errors
/// What cannot be done, and why.
pub fn open(settings: &Settings) -> Result<UdpSocket, String> {
    let failed = |e: io::Error| format!("mode l4 : 'l4-sync {}' : {e}", settings.peer);
    let socket =
        Socket::new(Domain::for_address(settings.peer), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    // The process that is replaced has it still.
    socket.set_reuse_address(true).map_err(failed)?;
    socket.set_reuse_port(true).map_err(failed)?;
    let _ = socket.set_recv_buffer_size(BUFFER);
    let any: IpAddr =
        if settings.peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let index = settings.interface.as_deref().map(index_of).transpose().map_err(failed)?;
    let group = settings.peer.ip();
    let local = settings.source.filter(|_| !group.is_multicast()).unwrap_or(any);
    socket.bind(&SocketAddr::new(local, settings.peer.port()).into()).map_err(failed)?;
    match group {
        IpAddr::V4(group) if group.is_multicast() => {
            let interface = index.map_or(
                InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
                InterfaceIndexOrAddress::Index,
            );
            socket.join_multicast_v4_n(&group, &interface).map_err(failed)?;
            socket.set_multicast_loop_v4(false).map_err(failed)?;
            bind_to(&socket, settings).map_err(failed)?;
        }
        IpAddr::V6(group) if group.is_multicast() => {
            socket.join_multicast_v6(&group, index.unwrap_or(0)).map_err(failed)?;
            socket.set_multicast_if_v6(index.unwrap_or(0)).map_err(failed)?;
            socket.set_multicast_loop_v6(false).map_err(failed)?;
        }
        _ => bind_to(&socket, settings).map_err(failed)?,
    }
    socket.set_nonblocking(true).map_err(failed)?;
    Ok(socket.into())
}

fn bind_to(socket: &Socket, settings: &Settings) -> io::Result<()> {
    settings.interface.as_deref().map_or(Ok(()), |name| socket.bind_device(Some(name.as_bytes())))
}

fn index_of(interface: &str) -> io::Result<u32> {
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

impl Sync {
    /// # Errors
    /// The runtime's.
    pub fn new(socket: UdpSocket, settings: Arc<Settings>) -> io::Result<Self> {
        let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        Ok(Self {
            socket: tokio::net::UdpSocket::from_std(socket)?,
            settings,
            stamp: u64::try_from(micros).unwrap_or(0),
            heard: HashMap::new(),
            walk: Walk::default(),
            pass: now(),
            since: 0,
            everything: false,
            next: Instant::now() + EVERYTHING,
            ask_at: Some(Instant::now()),
            asked: false,
            for_lost: false,
            lost_after: Instant::now(),
            part: Part::Backup,
            told: false,
            is_open: false,
        })
    }

    /// Who had the addresses has not been told what came since; who has them knows best.
    pub fn play(&mut self, part: Part) {
        match (self.part, part) {
            (Part::Master, Part::Backup | Part::Equal) => {
                (self.ask_at, self.asked) = (Some(Instant::now()), false)
            }
            (_, Part::Master) => self.ask_at = None,
            _ => {}
        }
        self.part = part;
    }

    /// Asks for everything, if it is time. What cannot be sent now is sent at the next call: the interface may be down, and the
    /// runtime does not know yet that a new socket can send.
    pub fn ask(&mut self) {
        let now = Instant::now();
        if self.ask_at.is_none_or(|at| at > now) {
            return;
        }
        if std::mem::take(&mut self.for_lost) {
            if !self.heard.values().any(Stamps::misses) {
                self.ask_at = None;
                return;
            }
            self.heard.values_mut().for_each(Stamps::forgive);
            self.lost_after = now + ASK_AGAIN;
        }
        if self.send(&Told::Ask) {
            (self.ask_at, self.asked) = (Some(now + ASK), true);
        }
    }

    /// Who misses something will ask for it, unless it comes; who has the addresses knows best.
    fn look_for_lost(&mut self) {
        if self.part == Part::Master || self.ask_at.is_some() || !self.heard.values().any(Stamps::misses) {
            return;
        }
        self.ask_at = Some(self.lost_after.max(Instant::now() + LATE));
        (self.asked, self.for_lost) = (false, true);
    }

    /// When there is something to hear.
    pub async fn readable(&self) {
        let _ = self.socket.readable().await;
    }

    /// Tells of a part of the table.
    ///
    /// # Errors
    /// The kernel's.
    pub fn tell(&mut self, plane: &Plane, plan: &Plan) -> Result<(), String> {
        if self.part == Part::Backup {
            return Ok(());
        }
        let time = now();
        for _ in 0..CHUNKS {
            let (since, everything) = (self.since, self.everything);
            let Some(chunk) = self.walk.next(plane)? else {
                self.turn(plane, plan, time);
                break;
            };
            let news = chunk.filter(|(_, flow)| is_told(flow) && (everything || moved(flow, since)));
            let flows: Vec<ToldFlow> = news.map(|(key, flow)| told(key, flow, time)).collect();
            for part in flows.chunks(FLOWS_MOST) {
                self.send(&Told::Flows(part.to_vec()));
                self.told = true;
            }
        }
        Ok(())
    }

    /// The end of a pass, and the begin of the next.
    fn turn(&mut self, plane: &Plane, plan: &Plan, time: u64) {
        if self.everything {
            let templates = templates(plane, plan, time);
            for part in templates.chunks(TEMPLATES_MOST) {
                self.send(&Told::Templates(part.to_vec()));
                self.told = true;
            }
        }
        if !self.told && self.is_open {
            self.send(&Told::Flows(Vec::new()));
        }
        self.is_open = std::mem::take(&mut self.told);
        (self.since, self.pass) = (self.pass.saturating_sub(SLACK), time);
        self.everything = Instant::now() >= self.next;
        if self.everything {
            self.next = Instant::now() + EVERYTHING;
        }
    }

    /// Whether it could be sent. Who is not there, or too slow, hears it the next time.
    fn send(&mut self, told: &Told) -> bool {
        self.stamp += 1;
        let bytes = encode(told, self.stamp, self.settings.key.as_bytes());
        self.socket.try_send_to(&bytes, self.settings.peer).is_ok()
    }

    /// Takes over what others told.
    ///
    /// # Errors
    /// The kernel's.
    pub fn hear(&mut self, plane: &mut Plane, plan: &Plan) -> Result<(), String> {
        let mut buffer = [0; LONGEST + 1];
        let mut places = None;
        for _ in 0..DATAGRAMS {
            let Ok((length, from)) = self.socket.try_recv_from(&mut buffer) else { break };
            let bytes = buffer.get(..length).unwrap_or_default();
            let Some((told, stamp)) = decode(bytes, self.settings.key.as_bytes()) else { continue };
            if !self.heard.entry(from.ip().to_canonical()).or_default().take(stamp) {
                continue;
            }
            if self.asked && told != Told::Ask {
                self.ask_at = None;
            }
            let places = places.get_or_insert_with(|| Places::of(plan));
            match told {
                Told::Ask => self.next = Instant::now(),
                Told::Flows(flows) => {
                    let known: Vec<(FlowKey, Flow)> =
                        flows.iter().filter_map(|flow| places.flow(plane, plan, flow)).collect();
                    plane.learn(&known, now())?;
                }
                Told::Templates(templates) => {
                    let known: Vec<(TemplateKey, ServerId, u64)> =
                        templates.iter().filter_map(|template| places.template(plan, template)).collect();
                    plane.recall(&known, now())?;
                }
            }
        }
        self.look_for_lost();
        Ok(())
    }
}

/// Half-open connections are not worth it, and connections to this host end with it.
fn is_told(flow: &Flow) -> bool {
    flow.direction == Direction::Forward as u8
        && flow.flags() & flow_flag::ONE_PACKET == 0
        && flow.mode != Mode::Local as u8
        && !matches!(flow.state(), None | Some(State::SynRecv | State::Released))
}

/// A packet came by here.
fn moved(flow: &Flow, since: u64) -> bool {
    flow.seen >= since && (flow.seen >> 20) as u32 != flow.told
}

fn told(key: &FlowKey, flow: &Flow, time: u64) -> ToldFlow {
    ToldFlow {
        key: *key,
        state: flow.word as u8,
        mode: flow.mode,
        persistent: flow.flags() & flow_flag::PERSISTENT != 0,
        silent: silence(flow.seen, time),
        source: flow.source,
        destination: flow.destination,
        source_port: flow.source_port,
        destination_port: flow.destination_port,
    }
}

fn silence(seen: u64, time: u64) -> u32 {
    u32::try_from(time.saturating_sub(seen) / MILLISECOND).unwrap_or(u32::MAX)
}

/// Those no flow counts on; the others come with their flows.
fn templates(plane: &Plane, plan: &Plan, time: u64) -> Vec<ToldTemplate> {
    let mut addresses = HashMap::new();
    for (key, id) in &plan.addresses {
        addresses.insert(*id, *key);
    }
    let all = plane.templates().into_iter().filter(|(_, template)| template.flows() == 0);
    all.filter_map(|(key, template)| {
        let service = addresses.get(&ServiceId(key.service))?;
        let server = plan.servers.get(&ServerId(template.server()))?;
        Some(ToldTemplate {
            service: service.address,
            service_port: service.port,
            protocol: service.protocol,
            client: key.client,
            server: server.address,
            server_port: server.port,
            silent: silence(template.seen, time),
        })
    })
    .collect()
}

/// Which place each server has here.
struct Places(HashMap<(u32, [u8; 16], u16), ServerId>);

impl Places {
    fn of(plan: &Plan) -> Self {
        let place = |(id, s): (&ServerId, &Server)| ((s.service, s.address.0, s.port), *id);
        Self(plan.servers.iter().map(place).collect())
    }

    fn server(&self, service: ServiceId, address: [u8; 16], port: u16) -> Option<ServerId> {
        let at = |port| self.0.get(&(service.0, address, port)).copied();
        at(port).or_else(|| at(0))
    }

    /// The flow as it is here; `None` where its service or server is not known, or is reached in another way.
    fn flow(&self, plane: &Plane, plan: &Plan, told: &ToldFlow) -> Option<(FlowKey, Flow)> {
        let service = find_service(plan, &told.key)?;
        let id = self.server(service, told.destination.0, told.destination_port)?;
        let server = plan.servers.get(&id).filter(|server| server.mode == told.mode)?;
        State::from_number(told.state).filter(|state| *state != State::Released)?;
        let flags = if told.persistent { flow_flag::PERSISTENT } else { 0 };
        let source = if server.mode == Mode::Tun as u8 { plane.server(id).local } else { told.source };
        let flow = Flow {
            word: u64::from(id.0) << 32 | u64::from(flags) << 8 | u64::from(told.state),
            seen: now().saturating_sub(u64::from(told.silent) * MILLISECOND),
            source,
            destination: told.destination,
            source_port: told.source_port,
            destination_port: told.destination_port,
            service: service.0,
            direction: Direction::Forward as u8,
            mode: server.mode,
            tunnel_port: server.tunnel_port,
            ..Flow::default()
        };
        Some((told.key, flow))
    }

    fn template(&self, plan: &Plan, told: &ToldTemplate) -> Option<(TemplateKey, ServerId, u64)> {
        let key = FlowKey {
            destination: told.service,
            destination_port: told.service_port,
            protocol: told.protocol,
            ..FlowKey::default()
        };
        let service = find_service(plan, &key)?;
        let server = self.server(service, told.server.0, told.server_port)?;
        let seen = now().saturating_sub(u64::from(told.silent) * MILLISECOND);
        Some((TemplateKey { client: told.client, service: service.0 }, server, seen))
    }
}
