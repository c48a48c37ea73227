//! `use_backend`, `use-server`, `monitor`, `capture`, `force-persist`, `ignore-persist`.

use crate::config::keyword::Keyword;

pub const TABLE: &[Keyword] = &[];
