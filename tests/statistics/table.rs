//! A dump of `show stat`, by object and column.

use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Table {
    /// Up to the `-`, after which each protocol has its own.
    pub columns: Vec<String>,
    /// By `proxy/object`.
    pub rows: BTreeMap<String, Vec<String>>,
}

impl Table {
    pub fn of(csv: &str) -> Self {
        let mut lines = csv.lines().filter(|line| !line.is_empty());
        let header = lines.next().and_then(|line| line.strip_prefix("# ")).expect("a header");
        let columns: Vec<String> = header
            .split(',')
            .take_while(|name| !name.is_empty() && *name != "-")
            .map(str::to_owned)
            .collect();
        let rows = lines
            .map(|line| {
                let cells = cells(line);
                (format!("{}/{}", cells[0], cells[1]), cells)
            })
            .collect();
        Self { columns, rows }
    }

    pub fn cell(&self, row: &str, column: &str) -> &str {
        let at = self.columns.iter().position(|name| name == column).expect("a column");
        self.rows.get(row).unwrap_or_else(|| panic!("no row {row}"))[at].as_str()
    }

    pub fn number(&self, row: &str, column: &str) -> u64 {
        self.cell(row, column).parse().unwrap_or(0)
    }
}

/// The cells of a line; a quoted one may hold commas and doubled quotes.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().expect("one cell").push(c),
        }
    }
    cells
}
