//! A thread's side of traces: an event becomes a line in the sink of its source, as `[thread|source|level|place] text`.

use super::sender::Sender;
use crate::live::counters;
use crate::live::trace::sources;
use crate::live::trace::{BOARD, Event, Verbosity};
use std::fmt::Write;

impl Sender {
    /// Writes the event, if somebody wants it. Ask `trace::is_on` before making one.
    #[cold]
    pub fn trace(&self, event: &Event<'_>) {
        // Workers are counted from 0; who is none of them is the control thread.
        let thread = counters::thread();
        let Some((target, verbosity)) = BOARD.admit(event, thread.map_or(u64::MAX, |t| t as u64)) else {
            return;
        };
        let source = sources::ALL.get(event.origin as usize).map_or("", |s| s.name);
        let (file, line) = event.place;
        let file = file.rsplit('/').next().unwrap_or(file);
        let mut text = match thread {
            Some(thread) => format!("[{thread:02}|"),
            None => "[--|".to_owned(),
        };
        let level = event.level as u8;
        let _written = write!(text, "{source}|{level}|{file}:{line}] {}", event.text);
        if verbosity > Verbosity::Quiet {
            let before = text.len();
            text.push_str(" :");
            (event.details)(verbosity, &mut text);
            if text.len() == before + 2 {
                text.truncate(before);
            }
        }
        // A line is one event, whatever a header holds.
        let text: String = text.chars().map(|c| if c.is_control() { '.' } else { c }).collect();
        self.emit(&[target], 0, None, b"", text.as_bytes());
    }
}
