//! Walking the flows in chunks, and ending those that are over. The table is never walked in one go: packets wait while a bucket is locked.

use super::batch::{self, Position};
use super::plane::{EXPIRE, Plane, kernel, program};
use crate::l4::abi::{Direction, EXPIRE_MAX, Expire, Flow, FlowKey, Service};
use crate::l4::write::ServerId;
use aya::programs::{TestRun, TestRunOptions, Xdp};

/// Entries read by one call.
const CHUNK: usize = 4096;

/// Entries, and where those after them begin.
pub(super) type Part = (Vec<(FlowKey, Flow)>, Option<u32>);

const SECOND: u64 = 1_000_000_000;

/// A walk over the flows' table that goes on where it stopped; flows made or ended on the way may or may not be seen.
#[derive(Debug, Default)]
pub struct Walk {
    position: Position,
    keys: Vec<FlowKey>,
    flows: Vec<Flow>,
}

impl Walk {
    /// The next chunk of entries, both directions; `None` at the end, from where the walk starts again.
    ///
    /// # Errors
    /// The kernel's.
    pub fn next<'a>(
        &'a mut self,
        plane: &Plane,
    ) -> Result<Option<impl Iterator<Item = (&'a FlowKey, &'a Flow)> + use<'a>>, String> {
        if self.position.is_end {
            self.position = Position::default();
            return Ok(None);
        }
        batch::read(plane.flows.fd(), &mut self.position, &mut self.keys, &mut self.flows, CHUNK)
            .map_err(|e| kernel("cannot read the flows", &e))?;
        Ok(Some(self.keys.iter().zip(&self.flows)))
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
        self.end_flows(&over, now, false).map(Some)
    }

    /// Ends all flows of a server, whatever their age.
    ///
    /// # Errors
    /// The kernel's.
    pub fn end_flows_of(&mut self, server: ServerId, now: u64) -> Result<u32, String> {
        let mut walk = Walk::default();
        let mut ended = 0;
        while let Some(chunk) = walk.next(self)? {
            let of_it: Vec<FlowKey> = chunk
                .filter(|(_, flow)| flow.server() == server.0 && flow.direction == Direction::Forward as u8)
                .map(|(key, _)| *key)
                .collect();
            ended += self.end_flows(&of_it, now, true)?;
        }
        Ok(ended)
    }

    /// Through a program, so that the flow's state and the server's counts move together, once. It looks at the age again.
    fn end_flows(&mut self, keys: &[FlowKey], now: u64, force: bool) -> Result<u32, String> {
        let program: &mut Xdp = program(&mut self.object, EXPIRE)?;
        let mut ended = 0;
        for keys in keys.chunks(EXPIRE_MAX) {
            let head = Expire { now, force: u32::from(force), count: u32::try_from(keys.len()).unwrap_or(0) };
            let mut bytes = head.bytes().to_vec();
            keys.iter().for_each(|key| bytes.extend_from_slice(&key.bytes()));
            let options = TestRunOptions { data_in: Some(&bytes), ..TestRunOptions::new() };
            ended += program.test_run(options).map_err(|e| kernel("cannot end flows", &e))?.return_value;
        }
        Ok(ended)
    }
}

/// The services' timeouts, read once for a chunk.
#[derive(Default)]
struct Timeouts {
    last: Option<(u32, Service)>,
}

impl Timeouts {
    fn is_over(&mut self, plane: &Plane, flow: &Flow, now: u64) -> bool {
        if flow.direction != Direction::Forward as u8 {
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
