//! `redirect`: the answer's bytes are HAProxy's.

use super::reply::Answer;
use super::rules::Phase;
use crate::config::model::Redirect;
use crate::live::rules::Editable;

/// The redirection, or `None` where the rule has nothing to say (`ignore-empty` and an empty location).
pub fn answer(_redirect: &Redirect, _phase: Phase, _ctx: &mut dyn Editable) -> Option<Answer> {
    None
}
