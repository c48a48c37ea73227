//! Maps and pattern files: read once, when the configuration is parsed.

use super::pattern::{Flags, Method, Operator, Patterns};

/// A two-column file: patterns and what each gives.
#[derive(Debug)]
pub(crate) struct Map {
    pub patterns: Patterns,
    pub keys: Vec<String>,
    pub values: Vec<String>,
    /// Where each stands in the file.
    pub lines: Vec<usize>,
}

impl Map {
    pub fn load(file: &str, method: Method) -> Result<Self, String> {
        let text = read(file)?;
        let mut map =
            Self { patterns: Patterns::new(method), keys: Vec::new(), values: Vec::new(), lines: Vec::new() };
        for (number, line) in entries(&text) {
            let (key, value) = two_columns(line);
            let place = |e: String| format!("{e} at line {number} of file <{file}>");
            map.patterns.add(key, Operator::Eq, Flags::default()).map_err(place)?;
            map.keys.push(key.to_owned());
            map.values.push(value.to_owned());
            map.lines.push(number);
        }
        Ok(map)
    }
}

/// Lines of `-f FILE`; with `columns` only the first column of each is a pattern (`-M`).
pub(crate) fn read_patterns(file: &str, columns: bool) -> Result<Vec<(usize, String)>, String> {
    let text = read(file)?;
    let pattern = |line: &str| if columns { two_columns(line).0.to_owned() } else { line.to_owned() };
    Ok(entries(&text).map(|(n, line)| (n, pattern(line))).collect())
}

fn read(file: &str) -> Result<String, String> {
    let name = match file.strip_prefix("opt@") {
        Some(optional) if !std::path::Path::new(optional).exists() => return Ok(String::new()),
        Some(optional) => optional,
        None => file.strip_prefix("file@").unwrap_or(file),
    };
    // `virt@` names exist only in memory and start empty.
    if name.starts_with("virt@") {
        return Ok(String::new());
    }
    let bytes = std::fs::read(name).map_err(|_| format!("failed to open pattern file <{file}>"))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().iter().map(|b| char::from(*b)).collect()))
}

/// Lines that say something, with their numbers. Only a `#` in the first column starts a comment.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().filter_map(|(i, raw)| {
        if raw.starts_with('#') {
            return None;
        }
        let line = raw.trim_end_matches('\r').trim_start_matches([' ', '\t']);
        (!line.is_empty()).then_some((i + 1, line))
    })
}

fn two_columns(line: &str) -> (&str, &str) {
    match line.split_once([' ', '\t']) {
        Some((key, value)) => (key, value.trim_start_matches([' ', '\t']).trim_end_matches([' ', '\t'])),
        None => (line, ""),
    }
}
