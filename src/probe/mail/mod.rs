//! `email-alert`: takes letters from the outboxes to the mailers, one after the other, each within `timeout mail`.

mod letter;
mod smtp;

use crate::config::model::mail::Mailer;
use crate::live::{Generation, Letter};
use crate::{logging, tasks};
use smtp::{Dialogue, Step};
use socket2::SockRef;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// The longest reply read.
const REPLY_MAX: usize = 4096;

/// A task for each mailer of every section.
pub fn start(generation: &Arc<Generation>, log: &Rc<logging::Sender>) -> Vec<tasks::Task> {
    let sections = generation.config.mailers.iter().enumerate();
    let mailers = sections.flat_map(|(s, section)| (0..section.mailers.len()).map(move |m| (s, m)));
    mailers
        .map(|(section, mailer)| {
            let (generation, log) = (Arc::clone(generation), Rc::clone(log));
            tasks::start("mailer", async move { serve(&generation, section, mailer, &log).await })
        })
        .collect()
}

async fn serve(generation: &Arc<Generation>, section: usize, mailer: usize, log: &Rc<logging::Sender>) {
    let Some(conf) = generation.config.mailers.get(section) else { return };
    let (Some(mailer), Some(outbox)) =
        (conf.mailers.get(mailer), generation.outboxes.get(section).and_then(|boxes| boxes.get(mailer)))
    else {
        return;
    };
    let name = Rc::from(format!("{}/{}", conf.name, mailer.name));
    loop {
        let letter = outbox.next().await;
        let until = Instant::now() + conf.timeout;
        let begun = in_time(until, Talk::begin(mailer, &letter)).await;
        // Before that a reload leaves it to the mailer of then. After that it would come twice.
        outbox.done();
        let (tell, told) = oneshot::channel::<()>();
        let report = Report {
            name: Rc::clone(&name),
            subject: letter.text,
            log: Rc::clone(log),
            generation: Arc::clone(generation),
        };
        tasks::detached("letter", async move {
            let delivered = match begun {
                Ok(mut talk) => in_time(until, talk.end()).await,
                Err(error) => Err(error),
            };
            if let Err(error) = delivered {
                report.tell(&error);
            }
            drop(tell);
        });
        let _ended = told.await;
    }
}

/// Who hears of a letter that was not taken.
struct Report {
    name: Rc<str>,
    subject: String,
    log: Rc<logging::Sender>,
    generation: Arc<Generation>,
}

impl Report {
    fn tell(&self, error: &io::Error) {
        let Self { name, subject, .. } = self;
        let text = format!("Mailer {name} did not take the mail about: {subject}. ({error})");
        let log = &self.generation.config.global.log;
        self.log.emit(log, logging::level::WARNING, None, b"", text.as_bytes());
        // After a reload nobody else does.
        self.log.flush();
    }
}

async fn in_time<T>(until: Instant, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = tokio::time::timeout_at(until, what).await;
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "timeout mail")))
}

/// A dialogue with a mailer.
struct Talk {
    stream: TcpStream,
    dialogue: Dialogue,
    reply: Vec<u8>,
    /// What is to be said next.
    text: String,
}

impl Talk {
    /// As far as the mailer asks for the letter.
    async fn begin(mailer: &Mailer, letter: &Letter) -> io::Result<Self> {
        let stream = TcpStream::connect(mailer.addr).await?;
        let mut talk =
            Self { stream, dialogue: Dialogue::new(letter), reply: Vec::new(), text: String::new() };
        loop {
            let goes_on = talk.hear().await?;
            if !goes_on || talk.dialogue.has_told() {
                return Ok(talk);
            }
            talk.stream.write_all(talk.text.as_bytes()).await?;
        }
    }

    /// The letter, and goodbye.
    async fn end(&mut self) -> io::Result<()> {
        loop {
            self.stream.write_all(self.text.as_bytes()).await?;
            if !self.hear().await? {
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                return Ok(());
            }
        }
    }

    /// Waits for a reply; `false`: there is nothing to be said any more.
    async fn hear(&mut self) -> io::Result<bool> {
        loop {
            let mut buffer = [0; 1024];
            let n = self.stream.read(&mut buffer).await?;
            self.reply.extend_from_slice(buffer.get(..n).unwrap_or_default());
            match self.dialogue.hear(&mut self.reply) {
                Step::Say(text) => {
                    self.text = text;
                    return Ok(true);
                }
                Step::Done => return Ok(false),
                Step::Refused(line) => return Err(io::Error::other(line)),
                Step::More if n == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Step::More if self.reply.len() > REPLY_MAX => return Err(io::Error::other("endless reply")),
                Step::More => {}
            }
        }
    }
}
