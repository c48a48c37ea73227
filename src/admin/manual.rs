//! docs/admin-socket.md, drawn from the command tables.
#![cfg(test)]

use super::command::{Command, Mode};
use super::commands::{self, unbuilt};
use std::fmt::Write as _;

const HEAD: &str = "# The administration socket

Generated from the command tables; do not edit. The commands are HAProxy's, with HAProxy's output: its management guide says
more about each of them.

```
global
    stats socket /run/haproxy/admin.sock mode 660 level admin
    stats timeout 2m
```

```
echo 'show info; show stat' | socat stdio /run/haproxy/admin.sock
```

A command is a line; `;` separates several on one line, and a backslash takes its meaning away from `;`, a blank or a backslash.
The connection is closed after the answers, unless `prompt` was given. A command whose last word is `<<` is followed by a
payload of lines that an empty line ends; `<<EOF` is ended by the line `EOF` instead (any pattern of up to seven characters).
A command with its payload may be as long as `tune.bufsize`. No more clients than `stats maxconn` are served at a time; the others
wait. A client that neither sends nor reads for `stats timeout` is disconnected.

A socket has the level `user`, `operator` (the default) or `admin`; a command names the least level it needs. In the table, *expert*
and *experimental* mean that the session must be in that mode (`expert-mode on`, `experimental-mode on`).

The prefixes of HAProxy's master socket (`@1`, `@!1`, `@<pid>`) are accepted and name the one process there is.
";

pub fn manual() -> String {
    let mut out = String::from(HEAD);
    out.push_str("\n## Commands\n\n| command | level | |\n|---|---|---|\n");
    let mut rows: Vec<&Command> = commands::all().filter(|c| !unbuilt::is_unbuilt(c)).collect();
    rows.sort_by_key(|c| c.name);
    for row in rows {
        let level = row.level.name();
        let mode = match row.mode {
            Mode::Any => "",
            Mode::Expert => ", *expert*",
            Mode::Experimental => ", *experimental*",
        };
        let usage = if row.usage.is_empty() { row.name } else { row.usage };
        let _ = writeln!(out, "| `{}` | {level}{mode} | {} |", cell(usage), cell(row.doc));
    }
    let names: Vec<String> = unbuilt::TABLE.iter().map(|c| format!("`{}`", c.name)).collect();
    if !names.is_empty() {
        let _ = write!(
            out,
            "\n## Known and not built yet\n\nThese answer that they are not supported by weir yet: {}.\n",
            names.join(", ")
        );
    }
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn committed_manual_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin-socket.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    if written != manual() && std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, manual()).unwrap();
        return;
    }
    assert!(written == manual(), "docs/admin-socket.md is not current: run this test with UPDATE_DOCS=1");
}

#[test]
fn rows_are_unique_and_documented() {
    let mut seen = std::collections::HashSet::new();
    for row in commands::all() {
        assert!(seen.insert(row.name), "two rows for '{}': take it out of unbuilt.rs", row.name);
        assert!(!row.doc.is_empty(), "{}", row.name);
        let first = row.name.split(' ').next().unwrap();
        assert!(row.usage.is_empty() || row.usage.starts_with(first), "{}: {}", row.name, row.usage);
        // What a longer name begins with must not hide it.
        let hidden = commands::all()
            .take_while(|c| c.name != row.name)
            .find(|c| row.name.strip_prefix(c.name).is_some_and(|rest| rest.starts_with(' ')));
        assert!(hidden.is_none(), "'{}' is hidden by '{}'", row.name, hidden.map_or("", |c| c.name));
    }
}
