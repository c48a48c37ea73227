//! The reference manual and the `-dK` listing, both drawn from the keyword tables.

use super::keyword::{
    BACKEND, CRT_STORE, DEFAULTS, FRONTEND, GLOBAL, HEALTH_CHECK, HTTP_ERRORS, Keyword, LISTEN, MAILERS,
    RING, USERLIST, VRRP, VRRP_GROUP, VRRP_SCRIPT,
};
use super::keywords::{TABLES, bind, bind_ssl, server, unsupported};
use super::section_names;
use std::fmt::Write;

/// The text of `docs/configuration.md`.
#[must_use]
pub fn manual() -> String {
    let mut out = String::from(
        "# Configuration keywords\n\n\
         Generated from the keyword tables; do not edit. The language is HAProxy's: its manual says more about each keyword.\n\
         In the tables, D, F, L and B mean that a keyword may stand in `defaults`, `frontend`, `listen` and `backend`;\n\
         *no* means that `no` may stand before it.\n",
    );
    let rows = || TABLES.iter().flat_map(|t| t.iter());
    section(&mut out, "The `global` section", rows().filter(|k| k.sections.0 & GLOBAL.0 != 0), false);
    let proxies = DEFAULTS.0 | FRONTEND.0 | LISTEN.0 | BACKEND.0;
    section(&mut out, "Proxies", rows().filter(|k| k.sections.0 & proxies != 0), true);
    section(&mut out, "`userlist` sections", rows().filter(|k| k.sections.0 & USERLIST.0 != 0), false);
    section(&mut out, "`http-errors` sections", rows().filter(|k| k.sections.0 & HTTP_ERRORS.0 != 0), false);
    section(&mut out, "`mailers` sections", rows().filter(|k| k.sections.0 & MAILERS.0 != 0), false);
    section(&mut out, "`ring` sections", rows().filter(|k| k.sections.0 & RING.0 != 0), false);
    section(&mut out, "`crt-store` sections", rows().filter(|k| k.sections.0 & CRT_STORE.0 != 0), false);
    section(&mut out, "`healthcheck` sections", rows().filter(|k| k.sections.0 & HEALTH_CHECK.0 != 0), false);
    for (name, set) in [("vrrp", VRRP), ("vrrp-group", VRRP_GROUP), ("vrrp-script", VRRP_SCRIPT)] {
        section(&mut out, &format!("`{name}` sections"), rows().filter(|k| k.sections.0 & set.0 != 0), false);
    }
    out.push_str("\n## Options of `bind` lines\n\n| option | arguments | |\n|---|---|---|\n");
    for option in bind::OPTIONS {
        let _ = writeln!(out, "| `{}` | {} | {} |", option.name, code(option.args), option.doc);
    }
    for (name, args, doc) in bind_ssl::OWN {
        let _ = writeln!(out, "| `{name}` | {} | {doc} |", code(args));
    }
    for option in bind_ssl::OPTIONS {
        let _ = writeln!(out, "| `{}` | {} | {} |", option.name, code(option.args), option.doc);
    }
    out.push_str(
        "\n## Options of `server` and `default-server` lines\n\n| option | arguments | |\n|---|---|---|\n",
    );
    for option in server::every_option() {
        let _ = writeln!(out, "| `{}` | {} | {} |", option.name, code(option.args), option.doc);
    }
    unsupported_part(&mut out);
    out
}

fn section<'a>(out: &mut String, title: &str, rows: impl Iterator<Item = &'a Keyword>, columns: bool) {
    let mut rows: Vec<&Keyword> = rows.collect();
    rows.sort_by_key(|k| k.name);
    if rows.is_empty() {
        return;
    }
    let _ = write!(out, "\n## {title}\n\n");
    out.push_str(if columns {
        "| keyword | arguments | where | |\n|---|---|---|---|\n"
    } else {
        "| keyword | arguments | |\n|---|---|---|\n"
    });
    for row in rows {
        let no = if row.no { " *no*" } else { "" };
        let _ = write!(out, "| `{}`{no} | {} |", row.name, code(row.args));
        if columns {
            let letter =
                |set: super::keyword::Sections, c: char| if row.sections.0 & set.0 != 0 { c } else { '-' };
            let _ = write!(
                out,
                " {}{}{}{} |",
                letter(DEFAULTS, 'D'),
                letter(FRONTEND, 'F'),
                letter(LISTEN, 'L'),
                letter(BACKEND, 'B')
            );
        }
        let _ = writeln!(out, " {} |", row.doc.replace('|', "\\|"));
    }
}

/// A table cell in code type; the bar would end the cell.
fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

fn unsupported_part(out: &mut String) {
    out.push_str(
        "\n## Known and not built yet\n\nThese are keywords of HAProxy's. Each is answered with an error that names its place.\n",
    );
    let rows = || TABLES.iter().flat_map(|t| t.iter()).map(|k| k.name);
    let built = |name: &str| rows().any(|row| row == name || row.split(' ').next() == Some(name));
    let mut list = |title: &str, names: &mut dyn Iterator<Item = String>| {
        let names: Vec<String> = names.map(|n| format!("`{n}`")).collect();
        if !names.is_empty() {
            let _ = write!(out, "\n{title}: {}.\n", names.join(", "));
        }
    };
    list("Sections", &mut section_names::UNSUPPORTED.iter().map(|s| (*s).to_owned()));
    list("In `global`", &mut unsupported::GLOBAL.iter().filter(|n| !built(n)).map(|s| (*s).to_owned()));
    list("In proxies", &mut unsupported::PROXY.iter().filter(|n| !built(n)).map(|s| (*s).to_owned()));
    let options = unsupported::OPTIONS.iter().map(|o| format!("option {o}"));
    list("Options", &mut options.filter(|o| !rows().any(|row| row == o)));
    list("On `bind` lines", &mut bind::UNSUPPORTED.iter().map(|s| (*s).to_owned()));
    list("On `server` lines", &mut server::UNSUPPORTED.iter().map(|s| (*s).to_owned()));
}

/// `-dK<kind>`: `cfg` lists the configuration keywords. `None`: no such kind here.
#[must_use]
pub fn list_keywords(kind: &str) -> Option<String> {
    if !matches!(kind, "cfg" | "all") {
        return None;
    }
    let mut out = String::from("# List of registered configuration keywords:\n");
    for (name, set) in [
        ("global", GLOBAL.0),
        ("listen", DEFAULTS.0 | FRONTEND.0 | LISTEN.0 | BACKEND.0),
        ("userlist", USERLIST.0),
        ("http-errors", HTTP_ERRORS.0),
        ("healthcheck", HEALTH_CHECK.0),
        ("mailers", MAILERS.0),
        ("ring", RING.0),
        ("crt-store", CRT_STORE.0),
        ("vrrp", VRRP.0),
        ("vrrp-group", VRRP_GROUP.0),
        ("vrrp-script", VRRP_SCRIPT.0),
    ] {
        let _ = writeln!(out, "{name}");
        let rows = TABLES.iter().flat_map(|t| t.iter()).filter(|k| k.sections.0 & set != 0);
        let mut names: Vec<&str> = rows.map(|k| k.name).collect();
        names.sort_unstable();
        names.dedup();
        for keyword in names {
            let _ = writeln!(out, "\t{keyword}");
        }
        if name == "listen" {
            for option in bind::OPTIONS {
                let _ = writeln!(
                    out,
                    "\tbind <addr> {}{}",
                    option.name,
                    if option.args.is_empty() { "" } else { " +1" }
                );
            }
            let own = bind_ssl::OWN.iter().map(|(name, args, _)| (*name, *args));
            for (name, args) in own.chain(bind_ssl::OPTIONS.iter().map(|o| (o.name, o.args))) {
                let plus = if args.is_empty() { "" } else { " +1" };
                let _ = writeln!(out, "\tbind <addr> {name}{plus}");
            }
            for option in server::every_option() {
                let plus = if option.args.is_empty() { "" } else { " +1" };
                let _ = writeln!(out, "\tserver <name> <addr> {}{plus}", option.name);
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_manual_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        if written != manual() && std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, manual()).unwrap();
            return;
        }
        assert!(
            written == manual(),
            "docs/configuration.md is not current: run this test with UPDATE_DOCS=1"
        );
    }

    #[test]
    fn every_row_is_documented_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for row in TABLES.iter().flat_map(|t| t.iter()) {
            assert!(!row.doc.is_empty(), "{}", row.name);
            for bit in (0..16).map(|b| 1_u16 << b).filter(|b| row.sections.0 & b != 0) {
                assert!(seen.insert((row.name, bit)), "{} has two rows for one section", row.name);
            }
        }
    }

    #[test]
    fn listing() {
        assert!(list_keywords("cfg").is_some_and(|l| l.contains("\tbind <addr> accept-proxy\n")));
        assert!(list_keywords("foo").is_none());
    }
}
