//! What the states of flows mean: whom they count as, and how long they last.

use super::abi::{Service, State};

impl State {
    /// Does a flow in it count as active, as IPVS does? UDP flows never do.
    #[must_use]
    pub fn active(self) -> bool {
        matches!(self, Self::Established | Self::SynSent | Self::SynRecv | Self::SynAck)
    }

    /// Seconds of silence after which a flow in it is over; the packet programs have the same (`patience` in bpf/lookup.c).
    #[must_use]
    pub fn patience(self, service: &Service) -> u64 {
        let or =
            |configured: u32, default: u32| u64::from(if configured == 0 { default } else { configured });
        match self {
            Self::Established => or(service.timeout_tcp, 900),
            Self::FinWait => or(service.timeout_tcpfin, 120),
            Self::Udp => or(service.timeout_udp, 300),
            Self::SynRecv | Self::CloseWait => 60,
            Self::Close => 10,
            Self::LastAck => 30,
            Self::Released => 0,
            _ => 120,
        }
    }
}
