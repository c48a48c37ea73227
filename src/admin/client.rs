//! One client: reads commands, runs them, writes their answers.

use super::answer::Answer;
use super::command::{self, Call, Mode};
use super::console::Console;
use super::protocol::Request;
use super::session::{Prompt, Session};
use super::{Admin, Office, usage};
use std::io;
use std::rc::Rc;
use std::time::Instant;

const TOO_LONG: &str = "The command is too big for the buffer size. Please change tune.bufsize in the configuration \
                        to use a bigger command.\n";

/// Serves a client to its end. Errors of its connection concern nobody.
pub async fn serve(office: Rc<Office>, mut session: Session, mut console: Console) {
    match talk(&office, &mut session, &mut console).await {
        Ok(End::Refused) => console.close_unread().await,
        Ok(End::Finished) | Err(_) => {}
    }
}

enum End {
    Finished,
    /// Something the client sent was not read.
    Refused,
}

async fn talk(office: &Office, session: &mut Session, console: &mut Console) -> io::Result<End> {
    loop {
        while let Some(request) = console.take() {
            match request {
                Request::Command { words, payload } => {
                    let admin = &office.now();
                    let answer = run(admin, session, without_process(words), payload.as_deref());
                    console.timeout = session.timeout;
                    if matches!(answer, Answer::Quit) {
                        return Ok(End::Finished);
                    }
                    say(session, console, answer).await?;
                    let invitation = session.invitation(admin.started, Instant::now());
                    console.write(invitation.as_bytes()).await?;
                    if session.prompt == Prompt::Closing && console.has_no_more() {
                        return Ok(End::Finished);
                    }
                }
                Request::More if session.prompt == Prompt::Shown => console.write(b"+ ").await?,
                Request::More => {}
                Request::TooLong => {
                    say(session, console, Answer::error(TOO_LONG)).await?;
                    return Ok(End::Refused);
                }
            }
            // A client that sends a thousand commands at once lets others have their turn.
            tokio::task::yield_now().await;
        }
        if !console.read().await? {
            return Ok(End::Finished);
        }
    }
}

/// The master's `@1`, `@!1`, `@<pid>` name the process a command is for: there is one.
fn without_process(mut words: Vec<String>) -> Vec<String> {
    if words.first().is_some_and(|w| w.starts_with('@') && w.len() > 1) {
        words.remove(0);
    }
    words
}

fn run(admin: &Rc<Admin>, session: &mut Session, words: Vec<String>, payload: Option<&str>) -> Answer {
    let Some(command) = command::find(&words) else {
        return Answer::info(usage::unknown(session, &words));
    };
    let restricted = match command.mode {
        Mode::Expert if !session.expert => Some("expert"),
        Mode::Experimental if !session.experimental => Some("experimental"),
        _ => None,
    };
    if let Some(mode) = restricted {
        return Answer::error(format!("This command is restricted to {mode} mode only."));
    }
    if session.level < command.level {
        return Answer::denied();
    }
    (command.run)(&mut Call { admin, session, words: &words, payload })
}

async fn say(session: &Session, console: &mut Console, answer: Answer) -> io::Result<()> {
    match answer {
        Answer::Done | Answer::Quit => Ok(()),
        Answer::Message(level, text) => console.message(session.severity, level, &text).await,
        Answer::Text(text) => console.write(&text).await,
        Answer::Pieces(mut next) => {
            let mut piece = Vec::new();
            loop {
                let more = next(&mut piece);
                console.write(&piece).await?;
                piece.clear();
                if !more {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        }
        Answer::Job(job) => job(console).await,
    }
}
