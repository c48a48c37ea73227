//! What the screen shows and what a key does to it. Pure: snapshots and keys in, effects out.
//!
//! ```text
//!   Browsing --/--> Typing (a filter) --Enter, Esc--> Browsing
//!   Browsing --d m r K on a server--> Asking --y--> the command goes out;  any other key: nothing happens
//!   Browsing --?--> Help;  Browsing --Enter--> Details;  any key goes back
//! ```

use super::snapshot::{Fares, Kind, Row, Snapshot};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Points of a sparkline.
const HISTORY: usize = 240;
const PAGE: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    Quit,
    Refresh,
    /// To be sent to the socket.
    Command(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Browsing,
    Typing,
    Asking { question: String, command: String },
    Help,
    Details,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Configuration,
    Name,
    Sessions,
    Rate,
    Queue,
    Errors,
}

impl Order {
    const ALL: [Self; 6] =
        [Self::Configuration, Self::Name, Self::Sessions, Self::Rate, Self::Queue, Self::Errors];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Configuration => "as configured",
            Self::Name => "by name",
            Self::Sessions => "by sessions",
            Self::Rate => "by rate",
            Self::Queue => "by queue",
            Self::Errors => "by errors",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|o| *o == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// Which rows are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Everything,
    Proxies,
    Servers,
    Troubled,
}

impl Scope {
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Proxies => "proxies",
            Self::Servers => "servers",
            Self::Troubled => "not up",
        }
    }

    fn holds(self, row: &Row) -> bool {
        match self {
            Self::Everything => true,
            Self::Proxies => matches!(row.kind, Kind::Frontend | Kind::Backend),
            Self::Servers => row.kind == Kind::Server,
            Self::Troubled => {
                row.kind != Kind::Listener && !matches!(row.fares(), Fares::Well | Fares::Unchecked)
            }
        }
    }
}

/// Bytes a second, in and out.
pub type Throughput = (u64, u64);

#[derive(Debug)]
pub struct State {
    pub address: String,
    pub interval: Duration,
    pub mode: Mode,
    pub order: Order,
    pub scope: Scope,
    pub filter: String,
    pub paused: bool,
    pub snapshot: Snapshot,
    pub learned_at: Option<Instant>,
    /// Why the last look failed.
    pub problem: Option<String>,
    /// What became of the last command.
    pub said: Option<String>,
    pub session_rates: VecDeque<u64>,
    pub connections: VecDeque<u64>,
    /// The row under the cursor, by name, so that it stays where the rows move.
    selected: Option<String>,
    throughput: HashMap<String, Throughput>,
}

impl State {
    #[must_use]
    pub fn new(address: String, interval: Duration, filter: String) -> Self {
        Self {
            address,
            interval,
            mode: Mode::Browsing,
            order: Order::Configuration,
            scope: Scope::Everything,
            filter,
            paused: false,
            snapshot: Snapshot::default(),
            learned_at: None,
            problem: None,
            said: None,
            session_rates: VecDeque::new(),
            connections: VecDeque::new(),
            selected: None,
            throughput: HashMap::new(),
        }
    }

    /// A new look at the process.
    pub fn learn(&mut self, snapshot: Snapshot, now: Instant) {
        self.problem = None;
        if self.paused {
            return;
        }
        if let Some(before) = self.learned_at {
            let elapsed = now.saturating_duration_since(before).as_secs_f64();
            if elapsed > 0.0 {
                self.throughput = throughput(&self.snapshot, &snapshot, elapsed);
            }
        }
        push(&mut self.session_rates, snapshot.info_number("SessRate"));
        push(&mut self.connections, snapshot.info_number("CurrConns"));
        self.snapshot = snapshot;
        self.learned_at = Some(now);
    }

    pub fn lost(&mut self, problem: String) {
        self.problem = Some(problem);
    }

    /// A command's answer: nothing when it was done.
    pub fn answered(&mut self, text: &str) {
        let text = text.trim();
        self.said = Some(if text.is_empty() { "done".to_owned() } else { text.replace('\n', " ") });
    }

    #[must_use]
    pub fn throughput(&self, row: &Row) -> Throughput {
        self.throughput.get(&key(row)).copied().unwrap_or_default()
    }

    /// The rows on the screen, in their order.
    #[must_use]
    pub fn shown(&self) -> Vec<&Row> {
        let wanted = self.filter.to_lowercase();
        let mut rows: Vec<&Row> = self
            .snapshot
            .rows
            .iter()
            .filter(|row| self.scope.holds(row) && row.name().to_lowercase().contains(&wanted))
            .collect();
        let by_number = |rows: &mut Vec<&Row>, column: &str| {
            rows.sort_by_key(|row| std::cmp::Reverse(row.number(column).unwrap_or(0)));
        };
        match self.order {
            Order::Configuration => {}
            Order::Name => rows.sort_by_cached_key(|row| row.name()),
            Order::Sessions => by_number(&mut rows, "scur"),
            Order::Rate => by_number(&mut rows, "rate"),
            Order::Queue => by_number(&mut rows, "qcur"),
            Order::Errors => rows.sort_by_cached_key(|row| std::cmp::Reverse(errors(row))),
        }
        rows
    }

    /// Where the cursor stands among [`Self::shown`].
    #[must_use]
    pub fn cursor(&self) -> usize {
        let shown = self.shown();
        self.selected.as_ref().and_then(|name| shown.iter().position(|row| key(row) == *name)).unwrap_or(0)
    }

    #[must_use]
    pub fn selected(&self) -> Option<&Row> {
        self.shown().get(self.cursor()).copied()
    }

    pub fn key(&mut self, event: KeyEvent) -> Effect {
        if event.modifiers.contains(KeyModifiers::CONTROL) && event.code == KeyCode::Char('c') {
            return Effect::Quit;
        }
        match std::mem::replace(&mut self.mode, Mode::Browsing) {
            Mode::Browsing => self.browse(event.code),
            Mode::Typing => {
                self.type_filter(event.code);
                Effect::Nothing
            }
            Mode::Asking { command, .. } => match event.code {
                KeyCode::Char('y' | 'Y') => Effect::Command(command),
                _ => {
                    self.said = Some("nothing was changed".to_owned());
                    Effect::Nothing
                }
            },
            Mode::Help | Mode::Details => Effect::Nothing,
        }
    }

    fn browse(&mut self, code: KeyCode) -> Effect {
        match code {
            KeyCode::Char('q') => return Effect::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Typing,
            KeyCode::Esc => {
                self.filter.clear();
                self.said = None;
            }
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('o') => self.order = self.order.next(),
            KeyCode::Char('1') => self.scope = Scope::Everything,
            KeyCode::Char('2') => self.scope = Scope::Proxies,
            KeyCode::Char('3') => self.scope = Scope::Servers,
            KeyCode::Char('4') => self.scope = Scope::Troubled,
            KeyCode::Char('u') => return Effect::Refresh,
            KeyCode::Enter if self.selected().is_some() => self.mode = Mode::Details,
            KeyCode::Up | KeyCode::Char('k') => self.step(|at, _| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.step(|at, _| at + 1),
            KeyCode::PageUp => self.step(|at, _| at.saturating_sub(PAGE)),
            KeyCode::PageDown => self.step(|at, _| at + PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.step(|_, _| 0),
            KeyCode::End | KeyCode::Char('G') => self.step(|_, last| last),
            KeyCode::Char('d') => self.ask("Drain", |name| format!("set server {name} state drain")),
            KeyCode::Char('m') => {
                self.ask("Put into maintenance", |name| format!("set server {name} state maint"));
            }
            KeyCode::Char('r') => self.ask("Make ready", |name| format!("set server {name} state ready")),
            KeyCode::Char('K') => {
                self.ask("Cut every session of", |name| format!("shutdown sessions server {name}"));
            }
            _ => {}
        }
        Effect::Nothing
    }

    fn type_filter(&mut self, code: KeyCode) {
        self.mode = Mode::Typing;
        match code {
            KeyCode::Enter => self.mode = Mode::Browsing,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Browsing;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) => self.filter.push(letter),
            _ => {}
        }
    }

    fn step(&mut self, to: impl Fn(usize, usize) -> usize) {
        let shown = self.shown();
        let Some(last) = shown.len().checked_sub(1) else { return };
        let at = to(self.cursor(), last).min(last);
        self.selected = shown.get(at).map(|row| key(row));
    }

    /// Changes go out after a yes only.
    fn ask(&mut self, what: &str, command: impl Fn(&str) -> String) {
        let Some(row) = self.selected() else { return };
        if row.kind != Kind::Server {
            self.said = Some("only servers can be changed: move to one".to_owned());
            return;
        }
        let name = row.name();
        let sessions = row.number("scur").unwrap_or(0);
        let plural = if sessions == 1 { "" } else { "s" };
        let question = format!("{what} {name} ({sessions} session{plural} now)? y/n");
        self.mode = Mode::Asking { question, command: command(&name) };
    }
}

/// A frontend and a backend may share their name.
fn key(row: &Row) -> String {
    format!("{:?} {}", row.kind, row.name())
}

/// Failures of requests: whatever the row's kind counts of them.
#[must_use]
pub fn errors(row: &Row) -> u64 {
    ["ereq", "econ", "eresp"].iter().filter_map(|column| row.number(column)).sum()
}

fn push(series: &mut VecDeque<u64>, value: u64) {
    if series.len() == HISTORY {
        series.pop_front();
    }
    series.push_back(value);
}

fn throughput(before: &Snapshot, after: &Snapshot, seconds: f64) -> HashMap<String, Throughput> {
    let bytes = |row: &Row| (row.number("bin").unwrap_or(0), row.number("bout").unwrap_or(0));
    let old: HashMap<String, Throughput> = before.rows.iter().map(|row| (key(row), bytes(row))).collect();
    // Counters start again at 0 when the process was restarted: then there is no rate yet.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds).round() as u64;
    after
        .rows
        .iter()
        .filter_map(|row| {
            let (now, then) = (bytes(row), old.get(&key(row))?);
            Some((key(row), (rate(now.0, then.0), rate(now.1, then.1))))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::samples;
    use super::*;

    fn state() -> State {
        let mut state = State::new("/run/x".into(), Duration::from_secs(2), String::new());
        state.learn(samples::snapshot(), Instant::now());
        state
    }

    /// Presses `keys` and answers the last effect.
    fn press(state: &mut State, keys: &str) -> Effect {
        keys.chars().fold(Effect::Nothing, |_, letter| {
            let code = match letter {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                letter => KeyCode::Char(letter),
            };
            state.key(KeyEvent::new(code, KeyModifiers::NONE))
        })
    }

    fn names(state: &State) -> Vec<String> {
        state.shown().iter().map(|row| row.name()).collect()
    }

    #[test]
    fn moves_and_filters() {
        let mut s = state();
        assert_eq!(names(&s), ["web", "app/s1", "app/s2", "app/s3", "app"]);
        press(&mut s, "jj");
        assert_eq!(s.selected().unwrap().name(), "app/s2");
        press(&mut s, "o");
        assert_eq!(s.selected().unwrap().name(), "app/s2", "the cursor stays with its row");
        press(&mut s, "G");
        assert_eq!(s.selected().unwrap().name(), "web");
        press(&mut s, "/S1\n");
        assert_eq!(names(&s), ["app/s1"]);
        press(&mut s, "\u{1b}4");
        assert_eq!(names(&s), ["app/s2", "app/s3"]);
    }

    #[test]
    fn asks_before_it_changes() {
        let mut s = state();
        assert_eq!(press(&mut s, "d"), Effect::Nothing);
        assert!(s.said.take().unwrap().contains("only servers"), "the cursor is on a frontend");
        press(&mut s, "jd");
        assert!(
            matches!(&s.mode, Mode::Asking { question, .. } if question == "Drain app/s1 (2 sessions now)? y/n")
        );
        assert_eq!(press(&mut s, "n"), Effect::Nothing);
        assert_eq!(press(&mut s, "dy"), Effect::Command("set server app/s1 state drain".into()));
        assert_eq!(press(&mut s, "my"), Effect::Command("set server app/s1 state maint".into()));
        assert_eq!(press(&mut s, "ry"), Effect::Command("set server app/s1 state ready".into()));
        assert_eq!(press(&mut s, "Ky"), Effect::Command("shutdown sessions server app/s1".into()));
        assert_eq!(press(&mut s, "q"), Effect::Quit);
    }

    #[test]
    fn sorts_and_computes_rates() {
        let mut s = state();
        let later = samples::ANSWER.replace(",1000,20000,,OPEN", ",3000,60000,,OPEN");
        s.learn(Snapshot::parse(&later).unwrap(), s.learned_at.unwrap() + Duration::from_secs(2));
        assert_eq!(s.throughput(s.shown()[0]), (1000, 20000));
        s.order = Order::Queue;
        assert_eq!(names(&s)[0], "app/s2");
    }
}
