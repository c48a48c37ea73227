//! `http-request`, `http-response`, `http-after-response` and `redirect` lines.

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
