//! `mode l4`: flows forwarded in the kernel by our packet programs (`bpf/`), which look up what is computed here.
//!
//! ```text
//!   abi      the layout of the maps, shared with bpf/abi.h
//!   write    one change of the maps; the plan's differences become an ordered list of these
//!   io       the shell: loads and attaches the programs, applies the writes, ends flows that are over
//! ```

pub mod abi;
pub mod write;
