//! What runs is not what the files say: the last reload was refused, or rolled back.

use super::View;
use super::text::{escape, json, seconds};
use crate::live::reload::Outcome;
use std::fmt::Write as _;
use std::time::SystemTime;

/// The sentence, and why. None: all is well.
fn words(view: &View<'_>) -> Option<(String, String)> {
    let history = view.request.generation.process.reloads.history();
    let refusal = history.refusal()?;
    let ago = |at: SystemTime| seconds(at.elapsed().unwrap_or_default().as_secs());
    let times = if history.refused > 1 { format!(" ({} in all)", history.refused) } else { String::new() };
    let head = format!(
        "The last reload failed {} ago{times}. The configuration of {} ago serves on.",
        ago(refusal.at),
        ago(history.since)
    );
    Some((head, reasons(view, refusal)))
}

/// Lines of the configuration are for those who may change something: there may be passwords in them.
fn reasons(view: &View<'_>, refusal: &Outcome) -> String {
    if view.request.admin {
        return refusal.messages.trim_end().to_owned();
    }
    "Why is said in the log and by 'show startup-logs'.".to_owned()
}

pub fn banner(view: &View<'_>, out: &mut String) {
    let words = words(view);
    let hidden = if words.is_none() { " hidden" } else { "" };
    let (head, why) = words.unwrap_or_default();
    let _ = write!(out, "<section id=reload class=\"state down\" role=alert{hidden}><h2>");
    escape(&head, out);
    out.push_str("</h2><pre>");
    for (i, line) in why.lines().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        escape(line, out);
    }
    out.push_str("</pre></section>\n");
}

/// The same two texts, or nothing.
pub fn feed(view: &View<'_>, out: &mut String) {
    if let Some((head, why)) = words(view) {
        json(&head, out);
        out.push(',');
        json(&why, out);
    }
}
