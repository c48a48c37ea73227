//! The `global` section.

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
