//! Actions that edit a head: headers, start line, status.

use super::rules::Phase;
use crate::config::model::HttpAction;
use crate::live::rules::Editable;

/// Carries out one editing action. An action that has no meaning in this phase does nothing; the parser refuses those.
pub fn apply(_phase: Phase, _action: &HttpAction, _ctx: &mut dyn Editable) {}
