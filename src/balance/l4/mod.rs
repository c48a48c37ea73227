//! The schedulers of `mode l4`, each choosing exactly as the kernel's IPVS scheduler of that name does.
//!
//! Those that look at what each server carries ([`counting`], [`locality`]) choose anew for every flow. The others are
//! tables ([`turns`], [`hashed`], [`maglev`]) that are made when servers or weights change; a slot of them is looked up.

pub mod counting;
pub mod hashed;
pub mod locality;
pub mod maglev;
#[cfg(test)]
mod properties;
pub mod turns;

/// A scheduler's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin, the heaviest server first.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    #[default]
    Wlc,
    /// Locality-based least connections: by destination address, until its server is overloaded.
    Lblc,
    /// The same with a set of servers for each destination.
    Lblcr,
    /// Destination hashing.
    Dh,
    /// Source hashing.
    Sh,
    /// Shortest expected delay.
    Sed,
    /// Never queue: an idle server, else the shortest expected delay.
    Nq,
    /// Weighted failover: the heaviest server that is available.
    Fo,
    /// Weighted overflow: the heaviest server with no more active connections than its weight.
    Ovf,
    /// Maglev hashing.
    Mh,
    /// Power of two random choices.
    Twos,
}

impl Scheduler {
    /// In the order of ipvsadm's manual page.
    pub const ALL: [Self; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Dh,
        Self::Sh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Mh,
        Self::Twos,
    ];

    /// As IPVS and ipvsadm spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Mh => "mh",
            Self::Twos => "twos",
        }
    }

    /// The scheduler of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Does it look at how many connections each server has, for every new flow?
    #[must_use]
    pub const fn counts_connections(self) -> bool {
        !matches!(self, Self::Rr | Self::Wrr | Self::Dh | Self::Sh | Self::Mh)
    }
}

/// [`Member::admission`] of a server without a limit.
pub const ADMIT_ALL: u32 = 1 << 16;

/// One server of a service, as a scheduler sees it. Down servers are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// 0 to 65535; 0: no new flows.
    pub weight: u32,
    /// Flows that are open.
    pub active: u32,
    /// Flows that are ending, and those of UDP.
    pub inactive: u32,
    /// It met its upper threshold, and is not below the lower one yet.
    pub overloaded: bool,
    /// What share of all new flows it may get, in 1/65536: less than [`ADMIT_ALL`] during a slow start.
    pub admission: u32,
    /// What tells it from the service's other servers, now and later.
    pub id: u32,
}

impl Member {
    /// An idle server.
    #[must_use]
    pub const fn new(weight: u32) -> Self {
        Self { weight, active: 0, inactive: 0, overloaded: false, admission: ADMIT_ALL, id: 0 }
    }

    /// May it get new flows at all?
    #[must_use]
    pub const fn is_available(&self) -> bool {
        self.weight > 0 && !self.overloaded
    }

    /// May it get flow number `flow` (from 0)? Of any flows in a row, as many as its share.
    #[must_use]
    pub fn admits(&self, flow: u64) -> bool {
        let share = u128::from(self.admission);
        let before = |n: u128| (n * share) >> 16;
        before(u128::from(flow) + 1) > before(u128::from(flow))
    }

    /// An open flow weighs as much as 256 that are ending.
    const fn load(&self) -> u64 {
        self.active as u64 * 256 + self.inactive as u64
    }
}

/// The server of flow number `flow` among those `choose` answers for: those that admit it, or else all. `choose` gets the
/// servers that may be chosen.
fn admitted(
    members: &[Member],
    flow: u64,
    choose: impl Fn(&dyn Fn(usize) -> bool) -> Option<usize>,
) -> Option<usize> {
    let available = |i: usize| members.get(i).is_some_and(Member::is_available);
    if members.iter().all(|m| m.admission >= ADMIT_ALL) {
        return choose(&available);
    }
    let admits = |i: usize| available(i) && members.get(i).is_some_and(|m| m.admits(flow));
    choose(&admits).or_else(|| choose(&available))
}

/// What equal claims are decided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ties {
    /// The greater weight; then the order of the list.
    #[default]
    ByWeight,
    /// The order of the list, as in IPVS.
    ByOrder,
}
