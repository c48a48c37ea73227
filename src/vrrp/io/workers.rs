//! Whether the worker threads move: a node whose process lives and whose workers hang forwards nothing.

use super::Event;
use crate::live::Process;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks, and between two signs of life.
pub const BEAT: Duration = Duration::from_millis(250);
/// A worker that has not moved between so many looks in a row hangs. Looks are counted, not time: a process that was stopped as a whole
/// has looked as little as its workers have moved.
const PATIENCE: u32 = 8;

/// Tells when workers hang, and when all move again.
pub async fn watch(process: Arc<Process>, tell: mpsc::Sender<Event>) {
    let mut vigil = Vigil::new(process.heartbeats.counts());
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = Vec::new();
    loop {
        beat.tick().await;
        let hanging = vigil.look(process.heartbeats.counts());
        if hanging != said && tell.send(Event::Workers(sentence(&hanging))).await.is_err() {
            return;
        }
        said = hanging;
    }
}

/// What the last look saw of each worker, and in how many looks since it has not moved.
struct Vigil(Vec<(u64, u32)>);

impl Vigil {
    fn new(counts: Vec<u64>) -> Self {
        Self(counts.into_iter().map(|count| (count, 0)).collect())
    }

    /// The workers that hang, by number from 1.
    fn look(&mut self, counts: Vec<u64>) -> Vec<usize> {
        // A reload changes how many there are.
        let known = self.0.len().min(counts.len());
        self.0.truncate(known);
        self.0.extend(counts.iter().skip(known).map(|count| (*count, 0)));
        for (worker, count) in self.0.iter_mut().zip(counts) {
            *worker = if worker.0 == count { (count, worker.1.saturating_add(1)) } else { (count, 0) };
        }
        (1..).zip(&self.0).filter(|(_, (_, still))| *still >= PATIENCE).map(|(number, _)| number).collect()
    }
}

fn sentence(hanging: &[usize]) -> Option<String> {
    let names: Vec<String> = hanging.iter().map(ToString::to_string).collect();
    let after = (BEAT * PATIENCE).as_secs();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("worker {one} hangs: it has not moved for {after} s")),
        many => Some(format!("workers {} hang: they have not moved for {after} s", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_hang() {
        let mut vigil = Vigil::new(vec![0, 0]);
        for beat in 1..u64::from(PATIENCE) {
            assert_eq!(vigil.look(vec![beat, 0]), [0; 0]);
        }
        assert_eq!(vigil.look(vec![100, 0]), [2]);
        assert_eq!(vigil.look(vec![100, 0]), [2], "the first has missed one look only");
        assert_eq!(vigil.look(vec![101, 1]), [0; 0]);
        for beat in 102..101 + u64::from(PATIENCE) {
            assert_eq!(vigil.look(vec![beat, beat, 0]), [0; 0], "one more");
        }
        assert_eq!(vigil.look(vec![1000, 1000, 0]), [3]);
        assert_eq!(vigil.look(vec![1001]), [0; 0], "two less");
        assert_eq!(sentence(&[2]).as_deref(), Some("worker 2 hangs: it has not moved for 2 s"));
        assert_eq!(sentence(&[]), None);
    }
}
