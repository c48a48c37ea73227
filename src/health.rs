//! The rise/fall state machine of a checked server. Pure: results in, transitions out.
//!
//! ```text
//!        fall failures             rise successes
//!   Up ------------------> Down ------------------> Up
//!   Up <--> Stopping   (conditional success: `disable-on-404`)
//! ```
//! The state is a number, as HAProxy's: 0 is down for good, `rise` just up, `rise + fall - 1` up for good. A failure takes
//! one off until it would fall below `rise`, which makes it 0; a success adds one until it reaches `rise`, which makes it
//! `rise + fall - 1`.

use std::time::Duration;

/// `rise`, `fall` and the intervals of one server.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub rise: u32,
    pub fall: u32,
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
    Passed,
    /// Alive but asks for no more new work.
    Conditional,
    Failed,
}

/// What checks make of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Up,
    Stopping,
    Down,
}

/// What one result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The count moved (HAProxy's reason to write a `Health check for server` line, besides a new status).
    pub counted: bool,
    /// A failure that counts in `chkfail`.
    pub failed: bool,
    /// The state the server is in now, if it is another one than before.
    pub transition: Option<State>,
}

#[derive(Clone, Debug)]
pub struct Health {
    timing: Timing,
    health: u32,
    state: State,
}

impl Health {
    #[must_use]
    pub fn new(timing: Timing, start: Start) -> Self {
        let timing = Timing { rise: timing.rise.max(1), fall: timing.fall.max(1), ..timing };
        let (health, state) = match start {
            Start::Up => (timing.rise, State::Up),
            Start::FullyUp => (timing.rise + timing.fall - 1, State::Up),
            Start::Down => (timing.rise - 1, State::Down),
            Start::FullyDown => (0, State::Down),
        };
        Self { timing, health, state }
    }

    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    #[must_use]
    pub fn value(&self) -> u32 {
        self.health
    }

    /// As `2/3 UP`: (steps, of how many, up?).
    #[must_use]
    pub fn progress(&self) -> (u32, u32, bool) {
        let Timing { rise, fall, .. } = self.timing;
        if self.health >= rise { (self.health - rise + 1, fall, true) } else { (self.health, rise, false) }
    }

    pub fn record(&mut self, verdict: Verdict) -> Outcome {
        let (rise, full) = (self.timing.rise, self.timing.rise + self.timing.fall - 1);
        let before = self.health;
        let failed = verdict == Verdict::Failed;
        if failed {
            self.health = self.health.saturating_sub(1);
            if self.health < rise {
                self.health = 0;
            }
        } else if self.health < full {
            self.health += 1;
            if self.health >= rise {
                self.health = full;
            }
        }
        let state = match verdict {
            _ if self.health < rise => State::Down,
            Verdict::Conditional => State::Stopping,
            Verdict::Passed => State::Up,
            // Stopping lasts until a check passes or the server is down.
            Verdict::Failed => self.state,
        };
        let transition = (state != self.state).then_some(state);
        self.state = state;
        let counted = if failed { before > 0 } else { self.health != before };
        Outcome { counted, failed: failed && before > 0, transition }
    }

    /// `on-error sudden-death`: the failure to be recorded next leaves the server up by one step.
    pub fn near_death(&mut self) {
        self.health = self.health.min(self.timing.rise + 1);
    }

    /// `on-error mark-down`: the failure to be recorded next takes the server down.
    pub fn last_chance(&mut self) {
        self.health = self.health.min(self.timing.rise);
    }

    /// How long until the next check: `fastinter` in between, `downinter` when down for good.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let t = &self.timing;
        if self.health == t.rise + t.fall - 1 {
            t.inter
        } else if self.health == 0 && self.state == State::Down {
            t.downinter.unwrap_or(t.inter)
        } else {
            t.fastinter.unwrap_or(t.inter)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        rise: 2,
        fall: 3,
        inter: Duration::from_secs(10),
        fastinter: Some(Duration::from_secs(2)),
        downinter: Some(Duration::from_secs(30)),
    };

    /// `results`: `+` passed, `-` failed, `4` conditional. `expected`: the state after each (capital: transition) and the
    /// seconds until the next check.
    fn check(start: Start, results: &str, expected: &str) {
        let mut health = Health::new(TIMING, start);
        let got: Vec<String> = results
            .chars()
            .map(|c| {
                let verdict = match c {
                    '+' => Verdict::Passed,
                    '4' => Verdict::Conditional,
                    _ => Verdict::Failed,
                };
                let outcome = health.record(verdict);
                let letter = match health.state() {
                    State::Up => "u",
                    State::Stopping => "s",
                    State::Down => "d",
                };
                let letter =
                    if outcome.transition.is_some() { letter.to_uppercase() } else { letter.to_owned() };
                format!("{letter}{}:{}", health.value(), health.interval().as_secs())
            })
            .collect();
        assert_eq!(got.join(" "), expected, "{start:?} {results}");
    }

    #[test]
    fn rises_and_falls() {
        check(Start::Up, "+---", "u4:10 u3:2 u2:2 D0:30");
        check(Start::Up, "-", "D0:30");
        check(Start::FullyUp, "--+---", "u3:2 u2:2 u4:10 u3:2 u2:2 D0:30");
        check(Start::Down, "+", "U4:10");
        check(Start::Down, "-", "d0:30");
        check(Start::FullyDown, "+-++", "d1:2 d0:30 d1:2 U4:10");
    }

    #[test]
    fn errors_in_traffic() {
        let mut health = Health::new(TIMING, Start::FullyUp);
        health.near_death();
        assert_eq!(health.record(Verdict::Failed).transition, None);
        assert_eq!(health.record(Verdict::Failed).transition, Some(State::Down));
        let mut health = Health::new(TIMING, Start::FullyUp);
        health.last_chance();
        assert_eq!(health.record(Verdict::Failed).transition, Some(State::Down));
    }

    #[test]
    fn stops_on_condition() {
        check(Start::FullyUp, "4-+", "S4:10 s3:2 U4:10");
        check(Start::FullyUp, "4---", "S4:10 s3:2 s2:2 D0:30");
    }
}
