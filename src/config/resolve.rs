//! From drafts to the model: names become indices, defaults are filled in, the whole is checked once.

use super::diagnostic::Diagnostic;
use super::environment::Environment;
use super::model::Config;
use super::parser::Parser;
use std::path::PathBuf;
use std::sync::Arc;

/// The only maker of a [`Config`].
#[must_use]
pub fn resolve(parser: Parser, files: Vec<PathBuf>) -> (Config, Vec<Diagnostic>, Environment) {
    let proxies = parser.drafts.into_iter().map(|d| Arc::new(d.proxy)).collect();
    let config = Config {
        global: parser.global,
        proxies,
        userlists: parser.userlists,
        http_errors: parser.http_errors,
        files,
    };
    (config, parser.diagnostics, parser.environment)
}
