//! Logs: lines are built by the engines, framed per target and sent in batches that never block a worker.
//!
//! One [`Hub`] per process holds what all threads share (identity of the process in syslog headers, writers of file
//! descriptors, sampling positions). Each worker has one [`Sender`]: [`Sender::emit`] frames a line for each target and
//! queues it; the queue goes out with one `sendmmsg` per target when it holds [`sender::BATCH`] lines or a
//! millisecond after its first line. A datagram costs the kernel far more than its formatting costs us, so the batch is
//! where the time is saved. What cannot be sent at once is dropped and counted in `Process::log_drops`.

mod date;
mod fd;
pub mod forward;
mod frame;
mod hub;
pub mod line;
mod route;
mod sample;
pub mod sender;
mod trace;

pub use date::{clf_date, date_ms, local_date};
pub use hub::Hub;
pub use sender::Sender;

/// Makes dates local: reads the system's time zone. Before this, and without it, they are in UTC. To be called once, while
/// the zone's file can still be reached: later there may be a chroot.
pub fn read_time_zone() {
    crate::clock::set_local_offset(crate::net::raw::utc_offset);
    let _read_by_asking = crate::clock::local_offset(0);
}

/// Syslog severities (RFC 5424 6.2.1), as `emit` and `log` lines use them.
pub mod level {
    pub const EMERG: u8 = 0;
    pub const ALERT: u8 = 1;
    pub const CRIT: u8 = 2;
    pub const ERR: u8 = 3;
    pub const WARNING: u8 = 4;
    pub const NOTICE: u8 = 5;
    pub const INFO: u8 = 6;
    pub const DEBUG: u8 = 7;
}
