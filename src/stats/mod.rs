//! What the process counted, as tables: one row of [`columns::COLUMNS`] for each column of `show stat`, one of
//! [`info::FIELDS`] for each line of `show info`. CSV, JSON, the typed form, the web page and Prometheus are derived from
//! them; a column is described once.
//!
//! [`Rows`] walks a generation, [`StatDump`] and [`info::dump`] write it out.

mod checks;
pub mod columns;
pub mod dump;
pub mod file;
pub mod info;
mod json;
mod modules;
pub mod prometheus;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;
pub mod value;
pub mod vrrp;

pub use dump::{StatDump, StatFormat};
pub use info::InfoFormat;
pub use json::{schema, string as json_string};
pub use snapshot::{Part, Rows, Selection, Subject};
pub use value::{Kind, Kinds, Tags, Value};
