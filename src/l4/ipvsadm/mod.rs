//! ipvsadm's command line: what it asks for ([`parse`]), and the tables it shows ([`table`], [`output`]).
//!
//! The same parser reads the lines that one process sends to the other over the stats socket ([`rule`] writes them).

mod lookup;
mod options;
pub mod output;
mod parse;
pub mod rule;
pub mod table;
#[cfg(test)]
mod tests;

pub use options::HELP;
pub use parse::{Problem, parse};

use crate::live::l4::{Change, Key};

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Change(Change),
    List(List),
    /// `-S`; `true` with `-n`.
    Save(bool),
    /// `-R`
    Restore,
    Help,
    Version,
}

/// `-L` and what of it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct List {
    pub service: Option<Key>,
    pub what: What,
    pub numeric: bool,
    pub exact: bool,
    pub unsorted: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    #[default]
    Table,
    /// `-c`; `true` with `--persistent-conn`.
    Connections(bool),
    Stats,
    Rate,
    Thresholds,
    PersistentConnections,
    TunnelInfo,
    Timeouts,
    /// Of the synchronisation: there is none yet, as IPVS shows where none runs.
    Daemon,
}
