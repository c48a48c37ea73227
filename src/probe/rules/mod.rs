//! Checks made of rules: `tcp-check`, `http-check` and the protocol checks.
//!
//! `machine` runs a rule set without a socket, `run` gives it one; `expect` judges what was received, and `mysql`,
//! `ldap`, `spop` read what a pattern cannot; `http` has requests and responses, `http2` another way to
//! carry them.

mod describe;
mod digest;
mod expect;
mod http;
mod http2;
mod ldap;
mod link;
mod machine;
mod mysql;
mod run;
mod scene;
mod spop;
#[cfg(test)]
mod tests;

pub use describe::kept;
pub use machine::FIRST_STEP;
pub use run::RuleCheck;

use crate::expr::LogFormat;
use scene::Scene;

/// A format's text as findings keep it.
fn rendered(format: &LogFormat, scene: &mut Scene<'_>) -> String {
    let mut text = Vec::new();
    format.render_raw(scene, &mut text);
    kept(&text)
}
