//! `weir ipvsadm`, and the same by a link named `ipvsadm`: its command line, over the stats socket of the running process.

use crate::l4::ipvsadm::table::Table;
use crate::l4::ipvsadm::{Command, HELP, List, Problem, What, output, parse, rule};
use crate::live::l4::Change;
use crate::top;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// ipvsadm's exit codes: the command line is wrong; what it asks for cannot be done.
const WRONG: u8 = 2;
const REFUSED: u8 = 255;
/// What is to be listed is not there.
const MISSING: u8 = 1;

/// Was the program started by the name of ipvsadm?
pub fn is_called(program: Option<&OsStr>) -> bool {
    program.and_then(|p| Path::new(p).file_name()).is_some_and(|name| name == "ipvsadm")
}

pub fn run(words: &[String]) -> ExitCode {
    let command = match parse(words) {
        Ok(command) => command,
        Err(problem) => {
            say(&problem, None);
            eprintln!("Try `ipvsadm -h' or 'ipvsadm --help' for more information.");
            return ExitCode::from(WRONG);
        }
    };
    let outcome = match command {
        Command::Help => {
            print!("{HELP}");
            Ok(())
        }
        Command::Version => {
            println!("ipvsadm v1.31 (weir {}, formats of IPVS v1.2.1)", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Command::Change(change) => apply(&[(None, change)]),
        Command::Restore => restore(),
        Command::List(List { what: What::Connections(engines), numeric, .. }) => {
            connections(engines, numeric)
        }
        Command::List(list) => match table() {
            Ok(table) if list.service.is_none_or(|key| table.services.iter().any(|s| s.key == key)) => {
                print!("{}", output::list(&table, &list));
                Ok(())
            }
            Ok(_) => {
                eprintln!("No such service");
                return ExitCode::from(MISSING);
            }
            Err(problem) => Err(problem),
        },
        Command::Save(numeric) => table().map(|table| {
            print!("{}", output::save(&table, numeric));
            let configured: BTreeSet<&str> =
                table.services.iter().map(|s| s.section.as_str()).filter(|s| !s.is_empty()).collect();
            if !configured.is_empty() {
                let names: Vec<&str> = configured.into_iter().collect();
                eprintln!("not saved, as the configuration has them: {}", names.join(", "));
            }
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(REFUSED)
        }
    }
}

fn say(problem: &Problem, line: Option<usize>) {
    let place = line.map_or(String::new(), |n| format!("line {n}: "));
    eprintln!("{place}{}", problem.message);
    if let Some(hint) = &problem.hint {
        eprintln!("  {hint}");
    }
}

fn table() -> Result<Table, String> {
    let answer = top::ask("show l4 table")?;
    Table::read(&answer).ok_or_else(|| format!("the process answered: {}", answer.trim()))
}

/// `-L -c`: the flows, and before them the persistence templates. `engines`: with their columns.
fn connections(engines: bool, numeric: bool) -> Result<(), String> {
    let (templates, flows) = (top::ask("show l4 templates")?, top::ask("show l4 flows")?);
    let of = |text: &str| text.strip_prefix(output::CONNECTIONS).map(str::to_owned);
    let (Some(templates), Some(flows)) = (of(&templates), of(&flows)) else {
        return Err(format!("the process answered: {}", flows.trim()));
    };
    let mut out = std::io::stdout().lock();
    let head = if engines { output::PERSISTENT_CONNECTIONS } else { output::CONNECTIONS };
    let lines = templates.lines().chain(flows.lines()).filter(|line| !line.is_empty());
    let mut write = |text: &str| out.write_all(text.as_bytes());
    // Who reads it may stop.
    let _ = write(head).and_then(|()| {
        for line in lines {
            match output::read_connection(line).filter(|_| !numeric) {
                Some(flow) => write(&output::connection(&flow, false))?,
                None => write(&format!("{line}\n"))?,
            }
        }
        Ok(())
    });
    Ok(())
}

/// `-R`: every line is read before any counts, and all of them count or none.
fn restore() -> Result<(), String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|e| format!("cannot read the rules: {e}"))?;
    let mut changes = Vec::new();
    let mut wrong = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&words) {
            Ok(Command::Change(change)) => changes.push((Some(number), change)),
            Ok(_) => {
                eprintln!(
                    "line {number}: this command changes nothing: it does not belong into a list of rules"
                );
                wrong += 1;
            }
            Err(problem) => {
                say(&problem, Some(number));
                wrong += 1;
            }
        }
    }
    if wrong > 0 {
        return Err(format!("{wrong} of the lines are wrong: nothing was changed"));
    }
    apply(&changes)
}

/// Sends the changes, each with the number of its line where it has one.
fn apply(changes: &[(Option<usize>, Change)]) -> Result<(), String> {
    if changes.is_empty() {
        return Ok(());
    }
    let rules: Vec<String> = changes.iter().map(|(_, change)| rule::rule(change)).collect();
    let answer = top::ask(&format!("l4 apply <<\n{}\n", rules.join("\n")))?;
    let answer = answer.trim();
    if answer.is_empty() {
        return Ok(());
    }
    let Some((number, why)) = answer.strip_prefix("refused ").and_then(|rest| rest.split_once(": ")) else {
        return Err(answer.to_owned());
    };
    let at =
        number.parse::<usize>().ok().and_then(|n| changes.get(n.checked_sub(1)?)).and_then(|(line, _)| *line);
    let (place, kept) =
        at.map_or((String::new(), ""), |n| (format!("line {n}: "), "\n  nothing was changed"));
    let why = why.replacen(" | ", "\n  ", 1);
    Err(format!("{place}{why}{kept}"))
}
