//! The commands, one file a family. A new family is a file and a line in [`FAMILIES`].
//!
//! A handler answers with an [`Answer`](super::Answer); it runs on the control thread and must not wait: what takes time
//! or is long is an `Answer::Job` or `Answer::Pieces`. State changes only by methods of `live`.

pub mod errors;
pub mod patterns;
pub mod session;
pub mod sessions;
pub mod unbuilt;

use super::command::Command;

/// Searched in this order.
const FAMILIES: &[&[Command]] =
    &[errors::TABLE, patterns::TABLE, session::TABLE, sessions::TABLE, unbuilt::TABLE];

pub(super) fn all() -> impl Iterator<Item = &'static Command> {
    FAMILIES.iter().flat_map(|family| family.iter())
}
