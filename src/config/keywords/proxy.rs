//! Proxy keywords that belong to no family of their own.

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
