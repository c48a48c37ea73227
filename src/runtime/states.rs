//! Server state files at the start: what they say is applied, and what is wrong with them is told.

use crate::config::model::backend::LoadState;
use crate::config::states::{self, SavedServer, StateFile, States, Unreadable};
use crate::live::{Generation, LiveProxy};
use std::sync::Arc;
use std::time::Instant;

/// Puts the servers where they were. Answers what is to be said.
#[must_use]
pub fn apply(states: &States, generation: &Generation) -> Vec<String> {
    let now = Instant::now();
    let mut said = Vec::new();
    if let Some(file) = &states.global {
        match parse(file) {
            Err(problem) => said.push(format!("config: {}", problem("global "))),
            Ok(lines) => {
                let wants = |p: &&Arc<LiveProxy>| {
                    p.conf.back.as_ref().is_some_and(|b| b.load_state == LoadState::Global)
                };
                for proxy in generation.proxies.iter().filter(wants) {
                    said.extend(generation.restore(proxy, &lines, now));
                }
            }
        }
    }
    for (name, file) in &states.local {
        let Some(proxy) = generation.proxies.iter().find(|p| p.conf.back.is_some() && p.conf.name == *name)
        else {
            continue;
        };
        match parse(file) {
            Err(problem) => said.push(format!("Proxy '{}': {}", proxy.conf.name, problem(""))),
            Ok(lines) => said.extend(generation.restore(proxy, &lines, now)),
        }
    }
    said
}

type Problem<'a> = Box<dyn Fn(&str) -> String + 'a>;

/// The lines; else what to say, given the kind of file.
fn parse(file: &StateFile) -> Result<Vec<SavedServer<'_>>, Problem<'_>> {
    let path = file.path.display();
    match &file.text {
        Err(error) => {
            let reason = words(error);
            // HAProxy ends only the one about a proxy's file with a stop.
            Err(Box::new(move |kind| {
                let stop = if kind.is_empty() { "." } else { "" };
                format!("Can't open {kind}server state file '{path}': {reason}{stop}")
            }))
        }
        Ok(text) => states::read(text).map_err(|e| -> Problem<'_> {
            Box::new(move |kind| match e {
                Unreadable::Version => format!("Can't get version of the {kind}server state file '{path}'."),
                Unreadable::Corrupted(line) => {
                    format!("corrupted {kind}server state file '{path}' at line {line}.")
                }
            })
        }),
    }
}

/// The system's words without the number that Rust adds.
fn words(error: &std::io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}
