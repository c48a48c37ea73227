//! `weir top -b`: the same table as lines of text.

use super::arguments::Arguments;
use super::client::{self, Address};
use super::state::State;
use super::view;
use std::io::Write;
use std::time::Instant;

/// # Errors
/// As [`client::fetch`]; a reader that has gone is none.
pub fn run(address: &Address, arguments: &Arguments) -> Result<(), String> {
    let mut state = State::new(address.to_string(), arguments.interval, arguments.filter.clone());
    for round in 0..arguments.count {
        if round > 0 {
            std::thread::sleep(arguments.interval);
        }
        state.learn(client::fetch(address)?, Instant::now());
        let mut out = std::io::stdout().lock();
        if out.write_all(text(&state).as_bytes()).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(())
}

fn text(state: &State) -> String {
    let mut out = view::summary(state).join("   ");
    out.push('\n');
    let rows: Vec<[String; view::COLUMNS.len()]> =
        state.shown().iter().map(|row| view::cells(state, row)).collect();
    let widths: Vec<usize> = (0..view::COLUMNS.len())
        .map(|i| {
            let cells = rows.iter().map(|row| row[i].chars().count());
            cells.chain([view::COLUMNS[i].title.len()]).max().unwrap_or(0)
        })
        .collect();
    let titles = view::COLUMNS.each_ref().map(|c| c.title.to_owned());
    for row in std::iter::once(&titles).chain(&rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .zip(&view::COLUMNS)
            .map(|((cell, width), column)| {
                let width = *width;
                if column.is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::samples;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_table() {
        let mut state = State::new("/run/x".into(), Duration::from_secs(2), "app".into());
        state.learn(samples::snapshot(), Instant::now());
        let text = text(&state);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("HAProxy 2.6.12"), "{text}");
        assert!(lines[1].starts_with("NAME"), "{text}");
        assert!(lines[2].contains("s1") && lines[2].contains("L7OK"), "{text}");
    }
}
