//! weir: HAProxy, LVS and keepalived in one process. `docs/architecture.md` tells how the modules stand to each other;
//! `tests/architecture.rs` holds them to it.

// layer 0: vocabulary (no IO, no clock)
pub mod clock;
pub mod ids;
pub mod memory;
pub mod message;
pub mod random;
pub mod wire;
// layer 1: pure domain
pub mod balance;
pub mod config;
pub mod expr;
pub mod health;
pub mod tls;
// layer 2: live state
pub mod live;
pub mod net;
pub mod program;
pub mod stats;
pub mod tasks;
// layer 3: engines
pub mod http;
pub mod l4;
pub mod logging;
pub mod ocsp;
pub mod probe;
pub mod tcp;
pub mod vrrp;
// layer 4: administration
pub mod admin;
// layer 5: the process
pub mod cli;
pub mod demo;
pub mod runtime;
pub mod top;
