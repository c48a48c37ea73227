//! The shell around the planes of `mode l4`: what talks to the kernel.
//!
//! ```text
//!   engine    follows the configuration and the servers' states     missing   what it cannot do yet
//!   plane     the maps, written and read                            hook      the programs at the interfaces
//!   flows     walking the flows, ending them                        batch     reading a map in chunks
//!   host      forwarding turned on and off                          privilege what the process lacks, by name
//!   sync      flows told to another director, and heard of
//!   pins      the maps kept from one process to the next
//!   routes    what the kernel tells of them changing
//!   doors     which ones services have
//!   answer    what the tables hold, told to those who ask
//! ```

mod answer;
mod batch;
mod doors;
mod engine;
mod flows;
mod hook;
mod host;
mod minimum;
mod missing;
mod pins;
mod plane;
mod presence;
pub mod privilege;
mod routes;
mod sync;
pub mod unwrap;

pub use engine::{Prepared, run};
pub use flows::Walk;
pub use hook::Interface;
pub use plane::{Limits, Plane};

/// The clock of flows: `CLOCK_MONOTONIC_COARSE` in ns.
#[must_use]
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
