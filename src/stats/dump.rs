//! `show stat` in its forms, written in pieces: nobody waits for 10,000 servers to be formatted.

use super::columns::{COLUMNS, Column};
use super::json;
use super::modules::MODULES;
use super::snapshot::{Rows, Selection, Subject};
use super::value::Value;
use crate::live::Generation;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatFormat {
    #[default]
    Csv,
    Json,
    /// `desc`: with the column's description at the end of each line.
    Typed {
        desc: bool,
    },
}

/// About how much one piece holds.
const PIECE: usize = 16 * 1024;

/// A `show stat` under way.
#[derive(Debug)]
pub struct StatDump {
    rows: Rows,
    format: StatFormat,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    /// The number of rows so far tells whether a comma goes before the next (JSON).
    Rows {
        any: bool,
    },
    Done,
}

impl StatDump {
    #[must_use]
    pub fn new(generation: Arc<Generation>, selection: Selection, format: StatFormat) -> Self {
        Self { rows: Rows::new(generation, selection), format, state: State::Header }
    }

    /// Appends the next piece to `out`; false: that was the last.
    pub fn more(&mut self, out: &mut Vec<u8>) -> bool {
        let enough = out.len() + PIECE;
        if self.state == State::Header {
            self.header(out);
            self.state = State::Rows { any: false };
        }
        let now = Instant::now();
        while let State::Rows { any } = self.state {
            if out.len() >= enough {
                return true;
            }
            let (format, modules) = (self.format, self.rows.selection.modules);
            let Some(subject) = self.rows.next(now) else {
                if format == StatFormat::Json {
                    out.extend_from_slice(b"]\n");
                }
                self.state = State::Done;
                break;
            };
            match format {
                StatFormat::Csv => csv_row(&subject, modules, out),
                StatFormat::Typed { desc } => typed_row(&subject, modules, desc, out),
                StatFormat::Json => {
                    if any {
                        out.push(b',');
                    }
                    json::row(&subject, modules, out);
                }
            }
            self.state = State::Rows { any: true };
        }
        false
    }

    /// The whole of it, where nobody waits.
    #[must_use]
    pub fn whole(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.more(&mut out) {}
        out
    }

    fn header(&self, out: &mut Vec<u8>) {
        match self.format {
            StatFormat::Csv => {
                out.extend_from_slice(b"# ");
                for column in COLUMNS {
                    out.extend_from_slice(column.name.as_bytes());
                    out.push(b',');
                }
                if self.rows.selection.modules {
                    out.extend_from_slice(b"-,");
                    for column in MODULES {
                        out.extend_from_slice(column.name.as_bytes());
                        out.push(b',');
                    }
                }
                out.push(b'\n');
            }
            StatFormat::Json => out.push(b'['),
            StatFormat::Typed { .. } => {}
        }
    }
}

/// The columns of a row with their positions.
pub(super) fn positions(modules: bool) -> impl Iterator<Item = (usize, &'static Column)> {
    let extra: &[Column] = if modules { MODULES } else { &[] };
    COLUMNS.iter().chain(extra).enumerate()
}

fn csv_row(subject: &Subject<'_>, modules: bool, out: &mut Vec<u8>) {
    let mut cell = |column: &Column| {
        if let Some(value) = column.value(subject) {
            csv_value(&value, out);
        }
        out.push(b',');
    };
    COLUMNS.iter().for_each(&mut cell);
    if modules {
        out.extend_from_slice(b"-,");
        MODULES.iter().for_each(|column| {
            if let Some(value) = column.value(subject) {
                csv_value(&value, out);
            }
            out.push(b',');
        });
    }
    out.push(b'\n');
}

/// Quoted only where a comma, a quote or a line's end would be misread.
fn csv_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) if text.contains([',', '"', '\n', '\r']) => {
            out.push(b'"');
            out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        }
        value => value.write(out),
    }
}

fn typed_row(subject: &Subject<'_>, modules: bool, desc: bool, out: &mut Vec<u8>) {
    let kind = subject.kind();
    for (position, column) in positions(modules) {
        let Some(value) = column.value(subject) else { continue };
        // Writing to memory does not fail.
        let _written = write!(
            out,
            "{}.{}.{}.{position}.{}.1:{}:{}:",
            kind.letter(),
            subject.proxy.conf.id,
            subject.sid(),
            column.name,
            column.tags(kind).letters(),
            value.type_name(),
        );
        value.write(out);
        if desc {
            let _written = write!(out, ":\"{}\"", column.words);
        }
        out.push(b'\n');
    }
}
