//! What the process said while it started, for `show startup-logs`. Kept until it is replaced: it is short.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

static STARTING: AtomicBool = AtomicBool::new(true);
static SAID: Mutex<String> = Mutex::new(String::new());

/// Keeps a text that was written to standard error.
pub fn keep(text: &str) {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
}

/// Keeps a line of a process that is still starting.
pub fn keep_early(line: &str) {
    if STARTING.load(Relaxed) {
        keep(line);
    }
}

/// The process serves: what is said from now on is no part of its start.
pub fn is_over() {
    STARTING.store(false, Relaxed);
}

/// A reload begins: what it says takes the place of what was said before.
pub fn replace(text: &str) {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.clear();
    said.push_str(text);
}

#[must_use]
pub fn said() -> String {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
