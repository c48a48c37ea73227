//! `acl` lines.

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
