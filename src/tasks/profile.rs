//! What tasks cost, by name, while somebody wants to know (`set profiling tasks on`). Otherwise a poll costs one relaxed
//! load more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

static ON: AtomicBool = AtomicBool::new(false);
static COSTS: Mutex<BTreeMap<&'static str, Cost>> = Mutex::new(BTreeMap::new());

/// What the tasks of one name have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How often they ran.
    pub calls: u64,
    /// How long altogether, by the clock: a thread that was taken off its processor meanwhile counts that too.
    pub time: Duration,
}

#[must_use]
pub fn is_on() -> bool {
    ON.load(Relaxed)
}

/// Switches it; switching it on begins anew.
pub fn switch(on: bool) {
    if on {
        costs().clear();
    }
    ON.store(on, Relaxed);
}

/// The costs so far, the largest first.
#[must_use]
pub fn read() -> Vec<(&'static str, Cost)> {
    let mut all: Vec<(&'static str, Cost)> = costs().iter().map(|(name, cost)| (*name, *cost)).collect();
    all.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.time));
    all
}

/// Runs a task of that name once.
#[inline]
pub fn measure<R>(name: &'static str, run: impl FnOnce() -> R) -> R {
    if is_on() { measured(name, run) } else { run() }
}

#[cold]
fn measured<R>(name: &'static str, run: impl FnOnce() -> R) -> R {
    let begun = Instant::now();
    let answer = run();
    let spent = begun.elapsed();
    let mut costs = costs();
    let cost = costs.entry(name).or_default();
    cost.calls += 1;
    cost.time += spent;
    answer
}

fn costs() -> MutexGuard<'static, BTreeMap<&'static str, Cost>> {
    COSTS.lock().unwrap_or_else(PoisonError::into_inner)
}
