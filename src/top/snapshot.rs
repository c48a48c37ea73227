//! The answers to `show info` and `show stat` as tables: by column name, so that older and newer versions read alike.

pub use crate::stats::value::Kind;
use std::collections::HashMap;
use std::sync::Arc;

/// One moment of the process.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    info: HashMap<String, String>,
    pub rows: Vec<Row>,
}

/// One line of `show stat`.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<String>,
    pub kind: Kind,
}

impl Snapshot {
    /// Reads the answer to `show info;show stat`. None: this is no such answer.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (info, table) = text.split_once("# pxname")?;
        let info = info
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Some(Self { info, rows: rows(table) })
    }

    /// A line of `show info`; empty where the process has none.
    #[must_use]
    pub fn info(&self, name: &str) -> &str {
        self.info.get(name).map_or("", String::as_str)
    }

    #[must_use]
    pub fn info_number(&self, name: &str) -> u64 {
        self.info(name).parse().unwrap_or(0)
    }
}

/// `table` begins behind the name of the first column.
fn rows(table: &str) -> Vec<Row> {
    let mut records = records(table).into_iter();
    let Some(mut names) = records.next() else { return Vec::new() };
    if let Some(first) = names.first_mut() {
        "pxname".clone_into(first);
    }
    let columns: Arc<[String]> = names.into();
    let kind_at = columns.iter().position(|name| name == "type");
    records
        .filter_map(|values| {
            let kind = match kind_at.and_then(|i| values.get(i)).map(String::as_str)? {
                "0" => Kind::Frontend,
                "1" => Kind::Backend,
                "2" => Kind::Server,
                "3" => Kind::Listener,
                _ => return None,
            };
            Some(Row { columns: Arc::clone(&columns), values, kind })
        })
        .collect()
}

/// CSV: a value in double quotes may hold commas, line ends and doubled quotes.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut value) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                value.push('"');
                letters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut value)),
            '\n' if !quoted => {
                if record.is_empty() && value.is_empty() {
                    continue;
                }
                record.push(std::mem::take(&mut value));
                records.push(std::mem::take(&mut record));
            }
            _ => value.push(letter),
        }
    }
    records
}

impl Row {
    /// A column's text; empty where the row or the version has none.
    #[must_use]
    pub fn text(&self, column: &str) -> &str {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|i| self.values.get(i)).map_or("", String::as_str)
    }

    #[must_use]
    pub fn number(&self, column: &str) -> Option<u64> {
        self.text(column).parse().ok()
    }

    /// `backend/server`, or the proxy alone.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Frontend | Kind::Backend => self.text("pxname").to_owned(),
            Kind::Server | Kind::Listener => format!("{}/{}", self.text("pxname"), self.text("svname")),
        }
    }

    /// All columns that have a value, in their order.
    pub fn filled(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns
            .iter()
            .zip(&self.values)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
    }

    /// How this thing fares, from its status column.
    #[must_use]
    pub fn fares(&self) -> Fares {
        let status = self.text("status");
        match status.split(' ').next().unwrap_or("") {
            // `UP 1/3`: failing; `DOWN 1/2`: coming back.
            "UP" | "DOWN" if status.contains('/') => Fares::Unsure,
            "UP" | "OPEN" => Fares::Well,
            "no" => Fares::Unchecked,
            "MAINT" | "DRAIN" | "NOLB" | "STOP" | "PAUSED" | "WAITING" => Fares::Aside,
            "FULL" => Fares::Unsure,
            _ => Fares::Badly,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fares {
    Well,
    /// Between two states, or full.
    Unsure,
    Badly,
    /// Taken out by someone.
    Aside,
    Unchecked,
}

#[cfg(test)]
pub mod samples {
    use super::Snapshot;

    pub const ANSWER: &str = "Name: HAProxy\nVersion: 2.6.12\nPid: 7\nUptime: 0d 1h02m03s\nCurrConns: 3\nMaxconn: 100\nIdle_pct: 97\nSessRate: 12\n\n\
        # pxname,svname,qcur,scur,smax,slim,stot,bin,bout,econ,status,weight,type,rate,check_status,check_duration,last_chk,lastchg,\n\
        web,FRONTEND,,3,9,100,50,1000,20000,,OPEN,,0,12,,,,,\n\
        app,s1,0,2,5,10,30,600,12000,0,UP,1,2,7,L7OK,1,\"HTTP, \"\"fine\"\"\",3700,\n\
        app,s2,4,1,5,,20,400,8000,2,DOWN 1/2,1,2,5,L4CON,,Connection refused,5,\n\
        app,s3,0,0,0,,0,0,0,0,MAINT,1,2,0,,,,90000,\n\
        app,BACKEND,0,3,9,10,50,1000,20000,2,UP,2,1,12,,,,3700,\n\n";

    pub fn snapshot() -> Snapshot {
        Snapshot::parse(ANSWER).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer() {
        let s = samples::snapshot();
        assert_eq!((s.info("Name"), s.info_number("Maxconn"), s.rows.len()), ("HAProxy", 100, 5));
        let s1 = &s.rows[1];
        assert_eq!((s1.name().as_str(), s1.kind, s1.number("scur")), ("app/s1", Kind::Server, Some(2)));
        assert_eq!(s1.text("last_chk"), "HTTP, \"fine\"");
        assert_eq!(s1.text("nope"), "");
        let fares: Vec<Fares> = s.rows.iter().map(Row::fares).collect();
        assert_eq!(fares, [Fares::Well, Fares::Well, Fares::Unsure, Fares::Aside, Fares::Well]);
    }

    #[test]
    fn something_else() {
        assert!(Snapshot::parse("HTTP/1.0 400 Bad request\r\n\r\n").is_none());
        assert_eq!(Snapshot::parse("# pxname,svname\nweb").unwrap().rows.len(), 0);
        assert_eq!(Snapshot::parse("# pxname").unwrap().rows.len(), 0);
    }
}
