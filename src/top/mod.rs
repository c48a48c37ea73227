//! `weir top`: proxies and servers of a running weir or haproxy in the terminal, read over the stats socket.
//!
//! ```text
//!   client  one question, one answer over the socket          pure: snapshot  the answers as tables
//!   feed    the thread that asks, so that keys never wait           state     what is shown, what a key does
//!                                                                    view      one frame
//! ```

mod arguments;
mod client;
mod feed;
mod plain;
mod snapshot;
mod state;
mod view;

use arguments::Arguments;
use feed::{Feed, News};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use state::{Effect, State};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a key may wait at the most for news from the socket to be looked at.
const PACE: Duration = Duration::from_millis(50);

/// Asks the process that [`Arguments`] without any would find: one line, one answer.
///
/// # Errors
/// There is no socket to ask, or nobody answers there.
pub fn ask(line: &str) -> Result<String, String> {
    Arguments::parse(&[])?.address()?.ask(line)
}

/// The same of the process at `socket`, if one is given.
///
/// # Errors
/// As [`ask`], or `socket` is no address.
pub fn ask_at(socket: Option<&str>, line: &str) -> Result<String, String> {
    match socket {
        Some(socket) => client::Address::parse(socket)?.ask(line),
        None => ask(line),
    }
}

/// Runs with the words after `weir top`.
#[must_use]
pub fn run(words: &[String]) -> ExitCode {
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("weir top: {problem}\n{}", arguments::USAGE);
            return ExitCode::FAILURE;
        }
    };
    if arguments.help {
        print!("{}", arguments::USAGE);
        return ExitCode::SUCCESS;
    }
    let outcome = arguments.address().and_then(|address| {
        if arguments.plain { plain::run(&address, &arguments) } else { live(&address, &arguments) }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("weir top: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn live(address: &client::Address, arguments: &Arguments) -> Result<(), String> {
    // Whether anybody answers is said before the screen is taken.
    let first = client::fetch(address)?;
    let feed = Feed::start(address.clone(), arguments.interval)?;
    let mut state = State::new(address.to_string(), arguments.interval, arguments.filter.clone());
    state.learn(first, Instant::now());
    let mut terminal =
        ratatui::try_init().map_err(|e| format!("this is no terminal ({e}); for plain text: weir top -b"))?;
    let outcome = show(&mut terminal, &mut state, &feed);
    ratatui::restore();
    outcome.map_err(|e| format!("the terminal: {e}"))
}

fn show(terminal: &mut DefaultTerminal, state: &mut State, feed: &Feed) -> std::io::Result<()> {
    loop {
        terminal.draw(|frame| view::draw(frame, state, Instant::now()))?;
        // Draws again on news or a key, and once a second for the clock.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            if let Some(news) = feed.news() {
                match news {
                    News::Snapshot(snapshot) => state.learn(snapshot, Instant::now()),
                    News::Answer(text) => state.answered(&text),
                    News::Lost(problem) => state.lost(problem),
                }
                break;
            }
            if !event::poll(PACE)? {
                continue;
            }
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match state.key(key) {
                    Effect::Nothing => {}
                    Effect::Quit => return Ok(()),
                    Effect::Refresh => feed.refresh(),
                    Effect::Command(command) => feed.command(command),
                },
                _ => {}
            }
            break;
        }
    }
}
