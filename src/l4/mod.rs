//! `mode l4`: flows forwarded in the kernel by our packet programs (`bpf/`), which look up what is computed here.
//!
//! ```text
//!   abi        the layout of the maps, shared with bpf/abi.h
//!   wanted     the services of this moment, configured or made, with their servers' states
//!   parity     servers that have to catch up after a slow start
//!   plan, ids  what the maps shall hold, and where
//!   origins    whose answers come from where, so that they need no entries
//!   state      what the states of flows mean
//!   reconcile  from one plan to the next, in an order that is right at every moment
//!   view       the services with what they carry, for people
//!   write      one change of the maps; the plan's differences become an ordered list of these
//!   reference  what becomes of a packet, in plain Rust: the oracle for tests and for questions
//!   explain    the same, told step by step
//!   ipvsadm    ipvsadm's command line, and its lists
//!   sync       what directors tell each other
//!   io         the shell: loads and attaches the programs, applies the writes, ends flows that are over
//! ```

pub mod abi;
pub mod explain;
pub mod ids;
pub mod io;
pub mod ipvsadm;
mod origins;
pub mod parity;
pub mod plan;
pub mod reconcile;
pub mod reference;
mod state;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod view;
pub mod wanted;
pub mod write;
