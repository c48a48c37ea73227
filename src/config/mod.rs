//! From text to an always-valid configuration: `lex` (words with spans) -> `raw` (sections and lines) -> `keywords`
//! (one table row per keyword fills the model) -> `resolve` (names become indices, whole-file checks) -> [`model::Config`].
//!
//! Nothing here knows the runtime. Every problem is a [`diagnostic::Diagnostic`] with its place; a pass never stops at the first.

pub mod diagnostic;
pub mod model;
pub mod raw;
