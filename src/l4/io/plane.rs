//! The kernel's half: the programs loaded, their maps written and read.

use super::batch::PerCpu;
use super::doors::{self, Doors};
use super::hook::{Hooks, Interface};
use super::pins::{KEPT, Pins};
use super::privilege;
use crate::l4::abi::{
    Address, AddressKey, Count, Load, MEMBERS_MAX, Member, Members, NO_SERVER, Origin, PAGE, SERVERS,
    SERVICES, SLOTS_MAX, Server, Service, Traffic,
};
use crate::l4::ids::Inherited;
use crate::l4::write::{ServerId, ServiceId, Write};
use aya::maps::{Array, ArrayOfMaps, HashMap, Map, MapData, MapError};
use aya::programs::{Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use std::time::Duration;

/// The programs, as `bpf/build` makes them.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/l4.bpf.o"));

pub(super) const INGRESS: &str = "ingress";
pub(super) const EXPIRE: &str = "expire";
pub(super) const FORGET: &str = "forget";
pub(super) const LEARN: &str = "learn";
pub(super) const RECALL: &str = "recall";

/// The begin of `struct __sk_buff`, with `ingress_ifindex` 1.
const FROM_LOOPBACK: [u8; 40] = {
    let mut context = [0; 40];
    let index = 1u32.to_ne_bytes();
    (context[36], context[37], context[38], context[39]) = (index[0], index[1], index[2], index[3]);
    context
};

/// Of linux/bpf.h: an inner array may be of any length.
const BPF_F_INNER_MAP: u32 = 1 << 12;

/// How much the maps hold; their memory is taken at once.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Limits {
    /// Entries: a flow has two in nat and fullnat, one in the other modes.
    pub flows: u32,
    pub templates: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { flows: 1 << 18, templates: 1 << 16 }
    }
}

/// Programs and maps of this process. Dropping it detaches the programs; so does the kernel if the process is killed.
pub struct Plane {
    hooks: Hooks,
    maps: Maps,
    pub(super) flows: MapData,
    pub(super) templates: MapData,
    pub(super) object: Ebpf,
    pub(super) pins: Option<Pins>,
    epoch: Epoch,
}

/// What makes packets forget the routes they have found, see `bpf/abi.h`.
struct Epoch {
    map: Array<MapData, u32>,
    /// The last number there was.
    last: u32,
    /// Nobody watches routes yet: none are kept.
    is_off: bool,
}

struct Maps {
    addresses: HashMap<MapData, AddressKey, u32>,
    doors: Doors,
    services: Array<MapData, Service>,
    servers: Array<MapData, Server>,
    loads: Array<MapData, Load>,
    traffic: PerCpu<Traffic>,
    counts: PerCpu<u64>,
    origins: Array<MapData, Origin>,
    answering: Array<MapData, u64>,
    turns: Array<MapData, u64>,
    members: ArrayOfMaps<MapData, Array<MapData, Members>>,
    tables: ArrayOfMaps<MapData, Array<MapData, u32>>,
    sources: ArrayOfMaps<MapData, Array<MapData, Address>>,
}

impl Plane {
    /// Loads programs and maps, which go with this process; nothing is attached yet.
    ///
    /// # Errors
    /// A sentence that says what the process or the kernel lacks.
    pub fn open(limits: Limits) -> Result<Self, String> {
        privilege::check()?;
        Self::with(limits, None)
    }

    /// The same with maps that outlast the process if it is killed, or that were those of a process that `replaced` names, or that was
    /// killed. Without a BPF file system they go with this process.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_kept(limits: Limits, replaced: &[i32]) -> Result<Self, String> {
        privilege::check()?;
        let pins = Pins::find(&limits, replaced)?;
        Self::with(limits, pins)
    }

    fn with(limits: Limits, mut pins: Option<Pins>) -> Result<Self, String> {
        let mut loader = EbpfLoader::new();
        loader.map_max_entries("flows", limits.flows).map_max_entries("templates", limits.templates);
        for map in KEPT {
            if let Some(pins) = &pins {
                loader.map_pin_path(map, pins.path(map));
            }
        }
        let mut object = loader.load(OBJECT).map_err(|e| kernel("cannot make the maps", &e))?;
        program::<SchedClassifier>(&mut object, INGRESS)?
            .load()
            .map_err(|e| kernel("the kernel refuses the packet program", &e))?;
        for name in [EXPIRE, FORGET, LEARN, RECALL] {
            program::<Xdp>(&mut object, name)?
                .load()
                .map_err(|e| kernel("the kernel refuses a program that changes flows", &e))?;
        }
        let mut raw = |name: &str| match object.take_map(name) {
            Some(Map::HashMap(data)) => Ok(data),
            _ => Err(format!("mode l4 : the packet programs have no map '{name}'")),
        };
        let (flows, templates) = (raw("flows")?, raw("templates")?);
        let maps = Maps::take(&mut object)?;
        if let Some(pins) = &mut pins {
            pins.claim(take(&mut object, "owner")?)?;
        }
        let epoch = Epoch::stopped(take(&mut object, "epochs")?);
        Ok(Self { hooks: Hooks::default(), maps, flows, templates, object, pins, epoch })
    }

    /// What the maps held when they were taken over from another process.
    #[must_use]
    pub fn taken_over(&self) -> Option<Inherited> {
        self.pins.as_ref().filter(|pins| pins.is_taken_over())?;
        let services = (0..SERVICES).map(|id| (ServiceId(id), self.service(id)));
        let servers =
            (0..SERVERS).map(|id| (ServerId(id), self.maps.servers.get(&id, 0).unwrap_or_default()));
        Some(Inherited {
            addresses: self.maps.addresses.iter().flatten().map(|(key, id)| (key, ServiceId(id))).collect(),
            services: services.filter(|(_, service)| *service != Service::default()).collect(),
            servers: servers.filter(|(_, server)| server.mode != 0).collect(),
            origins: (0..).zip(self.maps.origins.iter().flatten()).filter(|(_, o)| o.protocol != 0).collect(),
        })
    }

    /// No other process has taken the maps over.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.pins.as_ref().is_none_or(Pins::is_ours)
    }

    /// Puts the program at the entrance of every interface packets of ours may come in by; those where it already stands are left alone.
    /// Says where it stands now.
    ///
    /// # Errors
    /// The interface and what the kernel said.
    pub fn attach(&mut self) -> Result<Vec<Interface>, String> {
        self.hooks.attach(program(&mut self.object, INGRESS)?, self.pins.as_ref())
    }

    /// The interfaces where somebody took the program off since it was attached.
    pub fn lost(&mut self) -> Vec<String> {
        let id = program::<SchedClassifier>(&mut self.object, INGRESS).ok().and_then(|p| p.info().ok());
        id.map_or_else(Vec::new, |info| self.hooks.lost(info.id()))
    }

    /// What the program does with a frame as if it came from the loopback interface, and how long it takes: what it would decide is in the maps then.
    ///
    /// # Errors
    /// The kernel's.
    pub fn try_frame(&mut self, frame: &[u8]) -> Result<(u32, Duration), String> {
        let program: &mut SchedClassifier = program(&mut self.object, INGRESS)?;
        let options =
            TestRunOptions { data_in: Some(frame), ctx_in: Some(&FROM_LOOPBACK), ..TestRunOptions::new() };
        let result = program.test_run(options).map_err(|e| kernel("cannot try a packet", &e))?;
        Ok((result.return_value, result.duration))
    }

    /// # Errors
    /// What could not be written, and why.
    pub fn apply(&mut self, write: &Write) -> Result<(), String> {
        self.maps.apply(write).map_err(|e| kernel("cannot write the maps", &e))?;
        match write {
            // Packets of its flows are to look at it again.
            Write::Server { .. } | Write::RemoveServer { .. } => self.epoch.turn(None),
            _ => Ok(()),
        }
        .map_err(|e| kernel("cannot write the maps", &e))
    }

    /// Routes have changed, or may have: packets ask for theirs again. `by_source`: they differ by where packets come from. Until this is
    /// said once no packet keeps its route for the next.
    ///
    /// # Errors
    /// The kernel's.
    pub fn routes_changed(&mut self, by_source: bool) -> Result<(), String> {
        self.epoch.is_off = false;
        self.epoch.turn(Some(by_source)).map_err(|e| kernel("cannot write the maps", &e))
    }

    /// What a server carries now.
    #[must_use]
    pub fn load(&self, server: ServerId) -> Load {
        self.maps.loads.get(&server.0, 0).unwrap_or_default()
    }

    /// No flow and no template has it.
    #[must_use]
    pub fn is_idle(&self, server: ServerId) -> bool {
        let load = self.load(server);
        load.active == 0 && load.inactive == 0 && load.persistent == 0
    }

    /// What a server carried since its id was given to it.
    #[must_use]
    pub fn traffic(&self, server: ServerId) -> Traffic {
        let mut sum = Traffic::default();
        for cpu in self.maps.traffic.get(server.0) {
            sum.flows += cpu.flows;
            sum.in_packets += cpu.in_packets;
            sum.out_packets += cpu.out_packets;
            sum.in_bytes += cpu.in_bytes;
            sum.out_bytes += cpu.out_bytes;
        }
        sum
    }

    #[must_use]
    pub fn count(&self, what: Count) -> u64 {
        self.maps.counts.get(u32::from(what as u8)).iter().sum()
    }

    pub(super) fn service(&self, id: u32) -> Service {
        self.maps.services.get(&id, 0).unwrap_or_default()
    }

    /// A server as the programs see it.
    pub(super) fn server(&self, id: ServerId) -> Server {
        self.maps.servers.get(&id.0, 0).unwrap_or_default()
    }

    /// Number of the service's next new flow.
    pub(super) fn turn(&self, service: ServiceId) -> u64 {
        self.maps.turns.get(&service.0, 0).unwrap_or_default()
    }
}

impl Epoch {
    fn stopped(mut map: Array<MapData, u32>) -> Self {
        let last = map.get(&0, 0).unwrap_or_default();
        let _ = map.set(0, 0, 0);
        Self { map, last, is_off: true }
    }

    fn turn(&mut self, by_source: Option<bool>) -> Result<(), MapError> {
        let odd = by_source.map_or(self.last & 1, u32::from);
        self.last = ((self.last | 1).wrapping_add(1) | odd).max(2);
        if self.is_off { Ok(()) } else { self.map.set(0, self.last, 0) }
    }
}

impl Maps {
    fn take(object: &mut Ebpf) -> Result<Self, String> {
        Ok(Self {
            addresses: take(object, "addresses")?,
            doors: take(object, "doors")?,
            services: take(object, "services")?,
            servers: take(object, "servers")?,
            loads: take(object, "loads")?,
            traffic: take_per_cpu(object, "traffic")?,
            counts: take_per_cpu(object, "counts")?,
            origins: take(object, "origins")?,
            answering: take(object, "answering")?,
            turns: take(object, "turns")?,
            members: take(object, "members")?,
            tables: take(object, "tables")?,
            sources: take(object, "sources")?,
        })
    }

    fn apply(&mut self, write: &Write) -> Result<(), MapError> {
        match write {
            Write::Origin { place, origin } => {
                // Bits stay: they only ask for a look.
                let port = u32::from(u16::from_be(origin.from_port));
                let (at, bit) = (port / 64, port % 64);
                // Answers do not know half of it: nobody's, and then whose it is.
                self.origins.set(*place, Origin { protocol: 0, ..*origin }, 0)?;
                self.origins.set(*place, origin, 0)?;
                let ports = self.answering.get(&at, 0)?;
                self.answering.set(at, ports | 1 << bit, 0)
            }
            Write::RemoveOrigin { place } => self.origins.set(*place, Origin::default(), 0),
            Write::Server { id, server } => self.servers.set(id.0, server, 0),
            Write::Members { service, members } => {
                swap(&mut self.members, *service, &pages(members), MEMBERS_MAX)
            }
            Write::Table { service, slots } => swap(&mut self.tables, *service, slots, SLOTS_MAX),
            Write::Sources { service, sources } => swap(&mut self.sources, *service, sources, MEMBERS_MAX),
            Write::Service { id, service } => self.services.set(id.0, service, 0),
            Write::Address { key, service } => {
                let door = doors::open(&mut self.doors, key)?;
                self.addresses.insert(key, service.0, 0)?;
                doors::name(&mut self.doors, door, key, *service)
            }
            Write::RemoveAddress { key } => {
                doors::unname(&mut self.doors, key)?;
                match self.addresses.remove(key) {
                    Err(MapError::KeyNotFound) => Ok(()),
                    other => other,
                }
            }
            Write::RemoveService { id } => {
                self.services.set(id.0, Service::default(), 0)?;
                swap(&mut self.members, *id, &[], MEMBERS_MAX)?;
                swap(&mut self.sources, *id, &[], MEMBERS_MAX)?;
                swap(&mut self.tables, *id, &[NO_SERVER], SLOTS_MAX)
            }
            Write::RemoveServer { id } => {
                self.servers.set(id.0, Server::default(), 0)?;
                self.loads.set(id.0, Load::default(), 0)?;
                self.traffic.clear(id.0).map_err(MapError::IoError)
            }
        }
    }
}

/// As lists of members lie in their map.
fn pages(members: &[Member]) -> Vec<Members> {
    let page = |some: &[Member]| Members(std::array::from_fn(|at| some.get(at).copied().unwrap_or_default()));
    members.iter().take(MEMBERS_MAX).copied().collect::<Vec<_>>().chunks(PAGE).map(page).collect()
}

/// A new array takes the place of the service's old one; packets see either the one or the other.
fn swap<V: Pod>(
    outer: &mut ArrayOfMaps<MapData, Array<MapData, V>>,
    service: ServiceId,
    values: &[V],
    most: usize,
) -> Result<(), MapError> {
    let length = values.len().clamp(1, most);
    let mut inner = Array::create(u32::try_from(length).unwrap_or(1), BPF_F_INNER_MAP)?;
    for (at, value) in (0..).zip(values.iter().take(most)) {
        inner.set(at, value, 0)?;
    }
    outer.set(service.0, &inner, 0)
}

pub(super) fn take<M: TryFrom<Map, Error = MapError>>(object: &mut Ebpf, name: &str) -> Result<M, String> {
    let map =
        object.take_map(name).ok_or_else(|| format!("mode l4 : the packet programs have no map '{name}'"))?;
    M::try_from(map).map_err(|e| kernel(&format!("map '{name}'"), &e))
}

fn take_per_cpu<V: Pod + Default>(object: &mut Ebpf, name: &str) -> Result<PerCpu<V>, String> {
    match object.take_map(name) {
        Some(Map::PerCpuArray(data)) => {
            PerCpu::new(data).map_err(|e| kernel("cannot read the number of CPUs", &e))
        }
        _ => Err(format!("mode l4 : the packet programs have no map '{name}'")),
    }
}

/// A program of the object by its name.
pub(super) fn program<'a, P>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut P, String>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program =
        object.program_mut(name).ok_or_else(|| format!("mode l4 : there is no packet program '{name}'"))?;
    program.try_into().map_err(|e| kernel(&format!("packet program '{name}'"), &e))
}

/// A sentence with all that the kernel said.
pub(super) fn kernel(what: &str, error: &dyn std::error::Error) -> String {
    let mut text = format!("mode l4 : {what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
