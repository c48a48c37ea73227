//! `agent-check`: asks a program beside the server for the server's state, weight and limit.
//!
//! The answer is one line of words between blanks or commas; a later word of a kind replaces an earlier one, and what
//! follows a `#` describes the state.

use super::Reporter;
use super::job::{self, Job};
use super::rules::kept;
use super::schedule;
use super::target::Target;
use crate::health::{Finding, Status};
use crate::live::{LiveProxy, LiveServer, ServerAt, Which};
use std::cell::Cell;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The longest line waited for.
const LINE_MAX: usize = 16384;

/// A server with an agent.
pub struct Agent {
    at: ServerAt,
    proxy: Arc<LiveProxy>,
    server: Arc<LiveServer>,
    target: Target,
    send: String,
    /// Of the settings `target` and `send` were made with.
    edition: u32,
}

impl Agent {
    /// `None`: the server has no agent.
    pub fn new(proxy: &Arc<LiveProxy>, server: &Arc<LiveServer>) -> Option<Self> {
        let edition = server.agent.edition();
        let settings = server.agent.settings();
        let conf = server.conf.agent.as_ref()?;
        Some(Self {
            at: (proxy.index, server.index),
            target: Target::of_agent(&proxy.conf, server.line(), &settings)?,
            send: settings.send.unwrap_or_else(|| conf.send.clone()),
            proxy: Arc::clone(proxy),
            server: Arc::clone(server),
            edition,
        })
    }

    #[must_use]
    pub fn interval(&self) -> Duration {
        self.target.inter
    }

    pub async fn keep_asking(mut self: Box<Self>, first: Instant, reporter: &Reporter, random: &Cell<u32>) {
        let spread = reporter.generation.config.global.spread_checks;
        tokio::time::sleep_until(first).await;
        let mut planned = first;
        loop {
            // Maintenance does not silence an agent: it may be what ends it.
            if self.server.agent.is_enabled() {
                // Kept while it lasts alone: most of the time most tasks wait.
                Box::pin(self.ask(reporter)).await;
            }
            let interval = schedule::jitter(self.interval(), spread, random);
            planned = schedule::next(planned, interval, Instant::now());
            tokio::time::sleep_until(planned).await;
        }
    }

    async fn ask(&mut self, reporter: &Reporter) {
        if self.server.agent.edition() != self.edition
            && let Some(fresh) = Self::new(&self.proxy, &self.server)
        {
            *self = fresh;
        }
        let job = Job::begin(&reporter.generation, &self.proxy, &self.server, &self.target);
        self.server.agent.set_running(true);
        let heard = self.exchange(&job).await;
        self.server.agent.set_running(false);
        // It may have been disabled meanwhile: then nobody wants to know.
        if !self.server.agent.is_enabled() {
            return;
        }
        let mut finding = match heard {
            Ok(line) => self.obey(&line, reporter),
            Err(finding) => finding,
        };
        finding.duration = Some(job.started.elapsed());
        let now = std::time::Instant::now();
        reporter.report(&reporter.generation.learn(self.at, Which::Agent, finding, now));
    }

    /// The agent's line.
    async fn exchange(&self, job: &Job<'_>) -> Result<String, Finding> {
        let mut stream = job.connect().await?;
        let mut bytes = Vec::new();
        let dialogue = async {
            job::send(&mut stream, self.send.as_bytes()).await?;
            while !bytes.iter().any(|b| matches!(b, b'\r' | b'\n')) && bytes.len() < LINE_MAX {
                if job::receive(&mut stream, &mut bytes).await? == 0 {
                    break;
                }
            }
            Ok::<_, io::Error>(())
        };
        let done = timeout_at(job.deadline(), dialogue).await;
        stream.reset_on_close();
        match done {
            Err(_) => return Err(Finding::new(Status::L7Timeout)),
            Ok(Err(error)) => return Err(Finding::new(Status::SocketError).info(job::words(&error))),
            Ok(Ok(())) => {}
        }
        if bytes.is_empty() {
            // HAProxy's agent check is a script of two steps: send, expect.
            let text = "TCPCHK got an empty response at step 2";
            return Err(Finding::new(Status::L7Response).info(text));
        }
        let Some(end) = bytes.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
            let status = self.server.agent.last().status;
            if matches!(status, Status::Initializing | Status::Unknown) {
                // Nothing was found that could be said again: the rest is waited for.
                tokio::time::sleep_until(job.deadline()).await;
                return Err(Finding::new(Status::L7Timeout));
            }
            return Err(Finding::new(status).info("Ignoring incomplete line from agent"));
        };
        bytes.truncate(end);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Does what the agent says; the finding is about the rest.
    fn obey(&self, line: &str, reporter: &Reporter) -> Finding {
        let said = Answer::parse(line);
        let (generation, now) = (&reporter.generation, std::time::Instant::now());
        let agent = &self.server.agent;
        match said.state {
            Some((true, _)) => agent.place(agent.health().at(u32::MAX)),
            Some((false, _)) => agent.place(agent.health().at(0)),
            None => {}
        }
        reporter.report(&match said.order {
            Some(Order::Drain) => generation.set_draining(self.at, now),
            Some(Order::Maint) => generation.set_maint(self.at, true, now),
            Some(Order::Ready) => generation.set_ready(self.at, now),
            None => Vec::new(),
        });
        let weight = said.weight.and_then(|w| match generation.change_weight(self.at, w, now) {
            Ok(notices) => {
                reporter.report(&notices);
                None
            }
            Err(text) => Some(text),
        });
        let maxconn = said.maxconn.and_then(|m| generation.change_maxconn(self.at, m).err());
        said.finding(weight.or(maxconn))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ready,
    Drain,
    Maint,
}

/// What an agent's line says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer<'a> {
    /// Up or not, and the word for it.
    state: Option<(bool, &'a str)>,
    order: Option<Order>,
    weight: Option<&'a str>,
    maxconn: Option<&'a str>,
    /// The first word that means nothing.
    strange: Option<&'a str>,
    description: &'a str,
}

impl<'a> Answer<'a> {
    fn parse(line: &'a str) -> Self {
        let mut answer = Self::default();
        let mut rest = line;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if let Some(description) = rest.strip_prefix('#') {
                answer.description = description.trim_start_matches([' ', '\t']);
                return answer;
            }
            let (word, after) = rest.split_at(rest.find([' ', '\t', ',']).unwrap_or(rest.len()));
            if word.is_empty() {
                return answer;
            }
            answer.take(word);
            rest = after;
        }
    }

    fn take(&mut self, word: &'a str) {
        let is = |name: &str| word.eq_ignore_ascii_case(name);
        let limit = word.get(..8).filter(|w| w.eq_ignore_ascii_case("maxconn:")).and(word.get(8..));
        if is("up") {
            self.state = Some((true, word));
        } else if is("down") || is("stopped") || is("fail") {
            self.state = Some((false, word));
        } else if is("ready") {
            self.order = Some(Order::Ready);
        } else if is("drain") {
            self.order = Some(Order::Drain);
        } else if is("maint") {
            self.order = Some(Order::Maint);
        } else if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('%') {
            self.weight = Some(word);
        } else if limit.is_some() {
            self.maxconn = limit;
        } else if self.strange.is_none() {
            self.strange = Some(word);
        }
    }

    /// `warning`: what could not be obeyed.
    fn finding(&self, warning: Option<&str>) -> Finding {
        let Some((up, word)) = self.state else {
            let text = match (self.strange, warning) {
                (Some(strange), _) => format!("agent reports an error : {strange}"),
                (None, Some(warning)) => format!("agent warns : {warning}"),
                (None, None) => String::new(),
            };
            return Finding::new(Status::Checked).info(kept(text.as_bytes()));
        };
        // That a server is down is not to be hidden behind complaints.
        let mut message = self.description;
        if message.is_empty() || up {
            message = self.strange.or(warning).unwrap_or(message);
        }
        let mut text = format!("via agent : {word}");
        if !message.is_empty() {
            let _ = write!(text, " ({message})");
        }
        Finding::new(if up { Status::L7Ok } else { Status::L7Status }).info(kept(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |line: &str, state: &str, order, weight: &str, maxconn: &str, info: &str| {
            let answer = Answer::parse(line);
            let got = (
                answer.state.map_or("", |(_, w)| w),
                answer.order,
                answer.weight.unwrap_or(""),
                answer.maxconn.unwrap_or(""),
                answer.finding(None).info.unwrap_or_default(),
            );
            assert_eq!(got, (state, order, weight, maxconn, info.to_owned()), "{line:?}");
        };
        check("up", "up", None, "", "", "via agent : up");
        check("Up,10%", "Up", None, "10%", "", "via agent : Up");
        check("up maxconn:30\t20% ready", "up", Some(Order::Ready), "20%", "30", "via agent : up");
        check("down # oh my", "down", None, "", "", "via agent : down (oh my)");
        check("fail said so", "fail", None, "", "", "via agent : fail (said)");
        check("down junk # why", "down", None, "", "", "via agent : down (why)");
        check("up junk # why", "up", None, "", "", "via agent : up (junk)");
        check("drain maint 5%", "", Some(Order::Maint), "5%", "", "");
        check("weight:20", "", None, "", "", "agent reports an error : weight:20");
        check("-5%", "", None, "", "", "agent reports an error : -5%");
        check("", "", None, "", "", "");
        check("# only", "", None, "", "", "");
    }
}
