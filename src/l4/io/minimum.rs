//! `minimum up`: who is told when a service is lost, and when it is whole again.

use crate::config::model::Config;
use crate::config::model::l4::{MinimumUp, Service};
use crate::l4::wanted::Whole;
use crate::program::{self, Failure, Prints, Program};
use std::time::Duration;
use tokio::time::Instant;

/// A program that has not started by then (its file system hangs) is given up.
const START: Duration = Duration::from_secs(10);

/// A service that was lost, or is whole again.
pub struct Turn {
    pub name: String,
    pub is_whole: bool,
    minimum: MinimumUp,
}

/// Which services went over their limit between two looks. One that is new was whole.
pub fn turns(config: &Config, before: &Whole, after: &Whole) -> Vec<Turn> {
    let turn = |service: &Service| {
        let minimum = service.settings.minimum_up.as_ref()?;
        let name = &config.proxies.get(service.front.get())?.name;
        let is_whole = *after.get(&**name)?;
        let was = before.get(&**name).copied().unwrap_or(true);
        (was != is_whole).then(|| Turn { name: name.to_string(), is_whole, minimum: minimum.clone() })
    };
    config.l4_services.iter().filter_map(turn).collect()
}

impl Turn {
    pub fn sentence(&self) -> String {
        let minimum = self.minimum.servers;
        if self.is_whole {
            format!("mode l4 : '{}' is whole again: enough servers are up (minimum up {minimum})", self.name)
        } else {
            format!("mode l4 : '{}' is lost: too few servers are up (minimum up {minimum})", self.name)
        }
    }

    /// Starts the program for it, if there is one; says why it does not start.
    pub async fn tell(self) -> Result<(), String> {
        let words = if self.is_whole { self.minimum.on_up } else { self.minimum.on_down };
        let Some((command, arguments)) = words.as_deref().and_then(|w| w.split_first()) else {
            return Ok(());
        };
        let program = Program {
            command: command.clone(),
            path: String::new(),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: None,
            open_files: None,
            identity: None,
            prints: Prints::Nothing,
        };
        let why = match program::start(program, None, Instant::now() + START).await {
            Ok(Some(group)) => {
                group.let_go();
                return Ok(());
            }
            Ok(None) => "it takes too long".to_owned(),
            Err(Failure::Execute(error) | Failure::Start(error)) => error.to_string(),
        };
        Err(format!("mode l4 : '{}' : {command} does not start: {why}", self.name))
    }
}
