//! What stands in a section of its own: userlists.

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
