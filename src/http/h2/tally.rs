//! What the frames of a connection say of it: counts for `show stat`, and which streams were never begun.

use super::frames::kind;
use crate::live::counters::H2Counters;
use h2::Reason;
use std::cell::{Cell, RefCell};

/// Counted since [`Tally::hand_over`] was last called.
#[derive(Debug, Default)]
pub struct Tally {
    headers: Cell<u64>,
    data: Cell<u64>,
    settings: Cell<u64>,
    resets: Cell<u64>,
    goaways: Cell<u64>,
    connection_errors: Cell<u64>,
    stream_errors: Cell<u64>,
    resets_sent: Cell<u64>,
    goaways_sent: Cell<u64>,
    any: Cell<bool>,
}

impl Tally {
    fn count(&self, counter: &Cell<u64>) {
        counter.set(counter.get() + 1);
        self.any.set(true);
    }

    pub fn came(&self, kind: u8) {
        match kind {
            kind::HEADERS => self.count(&self.headers),
            kind::DATA => self.count(&self.data),
            kind::SETTINGS => self.count(&self.settings),
            kind::RST_STREAM => self.count(&self.resets),
            kind::GOAWAY => self.count(&self.goaways),
            _ => {}
        }
    }

    /// `begun`: the stream's request was taken. HAProxy counts no error of one that was not.
    pub fn reset_sent(&self, code: Reason, begun: bool) {
        if matches!(code, Reason::NO_ERROR | Reason::CANCEL | Reason::INTERNAL_ERROR) {
            return;
        }
        self.count(&self.resets_sent);
        if begun && matches!(code, Reason::PROTOCOL_ERROR | Reason::FLOW_CONTROL_ERROR) {
            self.count(&self.stream_errors);
        }
    }

    pub fn goaway_sent(&self, code: Reason) {
        if code == Reason::NO_ERROR {
            return;
        }
        self.count(&self.goaways_sent);
        if matches!(code, Reason::PROTOCOL_ERROR | Reason::FRAME_SIZE_ERROR) {
            self.count(&self.connection_errors);
        }
    }

    /// Adds everything to the proxy's.
    pub fn hand_over(&self, to: &H2Counters) {
        if !self.any.replace(false) {
            return;
        }
        for (from, to) in [
            (&self.headers, &to.headers),
            (&self.data, &to.data),
            (&self.settings, &to.settings),
            (&self.resets, &to.resets),
            (&self.goaways, &to.goaways),
            (&self.connection_errors, &to.connection_errors),
            (&self.stream_errors, &to.stream_errors),
            (&self.resets_sent, &to.resets_sent),
            (&self.goaways_sent, &to.goaways_sent),
        ] {
            to.add(from.take());
        }
    }
}

/// Which streams came to be requests: all up to the highest, but for gaps.
#[derive(Debug, Default)]
pub struct Accepted {
    highest: Cell<u32>,
    /// First and last, the oldest first.
    gaps: RefCell<Vec<(u32, u32)>>,
}

/// Older gaps are forgotten: a reset follows what it is for.
const GAPS: usize = 100;

impl Accepted {
    pub fn add(&self, stream: u32) {
        let first = self.highest.get() + 1;
        // Streams of clients have odd numbers.
        if stream > first + 1 || first == 1 && stream > 1 {
            self.leave_out(first, stream - 1);
        }
        self.highest.set(stream.max(self.highest.get()));
    }

    pub fn highest(&self) -> u32 {
        self.highest.get()
    }

    pub fn take_back(&self, stream: u32) {
        self.leave_out(stream, stream);
    }

    fn leave_out(&self, first: u32, last: u32) {
        let mut gaps = self.gaps.borrow_mut();
        if gaps.len() == GAPS {
            gaps.remove(0);
        }
        gaps.push((first, last));
    }

    pub fn has(&self, stream: u32) -> bool {
        let within = |(first, last): &(u32, u32)| (*first..=*last).contains(&stream);
        stream <= self.highest.get() && !self.gaps.borrow().iter().any(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_streams_are_told_from_others() {
        let accepted = Accepted::default();
        let all = |up_to| (1..up_to).step_by(2).filter(|id| accepted.has(*id)).collect::<Vec<u32>>();
        [3, 5, 11].into_iter().for_each(|id| accepted.add(id));
        assert_eq!(all(20), [3, 5, 11]);
        accepted.take_back(5);
        accepted.add(13);
        assert_eq!(all(20), [3, 11, 13]);
        (17..2000).step_by(4).for_each(|id| accepted.add(id));
        assert!(!accepted.has(1995) && accepted.has(1997) && !accepted.has(1999));
        assert_eq!(accepted.gaps.borrow().len(), GAPS);
    }

    #[test]
    fn counts_are_handed_over_once() {
        let (tally, to) = (Tally::default(), H2Counters::default());
        for kind in [kind::HEADERS, kind::DATA, kind::DATA, kind::PING, kind::GOAWAY] {
            tally.came(kind);
        }
        for (code, begun) in [
            (Reason::CANCEL, true),
            (Reason::PROTOCOL_ERROR, false),
            (Reason::PROTOCOL_ERROR, true),
            (Reason::STREAM_CLOSED, true),
        ] {
            tally.reset_sent(code, begun);
        }
        [Reason::NO_ERROR, Reason::COMPRESSION_ERROR, Reason::FRAME_SIZE_ERROR]
            .into_iter()
            .for_each(|code| tally.goaway_sent(code));
        for _ in 0..2 {
            tally.hand_over(&to);
            let came =
                (to.headers.get(), to.data.get(), to.settings.get(), to.resets.get(), to.goaways.get());
            assert_eq!(came, (1, 2, 0, 0, 1));
            let sent = (to.resets_sent.get(), to.stream_errors.get());
            assert_eq!((sent, to.goaways_sent.get(), to.connection_errors.get()), ((3, 1), 2, 1));
        }
    }
}
