//! One row of the page's tables: the same texts go into the document and to the script that keeps it current.

use super::text;
use super::words::{self, State};
use crate::stats::columns::{COLUMNS, Column};
use crate::stats::{Kind, Subject, Value};
use std::fmt;
use std::sync::OnceLock;

/// A column of the page.
#[derive(Debug)]
pub struct Heading {
    pub label: &'static str,
    pub title: &'static str,
}

const fn heading(label: &'static str, title: &'static str) -> Heading {
    Heading { label, title }
}

pub const HEADINGS: [Heading; 16] = [
    heading("Status", "State, and how long it has lasted"),
    heading("Last check", "Result of the last health check, and how long it took"),
    heading("Weight", "Share of the traffic; b: backup"),
    heading("Queue", "Requests waiting: now / most so far, and how much of maxqueue is used"),
    heading("Sessions", "Sessions in progress: now / most so far"),
    heading("Limit", "Limit of sessions, and how much of it is used"),
    heading("Rate", "Sessions per second: now / most so far"),
    heading("Total", "Sessions so far"),
    heading("In", "Bytes received from clients"),
    heading("Out", "Bytes sent to clients"),
    heading("Denied", "Requests, responses and connections that rules refused"),
    heading("Errors", "Bad requests; failed connections to servers and broken responses"),
    heading("Retries", "Connections tried again / sent to another server"),
    heading("4xx", "Responses that blame the client"),
    heading("5xx", "Responses that blame the server"),
    heading("Time", "Average time until the response began (HTTP) or of the session (TCP)"),
];

/// Where the text of a cell is looked for.
pub const STATUS: usize = 0;
pub const CHECK: usize = 1;
pub const QUEUE: usize = 3;
pub const LIMIT: usize = 5;

/// Names a row in URLs and in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowId {
    /// The proxy's `id`.
    pub proxy: u32,
    /// As in the `type` column.
    pub kind: u32,
    pub sid: u32,
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.proxy, self.kind, self.sid)
    }
}

#[derive(Clone, Debug)]
pub struct Row {
    pub id: RowId,
    pub kind: Kind,
    pub name: String,
    pub state: State,
    pub cells: [String; HEADINGS.len()],
    /// How long the state has lasted.
    pub age: String,
    pub status_title: String,
    pub check_title: String,
    /// Sessions in percent of their limit.
    pub load: Option<u64>,
    /// Waiting requests in percent of `maxqueue`.
    pub queue: Option<u64>,
}

macro_rules! known {
    ($($name:ident)*) => {
        struct Known { $($name: &'static Column,)* }
        fn known() -> &'static Known {
            static KNOWN: OnceLock<Known> = OnceLock::new();
            KNOWN.get_or_init(|| Known {
                $($name: Column::named(stringify!($name)).unwrap_or(&COLUMNS[0]),)*
            })
        }
    };
}

known! {
    status lastchg check_status check_code check_duration last_chk check_desc
    agent_status agent_code agent_duration last_agt agent_desc weight bck qcur qmax qlimit scur smax slim
    rate rate_max stot bin bout dreq dresp dcon dses ereq econ eresp wretr wredis hrsp_4xx hrsp_5xx rtime ttime req_tot
    mode
}

/// The number in a column; `None`: the row has none.
fn number(column: &Column, subject: &Subject<'_>) -> Option<u64> {
    match column.value(subject)? {
        Value::U32(n) => Some(u64::from(n)),
        Value::U64(n) => Some(n),
        Value::S32(n) => u64::try_from(n).ok(),
        Value::Float(_) | Value::Text(_) => None,
    }
}

/// A column's text as it is.
#[must_use]
pub fn text_of(column: &Column, subject: &Subject<'_>) -> String {
    let mut out = Vec::new();
    if let Some(value) = column.value(subject) {
        value.write(&mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The state alone, for the summary.
#[must_use]
pub fn state_of(subject: &Subject<'_>) -> State {
    State::of(&text_of(known().status, subject))
}

/// What the sparklines are drawn from: sessions, requests, errors, bytes in and out so far.
#[must_use]
pub fn totals(subject: &Subject<'_>) -> [u64; 5] {
    let k = known();
    let n = |column| number(column, subject).unwrap_or(0);
    let errors = n(k.ereq) + n(k.econ) + n(k.eresp) + n(k.hrsp_5xx);
    [n(k.stot), n(k.req_tot), errors, n(k.bin), n(k.bout)]
}

#[must_use]
pub fn id_of(subject: &Subject<'_>) -> RowId {
    RowId { proxy: subject.proxy.conf.id, kind: subject.kind() as u32, sid: subject.sid() }
}

impl Row {
    /// `DOWN 1m 5s`
    #[must_use]
    pub fn status(&self) -> String {
        format!("{} {}", self.cells[STATUS], self.age).trim_end().to_owned()
    }

    #[must_use]
    pub fn of(subject: &Subject<'_>) -> Self {
        let k = known();
        let kind = subject.kind();
        let status = text_of(k.status, subject);
        let count = |column: &'static Column| number(column, subject);
        let sum = |columns: &[&'static Column]| {
            let present: Vec<u64> = columns.iter().filter_map(|c| count(c)).collect();
            (!present.is_empty()).then(|| present.iter().sum::<u64>())
        };
        let shown = |n: Option<u64>| n.map(text::number).unwrap_or_default();
        let pair = |now: Option<u64>, most: Option<u64>| match (now, most) {
            (Some(now), Some(most)) => format!("{} / {}", text::number(now), text::number(most)),
            (now, _) => now.map(text::number).unwrap_or_default(),
        };
        let (sessions, limit) = (count(k.scur), count(k.slim).filter(|n| *n > 0));
        let since = count(k.lastchg).filter(|_| kind == Kind::Server || kind == Kind::Backend);
        let times = if text_of(k.mode, subject) == "http" { count(k.rtime) } else { count(k.ttime) };
        let bytes = |n: Option<u64>| n.map(text::bytes).unwrap_or_default();
        let cells = [
            status.clone(),
            check_cell(subject),
            weight_cell(subject),
            pair(count(k.qcur), count(k.qmax)),
            pair(sessions, count(k.smax)),
            shown(limit),
            pair(count(k.rate), count(k.rate_max)),
            shown(count(k.stot)),
            bytes(count(k.bin)),
            bytes(count(k.bout)),
            shown(sum(&[k.dreq, k.dresp, k.dcon, k.dses])),
            shown(sum(&[k.ereq, k.econ, k.eresp])),
            pair(count(k.wretr), count(k.wredis)),
            shown(count(k.hrsp_4xx)),
            shown(count(k.hrsp_5xx)),
            times.map(text::milliseconds).unwrap_or_default(),
        ];
        Self {
            id: id_of(subject),
            kind,
            name: name_of(subject),
            state: State::of(&status),
            cells,
            age: since.map(text::seconds).unwrap_or_default(),
            status_title: status_title(kind, &status),
            check_title: check_title(subject),
            load: percent(sessions, limit),
            queue: percent(count(k.qcur), count(k.qlimit)),
        }
    }
}

/// What is wrong with a row, and since when: `DOWN 1m 5s, L7STS/503`.
#[must_use]
pub fn trouble(subject: &Subject<'_>) -> String {
    let status = Row::of(subject).status();
    match health_check().result(subject).as_str() {
        "" => status,
        result => format!("{status}, {result}"),
    }
}

/// What stands in the name's column.
#[must_use]
pub fn name_of(subject: &Subject<'_>) -> String {
    match subject.kind() {
        Kind::Frontend => "Frontend".into(),
        Kind::Backend => "Backend".into(),
        Kind::Server | Kind::Listener => {
            Column::named("svname").map(|c| text_of(c, subject)).unwrap_or_default()
        }
    }
}

/// How much of a limit is used; `None`: there is none.
fn percent(now: Option<u64>, limit: Option<u64>) -> Option<u64> {
    Some((now? * 100).checked_div(limit?)?.min(100))
}

/// The state in a sentence.
fn status_title(kind: Kind, status: &str) -> String {
    match (kind, status) {
        (Kind::Backend, "UP") => "Up: there are servers for new requests.".into(),
        (Kind::Backend, "DOWN") => "Down: no server is left for new requests.".into(),
        _ => words::status(status),
    }
}

/// Where the results of one of a server's two checks stand.
struct Results {
    status: &'static Column,
    code: &'static Column,
    duration: &'static Column,
    words: &'static Column,
    answer: &'static Column,
}

fn health_check() -> Results {
    let k = known();
    Results {
        status: k.check_status,
        code: k.check_code,
        duration: k.check_duration,
        words: k.check_desc,
        answer: k.last_chk,
    }
}

fn agent_check() -> Results {
    let k = known();
    Results {
        status: k.agent_status,
        code: k.agent_code,
        duration: k.agent_duration,
        words: k.agent_desc,
        answer: k.last_agt,
    }
}

impl Results {
    /// `L7OK/200`; empty: there is no such check. That the next one is under way would only flicker.
    fn result(&self, subject: &Subject<'_>) -> String {
        let mut result = text_of(self.status, subject).trim_start_matches("* ").to_owned();
        let code = text_of(self.code, subject);
        if !code.is_empty() && code != "0" {
            result += &format!("/{code}");
        }
        result
    }

    /// `L7OK/200 3 ms`
    fn cell(&self, subject: &Subject<'_>) -> String {
        let mut cell = self.result(subject);
        if let Some(ms) = number(self.duration, subject).filter(|_| !cell.is_empty()) {
            cell += &format!(" {}", text::milliseconds(ms));
        }
        cell
    }

    /// In a sentence, with what the server answered.
    fn sentence(&self, subject: &Subject<'_>) -> String {
        let status = text_of(self.status, subject);
        if status.is_empty() {
            return String::new();
        }
        let mut sentence = format!("{}: {}", text_of(self.words, subject), words::check(&status));
        let answer = text_of(self.answer, subject);
        if !answer.is_empty() {
            sentence += &format!(" - {answer}");
        }
        sentence
    }
}

/// The health check; the agent's where there is no other.
fn check_cell(subject: &Subject<'_>) -> String {
    let health = health_check().cell(subject);
    if health.is_empty() { agent_check().cell(subject) } else { health }
}

fn check_title(subject: &Subject<'_>) -> String {
    let (health, agent) = (health_check().sentence(subject), agent_check().sentence(subject));
    match (health.is_empty(), agent.is_empty()) {
        (_, true) => health,
        (true, false) => format!("Agent: {agent}"),
        (false, false) => format!("{health}; agent: {agent}"),
    }
}

fn weight_cell(subject: &Subject<'_>) -> String {
    let k = known();
    let weight = number(k.weight, subject).map(text::number).unwrap_or_default();
    let backup = subject.kind() == Kind::Server && number(k.bck, subject) == Some(1);
    if backup { format!("{weight} b") } else { weight }
}
