//! The engine on the control thread: follows the servers' states with the maps, ends flows that are over, and attaches to interfaces that
//! appear.

use super::host::{self, Host};
use super::missing::check;
use super::{Limits, Plane, Walk, now};
use crate::config::model::Config;
use crate::l4::abi::{Mode, Server};
use crate::l4::ids::Ids;
use crate::l4::plan::{Plan, plan};
use crate::l4::reconcile;
use crate::l4::wanted::{Whole, wanted};
use crate::l4::write::Write;
use crate::live::Generation;
use crate::logging::{self, level};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often the servers' states are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two at the interfaces.
const INTERFACES: u32 = 10;
/// Chunks of the flows' table read at one look.
const CHUNKS: u32 = 8;

/// What needs privileges, done before they are dropped: the programs loaded and attached, forwarding turned on.
pub struct Prepared {
    plane: Plane,
    host: Host,
}

impl Prepared {
    /// `None` without services in `mode l4`.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn open(config: &Config) -> Result<Option<Self>, String> {
        if config.l4_services.is_empty() {
            return Ok(None);
        }
        check(config)?;
        let mut plane = Plane::open(Limits::default())?;
        let vips = || config.l4_services.iter().flat_map(|s| &s.vips);
        let mut host =
            Host::prepare(vips().any(|v| v.address.is_ipv4()), vips().any(|v| v.address.is_ipv6()))?;
        if let Err(problem) = plane.attach() {
            host.restore();
            return Err(problem);
        }
        Ok(Some(Self { plane, host }))
    }

    /// For the parent of a process that goes to the background: the child has it all, and undoes it.
    pub fn leave_to_child(self) {
        std::mem::forget(self);
    }
}

/// Forwards until told to stop.
pub async fn run(
    prepared: Prepared,
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
    stop: Rc<Notify>,
) {
    let Prepared { plane, host } = prepared;
    let mut engine = Engine {
        plane,
        host,
        generation,
        log,
        ids: Ids::default(),
        now: Plan::default(),
        whole: Whole::default(),
        walk: Walk::default(),
        told: Vec::new(),
    };
    for path in engine.host.changed().collect::<Vec<_>>() {
        engine.say(level::NOTICE, &format!("mode l4 : set {path} to 1; it is put back when weir stops"));
    }
    let mut looks = 0u32;
    loop {
        engine.follow();
        engine.end_flows();
        if looks.is_multiple_of(INTERFACES) {
            engine.attach();
        }
        looks = looks.wrapping_add(1);
        tokio::select! {
            biased;
            () = stop.notified() => break,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    engine.host.restore();
}

struct Engine {
    plane: Plane,
    host: Host,
    generation: Arc<Generation>,
    log: Rc<logging::Sender>,
    ids: Ids,
    /// What the maps hold.
    now: Plan,
    /// By service: `minimum up` is met.
    whole: Whole,
    walk: Walk,
    /// Problems already in the log.
    told: Vec<String>,
}

impl Engine {
    /// Brings the maps to what the servers' states ask for.
    fn follow(&mut self) {
        let idle: Vec<_> = self.ids.leaving().filter(|id| self.plane.is_idle(*id)).collect();
        for server in idle {
            self.ids.forget(server);
        }
        let all = wanted(&self.generation, &mut self.whole);
        let (next, mut problems) = plan(&all, &mut self.ids);
        for write in reconcile::writes(&self.now, &next) {
            if let Err(problem) = self.plane.apply(&localized(write)) {
                problems.push(problem);
            }
        }
        self.now = next;
        self.tell(problems);
    }

    fn end_flows(&mut self) {
        for _ in 0..CHUNKS {
            match self.plane.expire_chunk(&mut self.walk, now()) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(problem) => return self.tell(vec![problem]),
            }
        }
    }

    fn attach(&mut self) {
        if let Err(problem) = self.plane.attach() {
            self.tell(vec![problem]);
        }
    }

    /// Each problem once.
    fn tell(&mut self, problems: Vec<String>) {
        for problem in problems {
            if !self.told.contains(&problem) {
                self.say(level::ERR, &problem);
                self.told.push(problem);
            }
        }
    }

    fn say(&self, level: u8, text: &str) {
        self.log.emit(&self.generation.config.global.log, level, None, b"", text.as_bytes());
    }
}

/// What the plan does not know: a server that is this host is handed its packets, and tunnels begin at an address of this host.
fn localized(write: Write) -> Write {
    let Write::Server { id, server } = write else { return write };
    let address = server.address.ip();
    if server.mode != 0 && host::is_local(address) {
        return Write::Server { id, server: Server { mode: Mode::Local as u8, ..server } };
    }
    let local = host::address_towards(address).map(Into::into).unwrap_or_default();
    Write::Server { id, server: Server { local, ..server } }
}
