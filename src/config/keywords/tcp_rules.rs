//! `tcp-request` and `tcp-response` lines.

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
