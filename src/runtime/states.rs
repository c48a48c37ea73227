//! The files of `load-server-state-from-file`: read before the process is confined, applied when servers are there.

use crate::config::model::Config;
use crate::config::model::backend::LoadState;
use crate::live::restore::{self, Unreadable};
use crate::live::{Generation, LiveProxy};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What each file holds, or why it could not be read.
#[derive(Debug, Default)]
pub struct States {
    global: Option<File>,
    /// By the proxy's place.
    local: Vec<(usize, File)>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    text: std::io::Result<String>,
}

impl File {
    fn read(base: Option<&Path>, path: &Path) -> Self {
        // An absolute path stands for itself.
        let path = base.map_or_else(|| path.to_owned(), |b| b.join(path));
        Self { text: std::fs::read_to_string(&path), path }
    }
}

impl States {
    #[must_use]
    pub fn read(config: &Config) -> Self {
        let base = config.global.server_state_base.as_deref();
        let backends = config.proxies.iter().enumerate();
        let loading =
            backends.filter_map(|(i, p)| Some((i, p, p.back.as_ref()?))).filter(|(_, p, _)| !p.disabled);
        let mut states = Self::default();
        for (i, proxy, back) in loading {
            match back.load_state {
                LoadState::None => {}
                LoadState::Global if states.global.is_none() => {
                    let path = config.global.server_state_file.as_deref();
                    states.global = path.map(|p| File::read(base, p));
                }
                LoadState::Global => {}
                LoadState::Local => {
                    let named = back.server_state_file.clone();
                    let path = named.unwrap_or_else(|| PathBuf::from(&*proxy.name));
                    states.local.push((i, File::read(base, &path)));
                }
            }
        }
        states
    }

    /// Puts the servers where they were. Answers what is to be said.
    #[must_use]
    pub fn apply(&self, generation: &Generation) -> Vec<String> {
        let now = Instant::now();
        let mut said = Vec::new();
        if let Some(file) = &self.global {
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
        for (i, file) in &self.local {
            let Some(proxy) = generation.proxies.get(*i) else { continue };
            match parse(file) {
                Err(problem) => said.push(format!("Proxy '{}': {}", proxy.conf.name, problem(""))),
                Ok(lines) => said.extend(generation.restore(proxy, &lines, now)),
            }
        }
        said
    }
}

type Problem<'a> = Box<dyn Fn(&str) -> String + 'a>;

/// The lines; else what to say, given the kind of file.
fn parse(file: &File) -> Result<Vec<restore::SavedServer<'_>>, Problem<'_>> {
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
        Ok(text) => restore::read(text).map_err(|e| -> Problem<'_> {
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
