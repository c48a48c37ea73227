//! One virtual router. Sans IO: it owns no socket and no clock.
//!
//! ```text
//!            start                     master is silent, or stops
//!   Stopped --------> Backup -----------------------------------------> Master
//!      ^               |  ^      a better advert; told to yield           |
//!      |               |  +---------------------------------------------- +
//!      |          fault|  |no fault any more                              |fault
//!      |               v  |                                               |
//!      +------------- Fault <---------------------------------------------+
//! ```
//! A master that is told to stop says so, and still holds the addresses until it hears the next one, or nobody can be about to come.
//!
//! Contract: after each `handle_*` take all of `poll_output`; call `handle_timeout` when `poll_timeout` has come. Adverts that say
//! nothing to this router are counted by [`super::DropReason`] and change nothing, not even a timer.

mod examine;
mod master;
mod renew;

use super::counts::Counts;
use super::settings::{Preempt, Settings};
use crate::wire::vrrp::{Advert, OWNER, STOPS};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What happens to a router.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    Start,
    /// A packet of protocol 112 with this vrid.
    Packet(Received<'a>),
    /// Base priority and trackers' weights, added up.
    Priority(u8),
    /// Adverts are sent from another address now.
    Source(IpAddr),
    /// The configuration says something else. An unspecified source is the one it has.
    Settings(Box<Settings>),
    /// It cannot serve, and why; it can again.
    Fault(String),
    Clear,
    /// Hand the addresses over, if someone takes them.
    Yield(String),
    /// The end of a [`Input::Yield`].
    Ready,
    /// Take over now: a member of its group did.
    TakeOver(String),
    /// Fall back now: a member of its group did.
    FallBack(String),
    /// Leave; the second time at once.
    Stop,
    /// Leave without a word, with the addresses where they are: another process of this machine goes on.
    Bequeath(String),
}

/// A packet as it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Where it was heard: 0 is the router's own interface, others are further paths to the same routers.
    pub path: usize,
    /// Our address on that path.
    pub local: IpAddr,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// TTL or hop limit
    pub ttl: u8,
    pub payload: &'a [u8],
}

/// What a router wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To all peers, or to the group.
    Send(Advert),
    AddAddresses,
    RemoveAddresses,
    /// Gratuitous ARP and unsolicited neighbour advertisements.
    Announce(Burst),
    Became {
        from: State,
        to: State,
        reason: String,
    },
    /// Somebody else is master of this router too.
    Conflict {
        other: IpAddr,
        priority: u8,
    },
}

/// Why the addresses are announced: each has its own number of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// They have come, just now or a moment ago.
    Taken,
    /// So that nobody forgets.
    Refresh,
    /// A lower master may have announced them too.
    Lower,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Stopped,
    Fault,
    Backup,
    Master,
}

impl State {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Fault => "fault",
            Self::Backup => "backup",
            Self::Master => "master",
        }
    }
}

/// The master a backup listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub address: IpAddr,
    pub priority: u8,
    pub interval: Duration,
    pub at: Instant,
}

/// Where the state machine stands, with what each state knows.
#[derive(Clone, Debug)]
enum Phase {
    Stopped,
    Fault,
    Backup {
        master_down_at: Instant,
        /// What the last advert said; none yet: nobody was heard.
        heard: Option<Heard>,
        /// Since when a master of lower priority has been in sight.
        lower_since: Option<Instant>,
    },
    Master {
        advert_at: Instant,
        bursts: Bursts,
        /// Adverts out of turn, against a lower master, are not sent before this.
        assert_at: Instant,
    },
    /// Has said that it stops; holds the addresses until then.
    Leaving {
        until: Instant,
        /// Master, or backup while it was handing over.
        from: State,
    },
}

/// When which announcements are due.
#[derive(Clone, Copy, Debug)]
struct Bursts {
    again: Option<Instant>,
    refresh: Option<Instant>,
    lower: Option<Instant>,
}

#[derive(Clone, Debug)]
pub struct Router {
    pub settings: Settings,
    pub counts: Counts,
    phase: Phase,
    priority: u8,
    fault: Option<String>,
    /// When another was last heard on the router's own interface.
    heard_on_own: Option<Instant>,
    /// Handed over, but still held, until the next master is heard or it is time.
    lets_go_at: Option<Instant>,
    /// Told to yield: takes over only from a silent master.
    yields: bool,
    outputs: VecDeque<Output>,
}

impl Router {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            priority: settings.priority,
            settings,
            counts: Counts::default(),
            phase: Phase::Stopped,
            fault: None,
            heard_on_own: None,
            lets_go_at: None,
            yields: false,
            outputs: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Stopped => State::Stopped,
            Phase::Fault => State::Fault,
            Phase::Backup { .. } => State::Backup,
            Phase::Master { .. } => State::Master,
            Phase::Leaving { from, .. } => from,
        }
    }

    /// The priority that is advertised.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// The addresses are on this machine: it is master, or hands them over.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lets_go_at.is_some() || matches!(self.phase, Phase::Master { .. } | Phase::Leaving { .. })
    }

    /// Told to leave the addresses to others.
    #[must_use]
    pub fn yields(&self) -> bool {
        self.yields
    }

    /// The master, as far as a backup has heard one.
    #[must_use]
    pub fn heard(&self) -> Option<Heard> {
        match self.phase {
            Phase::Backup { heard, .. } => heard,
            _ => None,
        }
    }

    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Stopped | Phase::Fault => None,
            Phase::Backup { master_down_at, lower_since, .. } => {
                [Some(master_down_at), self.preempt_at(lower_since), self.lets_go_at]
                    .into_iter()
                    .flatten()
                    .min()
            }
            Phase::Master { advert_at, bursts, .. } => {
                bursts.all().into_iter().flatten().chain([advert_at]).min()
            }
            Phase::Leaving { until, .. } => Some(until),
        }
    }

    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        match input {
            Input::Start => self.start(now),
            Input::Packet(packet) => {
                self.step_back_after_sleep(now);
                self.packet(packet, now);
            }
            Input::Priority(priority) => self.priority = priority.max(1),
            Input::Source(source) => self.settings.source = source,
            Input::Settings(settings) => self.renew(*settings, now),
            Input::Fault(reason) => self.fail(reason),
            Input::Clear => self.clear(now),
            Input::Yield(reason) => self.give_way(&reason, now),
            Input::Ready => self.yields = false,
            Input::TakeOver(reason) if matches!(self.phase, Phase::Backup { .. }) => {
                self.become_master(reason, true, now);
            }
            Input::FallBack(reason) if matches!(self.phase, Phase::Master { .. }) => {
                self.become_backup(reason, None, now);
            }
            Input::TakeOver(_) | Input::FallBack(_) => {}
            Input::Stop => self.stop(now),
            Input::Bequeath(reason) => {
                let from = self.state();
                self.phase = Phase::Stopped;
                self.outputs.push_back(Output::Became { from, to: State::Stopped, reason });
            }
        }
    }

    /// What is due at `now`. A router that comes late has been asleep with its process: it listens before it acts.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Stopped | Phase::Fault => {}
            Phase::Backup { master_down_at, heard, lower_since } => {
                if self.lets_go_at.is_some_and(|at| at <= now) {
                    self.let_go();
                }
                if let Some(at) = self.preempt_at(lower_since).filter(|at| *at <= now) {
                    return self.preempt(at, now);
                }
                if now >= master_down_at {
                    self.master_is_silent(master_down_at, heard, now);
                }
            }
            Phase::Master { advert_at, bursts, .. } => self.master_timeout(advert_at, bursts, now),
            Phase::Leaving { until, .. } if until <= now => self.stop(now),
            Phase::Leaving { .. } => {}
        }
    }

    fn start(&mut self, now: Instant) {
        if self.state() != State::Stopped {
            return;
        }
        let from = State::Stopped;
        if let Some(reason) = self.fault.clone() {
            self.phase = Phase::Fault;
            return self.outputs.push_back(Output::Became { from, to: State::Fault, reason });
        }
        let s = &self.settings;
        if s.is_owner() && s.start_delay.is_zero() {
            return self.become_master("owner of the addresses".to_owned(), false, now);
        }
        let wait = if s.starts_master {
            s.interval + s.skew(self.priority, s.interval)
        } else {
            s.master_down(self.priority, s.interval)
        };
        self.listen(now + s.start_delay + wait, None);
        self.outputs.push_back(Output::Became { from, to: State::Backup, reason: "started".to_owned() });
    }

    /// A master, or one that still holds what it hands over, first waits for the next one.
    fn stop(&mut self, now: Instant) {
        let holds_until = match self.phase {
            Phase::Master { .. } => Some(now + self.settings.hand_over()),
            Phase::Backup { .. } => self.lets_go_at.take(),
            _ => None,
        };
        if let Some(until) = holds_until {
            let from = self.state();
            if from == State::Master {
                self.send(STOPS);
            }
            self.phase = Phase::Leaving { until, from };
            return;
        }
        self.leave("stopped", State::Stopped);
        self.phase = Phase::Stopped;
    }

    fn fail(&mut self, reason: String) {
        if matches!(self.phase, Phase::Leaving { .. }) {
            self.leave(&reason, State::Stopped);
            self.phase = Phase::Stopped;
        }
        let known = self.fault.replace(reason.clone()).is_some();
        if !known && self.state() != State::Stopped {
            self.leave(&reason, State::Fault);
            self.phase = Phase::Fault;
        }
    }

    fn clear(&mut self, now: Instant) {
        if self.fault.take().is_none() || self.state() != State::Fault {
            return;
        }
        self.listen(now + self.settings.master_down(self.priority, self.settings.interval), None);
        let reason = "no fault any more".to_owned();
        self.outputs.push_back(Output::Became { from: State::Fault, to: State::Backup, reason });
    }

    /// Says that it stops, so that the next one takes over at once, and gives the addresses up.
    fn leave(&mut self, reason: &str, to: State) {
        let from = self.state();
        match self.phase {
            Phase::Master { .. } => {
                self.send(STOPS);
                self.outputs.push_back(Output::RemoveAddresses);
            }
            Phase::Leaving { .. } => self.outputs.push_back(Output::RemoveAddresses),
            _ => self.let_go(),
        }
        if from != to {
            self.outputs.push_back(Output::Became { from, to, reason: reason.to_owned() });
        }
    }

    fn give_way(&mut self, reason: &str, now: Instant) {
        self.yields = true;
        if matches!(self.phase, Phase::Master { .. }) {
            self.send(STOPS);
            self.lets_go_at = Some(now + self.settings.hand_over());
            let (from, to) = (State::Master, State::Backup);
            self.outputs.push_back(Output::Became { from, to, reason: reason.to_owned() });
            self.listen(now + self.settings.master_down(self.priority, self.settings.interval), None);
        }
    }

    /// Removes what was handed over, if it is still held.
    fn let_go(&mut self) {
        if self.lets_go_at.take().is_some() {
            self.outputs.push_back(Output::RemoveAddresses);
        }
    }

    fn listen(&mut self, master_down_at: Instant, heard: Option<Heard>) {
        self.phase = Phase::Backup { master_down_at, heard, lower_since: None };
    }

    fn send(&mut self, priority: u8) {
        let s = &self.settings;
        self.counts.sent += 1;
        self.counts.stops_sent += u64::from(priority == STOPS);
        self.outputs.push_back(Output::Send(Advert {
            version: s.version,
            vrid: s.vrid,
            priority,
            interval: s.interval,
            addresses: s.addresses.clone(),
            auth: s.auth,
        }));
    }

    /// `relieves`: the master before is alive and lets go when it hears us, so that the addresses have to be there by then. Else
    /// the advert is first: others are about to take over too.
    fn become_master(&mut self, reason: String, relieves: bool, now: Instant) {
        let from = self.state();
        self.counts.became_master += 1;
        let holds = self.lets_go_at.take().is_some();
        if relieves && !holds {
            self.outputs.push_back(Output::AddAddresses);
        }
        self.send(self.priority);
        let s = &self.settings;
        self.phase = Phase::Master {
            advert_at: now + s.interval,
            bursts: Bursts {
                again: s.announce_again.map(|after| now + after),
                refresh: s.announce_every.map(|after| now + after),
                lower: None,
            },
            assert_at: now,
        };
        if !relieves && !holds {
            self.outputs.push_back(Output::AddAddresses);
        }
        self.outputs.push_back(Output::Announce(Burst::Taken));
        self.outputs.push_back(Output::Became { from, to: State::Master, reason });
    }

    fn become_backup(&mut self, reason: String, heard: Option<Heard>, now: Instant) {
        let interval = heard.map_or(self.settings.interval, |h| h.interval);
        self.outputs.push_back(Output::RemoveAddresses);
        self.listen(now + self.settings.master_down(self.priority, interval), heard);
        self.outputs.push_back(Output::Became { from: State::Master, to: State::Backup, reason });
    }

    fn master_is_silent(&mut self, due: Instant, heard: Option<Heard>, now: Instant) {
        let interval = heard.map_or(self.settings.interval, |h| h.interval);
        if self.overslept(due, interval, now) {
            let wait = self.settings.master_down(self.priority, interval);
            return self.listen(now + wait, heard);
        }
        let (relieves, reason) = match heard {
            None => (false, "no master heard".to_owned()),
            Some(h) if h.priority == STOPS => (true, format!("{} stops", h.address)),
            Some(h) if h.priority < self.priority && now < h.at + interval + interval / 2 => {
                (true, format!("priority {} is above {} of {}", self.priority, h.priority, h.address))
            }
            Some(h) => {
                let silence = now.saturating_duration_since(h.at).as_secs_f64();
                let (address, priority) = (h.address, h.priority);
                (
                    false,
                    format!("master down after {silence:.2} s, last advert from {address} prio {priority}"),
                )
            }
        };
        self.become_master(reason, relieves, now);
    }

    fn preempt(&mut self, due: Instant, now: Instant) {
        let Phase::Backup { heard: Some(heard), .. } = self.phase else { return };
        if self.overslept(due, heard.interval, now) {
            let wait = self.settings.master_down(self.priority, heard.interval);
            return self.listen(now + wait, Some(heard));
        }
        let reason = format!("priority {} is above {} of {}", self.priority, heard.priority, heard.address);
        self.become_master(reason, true, now);
    }

    /// When a lower master has been in sight for long enough.
    fn preempt_at(&self, lower_since: Option<Instant>) -> Option<Instant> {
        match self.settings.preempt {
            // Without a delay the lower master's adverts are simply not listened to, as the RFC has it.
            Preempt::After(delay) if !delay.is_zero() => lower_since.map(|since| since + delay),
            _ => None,
        }
    }

    /// So late that adverts which came meanwhile may wait unread.
    fn overslept(&self, due: Instant, interval: Duration, now: Instant) -> bool {
        now.saturating_duration_since(due) > interval
    }

    fn packet(&mut self, packet: Received<'_>, now: Instant) {
        match self.examine(packet) {
            Ok(advert) => {
                self.counts.received += 1;
                self.counts.stops_received += u64::from(advert.priority == STOPS);
                if packet.path == 0 {
                    self.heard_on_own = Some(now);
                }
                self.heed(packet, &advert, now);
            }
            Err(reason) => self.counts.drop(reason),
        }
    }

    fn heed(&mut self, packet: Received<'_>, advert: &Advert, now: Instant) {
        let heard =
            Heard { address: packet.source, priority: advert.priority, interval: advert.interval, at: now };
        match self.phase {
            Phase::Stopped | Phase::Fault => {}
            Phase::Backup { .. } => self.heed_as_backup(heard, now),
            Phase::Master { .. } => self.heed_as_master(heard, packet, now),
            Phase::Leaving { until, from } if heard.priority != STOPS => {
                self.phase = Phase::Leaving { until: until.min(now + self.settings.overlap()), from };
            }
            Phase::Leaving { .. } => {}
        }
    }

    fn heed_as_backup(&mut self, heard: Heard, now: Instant) {
        let Phase::Backup { master_down_at, lower_since, .. } = self.phase else { return };
        if heard.priority == STOPS {
            let at = now + self.settings.skew(self.priority, heard.interval);
            // An advert nobody has to believe must not put the end off.
            return self.listen(at.min(master_down_at), Some(heard));
        }
        if let Some(at) = self.lets_go_at {
            self.lets_go_at = Some(at.min(now + self.settings.overlap()));
        }
        let down_at = now + self.settings.master_down(self.priority, heard.interval);
        if heard.priority >= self.priority {
            return self.listen(down_at, Some(heard));
        }
        match self.settings.preempt {
            _ if self.yields => self.listen(down_at, Some(heard)),
            Preempt::Never if self.priority != OWNER => self.listen(down_at, Some(heard)),
            Preempt::After(delay) if !delay.is_zero() => {
                let lower_since = lower_since.or(Some(now));
                self.phase = Phase::Backup { master_down_at: down_at, heard: Some(heard), lower_since };
            }
            // Not listened to: the timer runs out.
            Preempt::After(_) | Preempt::Never => {
                self.phase = Phase::Backup { master_down_at, heard: Some(heard), lower_since: None };
            }
        }
    }
}

impl Bursts {
    fn all(self) -> [Option<Instant>; 3] {
        [self.again, self.refresh, self.lower]
    }
}
