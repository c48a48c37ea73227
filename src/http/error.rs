//! Why an exchange ends early: whose fault, in which phase, and what the client is told. The one place that makes of it a
//! status and the first two letters of the termination state (manual 8.5).

/// First letter: who or what ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The client closed (`C`) or let a timeout pass (`c`).
    ClientAbort,
    ClientTimeout,
    /// The server closed or refused (`S`) or let a timeout pass (`s`).
    ServerAbort,
    ServerTimeout,
    /// A rule or the protocol's limits forbade it (`P`).
    Proxy,
    /// An internal error (`I`).
    Internal,
    /// The administrator ended it.
    Killed,
    /// The server went down or was shut (`D`), or a better one came up (`U`).
    ServerDown,
}

/// Second letter: how far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Request,
    Queue,
    Connect,
    Header,
    Data,
}

/// An end before the regular one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub cause: Cause,
    pub phase: Phase,
    /// What the client is told; 0: nothing, the connection is closed.
    pub status: u16,
    /// A rule refused the request or the response (`dreq`, `dresp`).
    pub denied: bool,
}

impl Failure {
    pub const fn new(cause: Cause, phase: Phase, status: u16) -> Self {
        Self { cause, phase, status, denied: false }
    }

    /// Refused by a rule.
    pub const fn denied(phase: Phase, status: u16) -> Self {
        Self { denied: true, ..Self::new(Cause::Proxy, phase, status) }
    }

    /// The client left: nobody is there to be told.
    pub const fn client_abort(phase: Phase) -> Self {
        Self::new(Cause::ClientAbort, phase, 0)
    }

    pub fn letters(self) -> [u8; 2] {
        let cause = match self.cause {
            Cause::ClientAbort => b'C',
            Cause::ClientTimeout => b'c',
            Cause::ServerAbort => b'S',
            Cause::ServerTimeout => b's',
            Cause::Proxy => b'P',
            Cause::Internal => b'I',
            Cause::ServerDown => b'D',
            Cause::Killed => b'K',
        };
        let phase = match self.phase {
            Phase::Request if self.cause == Cause::Killed => b'-',
            Phase::Request => b'R',
            Phase::Queue => b'Q',
            Phase::Connect => b'C',
            Phase::Header => b'H',
            Phase::Data => b'D',
        };
        [cause, phase]
    }
}

/// What went wrong with a server before its response was accepted; `retry-on` speaks of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It closed before a whole response head. `any_byte`: part of one had come.
    Empty {
        any_byte: bool,
    },
    /// It said that it has not looked at the request (RFC 9113 8.7).
    Unprocessed,
    Junk,
    TimedOut,
    /// A status listed in `retry-on`.
    Status(u16),
}

impl Trouble {
    /// What the client is told when nothing is left to try.
    pub fn failure(self) -> Failure {
        match self {
            Self::Empty { .. } | Self::Unprocessed => Failure::new(Cause::ServerAbort, Phase::Header, 502),
            Self::Junk => Failure::new(Cause::Proxy, Phase::Header, 502),
            Self::TimedOut => Failure::new(Cause::ServerTimeout, Phase::Header, 504),
            Self::Status(status) => Failure::new(Cause::Proxy, Phase::Header, status),
        }
    }
}
