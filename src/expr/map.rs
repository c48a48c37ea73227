//! The files of maps and patterns.

use super::pattern::reference::Entry;

/// The lines of a pattern file. With `two_columns` the first is the pattern and the rest its value.
pub(super) fn read_entries(file: &str, two_columns: bool) -> Result<Vec<Entry>, String> {
    let text = read(file)?;
    let entry = |(_, line)| match two_columns {
        true => {
            let (key, value) = split(line);
            Entry::new(key, Some(value))
        }
        false => Entry::new(line, None),
    };
    Ok(lines(&text).map(entry).collect())
}

/// The line in the file of its entry `number`, for messages.
pub(super) fn line_of(file: &str, number: usize) -> usize {
    read(file).ok().and_then(|text| lines(&text).nth(number).map(|(line, _)| line)).unwrap_or_default()
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
    let bytes = std::fs::read(name).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        format!("failed to open pattern file <{file}> ({reason})")
    })?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().iter().map(|b| char::from(*b)).collect()))
}

/// Lines that say something, with their numbers. Only a `#` in the first column starts a comment.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().filter_map(|(i, raw)| {
        if raw.starts_with('#') {
            return None;
        }
        let line = raw.trim_end_matches('\r').trim_start_matches([' ', '\t']);
        (!line.is_empty()).then_some((i + 1, line))
    })
}

/// A line's first word, and the rest without the blanks around it.
#[must_use]
pub fn split(line: &str) -> (&str, &str) {
    match line.split_once([' ', '\t']) {
        Some((key, value)) => (key, value.trim_start_matches([' ', '\t']).trim_end_matches([' ', '\t'])),
        None => (line, ""),
    }
}
