//! `email-alert`: takes letters from the outboxes to the mailers, one after the other, each within `timeout mail`.

mod letter;
mod smtp;

use crate::config::model::mail::Mailer;
use crate::live::{Generation, Letter};
use crate::{logging, tasks};
use smtp::{Dialogue, Step};
use socket2::SockRef;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

async fn serve(generation: &Generation, section: usize, mailer: usize, log: &logging::Sender) {
    let Some(conf) = generation.config.mailers.get(section) else { return };
    let (Some(mailer), Some(outbox)) =
        (conf.mailers.get(mailer), generation.outboxes.get(section).and_then(|boxes| boxes.get(mailer)))
    else {
        return;
    };
    loop {
        let letter = outbox.next().await;
        let delivered = deliver(mailer, &letter, conf.timeout).await;
        outbox.done();
        if let Err(error) = delivered {
            let text = format!(
                "Mailer {}/{} did not take the mail about: {}. ({error})",
                conf.name, mailer.name, letter.text
            );
            log.emit(&generation.config.global.log, logging::level::WARNING, None, b"", text.as_bytes());
        }
    }
}

async fn deliver(mailer: &Mailer, letter: &Letter, limit: Duration) -> io::Result<()> {
    let sent = tokio::time::timeout(limit, converse(mailer, letter)).await;
    sent.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "timeout mail")))
}

async fn converse(mailer: &Mailer, letter: &Letter) -> io::Result<()> {
    let mut stream = TcpStream::connect(mailer.addr).await?;
    let mut dialogue = Dialogue::new(letter);
    let mut reply = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await?;
        reply.extend_from_slice(buffer.get(..n).unwrap_or_default());
        match dialogue.hear(&mut reply) {
            Step::Say(text) => stream.write_all(text.as_bytes()).await?,
            Step::Done => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return Ok(());
            }
            Step::Refused(line) => return Err(io::Error::other(line)),
            Step::More if n == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Step::More if reply.len() > REPLY_MAX => return Err(io::Error::other("endless reply")),
            Step::More => {}
        }
    }
}
