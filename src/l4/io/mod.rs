//! The shell around the planes of `mode l4`: what talks to the kernel.
//!
//! ```text
//!   plane     the maps, written and read            hook      the programs at the interfaces
//!   flows     walking the flows, ending them        privilege what the process lacks, by name
//! ```

mod batch;
mod flows;
mod hook;
mod plane;
mod privilege;

pub use flows::Walk;
pub use hook::Interface;
pub use plane::{Limits, Plane};

/// The clock of flows: `CLOCK_MONOTONIC_COARSE` in ns.
#[must_use]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
