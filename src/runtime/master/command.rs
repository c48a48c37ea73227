//! The commands of the master socket; `@1`, `@!<pid>` send what follows to a worker.

use super::children::{Child, Children, Stage};
use crate::admin::Rights;
use crate::config::condition::VERSION;
use crate::config::model::global::Level;
use crate::live::reload::{Outcome, Wish};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// What a client has set.
#[derive(Debug)]
pub struct State {
    pub prompt: bool,
    rights: Rights,
    /// `@<worker>` alone: where commands go from then on.
    target: Option<String>,
}

pub enum Said {
    /// Nothing: only the prompt follows.
    Nothing,
    Text(String),
    /// After this the connection ends.
    Last(String),
    Later(oneshot::Receiver<Outcome>),
    Worker(UnixStream, String),
    /// Both ways, to the end.
    Joined(UnixStream, String),
    Quit,
}

const HELP: &[(&str, &str)] = &[
    ("@!<pid>", "send a command to the <pid> process"),
    ("@<relative pid>", "send a command to the <relative pid> process (@1: the worker)"),
    ("@@<relative pid>|@@!<pid>", "talk with that process until it closes"),
    ("@master", "send a command to the master process"),
    ("confirm", "keep what 'reload --confirm' has loaded"),
    ("experimental-mode [on|off]", "commands that may change are sent to workers"),
    ("expert-mode [on|off]", "commands for experts are sent to workers"),
    ("operator", "lower the level of the current CLI session to operator"),
    (
        "reload [--confirm <time>]",
        "start a worker with the configuration as it is now; roll back unless confirmed",
    ),
    ("rollback", "take back what 'reload --confirm' has loaded"),
    ("show cli level", "display the level of the current CLI session"),
    ("show proc", "show processes status"),
    ("show startup-logs", "report what the last worker said as it started"),
    ("show version", "show version of the current process"),
    ("user", "lower the level of the current CLI session to user"),
];

const ALWAYS: &[(&str, &str)] = &[
    ("help [<command>]", "list matching or all commands"),
    ("prompt", "toggle interactive mode with prompt"),
    ("quit", "disconnect"),
];

impl State {
    pub fn new(level: Level) -> Self {
        Self { prompt: false, rights: Rights { level, ..Rights::ALL }, target: None }
    }

    /// What invites the next command, where that is wanted.
    pub fn invitation(&self, children: &Children) -> String {
        if !self.prompt {
            return String::new();
        }
        let flags: String = [(self.rights.experimental, 'x'), (self.rights.expert, 'e')]
            .iter()
            .filter(|f| f.0)
            .map(|f| f.1)
            .collect();
        let flags = if flags.is_empty() { flags } else { format!("({flags})") };
        let name = match self.target.as_deref().and_then(|target| find(target, children)) {
            Some(child) => child.pid.to_string(),
            None if children.history.borrow().refusal().is_some() => "master[ReloadFailed]".to_owned(),
            None => "master".to_owned(),
        };
        format!("{name}{flags}> ")
    }
}

/// For the message that brings a client to a worker.
fn encode(rights: Rights) -> [u8; 3] {
    [rights.level as u8, u8::from(rights.expert), u8::from(rights.experimental)]
}

/// What [`encode`] made.
pub fn rights(bytes: &[u8]) -> Rights {
    let at = |i| bytes.get(i).copied().unwrap_or(0);
    let level = Level::NAMES.into_iter().find(|(_, level)| *level as u8 == at(0));
    Rights {
        level: level.map_or(Level::User, |(_, level)| level),
        expert: at(1) == 1,
        experimental: at(2) == 1,
    }
}

/// Runs one command, with its payload if it has one.
pub fn run(command: &str, state: &mut State, children: &Rc<Children>) -> Said {
    let command = command.trim_start();
    let Some(rest) = command.strip_prefix('@') else {
        return match state.target.clone().filter(|_| !is_for_us(command)) {
            Some(target) => to_worker(&target, command, state, children, Said::Worker),
            None => own(command, state, children),
        };
    };
    let (both_ways, rest) = rest.strip_prefix('@').map_or((false, rest), |rest| (true, rest));
    let (target, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let is_master = matches!(target, "" | "master");
    if both_ways && !is_master {
        return to_worker(target, rest, state, children, Said::Joined);
    }
    match (is_master, rest.trim()) {
        (true, "") => state.target = None,
        (true, rest) => return own(rest, state, children),
        (false, "") if find(target, children).is_none() => return missing(target),
        (false, "") => state.target = Some(target.to_owned()),
        (false, _) => return to_worker(target, rest, state, children, Said::Worker),
    }
    Said::Nothing
}

/// What the connection is set by, wherever its commands go.
fn is_for_us(command: &str) -> bool {
    matches!(
        command.split_whitespace().next(),
        Some("prompt" | "quit" | "user" | "operator" | "expert-mode" | "experimental-mode")
    )
}

fn missing(target: &str) -> Said {
    Said::Last(format!("Can't find the target PID matching the prefix '@{target}'\n"))
}

fn find(target: &str, children: &Children) -> Option<Child> {
    match target.strip_prefix('!') {
        Some(pid) => {
            let pid: u32 = pid.parse().ok()?;
            children.child(pid).filter(|c| c.stage != Stage::Starting)
        }
        None if target == "1" => children.current(),
        None => None,
    }
}

/// Says it to a worker, one way or the other.
fn to_worker(
    target: &str,
    command: &str,
    state: &State,
    children: &Children,
    how: fn(UnixStream, String) -> Said,
) -> Said {
    let Some(child) = find(target, children) else { return missing(target) };
    match children.connect(&child, &encode(state.rights)) {
        Ok(stream) => how(stream, command.to_owned()),
        Err(error) => Said::Last(format!("Can't talk to process {}: {error}\n", child.pid)),
    }
}

fn own(command: &str, state: &mut State, children: &Rc<Children>) -> Said {
    let words: Vec<&str> = command.split_whitespace().collect();
    let rights = &mut state.rights;
    match words.as_slice() {
        ["quit", ..] => Said::Quit,
        ["prompt", ..] => {
            state.prompt = !state.prompt;
            Said::Nothing
        }
        [mode @ ("expert-mode" | "experimental-mode"), set @ ..] => {
            let on = set.first() == Some(&"on");
            match *mode {
                "expert-mode" => rights.expert = on,
                _ => rights.experimental = on,
            }
            Said::Nothing
        }
        ["user", ..] => {
            rights.level = Level::User;
            Said::Nothing
        }
        ["operator", ..] => {
            rights.level = rights.level.min(Level::Operator);
            Said::Nothing
        }
        ["reload" | "confirm" | "rollback" | "hard-reload", ..] if rights.level < Level::Operator => {
            Said::Text("Permission denied\n".to_owned())
        }
        words @ ["reload" | "confirm" | "rollback", ..] => match Wish::read(words) {
            Ok(wish) => Said::Later(children.ask(wish)),
            Err(problem) => Said::Text(problem + "\n"),
        },
        ["hard-reload", ..] => unbuilt("hard-reload", "use 'reload', then stop the old worker by its pid"),
        ["mcli-debug-mode", ..] => unbuilt("mcli-debug-mode", "this master has no proxies of its own"),
        ["show", "cli", "level"] => Said::Text(format!("{}\n", rights.level.name())),
        ["show", "cli", "sockets"] => Said::Text(String::new()),
        ["show", "version", ..] => Said::Text(format!("{VERSION}\n")),
        ["show", "startup-logs", ..] => Said::Text(children.said.borrow().clone()),
        ["show", "proc", ..] => Said::Text(processes(children)),
        ["help", words @ ..] => {
            Said::Text(format!("The following commands are valid at this level:\n{}", help(words)))
        }
        [] => Said::Text(format!(
            "Unknown command. Please enter one of the following commands only:\n{}",
            help(&[])
        )),
        [first, ..] => {
            let better = "Unknown command, but maybe one of the following ones is a better match:\n";
            Said::Text(format!("{better}{}", help(&[first])))
        }
    }
}

fn unbuilt(name: &str, instead: &str) -> Said {
    Said::Text(format!("'{name}' is not supported by weir: {instead}.\n"))
}

/// The commands that begin with these words; all where none does.
fn help(words: &[&str]) -> String {
    let begins = |row: &&(&str, &str)| words.iter().zip(row.0.split(' ')).all(|(a, b)| *a == b);
    let mut rows: Vec<_> = HELP.iter().filter(begins).collect();
    if rows.is_empty() {
        rows = HELP.iter().collect();
    }
    rows.into_iter().chain(ALWAYS).map(|(usage, doc)| format!("  {usage:<40}: {doc}\n")).collect()
}

fn processes(children: &Children) -> String {
    let row = |out: &mut String, pid: u32, kind: &str, reloads: &str, age: Duration| {
        let up = age.as_secs();
        let up = format!("{}d{:02}h{:02}m{:02}s", up / 86_400, up / 3600 % 24, up / 60 % 60, up % 60);
        let _ = writeln!(out, "{pid:<15} {kind:<15} {reloads:<15} {up:<15} {VERSION:<15}");
    };
    let mut out = format!(
        "{:<15} {:<15} {:<15} {:<15} {:<15}\n",
        "#<PID>", "<type>", "<reloads>", "<uptime>", "<version>"
    );
    let failed = children.history.borrow().refused;
    let reloads = format!("{} [failed: {failed}]", children.reloads.get());
    row(&mut out, std::process::id(), "master", &reloads, children.began.elapsed());
    let all = children.list();
    let since = |c: &Child| children.reloads.get().saturating_sub(c.reload).to_string();
    out.push_str("# workers\n");
    for child in all.iter().filter(|c| c.stage == Stage::Current) {
        row(&mut out, child.pid, "worker", &since(child), child.began.elapsed());
    }
    let old = |c: &&Child| matches!(c.stage, Stage::Old | Stage::Held);
    if all.iter().any(|c| old(&c)) {
        out.push_str("# old workers\n");
        for child in all.iter().filter(old) {
            row(&mut out, child.pid, "worker", &since(child), child.began.elapsed());
        }
    }
    out.push_str("# programs\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_there_and_back() {
        for level in [Level::User, Level::Operator, Level::Admin] {
            let all = Rights { level, expert: true, experimental: false };
            assert_eq!(rights(&encode(all)), all);
        }
        assert_eq!(rights(&[]).level, Level::User);
    }
}
