//! `weir ipvsadm`, and the same by a link named `ipvsadm`: its command line, over the stats socket of the running process.

use crate::l4::ipvsadm::table::Table;
use crate::l4::ipvsadm::{Command, HELP, Problem, output, parse, rule};
use crate::live::l4::Change;
use crate::top;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// ipvsadm's exit codes: the command line is wrong; what it asks for cannot be done.
const WRONG: u8 = 2;
const REFUSED: u8 = 255;

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
        Command::Change(change) => apply(&[(None, change)]),
        Command::Restore => restore(),
        Command::List(list) => table().and_then(|table| {
            let missing = list.service.filter(|key| !table.services.iter().any(|s| s.key == *key));
            if missing.is_some() {
                return Err("No such service".to_owned());
            }
            print!("{}", output::list(&table, &list));
            Ok(())
        }),
        Command::Save(numeric) => table().map(|table| print!("{}", output::save(&table, numeric))),
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
