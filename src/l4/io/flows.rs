//! Walking flows and templates in chunks, and ending those that are over. The table is never walked in one go: packets wait while a bucket is locked.

use super::batch::{self, Position};
use super::plane::{EXPIRE, FORGET, LEARN, Plane, RECALL, kernel, program};
use crate::l4::abi::{
    Direction, EXPIRE_MAX, Expire, Flow, FlowKey, Service, TOLD_MAX, Template, TemplateKey, flow_flag,
};
use crate::l4::write::{ServerId, ServiceId};
use aya::Pod;
use aya::maps::MapData;
use aya::programs::{TestRun, TestRunOptions, Xdp};

/// Entries read by one call.
const CHUNK: usize = 4096;

/// Entries, and where those after them begin.
pub(super) type Part = (Vec<(FlowKey, Flow)>, Option<u32>);

const SECOND: u64 = 1_000_000_000;

/// A walk over a table that goes on where it stopped; entries made or ended on the way may or may not be seen.
#[derive(Debug, Default)]
pub struct Walk<K = FlowKey, V = Flow> {
    position: Position,
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: Pod + Default, V: Pod + Default> Walk<K, V> {
    fn chunk<'a>(&'a mut self, map: &MapData) -> Result<Option<Chunk<'a, K, V>>, String> {
        if self.position.is_end {
            self.position = Position::default();
            return Ok(None);
        }
        batch::read(map.fd(), &mut self.position, &mut self.keys, &mut self.values, CHUNK)
            .map_err(|e| kernel("cannot read the tables", &e))?;
        Ok(Some(self.keys.iter().zip(&self.values)))
    }
}

/// Entries of a table.
pub type Chunk<'a, K, V> = std::iter::Zip<std::slice::Iter<'a, K>, std::slice::Iter<'a, V>>;

impl Walk {
    /// The next chunk of flows' entries, both directions; `None` at the end, from where the walk starts again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next(&mut self, plane: &Plane) -> Result<Option<Chunk<'_, FlowKey, Flow>>, String> {
        self.chunk(&plane.flows)
    }
}

impl Walk<TemplateKey, Template> {
    /// The next chunk of templates.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next_templates(
        &mut self,
        plane: &Plane,
    ) -> Result<Option<Chunk<'_, TemplateKey, Template>>, String> {
        self.chunk(&plane.templates)
    }
}

impl Plane {
    /// Entries from where another call stopped, both directions; and where to go on, if there may be more.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn flows_from(&self, from: Option<u32>) -> Result<Part, String> {
        let (mut keys, mut flows, mut position) = (Vec::new(), Vec::new(), Position::at(from));
        batch::read(self.flows.fd(), &mut position, &mut keys, &mut flows, CHUNK)
            .map_err(|e| kernel("cannot read the flows", &e))?;
        Ok((keys.into_iter().zip(flows).collect(), position.bucket()))
    }

    pub(super) fn flow(&self, key: &FlowKey) -> Option<Flow> {
        batch::one(self.flows.fd(), key)
    }

    /// Ends those flows of one chunk that were silent for their timeout at `now` (`CLOCK_MONOTONIC_COARSE`, ns). Says how many, or `None` at
    /// the end of the table.
    ///
    /// # Errors
    /// The kernel's.
    pub fn expire_chunk(&mut self, walk: &mut Walk, now: u64) -> Result<Option<u32>, String> {
        let services = &mut Timeouts::default();
        let Some(chunk) = walk.next(self)? else { return Ok(None) };
        let over: Vec<FlowKey> =
            chunk.filter(|(_, flow)| services.is_over(self, flow, now)).map(|(key, _)| *key).collect();
        self.release(EXPIRE, &over, now, false, |key| key.bytes().to_vec()).map(Some)
    }

    /// Ends the flows of a server, whatever their age; those of one protocol if it is given.
    ///
    /// # Errors
    /// The kernel's.
    pub fn end_flows_of(&mut self, server: ServerId, protocol: Option<u8>, now: u64) -> Result<u32, String> {
        let mut walk = Walk::default();
        let mut ended = 0;
        while let Some(chunk) = walk.next(self)? {
            let of_it = |key: &FlowKey, flow: &Flow| {
                flow.server() == server.0
                    && flow.direction == Direction::Forward as u8
                    && protocol.is_none_or(|p| p == key.protocol)
            };
            let keys: Vec<FlowKey> = chunk.filter(|(k, flow)| of_it(k, flow)).map(|(key, _)| *key).collect();
            ended += self.release(EXPIRE, &keys, now, true, |key| key.bytes().to_vec())?;
        }
        Ok(ended)
    }

    pub(super) fn template(&self, key: &TemplateKey) -> Option<Template> {
        batch::one(self.templates.fd(), key)
    }

    /// All templates; read while they change.
    pub(super) fn templates(&self) -> Vec<(TemplateKey, Template)> {
        let (mut walk, mut all) = (Walk::<TemplateKey, Template>::default(), Vec::new());
        while let Ok(Some(chunk)) = walk.next_templates(self) {
            all.extend(chunk.map(|(key, template)| (*key, *template)));
        }
        all
    }

    /// Forgets those templates of one chunk that no flow counted on for as long as their service remembers. Says how many, or `None` at the
    /// end of the table.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget_chunk(
        &mut self,
        walk: &mut Walk<TemplateKey, Template>,
        now: u64,
    ) -> Result<Option<u32>, String> {
        let Some(chunk) = walk.next_templates(self)? else { return Ok(None) };
        let old = |key: &TemplateKey, template: &Template| {
            let persist = u64::from(self.service(key.service).persist);
            template.flows() == 0 && now.saturating_sub(template.seen) >= persist * SECOND
        };
        let keys: Vec<TemplateKey> = chunk.filter(|(key, t)| old(key, t)).map(|(key, _)| *key).collect();
        self.release(FORGET, &keys, now, false, |key| key.bytes().to_vec()).map(Some)
    }

    /// Forgets all templates of a service.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget_templates_of(&mut self, service: ServiceId, now: u64) -> Result<(), String> {
        let mut walk = Walk::<TemplateKey, Template>::default();
        while let Some(chunk) = walk.next_templates(self)? {
            let keys: Vec<TemplateKey> =
                chunk.filter(|(key, _)| key.service == service.0).map(|(key, _)| *key).collect();
            self.release(FORGET, &keys, now, true, |key| key.bytes().to_vec())?;
        }
        Ok(())
    }

    /// Takes over flows that another director told of. Says how many are new.
    ///
    /// # Errors
    /// The kernel's.
    pub fn learn(&mut self, flows: &[(FlowKey, Flow)], now: u64) -> Result<u32, String> {
        self.hand_over(LEARN, TOLD_MAX, flows, (now, false), |(key, flow)| {
            [&key.bytes()[..], &flow.bytes()].concat()
        })
    }

    /// Takes over templates that another director told of: whose, where, and when it was last used.
    ///
    /// # Errors
    /// The kernel's.
    pub fn recall(&mut self, templates: &[(TemplateKey, ServerId, u64)], now: u64) -> Result<u32, String> {
        self.hand_over(RECALL, TOLD_MAX, templates, (now, false), |(key, server, seen)| {
            [&key.bytes()[..], &server.0.to_ne_bytes(), &seen.to_ne_bytes()].concat()
        })
    }

    /// Through a program, so that an entry's state and the server's counts move together, once. It looks at the age again.
    fn release<K>(
        &mut self,
        name: &str,
        keys: &[K],
        now: u64,
        force: bool,
        bytes_of: fn(&K) -> Vec<u8>,
    ) -> Result<u32, String> {
        self.hand_over(name, EXPIRE_MAX, keys, (now, force), bytes_of)
    }

    /// To a program, in parts that it can take. Says of how many it made something.
    fn hand_over<T>(
        &mut self,
        name: &str,
        most: usize,
        all: &[T],
        (now, force): (u64, bool),
        bytes_of: fn(&T) -> Vec<u8>,
    ) -> Result<u32, String> {
        let program: &mut Xdp = program(&mut self.object, name)?;
        let mut done = 0;
        for part in all.chunks(most) {
            let head = Expire { now, force: u32::from(force), count: u32::try_from(part.len()).unwrap_or(0) };
            let mut bytes = head.bytes().to_vec();
            part.iter().for_each(|one| bytes.extend(bytes_of(one)));
            let options = TestRunOptions { data_in: Some(&bytes), ..TestRunOptions::new() };
            done +=
                program.test_run(options).map_err(|e| kernel("cannot change the tables", &e))?.return_value;
        }
        Ok(done)
    }
}

/// The services' timeouts, read once for a chunk.
#[derive(Default)]
struct Timeouts {
    last: Option<(u32, Service)>,
}

impl Timeouts {
    fn is_over(&mut self, plane: &Plane, flow: &Flow, now: u64) -> bool {
        if flow.direction != Direction::Forward as u8 && flow.flags() & flow_flag::ONE_PACKET == 0 {
            return false;
        }
        let service = match self.last {
            Some((id, service)) if id == flow.service => service,
            _ => {
                let service = plane.service(flow.service);
                self.last = Some((flow.service, service));
                service
            }
        };
        let Some(state) = flow.state() else { return false };
        now.saturating_sub(flow.seen) >= state.patience(&service) * SECOND
    }
}
