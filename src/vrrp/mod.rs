//! VRRP: routers that hold virtual addresses in turn. The core is pure: adverts, timers and priorities in, sends, address
//! changes and state changes out (RFC 3768, RFC 9568, and keepalived where they are silent).
//!
//! ```text
//!   settings   what is configured of one router
//!   router     the state machine of one router: handle_input, handle_timeout, poll_timeout, poll_output
//!   node       the routers of one machine and the groups whose members change state together
//!   io         the shell: sockets, addresses, trackers
//!   watch      what is said on a wire, for people
//! ```

pub mod counts;
pub mod io;
pub mod node;
pub mod router;
pub mod settings;
#[cfg(test)]
mod tests;
pub mod watch;

pub use counts::{Counts, DropReason};
pub use node::{Group, Node, Origin};
pub use router::{Burst, Input, Output, Received, Router, State};
pub use settings::{Preempt, Settings};
