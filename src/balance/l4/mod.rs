//! The schedulers of `mode l4`, each choosing exactly as the kernel's IPVS scheduler of that name does.

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
