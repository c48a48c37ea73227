//! The commands of the master socket; `@1`, `@!<pid>` send what follows to a worker.

use super::children::{Child, Children, Outcome, Stage};
use crate::config::condition::VERSION;
use std::fmt::Write as _;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// What a client has set.
#[derive(Debug, Default)]
pub struct State {
    pub prompt: bool,
    expert: bool,
    /// `@<worker>` alone: where commands go from then on.
    target: Option<String>,
}

pub enum Said {
    Text(String),
    Later(oneshot::Receiver<Outcome>),
    Worker(io::Result<UnixStream>, String),
    Quit,
}

const HELP: &str = "The following commands are valid at this level:\n  \
    @<relative pid>                         : send a command to the <relative pid> process (@1: the worker)\n  \
    @!<pid>                                 : send a command to the <pid> process\n  \
    @master                                 : send a command to the master process\n  \
    expert-mode [on|off]                    : commands for experts are sent to workers\n  \
    help                                    : this text\n  \
    prompt                                  : toggle the prompt\n  \
    quit                                    : disconnect\n  \
    reload                                  : start a worker with the configuration as it is now\n  \
    show proc                               : the processes\n  \
    show startup-logs                       : what the last worker said as it started\n  \
    show version                            : the version of this process\n";

pub fn run(line: &str, state: &mut State, children: &Rc<Children>) -> Said {
    let line = line.trim();
    let (target, words) = match line.strip_prefix('@') {
        Some(rest) => {
            let (target, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if words.trim().is_empty() {
                state.target = (target != "master").then(|| target.to_owned());
                return Said::Text(String::new());
            }
            (Some(target.to_owned()), words.trim())
        }
        None => (state.target.clone(), line),
    };
    match target.as_deref() {
        None | Some("master") => own(words, state, children),
        Some(target) => match find(target, children) {
            Some(child) => {
                let expert = if state.expert { "expert-mode on; " } else { "" };
                Said::Worker(children.connect(&child), format!("{expert}{words}"))
            }
            None => Said::Text(format!("Can't find the target PID matching the prefix '@{target}'\n")),
        },
    }
}

fn find(target: &str, children: &Children) -> Option<Child> {
    match target.strip_prefix('!') {
        Some(pid) => {
            let pid: u32 = pid.parse().ok()?;
            children.list().into_iter().find(|c| c.pid == pid && c.stage != Stage::Starting)
        }
        None if target == "1" => children.current(),
        None => None,
    }
}

fn own(words: &str, state: &mut State, children: &Rc<Children>) -> Said {
    let words: Vec<&str> = words.split_whitespace().collect();
    Said::Text(match words.as_slice() {
        [] => String::new(),
        ["quit"] => return Said::Quit,
        ["reload" | "hard-reload"] => return Said::Later(children.reload()),
        ["prompt", ..] => {
            state.prompt = !state.prompt;
            String::new()
        }
        ["expert-mode"] => format!("expert-mode is {}\n", if state.expert { "ON" } else { "OFF" }),
        ["expert-mode", word @ ("on" | "off")] => {
            state.expert = *word == "on";
            String::new()
        }
        ["show", "version"] => format!("{VERSION}\n"),
        ["show", "startup-logs"] => children.said.borrow().clone(),
        ["show", "proc", ..] => processes(children),
        ["help", ..] => HELP.to_owned(),
        _ => format!("Unknown command: '{}'. {HELP}", words.join(" ")),
    })
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
    let reloads = format!("{} [failed: {}]", children.reloads.get(), children.failed.get());
    row(&mut out, std::process::id(), "master", &reloads, children.began.elapsed());
    let all = children.list();
    let since = |c: &Child| children.reloads.get().saturating_sub(c.reload).to_string();
    out.push_str("# workers\n");
    for child in all.iter().filter(|c| c.stage == Stage::Current) {
        row(&mut out, child.pid, "worker", &since(child), child.began.elapsed());
    }
    if all.iter().any(|c| c.stage == Stage::Old) {
        out.push_str("# old workers\n");
        for child in all.iter().filter(|c| c.stage == Stage::Old) {
            row(&mut out, child.pid, "worker", &since(child), child.began.elapsed());
        }
    }
    out.push_str("# programs\n");
    out
}
