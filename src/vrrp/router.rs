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
//! Contract: after each `handle_*` take all of `poll_output`; call `handle_timeout` when `poll_timeout` has come. Adverts that say
//! nothing to this router are counted by [`super::DropReason`] and change nothing, not even a timer.

mod examine;

use super::counts::Counts;
use super::settings::{Preempt, Settings};
use crate::wire::vrrp::{Advert, OWNER, STOPS};
use std::cmp::Ordering;
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
    Stop,
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
    /// Gratuitous ARP and unsolicited neighbour advertisements, a burst.
    Announce,
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
        announce_at: Option<Instant>,
        /// Adverts out of turn, against a lower master, are not sent before this.
        assert_at: Instant,
    },
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
        }
    }

    /// The priority that is advertised.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.priority
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
            Phase::Master { advert_at, announce_at, .. } => {
                Some(announce_at.map_or(advert_at, |at| at.min(advert_at)))
            }
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
            Input::Fault(reason) => self.fail(reason),
            Input::Clear => self.clear(now),
            Input::Yield(reason) => self.give_way(&reason, now),
            Input::Ready => self.yields = false,
            Input::TakeOver(reason) if self.state() == State::Backup => self.become_master(reason, now),
            Input::FallBack(reason) if self.state() == State::Master => self.become_backup(reason, None, now),
            Input::TakeOver(_) | Input::FallBack(_) => {}
            Input::Stop => self.stop(),
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
            Phase::Master { advert_at, announce_at, .. } => self.master_timeout(advert_at, announce_at, now),
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
            return self.become_master("owner of the addresses".to_owned(), now);
        }
        let wait = if s.starts_master {
            s.interval + s.skew(self.priority, s.interval)
        } else {
            s.master_down(self.priority, s.interval)
        };
        self.listen(now + s.start_delay + wait, None);
        self.outputs.push_back(Output::Became { from, to: State::Backup, reason: "started".to_owned() });
    }

    fn stop(&mut self) {
        self.leave("stopped", State::Stopped);
        self.phase = Phase::Stopped;
    }

    fn fail(&mut self, reason: String) {
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
        if from == State::Master {
            self.send(STOPS);
            self.outputs.push_back(Output::RemoveAddresses);
        }
        self.let_go();
        if from != to {
            self.outputs.push_back(Output::Became { from, to, reason: reason.to_owned() });
        }
    }

    fn give_way(&mut self, reason: &str, now: Instant) {
        self.yields = true;
        if self.state() == State::Master {
            self.send(STOPS);
            // The next one needs its skew. Until it is heard, whoever asks is answered here.
            let longest = self.settings.skew(1, self.settings.interval);
            self.lets_go_at = Some(now + longest + self.settings.interval);
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

    fn become_master(&mut self, reason: String, now: Instant) {
        let from = self.state();
        self.counts.became_master += 1;
        self.send(self.priority);
        let s = &self.settings;
        self.phase = Phase::Master {
            advert_at: now + s.interval,
            announce_at: s.announce_again.or(s.announce_every).map(|after| now + after),
            assert_at: now,
        };
        if self.lets_go_at.take().is_none() {
            self.outputs.push_back(Output::AddAddresses);
        }
        self.outputs.push_back(Output::Announce);
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
        let reason = match heard {
            None => "no master heard".to_owned(),
            Some(h) if h.priority == STOPS => format!("{} stops", h.address),
            Some(h) if h.priority < self.priority && now < h.at + interval + interval / 2 => {
                format!("priority {} is above {} of {}", self.priority, h.priority, h.address)
            }
            Some(h) => format!(
                "master down after {:.2} s, last advert from {} prio {}",
                now.saturating_duration_since(h.at).as_secs_f64(),
                h.address,
                h.priority
            ),
        };
        self.become_master(reason, now);
    }

    fn preempt(&mut self, due: Instant, now: Instant) {
        let Phase::Backup { heard: Some(heard), .. } = self.phase else { return };
        if self.overslept(due, heard.interval, now) {
            let wait = self.settings.master_down(self.priority, heard.interval);
            return self.listen(now + wait, Some(heard));
        }
        let reason = format!("priority {} is above {} of {}", self.priority, heard.priority, heard.address);
        self.become_master(reason, now);
    }

    /// When a lower master has been in sight for long enough.
    fn preempt_at(&self, lower_since: Option<Instant>) -> Option<Instant> {
        match self.settings.preempt {
            // Without a delay the lower master's adverts are simply not listened to, as the RFC has it.
            Preempt::After(delay) if !delay.is_zero() => lower_since.map(|since| since + delay),
            _ => None,
        }
    }

    /// A master that was silent for so long that another may have taken over is none any more: adverts that waited meanwhile are
    /// heard as a backup hears them. Answers whether it was one.
    fn step_back_after_sleep(&mut self, now: Instant) -> bool {
        let Phase::Master { advert_at, .. } = self.phase else { return false };
        let late = now.saturating_duration_since(advert_at);
        let slept = late > self.settings.master_down(self.priority, self.settings.interval);
        if slept {
            let reason = format!("paused for {:.2} s: another may be master", late.as_secs_f64());
            self.become_backup(reason, None, now);
        }
        slept
    }

    fn master_timeout(&mut self, advert_at: Instant, announce_at: Option<Instant>, now: Instant) {
        if self.step_back_after_sleep(now) {
            return;
        }
        if advert_at <= now {
            self.send(self.priority);
            if let Phase::Master { advert_at, .. } = &mut self.phase {
                // From when it was due: rhythm does not drift. A missed beat is not made up for.
                *advert_at += self.settings.interval;
                if *advert_at <= now {
                    *advert_at = now + self.settings.interval;
                }
            }
        }
        if announce_at.is_some_and(|at| at <= now) {
            self.outputs.push_back(Output::Announce);
            let again = self.settings.announce_every.map(|every| now + every);
            if let Phase::Master { announce_at, .. } = &mut self.phase {
                *announce_at = again;
            }
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
            // It sends before it adds: by then it has announced the addresses.
            self.lets_go_at = Some(at.min(now + self.settings.interval / 10));
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

    fn heed_as_master(&mut self, heard: Heard, packet: Received<'_>, now: Instant) {
        if heard.priority == STOPS {
            self.send(self.priority);
            if let Phase::Master { advert_at, .. } = &mut self.phase {
                *advert_at = now + self.settings.interval;
            }
            return;
        }
        self.counts.conflicts += 1;
        self.outputs.push_back(Output::Conflict { other: heard.address, priority: heard.priority });
        let ranks_above = match heard.priority.cmp(&self.priority) {
            Ordering::Equal => self.may_break_tie(packet.path, now) && heard.address > packet.local,
            order => order == Ordering::Greater,
        };
        if ranks_above {
            let reason = format!("{} has priority {}", heard.address, heard.priority);
            return self.become_backup(reason, Some(heard), now);
        }
        self.assert_itself(now);
    }

    /// Two paths may order the same two routers differently, and both would give way: while they hear each other on their own
    /// interfaces, only the addresses there count.
    fn may_break_tie(&self, path: usize, now: Instant) -> bool {
        let down = self.settings.master_down(self.priority, self.settings.interval);
        path == 0 || self.heard_on_own.is_none_or(|at| now > at + down)
    }

    /// A lower master is told at once, and the network is told again where the addresses are (RFC 9568 section 6.4.3). Not more than
    /// ten times an interval: whoever sends lower adverts without end is not to be answered without end.
    fn assert_itself(&mut self, now: Instant) {
        let pause = self.settings.interval / 10;
        let Phase::Master { assert_at, .. } = &mut self.phase else { return };
        if now < *assert_at {
            return;
        }
        *assert_at = now + pause;
        self.send(self.priority);
        self.outputs.push_back(Output::Announce);
    }
}
