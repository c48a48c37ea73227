//! What is configured of one virtual router, and the times that follow from it.

use crate::wire::vrrp::{Auth, OWNER, Version};
use std::net::IpAddr;
use std::time::Duration;

/// The end of a process is not put off for longer, however long the intervals are.
pub const LONGEST_HAND_OVER: Duration = Duration::from_secs(2);
const SHORTEST_OVERLAP: Duration = Duration::from_millis(50);
const LONGEST_OVERLAP: Duration = Duration::from_millis(200);

/// Whether a backup with a higher priority takes the addresses from a living master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preempt {
    /// After this long with a lower master in sight.
    After(Duration),
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub version: Version,
    /// 1..=255
    pub vrid: u8,
    /// 1..=254, or 255: owner of the addresses.
    pub priority: u8,
    /// Whole seconds in version 2, hundredths in version 3.
    pub interval: Duration,
    pub preempt: Preempt,
    /// `state master`: waits one interval at the start instead of three.
    pub starts_master: bool,
    pub start_delay: Duration,
    pub auth: Auth,
    /// The address adverts are sent from: it breaks ties.
    pub source: IpAddr,
    /// The virtual addresses that are advertised.
    pub addresses: Vec<IpAddr>,
    /// Instead of multicast. Adverts of others are refused.
    pub peers: Vec<IpAddr>,
    /// The lowest TTL or hop limit that is taken: 255, with peers possibly less.
    pub min_ttl: u8,
    /// A second burst of announcements comes this long after the first.
    pub announce_again: Option<Duration>,
    /// And then one every so often.
    pub announce_every: Option<Duration>,
    /// After a burst against a lower master, a second one comes this much later.
    pub announce_lower: Option<Duration>,
    /// A master that sees a better one says once more that it is there before it falls back, so that the better one announces the
    /// addresses again.
    pub provokes: bool,
}

impl Settings {
    /// Time by which a lower priority waits longer than a higher one (RFC 9568 section 6.1). A fraction of the interval: with
    /// whole seconds it would be 0.
    #[must_use]
    pub fn skew(&self, priority: u8, master_interval: Duration) -> Duration {
        let unit = match self.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => master_interval,
        };
        unit * (256 - u32::from(priority)) / 256
    }

    /// How long a master may be silent.
    #[must_use]
    pub fn master_down(&self, priority: u8, master_interval: Duration) -> Duration {
        master_interval * 3 + self.skew(priority, master_interval)
    }

    /// For how long one that has handed over holds the addresses unless it hears the next master, who needs its skew at the most.
    #[must_use]
    pub fn hand_over(&self) -> Duration {
        (self.skew(1, self.interval) + self.interval / 2).min(LONGEST_HAND_OVER)
    }

    /// And when it hears it: the next one announces the addresses right after its first advert.
    #[must_use]
    pub fn overlap(&self) -> Duration {
        (self.interval / 10).clamp(SHORTEST_OVERLAP, LONGEST_OVERLAP)
    }

    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.priority == OWNER
    }
}

#[cfg(test)]
mod tests {
    use crate::vrrp::tests::settings;
    use crate::wire::vrrp::Version;
    use std::time::Duration;

    #[test]
    fn times() {
        let mut s = settings(1, 156);
        let check = |s: &super::Settings, interval, skew, down| {
            let interval = Duration::from_millis(interval);
            assert_eq!(s.skew(156, interval).as_micros(), skew);
            assert_eq!(s.master_down(156, interval).as_micros(), down);
        };
        check(&s, 1000, 390_625, 3_390_625);
        check(&s, 2000, 390_625, 6_390_625);
        s.version = Version::V3;
        check(&s, 100, 39_062, 339_062);
    }
}
