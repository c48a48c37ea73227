//! The rise/fall arithmetic of a checked server. Pure: results in, a number out.
//!
//! ```text
//!        fall failures             rise successes
//!   up ------------------> down ------------------> up
//! ```
//! The state is a number, as HAProxy's: 0 is down for good, `rise` just up, `rise + fall - 1` up for good. A failure takes
//! one off until it would fall below `rise`, which makes it 0; a success adds one until it reaches `rise`, which makes it
//! `rise + fall - 1`. Health check and agent each have one; a server is up while neither says down (`live::checks`).

pub mod status;

pub use status::{Finding, Status};

use std::time::Duration;

/// The intervals of one check.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub inter: Duration,
    pub fastinter: Option<Duration>,
    pub downinter: Option<Duration>,
}

/// `init-state`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Up, the first failure takes it down.
    Up,
    /// Up, as after many successes.
    FullyUp,
    /// Down, the first success brings it up.
    Down,
    FullyDown,
}

/// What one check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: no check ended, or it does not tell.
    Unknown,
    Passed,
    /// Alive but asks for no more new work.
    Conditional,
    Failed,
}

/// `rise`, `fall` and where between them a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    rise: u32,
    fall: u32,
    value: u32,
}

impl Health {
    #[must_use]
    pub fn new(rise: u32, fall: u32, start: Start) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        let value = match start {
            Start::Up => rise,
            Start::FullyUp => rise + fall - 1,
            Start::Down => rise - 1,
            Start::FullyDown => 0,
        };
        Self { rise, fall, value }
    }

    /// At `value`, or at the top if that is lower.
    #[must_use]
    pub fn at(self, value: u32) -> Self {
        Self { value: value.min(self.top()), ..self }
    }

    #[must_use]
    pub fn value(self) -> u32 {
        self.value
    }

    #[must_use]
    pub fn rise(self) -> u32 {
        self.rise
    }

    #[must_use]
    pub fn fall(self) -> u32 {
        self.fall
    }

    /// Up for good.
    #[must_use]
    pub fn top(self) -> u32 {
        self.rise + self.fall - 1
    }

    #[must_use]
    pub fn is_up(self) -> bool {
        self.value >= self.rise
    }

    /// As `2/3 UP`: (steps, of how many).
    #[must_use]
    pub fn progress(self) -> (u32, u32) {
        if self.is_up() { (self.value - self.rise + 1, self.fall) } else { (self.value, self.rise) }
    }

    #[must_use]
    pub fn after(self, verdict: Verdict) -> Self {
        let value = match verdict {
            Verdict::Unknown => self.value,
            Verdict::Failed if self.value > self.rise => self.value - 1,
            Verdict::Failed => 0,
            Verdict::Passed | Verdict::Conditional if self.value + 1 >= self.rise => self.top(),
            Verdict::Passed | Verdict::Conditional => self.value + 1,
        };
        Self { value, ..self }
    }

    /// `on-error sudden-death`: the next failure leaves the server up by one step.
    #[must_use]
    pub fn near_death(self) -> Self {
        self.at(self.value.min(self.rise + 1))
    }

    /// `on-error mark-down`: the next failure takes the server down.
    #[must_use]
    pub fn last_chance(self) -> Self {
        self.at(self.rise)
    }
}

impl Timing {
    /// How long until the next check: `fastinter` in between, `downinter` when the server is `stopped` for good.
    #[must_use]
    pub fn interval(&self, health: Health, stopped: bool) -> Duration {
        if health.value == health.top() {
            self.inter
        } else if health.value == 0 && stopped {
            self.downinter.unwrap_or(self.inter)
        } else {
            self.fastinter.unwrap_or(self.inter)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        inter: Duration::from_secs(10),
        fastinter: Some(Duration::from_secs(2)),
        downinter: Some(Duration::from_secs(30)),
    };

    /// `results`: `+` passed, `-` failed. `expected`: the value after each and the seconds until the next check.
    fn check(start: Start, results: &str, expected: &str) {
        let mut health = Health::new(2, 3, start);
        let got: Vec<String> = results
            .chars()
            .map(|c| {
                health = health.after(if c == '+' { Verdict::Passed } else { Verdict::Failed });
                let letter = if health.is_up() { "u" } else { "d" };
                let interval = TIMING.interval(health, !health.is_up());
                format!("{letter}{}:{}", health.value(), interval.as_secs())
            })
            .collect();
        assert_eq!(got.join(" "), expected, "{start:?} {results}");
    }

    #[test]
    fn rises_and_falls() {
        check(Start::Up, "+---", "u4:10 u3:2 u2:2 d0:30");
        check(Start::Up, "-", "d0:30");
        check(Start::FullyUp, "--+---", "u3:2 u2:2 u4:10 u3:2 u2:2 d0:30");
        check(Start::Down, "+", "u4:10");
        check(Start::Down, "-", "d0:30");
        check(Start::FullyDown, "+-++", "d1:2 d0:30 d1:2 u4:10");
    }

    #[test]
    fn errors_in_traffic() {
        let top = Health::new(2, 3, Start::FullyUp);
        let near = top.near_death().after(Verdict::Failed);
        assert!(near.is_up() && !near.after(Verdict::Failed).is_up());
        assert!(!top.last_chance().after(Verdict::Failed).is_up());
    }
}
