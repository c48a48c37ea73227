//! What a router counts, and why it did not listen to a packet.

/// Why a packet was not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// A TTL below the lowest taken: it has crossed a router.
    Ttl,
    Malformed,
    Checksum,
    Version,
    Vrid,
    /// Authentication of another kind.
    AuthType,
    /// Another password.
    AuthMismatch,
    /// Version 2 wants one interval on all routers.
    Interval,
    /// Another list of virtual addresses.
    AddressList,
    /// Our own, come back.
    Own,
    /// Not one of the peers, or not meant for us.
    Stranger,
    /// Stopped, or at fault.
    Idle,
}

impl DropReason {
    pub const ALL: [Self; 12] = [
        Self::Ttl,
        Self::Malformed,
        Self::Checksum,
        Self::Version,
        Self::Vrid,
        Self::AuthType,
        Self::AuthMismatch,
        Self::Interval,
        Self::AddressList,
        Self::Own,
        Self::Stranger,
        Self::Idle,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::Version => "version",
            Self::Vrid => "vrid",
            Self::AuthType => "auth-type",
            Self::AuthMismatch => "auth-mismatch",
            Self::Interval => "interval",
            Self::AddressList => "address-list",
            Self::Own => "own",
            Self::Stranger => "stranger",
            Self::Idle => "idle",
        }
    }

    /// What is to be said of it; `None`: in order.
    #[must_use]
    pub fn words(self) -> Option<&'static str> {
        Some(match self {
            Self::Ttl => "TTL too low: it has crossed a router, or is forged",
            Self::Malformed => "no proper advert",
            Self::Checksum => "wrong checksum",
            Self::Version => "another version of the protocol",
            Self::Vrid => "another id",
            Self::AuthType => "another kind of authentication",
            Self::AuthMismatch => "another password",
            Self::Interval => "another advert-interval",
            Self::AddressList => "other virtual addresses",
            Self::Stranger => "not from a peer, or not for this router",
            Self::Own | Self::Idle => return None,
        })
    }
}

/// What a router counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub received: u64,
    /// Adverts of priority 0.
    pub stops_sent: u64,
    pub stops_received: u64,
    pub became_master: u64,
    pub conflicts: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Counts {
    pub(super) fn drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}
