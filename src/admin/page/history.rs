//! What the sparklines and the health strips show: samples of every row, taken on the control thread.

use super::row::{self, RowId};
use super::words::State;
use crate::live::Generation;
use crate::stats::{Kind, Rows, Selection};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A sample every so often.
pub const EVERY: Duration = Duration::from_secs(5);

/// Samples kept: 10 minutes of proxies, 5 of servers, of which there may be thousands.
const KEPT: usize = 120;
const KEPT_OF_SERVERS: usize = 60;

/// Rows looked at before others get their turn on the thread.
const AT_ONCE: usize = 200;

/// Sessions, requests, errors, bytes in, bytes out: per second.
pub type Rates = [f32; 5];

/// One row's past, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Track {
    last: [u64; 5],
    at: Option<Instant>,
    round: u64,
    pub rates: VecDeque<Rates>,
    pub states: VecDeque<State>,
}

impl Track {
    fn add(&mut self, totals: [u64; 5], state: State, now: Instant, keep: usize) {
        if let Some(at) = self.at {
            let span = now.saturating_duration_since(at).as_secs_f32().max(0.001);
            #[allow(clippy::cast_precision_loss)]
            let rate = |i: usize| totals[i].saturating_sub(self.last[i]) as f32 / span;
            self.rates.push_back([rate(0), rate(1), rate(2), rate(3), rate(4)]);
        }
        self.states.push_back(state);
        while self.rates.len() > keep {
            self.rates.pop_front();
        }
        while self.states.len() > keep {
            self.states.pop_front();
        }
        self.last = totals;
        self.at = Some(now);
    }

    /// The last samples of one kind.
    #[must_use]
    pub fn series(&self, which: usize) -> Vec<f32> {
        self.rates.iter().map(|rates| rates[which]).collect()
    }

    #[must_use]
    pub fn latest(&self) -> Rates {
        self.rates.back().copied().unwrap_or_default()
    }
}

/// All rows, and all frontends together.
#[derive(Debug, Default)]
pub struct History {
    /// Counts samples.
    pub seq: u64,
    pub total: Track,
    rows: HashMap<RowId, Track>,
}

thread_local! {
    static HISTORY: RefCell<History> = RefCell::default();
}

/// Looks at the history of this thread, which is the control thread's.
pub fn with<T>(look: impl FnOnce(&History) -> T) -> T {
    HISTORY.with_borrow(look)
}

impl History {
    #[must_use]
    pub fn row(&self, id: RowId) -> Option<&Track> {
        self.rows.get(&id)
    }
}

/// Takes samples for ever, if any proxy has a page.
pub async fn run(generation: Arc<Generation>) {
    if !generation.proxies.iter().any(|p| p.conf.stats.is_some()) {
        return;
    }
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        sample(&generation).await;
    }
}

async fn sample(generation: &Arc<Generation>) {
    let mut rows = Rows::new(Arc::clone(generation), Selection::default());
    let round = with(|h| h.seq) + 1;
    let mut sum = [0; 5];
    let mut more = true;
    while more {
        HISTORY.with_borrow_mut(|history| {
            for _ in 0..AT_ONCE {
                let now = Instant::now();
                let Some(subject) = rows.next(now) else {
                    more = false;
                    break;
                };
                let (totals, kind) = (row::totals(&subject), subject.kind());
                if kind == Kind::Frontend {
                    sum.iter_mut().zip(totals).for_each(|(sum, n)| *sum += n);
                }
                let keep = if kind == Kind::Server { KEPT_OF_SERVERS } else { KEPT };
                let track = history.rows.entry(row::id_of(&subject)).or_default();
                track.round = round;
                track.add(totals, row::state_of(&subject), now, keep);
            }
        });
        tokio::task::yield_now().await;
    }
    HISTORY.with_borrow_mut(|history| {
        history.rows.retain(|_, track| track.round == round);
        history.total.add(sum, State::Up, Instant::now(), KEPT);
        history.seq = round;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_differences() {
        let mut track = Track::default();
        let t0 = Instant::now();
        track.add([10, 0, 0, 0, 0], State::Up, t0, 2);
        assert!(track.rates.is_empty());
        for i in 1..4 {
            let now = t0 + Duration::from_secs(2 * i);
            track.add([10 + 20 * i, 0, 0, 0, 0], State::Down, now, 2);
        }
        assert_eq!(track.series(0), [10.0, 10.0]);
        assert_eq!(track.states.len(), 2);
        assert_eq!(track.latest()[0], 10.0);
    }
}
