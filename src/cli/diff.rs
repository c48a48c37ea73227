//! `weir diff`: what a reload from one configuration to another would do.

use super::identity;
use crate::config::diff::{Difference, diff};
use crate::config::environment::Environment;
use crate::config::{self, Source, diagnostic};
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Usage: weir diff [-j] <old> <new>

Says what differs between two configurations, and what a reload makes of each difference. Both are files, or directories
of *.cfg files. Comments, spacing, quoting and the order of sections make no difference.

  -j    the same as JSON

Exit code: 0 no difference, 1 there are some, 2 one of them cannot be read or is wrong.
";

pub fn run(words: &[String]) -> ExitCode {
    let (mut json, mut files) = (false, Vec::new());
    for word in words {
        match word.as_str() {
            "-j" | "--json" => json = true,
            "-h" | "--help" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            option if option.starts_with('-') => {
                return refuse(&format!("unknown option '{option}'\n{HELP}"));
            }
            file => files.push(PathBuf::from(file)),
        }
    }
    let [old, new] = files.as_slice() else { return refuse(HELP) };
    let mut environment = Environment::of_process();
    identity::environment(&mut environment, None);
    match (read(old, &environment), read(new, &environment)) {
        (Ok(old), Ok(new)) => {
            let all = diff(&old, &new, &environment);
            print!("{}", if json { as_json(&all) } else { as_text(&all) });
            ExitCode::from(u8::from(!all.is_empty()))
        }
        (old, new) => refuse(&[old.err(), new.err()].into_iter().flatten().collect::<String>()),
    }
}

fn refuse(text: &str) -> ExitCode {
    eprint!("weir diff: {text}");
    ExitCode::from(2)
}

/// A configuration that loads.
fn read(path: &PathBuf, environment: &Environment) -> Result<Vec<Source>, String> {
    let sources = config::read_sources(std::slice::from_ref(path)).map_err(|problem| problem + "\n")?;
    config::load(&sources, environment)
        .map_err(|all| diagnostic::render_refusal(&all, std::process::id(), false))?;
    Ok(sources)
}

fn as_text(all: &[Difference]) -> String {
    all.iter().map(|d| format!("{d}\n")).collect()
}

fn as_json(all: &[Difference]) -> String {
    let row = |d: &Difference| {
        format!(
            "{{\"section\":{},\"change\":{},\"effect\":{}}}",
            quoted(&d.section),
            quoted(&d.change),
            quoted(d.effect)
        )
    };
    format!("[{}]\n", all.iter().map(row).collect::<Vec<_>>().join(",\n "))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
