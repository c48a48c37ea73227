//! From text to an always-valid configuration: `lex` (words with spans) -> `raw` (sections and lines) -> `keywords`
//! (one table row per keyword fills the model) -> `resolve` (names become indices, whole-file checks) -> [`model::Config`].
//!
//! Nothing here knows the runtime. Every problem is a [`diagnostic::Diagnostic`] with its place; a pass never stops at the first.

pub mod actions;
pub mod address;
mod arguments;
pub mod condition;
pub mod diagnostic;
pub mod draft;
pub mod environment;
pub mod keyword;
pub mod keywords;
pub mod lex;
mod manual;
pub mod model;
pub mod parser;
pub mod preprocess;
pub mod raw;
pub mod resolve;
pub mod sections;
mod servers;
pub mod suggest;
pub mod system;
pub mod units;
mod whole;

pub use manual::{list_keywords, manual};

use diagnostic::{Diagnostic, Severity};
use environment::Environment;
use parser::Parser;
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
pub fn load(sources: &[Source], environment: &Environment) -> Result<Loaded, Vec<Diagnostic>> {
    let mut environment = environment.clone();
    let read = preprocess::read(sources, &mut environment);
    let mut parser = Parser::new(environment);
    parser.diagnostics = read.diagnostics;
    sections::apply(&mut parser, read.lines);
    let files = sources.iter().map(|s| PathBuf::from(&*s.name)).collect();
    let (config, mut diagnostics, environment) = resolve::resolve(parser, files);
    // Parsing goes section by section; what people read goes down the files.
    diagnostics.sort_by_key(|d| {
        d.place.as_ref().map_or((usize::MAX, 0), |p| {
            (sources.iter().position(|s| s.name == p.file).unwrap_or(usize::MAX), p.line)
        })
    });
    if diagnostics.iter().any(|d| d.severity == Severity::Alert) {
        return Err(diagnostics);
    }
    Ok(Loaded { config, diagnostics, environment })
}

/// Evaluates the condition of `-cc`.
///
/// # Errors
/// HAProxy's sentence about what does not parse.
pub fn eval_condition(text: &str) -> Result<bool, String> {
    condition::evaluate(text, &Environment::of_process())
}
