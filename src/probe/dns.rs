//! `option dns-check`: one question by UDP, and what its answer says of the server.

use super::job::Job;
use super::udp::{self, Exchange, Heard};
use crate::config::model::{Endpoint, Source};
use crate::health::{Finding, Status};
use crate::wire::dns::{self, Answer, Question, Reading, ResponseCode};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// One server's check.
#[derive(Debug)]
pub struct DnsCheck {
    question: Question,
}

impl DnsCheck {
    #[must_use]
    pub fn new(question: &Question) -> Self {
        Self { question: question.clone() }
    }

    pub async fn run(&self, job: &Job<'_>) -> Finding {
        let Endpoint::Inet(server) = job.target.server.endpoint else { return udp::no_address() };
        match ask(server, job.source(), &self.question, udp::limit(job)).await {
            Err(error) => udp::failed(&error),
            Ok(None) => Finding::new(Status::L7Timeout),
            Ok(Some(Reading::Answer(answer))) => self.judge(answer),
            Ok(Some(Reading::Malformed(what))) => {
                Finding::new(Status::L7Response).info(format!("malformed answer: {what}"))
            }
            Ok(Some(Reading::Foreign)) => Finding::new(Status::L7Response),
        }
    }

    fn judge(&self, answer: Answer) -> Finding {
        let code = i32::from(answer.code.0);
        if answer.code != ResponseCode::NO_ERROR {
            return Finding::new(Status::L7Status).code(code).info(answer.code.to_string());
        }
        // What does not fit into a datagram is an answer, too.
        if answer.records > 0 || answer.truncated {
            return Finding::new(Status::L7Ok).code(code);
        }
        let info = format!("no {} record of {}", self.question.kind, self.question.name());
        Finding::new(Status::L7Status).code(code).info(info)
    }
}

/// Asks `server` and answers what came back, `None` if nothing did in time. Datagrams that answer other queries are
/// passed over.
async fn ask(
    server: SocketAddr,
    source: Option<&Source>,
    question: &Question,
    limit: Duration,
) -> io::Result<Option<Reading>> {
    let deadline = Instant::now() + limit;
    // Unpredictable, as the kernel's choice of port is: nobody else may answer for the server.
    let [.., i1, i2] = RandomState::new().hash_one(0).to_be_bytes();
    let id = u16::from_be_bytes([i1, i2]);
    let exchange = Exchange::open(server, source)?;
    exchange.send(&question.query(id)).await?;
    loop {
        let Heard::Datagram(datagram) = exchange.receive(deadline).await? else { return Ok(None) };
        match dns::read(&datagram, id, question) {
            Reading::Foreign => {}
            reading => return Ok(Some(reading)),
        }
    }
}
