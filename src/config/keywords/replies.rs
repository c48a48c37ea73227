//! `errorfile`, `errorloc*`, `errorfiles`, `http-error` lines (also of `http-errors` sections).

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
