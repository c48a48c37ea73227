//! `balance roundrobin`: smooth weighted round robin whose weights may change at any time.
//!
//! Each server is due at a position on a line that is as long as the sum of the weights; being picked moves it on by
//! (sum / its weight). Servers wait in one of three lists: `init` (not seen in this round, heaviest first), `current`
//! (due in this window, sorted by position) and `next` (due in the window after, heaviest first). When `current` and
//! `init` are empty the round is over: `next` becomes `init`. Active and backup servers have a line each.

use super::pool::{Pool, Serving};
use super::{MAX_EFFECTIVE, MAX_WEIGHT, WEIGHT_SCALE};
use std::collections::BTreeSet;

/// (sort key, order of arrival, server)
type Entry = (u32, u64, usize);

#[derive(Debug)]
pub struct RoundRobin {
    seats: Vec<Seat>,
    active: Line,
    backup: Line,
}

/// Where one server stands on its line.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    list: Option<List>,
    entry: Entry,
    /// The position it was last picked at and the one it is due at.
    last: i64,
    due: i64,
    /// What integer division left over so far.
    remainder: u32,
    /// The weight it has on the line (0: not on it).
    weight: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Current,
    /// Either half of the pair that `Line::init` tells apart.
    Round(usize),
}

#[derive(Debug, Default)]
struct Line {
    current: BTreeSet<Entry>,
    rounds: [BTreeSet<Entry>; 2],
    /// Which of `rounds` is `init`; the other is `next`.
    init: usize,
    position: i64,
    /// Length of this window and of the one after (they differ after a change of weights).
    length: i64,
    next_length: i64,
    arrivals: u64,
}

impl RoundRobin {
    #[must_use]
    pub fn new(pool: &Pool) -> Self {
        let mut table = Self {
            seats: vec![Seat::default(); pool.servers.len()],
            active: Line::default(),
            backup: Line::default(),
        };
        for (i, s) in pool.servers.iter().enumerate().filter(|(_, s)| s.usable) {
            let line = if s.backup { &mut table.backup } else { &mut table.active };
            line.next_length += i64::from(s.effective);
            let init = line.init;
            if let Some(seat) = table.seats.get_mut(i) {
                seat.weight = s.effective;
                line.by_weight(seat, i, init);
            }
        }
        for line in [&mut table.active, &mut table.backup] {
            line.length = line.next_length;
            line.position = line.length;
        }
        table
    }

    pub fn pick(&mut self, pool: &Pool, avoid: Option<usize>) -> Option<usize> {
        let line = match pool.serving() {
            Serving::Active => &mut self.active,
            Serving::Single(i) => return Some(i),
            Serving::Backups => &mut self.backup,
            Serving::Nobody => return None,
        };
        let seats = &mut self.seats;
        let mut switched = false;
        let mut avoided = None;
        // Servers passed over because they are full: they keep their turn or, after a switch, wait in the new round.
        let mut passed: Vec<usize> = Vec::new();
        let chosen = loop {
            if line.length == 0 {
                line.length = line.next_length;
                line.position = line.length;
            }
            let Some(i) = line.due(seats) else {
                if switched {
                    break avoided;
                }
                switched = true;
                line.switch();
                continue;
            };
            let Some(seat) = seats.get_mut(i) else { break None };
            line.advance(seat);
            line.remove(seat);
            line.position += 1;
            if pool.has_room(i) {
                if Some(i) != avoid || avoided.is_some() {
                    break Some(i);
                }
                avoided = Some(i);
            }
            passed.push(i);
        };
        if let Some(seat) = chosen.and_then(|i| seats.get_mut(i)) {
            line.queue(seat, chosen.unwrap_or_default());
        }
        let init = line.init;
        for i in passed.into_iter().rev().filter(|i| Some(*i) != chosen) {
            let Some(seat) = seats.get_mut(i) else { continue };
            if switched { line.by_weight(seat, i, init) } else { line.queue(seat, i) }
        }
        chosen
    }

    /// Candidate `i` is new.
    pub fn grown(&mut self, pool: &Pool, i: usize) {
        self.seats.push(Seat::default());
        self.changed(pool, i);
    }

    pub fn changed(&mut self, pool: &Pool, i: usize) {
        let (Some(s), Some(seat)) = (pool.servers.get(i), self.seats.get_mut(i)) else { return };
        let line = if s.backup { &mut self.backup } else { &mut self.active };
        let new = if s.usable { s.effective } else { 0 };
        let old = std::mem::replace(&mut seat.weight, new);
        line.next_length += i64::from(new) - i64::from(old);
        match (old, new) {
            (0, 0) => {}
            (_, 0) => {
                line.remove(seat);
                seat.list = None;
            }
            (0, _) => {
                seat.due = line.position + (line.next_length + line.length - line.position) / i64::from(new);
                line.queue(seat, i);
            }
            _ => line.reweigh(seat, i),
        }
    }
}

impl Line {
    fn next(&self) -> usize {
        1 - self.init
    }

    fn list(&mut self, list: List) -> &mut BTreeSet<Entry> {
        match list {
            List::Current => &mut self.current,
            List::Round(0) => &mut self.rounds[0],
            List::Round(_) => &mut self.rounds[1],
        }
    }

    fn insert(&mut self, seat: &mut Seat, i: usize, list: List, key: u32) {
        self.arrivals += 1;
        seat.entry = (key, self.arrivals, i);
        seat.list = Some(list);
        let entry = seat.entry;
        self.list(list).insert(entry);
    }

    fn remove(&mut self, seat: &Seat) {
        if let Some(list) = seat.list {
            self.list(list).remove(&seat.entry);
        }
    }

    fn by_weight(&mut self, seat: &mut Seat, i: usize, round: usize) {
        self.insert(seat, i, List::Round(round), MAX_EFFECTIVE - seat.weight.min(MAX_EFFECTIVE));
    }

    /// Puts a server where its due position belongs. What fits neither this window nor the next waits in `next`.
    fn queue(&mut self, seat: &mut Seat, i: usize) {
        if seat.due >= 2 * self.length || seat.due >= self.length + self.next_length {
            seat.due -= self.length;
            let next = self.next();
            return self.by_weight(seat, i, next);
        }
        let fraction = (MAX_EFFECTIVE + seat.remainder).saturating_sub(seat.weight) / WEIGHT_SCALE;
        let due = u32::try_from(seat.due.max(0)).unwrap_or(u32::MAX);
        let key = due.wrapping_mul(MAX_WEIGHT).wrapping_add(fraction);
        self.insert(seat, i, List::Current, key);
    }

    /// The server whose turn it is: the first of `current` unless there is a hole before it that `init` can fill.
    fn due(&self, seats: &mut [Seat]) -> Option<usize> {
        let first = self.current.first().map(|e| e.2);
        if first.and_then(|i| seats.get(i)).is_some_and(|s| s.due <= self.position) {
            return first;
        }
        let Some(i) = self.rounds.get(self.init).and_then(|r| r.first()).map(|e| e.2) else { return first };
        if let Some(seat) = seats.get_mut(i) {
            (seat.due, seat.remainder) = (0, 0);
        }
        Some(i)
    }

    fn advance(&self, seat: &mut Seat) {
        let weight = seat.weight.max(1);
        seat.last = if seat.due == 0 { self.position } else { seat.due };
        seat.due = seat.last + self.next_length / i64::from(weight);
        seat.remainder += u32::try_from(self.next_length % i64::from(weight)).unwrap_or(0);
        if seat.remainder >= weight {
            seat.remainder -= weight;
            seat.due += 1;
        }
    }

    fn switch(&mut self) {
        self.init = 1 - self.init;
        self.length = self.next_length;
        self.position = self.length;
    }

    /// A server on the line has a new weight.
    fn reweigh(&mut self, seat: &mut Seat, i: usize) {
        self.remove(seat);
        if seat.list == Some(List::Round(self.init)) {
            let init = self.init;
            return self.by_weight(seat, i, init);
        }
        if seat.list == Some(List::Round(self.next())) {
            seat.due += self.length;
        }
        let step = self.next_length / i64::from(seat.weight.max(1));
        seat.due = seat.due.min(seat.last + step);
        seat.remainder = 0;
        if seat.due < self.position + 2 {
            seat.due = self.position + step;
        }
        self.queue(seat, i);
    }
}
