//! `weir diff`: what a reload from one configuration to another would do.

use super::identity;
use crate::config::diff::{Difference, changed_files, diff};
use crate::config::environment::Environment;
use crate::config::{self, Source, diagnostic, written};
use crate::stats::json_string;
use crate::top;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Usage: weir diff [-j] <old> <new>
       weir diff [-j] [-s <socket>] -f <new>...

Says what differs between two configurations, and what a reload inside the process makes of each difference. They are
files, or directories of *.cfg files. Comments, spacing, quoting and the order of sections make no difference. With -f the
old one is what a process runs: it is asked through its stats socket (with level admin), tells how many connections there
are where something changes, and which files the configuration names have changed since it read them.

  -f <new>     the new configuration; several make one
  -s <socket>  the process's stats socket (default: WEIR_SOCKET, or the first 'stats socket' of the usual files)
  -j           the same as JSON

Exit code: 0 no difference, 1 there are some, 2 one of them cannot be read or is wrong.
";

#[derive(Debug, Default)]
struct Arguments {
    json: bool,
    socket: Option<String>,
    /// With `-f`.
    new: Vec<PathBuf>,
    files: Vec<PathBuf>,
}

pub fn run(words: &[String]) -> ExitCode {
    let mut arguments = Arguments::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match (word.as_str(), words.as_slice().first()) {
            ("-j" | "--json", _) => arguments.json = true,
            ("-h" | "--help", _) => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            ("-f", Some(file)) => arguments.new.push(PathBuf::from(file)),
            ("-s" | "--socket", Some(socket)) => arguments.socket = Some(socket.clone()),
            (option, _) if option.starts_with('-') => {
                return refuse(&format!("unknown option '{option}', or its value is missing\n{HELP}"));
            }
            (file, _) => {
                arguments.files.push(PathBuf::from(file));
                continue;
            }
        }
        if matches!(word.as_str(), "-f" | "-s" | "--socket") {
            words.next();
        }
    }
    let mut environment = Environment::of_process();
    identity::environment(&mut environment, None);
    let found = match (arguments.files.as_slice(), arguments.new.as_slice()) {
        ([old, new], []) => two(old, new, &environment),
        ([], [_, ..]) => running(&arguments, &environment),
        _ => Err(HELP.to_owned()),
    };
    match found {
        Ok(all) => {
            print!("{}", if arguments.json { as_json(&all) } else { as_text(&all) });
            ExitCode::from(u8::from(!all.is_empty()))
        }
        Err(problem) => refuse(&problem),
    }
}

fn two(old: &Path, new: &Path, environment: &Environment) -> Result<Vec<Difference>, String> {
    match (read(&[old.to_owned()], environment), read(&[new.to_owned()], environment)) {
        (Ok(old), Ok(new)) => Ok(diff(&old, &new, environment)),
        (old, new) => Err([old.err(), new.err()].into_iter().flatten().collect()),
    }
}

/// What the process that answers at the socket would make of another configuration.
fn running(arguments: &Arguments, environment: &Environment) -> Result<Vec<Difference>, String> {
    let new = read(&arguments.new, environment)?;
    let ask = |line: &str| top::ask_at(arguments.socket.as_deref(), line).map_err(|e| e + "\n");
    let told = ask("show config")?;
    if told.starts_with("Unknown command") || told.starts_with("Permission denied") {
        let answer = told.lines().next().unwrap_or_default();
        return Err(format!(
            "the process does not tell its configuration ('show config' takes weir and a socket with level admin): {answer}\n"
        ));
    }
    let stamps = written::read_stamps(&told);
    let old = Source { name: "the running configuration".into(), bytes: told.into_bytes() };
    let mut all = diff(&[old], &new, environment);
    all.extend(changed_files(&stamps, &new, environment));
    let counts = ask("show stat")?;
    for difference in &mut all {
        difference.connections = connections(&counts, difference);
    }
    Ok(all)
}

/// Of the frontend, the backend or the server in which something changes.
fn connections(counts: &str, difference: &Difference) -> Option<u64> {
    let (kind, name) = difference.section.split_once(' ')?;
    let line = match (kind, &difference.server) {
        (_, Some(server)) => server,
        ("frontend" | "listen", None) => "FRONTEND",
        ("backend", None) => "BACKEND",
        _ => return None,
    };
    let mut lines = counts.lines();
    let names = lines.next()?.trim_start_matches("# ");
    let at = names.split(',').position(|n| n == "scur")?;
    let mut found = lines.map(|l| l.split(',').collect::<Vec<_>>());
    let found = found.find(|l| l.first() == Some(&name) && l.get(1) == Some(&line))?;
    found.get(at)?.parse().ok()
}

fn refuse(text: &str) -> ExitCode {
    eprint!("weir diff: {text}");
    ExitCode::from(2)
}

/// A configuration that loads.
fn read(paths: &[PathBuf], environment: &Environment) -> Result<Vec<Source>, String> {
    let sources = config::read_sources(paths).map_err(|problem| problem + "\n")?;
    config::load(&sources, environment)
        .map_err(|all| diagnostic::render_refusal(&all, std::process::id(), false))?;
    Ok(sources)
}

fn as_text(all: &[Difference]) -> String {
    all.iter().map(|d| format!("{d}\n")).collect()
}

fn as_json(all: &[Difference]) -> String {
    let row = |d: &Difference| {
        let connections = d.connections.map_or_else(String::new, |n| format!(",\"connections\":{n}"));
        format!(
            "{{\"section\":{},\"change\":{},\"effect\":{}{connections}}}",
            quoted(&d.section),
            quoted(&d.change),
            quoted(d.effect)
        )
    };
    format!("[{}]\n", all.iter().map(row).collect::<Vec<_>>().join(",\n "))
}

fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    json_string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
