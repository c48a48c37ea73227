//! The services of `mode l4` beside the configured ones: those that `ipvsadm` made, and what each server carries. The
//! engine reads [`Board::made`] whenever [`Board::changed`] rings, and publishes what the maps count.

mod account;
mod desk;

pub use desk::{Asked, Chunk, Desk, FlowView, Question};

use crate::balance::l4::Scheduler;
use crate::config::model::l4::{Flags, Forward, Protocol};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What names a service, here as in IPVS. Port 0 is every port.
pub type Key = (Protocol, SocketAddr);

/// A service that was made while the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub key: Key,
    pub scheduler: Scheduler,
    pub flags: Flags,
    /// Seconds, and bits of the client's address that count.
    pub persist: Option<(u32, u8)>,
    pub one_packet: bool,
    /// fullnat's local addresses.
    pub sources: Vec<IpAddr>,
    pub servers: Vec<MadeServer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeServer {
    pub address: SocketAddr,
    pub forward: Forward,
    pub weight: u32,
    pub upper_threshold: u32,
    pub lower_threshold: u32,
}

/// One change, as a line of ipvsadm says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Add(Made),
    /// Everything but the servers is replaced.
    Edit(Made),
    Delete(Key),
    /// All services that were made.
    Clear,
    AddServer(Key, MadeServer),
    EditServer(Key, MadeServer),
    DeleteServer(Key, SocketAddr),
    AddSource(Key, IpAddr),
    DeleteSource(Key, IpAddr),
    /// Of all services that were made: seconds for tcp, tcpfin, udp; 0 leaves one as it is.
    Timeouts(u32, u32, u32),
    /// Counters begin at 0 again: of one service, or of all.
    Zero(Option<Key>),
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing is forwarded by this process.
    NotRunning,
    Exists,
    NoService(Key),
    ServerExists,
    NoServer,
    SourceExists,
    NoSource,
    /// A server in fullnat, and no address it could see.
    NeedsSource,
    /// The section of the configuration that has the service.
    Configured(String),
}

/// IPVS's `--set`: tcp, tcpfin, udp.
pub const DEFAULT_TIMEOUTS: (u32, u32, u32) = (900, 120, 300);

/// What a server carries and has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
    pub flows: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
}

impl Figures {
    /// Of both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            active: self.active.saturating_add(other.active),
            inactive: self.inactive.saturating_add(other.inactive),
            persistent: self.persistent.saturating_add(other.persistent),
            flows: self.flows.saturating_add(other.flows),
            in_packets: self.in_packets.saturating_add(other.in_packets),
            out_packets: self.out_packets.saturating_add(other.out_packets),
            in_bytes: self.in_bytes.saturating_add(other.in_bytes),
            out_bytes: self.out_bytes.saturating_add(other.out_bytes),
        }
    }
}

#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
    /// Rings when what is wanted changed.
    pub changed: Notify,
    /// Where the engine is asked.
    pub desk: Desk,
}

#[derive(Debug)]
struct Inner {
    running: bool,
    /// Why it forwards not everything that comes in.
    ailment: Option<String>,
    made: Vec<Made>,
    timeouts: (u32, u32, u32),
    /// By the service's name in plans, and the server's address.
    figures: HashMap<(String, SocketAddr), Measured>,
    events: Vec<(&'static str, u64)>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            running: false,
            made: Vec::new(),
            timeouts: DEFAULT_TIMEOUTS,
            ailment: None,
            figures: HashMap::new(),
            events: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    last: Figures,
    /// What it had carried when its counters were zeroed.
    zero: Figures,
    /// A second's worth.
    rate: Figures,
    at: Option<Instant>,
}

impl Board {
    /// The engine runs from now on, or no more.
    pub fn set_running(&self, running: bool) {
        self.lock().running = running;
    }

    /// Why the engine does not forward all that comes in, or that it does.
    pub fn set_ailment(&self, why: Option<String>) {
        self.lock().ailment = why;
    }

    /// Why nothing, or not everything, is forwarded.
    #[must_use]
    pub fn ailment(&self) -> Option<String> {
        let inner = self.lock();
        if inner.running { inner.ailment.clone() } else { Some("mode l4 does not run".to_owned()) }
    }

    /// Does this process forward packets?
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.lock().running
    }

    #[must_use]
    pub fn made(&self) -> Vec<Made> {
        self.lock().made.clone()
    }

    /// Seconds of silence for the services that were made: tcp, tcpfin, udp.
    #[must_use]
    pub fn timeouts(&self) -> (u32, u32, u32) {
        self.lock().timeouts
    }

    /// Makes all changes or none. `configured` names the section that has a service, if one has.
    ///
    /// # Errors
    /// Which of them cannot be made (from 0), and why.
    pub fn apply(
        &self,
        changes: &[Change],
        configured: impl Fn(&Key) -> Option<String>,
    ) -> Result<(), (usize, Refused)> {
        let mut inner = self.lock();
        if !inner.running {
            return Err((0, Refused::NotRunning));
        }
        let mut made = inner.made.clone();
        for (n, change) in changes.iter().enumerate() {
            one(&mut made, change, &configured).map_err(|why| (n, why))?;
        }
        inner.made = made;
        for change in changes {
            match change {
                Change::Zero(key) => inner.zero(key.as_ref()),
                Change::Timeouts(tcp, tcpfin, udp) => inner.set_timeouts(*tcp, *tcpfin, *udp),
                _ => {}
            }
        }
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// See [`crate::live::Generation::publish_l4`]. Answers what was counted before.
    fn publish(
        &self,
        figures: HashMap<(String, SocketAddr), Figures>,
        now: Instant,
    ) -> HashMap<(String, SocketAddr), Figures> {
        let mut inner = self.lock();
        let before = std::mem::take(&mut inner.figures);
        let measured = figures.into_iter().map(|(key, last)| {
            let old = before.get(&key).copied().unwrap_or_default();
            let rate = old.at.map_or_else(Figures::default, |at| {
                per_second(last, old.last, now.saturating_duration_since(at))
            });
            (key, Measured { last, zero: old.zero, rate, at: Some(now) })
        });
        inner.figures = measured.collect();
        before.into_iter().map(|(key, measured)| (key, measured.last)).collect()
    }

    /// What servers had carried before this process: it counts from there.
    pub fn begin_with(&self, figures: HashMap<(String, SocketAddr), Figures>) {
        let measured = |last: Figures| Measured { last, zero: last, ..Measured::default() };
        self.lock().figures = figures.into_iter().map(|(key, last)| (key, measured(last))).collect();
    }

    /// What the maps counted last, zeroed or not.
    fn counted(&self, key: &(String, SocketAddr)) -> Option<Figures> {
        self.lock().figures.get(key).map(|measured| measured.last)
    }

    /// What a server carries, counted since it was zeroed, and how much it carried in the last second.
    #[must_use]
    pub fn figures(&self, service: &str, server: SocketAddr) -> (Figures, Figures) {
        let inner = self.lock();
        let measured = inner.figures.get(&(service.to_owned(), server)).copied().unwrap_or_default();
        (since(measured.last, measured.zero), measured.rate)
    }

    /// Packets that were not forwarded, by reason.
    pub fn note_events(&self, events: Vec<(&'static str, u64)>) {
        self.lock().events = events;
    }

    #[must_use]
    pub fn events(&self) -> Vec<(&'static str, u64)> {
        self.lock().events.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set_timeouts(&mut self, tcp: u32, tcpfin: u32, udp: u32) {
        let (old, or) = (self.timeouts, |new: u32, old: u32| if new == 0 { old } else { new });
        self.timeouts = (or(tcp, old.0), or(tcpfin, old.1), or(udp, old.2));
    }

    fn zero(&mut self, key: Option<&Key>) {
        let name = key.map(name_of);
        for ((service, _), measured) in &mut self.figures {
            if name.as_ref().is_none_or(|name| name == service) {
                measured.zero = measured.last;
            }
        }
    }
}

/// The name in plans of a service that was made.
#[must_use]
pub fn name_of(key: &Key) -> String {
    let protocol = match key.0 {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    };
    format!("{protocol} {}", key.1)
}

fn one(
    made: &mut Vec<Made>,
    change: &Change,
    configured: &impl Fn(&Key) -> Option<String>,
) -> Result<(), Refused> {
    let not_configured =
        |key: &Key| configured(key).map_or(Ok(()), |section| Err(Refused::Configured(section)));
    let place = |made: &Vec<Made>, key: &Key| made.iter().position(|m| m.key == *key);
    match change {
        Change::Add(service) => {
            not_configured(&service.key)?;
            if place(made, &service.key).is_some() {
                return Err(Refused::Exists);
            }
            made.push(service.clone());
        }
        Change::Edit(service) => {
            let old = find(made, &service.key, not_configured)?;
            let (servers, sources) = (std::mem::take(&mut old.servers), std::mem::take(&mut old.sources));
            *old = Made { servers, sources, ..service.clone() };
        }
        Change::Delete(key) => {
            find(made, key, not_configured)?;
            made.retain(|m| m.key != *key);
        }
        Change::Clear => made.clear(),
        Change::AddServer(key, server) => {
            let service = find(made, key, not_configured)?;
            if service.servers.iter().any(|s| s.address == server.address) {
                return Err(Refused::ServerExists);
            }
            service.accepts(server)?;
            service.servers.push(server.clone());
        }
        Change::EditServer(key, server) => {
            let service = find(made, key, not_configured)?;
            service.accepts(server)?;
            let old = service.servers.iter_mut().find(|s| s.address == server.address);
            *old.ok_or(Refused::NoServer)? = server.clone();
        }
        Change::DeleteServer(key, address) => {
            let service = find(made, key, not_configured)?;
            let before = service.servers.len();
            service.servers.retain(|s| s.address != *address);
            if service.servers.len() == before {
                return Err(Refused::NoServer);
            }
        }
        Change::AddSource(key, address) => {
            let service = find(made, key, not_configured)?;
            if service.sources.contains(address) {
                return Err(Refused::SourceExists);
            }
            service.sources.push(*address);
        }
        Change::DeleteSource(key, address) => {
            let service = find(made, key, not_configured)?;
            let needed = service.servers.iter().any(|s| matches!(s.forward, Forward::FullNat { .. }));
            if !service.sources.contains(address) {
                return Err(Refused::NoSource);
            }
            if needed && service.sources.len() == 1 {
                return Err(Refused::NeedsSource);
            }
            service.sources.retain(|a| a != address);
        }
        // A configured service's counters may begin again too.
        Change::Zero(Some(key)) => {
            if configured(key).is_none() && place(made, key).is_none() {
                return Err(Refused::NoService(*key));
            }
        }
        Change::Zero(None) | Change::Timeouts(..) => {}
    }
    Ok(())
}

impl Made {
    fn accepts(&self, server: &MadeServer) -> Result<(), Refused> {
        let fullnat = matches!(server.forward, Forward::FullNat { .. });
        if fullnat && self.sources.is_empty() { Err(Refused::NeedsSource) } else { Ok(()) }
    }
}

fn find<'a>(
    made: &'a mut [Made],
    key: &Key,
    not_configured: impl Fn(&Key) -> Result<(), Refused>,
) -> Result<&'a mut Made, Refused> {
    not_configured(key)?;
    made.iter_mut().find(|m| m.key == *key).ok_or(Refused::NoService(*key))
}

fn since(last: Figures, zero: Figures) -> Figures {
    Figures {
        flows: last.flows.saturating_sub(zero.flows),
        in_packets: last.in_packets.saturating_sub(zero.in_packets),
        out_packets: last.out_packets.saturating_sub(zero.out_packets),
        in_bytes: last.in_bytes.saturating_sub(zero.in_bytes),
        out_bytes: last.out_bytes.saturating_sub(zero.out_bytes),
        ..last
    }
}

fn per_second(last: Figures, before: Figures, passed: Duration) -> Figures {
    let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
    let grown = since(last, before);
    let rate = |n: u64| n.saturating_mul(1000) / passed;
    Figures {
        flows: rate(grown.flows),
        in_packets: rate(grown.in_packets),
        out_packets: rate(grown.out_packets),
        in_bytes: rate(grown.in_bytes),
        out_bytes: rate(grown.out_bytes),
        ..last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> Key {
        (Protocol::Tcp, SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn service(port: u16) -> Made {
        Made {
            key: key(port),
            scheduler: Scheduler::Wlc,
            flags: Flags::default(),
            persist: None,
            one_packet: false,
            sources: Vec::new(),
            servers: Vec::new(),
        }
    }

    fn server(n: u8) -> MadeServer {
        MadeServer {
            address: SocketAddr::from(([10, 0, 0, n], 80)),
            forward: Forward::Nat,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }

    fn board() -> Board {
        let board = Board::default();
        board.set_running(true);
        board
    }

    fn check(board: &Board, changes: &[Change], expected: Result<(), (usize, Refused)>) {
        let configured = |k: &Key| (k.1.port() == 443).then(|| "web".to_owned());
        assert_eq!(board.apply(changes, configured), expected, "{changes:?}");
    }

    #[test]
    fn changes_are_made_all_or_none() {
        let board = board();
        let bad = [Change::Add(service(80)), Change::AddServer(key(81), server(1))];
        check(&board, &bad, Err((1, Refused::NoService(key(81)))));
        assert_eq!(board.made(), []);
        check(&board, &[Change::Add(service(80)), Change::AddServer(key(80), server(1))], Ok(()));
        check(&board, &[Change::Add(service(80))], Err((0, Refused::Exists)));
        check(&board, &[Change::AddServer(key(80), server(1))], Err((0, Refused::ServerExists)));
        check(&board, &[Change::EditServer(key(80), server(2))], Err((0, Refused::NoServer)));
        let edited = Made { scheduler: Scheduler::Rr, ..service(80) };
        check(&board, &[Change::Edit(edited)], Ok(()));
        assert_eq!((board.made()[0].scheduler, board.made()[0].servers.len()), (Scheduler::Rr, 1));
        check(&board, &[Change::DeleteServer(key(80), server(1).address), Change::Delete(key(80))], Ok(()));
        check(&board, &[Change::Delete(key(80))], Err((0, Refused::NoService(key(80)))));
    }

    #[test]
    fn the_configuration_s_services_are_its_own() {
        let board = board();
        let own = || Err((0, Refused::Configured("web".to_owned())));
        check(&board, &[Change::Add(service(443))], own());
        check(&board, &[Change::Delete(key(443))], own());
        check(&board, &[Change::Zero(Some(key(443)))], Ok(()));
        board.set_running(false);
        check(&board, &[Change::Clear], Err((0, Refused::NotRunning)));
    }

    #[test]
    fn counters_begin_again_and_have_rates() {
        let board = board();
        let at = server(1).address;
        let start = Instant::now();
        let publish = |flows, seconds| {
            let figures = Figures { flows, active: 3, ..Figures::default() };
            board.publish(
                HashMap::from([((name_of(&key(80)), at), figures)]),
                start + Duration::from_secs(seconds),
            );
        };
        publish(100, 0);
        publish(140, 2);
        let (sum, rate) = board.figures("TCP 192.0.2.1:80", at);
        assert_eq!((sum.flows, rate.flows, sum.active), (140, 20, 3));
        check(&board, &[Change::Zero(None)], Ok(()));
        publish(150, 3);
        assert_eq!(board.figures("TCP 192.0.2.1:80", at).0.flows, 10);
    }
}
