//! The reference of the expression language, written from the tables.

use super::args::Spec;
use super::condition::PREDEFINED;
use super::{convert, fetch, log, pattern};
use std::fmt::Write;

/// `docs/expressions.md`.
#[must_use]
pub fn manual() -> String {
    let mut out = String::from(HEAD);
    write_fetches(&mut out);
    write_converters(&mut out);
    write_matches(&mut out);
    write_acls(&mut out);
    write_variables(&mut out);
    out
}

const HEAD: &str = "\
# Expressions

This page is written from the tables in `src/expr/`; a test keeps it current.

An expression is a fetch and any number of converters: `hdr(host),lower`, `src,ipmask(24)`. Arguments stand in
parentheses; inside them `'…'` is literal, `\"…\"` protects commas and parentheses, and `\\n`, `\\r`, `\\t`, `\\\\`, `\\\"`, `\\'`
and a backslash before a blank are escapes. A condition is `if` or `unless` and ACLs: names, or `{ fetch [flags] pattern… }`;
terms side by side must all hold, `or` or `||` separates alternatives, `!` negates.

A name that HAProxy knows and that is not on this page is refused with \"not supported by weir yet\".
";

fn write_fetches(out: &mut String) {
    out.push_str("\n## Fetches\n");
    for (family, rows) in fetch::FAMILIES {
        let _ = write!(out, "\n### {family}\n\n| fetch | type | reads | meaning |\n|---|---|---|---|\n");
        for row in *rows {
            let name = spelled(row.name, row.aliases, &row.args);
            let (kind, needs) = (row.output.name(), row.needs.describe());
            let _ = writeln!(out, "| {name} | {kind} | {needs} | {} |", cell(row.doc));
        }
    }
}

fn write_converters(out: &mut String) {
    out.push_str("\n## Converters\n");
    for (family, lists) in convert::FAMILIES {
        let _ = write!(out, "\n### {family}\n\n| converter | from | to | meaning |\n|---|---|---|---|\n");
        for row in lists.iter().flat_map(|rows| rows.iter()) {
            let name = spelled(row.name, &[], &row.args);
            let (input, output) = (row.input.name(), row.output.name());
            let _ = writeln!(out, "| {name} | {input} | {output} | {} |", cell(row.doc));
        }
    }
}

fn write_matches(out: &mut String) {
    out.push_str(
        "\n## Matching\n\n\
         An ACL compares by the method that `-m` names, else by the fetch's suffix (`path_beg`), else by the sample's type: \
         `bool`, `int`, `ip` or `str`; binary samples and variables need `-m`. Flags: `-i` ignores case in what follows, `-f FILE` \
         reads patterns, `-M` takes the first column of the files, `-n` forbids name resolution, `-u N` names the ACL's number, \
         `--` ends the flags. Integers take `eq`, `ge`, `gt`, `le`, `lt` and ranges `1024:65535`.\n\n\
         | method | holds when the sample |\n|---|---|\n",
    );
    for (name, _, doc) in pattern::METHODS {
        let _ = writeln!(out, "| `{name}` | {} |", cell(doc));
    }
}

fn write_acls(out: &mut String) {
    out.push_str("\n## ACLs that need no declaration\n\n| name | stands for |\n|---|---|\n");
    for (name, words) in PREDEFINED {
        let _ = writeln!(out, "| `{name}` | `{}` |", cell(&words.join(" ")));
    }
}

fn write_variables(out: &mut String) {
    out.push_str(
        "\n## Log variables\n\n\
         In a log format `%name` is a variable, `%[…]` an expression, `%%` a percent sign. Flags stand between: `%{+Q}r` quotes, \
         `%{+X}ci` is hexadecimal, `%{+E}…` escapes `\"`, `\\` and `]`; `%{…}o` sets them for all that follows, `-Q` takes one back. \
         In log lines what is missing shows as `-`; in header values and redirects it shows as nothing.\n\n\
         | variable | meaning |\n|---|---|\n",
    );
    for row in log::variable::VARIABLES {
        let _ = writeln!(out, "| `%{}` | {} |", row.name, cell(row.doc));
    }
}

fn spelled(name: &str, aliases: &[&str], args: &Spec) -> String {
    let mut text = format!("`{name}{}`", args.describe());
    for alias in aliases {
        let _ = write!(text, ", `{alias}`");
    }
    text
}

/// A bar would end the table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_DOCS=1` writes the page anew.
    #[test]
    fn page_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/expressions.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, manual()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(page == manual(), "docs/expressions.md is not current: run this test with UPDATE_DOCS=1");
    }

    #[test]
    fn every_row_says_something() {
        assert!(fetch::rows().all(|r| !r.doc.is_empty()));
        assert!(convert::rows().all(|r| !r.doc.is_empty()));
        assert!(log::variable::VARIABLES.iter().all(|v| !v.doc.is_empty()));
    }

    /// A name twice in a table would hide a row.
    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> =
            fetch::rows().flat_map(|r| std::iter::once(r.name).chain(r.aliases.iter().copied())).collect();
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
        let mut names: Vec<&str> = convert::rows().map(|r| r.name).collect();
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), before);
    }
}
