//! `dump stats-file`, and what a process that starts makes of such a file: the counters of whatever has a `guid`.
//!
//! A line that begins with `#fe` or `#be` names columns (those of `show stat` that count); the lines after it begin with a
//! name. What is not known, a name, a column, a section, is passed over: the file may be another version's.

use super::columns::Column;
use super::snapshot::{Part, Rows, Selection, Subject};
use super::value::Kinds;
use crate::live::Generation;
use crate::live::counters::{BackTotals, FrontTotals, ServerTotals};
use crate::live::preload::{BackSide, Beside};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// A column that can be set, and what it is in the totals.
type Entry<T> = (&'static str, fn(&mut T) -> &mut u64);

macro_rules! entries {
    ($($name:literal => $($field:ident).+),* $(,)?) => { &[$(($name, |t| &mut t.$($field).+)),*] };
}

const FRONT: &[Entry<FrontTotals>] = entries! {
    "stot" => sessions, "bin" => bytes_in, "bout" => bytes_out, "dreq" => denied_requests,
    "dresp" => denied_responses, "ereq" => failed_requests,
    "hrsp_1xx" => responses_1xx, "hrsp_2xx" => responses_2xx, "hrsp_3xx" => responses_3xx,
    "hrsp_4xx" => responses_4xx, "hrsp_5xx" => responses_5xx, "hrsp_other" => responses_other,
    "req_tot" => requests, "conn_tot" => connections, "intercepted" => intercepted,
    "dcon" => denied_connections, "dses" => denied_sessions, "wrew" => rewrites_failed,
    "eint" => internal_errors, "h1sess" => h1_sessions, "h1req" => h1_requests,
    "h2sess" => h2_sessions, "h2req" => h2_requests,
    "reqbout" => requests_out, "resbin" => responses_in,
};

/// A backend or a server: the same columns, of which each uses its own.
#[derive(Clone, Copy, Debug, Default)]
struct Back {
    back: BackTotals,
    beside: Beside,
}

const BACK: &[Entry<Back>] = entries! {
    "stot" => beside.sessions, "bin" => back.bytes_in, "bout" => back.bytes_out,
    "dreq" => back.denied_requests, "dresp" => back.denied_responses,
    "econ" => back.failed_connections, "eresp" => back.failed_responses,
    "wretr" => back.retries, "wredis" => back.redispatches,
    "chkfail" => beside.failed_checks, "chkdown" => beside.down_transitions, "lbtot" => beside.balanced,
    "hrsp_1xx" => back.responses_1xx, "hrsp_2xx" => back.responses_2xx, "hrsp_3xx" => back.responses_3xx,
    "hrsp_4xx" => back.responses_4xx, "hrsp_5xx" => back.responses_5xx, "hrsp_other" => back.responses_other,
    "hanafail" => beside.failed_analyses, "req_tot" => back.requests,
    "cli_abrt" => back.client_aborts, "srv_abrt" => back.server_aborts, "wrew" => back.rewrites_failed,
    "connect" => back.connects, "reuse" => back.reuses, "eint" => back.internal_errors,
    "reqbout" => back.requests_out, "resbin" => back.responses_in,
};

impl Back {
    /// The same as a server's.
    fn server(&self) -> ServerTotals {
        let b = &self.back;
        ServerTotals {
            requests: b.requests,
            bytes_in: b.bytes_in,
            bytes_out: b.bytes_out,
            requests_out: b.requests_out,
            responses_in: b.responses_in,
            denied_responses: b.denied_responses,
            failed_connections: b.failed_connections,
            failed_responses: b.failed_responses,
            retries: b.retries,
            redispatches: b.redispatches,
            client_aborts: b.client_aborts,
            server_aborts: b.server_aborts,
            connects: b.connects,
            reuses: b.reuses,
            internal_errors: b.internal_errors,
            rewrites_failed: b.rewrites_failed,
            responses_1xx: b.responses_1xx,
            responses_2xx: b.responses_2xx,
            responses_3xx: b.responses_3xx,
            responses_4xx: b.responses_4xx,
            responses_5xx: b.responses_5xx,
            responses_other: b.responses_other,
            ..ServerTotals::default()
        }
    }
}

/// A `dump stats-file` under way.
#[derive(Debug)]
pub struct FileDump {
    sections: std::vec::IntoIter<Section>,
    rows: Option<(Rows, Vec<&'static Column>)>,
    generation: Arc<Generation>,
}

#[derive(Debug)]
struct Section {
    head: &'static str,
    kinds: Kinds,
    columns: Vec<&'static str>,
}

/// About how much one piece holds.
const PIECE: usize = 16 * 1024;

impl FileDump {
    #[must_use]
    pub fn new(generation: Arc<Generation>) -> Self {
        let section = |head, kinds, columns| Section { head, kinds: Kinds::of(kinds), columns };
        let sections = vec![
            section("#fe guid,", "FL", FRONT.iter().map(|(name, _)| *name).collect()),
            section("\n#be guid,", "BS", BACK.iter().map(|(name, _)| *name).collect()),
        ];
        Self { sections: sections.into_iter(), rows: None, generation }
    }

    /// Appends the next piece to `out`; false: that was the last.
    pub fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let enough = out.len() + PIECE;
        while out.len() < enough {
            if let Some((rows, columns)) = &mut self.rows
                && let Some(subject) = rows.next(Instant::now())
            {
                row(&subject, columns, out);
                continue;
            }
            let Some(section) = self.sections.next() else { return false };
            out.extend_from_slice(section.head.as_bytes());
            for name in &section.columns {
                out.extend_from_slice(name.as_bytes());
                out.push(b',');
            }
            out.push(b'\n');
            let selection = Selection { kinds: section.kinds, ..Selection::default() };
            let columns = section.columns.iter().filter_map(|name| Column::named(name)).collect();
            self.rows = Some((Rows::new(Arc::clone(&self.generation), selection), columns));
        }
        true
    }
}

/// What has no name is left out.
fn row(subject: &Subject<'_>, columns: &[&Column], out: &mut Vec<u8>) {
    let guid = match subject.part {
        Part::Front(_) | Part::Back(..) => subject.proxy.conf.guid.as_deref(),
        Part::Listener(listener, _) => listener.bind.guid.as_deref(),
        Part::Server(server, _) => server.conf.guid.as_deref(),
    };
    let Some(guid) = guid else { return };
    out.extend_from_slice(guid.as_bytes());
    for column in columns {
        out.push(b',');
        if let Some(value) = column.value(subject) {
            value.write(out);
        }
    }
    out.extend_from_slice(b",\n");
}

/// Lets counters go on from what `text` says. Answers what there is to be said about it.
pub fn preload(generation: &Generation, text: &str) -> Vec<String> {
    let (mut fronts, mut backs) = (HashMap::new(), HashMap::new());
    let mut columns: Option<Columns> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        if let Some(head) = line.strip_prefix('#') {
            columns = Some(Columns::read(head));
            continue;
        }
        let (guid, values) = line.split_once(',').unwrap_or((line, ""));
        let values = values.split(',').map(|v| v.parse::<u64>().ok());
        match &columns {
            None => {
                let known = "a line '#fe guid,...' or '#be guid,...' must come before the values";
                return vec![format!("stats-file : line {number} is not read: {known}.")];
            }
            Some(Columns::Unknown) => {}
            Some(Columns::Front(entries)) => fill(fronts.entry(guid).or_default(), entries, values),
            Some(Columns::Back(entries)) => fill(backs.entry(guid).or_default(), entries, values),
        }
    }
    apply(generation, &fronts, &backs);
    Vec::new()
}

fn apply(generation: &Generation, fronts: &HashMap<&str, FrontTotals>, backs: &HashMap<&str, Back>) {
    let now = Instant::now();
    for (guid, side) in generation.named_fronts() {
        if let Some(totals) = fronts.get(guid) {
            side.preload(totals, now);
        }
    }
    for (guid, side) in generation.named_backs() {
        let Some(totals) = backs.get(guid) else { continue };
        match side {
            BackSide::Backend(back) => back.preload(&totals.back, totals.beside, now),
            BackSide::Server(server) => server.preload(&totals.server(), totals.beside, now),
        }
    }
}

/// The columns of a section, in the file's order.
enum Columns {
    Front(Vec<Option<Entry<FrontTotals>>>),
    Back(Vec<Option<Entry<Back>>>),
    Unknown,
}

impl Columns {
    fn read(head: &str) -> Self {
        let named = |head: &str, rest: &str| rest.strip_prefix(head).map(str::to_owned);
        let (front, back) = (named("fe guid,", head), named("be guid,", head));
        fn find<T>(names: &str, table: &[Entry<T>]) -> Vec<Option<Entry<T>>> {
            names.split(',').map(|name| table.iter().find(|(known, _)| *known == name).copied()).collect()
        }
        match (front, back) {
            (Some(names), _) => Self::Front(find(&names, FRONT)),
            (_, Some(names)) => Self::Back(find(&names, BACK)),
            _ => Self::Unknown,
        }
    }
}

fn fill<T>(totals: &mut T, entries: &[Option<Entry<T>>], values: impl Iterator<Item = Option<u64>>) {
    for (entry, value) in entries.iter().zip(values) {
        if let (Some((_, field)), Some(value)) = (entry, value) {
            *field(totals) = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::COLUMNS;
    use super::super::value::Kind;
    use super::*;

    /// A new counter must be kept too, or stand here with its reason.
    #[test]
    fn every_counter_is_kept() {
        // Not counted by weir, or computed from others.
        let elsewhere = [
            "comp_in",
            "comp_out",
            "comp_byp",
            "comp_rsp",
            "cache_lookups",
            "cache_hits",
            "h3sess",
            "h3req",
            "sess_other",
            "req_other",
            "reqbin",
            "resbout",
        ];
        // Time spent down goes with the server's state, not with its counters.
        let elsewhere = |name: &str| elsewhere.contains(&name) || name == "downtime";
        for column in COLUMNS.iter().filter(|c| !elsewhere(c.name)) {
            let counts = |kinds: [Kind; 2]| {
                kinds.iter().any(|k| column.kinds.has(*k) && column.tags(*k).nature() == "Counter")
            };
            let front = FRONT.iter().any(|(name, _)| *name == column.name);
            assert_eq!(counts([Kind::Listener, Kind::Frontend]), front, "{} of frontends", column.name);
            let back = BACK.iter().any(|(name, _)| *name == column.name);
            assert_eq!(counts([Kind::Backend, Kind::Server]), back, "{} of backends", column.name);
        }
    }

    #[test]
    fn entries_are_columns() {
        let names = FRONT.iter().map(|(n, _)| *n).chain(BACK.iter().map(|(n, _)| *n));
        for name in names {
            assert!(Column::named(name).is_some(), "{name}");
        }
    }
}
